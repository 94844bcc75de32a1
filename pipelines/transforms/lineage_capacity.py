"""Lineage of a parent's capacity: the smallest cut behind its max-flow, whose elements sum to it.

Belongs here: rows of the release table capacity_limit. Max-flow itself is network_flow's. Max-flow = Σ capacity × weight over
the cut (max-flow min-cut); a cut that does not add up to it, which mixed plant yields can give, is left out and never bent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from pipelines.transforms.deferment import FLARED_GAS, capacities_in_force, facility_days
from pipelines.transforms.drivers_network import Rates, Topology, TopologyBook, changes, edge_id, rates_by_label
from pipelines.transforms.network import GAS_NETWORKS, OIL, Graph
from pipelines.transforms.network_flow import downstream_yields, max_flow_capacity
from pipelines.transforms.roll_up import memberships
from warehouse.catalog.lineage import CapacityLimit

SCHEMA = {name: column.dtype for name, column in CapacityLimit.columns().items()}
TOLERANCE = 1e-9
Row = tuple[Any, ...]


def capacity_limits(
    *,
    first: date,
    last: date,
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    edges: pl.DataFrame,
    externals: pl.DataFrame,
    capacities: pl.DataFrame,
) -> pl.DataFrame:
    """capacity_limit for the labels from first to last: parent × network × segment between two changes × element, sorted.

    Arguments are those of roll_up_capacity.parent_capacities; `capacities` is core__capacity. A flare's limit is itself.
    """
    book = TopologyBook(facilities, facility_networks, edges, externals)
    moments = [m for m in changes(facilities, edges, externals, capacities) if first < m <= last]
    starts = [first, *moments]
    ends = [*moments, None]
    rows: list[Row] = []
    for start, end in zip(starts, ends, strict=True):
        standing = facility_days(
            facilities.select("facility_id", "hub_id", "asset_id", "valid_from", "valid_to"), [start]
        )
        rates = rates_by_label(capacities_in_force(capacities, [start]), "capacity").get(start, {})
        members: dict[tuple[str, str], list[str]] = {}
        for level, node, facility_id in (
            memberships(standing).select("node_level", "node_id", "facility_id").iter_rows()
        ):
            members.setdefault((level, node), []).append(facility_id)
        found = _segment(members, book.on(start), facility_networks, rates)
        rows += [
            (level, node, network, start, kind, name, end, *rest) for level, node, network, kind, name, *rest in found
        ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort(CapacityLimit.primary_key())


def _segment(
    members: Mapping[tuple[str, str], Sequence[str]],
    topology: Topology,
    facility_networks: pl.DataFrame,
    rates: Rates,
) -> list[Row]:
    stations = {(f["facility_id"], OIL): 1.0 for f in topology.facilities if f["facility_type"] == "flowstation"}
    oil, gas = topology.graphs(stations, rates)
    flaring = set(
        facility_networks.filter((pl.col("network") == FLARED_GAS) & pl.col("counts_in_roll_up"))["facility_id"]
    )
    rows: list[Row] = []
    for (level, node), facility_ids in sorted(members.items()):
        for network in (OIL, *GAS_NETWORKS):
            rows += [
                (level, node, network, *element)
                for element in _cut(oil if network == OIL else gas, facility_ids, network, rates)
            ]
        flares = sorted(flaring & set(facility_ids))
        known = [(f, rate) for f in flares if (rate := rates.get((f, FLARED_GAS))) is not None]
        if len(known) == len(flares):
            rows += [(level, node, FLARED_GAS, "node", f, FLARED_GAS, rate, 1.0) for f, rate in known]
    return rows


def _cut(graph: Graph, facility_ids: Sequence[str], network: str, rates: Rates) -> list[Row]:
    """element_kind, element_id, element_network, capacity, weight of the cut; empty where nothing limits or nothing stands."""
    solved = max_flow_capacity(graph, facility_ids, [network])
    wanted = [m for m in graph.meters if m.facility_id in set(facility_ids) and m.network == network]
    if solved.rate is None or not wanted:
        return []
    yields = downstream_yields(graph)
    parts = {yields.get(("node", m.facility_id), 1.0) if m.edge_ids else 1.0 for m in wanted}
    nodes = {n.node_id: n.capacity for n in graph.nodes}
    lines = {e.edge_id: e for e in graph.edges}
    meters = {f"{m.facility_id}:{m.network}": m.capacity for m in graph.meters}
    rows: list[Row] = []
    for kind, name in solved.bottlenecks:
        # Sales per unit of what passes: an element that carries sales already counts as it is.
        weight = max(parts) / yields.get((kind, name), 1.0) if kind != "outlet" else 1.0
        if kind == "node":
            rows.append((kind, name, _stated_network(name, network, nodes[name], rates), nodes[name], weight))
        elif kind == "edge":
            line = lines[name]
            rows.append((kind, edge_id(line.from_id, line.to_id, line.network), line.network, line.capacity, weight))
        else:
            rows.append((kind, name.split(":")[0], network, meters[name], weight))
    total = math.fsum(row[3] * row[4] for row in rows)
    return rows if len(parts) == 1 and math.isclose(total, solved.rate, rel_tol=TOLERANCE) else []


def _stated_network(facility_id: str, network: str, capacity: float, rates: Rates) -> str:
    """The network under which the facility's capacity stands: a machine of both gas networks has the smaller of two rows."""
    candidates = [network, *(n for n in GAS_NETWORKS if n != network)] if network != OIL else [OIL]
    return next((n for n in candidates if rates.get((facility_id, n)) == capacity), network)
