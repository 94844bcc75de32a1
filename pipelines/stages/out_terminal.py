"""Out terminals: stock, ullage, ready crude and endurance at the end of each production day; meters against balances."""

from collections.abc import Sequence
from datetime import date, timedelta

from pipelines.lake import empty
from pipelines.stages import out_reconciliation
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace, label_range
from pipelines.transforms.terminals import CONTEXT_DAYS, terminal_kpis

TABLE = "out__daily_terminal"


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew terminals and reconciliation over the labels, reading the settling lag and the tests' window before them."""
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
    return StageResult({TABLE: ws.write(TABLE, frame, labels)} | out_reconciliation.renew(ws, labels))


STAGE = Stage(
    name="out__terminal",
    run=build,
    tables=(TABLE, *out_reconciliation.TABLES),
    upstream=("core__terminal", "core__production"),
    description="Stock and endurance of terminals by day; meters, balances and closure of the reconciliation.",
)
