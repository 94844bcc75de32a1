"""The fair flow: the maximum flow at the cut meters that is max-min fair in flow ÷ potential.

Cut meters obey linear rows Σ flow_f × weight_f ≤ Σ capacities, one for each cut of the network. Where
lines form trees all rows are known and a whole batch of capacity vectors is filled at once; elsewhere
a violated row is found by max-flow (Dinic) and added. Formula: domain, Gap drivers, Flows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.transforms.network import Graph, Meter, NetworkError
from pipelines.transforms.network_faces import fairest_maximum
from pipelines.transforms.network_flow import BIG
from pipelines.transforms.network_rows import Sides, Structure, tree_structure
from pipelines.transforms.network_separation import Separator

Array = NDArray[np.float64]
# An element is (kind, id): kind source, node, edge or outlet (`facility:network`).
Element = tuple[str, str]

# Levels closer than this are one level: some hundred roundings of a double.
LEVEL_TOLERANCE = 1e-12
# A row whose room is below this part of its size is full.
TIGHT_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class FairFlow:
    """The flow of every cut meter (facility_id, network), rate per 24 h, and for each meter below
    its potential the saturated element that froze it, lowest id on a tie; None at potential."""

    flows: Mapping[tuple[str, str], float]
    frozen_by: Mapping[tuple[str, str], Element | None]


class FairSolver:
    """One day's graph, prepared for many solves with changed capacities.

    `elements` are what an event can limit, in a fixed order; `base` their capacities undisturbed
    (`BIG`: unlimited); `meters` the columns of every result. Raises NetworkError where a way crosses
    the counting cut twice, for then flows at the cut do not exist.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.meters: tuple[Meter, ...] = graph.meters
        self.elements: tuple[Element, ...] = (
            *(("source", s.source_id) for s in graph.sources),
            *(("node", n.node_id) for n in graph.nodes),
            *(("edge", e.edge_id) for e in graph.edges),
            *(("outlet", f"{m.facility_id}:{m.network}") for m in graph.meters if m.edge_ids),
        )
        self.index: dict[Element, int] = {e: i for i, e in enumerate(self.elements)}
        capacities = [
            *(s.rate for s in graph.sources),
            *(n.capacity for n in graph.nodes),
            *(e.capacity for e in graph.edges),
            *(m.capacity for m in graph.meters if m.edge_ids),
        ]
        self.base: Array = np.minimum(np.array(capacities, dtype=np.float64), BIG)
        self.potentials: Array = np.array([m.potential for m in graph.meters], dtype=np.float64)
        self._own = np.array([self.index[_own_element(m)] for m in graph.meters], dtype=np.intp)
        structure = _known_structure(graph, self.index)
        self.is_tree = structure is not None
        self._structure = structure if structure is not None else Structure([], [])
        self._flow: Array | None = None
        self._frozen: list[Element | None] | None = None

    @cached_property
    def _separator(self) -> Separator:
        # A tree without events never asks it.
        return Separator(self.graph, self.index, Sides(self.graph))

    # --- solving ---------------------------------------------------------------------------------

    def solve(self, capacities: Array) -> Array:
        """Fair flows, shape (batch, meters), for capacities of shape (batch, elements)."""
        bounds = np.minimum(capacities[:, self._own], self.potentials)
        if self.is_tree:
            flows, rights, active = self._fill(capacities, bounds)
        else:
            while True:
                flows, rights, active = self._fill(capacities, bounds)
                found = [row for i in range(len(flows)) for row in self._separator.violated(flows[i], capacities[i])]
                if not self._structure.add(found):
                    break
        self._raise_to_maximum(flows, capacities, bounds, rights, active)
        return flows

    def undisturbed(self) -> Array:
        """flow_f(∅) per meter; solved once."""
        if self._flow is None:
            self._flow = self.solve(self.base[np.newaxis, :])[0]
        return self._flow

    def undisturbed_frozen_by(self) -> list[Element | None]:
        """`frozen_by` of the undisturbed flow; found once."""
        if self._frozen is None:
            self._frozen = self.frozen_by(self.undisturbed(), self.base)
        return self._frozen

    def _fill(self, capacities: Array, bounds: Array) -> tuple[Array, Array, NDArray[np.intp]]:
        """Water-filling of the rows known so far; also the active rows' right sides and indices."""
        rows = self._structure
        potentials = self.potentials
        batch, meters = bounds.shape
        flows = np.zeros((batch, meters))
        if not rows.rows or not meters:
            return bounds.copy(), np.zeros((batch, 0)), np.zeros(0, dtype=np.intp)
        rights = rows.right_sides(capacities)
        active = np.flatnonzero(rights.min(axis=0) < (rows.weights @ bounds.max(axis=0)) * (1.0 + LEVEL_TOLERANCE))
        rights = rights[:, active]
        weights = rows.weights[active]
        if not active.size:
            return bounds.copy(), rights, active
        members = (weights > 0.0).astype(np.float64)
        live = (bounds > 0.0) & (potentials > 0.0)
        safe = np.where(potentials > 0.0, potentials, 1.0)
        own_level = bounds / safe
        used = np.zeros_like(rights)
        level_of_row = np.empty_like(rights)
        while live.any():
            demand = (live * potentials) @ weights.T
            level_of_row.fill(np.inf)
            np.divide(rights - used, demand, out=level_of_row, where=demand > 0.0)
            own = np.where(live, own_level, np.inf)
            level = np.maximum(np.minimum(level_of_row.min(axis=1), own.min(axis=1)), 0.0)
            limit = (level * (1.0 + LEVEL_TOLERANCE))[:, np.newaxis]
            stop = live & ((own <= limit) | (((level_of_row <= limit) * 1.0) @ members > 0.0))
            reached = np.minimum(np.where(np.isfinite(level), level, 0.0)[:, np.newaxis] * potentials, bounds)
            np.copyto(flows, reached, where=stop)
            live &= ~stop
            used = flows @ weights.T
        return flows, rights, active

    def _raise_to_maximum(
        self, flows: Array, capacities: Array, bounds: Array, rights: Array, active: NDArray[np.intp]
    ) -> None:
        """Where full rows before and behind the cut cross, filling alone may stop below the maximum:
        those solutions are replaced by the fairest one of the maximum ones."""
        crossing = self._structure.crossing(active)
        if not crossing:
            return
        full = flows @ self._structure.weights[active].T >= rights * (1.0 - TIGHT_TOLERANCE)
        suspects = np.zeros(len(flows), dtype=bool)
        for a, b in crossing:
            suspects |= full[:, a] & full[:, b]
        for i in np.flatnonzero(suspects):
            better = fairest_maximum(self.graph, self.index, capacities[i], bounds[i], self.potentials, flows[i])
            if better is not None:
                flows[i] = better

    # --- what the flows mean ---------------------------------------------------------------------

    def frozen_by(self, flows: Array, capacities: Array) -> list[Element | None]:
        """Per meter below its potential the full element that stopped it: among the full rows in which
        no other meter stands at a higher level; lowest id on a tie; None at potential."""
        rows = self._structure
        result: list[Element | None] = [None] * len(self.meters)
        below = np.flatnonzero(flows < self.potentials * (1.0 - TIGHT_TOLERANCE))
        if not below.size:
            return result
        rights = rows.right_sides(capacities[np.newaxis, :])[0]
        levels = flows / np.where(self.potentials > 0.0, self.potentials, 1.0)
        full: list[tuple[Array, list[int]]] = []
        if rows.rows:
            holds = (rows.weights @ flows >= rights * (1.0 - TIGHT_TOLERANCE)) & rows.weights[:, below].any(axis=1)
            full = [(rows.weights[k], rows.rows[k].full_elements(capacities)) for k in np.flatnonzero(holds)]
        for f in below:
            holding = [(weights, elements) for weights, elements in full if weights[f] > 0.0]
            highest = levels[f] * (1.0 + TIGHT_TOLERANCE)
            stopping = [elements for weights, elements in holding if levels[weights > 0.0].max() <= highest]
            found = {e for elements in stopping or [elements for _, elements in holding] for e in elements}
            own = int(self._own[f])
            if flows[f] >= capacities[own] * (1.0 - TIGHT_TOLERANCE):
                found.add(own)
            named = {self._named(self.elements[e], self.meters[f]) for e in found}
            # A meter that nothing leads to has no element to name but its own place.
            place = ("node", self.meters[f].facility_id)
            result[f] = min(named, key=lambda e: (e[1], e[0]), default=place)
        return result

    def _named(self, element: Element, meter: Meter) -> Element:
        # An outlet is part of its plant, which is what a reader knows.
        return ("node", meter.facility_id) if element[0] == "outlet" else element

    def through(self, flows: Array) -> Array:
        """flow_t of every element when the meters flow so: a plant and what lies behind it in sales,
        the rest raw. Where supply exceeds need, a node draws on its lines in the order of their ids."""
        return self._separator.route(flows, self.base)

    # --- what can act on what --------------------------------------------------------------------

    def reach(self, element: int) -> int:
        """Bit mask of the meters whose rows contain the element."""
        own = sum(1 << f for f in range(len(self.meters)) if self._own[f] == element)
        if not self.is_tree:
            return own | self._separator.connected_meters(element)
        return own | self._structure.reach(element)

    def bound_together(self) -> list[int]:
        """Bit masks of meters that influence each other with no event: members of a row that can bind."""
        if not self.is_tree:
            return self._separator.parts()
        rows = self._structure
        if not rows.rows:
            return []
        bounds = np.minimum(self.base[self._own], self.potentials)
        rights = rows.right_sides(self.base[np.newaxis, :])[0]
        binding = np.flatnonzero(rights < (rows.weights @ bounds) * (1.0 + LEVEL_TOLERANCE))
        return [rows.masks[k] for k in binding]


