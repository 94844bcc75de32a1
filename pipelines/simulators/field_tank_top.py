"""A day on which a terminal's tanks are full: receipts stop at what still fits, and the stations behind it hold back.

Nobody books it in Energy Components; it shows in tanks and receipts alone. `[terminals.<id>.tank_top]` of `field.toml`
says how long before the end of history, and which part of the arrivals still fits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.simulators.field_event import Event, booked
from pipelines.simulators.field_events import Draft
from pipelines.simulators.field_reference import Terminal

TANK_TOP = "TANKTOP"
SEARCHED_DAYS = 20
# History on both sides of the day, so that stocks can rise to it and fall from it.
MARGIN_DAYS = 45
# The day is chosen where booked events leave most of the flow: otherwise the tanks would not be what limits it.
QUIET_LOSS = 0.2


def tank_tops(draft: Draft) -> None:
    """Add the tank-top day of every terminal that has one and a history long enough for it."""
    for terminal in draft.reference.terminals:
        plan = draft.reference.field["terminals"][terminal.facility_id].get("tank_top")
        if plan is None:
            continue
        wanted = draft.calendar.closed - int(plan["days_before"])
        days = [d for d in range(wanted - SEARCHED_DAYS, wanted + SEARCHED_DAYS) if d >= MARGIN_DAYS]
        quiet = [
            d for d in sorted(days, key=lambda d: abs(d - wanted)) if _booked_share(draft, terminal, d) < QUIET_LOSS
        ]
        if quiet:
            draft.drawn.append(_event(draft, terminal, quiet[0], float(plan["fits"])))


def full_day(events: list[Event], terminal_id: str) -> int | None:
    """Index of the day on which a terminal's tanks are full."""
    return next((e.first_day for e in events if e.deferment_type == TANK_TOP and e.facility_id == terminal_id), None)


def _booked_share(draft: Draft, terminal: Terminal, day: int) -> float:
    stations = {draft.reference.stations[i].facility_id for i in draft.reference.stations_of(terminal.facility_id)}
    component = draft.oil[terminal.facility_id]
    lost = sum(
        float(e.oil[day - e.first_day])
        for e in draft.drawn
        if e.facility_id in stations and e.oil.size and e.hours_in(draft.calendar, day) > 0.0
    )
    return lost / float(component.flows[:, day].sum())


def _event(draft: Draft, terminal: Terminal, day: int, fits: float) -> Event:
    calendar, element = draft.calendar, f"node:{terminal.facility_id}"
    arrivals = draft.undisturbed(element, "oil")
    assert arrivals is not None
    event = Event(
        facility_id=terminal.facility_id,
        object_code=terminal.ec_code,
        object_type="FCTY",
        target="node",
        start=float(calendar.bounds[day]),
        end=float(calendar.bounds[day + 1]),
        reason="EXP.TANKTOP",
        title="Tanks full",
        event_type="CONSTRAINT",
        oil_element=element,
        entry="split",
        deferment_type=TANK_TOP,
        key=len(draft.drawn) + 1,
    )
    return replace(booked(event, calendar, np.asarray((1.0 - fits) * arrivals), None))
