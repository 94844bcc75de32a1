"""What every stage works with: the site, the lake, the clock, the sources, and where progress goes."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl

from pipelines import site as sites
from pipelines.cron import next_run
from pipelines.lake import Lake, Provenance, Written
from pipelines.lake_store import ObjectLakeStore
from pipelines.settings import Clock, Settings, clock
from pipelines.site import Site
from pipelines.sources.config import EcOracleConfig, EcRestConfig, PiConfig, SharePointConfig
from pipelines.sources.mapping import DatasetMapping, SharePointMapping, parse_energy_components, parse_sharepoint
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitTable
from warehouse.errors import StorageConflict, StorageFault
from warehouse.mirror import Mirror
from warehouse.object_store import Location
from warehouse.remote import open_remote
from warehouse.remote_documents import share_status
from warehouse.status import SourceStatus

log = logging.getLogger(__name__)
Report = Callable[[str], None]
NextRun = Callable[[str], datetime | None]
# What a mapped column without a unit holds; "a | b" is a for liquids and b for gas.
BASE_UNITS: Mapping[str, str] = {
    "volume": "bbl | scf",
    "potential": "bbl/d | scf/d",
    "capacity": "bbl/d | scf/d",
    "oil_volume": "bbl",
    "gas_volume": "scf",
    "water_volume": "bbl",
    "injection_volume": "bbl",
    "closing_volume": "bbl",
    "nominated_volume": "bbl",
    "lifted_volume": "bbl",
    "oil_loss_rate": "bbl/d",
    "oil_loss_volume": "bbl",
    "gas_loss_rate": "scf/d",
    "gas_loss_volume": "scf",
    "oil_remaining_rate": "bbl/d",
    "gas_remaining_rate": "scf/d",
}


@dataclass(frozen=True)
class Workspace:
    """One run's surroundings. Stages are functions of a workspace and a range of labels."""

    site: Site
    lake: Lake
    warehouse_dir: Path
    now: Clock
    energy_components: EcRestConfig | EcOracleConfig | None = None
    pi: PiConfig | None = None
    sharepoint: SharePointConfig | None = None
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    report: Report = log.info
    # Bootstrap writes closed months as one file each; a refresh writes days.
    is_bootstrap: bool = False
    # Read everything that is asked for, whatever the watermarks say has not changed.
    is_full_read: bool = False
    # When a source is read next by schedule; None where that is not known.
    next_run: NextRun = lambda _source: None
    # Where releases stand when they are shared between machines; None: in `warehouse_dir` alone.
    mirror: Mirror | None = None
    # What `write` has written: after a failure it tells which partitions were renewed before it.
    written: list[Written] = field(default_factory=list, compare=False)

    @cached_property
    def calendar(self) -> ProductionCalendar:
        """Production days of the site's facilities."""
        return ProductionCalendar(zone=self.site.zone, day_start=self.site.day_start, facilities=self.site.facilities)

    @cached_property
    def units(self) -> UnitTable:
        """Conversions to base units with the site's overrides."""
        return UnitTable(self.site.unit_overrides)

    @cached_property
    def datasets(self) -> dict[str, DatasetMapping]:
        """The site's mapping of Energy Components. Raises MappingFaults with every fault."""
        return parse_energy_components(self.site.energy_components)

    @cached_property
    def sharepoint_mapping(self) -> SharePointMapping:
        """The site's mapping of SharePoint; SP_LIST_ID stands for the name of a list that is the only one.

        Raises MappingFaults with every fault.
        """
        mapping = parse_sharepoint(self.site.sharepoint)
        list_id = self.sharepoint.list_id if self.sharepoint is not None else ""
        if not list_id or len(mapping.lists) != 1:
            return mapping
        return replace(mapping, lists={name: replace(each, name=list_id) for name, each in mapping.lists.items()})

    def mapped_units(self, dataset: str) -> Mapping[str, str]:
        """Units by canonical column of an Energy Components dataset; a column without a unit is in base units."""
        return {**BASE_UNITS, **(self.datasets[dataset].units() if dataset in self.datasets else {})}

    @property
    def latest_label(self) -> date:
        """The latest closed production day."""
        return self.calendar.latest_closed(self.now())

    @property
    def running_label(self) -> date:
        """The production day that is still open; of PI it is read as far as it has come, for what is intraday."""
        return self.latest_label + timedelta(days=1)

    def provenance(self, request: str = "") -> Provenance:
        """Provenance of what this run writes now."""
        return Provenance(extracted_at_utc=self.now(), run_id=self.run_id, request=request)

    def write(self, table: str, frame: pl.DataFrame, labels: Sequence[date], request: str = "") -> list[Written]:
        """Write a range of labels: whole closed months as months when bootstrapping, days otherwise."""
        written = self._write(table, frame, labels, self.provenance(request))
        self.written.extend(written)
        return written

    def _write(self, table: str, frame: pl.DataFrame, labels: Sequence[date], provenance: Provenance) -> list[Written]:
        if not self.is_bootstrap:
            return self.lake.write_days(table, frame, labels, provenance=provenance)
        written: list[Written] = []
        days: list[date] = []
        for month, members in _by_month(labels):
            if _is_whole_month(members) and members[-1] < self.latest_label - timedelta(days=_OPEN_DAYS):
                rows = frame.filter(pl.col("production_date").is_between(members[0], members[-1]))
                written.append(self.lake.write_month(table, rows, month, provenance=provenance))
            else:
                days.extend(members)
        if days:
            rows = frame.filter(pl.col("production_date").is_in(days))
            written.extend(self.lake.write_days(table, rows, days, provenance=provenance))
        return written

    def share_status(self, status: SourceStatus) -> None:
        """Tell other machines how an attempt at a source went; where they cannot be told, the next attempt does."""
        if self.mirror is None:
            return
        try:
            share_status(self.mirror.remote, status)
        except (StorageFault, StorageConflict) as fault:
            log.warning("the status of %s was not shared: %s", status.source, fault)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Report a step's start and end with its duration."""
        begun = time.perf_counter()
        yield
        self.report(f"{what} ({time.perf_counter() - begun:.1f} s)")


