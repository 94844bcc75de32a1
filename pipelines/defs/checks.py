"""Checks: thin wrappers of pure functions. A blocking one that fails stops the release in the same run; a warning is told.

Blocking is what would publish a wrong figure. A warning is what a person has to look at while the figures stand.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime

import dagster as dg
import polars as pl

from pipelines.defs.resources import workspace
from pipelines.stages.workspace import label_range
from pipelines.transforms import checks
from pipelines.transforms.meter_sigmas import meter_sigmas
from warehouse.catalog.columns import NETWORKS
from warehouse.pointer import read_pointer
from warehouse.release import show_release
from warehouse.status import read_status

SHOWN_FAULTS = 20


def _production(labels: list[date]) -> pl.DataFrame:
    return workspace().lake.read("out__daily_production", labels[0], labels[-1])


def _drivers(labels: list[date]) -> pl.DataFrame:
    return workspace().lake.read("out__daily_gap_driver", labels[0], labels[-1])


def _labels(context: dg.AssetCheckExecutionContext) -> list[date]:
    """Labels of the run; the latest closed one for a run without partitions."""
    tags = context.op_execution_context.run.tags
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    single = tags.get("dagster/partition")
    if first and last:
        return [date.fromisoformat(first), date.fromisoformat(last)]
    return [date.fromisoformat(single)] * 2 if single else [workspace().latest_label] * 2


def _result(
    faults: pl.DataFrame, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR, **figures: int
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=faults.is_empty(),
        severity=severity,
        metadata={
            "faults": faults.height,
            "first faults": dg.MetadataValue.md(_table(faults.head(SHOWN_FAULTS))),
            **figures,
        },
    )


def _table(frame: pl.DataFrame) -> str:
    if frame.is_empty():
        return "none"
    header = f"|{'|'.join(frame.columns)}|\n|{'|'.join('---' for _ in frame.columns)}|"
    return "\n".join([header, *(f"|{'|'.join(str(v) for v in row)}|" for row in frame.iter_rows())])


_ON_PRODUCTION: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "children_sum_to_parents": checks.children_sum_to_parents,
    "every_node_has_four_networks": lambda frame: checks.every_node_has_four_networks(frame, NETWORKS),
    "potential_less_production_is_deferment_less_over_performance": (
        checks.potential_less_production_is_deferment_less_over_performance
    ),
}


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec(name, asset="out__production", blocking=True) for name in _ON_PRODUCTION],
    can_subset=False,
)
def production_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """What must hold of the daily KPIs."""
    frame = _production(_labels(context))
    for name, check in _ON_PRODUCTION.items():
        yield _result(check(frame))._replace(check_name=name, asset_key=dg.AssetKey("out__production"))


@dg.asset_check(asset="out__gap_driver", blocking=True)
def drivers_and_unattributed_close(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Σ drivers + unattributed = deferment at every cut facility, network and day."""
    labels = _labels(context)
    return _result(checks.drivers_and_unattributed_close(_production(labels), _drivers(labels)))


@dg.asset_check(asset="out__production", blocking=True)
def every_path_crosses_the_cut_once(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Every way from a source to a sink crosses the counting cut once, in the topology of each day."""
    site = workspace().site
    labels = _labels(context)
    return _result(
        checks.every_path_crosses_the_cut_once(
            label_range(labels[0], labels[1]), site.facilities, site.facility_networks, site.edges, site.externals
        )
    )


@dg.asset_check(asset="out__production")
def published_targets_equal_the_sum(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """A parent's own published target is the sum of its facilities' targets."""
    faults = checks.published_targets_equal_the_sum(_production(_labels(context)))
    return _result(faults, dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset="core__production")
def potentials_are_not_overtaken(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No potential lies below production − 3σ; one that does stays in force as uncertain."""
    ws, (first, last) = workspace(), _labels(context)
    faults = checks.potentials_are_not_overtaken(
        ws.lake.read("core__daily_potential", first, last),
        ws.lake.read("core__daily_production", first, last),
        meter_sigmas(ws.site.streams),
    )
    return _result(faults, dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset="core__event")
def no_row_was_quarantined(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Rejected rows of the days, counted by source, dataset and rule."""
    ws, (first, last) = workspace(), _labels(context)
    counts = checks.quarantined_rows(ws.lake.read("core__quarantine", first, last))
    return _result(counts, dg.AssetCheckSeverity.WARN, **{"rows quarantined": int(counts["rows"].sum())})


@dg.asset_check(asset="warehouse__release")
def sources_are_within_their_sla() -> dg.AssetCheckResult:
    """The newest instant in the data of each source is no older than the source promises."""
    ws = workspace()
    sla = {name: terms.sla_seconds for name, terms in ws.site.sources.items()}
    faults = checks.sources_are_within_their_sla(_newest(), sla, ws.now())
    return _result(faults, dg.AssetCheckSeverity.WARN)


def _newest() -> dict[str, datetime]:
    """Newest instant by source: in the release in force, or seen at the source's last read."""
    directory = workspace().warehouse_dir
    pointer = read_pointer(directory)
    newest = dict(show_release(directory, pointer.release_id).high_water) if pointer else {}
    for name, source in read_status(directory).sources.items():
        if source.data_as_of is not None:
            newest[name] = max(source.data_as_of, newest.get(name, source.data_as_of))
    return newest
