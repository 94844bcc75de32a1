"""Out production: KPIs of every facility, hub, asset and the system on the four networks by production day."""

from collections.abc import Sequence
from datetime import date

from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.roll_up import daily_production
from pipelines.transforms.roll_up_capacity import parent_capacities

TABLE = "out__daily_production"


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew out__daily_production over the labels."""
    first, last = labels[0], labels[-1]
    site = ws.site
    capacities = ws.lake.read_snapshot("core__capacity")
    frame = daily_production(
        labels=labels,
        days=ws.calendar.frame(labels, site.facilities["facility_id"].unique().to_list()),
        facilities=site.facilities,
        facility_networks=site.facility_networks,
        production=ws.lake.read("core__daily_production", first, last),
        potential=ws.lake.read("core__daily_potential", first, last),
        targets=ws.lake.read_snapshot("core__target"),
        capacities=capacities,
        parent_capacities=parent_capacities(
            labels=labels,
            facilities=site.facilities,
            facility_networks=site.facility_networks,
            edges=site.edges,
            externals=site.externals,
            capacities=capacities,
        ),
    )
    return StageResult({TABLE: ws.write(TABLE, frame, labels)})


STAGE = Stage(
    name="out__production",
    run=build,
    tables=(TABLE,),
    upstream=("core__production", "core__register"),
    description="KPIs of every node on the four networks; parents sum the counting cut.",
)
