"""Random networks: the fair flow against brute force over every cut, attribution against every order of events."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.transforms.attribution import DayAttribution, Event, Loss, attribute_day
from pipelines.transforms.network import UNLIMITED, Edge, Graph, Meter, Node, Source, make_graph
from pipelines.transforms.network_fair import FairSolver, fair_flow
from pipelines.transforms.network_flow import BIG
from pipelines.transforms.network_rows import Structure

MORNING = datetime(2026, 1, 1, 5, tzinfo=UTC)
DAY = (MORNING, MORNING + timedelta(hours=24))
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PROOF = settings(
    max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
RELATIVE = 1e-9

limits = st.one_of(st.none(), st.integers(0, 60)).map(lambda c: UNLIMITED if c is None else float(c))
tight_limits = st.integers(1, 40).map(float)
potentials = st.integers(0, 40).map(float)


@st.composite
def oil_networks(draw: st.DrawFn) -> Graph:
    """Stations that lead on through others and junctions to one or two terminals, any acyclic way."""
    stations = [f"fs-{i}" for i in range(draw(st.integers(1, 4)))]
    places = stations + [f"j-{i}" for i in range(draw(st.integers(0, 2)))]
    sinks = [f"tm-{i}" for i in range(draw(st.integers(1, 2)))]
    edges = []
    for i, place in enumerate(places):
        onward = draw(st.lists(st.sampled_from(places[i + 1 :] + sinks), min_size=1, max_size=2, unique=True))
        edges += [Edge(f"{place}:{to}", place, to, draw(limits)) for to in onward]
    capacity = {place: draw(limits) if draw(st.booleans()) else UNLIMITED for place in places + sinks}
    nodes = [Node(place, capacity[place], is_sink=place in sinks) for place in places + sinks]
    rates = {s: draw(potentials) for s in stations}
    return make_graph(
        "oil",
        [Source(s, s, rates[s], on_cut=True) for s in stations],
        nodes,
        edges,
        [Meter(s, "oil", rates[s]) for s in stations],
    )


@st.composite
def gas_networks(draw: st.DrawFn, yields: st.SearchStrategy[list[float]]) -> Graph:
    """Sources through a compressor or straight to one or two plants, whose outlets may share pipelines."""
    plants = [f"gp-{i}" for i in range(draw(st.integers(1, 2)))]
    part = draw(yields)
    feeders = [f"src-{i}" for i in range(draw(st.integers(1, 3)))]
    middles = [f"cs-{i}" for i in range(draw(st.integers(0, 1)))]
    markets = ["market", "lng"]
    pipelines = [f"pipe-{i}" for i in range(draw(st.integers(0, 1)))]
    edges = []
    for place in feeders:
        onward = draw(st.lists(st.sampled_from(middles + plants), min_size=1, max_size=2, unique=True))
        edges += [Edge(f"{place}:{to}", place, to, draw(limits), "domesticGas") for to in onward]
    for place in middles:
        onward = draw(st.lists(st.sampled_from(plants), min_size=1, max_size=2, unique=True))
        edges += [Edge(f"{place}:{to}", place, to, draw(limits), "domesticGas") for to in onward]
    for place in pipelines:
        onward = draw(st.lists(st.sampled_from(markets), min_size=1, max_size=2, unique=True))
        edges += [Edge(f"{place}:{to}", place, to, draw(limits), "domesticGas") for to in onward]
    meters = []
    for plant in plants:
        for network in draw(st.sampled_from([["domesticGas"], ["domesticGas", "exportGas"]])):
            onward = draw(st.lists(st.sampled_from(pipelines + markets), min_size=1, max_size=2, unique=True))
            cut = [Edge(f"{plant}:{network}:{to}", plant, to, draw(limits), network, True) for to in onward]
            edges += cut
            meters.append(Meter(plant, network, draw(potentials), draw(limits), tuple(sorted(e.edge_id for e in cut))))
    nodes = [Node(place) for place in feeders] + [Node(place, draw(limits)) for place in middles + pipelines]
    nodes += [Node(plant, draw(limits), part[i]) for i, plant in enumerate(plants)]
    nodes += [Node(market, is_sink=True) for market in markets]
    return make_graph("gas", [Source(s, s, draw(tight_limits)) for s in feeders], nodes, edges, meters)


@st.composite
def crossing_networks(draw: st.DrawFn) -> Graph:
    """Plants that share feed on one side and a pipeline of each network on the other, all of it tight."""
    tight = st.integers(1, 12).map(float)
    plants = [f"gp-{i}" for i in range(draw(st.integers(2, 3)))]
    part = draw(st.sampled_from([1.0, 0.9]))
    feeders = [f"src-{i}" for i in range(draw(st.integers(1, 2)))]
    edges = []
    meters = []
    for i, plant in enumerate(plants):
        edges.append(Edge(f"{feeders[i % len(feeders)]}:{plant}", feeders[i % len(feeders)], plant, draw(tight)))
        for network in ("domesticGas", "exportGas"):
            edges.append(Edge(f"{plant}:{network}", plant, network, UNLIMITED, network, True))
            meters.append(Meter(plant, network, draw(tight), edge_ids=(f"{plant}:{network}",)))
    nodes = [Node(f) for f in feeders] + [Node(p, sales_yield=part) for p in plants]
    nodes += [Node(network, draw(tight), is_sink=True) for network in ("domesticGas", "exportGas")]
    return make_graph("gas", [Source(f, f, draw(tight)) for f in feeders], nodes, edges, meters)


same_yield = st.sampled_from([[1.0, 1.0], [0.93, 0.93]])
any_yield = st.lists(st.sampled_from([0.8, 0.9, 1.0]), min_size=2, max_size=2)
networks = st.one_of(oil_networks(), gas_networks(same_yield), crossing_networks())


# --- an independent reference: every subset of nodes is a cut ------------------------------------


class Reference:
    """up[A], down[A]: what the meters of bit mask A can get (in feed) and get rid of (in sales)."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.part = {n.node_id: n.sales_yield for n in graph.nodes}
        self.yields = np.array([self.part[m.facility_id] if m.edge_ids else 1.0 for m in graph.meters])
        self.potential = np.array([m.potential for m in graph.meters])
        self.bound = np.array([min(m.potential, m.capacity) for m in graph.meters])
        self.full = 2 ** len(graph.meters)
        behind = {e.to_id for e in graph.edges if e.on_cut} | {m.facility_id for m in graph.meters if not m.edge_ids}
        for _ in graph.nodes:
            behind |= {e.to_id for e in graph.edges if e.from_id in behind and not e.on_cut}
        self.down = self._cuts(behind, downward=True)
        self.up = (
            self._cuts({n.node_id for n in graph.nodes} - behind, downward=False)
            if graph.phase == "gas"
            else np.full(self.full, np.inf)
        )
        self.up[0] = 0.0

    def _cuts(self, places: set[str], *, downward: bool) -> np.ndarray:
        graph = self.graph
        ids: list[str] = []
        arcs: list[tuple[str, str, float]] = []
        for n in graph.nodes:
            if n.node_id in places:
                ids += [f"{n.node_id}<", f"{n.node_id}>"]
                arcs.append((f"{n.node_id}<", f"{n.node_id}>", n.capacity / (1.0 if downward else n.sales_yield)))
                if downward and n.is_sink:
                    arcs.append((f"{n.node_id}>", "END", np.inf))
        holders = []
        for f, m in enumerate(graph.meters):
            if downward and m.edge_ids:
                ids.append(f"gate{f}")
            holders.append(f"gate{f}" if m.edge_ids else f"{m.facility_id}<")
        for e in graph.edges:
            if e.on_cut:
                if downward:
                    f = next(i for i, m in enumerate(graph.meters) if e.edge_id in m.edge_ids)
                    arcs.append((f"gate{f}", f"{e.to_id}<", e.capacity))
            elif e.from_id in places and e.to_id in places:
                arcs.append((f"{e.from_id}>", f"{e.to_id}<", e.capacity))
        if not downward:
            arcs += [("START", f"{s.node_id}<", s.rate) for s in graph.sources]
            holders = [f"{m.facility_id}>" for m in graph.meters]
        number = {name: i for i, name in enumerate(ids)}
        subsets = (np.arange(2 ** len(ids))[:, None] >> np.arange(len(ids))) & 1 == 1
        outside = np.zeros(len(subsets), dtype=bool)
        cost = np.zeros(len(subsets))
        for tail, head, capacity in arcs:
            a = subsets[:, number[tail]] if tail in number else outside
            b = subsets[:, number[head]] if head in number else outside
            crossing = (a & ~b) if downward else (b & ~a)
            cost = np.where(crossing, cost + capacity, cost)
        result = np.zeros(self.full)
        for mask in range(1, self.full):
            inside = np.ones(len(subsets), dtype=bool)
            for f, name in enumerate(holders):
                if mask >> f & 1:
                    inside &= subsets[:, number[name]]
            result[mask] = cost[inside].min()
        return result

    def total(self, values: np.ndarray) -> np.ndarray:
        return np.array([sum(v for f, v in enumerate(values) if mask >> f & 1) for mask in range(self.full)])

    def most_feed(self, lower: np.ndarray) -> float:
        """The largest Σ x ÷ yield with x ≥ lower (one yield), by the intersection theorem of polymatroids;
        −inf where the lower bounds are impossible."""
        part = self.yields[0]
        low = self.total(lower / part)
        bound = self.total(self.bound / part)
        sides = []
        for rank in (self.up, self.down / part):
            capped = np.array(
                [
                    min(rank[b] + bound[mask & ~b] for b in range(self.full) if b & ~mask == 0)
                    for mask in range(self.full)
                ]
            )
            room = capped - low
            if room.min() < -1e-9:
                return -math.inf
            closed = np.array([min(room[b] for b in range(self.full) if b & mask == mask) for mask in range(self.full)])
            closed[0] = 0.0
            sides.append(closed)
        everything = self.full - 1
        return float(low[everything]) + min(sides[0][a] + sides[1][everything & ~a] for a in range(self.full))


