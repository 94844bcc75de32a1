"""The linear rows that a network puts on its cut meters: known at once on trees, found by max-flow elsewhere.

A row is Σ flow_f × weight_f ≤ Σ capacities of its elements, or ≤ what a tree of feeders can supply.
Flows at the meters are possible exactly when every row holds (max-flow min-cut, both sides of the cut).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.transforms.network import Edge, Graph, NetworkError

Array = NDArray[np.float64]
# Full to this part of its size: accumulated rounding of a double, far below any meter.
FULL_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Supply:
    """What a tree of feeders brings to its root: min(node, yield × Σ feeders), lines between."""

    node: int
    sales_yield: float
    sources: tuple[int, ...]
    feeders: tuple[tuple[tuple[int, ...], Supply], ...]

    def most(self, capacities: Array) -> Array:
        """The most that passes the root, shape (batch,)."""
        if len(capacities) == 1:  # plain floats are quicker than arrays of one
            return np.array([self._smallest(capacities[0].tolist())[0]])
        total = np.zeros(len(capacities))
        for s in self.sources:
            total += capacities[:, s]
        for lines, feeder in self.feeders:
            total += np.minimum(capacities[:, list(lines)].sum(axis=1), feeder.most(capacities))
        return np.minimum(capacities[:, self.node], self.sales_yield * total)

    def full_elements(self, capacities: Array) -> list[int]:
        """The elements of every smallest cut of this tree."""
        return self._smallest(capacities.tolist())[1]

    def _smallest(self, capacities: Sequence[float]) -> tuple[float, list[int]]:
        entering = 0.0
        below: list[int] = list(self.sources)
        for s in self.sources:
            entering += capacities[s]
        for lines, feeder in self.feeders:
            line = sum(capacities[e] for e in lines)
            supply, elements = feeder._smallest(capacities)
            entering += min(line, supply)
            if line <= supply * (1.0 + FULL_TOLERANCE):
                below += lines
            if supply <= line * (1.0 + FULL_TOLERANCE):
                below += elements
        entering *= self.sales_yield
        own = capacities[self.node]
        if own < entering * (1.0 - FULL_TOLERANCE):
            return own, [self.node]
        if entering < own * (1.0 - FULL_TOLERANCE):
            return entering, below
        return min(own, entering), [self.node, *below]

    def elements(self) -> set[int]:
        """Every element of the tree."""
        found = {self.node, *self.sources}
        for lines, feeder in self.feeders:
            found |= set(lines) | feeder.elements()
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `weights` per meter (0: not in it), bounded by `elements` together, each times its
    factor (none: 1), or by `supply`."""

    weights: tuple[float, ...]
    elements: tuple[int, ...]
    factors: tuple[float, ...] = ()
    supply: Supply | None = None

    @property
    def mask(self) -> int:
        """Bit mask of the meters in the row."""
        return sum(1 << f for f, w in enumerate(self.weights) if w > 0.0)

    def right_side(self, capacities: Array) -> Array:
        """The bound per capacity vector, shape (batch,)."""
        if self.supply is not None:
            return self.supply.most(capacities)
        limits: Array = capacities[:, list(self.elements)]
        if self.factors:
            limits = limits * np.array(self.factors)
        total: Array = limits.sum(axis=1)
        return total

    def full_elements(self, capacities: Array) -> list[int]:
        """What is saturated when the row is full."""
        return list(self.elements) if self.supply is None else self.supply.full_elements(capacities)


class Structure:
    """The rows known of a graph, in the order found."""

    def __init__(self, rows: Sequence[Row], reach: Sequence[tuple[int, int]]) -> None:
        self.rows: list[Row] = list(rows)
        self._reach: dict[int, int] = defaultdict(int)
        for element, mask in reach:
            self._reach[element] |= mask
        self._crossing: dict[bytes, list[tuple[int, int]]] = {}
        self._rebuild()

    def _rebuild(self) -> None:
        self.weights: Array = np.array([r.weights for r in self.rows], dtype=np.float64)
        self.masks = [r.mask for r in self.rows]
        self._known = set(self.rows)
        # Rows of one element are a plain column of the capacities.
        self._single = [
            (k, r.elements[0])
            for k, r in enumerate(self.rows)
            if r.supply is None and len(r.elements) == 1 and r.factors in ((), (1.0,))
        ]
        single = {k for k, _ in self._single}
        self._other = [(k, r) for k, r in enumerate(self.rows) if k not in single]
        self._crossing.clear()

    def add(self, rows: Sequence[Row]) -> bool:
        """Take rows in; whether any was new."""
        new = [r for r in dict.fromkeys(rows) if r not in self._known]
        if new:
            self.rows += new
            self._rebuild()
        return bool(new)

    def right_sides(self, capacities: Array) -> Array:
        """Bounds, shape (batch, rows)."""
        rights = np.empty((len(capacities), len(self.rows)))
        if self._single:
            rights[:, [k for k, _ in self._single]] = capacities[:, [e for _, e in self._single]]
        for k, row in self._other:
            rights[:, k] = row.right_side(capacities)
        return rights

    def reach(self, element: int) -> int:
        """Bit mask of the meters in rows with the element (trees)."""
        return self._reach.get(element, 0)

    def crossing(self, active: NDArray[np.intp]) -> list[tuple[int, int]]:
        """Pairs of positions in `active` whose rows overlap with neither inside the other."""
        key = active.tobytes()
        if key not in self._crossing:
            masks = [self.masks[k] for k in active]
            self._crossing[key] = [
                (a, b)
                for a in range(len(masks))
                for b in range(a)
                if masks[a] & masks[b] not in (0, masks[a], masks[b])
            ]
        return self._crossing[key]