# Structures of the last topologies: from day to day rates change and lines hardly ever do. Only trees,
# whose rows are complete; rows found by search would make a result depend on what was solved before.
_structures: dict[object, Structure | None] = {}
_STRUCTURES_KEPT = 64


def _known_structure(graph: Graph, index: Mapping[Element, int]) -> Structure | None:
    topology = (
        graph.phase,
        tuple((s.source_id, s.node_id, s.on_cut) for s in graph.sources),
        tuple((n.node_id, n.sales_yield, n.is_sink) for n in graph.nodes),
        tuple((e.edge_id, e.from_id, e.to_id, e.on_cut) for e in graph.edges),
        tuple((m.key, m.edge_ids) for m in graph.meters),
    )
    if topology not in _structures:
        structure = tree_structure(graph, index, Sides(graph))
        while len(_structures) >= _STRUCTURES_KEPT:
            _structures.pop(next(iter(_structures)), None)
        _structures[topology] = structure
        return structure
    return _structures[topology]


def fair_flow(graph: Graph, available: Mapping[Element, float] | None = None) -> FairFlow:
    """The fair flow of a graph in which some elements have less `available` than their capacity.

    Keys of `available` are (kind, id); rates per 24 h, a negative one counts as 0. Raises NetworkError
    for an element that the graph does not have.
    """
    solver = FairSolver(graph)
    capacities = solver.base.copy()
    for element, rate in (available or {}).items():
        if element not in solver.index:
            raise NetworkError(f"{graph.phase} network has no {element[0]} {element[1]}")
        at = solver.index[element]
        capacities[at] = min(capacities[at], max(0.0, rate))
    flows = solver.solve(capacities[np.newaxis, :])[0]
    keys = [m.key for m in solver.meters]
    return FairFlow(
        dict(zip(keys, flows.tolist(), strict=True)),
        dict(zip(keys, solver.frozen_by(flows, capacities), strict=True)),
    )


def _own_element(meter: Meter) -> Element:
    return ("outlet", f"{meter.facility_id}:{meter.network}") if meter.edge_ids else ("source", meter.facility_id)
