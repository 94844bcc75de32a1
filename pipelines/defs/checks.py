"""Blocking checks before publish: thin wrappers of pure functions. A failed one stops the release in the same run."""

from collections.abc import Callable, Iterator
from datetime import date

import dagster as dg
import polars as pl

from pipelines.defs.resources import workspace
from pipelines.transforms import checks
from warehouse.catalog.columns import NETWORKS

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


def _result(faults: pl.DataFrame) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=faults.is_empty(),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"faults": faults.height, "first faults": dg.MetadataValue.md(_table(faults.head(SHOWN_FAULTS)))},
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