def holds_every_cut(reference: Reference, flows: np.ndarray) -> None:
    assert (flows <= reference.bound * (1 + RELATIVE)).all()
    assert (reference.total(flows / reference.yields) <= reference.up * (1 + RELATIVE) + 1e-9).all()
    assert (reference.total(flows) <= reference.down * (1 + RELATIVE) + 1e-9).all()


def fair_flow_is_the_fairest_maximum(graph: Graph) -> None:
    solution = fair_flow(graph)
    flows = np.array([solution.flows[m.key] for m in graph.meters])
    reference = Reference(graph)
    holds_every_cut(reference, flows)
    most = reference.most_feed(np.zeros_like(flows))
    assert float((flows / reference.yields).sum()) == pytest.approx(most, rel=RELATIVE, abs=1e-9)
    levels = flows / np.where(reference.potential > 0, reference.potential, 1.0)
    for f in range(len(flows)):
        if flows[f] >= reference.bound[f] * (1 - RELATIVE):
            continue
        # More for f must cost the total, or a meter that stands no better than f.
        wanted = np.where(levels <= levels[f] * (1 + 1e-9), flows, 0.0)
        wanted[f] = min(flows[f] + 1e-3, reference.bound[f])
        assert reference.most_feed(wanted) < most - 1e-7 or wanted[f] - flows[f] < 1e-6
    for f, m in enumerate(graph.meters):
        assert (solution.frozen_by[m.key] is None) == bool(flows[f] >= m.potential * (1 - RELATIVE))


