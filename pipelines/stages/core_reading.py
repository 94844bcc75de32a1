"""Core readings: one row a PI tag and production day, process tags and gauges together."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from pipelines.lake import empty
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.readings import daily_readings

TABLE = "core__daily_reading"
# A day of a large site is some three million samples; readings are computed over a few days at a time.
CHUNK_LABELS = 7
_GROUPS = (("process", "raw_pi__recorded_value"), ("gauge", "raw_pi__tank_gauge"))


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew core__daily_reading over the labels; days that were never read from PI have no rows."""
    frames = [empty(TABLE)]
    if not ws.site.tags.is_empty():
        for begin in range(0, len(labels), CHUNK_LABELS):
            frames += [_readings(ws, labels[begin : begin + CHUNK_LABELS], group, raw) for group, raw in _GROUPS]
    return StageResult({TABLE: ws.write(TABLE, pl.concat(frames), labels)})


def _readings(ws: Workspace, labels: Sequence[date], group: str, raw: str) -> pl.DataFrame:
    tags = ws.site.tags.filter(pl.col("group") == group)
    samples = ws.lake.read(raw, labels[0], labels[-1])
    read = sorted(samples["production_date"].unique())
    if tags.is_empty() or not read:
        return empty(TABLE)
    return daily_readings(samples, tags, ws.calendar, read, ws.units).select(empty(TABLE).columns)


STAGE = Stage(
    name="core__reading",
    run=build,
    tables=(TABLE,),
    upstream=("raw_pi__recorded_value", "raw_pi__tank_gauge"),
    description="Time-weighted daily means of PI tags with their share of good time.",
)
