"""Random topologies: the cut against every path, a parent's capacity against an independent max-flow."""

from __future__ import annotations

import itertools
import math
from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.transforms.network import UNLIMITED, Edge, Graph, Meter, Node, Source, make_graph
from pipelines.transforms.network_cut import verify_cut
from pipelines.transforms.network_flow import max_flow_capacity

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PROOF = settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])

limits = st.one_of(st.none(), st.integers(0, 60)).map(lambda c: UNLIMITED if c is None else float(c))


@st.composite
def layered(draw: st.DrawFn) -> Graph:
    """Sources, compressors, plants with outlets, junctions, markets: a cut that is valid by construction."""
    layers = [
        [f"{name}-{i}" for i in range(draw(st.integers(1, most)))]
        for name, most in (("src", 3), ("cs", 2), ("gp", 3), ("pipe", 2), ("market", 2))
    ]
    edges: list[Edge] = []
    meters: list[Meter] = []
    for depth, layer in enumerate(layers[:-1]):
        # A line may pass over a layer, but never over the plants.
        reachable = layers[depth + 1] + (layers[depth + 2] if depth in (0, 2) else [])
        for place in layer:
            ends = draw(st.lists(st.sampled_from(reachable), min_size=1, max_size=3, unique=True))
            outlet = layer is layers[2]
            lines = [Edge(f"{place}:{to}", place, to, draw(limits), "domesticGas", outlet) for to in ends]
            edges += lines
            if outlet:
                ids = tuple(sorted(e.edge_id for e in lines))
                meters.append(Meter(place, "domesticGas", 10.0, draw(limits), ids))
    places = [place for layer in layers for place in layer]
    nodes = [Node(p, draw(limits), is_sink=p in layers[-1]) for p in places]
    return make_graph("gas", [Source(s, s, 10.0) for s in layers[0]], nodes, edges, meters)


def every_path(graph: Graph) -> list[tuple[str, ...]]:
    """All ways from a source to a sink, as edge ids, by plain enumeration."""
    sinks = {n.node_id for n in graph.nodes if n.is_sink}
    found: list[tuple[str, ...]] = []
    waiting = deque((s.node_id, ()) for s in graph.sources)
    while waiting:
        node, way = waiting.popleft()
        if node in sinks:
            found.append(way)
        waiting.extend((e.to_id, (*way, e.edge_id)) for e in graph.edges if e.from_id == node)
    return found


def cut_verdict_is_that_of_every_path(graph: Graph, change: st.DataObject) -> None:
    assert verify_cut(graph) == []
    cut = {e.edge_id for e in graph.edges if e.on_cut}
    assert all(len(cut.intersection(way)) == 1 for way in every_path(graph))
    edge = change.draw(st.sampled_from(graph.edges))
    flipped = [Edge(e.edge_id, e.from_id, e.to_id, e.capacity, e.network, e.on_cut != (e is edge)) for e in graph.edges]
    broken = make_graph("gas", graph.sources, graph.nodes, flipped, [])
    cut = {e.edge_id for e in flipped if e.on_cut}
    crossings = [len(cut.intersection(way)) for way in every_path(broken)]
    faults = verify_cut(broken)
    assert bool(faults) == any(c != 1 for c in crossings)
    ends = {(e.from_id, e.to_id): e for e in flipped}
    sources, sinks = {s.node_id for s in graph.sources}, {n.node_id for n in graph.nodes if n.is_sink}
    for fault in faults:
        walked = [ends[step] for step in itertools.pairwise(fault.path)]
        counted = sum(e.on_cut for e in walked)
        assert counted != 1
        assert min(2, counted) == fault.crossings
        assert len(fault.meters) == counted
        assert fault.path[0] in sources
        assert fault.path[-1] in sinks


@QUICK
@given(layered(), st.data())
def test_cut_when_one_line_is_flipped_then_refused_exactly_if_some_path_is_miscounted(
    graph: Graph, change: st.DataObject
) -> None:
    cut_verdict_is_that_of_every_path(graph, change)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@PROOF
@given(layered(), st.data())
def test_cut_when_ten_thousand_topologies_then_refused_exactly_if_some_path_is_miscounted(
    graph: Graph, change: st.DataObject
) -> None:
    cut_verdict_is_that_of_every_path(graph, change)


def augmenting_paths(graph: Graph, facility_ids: set[str]) -> float:
    """The maximum by Ford and Fulkerson's plain augmentation on a matrix: no code or idea shared with Dinic."""
    names: dict[str, int] = {}

    def number(name: str) -> int:
        return names.setdefault(name, len(names))

    arcs: list[tuple[str, str, float]] = [("START", f"{s.node_id}<", math.inf) for s in graph.sources]
    for n in graph.nodes:
        arcs.append((f"{n.node_id}<", f"{n.node_id}>", n.capacity))
        if n.is_sink:
            arcs.append((f"{n.node_id}>", "END", math.inf))
    for e in graph.edges:
        if not e.on_cut:
            arcs.append((f"{e.from_id}>", f"{e.to_id}<", e.capacity))
        elif e.from_id in facility_ids:
            arcs.append((f"{e.from_id}|", f"{e.to_id}<", e.capacity))
    arcs += [(f"{m.facility_id}>", f"{m.facility_id}|", m.capacity) for m in graph.meters]
    for tail, head, _ in arcs:
        number(tail), number(head)
    enough = 1e6
    room = [[0.0] * len(names) for _ in names]
    for tail, head, capacity in arcs:
        room[number(tail)][number(head)] += min(capacity, enough)
    start, end = number("START"), number("END")
    total = 0.0
    while True:
        stack, seen = [(start, (start,))], {start}
        way: tuple[int, ...] | None = None
        while stack:
            node, path = stack.pop()
            if node == end:
                way = path
                break
            for to, left in enumerate(room[node]):
                if left > 0 and to not in seen:
                    seen.add(to)
                    stack.append((to, (*path, to)))
        if way is None:
            return total if total < enough else math.inf
        least = min(room[a][b] for a, b in itertools.pairwise(way))
        for a, b in itertools.pairwise(way):
            room[a][b] -= least
            room[b][a] += least
        total += least


def capacity_is_the_max_flow(graph: Graph, choice: st.DataObject) -> None:
    plants = [m.facility_id for m in graph.meters]
    chosen = set(choice.draw(st.lists(st.sampled_from(plants), unique=True)))
    found = max_flow_capacity(graph, chosen)
    expected = augmenting_paths(graph, chosen)
    assert (math.inf if found.rate is None else found.rate) == pytest.approx(expected, rel=1e-9)
    if found.rate is not None:
        capacities = {
            **{("node", n.node_id): n.capacity for n in graph.nodes},
            **{("edge", e.edge_id): e.capacity for e in graph.edges},
            **{("outlet", f"{m.facility_id}:{m.network}"): m.capacity for m in graph.meters},
        }
        assert sum(capacities[b] for b in found.bottlenecks) == pytest.approx(found.rate, rel=1e-9)


@QUICK
@given(layered(), st.data())
def test_capacity_when_topology_is_random_then_is_an_independent_max_flow(graph: Graph, choice: st.DataObject) -> None:
    capacity_is_the_max_flow(graph, choice)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@PROOF
@given(layered(), st.data())
def test_capacity_when_ten_thousand_topologies_then_is_an_independent_max_flow(
    graph: Graph, choice: st.DataObject
) -> None:
    capacity_is_the_max_flow(graph, choice)
