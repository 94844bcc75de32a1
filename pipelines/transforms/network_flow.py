"""Plain maximum flow (Dinic) on small networks, and the capacity of a parent.

Arcs are searched in the order in which they were added, so a caller who adds them by edge id gets
the same routing whatever the order of the rows. Rates as in the graph.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipelines.transforms.network import OIL, UNLIMITED, Edge, Graph

# Stands for "unlimited" inside sums: infinities would turn differences into NaN. Eight orders
# above the largest node rate that is accepted at load (5e9 scf/d).
BIG = 1e18
# Relative size below which a residual is rounding and not capacity.
RELATIVE_ROUNDING = 1e-13


class FlowNet:
    """A residual network with arcs in pairs: arc i forward, i ^ 1 backward."""

    __slots__ = ("adjacent", "capacity", "head", "rounding")

    def __init__(self, node_count: int) -> None:
        self.adjacent: list[list[int]] = [[] for _ in range(node_count)]
        self.head: list[int] = []
        self.capacity: list[float] = []
        self.rounding = 0.0

    def add_node(self) -> int:
        """A new node's index."""
        self.adjacent.append([])
        return len(self.adjacent) - 1

    def add_arc(self, tail: int, head: int, capacity: float = 0.0) -> int:
        """A new arc's index; its flow is the capacity of index + 1."""
        index = len(self.head)
        self.head += [head, tail]
        self.capacity += [min(capacity, BIG), 0.0]
        self.adjacent[tail].append(index)
        self.adjacent[head].append(index + 1)
        return index

    def set_arc(self, arc: int, capacity: float) -> None:
        """Give an arc its capacity and no flow."""
        self.capacity[arc] = capacity if capacity < BIG else BIG
        self.capacity[arc + 1] = 0.0

    def flow(self, arc: int) -> float:
        """What a solved net sends through an arc."""
        return self.capacity[arc + 1]

    def maximise(self, source: int, sink: int) -> float:
        """Add flow from source to sink until no more fits; the amount added."""
        finite = [c for c in self.capacity[::2] if c < BIG]
        self.rounding = RELATIVE_ROUNDING * max(finite, default=0.0)
        total = 0.0
        while (levels := self._levels(source, sink)) is not None:
            cursor = [0] * len(self.adjacent)
            while (pushed := self._push(source, sink, levels, cursor)) > 0.0:
                if pushed >= BIG:  # a way that nothing limits
                    return BIG
                total += pushed
        return total

    def _levels(self, source: int, sink: int) -> list[int] | None:
        levels = [-1] * len(self.adjacent)
        levels[source] = 0
        queue = [source]
        capacity, head, rounding = self.capacity, self.head, self.rounding
        for node in queue:
            for arc in self.adjacent[node]:
                to = head[arc]
                if levels[to] < 0 and capacity[arc] > rounding:
                    levels[to] = levels[node] + 1
                    if to == sink:
                        return levels
                    queue.append(to)
        return None

    def _push(self, source: int, sink: int, levels: list[int], cursor: list[int]) -> float:
        """Send flow along one shortest path; 0 when the level graph is exhausted."""
        path: list[int] = []
        node = source
        capacity, head, rounding = self.capacity, self.head, self.rounding
        while node != sink:
            arcs = self.adjacent[node]
            while cursor[node] < len(arcs):
                arc = arcs[cursor[node]]
                if capacity[arc] > rounding and levels[head[arc]] == levels[node] + 1:
                    path.append(arc)
                    node = head[arc]
                    break
                cursor[node] += 1
            else:
                if not path:
                    return 0.0
                node = head[path.pop() ^ 1]
                cursor[node] += 1
        amount = min(capacity[arc] for arc in path)
        for arc in path:
            if capacity[arc] < BIG:
                capacity[arc] -= amount
            capacity[arc ^ 1] += amount
        return amount

    def maximise_by_order(self, source: int, sink: int) -> float:
        """The same amount as maximise, routed so that each node, from the sink on, draws on its incoming arcs in the
        order in which they were added, each as far as it gives, before the next."""
        finite = [c for c in self.capacity[::2] if c < BIG]
        self.rounding = RELATIVE_ROUNDING * max(finite, default=0.0)
        total = 0.0
        while (path := self._first_way_back(source, sink)) is not None:
            amount = min(self.capacity[arc] for arc in path)
            if amount >= BIG:  # a way that nothing limits
                return BIG
            for arc in path:
                if self.capacity[arc] < BIG:
                    self.capacity[arc] -= amount
                self.capacity[arc ^ 1] += amount
            total += amount
        return total

    def _first_way_back(self, source: int, sink: int) -> list[int] | None:
        """Arcs of the first way with room, found from the sink in arc order; None when there is none."""
        capacity, head, rounding = self.capacity, self.head, self.rounding
        seen = [False] * len(self.adjacent)
        seen[sink] = True
        path: list[int] = []
        cursor = [0] * len(self.adjacent)
        node = sink
        while node != source:
            arcs = self.adjacent[node]
            while cursor[node] < len(arcs):
                incoming = arcs[cursor[node]] ^ 1
                cursor[node] += 1
                if capacity[incoming] > rounding and not seen[head[incoming ^ 1]]:
                    path.append(incoming)
                    node = head[incoming ^ 1]
                    seen[node] = True
                    break
            else:
                if not path:
                    return None
                node = head[path.pop()]
        return path

    def reached_from(self, start: int) -> list[bool]:
        """Which nodes further flow could reach from `start`."""
        seen = [False] * len(self.adjacent)
        seen[start] = True
        queue = [start]
        for node in queue:
            for arc in self.adjacent[node]:
                to = self.head[arc]
                if not seen[to] and self.capacity[arc] > self.rounding:
                    seen[to] = True
                    queue.append(to)
        return seen

    def reaching(self, end: int) -> list[bool]:
        """From which nodes further flow could reach `end`."""
        seen = [False] * len(self.adjacent)
        seen[end] = True
        queue = [end]
        for node in queue:
            for arc in self.adjacent[node]:
                to = self.head[arc]
                if not seen[to] and self.capacity[arc ^ 1] > self.rounding:
                    seen[to] = True
                    queue.append(to)
        return seen


