"""Core readings: one row a PI tag and production day, process tags and gauges together; samples set aside are quarantined."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from pipelines.lake import empty
from pipelines.stages.quarantine import TABLE as QUARANTINE
from pipelines.stages.quarantine import rejected_by_source, replace_quarantine
from pipelines.stages.sample_days import together
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms import carry_state, readings_frozen
from pipelines.transforms.readings import Readings, judged_readings

TABLE, STATE = "core__daily_reading", "core__carry_state"
_GROUPS = (("process", "recorded_value"), ("gauge", "tank_gauge"))


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew core__daily_reading over the labels, the tags' carried norms and the quarantined samples of PI.

    Days that were never read from PI have no rows; norms are carried over them.
    """
    before = labels[0] - timedelta(days=1)
    state = ws.lake.read(STATE, before, before)
    frames, states, rejected = [empty(TABLE)], [empty(STATE)], [rejected_by_source(ws, "pi", labels)]
    if not ws.site.tags.is_empty():
        for days in together(ws.lake, [f"raw_pi__{dataset}" for _, dataset in _GROUPS], labels):
            found = [_readings(ws, days, group, dataset, state) for group, dataset in _GROUPS]
            frames += [part.readings.select(empty(TABLE).columns) for part in found]
            rejected += [part.rejected for part in found]
            states.append(carry_state.gather(*(part.state for part in found)))
            state = carry_state.at(states[-1], days[-1])
    others = ws.lake.read(STATE, labels[0], labels[-1]).filter(pl.col("kind") != readings_frozen.STATE)
    return StageResult(
        {
            TABLE: ws.write(TABLE, pl.concat(frames), labels),
            STATE: ws.write(STATE, carry_state.gather(others, *states), labels),
            QUARANTINE: replace_quarantine(ws, labels, [dataset for _, dataset in _GROUPS], rejected),
        },
        {"rows quarantined": sum(part.height for part in rejected)},
    )


def _readings(ws: Workspace, labels: Sequence[date], group: str, dataset: str, state: pl.DataFrame) -> Readings:
    tags = ws.site.tags.filter(pl.col("group") == group)
    samples = ws.lake.read(f"raw_pi__{dataset}", labels[0], labels[-1])
    found = judged_readings(samples, tags, ws.calendar, labels, ws.units, dataset=dataset, now=ws.now(), state=state)
    read = samples["production_date"].unique().to_list()
    return Readings(found.readings.filter(pl.col("production_date").is_in(read)), found.rejected, found.state)


STAGE = Stage(
    name="core__reading",
    run=build,
    tables=(TABLE,),
    upstream=("raw_pi__recorded_value", "raw_pi__tank_gauge"),
    description="Time-weighted daily means of PI tags with their share of good time.",
)
