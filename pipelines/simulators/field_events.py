"""The field's history of disturbances: trips, shut-ins, derates, shutdowns, outages, restrictions, drawn from the seed.

Belongs here: when something happens, to what, how badly. The last closed day's scripted events stand in `field.toml`.
Chances, durations and severities come from `[rates]` there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipelines.simulators.field_calendar import STEP_HOURS, Calendar, Floats
from pipelines.simulators.field_event import Event, booked
from pipelines.simulators.field_oil import Component, random
from pipelines.simulators.field_reference import Reference, Station

TRIPS = (
    ("PLT.COMP.TRIP", "K201A", "HP compressor A trip"),
    ("PLT.COMP.TRIP", "K201B", "HP compressor B trip"),
    ("PLT.SEP.TRIP", "V101", "Separator V101 high level trip"),
    ("PLT.POWER", "G901", "Generator trip"),
    ("PLT.PUMP", "P101", "Export pump P101 trip"),
)
WELL_CAUSES = (
    ("WEL.SHUTIN", "shut in: wellhead valve leak", "DOWN"),
    ("WEL.INTERVENTION", "shut in for intervention", "DOWN"),
    ("WEL.SAND", "choked back for sand", "CONSTRAINT"),
)
DERATES = (
    ("RES.WATER", "source", "", "Water breakthrough"),
    ("RES.PRESSURE", "source", "", "Reservoir pressure below plan"),
    ("PLT.COMP.DERATE", "node", "K201C", "Compressor C out for overhaul"),
    ("PLT.PUMP", "node", "P102", "Export pump P102 out of service"),
)
MOST_AT_ONCE = 8
LONGEST_TRIP_DAYS = 3


@dataclass
class Draft:
    """Everything an event generator needs, and the events drawn so far."""

    reference: Reference
    calendar: Calendar
    oil: dict[str, Component]
    gas: dict[str, Component]
    seed: int
    drawn: list[Event]
    quiet_from: float

    def undisturbed(self, element: str, phase: str) -> Floats | None:
        """Flow of an element before any event [day]; None where the phase has no such element."""
        for component in (self.oil if phase == "oil" else self.gas).values():
            if element in component.elements:
                row: Floats = component.undisturbed[component.elements[element]]
                return row
        return None

    def crowded(self, facility_id: str, start: float, end: float) -> bool:
        """Whether enough is going on around a facility: attribution stays exact where few events coincide."""
        around = self._around(facility_id)
        active = sum(e.facility_id in around and e.start < end and e.end > start for e in self.drawn)
        return active >= MOST_AT_ONCE

    def _around(self, facility_id: str) -> set[str]:
        for component in self.gas.values():
            members = {name.split(":", 1)[1] for name in component.elements}
            if facility_id in members:
                return members
        return {facility_id}

    def busy(self, facility_id: str, equipment: str, start: float, end: float) -> bool:
        """Whether that equipment already has an event in the time."""
        return any(
            e.facility_id == facility_id and e.equipment == equipment and e.start < end and e.end > start
            for e in self.drawn
        )

    def add(self, event: Event, oil: Floats | None, gas: Floats | None) -> Event | None:
        """Keep an event that lies before the scripted last day and fits; returns it as booked."""
        if event.start >= event.end or event.end > self.quiet_from or event.start < 0.0:
            return None
        kept = replace(booked(event, self.calendar, oil, gas), key=len(self.drawn) + 1)
        self.drawn.append(kept)
        return kept


def oil_events(draft: Draft) -> None:
    """Draw the events of terminals' lines and of flowstations, longest first."""
    for terminal in draft.reference.terminals:
        _trunk_outages(draft, terminal.facility_id)
    for station in draft.reference.stations:
        _derates(draft, station)
        _trips(draft, station)
        _well_events(draft, station)


def events_rng(draft: Draft, name: str) -> np.random.Generator:
    """The numbers of one kind of event at one place."""
    return random(draft.seed, f"events {name}")


def aligned(hours: float) -> float:
    """The nearest ten minutes: what happens, happens on the grid of the samples."""
    return round(hours / STEP_HOURS) * STEP_HOURS


