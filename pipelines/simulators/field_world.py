"""The whole field of one run: what could flow, what happened, what flowed. Everything that is written derives from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.simulators.field_balance import Balance, settle
from pipelines.simulators.field_calendar import Calendar, Floats
from pipelines.simulators.field_event import Event
from pipelines.simulators.field_events import Draft, double_bookings, oil_events
from pipelines.simulators.field_events_gas import machine_trips, plant_events
from pipelines.simulators.field_gas import associated_gas, gas_component, plant_potentials
from pipelines.simulators.field_meters import MeterBias, StreamDay, meter_biases, stream_days
from pipelines.simulators.field_oil import oil_component, station_potentials
from pipelines.simulators.field_reference import Reference
from pipelines.simulators.field_script import numbered, scripted
from pipelines.simulators.field_solution import Solution, solve_component
from pipelines.simulators.field_tank_top import full_day, tank_tops
from pipelines.simulators.field_terminals import TerminalHistory, terminal_history
from pipelines.simulators.field_wells import StationWells, station_wells

Progress = Callable[[str], None]


@dataclass(frozen=True)
class World:
    """The truth of a run. Potentials are rates [row, day]; everything else is volumes of the day."""

    reference: Reference
    calendar: Calendar
    seed: int
    potentials: Floats
    plant_potentials: tuple[Floats, ...]
    events: list[Event]
    oil: list[Solution]
    gas: list[Solution]
    balance: Balance
    terminals: list[TerminalHistory]
    wells: list[StationWells]
    biases: list[MeterBias]
    streams: list[StreamDay]


def simulate(reference: Reference, calendar: Calendar, seed: int, progress: Progress) -> World:
    """The field from its seed; the same reference, days and seed give the same field."""
    potentials = station_potentials(reference, calendar, seed)
    gas = associated_gas(reference, potentials)
    sales = tuple(plant_potentials(reference, plant, gas, calendar, seed) for plant in reference.plants)
    oil_networks = {t.facility_id: oil_component(reference, i, potentials) for i, t in enumerate(reference.terminals)}
    gas_networks = {p.facility_id: gas_component(reference, i, gas, sales[i]) for i, p in enumerate(reference.plants)}
    quiet_from = float(calendar.bounds[calendar.closed - 1])
    draft = Draft(reference, calendar, oil_networks, gas_networks, seed, [], quiet_from)
    script = scripted(draft)
    for draw in (plant_events, oil_events, machine_trips, double_bookings, tank_tops):
        draw(draft)
    events = numbered(draft.drawn, script)
    progress(f"{len(events)} events drawn over {calendar.closed} days")
    oil_solved = [solve_component(c, "oil", events, calendar) for c in oil_networks.values()]
    gas_solved = [solve_component(c, "gas", events, calendar) for c in gas_networks.values()]
    progress("oil and gas networks solved")
    full = {t.facility_id: full_day(events, t.facility_id) for t in reference.terminals}
    balance = settle(reference, calendar, seed, potentials, oil_solved, gas_solved, full)
    terminals = [
        terminal_history(reference, calendar, seed, t, balance.oil, full[t.facility_id]) for t in reference.terminals
    ]
    wells = station_wells(reference, calendar, seed, events, balance)
    biases = meter_biases(reference, calendar, seed)
    streams = stream_days(reference, calendar, seed, balance, terminals, biases)
    return World(
        reference,
        calendar,
        seed,
        potentials,
        sales,
        events,
        oil_solved,
        gas_solved,
        balance,
        terminals,
        wells,
        biases,
        streams,
    )