@QUICK
@given(networks)
def test_fair_flow_when_network_is_random_then_is_the_fairest_maximum(graph: Graph) -> None:
    fair_flow_is_the_fairest_maximum(graph)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@PROOF
@given(networks)
def test_fair_flow_when_ten_thousand_networks_then_is_the_fairest_maximum(graph: Graph) -> None:
    fair_flow_is_the_fairest_maximum(graph)


@QUICK
@given(gas_networks(any_yield))
def test_fair_flow_when_yields_differ_then_every_meter_is_held_by_a_full_cut(graph: Graph) -> None:
    solution = fair_flow(graph)
    flows = np.array([solution.flows[m.key] for m in graph.meters])
    reference = Reference(graph)
    holds_every_cut(reference, flows)
    if len(set(reference.yields)) == 1:
        return  # held to the maximum instead, by the test above
    levels = flows / np.where(reference.potential > 0, reference.potential, 1.0)
    feed, sales = reference.total(flows / reference.yields), reference.total(flows)
    for f in range(len(flows)):
        if flows[f] < reference.bound[f] * (1 - RELATIVE):
            held = [
                mask
                for mask in range(1, reference.full)
                if mask >> f & 1
                and (feed[mask] >= reference.up[mask] - 1e-7 or sales[mask] >= reference.down[mask] - 1e-7)
            ]
            assert any(
                max(levels[g] for g in range(len(flows)) if (mask >> g & 1 and flows[g] > 0) or g == f)
                <= levels[f] + 1e-7
                for mask in held
            )


