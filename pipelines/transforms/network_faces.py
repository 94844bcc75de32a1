"""The fairest of the maximum flows, where lines shared before and behind the cut cross.

There max-min fairness alone can stop short of the maximum, which the domain puts first. Found by
raising a common level as a lower bound of every meter while the flow stays at its maximum.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.transforms.network import UNLIMITED, Graph
from pipelines.transforms.network_flow import FlowNet, downstream_yields

Array = NDArray[np.float64]
START, END = 0, 1
# Flows that differ by less than this part of their sum are equal: rounding of some hundred sums.
SAME = 1e-11


class _Joined:
    """The whole network in feed units, with one arc for each meter."""

    def __init__(self, graph: Graph, index: Mapping[tuple[str, str], int], capacities: Array) -> None:
        scale = downstream_yields(graph)
        own = {m.facility_id: f for f, m in enumerate(graph.meters) if not m.edge_ids}
        outlets = {edge_id: f for f, m in enumerate(graph.meters) for edge_id in m.edge_ids}
        self.net = FlowNet(2)
        # Set once the maximum is known: what is below it is no flow.
        self.rounding = 0.0
        self.limits: list[tuple[int, float]] = []
        self.meter_arcs = [0] * len(graph.meters)
        place = {n.node_id: (self.net.add_node(), self.net.add_node()) for n in graph.nodes}
        gates = {f: self.net.add_node() for f in range(len(graph.meters)) if graph.meters[f].edge_ids}

        def limit(tail: int, head: int, kind: str, name: str) -> None:
            capacity = float(capacities[index[kind, name]]) / scale.get((kind, name), 1.0)
            self.limits.append((self.net.add_arc(tail, head), capacity))

        for s in graph.sources:
            if s.source_id in own:
                self.meter_arcs[own[s.source_id]] = self.net.add_arc(START, place[s.node_id][0])
            else:
                limit(START, place[s.node_id][0], "source", s.source_id)
        for e in graph.edges:
            f = outlets.get(e.edge_id)
            limit(place[e.from_id][1] if f is None else gates[f], place[e.to_id][0], "edge", e.edge_id)
        for n in graph.nodes:
            limit(*place[n.node_id], "node", n.node_id)
            if n.is_sink:
                self.limits.append((self.net.add_arc(place[n.node_id][1], END), UNLIMITED))
        for f, gate in gates.items():
            self.meter_arcs[f] = self.net.add_arc(place[graph.meters[f].facility_id][1], gate)

    def most(self, lower: Array, upper: Array) -> tuple[float, float]:
        """(what the lower bounds lack, the maximum with them kept); the net keeps the solution."""
        net = self.net
        for arc, capacity in self.limits:
            net.set_arc(arc, capacity)
        for arc, amount in zip(self.meter_arcs, lower, strict=True):
            net.set_arc(arc, float(amount))
        kept = net.maximise(START, END)
        lacking = float(lower.sum()) - kept
        if lacking > self.rounding:
            return lacking, kept
        for f, arc in enumerate(self.meter_arcs):
            # Never below its bound again: nothing to send back through the meter.
            net.set_arc(arc, max(0.0, float(upper[f] - lower[f])))
        return 0.0, kept + net.maximise(START, END)


def fairest_maximum(
    graph: Graph,
    index: Mapping[tuple[str, str], int],
    capacities: Array,
    bounds: Array,
    potentials: Array,
    filled: Array,
) -> Array | None:
    """Flows per meter of the max-min fair one among the maximum flows, or None where `filled` already
    is at the maximum. Plants of unequal yield have no common measure of a maximum: None too."""
    yields = {n.node_id: n.sales_yield for n in graph.nodes}
    part = np.array([yields[m.facility_id] if m.edge_ids else 1.0 for m in graph.meters])
    if part.min() != part.max():
        return None
    joined = _Joined(graph, index, capacities)
    upper = bounds / part
    share = potentials / part
    _, most = joined.most(np.zeros_like(upper), upper)
    rounding = joined.rounding = SAME * max(most, 1e-300)
    if most - float((filled / part).sum()) <= rounding:
        return None
    flows = np.zeros_like(upper)
    live = (upper > 0.0) & (share > 0.0)
    while live.any():
        level = float((upper[live] / share[live]).min())
        while True:
            lower = np.where(live, np.minimum(level * share, upper), flows)
            lacking, total = joined.most(lower, np.where(live, upper, flows))
            short = lacking if lacking > 0.0 else most - total
            if short <= rounding or level == 0.0:
                break
            near = joined.net.reached_from(START)
            head = joined.net.head
            slope = 0.0
            for f in np.flatnonzero(live):
                arc = joined.meter_arcs[f]
                tail_near, head_near = near[head[arc ^ 1]], near[head[arc]]
                # Both cuts are linear in the level: what it asks for beyond what its cut lets pass.
                counts = not (tail_near and not head_near) if lacking > 0.0 else (head_near and not tail_near)
                slope += float(share[f]) if counts else 0.0
            if slope <= 0.0:
                break
            level = max(0.0, level - short / slope)
        lower = np.where(live, np.minimum(level * share, upper), flows)
        stopped = _stopped(joined, lower, upper, live, rounding)
        flows = np.where(stopped, lower, flows)
        live &= ~stopped
    sales: Array = flows * part
    return sales


def _stopped(
    joined: _Joined, lower: Array, upper: Array, live: NDArray[np.bool_], rounding: float
) -> NDArray[np.bool_]:
    """Meters that cannot exceed their lower bound in any maximum flow; at least one."""
    net = joined.net
    stopped = np.zeros_like(live)
    # An arc is closed below the tolerance of the level, or rounding would keep every meter open.
    net.rounding = max(net.rounding, rounding)
    for f in np.flatnonzero(live):
        arc = joined.meter_arcs[f]
        if net.flow(arc) > rounding:
            continue
        tail, head = net.head[arc ^ 1], net.head[arc]
        if upper[f] - lower[f] <= rounding or not net.reached_from(head)[tail]:
            stopped[f] = True
    if not stopped.any():
        closest = np.where(live, np.array([net.flow(a) for a in joined.meter_arcs]), np.inf)
        stopped[int(closest.argmin())] = True
    return stopped
