"""A site: the operator's reference folder, loaded and validated once. Nothing about an operator stands in code.

`OPERATOR` is a name under pipelines/reference/ or a path to such a folder anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import site_settings as stated
from pipelines import site_tables as t
from pipelines.transforms.potential import METHODS
from warehouse.catalog.columns import NETWORKS

REFERENCE = Path(__file__).parent / "reference"


class SiteError(ValueError):
    """The reference folder has faults; the message lists every one."""


@dataclass(frozen=True)
class Site:
    """One operator's reference data. Frames have the columns of their CSV files with declared types; see site_tables."""

    folder: Path
    operator: str
    title: str
    is_synthetic: bool
    zone: str
    day_start: time
    as_of: datetime | None
    absent_days: str
    potential_methods: tuple[str, ...]
    unit_overrides: Mapping[str, float]
    sources: Mapping[str, stated.SourceTerms]
    simulator: Mapping[str, Any]
    energy_components: Mapping[str, Any]
    sharepoint: Mapping[str, Any]
    assets: pl.DataFrame
    hubs: pl.DataFrame
    facilities: pl.DataFrame
    facility_networks: pl.DataFrame
    externals: pl.DataFrame
    edges: pl.DataFrame
    streams: pl.DataFrame
    wells: pl.DataFrame
    terminals: pl.DataFrame
    tags: pl.DataFrame
    reason_codes: pl.DataFrame

    @property
    def is_replay(self) -> bool:
        """A folder of files is served instead of a living system; its clock is as_of and its whole span is read."""
        return "data" in self.simulator

    @property
    def data_folder(self) -> Path | None:
        """The replay's files, None for an operator without."""
        return (self.folder / self.simulator["data"]).resolve() if self.is_replay else None


def locate(operator: str) -> Path:
    """The folder of an operator given by name or path. Raises SiteError naming what exists."""
    named = REFERENCE / operator
    if "/" not in operator and named.is_dir():
        return named
    path = Path(operator).expanduser()
    if path.is_dir():
        return path.resolve()
    known = ", ".join(sorted(p.name for p in REFERENCE.iterdir() if (p / "operator.toml").is_file()))
    raise SiteError(f"OPERATOR={operator!r} is neither a folder nor one of {known}")


def load(operator: str) -> Site:
    """Load and validate an operator's folder. Raises SiteError with every fault's file, line and column."""
    folder = locate(operator)
    faults = t.Faults()
    settings = stated.read_settings(folder, faults)
    tables = {
        name: t.read_table(folder, spec, faults)
        for name, spec in {
            "assets": t.ASSETS,
            "hubs": t.HUBS,
            "facilities": t.FACILITIES,
            "facility_networks": t.FACILITY_NETWORKS,
            "externals": t.EXTERNALS,
            "edges": t.EDGES,
            "streams": t.STREAMS,
            "wells": t.WELLS,
            "terminals": t.TERMINALS,
            "tags": t.TAGS,
            "reason_codes": t.REASON_CODES,
        }.items()
    }
    _check_references(tables, faults)
    zone = str(settings.get("zone", ""))
    stated.check_zone(zone, "zone", faults)
    for row in tables["facilities"].filter(pl.col("zone").is_not_null()).iter_rows(named=True):
        stated.check_zone(row["zone"], f"zone of {row['facility_id']}", faults)
    methods = tuple(settings.get("potential", {}).get("methods", ("ec", "well_test", "p75_full_days", "target")))
    for method in methods:
        if method not in METHODS:
            faults.add(stated.FILE, None, "potential.methods", f"{method!r} is not one of {METHODS}")
    absent = settings.get("absent_days", "unknown")
    if absent not in ("unknown", "down"):
        faults.add(stated.FILE, None, "absent_days", f"{absent!r} is not unknown or down")
    sources = stated.sources_of(settings, faults)
    as_of = stated.as_of(settings, faults)
    day_start = stated.day_start(settings, faults)
    energy_components = stated.read_toml(
        folder, "energy_components.toml", faults, required="energy_components" in sources
    )
    sharepoint = stated.read_toml(folder, "sharepoint.toml", faults, required="sharepoint" in sources)
    if faults.found:
        raise SiteError(f"{folder} has {len(faults.found)} fault(s):\n  " + "\n  ".join(faults.found))
    return Site(
        folder=folder,
        operator=str(settings["operator"]),
        title=str(settings.get("title", settings["operator"])),
        is_synthetic=bool(settings.get("is_synthetic", False)),
        zone=zone,
        day_start=day_start,
        as_of=as_of,
        absent_days=str(absent),
        potential_methods=methods,
        unit_overrides={k: float(v) for k, v in settings.get("units", {}).items()},
        sources=sources,
        simulator=settings.get("simulator", {}),
        energy_components=energy_components,
        sharepoint=sharepoint,
        assets=tables["assets"],
        hubs=tables["hubs"],
        facilities=tables["facilities"],
        facility_networks=tables["facility_networks"],
        externals=tables["externals"],
        edges=tables["edges"],
        streams=tables["streams"],
        wells=tables["wells"],
        terminals=tables["terminals"],
        tags=tables["tags"],
        reason_codes=tables["reason_codes"],
    )


def _check_references(tables: Mapping[str, pl.DataFrame], faults: t.Faults) -> None:
    """Identifiers must exist where they are used; a line number is the row's place in its file."""
    ids = {
        "asset_id": set(tables["assets"]["asset_id"]),
        "hub_id": set(tables["hubs"]["hub_id"]),
        "facility_id": set(tables["facilities"]["facility_id"]),
    }
    nodes = ids["facility_id"] | set(tables["externals"]["external_id"])
    wanted = [
        ("hubs", "asset_id", ids["asset_id"]),
        ("facilities", "asset_id", ids["asset_id"]),
        ("facilities", "hub_id", ids["hub_id"]),
        ("facility_networks", "facility_id", ids["facility_id"]),
        ("streams", "facility_id", ids["facility_id"]),
        ("wells", "facility_id", ids["facility_id"]),
        ("terminals", "facility_id", ids["facility_id"]),
        ("tags", "facility_id", ids["facility_id"]),
        ("edges", "from_id", nodes),
        ("edges", "to_id", nodes),
    ]
    for table, column, known in wanted:
        for index, value in enumerate(tables[table][column]):
            if value is not None and value not in known:
                faults.add(f"{table}.csv", index + 2, column, f"{value!r} stands in no reference file")
    _check_ids_are_distinct(ids, faults)
    applicable = tables["facility_networks"]
    for facility in sorted(ids["facility_id"]):
        have = set(applicable.filter(pl.col("facility_id") == facility)["network"])
        missing = [n for n in NETWORKS if n not in have]
        if missing:
            faults.add("facility_networks.csv", None, None, f"{facility} has no row for {', '.join(missing)}")


def _check_ids_are_distinct(ids: Mapping[str, set[Any]], faults: t.Faults) -> None:
    """One identifier names one node: hubs, assets, facilities and `system` stand in one column of what is published."""
    owners: dict[str, str] = {"system": "the system"}
    for column, values in ids.items():
        for value in sorted(values):
            if value in owners:
                faults.add(f"{column.removesuffix('_id')}s", None, column, f"{value!r} is also {owners[value]}")
            owners[value] = f"a {column}"