@QUICK
@given(networks, st.randoms(use_true_random=False))
def test_fast_solver_when_lines_form_trees_then_equals_the_general_one(graph: Graph, chance: object) -> None:
    solver = FairSolver(graph)
    if not solver.is_tree:
        return
    general = FairSolver(graph)
    general.is_tree = False
    general._structure = Structure([], [])
    scale = np.random.default_rng(chance.randrange(2**32)).uniform(0.0, 1.2, (6, len(solver.base)))  # type: ignore[attr-defined]
    capacities = np.where(solver.base < BIG, solver.base * scale, BIG)
    assert solver.solve(capacities) == pytest.approx(general.solve(capacities), rel=RELATIVE, abs=1e-9)


# --- attribution against every order of the events -----------------------------------------------


@st.composite
def cases(draw: st.DrawFn, most: int = 4, *, whole_day: bool = True) -> tuple[Graph, list[Event]]:
    graph = draw(networks)
    targets = [
        *(("source", s.source_id) for s in graph.sources),
        *(("node", n.node_id) for n in graph.nodes),
        *(("edge", e.edge_id) for e in graph.edges),
    ]
    events = []
    for i in range(draw(st.integers(1, most))):
        kind, name = draw(st.sampled_from(targets))
        amount = float(draw(st.integers(0, 40)))
        loss = draw(st.sampled_from([Loss(rate=amount), Loss(rate=amount), Loss(remaining=amount), Loss()]))
        first, last = (0, 24) if whole_day else sorted((draw(st.integers(-6, 30)), draw(st.integers(-6, 30))))
        equipment = draw(st.sampled_from([None, None, "k-101"]))
        start, end = (MORNING + timedelta(hours=h) for h in (first, last))
        events.append(Event(f"ec:{i}", kind, name, start, end, loss, loss, equipment))
    return graph, events


def resolve(graph: Graph, active: list[Event], through: dict[tuple[str, str], float]) -> np.ndarray:
    """flow(S) from the definition of available rates, written anew."""
    available: dict[tuple[str, str], float] = {}
    for target in {(e.target_kind, e.target_id) for e in active}:
        largest: dict[str, float] = {}
        for e in active:
            if (e.target_kind, e.target_id) == target:
                loss = e.oil.of(through[target]) if e.oil else 0.0
                unit = e.equipment_id or e.event_id
                largest[unit] = max(largest.get(unit, 0.0), loss)
        if sum(largest.values()) > 0:
            available[target] = max(0.0, through[target] - sum(largest.values()))
    return np.array(list(fair_flow(graph, available).flows.values()))


def table(day: DayAttribution, graph: Graph, what: str) -> dict[str, np.ndarray]:
    column = {m.key: f for f, m in enumerate(graph.meters)}
    result: dict[str, np.ndarray] = {}
    for d in day.drivers:
        if not d.event_id.startswith("constraint"):
            result.setdefault(d.event_id, np.zeros(len(column)))[column[d.facility_id, d.network]] = getattr(d, what)
    return result


