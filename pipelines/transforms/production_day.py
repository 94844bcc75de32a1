"""Production days: a label and a facility give a UTC interval of 23, 24 or 25 h, and back.

The one place that knows zones, day starts and clock changes; everything else asks here. No clock of its own: `now` is an argument.
Rules and validity come from the operator's default and from the facilities' own zone and day start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

UTC_INSTANT = pl.Datetime("us", "UTC")
LOCAL_INSTANT = pl.Datetime("us")
DAY_SCHEMA = {
    "facility_id": pl.String(),
    "production_date": pl.Date(),
    "from_utc": UTC_INSTANT,
    "to_utc": UTC_INSTANT,
    "day_hours": pl.Float64(),
}
_ONE_DAY = timedelta(days=1)


class ProductionDayError(ValueError):
    """A zone or day start that cannot be used; the message names the facility and the value."""


@dataclass(frozen=True, slots=True)
class DayRule:
    """A time zone and the local time of day at which a production day begins."""

    zone: str
    day_start: time


@dataclass(frozen=True, slots=True)
class _Version:
    rule: DayRule
    valid_from: date
    valid_to: date

    def holds(self, label: date) -> bool:
        return self.valid_from <= label < self.valid_to


class ProductionCalendar:
    """Bounds of production days by facility, from the operator's default and the facilities' overrides.

    `facilities` has facility_id, zone, day_start ("HH:MM" or a time), valid_from, valid_to (exclusive), one row a version;
    null zone or day start means the operator's, null dates are unbounded, other columns are ignored. A facility outside
    its versions, an unknown one and None follow the operator's default. Both ends of a day follow the rule of its own
    label, so a day is never longer than 25 h, also where the rule changes.
    Raises ProductionDayError listing every unusable zone or day start.
    """

    def __init__(self, zone: str, day_start: time | str, facilities: pl.DataFrame | None = None) -> None:
        faults: list[str] = []
        self.default = _rule(zone, day_start, "the operator", faults)
        self._versions: dict[str, list[_Version]] = {}
        if facilities is not None:
            for row in facilities.select("facility_id", "zone", "day_start", "valid_from", "valid_to").iter_rows(
                named=True
            ):
                rule = _rule(
                    row["zone"] or zone,
                    self.default.day_start if row["day_start"] in (None, "") else row["day_start"],
                    f"facility {row['facility_id']}",
                    faults,
                )
                version = _Version(rule, row["valid_from"] or date.min, row["valid_to"] or date.max)
                self._versions.setdefault(row["facility_id"], []).append(version)
        if faults:
            raise ProductionDayError("unusable production days: " + "; ".join(faults))
        for versions in self._versions.values():
            versions.sort(key=lambda v: v.valid_from)

    def rule(self, facility_id: str | None, label: date) -> DayRule:
        """The zone and day start of a facility on a label."""
        for version in self._versions.get(facility_id or "", ()):
            if version.holds(label):
                return version.rule
        return self.default

    def bounds(self, facility_id: str | None, label: date) -> tuple[datetime, datetime]:
        """UTC start (inclusive) and end (exclusive) of a facility's production day; None: the operator's default day."""
        return _interval(self.rule(facility_id, label), label)

    def hours(self, facility_id: str | None, label: date) -> float:
        """Length of the production day in hours: 23, 24 or 25 in most zones."""
        start, end = self.bounds(facility_id, label)
        return (end - start) / timedelta(hours=1)

    def frame(self, labels: Sequence[date], facility_ids: Sequence[str]) -> pl.DataFrame:
        """Every label × facility: facility_id, production_date, from_utc, to_utc, day_hours (h); sorted by facility, label."""
        facilities = sorted(set(facility_ids))
        days = sorted(set(labels))
        columns: dict[str, list[object]] = {name: [] for name in DAY_SCHEMA}
        # Facilities share a handful of rules, so whole columns are built once a rule set and repeated.
        cached: dict[tuple[_Version, ...], tuple[list[datetime], list[datetime], list[float]]] = {}
        for facility in facilities:
            key = tuple(self._versions.get(facility, ()))
            if key not in cached:
                bounds = [self.bounds(facility, day) for day in days]
                hours = [(end - start) / timedelta(hours=1) for start, end in bounds]
                cached[key] = ([b[0] for b in bounds], [b[1] for b in bounds], hours)
            starts, ends, hours = cached[key]
            columns["facility_id"].extend([facility] * len(days))
            columns["production_date"].extend(days)
            columns["from_utc"].extend(starts)
            columns["to_utc"].extend(ends)
            columns["day_hours"].extend(hours)
        return pl.DataFrame(columns, schema=DAY_SCHEMA)

    def union_bounds(self, label: date) -> tuple[datetime, datetime]:
        """UTC interval that holds the production day of every facility in force; the default's day where none is."""
        rules = {v.rule for versions in self._versions.values() for v in versions if v.holds(label)} or {self.default}
        intervals = [_interval(rule, label) for rule in rules]
        return min(i[0] for i in intervals), max(i[1] for i in intervals)

    def label_of(self, facility_id: str | None, instant: datetime) -> date:
        """The production day that an aware instant belongs to: the latest one that has begun by then.

        Where a facility's day start moved, hours left between two days belong to the earlier one.
        """
        at = instant.astimezone(UTC)
        label = at.date() + _ONE_DAY * 2
        while self.bounds(facility_id, label)[0] > at:
            label -= _ONE_DAY
        return label

    def is_closed(self, label: date, now: datetime) -> bool:
        """Whether the last facility's interval of the label has ended."""
        return self.union_bounds(label)[1] <= now

    def latest_closed(self, now: datetime) -> date:
        """The newest label that is closed at `now`."""
        label = now.astimezone(UTC).date() + _ONE_DAY
        while not self.is_closed(label, now):
            label -= _ONE_DAY
        return label

    def to_utc(self, facility_ids: pl.Series, local: pl.Series) -> pl.Series:
        """UTC instants of naive facility-local times (as Energy Components keeps them), row by row.

        A time that occurs twice (clocks back) is taken as its earliest occurrence, one that does not occur (clocks forward)
        as the first instant after the gap, so that order is kept. Null stays null; a null facility follows the default.
        """
        naive = local.cast(LOCAL_INSTANT)
        frame = pl.DataFrame({"facility_id": facility_ids.cast(pl.String), "local": naive})
        pairs = frame.select("facility_id", pl.col("local").dt.date().alias("label")).unique()
        zones = [
            self.rule(facility, label).zone if label is not None else self.default.zone
            for facility, label in pairs.iter_rows()
        ]
        if len(set(zones)) <= 1:
            return _zone_to_utc(naive, zones[0] if zones else self.default.zone).alias(local.name)
        keyed = (
            frame.with_row_index("row")
            .with_columns(pl.col("local").dt.date().alias("label"))
            .join(
                pairs.with_columns(pl.Series("zone", zones, dtype=pl.String)),
                on=["facility_id", "label"],
                how="left",
                nulls_equal=True,
            )
        )
        parts = [
            part.select("row", _zone_to_utc(part["local"], str(zone)).alias("utc"))
            for (zone,), part in keyed.partition_by("zone", as_dict=True).items()
        ]
        return pl.concat(parts).sort("row")["utc"].alias(local.name)


