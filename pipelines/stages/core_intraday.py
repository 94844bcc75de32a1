"""Core intraday: the running production day of every facility, from what PI has given of it."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from pipelines.lake import empty
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.intraday import running_day

TABLE = "core__intraday"


def build(ws: Workspace, _labels: Sequence[date]) -> StageResult:
    """Renew core__intraday; a replay, whose last day is closed, has none, and so has a day of which nothing was read."""
    frame = empty(TABLE)
    label, closed = ws.running_label, ws.latest_label
    if not ws.site.is_replay and not ws.site.tags.is_empty():
        frame = running_day(
            ws.lake.read("raw_pi__recorded_value", label, label),
            ws.site.tags.filter(pl.col("group") == "process"),
            ws.calendar,
            label,
            ws.units,
            now=ws.now(),
            state=ws.lake.read("core__carry_state", closed, closed),
        )
    written = ws.lake.write_snapshot(TABLE, frame.select(empty(TABLE).columns), provenance=ws.provenance())
    return StageResult({TABLE: [written]}, {"running day": label.isoformat(), "rows": frame.height})


STAGE = Stage(
    name="core__intraday",
    run=build,
    tables=(TABLE,),
    upstream=("raw_pi__recorded_value", "core__reading"),
    is_partitioned=False,
    description="PI's time-weighted mean of every facility and network since the running production day began.",
)