def starts(rng: np.random.Generator, draft: Draft, per_day: float) -> Iterator[float]:
    """Hours at which something begins, with a chance a day."""
    days = draft.calendar.closed
    for day in np.flatnonzero(rng.random(days) < per_day):
        yield aligned(float(draft.calendar.bounds[day]) + float(rng.uniform(0.0, 23.0)))


def entry_mode(rng: np.random.Generator) -> str:
    """How a loss is entered: rate, volume of the event, or daily split."""
    return str(rng.choice(["rate", "volume", "split"], p=[0.35, 0.35, 0.30]))


def _effects(
    draft: Draft, station: Station, target: str, severity: float, extra_flare: float
) -> tuple[Floats, Floats | None]:
    oil = draft.undisturbed(f"{target}:{station.facility_id}", "oil")
    gas = draft.undisturbed(f"{target}:{station.facility_id}", "gas")
    assert oil is not None
    lost = severity * oil
    if gas is None:
        return lost, None
    return lost, np.minimum(gas, lost * station.gas_per_oil + extra_flare * gas)


def _station_event(station: Station, target: str, **fields: object) -> Event:
    element = f"{target}:{station.facility_id}"
    base = Event(
        facility_id=station.facility_id,
        object_code=station.ec_code,
        object_type="FCTY",
        target=target,
        start=0.0,
        end=0.0,
        reason="",
        title="",
        event_type="DOWN",
        oil_element=element,
        gas_element=element,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def _trunk_outages(draft: Draft, terminal_id: str) -> None:
    """Once in 365 days: 3–20 days, 45–100 % of every line to the terminal, booked as a group with its children."""
    rng = events_rng(draft, f"trunk {terminal_id}")
    years = max(1, round(draft.calendar.closed / 365.0))
    for year in range(years):
        length = float(rng.uniform(3.0, 20.0)) * 24.0
        share = 1.0 if rng.random() < 0.25 else float(rng.uniform(0.45, 0.95))
        span = draft.calendar.bounds[draft.calendar.closed] / years
        start = aligned(year * span + float(rng.uniform(0.1, 0.8)) * max(0.0, span - length))
        end = aligned(min(start + length, draft.quiet_from))
        sides = [draft.reference.stations[i] for i in draft.reference.stations_of(terminal_id)]
        title = f"Trunk line to {terminal_id.removeprefix('tm-').title()} leaking: {share:.0%} of it out"
        parent = draft.add(
            Event(
                facility_id=terminal_id,
                object_code=draft.reference.ec_code(terminal_id),
                object_type="FCTY",
                target="group",
                start=start,
                end=end,
                reason="EXP.TRUNK.LEAK",
                title=title,
                event_type="DOWN" if share == 1.0 else "CONSTRAINT",
                deferment_type="GROUP",
            ),
            None,
            None,
        )
        for station in sides if parent else []:
            event = _station_event(
                station,
                "edge",
                start=start,
                end=end,
                reason="EXP.TRUNK.LEAK",
                title=title,
                event_type="DOWN" if share == 1.0 else "CONSTRAINT",
                deferment_type="GROUP_CHILD",
                parent=parent.key if parent else None,
                entry="none" if share == 1.0 else entry_mode(rng),
            )
            draft.add(event, *_effects(draft, station, "edge", share, 0.0))


def _derates(draft: Draft, station: Station) -> None:
    """Standing constraints of weeks to months, one at a time at a station."""
    rng = events_rng(draft, f"derate {station.facility_id}")
    at = float(rng.exponential(draft.reference.field["rates"]["derate_gap_days"])) * 24.0
    while at < draft.quiet_from:
        length = float(rng.uniform(25.0, 70.0)) * 24.0
        reason, target, equipment, title = DERATES[int(rng.integers(len(DERATES)))]
        severity, start, end = (
            float(rng.uniform(0.25, 0.5)),
            aligned(at),
            aligned(min(at + length, draft.quiet_from)),
        )
        entry = "rate" if rng.random() < 0.6 else "split"
        if not draft.crowded(station.facility_id, start, end):
            event = _station_event(
                station,
                target,
                start=start,
                end=end,
                reason=reason,
                title=title,
                event_type="CONSTRAINT",
                equipment=equipment,
                entry=entry,
            )
            draft.add(event, *_effects(draft, station, target, severity, 0.0))
        at += length + float(rng.exponential(draft.reference.field["rates"]["derate_gap_days"])) * 24.0


def trip_length(rng: np.random.Generator) -> float:
    """Hours of a trip: geometric, at most three days."""
    days = min(LONGEST_TRIP_DAYS, int(rng.geometric(0.6)))
    return aligned(days * 24.0 - float(rng.uniform(0.0, 10.0)))


def _trips(draft: Draft, station: Station) -> None:
    rates, rng = draft.reference.field["rates"], events_rng(draft, f"trip {station.facility_id}")
    for start in starts(rng, draft, rates["trip_per_day"]):
        reason, equipment, title = TRIPS[int(rng.integers(len(TRIPS)))]
        full = rng.random() < rates["trip_full_share"]
        severity = 1.0 if full else float(rng.uniform(0.3, 0.8))
        extra = float(rng.uniform(0.05, 0.15)) if reason == "PLT.COMP.TRIP" and not full else 0.0
        end, entry = start + trip_length(rng), entry_mode(rng)
        if draft.busy(station.facility_id, equipment, start, end):
            continue
        event = _station_event(
            station,
            "node",
            start=start,
            end=end,
            reason=reason,
            title=title,
            event_type="DOWN" if full else "CONSTRAINT",
            equipment=equipment,
            entry="none" if full else entry,
        )
        draft.add(event, *_effects(draft, station, "node", severity, extra))


def _well_events(draft: Draft, station: Station) -> None:
    rates, rng = draft.reference.field["rates"], events_rng(draft, f"well {station.facility_id}")
    for start in starts(rng, draft, rates["well_shut_in_per_day"] * len(station.wells) / 8.0):
        well = int(rng.integers(len(station.wells)))
        reason, what, event_type = WELL_CAUSES[int(rng.integers(len(WELL_CAUSES)))]
        share = (1.0 if event_type == "DOWN" else 0.5) / len(station.wells)
        end, entry = (
            start + aligned(24.0 * min(20, int(rng.geometric(0.2))) - float(rng.uniform(0.0, 10.0))),
            entry_mode(rng),
        )
        code = station.wells[well]
        if draft.busy(station.facility_id, code, start, end) or draft.crowded(station.facility_id, start, end):
            continue
        event = _station_event(
            station,
            "source",
            start=start,
            end=end,
            reason=reason,
            title=f"Well {well + 1} {what}",
            event_type=event_type,
            object_code=code,
            object_type="WELL",
            equipment=code,
            well=code,
            entry=entry,
        )
        draft.add(event, *_effects(draft, station, "source", share, 0.0))


def double_bookings(draft: Draft) -> None:
    """A share of partial events stands twice for a time: the second, smaller entry names the same equipment."""
    rng = events_rng(draft, "double")
    share = draft.reference.field["rates"]["double_booked_share"]
    singles = [e for e in draft.drawn if e.deferment_type == "SINGLE"]
    partial = [e for e in singles if e.entry != "none" and e.equipment and e.target == "node" and e.end - e.start > 8.0]
    wanted = round(share * len(singles))
    if not partial or not wanted:
        return
    for index in sorted(rng.choice(len(partial), size=min(wanted, len(partial)), replace=False)):
        event = partial[index]
        lag = aligned(float(rng.uniform(1.0, 3.0)))
        again = replace(
            event,
            start=event.start + lag,
            end=event.end - aligned(float(rng.uniform(0.5, 2.0))),
            title=f"{event.title}: entered by the next shift",
            entry="rate",
        )
        days = draft.calendar.closed + 1
        oil = np.full(days, 0.6 * float(event.oil[0])) if event.oil.size else None
        gas = np.full(days, 0.6 * float(event.gas[0])) if event.gas.size else None
        draft.add(again, oil, gas)
