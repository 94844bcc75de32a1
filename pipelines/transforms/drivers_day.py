"""One production day through attribution: rows of core__daily_event as events of the oil and the gas graph.

Belongs here: which kernel element a row limits, associated gas of oil losses, published ids of constraints.
Not here: frames of many days (drivers), graphs from reference rows (drivers_network).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipelines.transforms.attribution import DayAttribution, Driver, Event, Loss, attribute_day
from pipelines.transforms.drivers_network import Rates, Topology, edge_id, published_edges
from pipelines.transforms.network import RAW_GAS, Graph

Bounds = tuple[datetime, datetime]


@dataclass(frozen=True)
class DayEvents:
    """Rows of core__daily_event of one label, sorted by event and phase."""

    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LabelAttribution:
    """A label's drivers under published ids, constraints' elements by event id, and events that act on nothing."""

    drivers: tuple[Driver, ...]
    constraints: Mapping[str, tuple[str, str]]
    unplaced: tuple[str, ...]


def attribute_label(
    topology: Topology,
    events: DayEvents,
    potentials: Rates,
    capacities: Rates,
    facility_days: Mapping[str, Bounds],
) -> LabelAttribution:
    """Attribute oil and both gas networks of one label; drivers sorted by network, facility and event.

    `facility_days` holds every facility's UTC interval. Raises NetworkError for a graph without a valid cut.
    """
    oil_graph, gas_graph = topology.graphs(potentials, capacities)
    day = (min(b[0] for b in facility_days.values()), max(b[1] for b in facility_days.values()))
    by_event: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in events.rows:
        by_event.setdefault(row["event_id"], {})[row["phase"]] = row
    oil_lines, gas_lines = _kernel_lines(oil_graph, topology), _kernel_lines(gas_graph, topology)
    on_oil = attribute_day(
        oil_graph,
        [_event(rows["oil"], oil_lines, day) for rows in by_event.values() if "oil" in rows],
        day,
        facility_days=facility_days,
    )
    gas_events = [
        _event(rows["gas"], gas_lines, day)
        if "gas" in rows
        else _associated(_event(rows["oil"], oil_lines, day), on_oil, gas_graph)
        for rows in by_event.values()
    ]
    on_gas = attribute_day(gas_graph, [e for e in gas_events if e is not None], day, facility_days=facility_days)
    oil_drivers, oil_constraints = _published(on_oil, oil_graph)
    gas_drivers, gas_constraints = _published(on_gas, gas_graph)
    drivers = (*oil_drivers, *gas_drivers)
    placed = {d.event_id for d in drivers}
    return LabelAttribution(
        tuple(sorted(drivers, key=lambda d: (d.network, d.facility_id, d.event_id))),
        oil_constraints | gas_constraints,
        tuple(sorted(by_event.keys() - placed)),
    )


def _event(row: Mapping[str, Any], lines: Mapping[str, str], day: Bounds) -> Event:
    """A row as an event of its own phase; a uniform derate keeps the hours it stands for."""
    loss = Loss(row["loss_rate"], row["remaining_rate"])
    is_uniform = row["is_uniform"]
    is_edge = row["target_kind"] == "edge"
    return Event(
        event_id=row["event_id"],
        target_kind=row["target_kind"],
        target_id=lines.get(row["target_id"], row["target_id"]) if is_edge else row["target_id"],
        # Whole times, not those clipped to the booked facility's day: another facility's day may begin elsewhere.
        start=row["from_utc"] if is_uniform else row["started_at_utc"],
        end=row["to_utc"] if is_uniform else row["ended_at_utc"] or day[1],
        oil=loss if row["phase"] == "oil" else None,
        gas=loss if row["phase"] == "gas" else None,
        equipment_id=row["equipment_id"],
        hours=row["hours"] if is_uniform else None,
    )


def _associated(event: Event, on_oil: DayAttribution, gas: Graph) -> Event | None:
    """An oil loss at a station without a gas loss of its own, as the loss of its associated gas: oil loss × GOR × (1 − fuel).

    Holds for the station's source and, since what stops the station's oil stops its gas too, for its node. None where
    the gas graph has no gas of it.
    """
    factor = {s.source_id: s.gas_per_oil for s in gas.sources}.get(event.target_id, 0.0)
    undisturbed = on_oil.through.get((event.target_kind, event.target_id))
    if event.target_kind == "edge" or event.oil is None or not factor or undisturbed is None:
        return None
    # The oil loss is limited to what flows: an entry above it has no more gas than the station has.
    return replace(event, oil=None, gas=Loss(min(event.oil.of(undisturbed), undisturbed) * factor))


def _kernel_lines(graph: Graph, topology: Topology) -> dict[str, str]:
    """Published edge id → kernel edge id; both rows of a shared raw-gas line are one line."""
    lines = {published: kernel for kernel, published in published_edges(graph).items()}
    ends = {(e.from_id, e.to_id): e.edge_id for e in graph.edges}
    for row in topology.edges:
        if row.stream == RAW_GAS and (kernel := ends.get((row.from_id, row.to_id))) is not None:
            lines.setdefault(edge_id(row.from_id, row.to_id, row.network), kernel)
    return lines


def _published(found: DayAttribution, graph: Graph) -> tuple[Iterable[Driver], dict[str, tuple[str, str]]]:
    """Drivers with constraints under published ids, and each constraint's (kind, id)."""
    lines = published_edges(graph)
    frozen = {(m.facility_id, m.network): m.frozen_by for m in found.meters}
    constraints: dict[str, tuple[str, str]] = {}
    drivers = []
    for driver in found.drivers:
        if driver.event_id.startswith("constraint:"):
            element = frozen[driver.facility_id, driver.network]
            if element is not None:
                kind, name = _published_element(element, lines)
                driver = replace(
                    driver, event_id=f"constraint:{name}", cause_node_id=driver.cause_node_id.split(":")[0]
                )
                constraints[driver.event_id] = (kind, name)
        drivers.append(driver)
    return drivers, constraints


def _published_element(element: tuple[str, str], lines: Mapping[str, str]) -> tuple[str, str]:
    """A saturated element as readers know it: an outlet, or a facility's own way to a sink, is the facility's node."""
    kind, name = element
    if kind == "edge" and name in lines:
        return kind, lines[name]
    if kind in ("edge", "outlet") or ":" in name:
        return "node", name.split(":")[0]
    return kind, name
