"""Core terminals: stock at the end of the day, receipts and liftings of every terminal."""

from collections.abc import Sequence
from datetime import date

from pipelines.lake import empty
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.terminals import daily_terminals

TABLE = "core__daily_terminal"
_RAW = "raw_energy_components__"


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew core__daily_terminal over the labels; a site without terminals has none."""
    first, last = labels[0], labels[-1]
    site = ws.site
    frame = empty(TABLE)
    if not site.terminals.is_empty():
        frame = daily_terminals(
            labels=labels,
            days=ws.calendar.frame(labels, site.terminals["facility_id"].to_list()),
            terminals=site.terminals,
            tags=site.tags,
            readings=ws.lake.read("core__daily_reading", first, last),
            tank_days=ws.lake.read(f"{_RAW}tank_day", first, last),
            tank_factor=ws.units.factor(ws.mapped_units("tank_day")["closing_volume"], "liquid", "volume"),
            production=ws.lake.read("core__daily_production", first, last),
            stream_days=ws.lake.read(f"{_RAW}stream_day", first, last),
            streams=site.streams,
            stream_factor=ws.units.factor(ws.mapped_units("stream_day")["volume"], "liquid", "volume"),
            cargoes=ws.lake.read_snapshot("core__cargo"),
            edges=site.edges,
        )
    return StageResult({TABLE: ws.write(TABLE, frame, labels)})


STAGE = Stage(
    name="core__terminal",
    run=build,
    tables=(TABLE,),
    upstream=("raw_energy_components__daily", "core__reading", "core__production", "core__register"),
    description="Tank stock, receipts and liftings by day.",
)
