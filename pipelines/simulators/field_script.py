"""The last closed day as `field.toml` writes it: its events, numbered after all the events of history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.simulators.field_calendar import Calendar, Floats
from pipelines.simulators.field_event import OPEN, Event, booked
from pipelines.simulators.field_events import Draft
from pipelines.simulators.field_reference import FieldError

FIRST_NUMBER_BEFORE = 1


def scripted(draft: Draft) -> list[Event]:
    """The scripted events, booked. Raises FieldError for one that names what the field does not have."""
    return [_scripted(draft, row) for row in draft.reference.field["last_day"]["events"]]


def numbered(events: list[Event], script: list[Event]) -> list[Event]:
    """All events in order of start, the drawn ones with numbers that end before the first scripted one."""
    ordered = sorted(events, key=lambda e: (e.start, e.key))
    first = min((e.number for e in script), default=len(ordered) + 1) - len(ordered) - FIRST_NUMBER_BEFORE
    numbers = {event.key: first + place for place, event in enumerate(ordered)}
    drawn = [
        replace(
            e, number=numbers[e.key], parent=None if e.parent is None else numbers[e.parent], revision=1 + e.key % 3
        )
        for e in ordered
    ]
    return drawn + sorted(script, key=lambda e: e.number)


def _start(calendar: Calendar, days_before: float) -> float:
    whole = int(np.ceil(days_before))
    return float(calendar.bounds[calendar.closed - whole]) + (whole - days_before) * 24.0


def _scripted(draft: Draft, row: Mapping[str, Any]) -> Event:
    calendar, reference = draft.calendar, draft.reference
    days = calendar.closed + 1
    facility_id, target = str(row["facility"]), str(row["target"])
    station = next((s for s in reference.stations if s.facility_id == facility_id), None)
    plant = next((p for p in reference.plants if p.facility_id == facility_id), None)
    oil: Floats | None = None
    gas: Floats | None = None
    well = ""
    if station is not None:
        element = f"{target}:{facility_id}"
        oil = np.full(days, float(row["oil"]))
        gas = np.full(days, float(row["oil"]) * station.gas_per_oil + float(row.get("extra_flare", 0.0)))
        well = station.wells[row["well"] - 1] if "well" in row else ""
    elif plant is not None:
        outlets = dict(zip(("domesticGas", "exportGas"), plant.outlets, strict=True))
        element = f"edge:{outlets[row['network']]}" if target == "edge" else f"{target}:{facility_id}"
        gas = np.full(days, float(row["gas"]))
    else:
        raise FieldError(f"field.toml: event {row['number']} names {facility_id}, no flowstation and no gas plant")
    event = Event(
        number=int(row["number"]),
        facility_id=facility_id,
        object_code=well or reference.ec_code(facility_id),
        object_type="WELL" if well else "FCTY",
        target=target,
        start=_start(calendar, float(row["days_before"])),
        end=OPEN if row["open"] else float(calendar.bounds[calendar.closed]),
        reason=str(row["reason"]),
        title=str(row["title"]),
        event_type=str(row["type"]),
        oil_element=element if oil is not None else None,
        gas_element=element,
        equipment=well or str(row.get("equipment", "")),
        well=well,
        entry=str(row["entry"]),
        revision=int(row["revision"]),
    )
    return booked(event, calendar, oil, gas)
