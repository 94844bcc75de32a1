"""The gas network in front of one plant: associated gas through stations and compressors, external gas, two outlets.

Raw gas in scf/d up to the plant, sales gas behind it (sales = feed × yield). An oil loss takes its gas with it; a
domestic and an export outlet share what the plant makes, max-min fairly in flow ÷ potential.
"""

from __future__ import annotations

import numpy as np

from pipelines.simulators.field_calendar import Calendar, Floats, Integers
from pipelines.simulators.field_flows import Evaluate, available, fair
from pipelines.simulators.field_oil import Component, backward_noise, random
from pipelines.simulators.field_reference import Plant, Reference

GAS_NETWORKS = ("domesticGas", "exportGas")
# A plant's own potential moves with the gas that the wells could bring, and a little by itself.
PLANT_NOISE_SIGMA = 0.004


def associated_gas(reference: Reference, potentials: Floats) -> Floats:
    """Gas that each station could send [station, day]: p_oil × GOR × (1 − fuel) − baseline flare, at least 0."""
    rows = [np.maximum(0.0, potentials[i] * s.gas_per_oil - s.baseline_flare) for i, s in enumerate(reference.stations)]
    gas: Floats = np.array(rows)
    return gas


def plant_potentials(reference: Reference, plant: Plant, gas: Floats, calendar: Calendar, seed: int) -> Floats:
    """Sales potential [outlet, day] of a plant, the reference's values on the last closed day."""
    feed = gas[reference.feeders_of(plant.facility_id)].sum(axis=0)
    last = np.array(plant.last_potentials)
    change = plant.sales_yield * (feed - feed[calendar.closed - 1])
    noise = backward_noise(random(seed, f"potential {plant.facility_id}"), calendar, PLANT_NOISE_SIGMA)
    total = np.maximum(0.0, (last.sum() + change) * np.exp(noise))
    rows: Floats = np.minimum(np.outer(last / last.sum(), total), np.array(plant.capacities)[:, None])
    rows = np.asarray(np.round(rows, -2))
    rows[:, calendar.closed - 1] = last
    return rows


def gas_component(reference: Reference, plant_index: int, gas: Floats, potentials: Floats) -> Component:
    """The component of a plant. Members are its two outlets; detail is what each station sends, what each compressor
    station passes on, and the feed that the plant asks for (all raw gas, full set of events)."""
    plant = reference.plants[plant_index]
    feeders = reference.feeders_of(plant.facility_id)
    stations = [reference.stations[i] for i in feeders]
    compressors = [reference.compressors[i] for i in reference.compressors_of(plant.facility_id)]
    through = [next((c for c, k in enumerate(compressors) if k.facility_id == s.gas_to), -1) for s in stations]
    count, machines = len(stations), len(compressors)
    names = [f"{kind}:{s.facility_id}" for kind in ("source", "node", "edge") for s in stations]
    names += [f"node:{c.facility_id}" for c in compressors]
    names += [f"source:{plant.external_id}", f"node:{plant.facility_id}", *(f"edge:{o}" for o in plant.outlets)]
    elements = {name: i for i, name in enumerate(names)}
    own, first_machine, tail = gas[feeders], 3 * count, 3 * count + machines
    limits = np.array([c.capacity for c in compressors])

    def evaluate_on(days: Integers, undisturbed: Floats | None = None) -> Evaluate:
        brought = own[:, days].T[:, None, :]
        potential = potentials[:, days].T[:, None, :]
        cap = np.minimum(potential, np.array(plant.capacities))
        before = (
            np.full((len(days), 1, len(names)), np.inf) if undisturbed is None else undisturbed[:, days].T[:, None, :]
        )
        unlimited = np.array(np.inf)

        def evaluate(losses: Floats) -> tuple[Floats, Floats]:
            def left(part: slice | int, capacity: Floats) -> Floats:
                return available(losses[..., part], before[..., part], capacity)

            sent = np.minimum(left(slice(0, count), brought), left(slice(count, 2 * count), unlimited))
            sent = np.minimum(sent, left(slice(2 * count, 3 * count), unlimited))
            machine = left(slice(first_machine, tail), limits)
            passed = np.empty_like(machine)
            for c in range(machines):
                members = [i for i in range(count) if through[i] == c]
                passed[..., c] = np.minimum(sent[..., members].sum(axis=-1), machine[..., c])
            direct = [i for i in range(count) if through[i] < 0]
            associated = sent[..., direct].sum(axis=-1) + passed.sum(axis=-1)
            external = left(tail, np.array(plant.external_rate))
            pool = np.minimum(left(tail + 1, unlimited), plant.sales_yield * (associated + external))
            flows = fair(left(slice(tail + 2, tail + 4), cap), potential, pool)
            return flows, np.concatenate([sent, passed, external[..., None]], axis=-1)

        return evaluate

    days = np.arange(gas.shape[1])
    first_flows, first_detail = evaluate_on(days)(np.zeros((len(days), 1, len(names))))
    flows, sent = first_flows[:, 0, :].T, first_detail[:, 0, :count].T
    passed = first_detail[:, 0, count : count + machines].T
    direct = [i for i in range(count) if through[i] < 0]
    total = flows.sum(axis=0)
    external = np.clip(
        total / plant.sales_yield - sent[direct].sum(axis=0) - passed.sum(axis=0), 0.0, plant.external_rate
    )
    undisturbed = np.concatenate([sent, sent, sent, passed, external[None, :], total[None, :], flows])
    return Component(
        name=plant.facility_id,
        members=(plant.facility_id, plant.facility_id),
        networks=GAS_NETWORKS,
        elements=elements,
        potentials=potentials,
        undisturbed=undisturbed,
        flows=flows,
        evaluate_on=lambda some_days: evaluate_on(some_days, undisturbed),
        detail_names=(
            *(s.facility_id for s in stations),
            *(c.facility_id for c in compressors),
            plant.external_id,
        ),
    )
