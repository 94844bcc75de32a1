"""Deliverability of the flowstations, and the oil network behind one terminal.

An oil component is the stations whose lines end at one terminal: source, node and line of each in series, then the
terminal's receipt capacity, shared max-min fairly in flow ÷ potential. Rates in bbl/d.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.simulators.field_calendar import Calendar, Floats, Integers
from pipelines.simulators.field_flows import Evaluate, available, fair
from pipelines.simulators.field_reference import Reference

DAYS_PER_YEAR = 365.25
AUTOREGRESSION = 0.7


def random(seed: int, name: str) -> np.random.Generator:
    """The generator of one subject: subjects do not disturb each other's numbers."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def backward_noise(rng: np.random.Generator, calendar: Calendar, sigma: float) -> Floats:
    """AR(1) noise of stationary deviation `sigma` per day, exactly 0 on the last closed day."""
    steps = rng.normal(0.0, sigma * np.sqrt(1.0 - AUTOREGRESSION**2), calendar.closed + 1)
    noise = np.zeros(calendar.closed + 1)
    for back in range(calendar.closed - 2, -1, -1):
        noise[back] = AUTOREGRESSION * noise[back + 1] + steps[back]
    noise[calendar.closed] = steps[calendar.closed]
    return noise


def station_potentials(reference: Reference, calendar: Calendar, seed: int) -> Floats:
    """Oil potential [station, day]: decline and deliverability noise, the reference's value on the last closed day."""
    age = (calendar.closed - 1 - np.arange(calendar.closed + 1)) / DAYS_PER_YEAR
    rows = []
    for station in reference.stations:
        noise = backward_noise(random(seed, f"potential {station.facility_id}"), calendar, station.noise_sigma)
        decline = np.log1p(-station.decline_per_year)
        row = np.round(station.last_potential * np.exp(-decline * age + noise), 1)
        row[calendar.closed - 1] = station.last_potential
        rows.append(row)
    return np.array(rows)


@dataclass(frozen=True)
class Component:
    """One connected network. `undisturbed` [element, day] and `flows` [member, day] are those before any event."""

    name: str
    members: tuple[str, ...]
    networks: tuple[str, ...]
    elements: dict[str, int]
    potentials: Floats
    undisturbed: Floats
    flows: Floats
    evaluate_on: Callable[[Integers], Evaluate]
    detail_names: tuple[str, ...] = ()


def oil_component(reference: Reference, terminal: int, potentials: Floats) -> Component:
    """The component of a terminal, by index; `potentials` [station, day] of all stations."""
    sink = reference.terminals[terminal]
    stations = [reference.stations[i] for i in reference.stations_of(sink.facility_id)]
    own = potentials[reference.stations_of(sink.facility_id)]
    count = len(stations)
    names = [f"{kind}:{s.facility_id}" for kind in ("source", "node", "edge") for s in stations]
    elements = {name: i for i, name in enumerate([*names, f"node:{sink.facility_id}"])}
    nodes = np.array([s.capacity for s in stations])
    lines = np.array([s.line_capacity for s in stations])

    def evaluate_on(days: Integers, undisturbed: Floats | None = None) -> Evaluate:
        potential = own[:, days].T[:, None, :]
        before = (
            np.full((len(days), 1, 3 * count + 1), np.inf)
            if undisturbed is None
            else undisturbed[:, days].T[:, None, :]
        )

        def evaluate(losses: Floats) -> tuple[Floats, Floats]:
            source = available(losses[..., :count], before[..., :count], potential)
            node = available(losses[..., count : 2 * count], before[..., count : 2 * count], nodes)
            line = available(losses[..., 2 * count : 3 * count], before[..., 2 * count : 3 * count], lines)
            pool = available(losses[..., -1], before[..., -1], np.array(sink.receipt_capacity))
            flows = fair(np.minimum(np.minimum(source, node), line), potential, pool)
            return flows, np.zeros((*flows.shape[:2], 0))

        return evaluate

    days = np.arange(potentials.shape[1])
    flows = evaluate_on(days)(np.zeros((len(days), 1, 3 * count + 1)))[0][:, 0, :].T
    undisturbed = np.concatenate([flows, flows, flows, flows.sum(axis=0)[None, :]])
    return Component(
        name=sink.facility_id,
        members=tuple(s.facility_id for s in stations),
        networks=("oil",) * count,
        elements=elements,
        potentials=own,
        undisturbed=undisturbed,
        flows=flows,
        evaluate_on=lambda some_days: evaluate_on(some_days, undisturbed),
    )