@dataclass(frozen=True, slots=True)
class NetworkCapacity:
    """The most that can pass (per 24 h; None: nothing limits it) and the elements that limit it,
    as (kind, id) with kind node, edge or outlet (`facility:network`), sorted; where two cuts bind
    alike, the one nearer the sinks."""

    rate: float | None
    bottlenecks: tuple[tuple[str, str], ...]


def downstream_yields(graph: Graph) -> dict[tuple[str, str], float]:
    """Sales per feed of what passes an element, by (kind, id); absent means raw, that is 1.

    A plant and everything behind it carries sales. Where plants of unequal yield share a line the
    larger yield stands, which understates the feed that fits by at most their difference.
    """
    leaving: dict[str, list[Edge]] = {}
    for e in graph.edges:
        leaving.setdefault(e.from_id, []).append(e)
    yields = {n.node_id: n.sales_yield for n in graph.nodes}
    result: dict[tuple[str, str], float] = {}
    for plant in sorted({m.facility_id for m in graph.meters if m.edge_ids}, key=lambda i: yields[i]):
        result["node", plant] = yields[plant]
        queue = [e for e in leaving.get(plant, []) if e.on_cut]
        seen: set[str] = set()
        for e in queue:
            result["edge", e.edge_id] = result["node", e.to_id] = yields[plant]
            if e.to_id not in seen:
                seen.add(e.to_id)
                queue += leaving.get(e.to_id, [])
    return result


def max_flow_capacity(
    graph: Graph, facility_ids: Collection[str], networks: Collection[str] | None = None
) -> NetworkCapacity:
    """A parent's maxCapacity: max-flow through node and edge capacities from its sources to its
    sinks (domain, Roll-up 2), counted at the cut meters of `facility_ids`.

    The sources' own rates and potentials do not limit a capacity. Meters outside the set, or on
    other networks than `networks` (default: all), stand still. Gas is counted as sales. No meter: 0.
    """
    wanted = set(facility_ids)
    meters = [m for m in graph.meters if m.facility_id in wanted and (networks is None or m.network in networks)]
    own = {m.facility_id for m in meters if not m.edge_ids}
    all_outlets = {edge_id for m in graph.meters for edge_id in m.edge_ids}
    scale = downstream_yields(graph)
    net = FlowNet(2)
    start, end = 0, 1
    place = {n.node_id: (net.add_node(), net.add_node()) for n in graph.nodes}
    names: dict[int, tuple[str, str]] = {}
    for n in graph.nodes:
        # Feed equivalents throughout: a sales capacity is divided by the yield of what passes it.
        arc = net.add_arc(*place[n.node_id], n.capacity / scale.get(("node", n.node_id), 1.0))
        names[arc] = ("node", n.node_id)
        if n.is_sink:
            net.add_arc(place[n.node_id][1], end, UNLIMITED)
    for s in graph.sources:
        if s.source_id in own or (not s.on_cut and graph.phase != OIL):
            net.add_arc(start, place[s.node_id][0], UNLIMITED)
    outlet_of: dict[str, int] = {}
    gates: dict[float, list[tuple[int, float]]] = {}
    for m in meters:
        if m.edge_ids:
            outlet = net.add_node()
            outlet_of.update(dict.fromkeys(m.edge_ids, outlet))
            arc = net.add_arc(place[m.facility_id][1], outlet)
            names[arc] = ("outlet", f"{m.facility_id}:{m.network}")
            part = scale["node", m.facility_id]
            gates.setdefault(part, []).append((arc, m.capacity / part))
    for e in graph.edges:
        if e.edge_id in outlet_of or e.edge_id not in all_outlets:
            tail = outlet_of.get(e.edge_id, place[e.from_id][1])
            arc = net.add_arc(tail, place[e.to_id][0], e.capacity / scale.get(("edge", e.edge_id), 1.0))
            names[arc] = ("edge", e.edge_id)
    # The same feed sells for more at the plant of the better yield: outlets open by falling yield,
    # and what one takes is not given back (greedy, exact on a polymatroid).
    total = 0.0
    filled: list[int] = []
    for part in sorted(gates, reverse=True) or [1.0]:
        for arc in filled:
            net.capacity[arc + 1] = 0.0
        for arc, capacity in gates.get(part, []):
            net.set_arc(arc, capacity)
            filled.append(arc)
        added = net.maximise(start, end)
        if added >= BIG:
            return NetworkCapacity(None, ())
        total += part * added
    near_end = net.reaching(end)
    cut = [name for arc, name in names.items() if near_end[net.head[arc]] and not near_end[net.head[arc ^ 1]]]
    return NetworkCapacity(total, tuple(sorted(cut)))
