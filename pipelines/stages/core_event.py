"""Core events: deferment of Energy Components, and what wells, tanks and equipment show that nobody booked, by production day."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from pipelines.lake import empty
from pipelines.stages.quarantine import TABLE as QUARANTINE
from pipelines.stages.quarantine import replace_quarantine
from pipelines.stages.sample_days import together
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.events import Reference, daily_events
from pipelines.transforms.events_derived import Measured
from pipelines.transforms.events_derived_stops import equipment_stops, flow_tags, run_tags

TABLE, STOP = "core__daily_event", "core__daily_equipment_stop"
_RAW = "raw_energy_components__"
_DATASETS = ("deferment_event", "deferment_day")


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew equipment stops and events over the labels, and the quarantined rows of the deferment datasets.

    Reads the label before the first, from which stops and events go on under their own ids. Raises NetworkError.
    """
    first, last = labels[0], labels[-1]
    before, site = first - timedelta(days=1), ws.site
    stops = _stops(ws, labels)
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
        measured=Measured(
            terminals=ws.lake.read("core__daily_terminal", first, last),
            terminal_reference=site.terminals,
            stops=stops,
            tags=site.tags,
            potential=ws.lake.read("core__daily_potential", first, last),
            capacities=ws.lake.read_snapshot("core__capacity"),
            before=ws.lake.read(TABLE, before, before),
        ),
    )
    return StageResult(
        {
            TABLE: ws.write(TABLE, found.events, labels),
            STOP: ws.write(STOP, stops, labels),
            QUARANTINE: replace_quarantine(ws, labels, _DATASETS, [found.quarantine]),
        },
        {"rows quarantined": found.quarantine.height},
    )


def _stops(ws: Workspace, labels: Sequence[date]) -> pl.DataFrame:
    """core__daily_equipment_stop of the labels; days that were never read from PI have none."""
    site, table = ws.site, "raw_pi__recorded_value"
    running = run_tags(site.tags)
    found = [empty(STOP)]
    if running.is_empty():
        return found[0]
    # Of the flows only those of facilities that have equipment with a run status are wanted.
    flows = flow_tags(site.tags, site.facilities).join(running, on="facility_id", how="semi")
    ids = pl.concat([running["tag_id"].cast(pl.UInt32), flows["tag_id"]]).implode()
    yesterday = labels[0] - timedelta(days=1)
    before = ws.lake.read(STOP, yesterday, yesterday)
    readings = ws.lake.read("core__daily_reading", yesterday, labels[-1])
    read = [label for label in ws.lake.labels(table) if labels[0] <= label <= labels[-1]]
    for days in together(ws.lake, [table], read):
        samples = ws.lake.scan(table, days[0], days[-1]).filter(pl.col("tag_id").is_in(ids)).collect()
        stops = equipment_stops(samples, site.tags, site.facilities, ws.calendar, days, ws.units, before, readings)
        found.append(stops)
        before = stops.filter(pl.col("production_date") == days[-1])
    return pl.concat(found)


def _factors(ws: Workspace, dataset: str) -> Mapping[str, float]:
    return {
        column: ws.units.factor(unit, "liquid" if column.startswith("oil") else "gas")
        for column, unit in ws.mapped_units(dataset).items()
        if column.startswith(("oil_", "gas_"))
    }


STAGE = Stage(
    name="core__event",
    run=build,
    tables=(TABLE, STOP),
    upstream=(
        "raw_energy_components__daily",
        "raw_pi__recorded_value",
        "core__production",
        "core__register",
        "core__terminal",
    ),
    description="Events by production day and phase: target, loss, reason, confidence; stops of equipment in PI.",
)