class Sides:
    """Which nodes lie before and behind the cut, and which lines are outlets.

    Raises NetworkError where a node is both, for then flows at the cut do not exist.
    """

    def __init__(self, graph: Graph) -> None:
        self.outlets = {edge_id: f for f, m in enumerate(graph.meters) for edge_id in m.edge_ids}
        self.hubs: dict[str, list[int]] = defaultdict(list)
        self.own: dict[str, int] = {}
        for f, m in enumerate(graph.meters):
            if m.edge_ids:
                self.hubs[m.facility_id].append(f)
            else:
                self.own[m.facility_id] = f
        self.lines = [e for e in graph.edges if e.edge_id not in self.outlets]
        leaving: dict[str, list[Edge]] = defaultdict(list)
        entering: dict[str, list[Edge]] = defaultdict(list)
        for e in self.lines:
            leaving[e.from_id].append(e)
            entering[e.to_id].append(e)
        self.leaving, self.entering = leaving, entering
        starts = [e.to_id for e in graph.edges if e.edge_id in self.outlets]
        starts += [s.node_id for s in graph.sources if s.source_id in self.own]
        self.behind = _closure(starts, {k: [e.to_id for e in v] for k, v in leaving.items()})
        before = {k: [e.from_id for e in v] for k, v in entering.items()}
        self.before = _closure(list(self.hubs), before)
        ends = [n.node_id for n in graph.nodes if n.is_sink]
        self.draining = _closure(ends, before)
        twice = sorted(self.behind & self.before)
        if twice:
            raise NetworkError(
                f"{graph.phase} network: {', '.join(twice)} lies behind one cut meter and before another, "
                "so that its flow would be counted twice"
            )


def _closure(starts: Sequence[str], onward: Mapping[str, Sequence[str]]) -> set[str]:
    seen = set(starts)
    queue = list(seen)
    for node in queue:
        for to in onward.get(node, ()):
            if to not in seen:
                seen.add(to)
                queue.append(to)
    return seen


def tree_structure(graph: Graph, index: Mapping[tuple[str, str], int], sides: Sides) -> Structure | None:
    """All rows of a graph whose feeders form trees to the plants and whose lines behind the cut form
    trees to the sinks (each node leads to one next node); None for any other graph."""
    count = len(graph.meters)
    sinks = {n.node_id for n in graph.nodes if n.is_sink}
    yields = {n.node_id: n.sales_yield for n in graph.nodes}
    onward: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for e in sides.lines:
        side = sides.draining if e.from_id in sides.behind else sides.before
        if e.to_id in side:
            onward[e.from_id].setdefault(e.to_id, []).append(index["edge", e.edge_id])
    for node in sides.behind & sides.draining:
        if len(onward[node]) != (node not in sinks):
            return None
    for node in sides.before:
        if len(onward[node]) != (node not in sides.hubs):
            return None
    sources: dict[str, list[int]] = defaultdict(list)
    for s in graph.sources:
        if s.source_id not in sides.own:
            sources[s.node_id].append(index["source", s.source_id])

    def supply(node: str) -> Supply:
        feeders: dict[str, list[int]] = defaultdict(list)
        for e in sides.entering[node]:
            feeders[e.from_id].append(index["edge", e.edge_id])
        return Supply(
            index["node", node],
            yields[node] if node in sides.hubs else 1.0,
            tuple(sources[node]),
            tuple((tuple(lines), supply(u)) for u, lines in feeders.items()),
        )

    entry = {s.source_id: s.node_id for s in graph.sources}
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    at: str | None
    for f, m in enumerate(graph.meters):
        if m.edge_ids:
            lines = [e for e in graph.edges if e.edge_id in m.edge_ids and e.to_id in sides.draining]
            if len({e.to_id for e in lines}) > 1:
                return None
            at = lines[0].to_id if lines else None
            groups[tuple(index["edge", e.edge_id] for e in lines)].append(f)
        else:
            at = entry[m.facility_id] if entry[m.facility_id] in sides.draining else None
        if at is None:
            groups[()].append(f)
        while at is not None:
            groups[index["node", at],].append(f)
            step = onward[at]
            following = next(iter(step), None)
            if following is not None:
                groups[tuple(step[following])].append(f)
            at = following
    rows = [Row(_weights(members, count), elements) for elements, members in groups.items()]
    reach = [(e, row.mask) for row in rows for e in row.elements]
    for hub, members in sides.hubs.items():
        tree = supply(hub)
        rows.append(Row(_weights(members, count), (), (), tree))
        reach += [(e, rows[-1].mask) for e in tree.elements()]
    return Structure(rows, reach)


def _weights(members: Sequence[int], count: int) -> tuple[float, ...]:
    inside = set(members)
    return tuple(1.0 if f in inside else 0.0 for f in range(count))
