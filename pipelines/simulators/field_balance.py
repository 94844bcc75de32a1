"""What really flowed each day: the solved network less the losses that nobody booked, with every gas volume placed.

Oil: produced = with booked events − uncoded. Gas: produced = fuel + flare + sent; feed = sales + shrinkage + fuel +
flare at the plant. External gas is turned down before associated gas is flared. Volumes of the day, bbl and scf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.simulators.field_calendar import Calendar, Floats
from pipelines.simulators.field_oil import random
from pipelines.simulators.field_reference import Reference
from pipelines.simulators.field_solution import Solution

# Of the gas that a compressor station cannot take, its own flare burns this part and the flowstations' the rest.
FLARED_AT_COMPRESSOR = 0.4
# Of the associated gas that a plant cannot take, the flowstations burn this part and the plant's flare the rest.
FLARED_UPSTREAM = 0.8
BIG_UNCODED_PER_DAY = 0.04
SMALLEST_FLOW = 1e-9


@dataclass(frozen=True)
class Balance:
    """Physical truth, day by day (last axis: days; the open day included, as if it were over)."""

    hours: Floats
    oil_coded: Floats
    oil: Floats
    gas_produced: Floats
    station_fuel: Floats
    station_flare: Floats
    station_sent: Floats
    compressor_out: Floats
    compressor_flare: Floats
    external: Floats
    sales_coded: tuple[Floats, ...]
    sales: tuple[Floats, ...]
    plant_flare: Floats


def uncoded_losses(reference: Reference, calendar: Calendar, seed: int, name: str, potential: Floats) -> Floats:
    """Rate that is lost without a booking [day]: most days a little, now and then a lot."""
    fraction = float(reference.field["rates"]["uncoded_fraction"])
    rng = random(seed, f"uncoded {name}")
    days = calendar.closed + 1
    small = rng.exponential(fraction, days) * (rng.random(days) < 0.8)
    big = rng.uniform(0.05, 0.12, days) * (rng.random(days) < BIG_UNCODED_PER_DAY)
    return np.minimum(small + big, 0.2) * potential


def settle(
    reference: Reference,
    calendar: Calendar,
    seed: int,
    potentials: Floats,
    oil: list[Solution],
    gas: list[Solution],
    full_days: Mapping[str, int | None],
) -> Balance:
    """The physical day of every facility; the last closed day ends exactly in the reference's actuals and flares.

    On the `full_days` of a terminal its tanks alone decide what arrives: nothing is lost without a booking.
    """
    last, days = calendar.closed - 1, calendar.closed + 1
    part = calendar.hours / 24.0
    stations, plants = reference.stations, reference.plants
    coded = np.zeros((len(stations), days))
    for solution in oil:
        for row, member in enumerate(solution.component.members):
            coded[next(i for i, s in enumerate(stations) if s.facility_id == member)] = solution.volumes[row]
    produced = coded.copy()
    for i, s in enumerate(stations):
        lost = uncoded_losses(reference, calendar, seed, s.facility_id, potentials[i]) * part
        lost[[d for d in (full_days.get(s.terminal_id),) if d is not None]] = 0.0
        produced[i] -= np.minimum(lost, 0.4 * coded[i])
        produced[i, last] = s.last_actual * part[last]
    gas_per_oil = np.array([s.gas_per_oil for s in stations])[:, None]
    gas_made = produced * np.array([s.gor for s in stations])[:, None]
    fuel = gas_made * np.array([s.fuel_fraction for s in stations])[:, None]
    usable = gas_made - fuel
    sent, taken_in = np.zeros_like(coded), np.zeros((len(reference.compressors), days))
    machine_out = np.zeros((len(reference.compressors), days))
    for plant, solution in zip(plants, gas, strict=True):
        rows = {name: i for i, name in enumerate(solution.component.detail_names)}
        for i in reference.feeders_of(plant.facility_id):
            s = stations[i]
            # What the network could send, less the gas of the oil that was lost without a booking.
            lost = (coded[i] - produced[i]) * gas_per_oil[i]
            most = np.maximum(0.0, usable[i] - np.minimum(s.baseline_flare * part, usable[i]))
            sent[i] = np.clip(solution.detail[rows[s.facility_id]] - lost, 0.0, most)
            sent[i, last] = max(0.0, usable[i, last] - s.last_flare * part[last])
        for c in reference.compressors_of(plant.facility_id):
            inside = [
                i
                for i in reference.feeders_of(plant.facility_id)
                if stations[i].gas_to == reference.compressors[c].facility_id
            ]
            machine = reference.compressors[c]
            offered = sent[inside].sum(axis=0)
            passed = np.minimum(solution.detail[rows[machine.facility_id]], offered)
            passed[last] = offered[last]
            back = (1.0 - FLARED_AT_COMPRESSOR) * (offered - passed)
            sent[inside] *= np.divide(offered - back, offered, out=np.ones(days), where=offered > SMALLEST_FLOW)
            taken_in[c] = offered - back
            machine_out[c] = passed
    external, plant_flare = np.zeros((len(plants), days)), np.zeros((len(plants), days))
    sales_coded, sales = [], []
    for p, (plant, solution) in enumerate(zip(plants, gas, strict=True)):
        total = solution.volumes.sum(axis=0)
        associated = _associated(reference, plant.facility_id, sent, machine_out)
        possible = plant.sales_yield * (associated + plant.external_rate * part)
        own_loss = uncoded_losses(reference, calendar, seed, plant.facility_id, total / part) * part
        made = np.maximum(0.0, np.minimum(total, possible) - np.minimum(own_loss, 0.4 * total))
        share = np.divide(made, total, out=np.zeros(days), where=total > SMALLEST_FLOW)
        sold = solution.volumes * share
        sold[:, last] = np.array(plant.last_actuals) * part[last]
        feed = sold.sum(axis=0) / plant.sales_yield
        associated = _push_back(reference, plant.facility_id, sent, machine_out, taken_in, associated, feed, last)
        external[p] = np.clip(feed - associated, 0.0, plant.external_rate * part)
        # The plant's own uncoded loss burns at its flare while the external gas keeps flowing.
        spare = plant.external_rate * part - external[p]
        external[p] += np.minimum(
            spare, np.minimum(own_loss, 0.4 * total) / plant.sales_yield * (total > SMALLEST_FLOW)
        )
        external[p, last] = (
            np.clip(plant.external_rate * part[last], 0.0, None)
            if _feed_limited(solution, last, possible)
            else max(0.0, feed[last] - associated[last])
        )
        excess = associated + external[p] - feed
        plant_flare[p] = np.maximum(0.0, np.where(np.abs(excess) < SMALLEST_FLOW * np.maximum(1.0, feed), 0.0, excess))
        sales_coded.append(solution.volumes)
        sales.append(sold)
    return Balance(
        hours=calendar.hours,
        oil_coded=coded,
        oil=produced,
        gas_produced=gas_made,
        station_fuel=fuel,
        station_flare=usable - sent,
        station_sent=sent,
        compressor_out=machine_out,
        compressor_flare=taken_in - machine_out,
        external=external,
        sales_coded=tuple(sales_coded),
        sales=tuple(sales),
        plant_flare=plant_flare,
    )


def _push_back(
    reference: Reference,
    plant_id: str,
    sent: Floats,
    machine_out: Floats,
    taken_in: Floats,
    associated: Floats,
    feed: Floats,
    last: int,
) -> Floats:
    """Associated gas that still reaches the plant when most of what it cannot take burns at the flowstations."""
    back = FLARED_UPSTREAM * np.maximum(0.0, associated - feed)
    back[last] = 0.0
    keep = np.divide(associated - back, associated, out=np.ones(len(associated)), where=associated > SMALLEST_FLOW)
    machines = reference.compressors_of(plant_id)
    less = machine_out[machines] * (1.0 - keep)
    machine_out[machines] -= less
    taken_in[machines] -= less
    for i in reference.feeders_of(plant_id):
        through = [c for c in machines if reference.compressors[c].facility_id == reference.stations[i].gas_to]
        if not through:
            sent[i] *= keep
            continue
        inside = [
            k for k in reference.feeders_of(plant_id) if reference.stations[k].gas_to == reference.stations[i].gas_to
        ]
        if i == inside[0]:
            offered = sent[inside].sum(axis=0)
            row = machines.index(through[0])
            sent[inside] *= np.divide(
                offered - less[row], offered, out=np.ones(len(keep)), where=offered > SMALLEST_FLOW
            )
    return _associated(reference, plant_id, sent, machine_out)


def _feed_limited(solution: Solution, day: int, possible: Floats) -> bool:
    return bool(solution.component.potentials[:, day].sum() > possible[day])


def _associated(reference: Reference, plant_id: str, sent: Floats, machine_out: Floats) -> Floats:
    direct = [i for i in reference.feeders_of(plant_id) if reference.stations[i].gas_to == plant_id]
    total: Floats = sent[direct].sum(axis=0) + machine_out[reference.compressors_of(plant_id)].sum(axis=0)
    return total
