"""Rows of a node to the KPI structs: the same assembly for every body that shows networks."""

from collections.abc import Iterable, Mapping
from typing import Any

from api.contracts.common import Kpi, NetworkKpis, TerminalKpis
from api.units import NETWORKS, PRODUCTION_NETWORKS, rounded
from api.view import View

Row = Mapping[str, Any]
# Share of the potential whose deferment makes a facility `constrained` (the domain's definition of status).
CONSTRAINED_FRACTION = 0.05

_ABSENT: dict[str, Any] = {
    "max_capacity": None,
    "business_target": None,
    "current_production": None,
    "deferment": None,
    "potential": None,
    "potential_basis": None,
    "published_target": None,
    "gap": None,
    "over_performance": None,
    "excess_over_target": None,
    "source": None,
    "record_status": None,
}
NOT_REQUESTED = Kpi(**_ABSENT, coverage=None, quality="notRequested")
MISSING = Kpi(**_ABSENT, coverage=0.0, quality="missing")


def by_node(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    """Rows of one day by (level, node), then network."""
    nodes: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        nodes.setdefault((row["node_level"], row["node_id"]), {})[row["network"]] = row
    return nodes


def kpi(view: View, network: str, row: Row | None) -> Kpi:
    """KPI of one network; nulls with quality missing without a row."""
    if not view.wants(network):
        return NOT_REQUESTED
    if row is None:
        return MISSING
    rate = view.units.rate
    gap = row["gap"]
    excess = max(0.0, gap) if network == "flaredGas" and gap is not None else None
    return Kpi(
        max_capacity=rate(row["max_capacity"], network),
        business_target=rate(row["business_target"], network),
        current_production=rate(row["production"], network),
        deferment=rate(row["deferment"], network),
        potential=rate(row["potential"], network),
        potential_basis=row["potential_basis"],
        published_target=rate(row["published_target"], network),
        gap=rate(gap, network),
        over_performance=rate(row["over_performance"], network),
        excess_over_target=rate(excess, network),
        coverage=rounded(row["coverage"]),
        quality=row["quality"],
        source=row["source"],
        record_status=row["record_status"],
    )


def network_kpis(view: View, rows: Mapping[str, Row] | None) -> NetworkKpis:
    """The four networks of a node from its rows by network."""
    found = rows or {}
    oil, domestic, export, flared = (kpi(view, network, found.get(network)) for network in NETWORKS)
    return NetworkKpis(oil=oil, domestic_gas=domestic, export_gas=export, flared_gas=flared)


def terminal_kpis(view: View, row: Row | None) -> TerminalKpis:
    """A terminal's five KPIs; nulls without a row."""
    found: Row = row or {}
    return TerminalKpis(
        max_capacity=view.units.terminal_volume(found.get("max_capacity")),
        gross_stock=view.units.terminal_volume(found.get("gross_stock")),
        ready_crude=view.units.terminal_rate(found.get("ready_crude")),
        production_rate=view.units.terminal_rate(found.get("production_rate")),
        endurance=view.units.convert(found.get("endurance"), "time"),
    )


def facility_status(rows: Mapping[str, Row] | None) -> str:
    """Status over the production networks that a facility serves, from its rows by network.

    down: every known production is 0; constrained: more than 5 % of a potential is deferred; unknown: no production is
    known; else normal. Always from what was stored, whatever network the caller asked to see.
    """
    served = [
        row
        for network, row in (rows or {}).items()
        if network in PRODUCTION_NETWORKS and row["quality"] != "notApplicable" and row["production"] is not None
    ]
    if not served:
        return "unknown"
    if all(row["production"] == 0 for row in served):
        return "down"
    for row in served:
        if (
            row["deferment"] is not None
            and row["potential"]
            and row["deferment"] > CONSTRAINED_FRACTION * row["potential"]
        ):
            return "constrained"
    return "normal"


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """A quotient; null where a part is null or the denominator is 0."""
    if numerator is None or not denominator:
        return None
    return numerator / denominator
