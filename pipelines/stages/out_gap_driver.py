"""Out gap drivers: every event's share of deferment, and the residual, by facility, network and production day."""

from collections.abc import Sequence
from datetime import date

from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.drivers import daily_drivers

DRIVER, EVENT = "out__daily_gap_driver", "out__daily_event"


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew drivers and events over the labels. Raises NetworkError for a topology without a valid counting cut."""
    first, last = labels[0], labels[-1]
    site = ws.site
    found = daily_drivers(
        labels=labels,
        days=ws.calendar.frame(labels, site.facilities["facility_id"].unique().to_list()),
        events=ws.lake.read("core__daily_event", first, last),
        production=ws.lake.read("out__daily_production", first, last),
        capacities=ws.lake.read_snapshot("core__capacity"),
        facilities=site.facilities,
        facility_networks=site.facility_networks,
        edges=site.edges,
        externals=site.externals,
    )
    for label, event_id in found.unplaced.iter_rows():
        ws.report(f"{label}: event {event_id} acts on nothing in the network of that day")
    return StageResult(
        {DRIVER: ws.write(DRIVER, found.drivers, labels), EVENT: ws.write(EVENT, found.events, labels)},
        {"events that act on nothing": found.unplaced.height},
    )


STAGE = Stage(
    name="out__gap_driver",
    run=build,
    tables=(DRIVER, EVENT),
    upstream=("core__event", "out__production"),
    description="Ranked contributors to deferment: counted where it is lost, caused where it began; the rest unattributed.",
)
