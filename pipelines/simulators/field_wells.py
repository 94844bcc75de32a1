"""Wells: hours on stream that agree with the booked events, and the station's volumes shared out over them.

A well is down while a DOWN event stands on it, or while an event stops its whole station. Every such hour has an event:
no well is down without one, so none of the derived `ech` events is true here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.simulators.field_balance import Balance
from pipelines.simulators.field_calendar import Calendar, Floats
from pipelines.simulators.field_event import Event
from pipelines.simulators.field_oil import random
from pipelines.simulators.field_reference import Reference

WATER_CUT = 0.45


@dataclass(frozen=True)
class StationWells:
    """A station's wells, each [well, day]: hours on stream, oil (bbl), gas (scf), water (bbl)."""

    codes: tuple[str, ...]
    hours: Floats
    oil: Floats
    gas: Floats
    water: Floats


def station_wells(
    reference: Reference, calendar: Calendar, seed: int, events: list[Event], balance: Balance
) -> list[StationWells]:
    """Wells of every station, in the reference's order. Their oil sums to the station's."""
    found = []
    days = calendar.closed + 1
    for index, station in enumerate(reference.stations):
        rng = random(seed, f"wells {station.facility_id}")
        count = len(station.wells)
        share = rng.dirichlet(np.full(count, 12.0))
        own = [e for e in events if e.facility_id == station.facility_id and e.event_type == "DOWN" and e.oil.size]
        hours = np.tile(calendar.hours, (count, 1))
        for row, code in enumerate(station.wells):
            for day, down in _down(calendar, [e for e in own if e.well in ("", code)], days):
                hours[row, day] = max(0.0, hours[row, day] - down)
        weight = share[:, None] * hours
        total = weight.sum(axis=0)
        part = np.divide(weight, total, out=np.tile(share[:, None], (1, days)), where=total > 0.0)
        oil = part * balance.oil[index]
        cut = np.clip(WATER_CUT + rng.normal(0.0, 0.08, count), 0.1, 0.9)[:, None]
        found.append(
            StationWells(station.wells, hours, oil, part * balance.gas_produced[index], oil * cut / (1.0 - cut))
        )
    return found


def _down(calendar: Calendar, events: list[Event], days: int) -> list[tuple[int, float]]:
    """Hours of each day covered by any of the events, counted once."""
    spans = sorted((e.start, min(e.end, float(calendar.bounds[days]))) for e in events)
    merged: list[list[float]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    found = []
    for start, end in merged:
        for day in range(calendar.day_of(start), calendar.day_of(end - 1e-6) + 1):
            low, high = float(calendar.bounds[day]), float(calendar.bounds[day + 1])
            overlap = min(end, high) - max(start, low)
            if overlap > 0.0:
                found.append((day, overlap))
    return found
