"""Core events: deferment of Energy Components and downtime without an event, clipped to the production day."""

from collections.abc import Mapping, Sequence
from datetime import date

from pipelines.stages.quarantine import TABLE as QUARANTINE
from pipelines.stages.quarantine import replace_quarantine
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.events import Reference, daily_events

TABLE = "core__daily_event"
_RAW = "raw_energy_components__"
_DATASETS = ("deferment_event", "deferment_day")


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew core__daily_event over the labels, and the quarantined rows of the deferment datasets."""
    first, last = labels[0], labels[-1]
    site = ws.site
    found = daily_events(
        labels=labels,
        last_closed=ws.latest_label,
        now=ws.now(),
        events=ws.lake.read(f"{_RAW}deferment_event", first, last),
        event_days=ws.lake.read(f"{_RAW}deferment_day", first, last),
        event_factors=_factors(ws, "deferment_event"),
        event_day_factors=_factors(ws, "deferment_day"),
        reference=Reference(
            facilities=site.facilities,
            facility_networks=site.facility_networks,
            wells=site.wells,
            streams=site.streams,
            edges=site.edges,
            externals=site.externals,
            reason_codes=site.reason_codes,
        ),
        calendar=ws.calendar,
        wells=ws.lake.read("core__daily_well", first, last),
        production=ws.lake.read("core__daily_production", first, last),
        absent_days=site.absent_days,
    )
    return StageResult(
        {
            TABLE: ws.write(TABLE, found.events, labels),
            QUARANTINE: replace_quarantine(ws, labels, _DATASETS, [found.quarantine]),
        },
        {"rows quarantined": found.quarantine.height},
    )


def _factors(ws: Workspace, dataset: str) -> Mapping[str, float]:
    return {
        column: ws.units.factor(unit, "liquid" if column.startswith("oil") else "gas")
        for column, unit in ws.mapped_units(dataset).items()
        if column.startswith(("oil_", "gas_"))
    }


STAGE = Stage(
    name="core__event",
    run=build,
    tables=(TABLE,),
    upstream=("raw_energy_components__daily", "core__production"),
    description="Events by production day and phase: target, loss, reason, confidence.",
)
