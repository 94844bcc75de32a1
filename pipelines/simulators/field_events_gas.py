"""Disturbances of the gas side: compressor stations, plants, and the two outlets of each plant.

Same rules as field_events; losses in raw gas at compressor stations and in sales gas at plants.
"""

from __future__ import annotations

from dataclasses import replace

from pipelines.simulators.field_event import Event
from pipelines.simulators.field_events import Draft, aligned, entry_mode, events_rng, starts, trip_length


def plant_events(draft: Draft) -> None:
    """Shutdowns, trips and restrictions of every plant."""
    for plant in draft.reference.plants:
        _plant_events(draft, plant.facility_id, plant.outlets)


def machine_trips(draft: Draft) -> None:
    """Trips of every compressor station."""
    for machine in draft.reference.compressors:
        _machine_trips(draft, machine.facility_id, machine.ec_code, "trip_per_day", ("K301A", "K301B"))


def _gas_event(draft: Draft, facility_id: str, element: str, severity: float, **fields: object) -> None:
    flow = draft.undisturbed(element, "gas")
    assert flow is not None
    base = Event(
        facility_id=facility_id,
        object_code=draft.reference.ec_code(facility_id),
        object_type="FCTY",
        target=element.split(":", 1)[0],
        start=0.0,
        end=0.0,
        reason="",
        title="",
        event_type="CONSTRAINT",
        gas_element=element,
    )
    event = replace(base, **fields)  # type: ignore[arg-type]
    if event.entry == "none" or not draft.crowded(facility_id, event.start, event.end):
        draft.add(event, None, severity * flow)


def _machine_trips(draft: Draft, facility_id: str, ec_code: str, rate: str, machines: tuple[str, str]) -> None:
    rng = events_rng(draft, f"machine {facility_id}")
    for start in starts(rng, draft, draft.reference.field["rates"][rate]):
        machine, full = machines[int(rng.integers(2))], rng.random() < 0.4
        severity, end, entry = 1.0 if full else float(rng.uniform(0.3, 0.7)), start + trip_length(rng), entry_mode(rng)
        if draft.busy(facility_id, machine, start, end):
            continue
        _gas_event(
            draft,
            facility_id,
            f"node:{facility_id}",
            severity,
            object_code=ec_code,
            start=start,
            end=end,
            reason="PLT.COMP.TRIP",
            title=f"Compressor {machine} trip",
            equipment=machine,
            event_type="DOWN" if full else "CONSTRAINT",
            entry="none" if full else entry,
        )


def _plant_events(draft: Draft, facility_id: str, outlets: tuple[str, str]) -> None:
    """One planned shutdown of 10–14 days in 365, trips of processing trains, restrictions of either outlet."""
    rates, rng = draft.reference.field["rates"], events_rng(draft, f"plant {facility_id}")
    years = max(1, round(draft.calendar.closed / 365.0))
    span = float(draft.calendar.bounds[draft.calendar.closed]) / years
    for year in range(years):
        length = float(rng.integers(10, 15)) * 24.0
        start = aligned(year * span + float(rng.uniform(0.15, 0.75)) * max(0.0, span - length))
        end = aligned(min(start + length, draft.quiet_from))
        share = 1.0 if rng.random() < 0.5 else 0.7
        _gas_event(
            draft,
            facility_id,
            f"node:{facility_id}",
            share,
            start=start,
            end=end,
            reason="PLT.SHUTDOWN",
            title="Planned shutdown",
            event_type="DOWN" if share == 1.0 else "CONSTRAINT",
            entry="none" if share == 1.0 else "split",
        )
    for start in starts(rng, draft, rates["plant_trip_per_day"]):
        train, severity = ("T402A", "T402B")[int(rng.integers(2))], float(rng.uniform(0.45, 0.8))
        end, entry = start + trip_length(rng), entry_mode(rng)
        if not draft.busy(facility_id, train, start, end):
            _gas_event(
                draft,
                facility_id,
                f"node:{facility_id}",
                severity,
                start=start,
                end=end,
                reason="PLT.PROCESS",
                title=f"Processing train {train} trip",
                equipment=train,
                entry=entry,
            )
    causes = (("MKT.NOMINATION", "Customers nominate less"), ("EXP.GAS", "Export line restricted by the shipper"))
    for (reason, title), outlet in zip(causes, outlets, strict=True):
        for start in starts(rng, draft, rates["restriction_per_day"]):
            severity, days = float(rng.uniform(0.3, 0.6)), float(rng.integers(2, 10))
            _gas_event(
                draft,
                facility_id,
                f"edge:{outlet}",
                severity,
                start=start,
                end=aligned(start + days * 24.0),
                reason=reason,
                title=title,
                entry=entry_mode(rng),
            )
