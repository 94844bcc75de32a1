"""Core production: wells, production, every version of an actual, potential, and the state that the next day needs of it."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal, cast

import polars as pl

from pipelines.lake import empty
from pipelines.stages.quarantine import TABLE as QUARANTINE
from pipelines.stages.quarantine import rejected_by_source, replace_quarantine
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms import readings_frozen
from pipelines.transforms.events_objects import disturbed_days, object_table
from pipelines.transforms.meter_sigmas import meter_sigmas
from pipelines.transforms.potential import daily_potentials, stated_potentials
from pipelines.transforms.production import daily_production
from pipelines.transforms.revisions import actual_versions, stream_revisions
from pipelines.transforms.terminals_rejected import rejected_tank_days
from pipelines.transforms.wells import daily_wells

WELL, PRODUCTION, ACTUAL, POTENTIAL, STATE = (
    "core__daily_well",
    "core__daily_production",
    "core__actual",
    "core__daily_potential",
    "core__carry_state",
)
_RAW = "raw_energy_components__"
# Datasets whose rejected rows this stage reports; readings, events and registers report their own.
_DATASETS = ("stream_day", "well_day", "potential_day", "tank_day")


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Renew wells, production, potential, carried state and quarantine over the labels, in order; add versions of actuals."""
    first, last = labels[0], labels[-1]
    before = first - timedelta(days=1)
    state = ws.lake.read(STATE, before, before)
    site, now = ws.site, ws.now()
    stated = stated_potentials(
        ws.lake.read(f"{_RAW}potential_day", first, last) if "potential_day" in ws.datasets else None,
        site.facilities,
        site.wells,
        labels,
        mapped_units=ws.mapped_units("potential_day"),
        units=ws.units,
        now=now,
    )
    wells = None
    if "well_day" in ws.datasets:
        wells = daily_wells(
            # Later rows only tell that a well comes back, which makes the days between absent ones.
            ws.lake.read(f"{_RAW}well_day", first, ws.latest_label),
            site.wells,
            ws.calendar,
            labels,
            mapped_units=ws.mapped_units("well_day"),
            units=ws.units,
            absent_days=cast("Literal['unknown', 'down']", site.absent_days),
            methods=site.potential_methods,
            state=state,
            now=now,
            tests=stated.wells,
        )
    stream_days = ws.lake.read(f"{_RAW}stream_day", first, last)
    production = daily_production(
        stream_days if "stream_day" in ws.datasets else None,
        site.streams,
        wells.wells if wells else None,
        ws.lake.read("core__daily_reading", first, last),
        site.facilities,
        site.facility_networks,
        ws.calendar,
        labels,
        mapped_units=ws.mapped_units("stream_day"),
        units=ws.units,
        state=state,
        now=now,
        wells_observed=wells.observed if wells else None,
    )
    potential = daily_potentials(
        stated,
        wells.wells if wells else None,
        production.production,
        ws.lake.read_snapshot("core__target"),
        ws.lake.read_snapshot("core__capacity"),
        site.facilities,
        site.facility_networks,
        labels,
        methods=site.potential_methods,
        state=state,
        disturbed=_disturbed(ws, first, last),
        sigmas=meter_sigmas(site.streams),
    )
    versions = actual_versions(
        ws.lake.read(ACTUAL, first, last),
        production.production,
        stream_revisions(stream_days, site.streams),
        now=now,
    )
    states = [production.state, potential.state] + ([wells.state] if wells else [])
    # The norms of PI tags are carried in the same table by core__reading, which runs before.
    states.append(ws.lake.read(STATE, first, last).filter(pl.col("kind") == readings_frozen.STATE))
    quarantined = [production.quarantined, stated.quarantined, potential.quarantined]
    quarantined += [wells.quarantined] if wells else []
    if "tank_day" in ws.datasets:
        tank_days = ws.lake.read(f"{_RAW}tank_day", first, last)
        quarantined.append(rejected_tank_days(tank_days, site.tags, site.terminals, labels, now))
    quarantined.append(rejected_by_source(ws, "energy_components", labels))
    return StageResult(
        {
            WELL: ws.write(WELL, wells.wells if wells else empty(WELL), labels),
            PRODUCTION: ws.write(PRODUCTION, production.production, labels),
            ACTUAL: ws.write(ACTUAL, versions, labels),
            POTENTIAL: ws.write(POTENTIAL, potential.potential, labels),
            STATE: ws.write(STATE, pl.concat([empty(STATE), *states]), labels),
            QUARANTINE: replace_quarantine(ws, labels, _DATASETS, quarantined),
        },
        {"rows quarantined": sum(q.height for q in quarantined)},
    )


def _disturbed(ws: Workspace, first: date, last: date) -> pl.DataFrame:
    """Facility-days that an event touches. Events of Energy Components alone: those that follow from production come later."""
    site = ws.site
    objects = object_table(
        facilities=site.facilities,
        wells=site.wells,
        streams=site.streams,
        edges=site.edges,
        externals=site.externals,
    )
    return disturbed_days(ws.lake.read(f"{_RAW}deferment_event", first, last), objects)


STAGE = Stage(
    name="core__production",
    run=build,
    tables=(PRODUCTION, ACTUAL, WELL, POTENTIAL, STATE, QUARANTINE),
    upstream=("raw_energy_components__daily", "core__reading", "core__register"),
    description="Production, potential and wells by day: Energy Components first, PI where it has no row yet.",
)