def shares_are_shapley(case: tuple[Graph, list[Event]]) -> None:
    graph, events = case
    day = attribute_day(graph, events, DAY)
    placed = [e for e in events if e.event_id not in day.unplaced]
    through = dict(day.through)
    scale = max([1.0, *(m.potential for m in graph.meters)])
    near = {"rel": RELATIVE, "abs": RELATIVE * scale}
    flow = {
        subset: resolve(graph, [placed[i] for i in subset], through)
        for size in range(len(placed) + 1)
        for subset in itertools.combinations(range(len(placed)), size)
    }
    none, everything = flow[()], flow[tuple(range(len(placed)))]
    volume, alone, gain = (table(day, graph, w) for w in ("volume", "volume_if_alone", "gain_if_fixed"))
    for i, e in enumerate(placed):
        marginal = []
        mean = np.zeros(len(none))
        for order in itertools.permutations(range(len(placed))):
            before = tuple(sorted(order[: order.index(i)]))
            marginal.append(flow[before] - flow[tuple(sorted((*before, i)))])
            mean += marginal[-1]
        mean /= len(marginal)
        others = tuple(j for j in range(len(placed)) if j != i)
        assert volume[e.event_id] == pytest.approx(mean, **near)
        assert (volume[e.event_id] >= np.min(marginal, axis=0) - RELATIVE * scale).all()
        assert (volume[e.event_id] <= np.max(marginal, axis=0) + RELATIVE * scale).all()
        assert alone[e.event_id] == pytest.approx(none - flow[(i,)], **near)
        assert gain[e.event_id] == pytest.approx(flow[others] - everything, **near)
        if not np.any(marginal):
            assert volume[e.event_id] == pytest.approx(0.0, abs=RELATIVE * scale)
    explained = day.explained()
    deferment = {m.key: m.potential - everything[f] + 0.7 for f, m in enumerate(graph.meters)}
    residual = day.unattributed(deferment)
    for f, m in enumerate(graph.meters):
        assert explained[m.key] + residual[m.key] == pytest.approx(deferment[m.key], rel=RELATIVE)
        assert explained[m.key] == pytest.approx(m.potential - everything[f], **near)
        assert day.meters[f].expected_volume == pytest.approx(everything[f], **near)


@QUICK
@given(cases())
def test_shares_when_network_is_random_then_are_the_mean_over_every_order(case: tuple[Graph, list[Event]]) -> None:
    shares_are_shapley(case)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@PROOF
@given(cases(6))
def test_shares_when_ten_thousand_networks_then_are_the_mean_over_every_order(case: tuple[Graph, list[Event]]) -> None:
    shares_are_shapley(case)


def day_obeys_its_invariants(case: tuple[Graph, list[Event]], turn: Callable[[list[Event]], list[Event]]) -> None:
    graph, events = case
    day = attribute_day(graph, events, DAY)
    backwards = make_graph(graph.phase, graph.sources[::-1], graph.nodes[::-1], graph.edges[::-1], graph.meters[::-1])
    assert attribute_day(backwards, turn(events), DAY) == day
    explained = day.explained()
    for m in day.meters:
        lost = m.potential - m.expected_volume
        assert explained[m.facility_id, m.network] == pytest.approx(lost, rel=RELATIVE, abs=1e-8)
    gain = table(day, graph, "gain_if_fixed")
    for e in events:
        if e.event_id in gain:
            fixed = attribute_day(graph, [o for o in events if o is not e], DAY)
            more = np.array(
                [a.expected_volume - b.expected_volume for a, b in zip(fixed.meters, day.meters, strict=True)]
            )
            assert gain[e.event_id] == pytest.approx(more, rel=RELATIVE, abs=1e-8)
    twin = replace(events[0], event_id="ec:twin", equipment_id=None)
    nothing = replace(events[0], event_id="ec:nothing", oil=Loss(rate=0.0), gas=Loss(rate=0.0), equipment_id=None)
    single = [replace(events[0], equipment_id=None), *events[1:]]
    alike = table(attribute_day(graph, [*single, twin], DAY), graph, "volume")
    if "ec:twin" in alike:
        assert alike["ec:twin"] == pytest.approx(alike[events[0].event_id], rel=RELATIVE, abs=1e-8)
    idle = attribute_day(graph, [*events, nothing], DAY)
    assert not np.any(table(idle, graph, "volume").get("ec:nothing", 0.0))
    assert [d for d in idle.drivers if d.event_id != "ec:nothing"] == list(day.drivers)


@QUICK
@given(cases(4, whole_day=False), st.randoms(use_true_random=False))
def test_day_when_events_lie_anywhere_then_closes_and_order_plays_no_part(
    case: tuple[Graph, list[Event]], chance: object
) -> None:
    day_obeys_its_invariants(case, lambda events: chance.sample(events, len(events)))  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.timeout(7200)
@PROOF
@given(cases(6, whole_day=False), st.randoms(use_true_random=False))
def test_day_when_ten_thousand_cases_then_closes_and_order_plays_no_part(
    case: tuple[Graph, list[Event]], chance: object
) -> None:
    day_obeys_its_invariants(case, lambda events: chance.sample(events, len(events)))  # type: ignore[attr-defined]
