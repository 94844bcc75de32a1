"""Maximum flow on a layered network like an operator's, side by side: our arc-ordered Dinic, networkx, scipy.

python -m benchmarks.max_flow          networkx and scipy are measured where they are installed
"""

import importlib.util
import random
import statistics
import time
from collections.abc import Callable

from pipelines.transforms.network_flow import FlowNet

Arcs = list[tuple[int, int, float]]
ROUNDS = 7


def layered(stations: int, seed: int = 7) -> tuple[int, Arcs]:
    """Nodes 0 (start) and 1 (end), stations → compressors → plants → markets with random capacities."""
    chance = random.Random(seed)
    compressors, plants = max(2, stations // 4), max(2, stations // 8)
    station = list(range(2, 2 + stations))
    compressor = list(range(station[-1] + 1, station[-1] + 1 + compressors))
    plant = list(range(compressor[-1] + 1, compressor[-1] + 1 + plants))
    arcs: Arcs = [(0, s, chance.uniform(10, 60)) for s in station]
    arcs += [(s, chance.choice(compressor), chance.uniform(10, 80)) for s in station]
    arcs += [(c, chance.choice(plant), chance.uniform(40, 160)) for c in compressor]
    arcs += [(p, 1, chance.uniform(100, 300)) for p in plant]
    return plant[-1] + 1, arcs


def ours(nodes: int, arcs: Arcs) -> float:
    """The product's own solver."""
    net = FlowNet(nodes)
    for tail, head, capacity in arcs:
        net.add_arc(tail, head, capacity)
    return net.maximise(0, 1)


def with_networkx(_nodes: int, arcs: Arcs) -> float:
    """networkx, its default algorithm."""
    import networkx

    graph = networkx.DiGraph()
    for tail, head, capacity in arcs:
        graph.add_edge(tail, head, capacity=capacity)
    return float(networkx.maximum_flow_value(graph, 0, 1))


def with_scipy(nodes: int, arcs: Arcs) -> float:
    """scipy: whole numbers only, so rates are scaled to thousandths."""
    import numpy
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    tails, heads, capacities = zip(*arcs, strict=True)
    whole = numpy.array([round(c * 1e3) for c in capacities], dtype=numpy.int32)
    matrix = csr_array((whole, (tails, heads)), (nodes, nodes))
    return float(maximum_flow(matrix, 0, 1).flow_value) / 1e3


def main() -> None:
    """Print microseconds a solve and the ratio to ours, medians over rounds in alternating order."""
    libraries: dict[str, Callable[[int, Arcs], float]] = {"networkx": with_networkx, "scipy": with_scipy}
    installed = {name: solve for name, solve in libraries.items() if importlib.util.find_spec(name)}
    contestants: dict[str, Callable[[int, Arcs], float]] = {"ours": ours, **installed}
    for stations in (8, 40, 200):
        nodes, arcs = layered(stations)
        times: dict[str, list[float]] = {name: [] for name in contestants}
        values = {name: solve(nodes, arcs) for name, solve in contestants.items()}
        for round_ in range(ROUNDS):
            for name in sorted(contestants, reverse=bool(round_ % 2)):
                begun = time.perf_counter()
                for _ in range(20):
                    contestants[name](nodes, arcs)
                times[name].append((time.perf_counter() - begun) / 20 * 1e6)
        base = statistics.median(times["ours"])
        for name, samples in times.items():
            figure = statistics.median(samples)
            print(
                f"{stations:>4} stations {name:<10} {figure:>10.0f} us  x {figure / base:>6.2f}  flow {values[name]:.3f}"
            )


if __name__ == "__main__":
    main()
