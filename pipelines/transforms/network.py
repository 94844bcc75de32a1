"""The network of one production day as an immutable graph, for oil and for gas.

Belongs here: the graph's types and how they are made from reference rows and the day's rates.
Not here: solving flows (network_flow, network_fair), checking the cut (network_cut), events.
Rates are per 24 h: bbl/d in the oil graph, scf/d in the gas graph. Unlimited is math.inf.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

OIL = "oil"
GAS_NETWORKS = ("domesticGas", "exportGas")
RAW_GAS = "rawGas"
UNLIMITED = math.inf


class NetworkError(ValueError):
    """The rows do not describe a network; the message lists every fault found."""


# --- rows: what the caller takes from the reference folder and the day's rates -------------------


@dataclass(frozen=True, slots=True)
class FacilityRow:
    """One facility as it stood on the production day.

    `potentials` and `capacities` are rates per network (absent or None: no potential counts as 0,
    no capacity as unlimited). `counts_in_roll_up` names the networks on whose counting cut the
    facility owns a meter. Fractions are of 1; null reference values are passed as 0.
    """

    facility_id: str
    facility_type: str
    potentials: Mapping[str, float | None] = field(default_factory=dict)
    capacities: Mapping[str, float | None] = field(default_factory=dict)
    counts_in_roll_up: frozenset[str] = frozenset()
    gor_scf_per_bbl: float = 0.0
    fuel_fraction: float = 0.0
    baseline_flare_scfpd: float = 0.0
    shrinkage_fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class ExternalRow:
    """A source, market or export point outside the facilities; `rate` counts for a source only."""

    external_id: str
    kind: str
    network: str
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """One row of the edge table that is valid on the day; capacity None is unlimited."""

    from_id: str
    to_id: str
    network: str
    stream: str = ""
    capacity: float | None = None
    on_cut: bool = False


# --- the graph -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """Where flow enters, at `node_id`, at most `rate`. `on_cut`: its own flow is a cut meter.

    `gas_per_oil` (scf per bbl, gas graph only) turns a loss of oil at the facility into its loss
    of associated gas: GOR × (1 − fuel fraction).
    """

    source_id: str
    node_id: str
    rate: float
    on_cut: bool = False
    gas_per_oil: float = 0.0


@dataclass(frozen=True, slots=True)
class Node:
    """A place that flow passes. A plant's `sales_yield` is sales per feed; its capacity and its
    flow are sales. `is_sink`: flow may end here."""

    node_id: str
    capacity: float = UNLIMITED
    sales_yield: float = 1.0
    is_sink: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """A line. An `on_cut` line carries the cut meter of its `from_id`: a plant's sales outlet, or a
    flowstation's own net oil."""

    edge_id: str
    from_id: str
    to_id: str
    capacity: float = UNLIMITED
    network: str = OIL
    on_cut: bool = False


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter of the counting cut: facility × network, the grain of every attribution.

    `potential` is p_f before any event; `capacity` the facility's own limit on that network.
    `edge_ids` are its outlet lines; empty means the facility's own source is the meter.
    """

    facility_id: str
    network: str
    potential: float
    capacity: float = UNLIMITED
    edge_ids: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """(facility_id, network)."""
        return (self.facility_id, self.network)


@dataclass(frozen=True, slots=True)
class Graph:
    """One production day's network of one phase (`oil` or `gas`), every tuple sorted by id."""

    phase: str
    sources: tuple[Source, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    meters: tuple[Meter, ...]


def make_graph(
    phase: str,
    sources: Iterable[Source],
    nodes: Iterable[Node],
    edges: Iterable[Edge],
    meters: Iterable[Meter],
) -> Graph:
    """A graph in canonical order, whatever the order of the rows.

    Raises NetworkError with every fault: doubled ids, unknown ends, negative or undefined rates.
    """
    graph = Graph(
        phase,
        tuple(sorted(sources, key=lambda s: s.source_id)),
        tuple(sorted(nodes, key=lambda n: n.node_id)),
        tuple(sorted(edges, key=lambda e: e.edge_id)),
        tuple(sorted(meters, key=lambda m: m.key)),
    )
    faults = list(_faults(graph))
    if faults:
        raise NetworkError(f"{phase} network: " + "; ".join(faults))
    return graph


def _faults(graph: Graph) -> Iterable[str]:
    node_ids = {n.node_id for n in graph.nodes}
    edges = {e.edge_id: e for e in graph.edges}
    own_sources = {s.source_id for s in graph.sources if s.on_cut}
    for what, ids in (
        ("source", [s.source_id for s in graph.sources]),
        ("node", [n.node_id for n in graph.nodes]),
        ("edge", [e.edge_id for e in graph.edges]),
        ("meter", ["/".join(m.key) for m in graph.meters]),
    ):
        for doubled in sorted({i for i in ids if ids.count(i) > 1} if len(set(ids)) < len(ids) else ()):
            yield f"{what} {doubled} stands twice"
    for s in graph.sources:
        if s.node_id not in node_ids:
            yield f"source {s.source_id} enters at the unknown node {s.node_id}"
        if not s.rate >= 0:
            yield f"source {s.source_id} has rate {s.rate}"
    for n in graph.nodes:
        if not n.capacity >= 0:
            yield f"node {n.node_id} has capacity {n.capacity}"
        if not 0 < n.sales_yield <= 1:
            yield f"node {n.node_id} has yield {n.sales_yield}, which must lie in (0, 1]"
    for e in graph.edges:
        for end in (e.from_id, e.to_id):
            if end not in node_ids:
                yield f"edge {e.edge_id} ends at the unknown node {end}"
        if not e.capacity >= 0:
            yield f"edge {e.edge_id} has capacity {e.capacity}"
    for m in graph.meters:
        name = "/".join(m.key)
        if not 0 <= m.potential < math.inf or not m.capacity >= 0:
            yield f"meter {name} has potential {m.potential} and capacity {m.capacity}"
        if not m.edge_ids and m.facility_id not in own_sources:
            yield f"meter {name} has neither an outlet line nor a source of its own"
        for edge_id in m.edge_ids:
            edge = edges.get(edge_id)
            if edge is None or not edge.on_cut or edge.from_id != m.facility_id:
                yield f"meter {name} names {edge_id}, which is no outlet line of it"


def build_oil_graph(
    facilities: Sequence[FacilityRow], externals: Sequence[ExternalRow], edges: Sequence[EdgeRow]
) -> Graph:
    """The oil graph: a source of rate p_f at every flowstation and at whatever counts oil.

    The cut meter is the facility's own source, never what passes through it; a terminal's oil
    capacity (its receipt rate) limits it as a node. Where no line leads on, flow ends.
    """
    rows = [e for e in edges if e.network == OIL]
    lines = _lines(rows)
    leads_on = {e.from_id for e in lines}
    sources: list[Source] = []
    nodes: list[Node] = []
    meters: list[Meter] = []
    touched = {end for e in lines for end in (e.from_id, e.to_id)}
    for f in facilities:
        counts = OIL in f.counts_in_roll_up
        makes_oil = counts or (f.facility_type == "flowstation" and f.potentials.get(OIL) is not None)
        if not makes_oil and f.facility_id not in touched:
            continue
        capacity = _limit(f.capacities.get(OIL))
        nodes.append(Node(f.facility_id, capacity, is_sink=f.facility_id not in leads_on))
        if makes_oil:
            rate = f.potentials.get(OIL) or 0.0
            sources.append(Source(f.facility_id, f.facility_id, rate, on_cut=counts))
            if counts:
                meters.append(Meter(f.facility_id, OIL, rate))
    for x in externals:
        if x.network != OIL or x.external_id not in touched:
            continue
        is_source = x.kind == "source"
        nodes.append(Node(x.external_id, is_sink=not is_source and x.external_id not in leads_on))
        if is_source:
            sources.append(Source(x.external_id, x.external_id, x.rate or 0.0))
    return make_graph(OIL, sources, nodes, lines, meters)


def build_gas_graph(
    facilities: Sequence[FacilityRow], externals: Sequence[ExternalRow], edges: Sequence[EdgeRow]
) -> Graph:
    """The one gas graph with its two sink classes, domestic and export.

    Sources: associated gas p_oil × GOR × (1 − fuel) − baseline flare (floor 0) of every flowstation,
    and external gas. A plant's yield is 1 − shrinkage − fuel, both fractions of its feed. Its meters
    stand at its outlet lines (`on_cut`), each bounded by the plant's potential and capacity on that
    network. A facility that counts but has no outlet row sells straight to a sink; one that nothing
    feeds is limited by its potential alone. rawGas rows of equal ends are one physical line.
    """
    rows = [e for e in edges if e.network in GAS_NETWORKS]
    lines = _lines(rows)
    touched = {end for e in lines for end in (e.from_id, e.to_id)}
    fed = {e.to_id for e in lines}
    leads_on = {e.from_id for e in lines}
    outlets: dict[tuple[str, str], list[str]] = defaultdict(list)
    for e in lines:
        if e.on_cut:
            outlets[e.from_id, e.network].append(e.edge_id)
    sources: list[Source] = []
    nodes: list[Node] = []
    meters: list[Meter] = []
    for f in facilities:
        counted = [n for n in GAS_NETWORKS if n in f.counts_in_roll_up or (f.facility_id, n) in outlets]
        if not counted and f.facility_id not in touched:
            continue
        associated = _associated_gas(f)
        if associated is not None:
            gas_per_oil = f.gor_scf_per_bbl * (1.0 - f.fuel_fraction)
            sources.append(Source(f.facility_id, f.facility_id, associated, gas_per_oil=gas_per_oil))
        elif counted and f.facility_id not in fed:
            sources.append(Source(f.facility_id, f.facility_id, UNLIMITED))
        is_plant = f.facility_type == "gas-plant"
        stated = [c for n in GAS_NETWORKS if (c := f.capacities.get(n)) is not None]
        nodes.append(
            Node(
                f.facility_id,
                # A machine that serves both networks has its capacity in both rows; a seller has
                # one for each outlet, and they stand at the meters.
                UNLIMITED if counted or not stated else min(stated),
                1.0 - f.shrinkage_fraction - f.fuel_fraction if is_plant else 1.0,
                is_sink=f.facility_type == "terminal" and f.facility_id not in leads_on,
            )
        )
        for network in counted:
            edge_ids = outlets.get((f.facility_id, network))
            if edge_ids is None:
                sink_id = f"{f.facility_id}:{network}"
                nodes.append(Node(sink_id, is_sink=True))
                lines.append(Edge(sink_id, f.facility_id, sink_id, UNLIMITED, network, on_cut=True))
                edge_ids = [sink_id]
            meters.append(
                Meter(
                    f.facility_id,
                    network,
                    f.potentials.get(network) or 0.0,
                    _limit(f.capacities.get(network)),
                    tuple(sorted(edge_ids)),
                )
            )
    for x in externals:
        if x.external_id not in touched:
            continue
        is_source = x.kind == "source"
        nodes.append(Node(x.external_id, is_sink=not is_source and x.external_id not in leads_on))
        if is_source:
            sources.append(Source(x.external_id, x.external_id, x.rate or 0.0))
    return make_graph("gas", sources, nodes, lines, meters)


def _associated_gas(f: FacilityRow) -> float | None:
    """scf/d of a flowstation's own gas; None where the facility has no oil or no GOR."""
    oil = f.potentials.get(OIL)
    if f.facility_type != "flowstation" or oil is None or not f.gor_scf_per_bbl:
        return None
    gas = oil * f.gor_scf_per_bbl * (1.0 - f.fuel_fraction) - f.baseline_flare_scfpd
    return max(0.0, gas)


def _limit(capacity: float | None) -> float:
    return UNLIMITED if capacity is None else capacity


def _lines(rows: Sequence[EdgeRow]) -> list[Edge]:
    """Physical lines of edge rows. The id is `from:to`, with the network and stream only where two
    lines share their ends; a shared raw-gas line stands in the rows once for each network."""
    shared: dict[tuple[str, str], EdgeRow] = {}
    lines: list[EdgeRow] = []
    for row in rows:
        if row.stream == RAW_GAS:
            ends = (row.from_id, row.to_id)
            first = shared.get(ends)
            if first is not None:
                if first.network == row.network:
                    raise NetworkError(f"raw-gas line {ends[0]} → {ends[1]} stands twice for {row.network}")
                if first.capacity != row.capacity:
                    raise NetworkError(
                        f"raw-gas line {ends[0]} → {ends[1]} has capacity {first.capacity} for "
                        f"{first.network} and {row.capacity} for {row.network}; it is one line"
                    )
                continue
            shared[ends] = row
        lines.append(row)
    same_ends: dict[tuple[str, str], int] = defaultdict(int)
    for row in lines:
        same_ends[row.from_id, row.to_id] += 1
    return [
        Edge(
            f"{row.from_id}:{row.to_id}"
            + (f":{row.network}:{row.stream}" if same_ends[row.from_id, row.to_id] > 1 else ""),
            row.from_id,
            row.to_id,
            _limit(row.capacity),
            row.network,
            row.on_cut,
        )
        for row in lines
    ]
