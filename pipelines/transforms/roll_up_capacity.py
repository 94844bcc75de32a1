"""What a hub, an asset or the system can pass: max-flow through the network, never a sum of facilities.

Belongs here: the capacity of parents by label. Not here: max-flow itself (network_flow).
Flares have no network between them, so a parent's flare capacity is the sum of its facilities'.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from pipelines.transforms.deferment import FLARED_GAS, capacities_in_force, facility_days
from pipelines.transforms.drivers_network import Rates, Topology, TopologyBook, changes, rates_by_label
from pipelines.transforms.network import GAS_NETWORKS, OIL
from pipelines.transforms.network_flow import max_flow_capacity
from pipelines.transforms.roll_up import memberships

_SCHEMA = {
    "node_level": pl.String,
    "node_id": pl.String,
    "network": pl.String,
    "max_capacity": pl.Float64,
    "bottlenecks": pl.String,
}


def parent_capacities(
    *,
    labels: Sequence[date],
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    edges: pl.DataFrame,
    externals: pl.DataFrame,
    capacities: pl.DataFrame,
) -> pl.DataFrame:
    """production_date, node_level, node_id, network, max_capacity (rate; null where nothing limits it), bottlenecks.

    One row a parent × network × label, sorted; `capacities` is core__capacity. `bottlenecks` names the limiting elements
    as `node:<id>` or `edge:<id>`, separated by a space. Labels between two changes are solved once.
    """
    days = sorted(set(labels))
    book = TopologyBook(facilities, facility_networks, edges, externals)
    moments = changes(facilities, edges, externals, capacities)
    segments: dict[int, list[date]] = {}
    for label in days:
        segments.setdefault(sum(moment <= label for moment in moments), []).append(label)
    parts = [_segment(part, book.on(part[0]), facilities, facility_networks, capacities) for part in segments.values()]
    empty = pl.DataFrame(schema={"production_date": pl.Date, **_SCHEMA})
    return pl.concat([empty, *parts]).sort("production_date", "node_level", "node_id", "network")


def _segment(
    labels: Sequence[date],
    topology: Topology,
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    capacities: pl.DataFrame,
) -> pl.DataFrame:
    first = labels[0]
    standing = facility_days(facilities.select("facility_id", "hub_id", "asset_id", "valid_from", "valid_to"), [first])
    members: dict[tuple[str, str], list[str]] = {}
    for level, node, facility_id in (
        memberships(standing).select("node_level", "node_id", "facility_id").sort(pl.all()).iter_rows()
    ):
        members.setdefault((level, node), []).append(facility_id)
    rates = rates_by_label(capacities_in_force(capacities, [first]), "capacity").get(first, {})
    # The sources' rates do not limit a capacity; a potential only says that a station makes oil.
    stations = {(f["facility_id"], OIL): 1.0 for f in topology.facilities if f["facility_type"] == "flowstation"}
    oil, gas = topology.graphs(stations, rates)
    flaring = set(
        facility_networks.filter((pl.col("network") == FLARED_GAS) & pl.col("counts_in_roll_up"))["facility_id"]
    )
    rows = []
    for (level, node), facility_ids in members.items():
        for network in (OIL, *GAS_NETWORKS):
            found = max_flow_capacity(oil if network == OIL else gas, facility_ids, [network])
            limits = " ".join(f"{kind}:{name}" for kind, name in found.bottlenecks)
            rows.append((level, node, network, found.rate, limits))
        rows.append((level, node, FLARED_GAS, _flare_capacity(sorted(flaring & set(facility_ids)), rates), ""))
    table = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    return pl.DataFrame({"production_date": labels}, schema={"production_date": pl.Date}).join(table, how="cross")


def _flare_capacity(facility_ids: Sequence[str], rates: Rates) -> float | None:
    """Σ of the flares' capacities; null where one of them is not known."""
    known = [rate for f in facility_ids if (rate := rates.get((f, FLARED_GAS))) is not None]
    return sum(known) if known and len(known) == len(facility_ids) else None
