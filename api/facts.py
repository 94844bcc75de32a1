"""What every body of a release needs, read once when the release is opened: its days, identifiers, sources, metadata."""

from collections.abc import Mapping
from dataclasses import dataclass
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
    """Facts of one release. `days` maps each production day to its record status and target version."""

    release_id: str
    operator: str
    is_synthetic: bool
    built_at: datetime
    as_of: datetime | None
    latest_day: date
    days: Mapping[date, tuple[str | None, str | None]]
    identifiers: Mapping[str, frozenset[str]]
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


def read_facts(release: OpenRelease) -> ReleaseFacts:
    """Reads the facts with three queries; cost grows with the number of days only."""
    manifest = release.manifest
    identifiers: dict[str, set[str]] = {}
    for row in release.query("identifier_list"):
        identifiers.setdefault(row["kind"], set()).add(row["id"])
    return ReleaseFacts(
        release_id=release.release_id,
        operator=manifest.operator,
        is_synthetic=manifest.is_synthetic,
        built_at=manifest.built_at_utc,
        as_of=_utc(manifest.as_of_utc) if manifest.as_of_utc else None,
        latest_day=manifest.latest_production_date,
        days={
            row["production_date"]: (row["record_status"], row["target_version"])
            for row in release.query("production_day_list")
        },
        identifiers={kind: frozenset(ids) for kind, ids in identifiers.items()},
        sources=tuple(
            SourceAge(row["source"], row["data_as_of_utc"], timedelta(seconds=row["sla_seconds"]))
            for row in release.query("source_freshness")
        ),
    )
