"""What every body of a release needs, read once when the release is opened: its days, identifiers, sources, metadata."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime

from api.contracts.common import Freshness
from warehouse.reader_release import OpenRelease


@dataclass(frozen=True)
class SourceAge:
    """How new a source's data was when the release was built."""

    source: str
    data_as_of: datetime | None
    sla: timedelta


@dataclass(frozen=True)
class ReleaseFacts:
    """Facts of one release. `days` maps each production day to its record status and target version, `assets` each hub and
    facility to the asset that it belongs to."""

    release_id: str
    operator: str
    is_synthetic: bool
    built_at: datetime
    as_of: datetime | None
    latest_day: date
    days: Mapping[date, tuple[str | None, str | None]]
    identifiers: Mapping[str, frozenset[str]]
    assets: Mapping[str, str]
    sources: tuple[SourceAge, ...]

    @property
    def last_modified(self) -> str:
        """HTTP date of the release."""
        return format_datetime(self.built_at.astimezone(UTC), usegmt=True)

    @property
    def freshness(self) -> Freshness:
        """Instants of the source that lags most, and from when one is older than agreed; null without sources."""
        known = [source for source in self.sources if source.data_as_of is not None]
        return Freshness(
            oldest_source_as_of=min((_utc(s.data_as_of) for s in known if s.data_as_of), default=None),
            stale_after=min((_utc(s.data_as_of) + s.sla for s in known if s.data_as_of), default=None),
        )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def limited_facts(release: OpenRelease, whole: ReleaseFacts, assets: frozenset[str]) -> ReleaseFacts:
    """The facts as a caller limited to the assets may know them: its identifiers, and what its own rows say of each day.

    Days, instants and sources are the release's: a day on which the caller sees nothing is a day all the same.
    """
    own = _days(release, assets)
    identifiers, owners = _identifiers(release, assets)
    days = {day: own.get(day, (None, None)) for day in whole.days}
    return replace(whole, identifiers=identifiers, assets=owners, days=days)


def _identifiers(
    release: OpenRelease, assets: frozenset[str] | None
) -> tuple[Mapping[str, frozenset[str]], Mapping[str, str]]:
    found: dict[str, set[str]] = {}
    owners: dict[str, str] = {}
    for row in release.query("identifier_list", assets=assets):
        found.setdefault(row["kind"], set()).add(row["id"])
        if row["asset_id"] is not None:
            owners[row["id"]] = row["asset_id"]
    return {kind: frozenset(ids) for kind, ids in found.items()}, owners


def _days(release: OpenRelease, assets: frozenset[str] | None) -> Mapping[date, tuple[str | None, str | None]]:
    rows = release.query("production_day_list", assets=assets)
    return {row["production_date"]: (row["record_status"], row["target_version"]) for row in rows}


def read_facts(release: OpenRelease) -> ReleaseFacts:
    """Reads the facts with three queries; cost grows with the number of days only."""
    manifest = release.manifest
    identifiers, owners = _identifiers(release, None)
    return ReleaseFacts(
        release_id=release.release_id,
        operator=manifest.operator,
        is_synthetic=manifest.is_synthetic,
        built_at=manifest.built_at_utc,
        as_of=_utc(manifest.as_of_utc) if manifest.as_of_utc else None,
        latest_day=manifest.latest_production_date,
        days=_days(release, None),
        identifiers=identifiers,
        assets=owners,
        sources=tuple(
            SourceAge(row["source"], row["data_as_of_utc"], timedelta(seconds=row["sla_seconds"]))
            for row in release.query("source_freshness")
        ),
    )
