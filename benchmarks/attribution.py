"""How long attribution takes on a topology like the sandbox's: fourteen facilities, both phases.

Run: python -m benchmarks.attribution. Prints milliseconds of typical days, of 500 events over 7 days, and what
the general solver costs beside the one for trees.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from pipelines.transforms.attribution import DayAttribution, Event, Loss, attribute_networks
from pipelines.transforms.network import EdgeRow, ExternalRow, FacilityRow, Graph, build_gas_graph, build_oil_graph
from pipelines.transforms.network_fair import FairSolver
from pipelines.transforms.network_flow import BIG
from pipelines.transforms.network_rows import Structure

# id: potential and capacity (bbl/d), GOR (scf/bbl), gas goes to, oil goes to
STATIONS = {
    "fs-akara-1": (46_000, 60_000, 1050, "cs-akara", "trunk-east"),
    "fs-akara-2": (29_500, 40_000, 980, "cs-akara", "trunk-east"),
    "fs-bomiri": (38_000, 50_000, 900, "gp-bomiri", "trunk-east"),
    "fs-soloma": (22_000, 30_000, 1200, "cs-soloma", "tm-kuloma"),
    "fs-ogidan-1": (33_000, 45_000, 850, "cs-ogidan", "trunk-west"),
    "fs-ogidan-2": (24_500, 35_000, 1100, "cs-ogidan", "trunk-west"),
    "fs-warike": (31_000, 40_000, 950, "gp-warike", "trunk-west"),
}
COMPRESSORS = {
    "cs-akara": (120e6, "gp-bomiri"),
    "cs-soloma": (60e6, "gp-bomiri"),
    "cs-ogidan": (80e6, "gp-warike"),
}
# id: potential and capacity on each network (scf/d), external gas (scf/d)
PLANTS = {
    "gp-bomiri": ({"domesticGas": 135e6, "exportGas": 190e6}, {"domesticGas": 150e6, "exportGas": 240e6}, 210e6),
    "gp-warike": ({"domesticGas": 160e6, "exportGas": 48e6}, {"domesticGas": 180e6, "exportGas": 80e6}, 150e6),
}
TRUNKS = {"trunk-east": ("tm-kuloma", 120_000.0), "trunk-west": ("tm-benfara", 110_000.0)}
MIDNIGHT = datetime(2026, 1, 1, 5, tzinfo=UTC)


def graphs() -> tuple[Graph, Graph]:
    """The oil and the gas graph of a day."""
    facilities: list[FacilityRow] = []
    externals = [ExternalRow(t, "junction", "oil") for t in TRUNKS]
    edges: list[EdgeRow] = []

    def raw(source: str, to: str, capacity: float | None = None) -> None:
        edges.extend(EdgeRow(source, to, n, "rawGas", capacity) for n in ("domesticGas", "exportGas"))

    for name, (potential, capacity, gor, gas_to, oil_to) in STATIONS.items():
        facilities.append(
            FacilityRow(name, "flowstation", {"oil": potential}, {"oil": capacity}, frozenset({"oil"}), gor, 0.025, 2e6)
        )
        edges.append(EdgeRow(name, oil_to, "oil", "netOil", 30_000.0 if oil_to == "tm-kuloma" else None))
        raw(name, gas_to)
    for name, (limit, to) in COMPRESSORS.items():
        facilities.append(FacilityRow(name, "compressor-station", {}, {"domesticGas": limit, "exportGas": limit}))
        raw(name, to)
    for name, (potentials, capacities, external) in PLANTS.items():
        facilities.append(
            FacilityRow(
                name,
                "gas-plant",
                potentials,
                capacities,
                frozenset(potentials),
                fuel_fraction=0.022,
                shrinkage_fraction=0.045,
            )
        )
        externals.append(ExternalRow(f"nag-{name}", "source", "domesticGas", external))
        raw(f"nag-{name}", name)
        edges.append(EdgeRow(name, "market-domestic", "domesticGas", "salesGas", None, on_cut=True))
        edges.append(EdgeRow(name, "export-lng", "exportGas", "salesGas", None, on_cut=True))
    externals += [
        ExternalRow("market-domestic", "market", "domesticGas"),
        ExternalRow("export-lng", "export", "exportGas"),
    ]
    facilities += [FacilityRow(terminal, "terminal") for terminal in ("tm-kuloma", "tm-benfara")]
    edges += [EdgeRow(t, to, "oil", "trunk", capacity) for t, (to, capacity) in TRUNKS.items()]
    return build_oil_graph(facilities, externals, edges), build_gas_graph(facilities, externals, edges)


def random_events(count: int, days: float, seed: int, mean_hours: float) -> list[Event]:
    """Trips, well losses, compressor, plant and line events, scattered over the days."""
    chance = random.Random(seed)
    events = []
    for i in range(count):
        start = MIDNIGHT + timedelta(hours=chance.uniform(0, 24 * days))
        end = start + timedelta(hours=chance.expovariate(1 / mean_hours))
        name = f"ec:{i:05d}"
        kind = chance.random()
        station = chance.choice(list(STATIONS))
        if kind < 0.6:
            oil = Loss(rate=STATIONS[station][0] * chance.uniform(0.02, 0.3))
            events.append(Event(name, "source", station, start, end, oil))
        elif kind < 0.8:
            oil = Loss(rate=STATIONS[station][0] * chance.uniform(0.1, 1.0))
            events.append(Event(name, "node", station, start, end, oil))
        elif kind < 0.9:
            compressor = chance.choice(list(COMPRESSORS))
            gas = Loss(rate=COMPRESSORS[compressor][0] * chance.uniform(0.1, 0.6))
            events.append(Event(name, "node", compressor, start, end, gas=gas))
        elif kind < 0.96:
            plant = chance.choice(list(PLANTS))
            events.append(Event(name, "node", plant, start, end, gas=Loss(rate=chance.uniform(10e6, 90e6))))
        else:
            trunk = chance.choice(list(TRUNKS))
            line = f"{trunk}:{TRUNKS[trunk][0]}"
            events.append(Event(name, "edge", line, start, end, oil=Loss(rate=chance.uniform(2e4, 8e4))))
    return events


def attribute(events: list[Event], day: int) -> DayAttribution:
    """One day of the events, graphs built anew as for a day with its own potentials."""
    oil, gas = graphs()
    start = MIDNIGHT + timedelta(days=day)
    end = start + timedelta(days=1)
    return attribute_networks(oil, gas, [e for e in events if e.end > start and e.start < end], (start, end))


def milliseconds(work: Callable[[], object], repeat: int = 5) -> float:
    """Median duration of `work`."""
    taken = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def main() -> None:
    """Print the figures."""
    oil, gas = graphs()
    empty = milliseconds(lambda: attribute([], 0))
    print(f"a day without events            {empty:8.1f} ms")
    for count in (1, 2, 4):
        days = [random_events(count, 1.0, seed, 12.0) for seed in range(20)]
        took = milliseconds(lambda days=days: [attribute(e, 0) for e in days]) / len(days)
        print(f"a day with {count} events             {took:8.1f} ms  (x {took / empty:.1f})")
    for mean_hours in (2.0, 4.0, 8.0):
        week = random_events(500, 7.0, 1, mean_hours)
        took = milliseconds(lambda week=week: [attribute(week, d) for d in range(7)], 3)
        concurrent = 500 * mean_hours / (7 * 24)
        print(f"500 events in 7 days, {concurrent:4.1f} at once {took:6.0f} ms")
    for graph in (oil, gas):
        solver = FairSolver(graph)
        scale = np.random.default_rng(1).uniform(0.5, 1.0, (200, len(solver.base)))
        batch = np.where(solver.base < BIG, solver.base * scale, BIG)
        fast = milliseconds(lambda solver=solver, batch=batch: solver.solve(batch))
        solver.is_tree = False
        solver._structure = Structure([], [])
        slow = milliseconds(lambda solver=solver, batch=batch: solver.solve(batch))
        print(f"{graph.phase}: 200 solves {fast:6.2f} ms, by the general solver {slow:7.1f} ms  (x {slow / fast:.0f})")


if __name__ == "__main__":
    main()
