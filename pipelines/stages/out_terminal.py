"""Out terminals: stock, ullage, ready crude and endurance at the end of each production day."""

from collections.abc import Sequence
from datetime import date, timedelta

from pipelines.lake import empty
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace, label_range
from pipelines.transforms.terminals import CONTEXT_DAYS, terminal_kpis

TABLE = "out__daily_terminal"


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew out__daily_terminal over the labels, reading the settling lag before them and no more."""
    site = ws.site
    frame = empty(TABLE)
    if not site.terminals.is_empty():
        reach = label_range(labels[0] - timedelta(days=CONTEXT_DAYS), labels[-1])
        frame = terminal_kpis(
            labels=labels,
            days=ws.calendar.frame(reach, site.terminals["facility_id"].to_list()),
            daily=ws.lake.read("core__daily_terminal", reach[0], reach[-1]),
            terminals=site.terminals,
            facilities=site.facilities,
        )
    return StageResult({TABLE: ws.write(TABLE, frame, labels)})


STAGE = Stage(
    name="out__terminal",
    run=build,
    tables=(TABLE,),
    upstream=("core__terminal",),
    description="Stock, ullage, ready crude, ready stock and endurance of terminals by day.",
)
