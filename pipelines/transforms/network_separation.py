"""Whether given flows at the cut meters are possible, which row says no, and how they are routed.

The network falls into the part before the cut and the part behind it; one max-flow answers for both.
Feed before a plant, sales behind it: each part is a plain network in its own unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.transforms.network import UNLIMITED, Graph
from pipelines.transforms.network_flow import FlowNet
from pipelines.transforms.network_rows import Row, Sides

Array = NDArray[np.float64]
# A sum above its row by less than this part of the row is rounding.
VIOLATION_TOLERANCE = 1e-11
START, END = 0, 1


class Separator:
    """One graph's two parts as a residual network whose capacities are set for each question."""

    def __init__(self, graph: Graph, index: Mapping[tuple[str, str], int], sides: Sides) -> None:
        self.graph = graph
        self.index = index
        yields = {n.node_id: n.sales_yield for n in graph.nodes}
        self.yield_of = [yields[m.facility_id] if m.edge_ids else 1.0 for m in graph.meters]
        net = FlowNet(2)
        self.net = net
        # (arc, element, sales per unit of the arc's flow)
        self.arcs: list[tuple[int, int, float]] = []
        self.arc_names: dict[int, int] = {}
        self.entry_arcs: list[tuple[int, int]] = []
        self.hub_arcs: list[tuple[int, list[int]]] = []
        self.sink_arcs: list[int] = []
        place = {n.node_id: (net.add_node(), net.add_node()) for n in graph.nodes}
        self.before_nodes = {i for node in place for i in place[node] if node not in sides.behind}
        own = sides.own
        for s in graph.sources:
            arc = net.add_arc(START, place[s.node_id][0])
            if s.source_id in own:
                self.entry_arcs.append((arc, own[s.source_id]))
            else:
                self._element(arc, index["source", s.source_id], 1.0)
        gates = {f: net.add_node() for f, m in enumerate(graph.meters) if m.edge_ids}
        for f, gate in gates.items():
            self.entry_arcs.append((net.add_arc(START, gate), f))
        for e in graph.edges:
            outlet = sides.outlets.get(e.edge_id)
            tail = place[e.from_id][1] if outlet is None else gates[outlet]
            self._element(net.add_arc(tail, place[e.to_id][0]), index["edge", e.edge_id], 1.0)
        for n in graph.nodes:
            factor = n.sales_yield if n.node_id in sides.hubs else 1.0
            self._element(net.add_arc(*place[n.node_id]), index["node", n.node_id], factor)
            if n.is_sink:
                self.sink_arcs.append(net.add_arc(place[n.node_id][1], END))
        for hub, meters in sides.hubs.items():
            self.hub_arcs.append((net.add_arc(place[hub][1], END), meters))
        self.feed_of = {e: 1.0 / factor for _, e, factor in self.arcs if factor != 1.0}
        self._own = [
            index["outlet", f"{m.facility_id}:{m.network}"] if m.edge_ids else index["source", m.facility_id]
            for m in graph.meters
        ]
        self._find_parts()

    def _element(self, arc: int, element: int, factor: float) -> None:
        self.arcs.append((arc, element, factor))
        self.arc_names[arc] = element

    def _prepare(self, flows: Array, capacities: Array) -> float:
        """Set the arcs to the question; the amount wanted."""
        net = self.net
        for arc, element, factor in self.arcs:
            net.set_arc(arc, float(capacities[element]) / factor)
        wanted = 0.0
        for arc, f in self.entry_arcs:
            net.set_arc(arc, float(flows[f]))
            wanted += float(flows[f])
        for arc, meters in self.hub_arcs:
            feed = sum(float(flows[f]) / self.yield_of[f] for f in meters)
            net.set_arc(arc, feed)
            wanted += feed
        for arc in self.sink_arcs:
            net.set_arc(arc, UNLIMITED)
        return wanted

    def violated(self, flows: Array, capacities: Array) -> list[Row]:
        """Rows that the flows break, both of the cut nearest the sources and nearest the sinks."""
        missing = self._prepare(flows, capacities) - self.net.maximise(START, END)
        if missing <= VIOLATION_TOLERANCE * float(flows.sum()):
            return []
        beyond_end = self.net.reaching(END)
        rows = self._rows_of(self.net.reached_from(START)) + self._rows_of([not b for b in beyond_end])
        broken = []
        for row in dict.fromkeys(rows):
            size = float(np.dot(row.weights, flows))
            if size > float(row.right_side(capacities[np.newaxis, :])[0]) * (1.0 + VIOLATION_TOLERANCE):
                broken.append(row)
        return broken

    def _rows_of(self, near: list[bool]) -> list[Row]:
        """A cut's rows, one for each connected group of nodes that it closes off.

        Before the cut that is what lies beyond the cut's lines (plants that get too little), behind it
        what lies on the near side (outlets that cannot get rid of it).
        """
        net = self.net
        inside = [
            (not near[i] if i in self.before_nodes else near[i]) and i not in (START, END)
            for i in range(len(net.adjacent))
        ]
        group = list(range(len(inside)))

        def root(i: int) -> int:
            while group[i] != i:
                group[i] = group[group[i]]
                i = group[i]
            return i

        for arc in self.arc_names:
            a, b = net.head[arc ^ 1], net.head[arc]
            if inside[a] and inside[b]:
                group[root(a)] = root(b)
        weights: dict[int, dict[int, float]] = defaultdict(dict)
        for arc, f in self.entry_arcs:
            if inside[net.head[arc]] and net.head[arc] not in self.before_nodes:
                weights[root(net.head[arc])][f] = 1.0
        for arc, meters in self.hub_arcs:
            tail = net.head[arc ^ 1]
            if inside[tail]:
                weights[root(tail)].update({f: 1.0 / self.yield_of[f] for f in meters})
        elements: dict[int, set[int]] = defaultdict(set)
        for arc, element in self.arc_names.items():
            a, b = net.head[arc ^ 1], net.head[arc]
            if inside[b] and b in self.before_nodes and not inside[a]:
                elements[root(b)].add(element)
            if inside[a] and a not in self.before_nodes and not inside[b]:
                elements[root(a)].add(element)
        count = len(self.yield_of)
        rows = []
        for at, members in weights.items():
            limits = tuple(sorted(elements[at]))
            # A plant's own node limits sales, which are written here as the feed that makes them.
            factors = tuple(self.feed_of.get(e, 1.0) for e in limits)
            rows.append(Row(tuple(members.get(f, 0.0) for f in range(count)), limits, factors))
        return rows

    def route(self, flows: Array, capacities: Array) -> Array:
        """Flow of every element, shape (elements,), when the meters flow so; ties by edge id."""
        self._prepare(flows, capacities)
        self.net.maximise_by_order(START, END)
        through = np.zeros(len(self.index))
        for arc, element, factor in self.arcs:
            through[element] = self.net.flow(arc) * factor
        for _, f in self.entry_arcs:
            through[self._own[f]] = flows[f]
        return through

    def parts(self) -> list[int]:
        """Bit masks of the meters in each connected part of the network."""
        masks: dict[int, int] = defaultdict(int)
        for f, node in self._meter_nodes.items():
            masks[self._part[node]] |= 1 << f
        return list(masks.values())

    def connected_meters(self, element: int) -> int:
        """Bit mask of the meters in the part of the network that holds the element."""
        at = self._part[self._node_of[element]] if element in self._node_of else None
        return sum(1 << f for f, node in self._meter_nodes.items() if self._part[node] == at)

    def _find_parts(self) -> None:
        net = self.net
        group = list(range(len(net.adjacent)))

        def root(i: int) -> int:
            while group[i] != i:
                group[i] = group[group[i]]
                i = group[i]
            return i

        for arc in self.arc_names:
            if net.head[arc ^ 1] != START:
                group[root(net.head[arc ^ 1])] = root(net.head[arc])
        gate_of = {f: net.head[arc] for arc, f in self.entry_arcs}
        for arc, meters in self.hub_arcs:
            for f in meters:
                group[root(net.head[arc ^ 1])] = root(gate_of[f])
        self._part = [root(i) for i in range(len(group))]
        self._meter_nodes = gate_of
        self._node_of = {element: net.head[arc] for arc, element in self.arc_names.items()}