# Days that a trailing re-read may still change stay day files.
_OPEN_DAYS = 45


def _by_month(labels: Sequence[date]) -> list[tuple[str, list[date]]]:
    months: dict[str, list[date]] = {}
    for label in sorted(labels):
        months.setdefault(f"{label:%Y-%m}", []).append(label)
    return list(months.items())


def _is_whole_month(members: Sequence[date]) -> bool:
    first = members[0]
    after = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return first.day == 1 and len(members) == (after - first).days


def label_range(first: date, last: date) -> list[date]:
    """Labels from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _lake(place: Path | Location, operator: str) -> Lake:
    return Lake(place / operator if isinstance(place, Path) else ObjectLakeStore(place.child(operator)))


def _mirror(settings: Settings) -> Mirror | None:
    if isinstance(settings.lake, Path):
        return None
    return Mirror(open_remote(settings.lake), settings.warehouse_dir)


def open_workspace(settings: Settings, *, report: Report = log.info, is_bootstrap: bool = False) -> Workspace:
    """The workspace that the settings describe. Raises SiteError or SettingsError with every fault."""
    site = sites.load(settings.operator)
    as_of: datetime | None = settings.as_of or site.as_of
    return Workspace(
        site=site,
        lake=_lake(settings.lake, site.operator),
        mirror=_mirror(settings),
        warehouse_dir=settings.warehouse_dir,
        now=clock(as_of),
        energy_components=settings.energy_components,
        pi=settings.pi,
        sharepoint=settings.sharepoint,
        report=report,
        is_bootstrap=is_bootstrap,
        # Schedules follow the machine's clock, a replay's too.
        next_run=lambda source: next_run(settings.cron_lines(source), site.zone, datetime.now(UTC)),
    )
