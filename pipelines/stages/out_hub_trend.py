"""Out hub trends: statistics of hubs over windows of 7, 30 and 90 labels that end with each production day."""

from collections.abc import Sequence
from datetime import date, timedelta

from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.hub_trend import CONTEXT_DAYS, hub_trends

TABLE = "out__hub_trend"


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew out__hub_trend over the labels, reading the window before them and no more."""
    production = ws.lake.read("out__daily_production", labels[0] - timedelta(days=CONTEXT_DAYS), labels[-1])
    return StageResult({TABLE: ws.write(TABLE, hub_trends(production, labels), labels)})


STAGE = Stage(
    name="out__hub_trend",
    run=build,
    tables=(TABLE,),
    upstream=("out__production",),
    description="Averages, slopes, days on target and efficiency of hubs over 7, 30 and 90 days.",
)