def _rule(zone: str, day_start: time | str, owner: str, faults: list[str]) -> DayRule:
    try:
        start = day_start if isinstance(day_start, time) else time.fromisoformat(day_start)
    except ValueError:
        faults.append(f"{owner} has day start {day_start!r}, not HH:MM")
        start = time(0)
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        faults.append(f"{owner} has zone {zone!r}, not in the time zone database")
    return DayRule(zone, start)


@lru_cache(maxsize=65_536)
def _interval(rule: DayRule, label: date) -> tuple[datetime, datetime]:
    return _instant(rule, label), _instant(rule, label + _ONE_DAY)


def _instant(rule: DayRule, label: date) -> datetime:
    return local_to_utc(datetime.combine(label, rule.day_start), rule.zone)


def local_to_utc(local: datetime, zone: str) -> datetime:
    """UTC instant of one naive local time: the earliest of two, or the first after a gap."""
    earlier = local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    if earlier.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local:
        return earlier
    return _end_of_gap(local, zone)


def _end_of_gap(local: datetime, zone: str) -> datetime:
    """First instant after the gap that swallows `local`: the change of offset, found by bisection to the second."""
    info = ZoneInfo(zone)
    low = local.replace(tzinfo=info, fold=1).astimezone(UTC)
    high = local.replace(tzinfo=info, fold=0).astimezone(UTC)
    low, high = min(low, high).replace(microsecond=0), max(low, high).replace(microsecond=0) + timedelta(seconds=1)
    before = low.astimezone(info).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(info).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _zone_to_utc(local: pl.Series, zone: str) -> pl.Series:
    converted = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
    lost = local.is_not_null() & converted.is_null()
    if lost.any():
        # Local times inside a spring gap are a handful a year; each is resolved on its own.
        gaps = {value: local_to_utc(value, zone) for value in local.filter(lost).unique()}
        repaired = pl.Series([gaps.get(value) for value in local], dtype=UTC_INSTANT)
        converted = converted.zip_with(~lost, repaired)
    return converted.cast(UTC_INSTANT)
