"""The release: out tables and dimensions built into one DuckDB file, checked, and made current."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from importlib.metadata import version

import polars as pl

from pipelines.lake import Partition, empty
from pipelines.stages import lineage
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms import dimensions
from pipelines.transforms.freshness import newest_instants, source_freshness
from warehouse.build import ReleaseRequest
from warehouse.build_publish import PublishResult, build_and_publish
from warehouse.catalog.tables import published
from warehouse.manifest import InputPartition
from warehouse.status import read_status

OUT_TABLES = tuple(t.name for t in published() if t.layer == "out")
# Tables that a release publishes as they are, under another name.
SNAPSHOTS = ("core__target", "core__cargo", "core__intraday")
DAILY = ("core__daily_reading", "core__quarantine", "out__restatement")

# Labels in which each source has surely been heard of, if it is heard of at all.
HIGH_WATER_DAYS = 14


class ReleaseRefused(RuntimeError):
    """A gate said no: the build is kept for inspection, readers keep the last release."""


def publish(ws: Workspace, _labels: Sequence[date]) -> StageResult:
    """Build a release of everything in the lake and make it current; unchanged content publishes nothing.

    Raises ReleaseRefused with every gate that said no.
    """
    if ws.mirror is not None:
        ws.mirror.before_build()  # what other machines published, and read of the sources
    parts = _inputs(ws)
    labels = ws.lake.labels("out__daily_production")
    if not labels:
        raise ReleaseRefused("the lake holds no production day: run the stages before the release")
    first, last = labels[0], labels[-1]
    high_water = _high_water(ws, last)
    tables: dict[str, pl.DataFrame | pl.LazyFrame] = {name: ws.lake.read(name, first, last) for name in OUT_TABLES}
    tables |= _dimensions(ws, first, last, high_water)
    sources = lineage.tables(ws, first, last)
    tables |= sources
    result = build_and_publish(
        ws.warehouse_dir,
        tables,
        info=ReleaseRequest(
            operator=ws.site.operator,
            is_synthetic=ws.site.is_synthetic,
            code_version=version("production-gap"),
            as_of=_as_of(ws, tables["out__daily_production"], high_water),
            zone=ws.site.zone,
            inputs=[
                InputPartition(table=p.table, partition=p.partition, sha256=p.entry.sha256, rows=p.entry.rows)
                for p in parts
            ]
            + lineage.inputs(
                ws, sources, ws.lake.read("out__daily_event", first, last), (*OUT_TABLES, *DAILY, *SNAPSHOTS)
            ),
            high_water=high_water,
        ),
        progress=ws.report,
        mirror=ws.mirror,
    )
    return StageResult(figures=_figures(result))


def _figures(result: PublishResult) -> dict[str, str | int | bool]:
    if result.refused or result.release_id is None:
        reasons = "\n  ".join(f"{gate.gate}: {gate.detail}" for gate in result.refused)
        raise ReleaseRefused(
            f"the release was refused and kept in {result.path}; readers keep the last one:\n  {reasons}"
        )
    return {
        "release": result.release_id,
        "path": str(result.path),
        "active": result.is_active,
        "unchanged": result.is_unchanged,
        "held": result.is_held,
        "checks passed": sum(check.passed for check in result.checks),
    }


def _inputs(ws: Workspace) -> list[Partition]:
    parts = [p for table in (*OUT_TABLES, *DAILY) for p in ws.lake.partitions(table) if p.partition != "all"]
    return parts + [p for table in SNAPSHOTS for p in ws.lake.partitions(table)]


def _dimensions(ws: Workspace, first: date, last: date, high_water: Mapping[str, datetime]) -> dict[str, pl.DataFrame]:
    site = ws.site
    target = ws.lake.read_snapshot("core__target").filter("is_approved")
    return {
        **dimensions.nodes(site.assets, site.hubs, site.facilities, last, site.zone, f"{site.day_start:%H:%M}"),
        **dimensions.edges(site.edges, site.externals, last),
        "facility_network": site.facility_networks.select(empty("facility_network").columns),
        "reason_code": site.reason_codes.select(empty("reason_code").columns),
        "target": target.select(empty("target").columns),
        "cargo": ws.lake.read_snapshot("core__cargo").rename({"parcel_bbl": "parcel"}).select(empty("cargo").columns),
        "cargo_forecast_daily": empty("cargo_forecast_daily"),
        "reading_daily": ws.lake.read("core__daily_reading", first, last)
        .with_columns(pl.col("tag_id").cast(pl.Int64))
        .select(empty("reading_daily").columns),
        "intraday": ws.lake.read_snapshot("core__intraday"),
        "restatement": ws.lake.read("out__restatement", first, last).select(empty("restatement").columns),
        "quarantine": ws.lake.read("core__quarantine", first, last).select(empty("quarantine").columns),
        "source_freshness": _source_freshness(ws, high_water),
    }


def _source_freshness(ws: Workspace, high_water: Mapping[str, datetime]) -> pl.DataFrame:
    status = read_status(ws.warehouse_dir).sources
    return source_freshness(
        newest=high_water,
        last_success={name: status[name].last_success if name in status else None for name in ws.site.sources},
        sla_seconds={name: terms.sla_seconds for name, terms in ws.site.sources.items()},
    )


def _high_water(ws: Workspace, last: date) -> dict[str, datetime]:
    """Newest instant of each source: in what is published, or seen at its last read (PI of the running day)."""
    first = last - timedelta(days=HIGH_WATER_DAYS)
    found = newest_instants(
        production=ws.lake.read("core__daily_production", first, last),
        readings=ws.lake.read("core__daily_reading", first, last),
        terminals=ws.lake.read("core__daily_terminal", first, last),
        targets=ws.lake.read_snapshot("core__target"),
    )
    status = read_status(ws.warehouse_dir).sources
    newest = {name: [found.get(name), status[name].data_as_of if name in status else None] for name in ws.site.sources}
    return {name: max(known) for name, instants in newest.items() if (known := [i for i in instants if i is not None])}


def _as_of(ws: Workspace, production: pl.DataFrame | pl.LazyFrame, high_water: Mapping[str, datetime]) -> datetime:
    newest = production.lazy().select(pl.col("observed_at_utc").max()).collect().item()
    return max([i for i in (newest, *high_water.values()) if i is not None], default=ws.now())


STAGE = Stage(
    name="warehouse__release",
    run=publish,
    tables=(),
    upstream=(
        "out__production",
        "out__gap_driver",
        "out__terminal",
        "out__hub_trend",
        "out__restatement",
        "core__register",
        "core__reading",
        "core__intraday",
    ),
    is_partitioned=False,
    description="One immutable DuckDB file: built beside the current one, checked, then current by moving a pointer.",
)
