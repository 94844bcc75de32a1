"""The network rows of a production day, from reference frames and the day's rates.

Belongs here: which facilities, externals and edges stand on a label, and the ids under which lines are published.
Not here: the graph itself (network), what flows in it. Rates are per 24 h: bbl/d, scf/d.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from pipelines.transforms.network import (
    GAS_NETWORKS,
    OIL,
    EdgeRow,
    ExternalRow,
    FacilityRow,
    Graph,
    build_gas_graph,
    build_oil_graph,
)

# (facility_id, network) → rate of one label; a missing key is a rate that is not known.
Rates = Mapping[tuple[str, str], float | None]


@dataclass(frozen=True)
class Topology:
    """What stands on one label: rows of the reference tables, and the networks that each facility counts on."""

    facilities: tuple[Mapping[str, Any], ...]
    counted: Mapping[str, frozenset[str]]
    externals: tuple[ExternalRow, ...]
    edges: tuple[EdgeRow, ...]
    ends: frozenset[str]

    def facility_rows(self, potentials: Rates, capacities: Rates) -> list[FacilityRow]:
        """Kernel rows with the day's potentials and capacities."""
        networks = (OIL, *GAS_NETWORKS)
        rows = []
        for f in self.facilities:
            facility_id = f["facility_id"]
            # A facility without lines sells its own gas: its potential says what flows, not a gas-oil ratio.
            gor = (f["gor_scf_per_bbl"] or 0.0) if facility_id in self.ends else 0.0
            rows.append(
                FacilityRow(
                    facility_id=facility_id,
                    facility_type=f["facility_type"],
                    potentials={n: potentials.get((facility_id, n)) for n in networks},
                    capacities={n: capacities.get((facility_id, n)) for n in networks},
                    counts_in_roll_up=self.counted.get(facility_id, frozenset()),
                    gor_scf_per_bbl=gor,
                    fuel_fraction=f["fuel_fraction"] or 0.0,
                    baseline_flare_scfpd=f["baseline_flare_scfpd"] or 0.0,
                    shrinkage_fraction=f["shrinkage_fraction"] or 0.0,
                )
            )
        return rows

    def graphs(self, potentials: Rates, capacities: Rates) -> tuple[Graph, Graph]:
        """The oil and the gas graph. Raises NetworkError where the rows describe none."""
        rows = self.facility_rows(potentials, capacities)
        return (
            build_oil_graph(rows, self.externals, self.edges),
            build_gas_graph(rows, self.externals, self.edges),
        )


class TopologyBook:
    """Topologies by label; labels between two changes of validity share one.

    Frames are the reference tables facilities, facility_networks, edges and externals.
    """

    def __init__(
        self,
        facilities: pl.DataFrame,
        facility_networks: pl.DataFrame,
        edges: pl.DataFrame,
        externals: pl.DataFrame,
    ) -> None:
        self._facilities = facilities.sort("facility_id", "valid_from")
        self._counted = _counted(facility_networks)
        self._edges = edges.sort("from_id", "to_id", "network", "valid_from")
        self._externals = externals.sort("external_id", "valid_from")
        self._changes = changes(facilities, edges, externals)
        self._known: dict[int, Topology] = {}

    def on(self, label: date) -> Topology:
        """The topology of a label."""
        segment = sum(change <= label for change in self._changes)
        if segment not in self._known:
            self._known[segment] = self._build(label)
        return self._known[segment]

    def _build(self, label: date) -> Topology:
        facilities = tuple(
            {row["facility_id"]: row for row in _standing(self._facilities, label).iter_rows(named=True)}.values()
        )
        externals = tuple(
            ExternalRow(row["external_id"], row["kind"], row["network"] or "", row["rate"])
            for row in _standing(self._externals, label).iter_rows(named=True)
        )
        standing = {f["facility_id"] for f in facilities} | {x.external_id for x in externals}
        edges = tuple(
            EdgeRow(
                row["from_id"], row["to_id"], row["network"], row["stream"] or "", row["capacity"], bool(row["on_cut"])
            )
            for row in _standing(self._edges, label).iter_rows(named=True)
            # A line to a place that is closed carries nothing.
            if row["from_id"] in standing and row["to_id"] in standing
        )
        ends = frozenset(end for e in edges for end in (e.from_id, e.to_id))
        return Topology(facilities, self._counted, externals, edges, ends)


def edge_id(from_id: str, to_id: str, network: str) -> str:
    """The published id of an edge, `<from>~<to>~<network>`."""
    return f"{from_id}~{to_id}~{network}"


def published_edges(graph: Graph) -> dict[str, str]:
    """Kernel edge id → published edge id; a facility's own outlet, which is no line of the site, is left out."""
    return {
        e.edge_id: edge_id(e.from_id, e.to_id, e.network)
        for e in graph.edges
        if e.edge_id != f"{e.from_id}:{e.network}"
    }


def changes(*frames: pl.DataFrame) -> list[date]:
    """Every day on which a validity of one of the frames begins or ends, sorted."""
    found: set[date] = set()
    for frame in frames:
        for column in ("valid_from", "valid_to"):
            found |= set(frame[column].drop_nulls())
    return sorted(found)


def rates_by_label(frame: pl.DataFrame, column: str) -> dict[date, dict[tuple[str, str], float | None]]:
    """label → (facility_id, network) → rate from a frame with production_date, facility_id and network."""
    result: dict[date, dict[tuple[str, str], float | None]] = {}
    for label, facility_id, network, value in frame.select(
        "production_date", "facility_id", "network", column
    ).iter_rows():
        result.setdefault(label, {})[facility_id, network] = value
    return result


def _counted(facility_networks: pl.DataFrame) -> dict[str, frozenset[str]]:
    rows = facility_networks.filter("is_applicable", "counts_in_roll_up", pl.col("network").is_in([OIL, *GAS_NETWORKS]))
    counted: dict[str, frozenset[str]] = {}
    for facility_id, network in rows.select("facility_id", "network").iter_rows():
        counted[facility_id] = counted.get(facility_id, frozenset()) | {network}
    return counted


def _standing(frame: pl.DataFrame, label: date) -> pl.DataFrame:
    return frame.filter(
        pl.col("valid_from").is_null() | (pl.col("valid_from") <= label),
        pl.col("valid_to").is_null() | (pl.col("valid_to") > label),
    )
