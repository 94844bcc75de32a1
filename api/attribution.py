"""Deferment in a scope of facilities over a window, and the events that explain it: sums over stored shares, no formula.

A day is complete for a network when facilities with at least half of the scope's potential have a production, as for any
parent; volumes are sums over the present facilities of the complete days, so drivers and residual close by construction.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

Row = Mapping[str, Any]
MIN_COVERAGE = 0.5
UNATTRIBUTED = "unattributed"
LEVELS = ("potential_volume", "business_target_volume", "production_volume", "gap_volume", "deferment_volume")


@dataclass(frozen=True)
class Scope:
    """What one network amounts to: levels in base volumes, and which facility counts on which complete day."""

    is_applicable: bool
    complete_days: int
    hours: float
    levels: Mapping[str, float | None]
    present: frozenset[tuple[date, str]]


def scope_of(rows: Iterable[Row]) -> Scope:
    """The scope of one network from its facility rows: rows off the cut and not applicable ones are left out.

    Without an applicable facility every level is 0; without a complete day every level is null.
    """
    by_day: dict[date, list[Row]] = {}
    for row in rows:
        if row["counts_in_roll_up"] and row["quality"] != "notApplicable":
            by_day.setdefault(row["production_date"], []).append(row)
    if not by_day:
        return Scope(False, 0, 0.0, dict.fromkeys(LEVELS, 0.0), frozenset())
    counted = {}
    for day, facilities in by_day.items():
        present = [row for row in facilities if row["production"] is not None]
        if present and coverage(present, facilities) >= MIN_COVERAGE:
            counted[day] = present
    flat = [row for present in counted.values() for row in present]
    return Scope(
        is_applicable=True,
        complete_days=len(counted),
        hours=sum(max(row["day_hours"] for row in present) for present in counted.values()),
        levels={level: total(row[level] for row in flat) for level in LEVELS},
        present=frozenset((row["production_date"], row["node_id"]) for row in flat),
    )


def coverage(present: Sequence[Row], applicable: Sequence[Row]) -> float:
    """Present share by potential, by count where no potential is known."""
    of_all = total(row["potential"] for row in applicable)
    if not of_all:
        return len(present) / len(applicable)
    return (total(row["potential"] for row in present) or 0.0) / of_all


def total(values: Iterable[float | None]) -> float | None:
    """Sum of what is known; null when nothing is."""
    known = [value for value in values if value is not None]
    # Thousands of shares are added over a window: fsum keeps closure at the last bit of what is stored.
    return math.fsum(known) if known else None


@dataclass
class Contribution:
    """One event on one network: sums over the facilities and days in scope, attributes as of the newest day."""

    event_id: str
    newest: Row
    volumes: list[float] = field(default_factory=list)
    volume_if_alone: float | None = None
    gain_if_fixed: float | None = None
    by_facility: dict[str, float] = field(default_factory=dict)
    home: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    hours_by_day: dict[date, float] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Adds one stored share. Rows come in order of days."""
        self.newest = row
        self.volumes.append(row["volume"])
        self.volume_if_alone = total((self.volume_if_alone, row["volume_if_alone"]))
        self.gain_if_fixed = total((self.gain_if_fixed, row["gain_if_fixed"]))
        facility = row["facility_id"]
        self.by_facility[facility] = self.by_facility.get(facility, 0.0) + row["volume"]
        self.home[facility] = (row["hub_id"], row["asset_id"])
        if row["hours"] is not None:
            day = row["production_date"]
            # An event stands once for each facility that it reaches; its overlap with the day is the longest of them.
            self.hours_by_day[day] = max(self.hours_by_day.get(day, 0.0), row["hours"])

    @property
    def volume(self) -> float:
        """Share of the deferment."""
        return math.fsum(self.volumes)

    @property
    def hours(self) -> float | None:
        """Overlap of event and window; null when not stated."""
        return sum(self.hours_by_day.values()) if self.hours_by_day else None


def contributions(rows: Iterable[Row], scope: Scope) -> tuple[list[Contribution], float | None]:
    """Events by volume, then id, and the residual volume (null when the deferment is not known)."""
    events: dict[str, Contribution] = {}
    residual: list[float] = []
    for row in rows:
        if (row["production_date"], row["facility_id"]) not in scope.present:
            continue
        if row["event_id"] == UNATTRIBUTED:
            residual.append(row["volume"])
            continue
        found = events.get(row["event_id"])
        if found is None:
            found = events[row["event_id"]] = Contribution(row["event_id"], row)
        found.add(row)
    ranked = sorted(events.values(), key=lambda event: (-event.volume, event.event_id))
    return ranked, None if scope.levels["deferment_volume"] is None else math.fsum(residual)
