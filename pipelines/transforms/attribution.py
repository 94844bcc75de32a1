"""Gap drivers of one production day: every event's share of every cut meter's loss, and the constraints.

In: a Graph (network.build_oil_graph, build_gas_graph) and Events. Out: Driver records, one per event,
facility and network, in bbl or scf, which the caller joins to reasons by `event_id`; what they do not
explain is DayAttribution.unattributed. Formulas: domain, Gap drivers. Instants are aware; UTC is advised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise

from pipelines.transforms.attribution_segments import Acting, Shares, attribute_segments
from pipelines.transforms.attribution_shapley import EXACT_EVENTS
from pipelines.transforms.network import Graph
from pipelines.transforms.network_fair import Element, FairSolver

HOURS_PER_RATE = 24.0
# Shares below this part of a facility's potential volume are rounding and make no row.
NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class Loss:
    """What an event takes from its target: `rate` lost, or the rate `remaining`, per 24 h; neither:
    the whole of the target's undisturbed flow. Both given: `rate` counts."""

    rate: float | None = None
    remaining: float | None = None

    def of(self, undisturbed: float) -> float:
        """The lost rate of a target that would pass `undisturbed`; never below 0."""
        if self.rate is not None:
            return max(0.0, self.rate)
        return undisturbed if self.remaining is None else max(0.0, undisturbed - self.remaining)


@dataclass(frozen=True, slots=True)
class Event:
    """One loss event; any times, it is clipped to the day.

    `target_kind` source, node or edge; `target_id` the facility, external or edge id. `oil`, `gas`:
    the phase losses; with both None the event takes the whole flow of the target wherever it stands.
    Events of one `equipment_id` on one target count once while they overlap, the larger. `hours`
    overrides the hours shown (downtime without clock times).
    """

    event_id: str
    target_kind: str
    target_id: str
    start: datetime
    end: datetime
    oil: Loss | None = None
    gas: Loss | None = None
    equipment_id: str | None = None
    hours: float | None = None

    def loss(self, phase: str) -> Loss | None:
        """The loss on a phase; None: the event does not act on it."""
        if self.oil is None and self.gas is None:
            return Loss()
        return self.oil if phase == "oil" else self.gas


@dataclass(frozen=True, slots=True)
class Driver:
    """One event's (or `constraint:<element>`'s) part at one cut meter on the day.

    Volumes in bbl or scf: `volume` the Shapley share (may be negative: relief at a shared line),
    `volume_if_alone` flow(∅) − flow({i}), `gain_if_fixed` flow(all but i) − flow(all), of the facility.
    `hours` is the overlap of event and day; `standard_error` of the volume, 0 where exact, otherwise
    an upper bound (segments added). `cause_node_id`: where it was caused (an edge: its beginning).
    """

    event_id: str
    facility_id: str
    network: str
    volume: float
    volume_if_alone: float
    gain_if_fixed: float
    hours: float
    cause_node_id: str
    standard_error: float = 0.0


@dataclass(frozen=True, slots=True)
class MeterDay:
    """One cut meter on the day: rates per 24 h before events, volumes with them.

    `undisturbed` is flow_f(∅); `expected_volume` what flows with all events; `frozen_by` the element
    that holds the undisturbed flow below the potential, as (kind, id).
    """

    facility_id: str
    network: str
    potential: float
    undisturbed: float
    expected_volume: float
    hours: float
    frozen_by: Element | None


@dataclass(frozen=True, slots=True)
class DayAttribution:
    """The day's drivers, sorted by network, facility and event id, and its meters.

    `unplaced`: ids of events that act in the day, but whose target is not in the graph or leads to no
    cut meter. `through`: undisturbed rate of every source, node and edge that an event targets.
    """

    drivers: tuple[Driver, ...]
    meters: tuple[MeterDay, ...]
    unplaced: tuple[str, ...] = ()
    through: Mapping[Element, float] = field(default_factory=dict)

    def explained(self) -> dict[tuple[str, str], float]:
        """Σ shares, constraints included, per (facility_id, network)."""
        total = {(m.facility_id, m.network): 0.0 for m in self.meters}
        for d in self.drivers:
            total[d.facility_id, d.network] += d.volume
        return total

    def unattributed(self, deferment_volumes: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
        """deferment − Σ shares per (facility_id, network) given: published as it is, negative when
        over-booked, never scaled away."""
        explained = self.explained()
        return {key: volume - explained.get(key, 0.0) for key, volume in deferment_volumes.items()}


Bounds = tuple[datetime, datetime]


def attribute_day(
    graph: Graph,
    events: Iterable[Event],
    day: Bounds,
    *,
    facility_days: Mapping[str, Bounds] | None = None,
    exact_events: int = EXACT_EVENTS,
) -> DayAttribution:
    """Attribute one phase's losses of one production day.

    `day` is the UTC interval of the day, `facility_days` the intervals of facilities with their own.
    The result does not depend on the order of rows or events. Raises ValueError for doubled event ids
    or a day that does not begin before it ends, NetworkError for a graph without a valid cut.
    """
    solver = FairSolver(graph)
    ordered = sorted(events, key=lambda e: e.event_id)
    _check(ordered, day)
    days = [(facility_days or {}).get(m.facility_id, day) for m in graph.meters]
    span = (min([day[0], *(d[0] for d in days)]), max([day[1], *(d[1] for d in days)]))
    flows = solver.undisturbed()
    through = None
    acting: list[Acting] = []
    passing: dict[Element, float] = {}
    unplaced: list[str] = []
    shown: list[Event] = []
    for event in ordered:
        start, end = max(event.start, span[0]), min(event.end, span[1])
        loss = event.loss(graph.phase)
        if start >= end or loss is None:
            continue
        target = (event.target_kind, event.target_id)
        element = solver.index.get(target) if event.target_kind != "outlet" else None
        reach = 0 if element is None else solver.reach(element)
        if element is None or not reach:
            unplaced.append(event.event_id)
            continue
        if through is None:
            through = solver.through(flows)
        passing[target] = float(through[element])
        shown.append(event)
        equipment = event.equipment_id if event.equipment_id is not None else f"\0{event.event_id}"
        acting.append(Acting(element, reach, loss.of(passing[target]), start, end, equipment))
    found = attribute_segments(solver, acting, days, passing, exact_events)
    drivers = [*_event_drivers(graph, shown, acting, found, span), *_constraints(graph, solver, found)]
    frozen = solver.undisturbed_frozen_by()
    meters = tuple(
        MeterDay(
            m.facility_id,
            m.network,
            m.potential,
            float(flows[f]),
            float(flows[f] * found.hours[f] / HOURS_PER_RATE - found.lost[f]),
            float(found.hours[f]),
            frozen[f],
        )
        for f, m in enumerate(graph.meters)
    )
    drivers.sort(key=lambda d: (d.network, d.facility_id, d.event_id))
    return DayAttribution(tuple(drivers), meters, tuple(unplaced), passing)


def attribute_networks(
    oil: Graph,
    gas: Graph,
    events: Sequence[Event],
    day: Bounds,
    *,
    facility_days: Mapping[str, Bounds] | None = None,
    exact_events: int = EXACT_EVENTS,
) -> DayAttribution:
    """Oil and both gas networks of one day; oil source events carry over to associated gas.

    `unplaced` are the events that no network could place; `through` stays empty, for a target has a
    rate in each phase.
    """
    on_oil = attribute_day(oil, events, day, facility_days=facility_days, exact_events=exact_events)
    carried = with_associated_gas(events, on_oil.through, gas)
    on_gas = attribute_day(gas, carried, day, facility_days=facility_days, exact_events=exact_events)
    placed = {d.event_id for d in (*on_oil.drivers, *on_gas.drivers)}
    lost = sorted({*on_oil.unplaced, *on_gas.unplaced} - placed)
    return DayAttribution(
        tuple(sorted((*on_oil.drivers, *on_gas.drivers), key=lambda d: (d.network, d.facility_id, d.event_id))),
        (*on_oil.meters, *on_gas.meters),
        tuple(lost),
    )


def with_associated_gas(events: Iterable[Event], oil_through: Mapping[Element, float], gas: Graph) -> list[Event]:
    """The events as they act on gas: an oil source event with no gas loss of its own takes its oil
    loss × GOR × (1 − fuel fraction); a gas loss that was entered stands."""
    gas_per_oil = {s.source_id: s.gas_per_oil for s in gas.sources}
    result: list[Event] = []
    for e in events:
        factor = gas_per_oil.get(e.target_id, 0.0)
        undisturbed = oil_through.get((e.target_kind, e.target_id))
        if e.target_kind == "source" and e.oil is not None and e.gas is None and factor and undisturbed is not None:
            result.append(replace(e, gas=Loss(rate=e.oil.of(undisturbed) * factor)))
        else:
            result.append(e)
    return result


def _check(events: Sequence[Event], day: Bounds) -> None:
    if not day[0] < day[1]:
        raise ValueError(f"the production day begins at {day[0]} and ends at {day[1]}")
    doubled = sorted({a.event_id for a, b in pairwise(events) if a.event_id == b.event_id})
    if doubled:
        raise ValueError(f"events stand twice: {', '.join(doubled)}; pass each once, with its whole interval")


def _event_drivers(
    graph: Graph, events: Sequence[Event], acting: Sequence[Acting], found: Shares, span: Bounds
) -> Iterable[Driver]:
    begins = {e.edge_id: e.from_id for e in graph.edges}
    enters = {s.source_id: s.node_id for s in graph.sources}
    for i, (event, act) in enumerate(zip(events, acting, strict=True)):
        overlap = (act.end - act.start).total_seconds() / 3600.0
        hours = overlap if event.hours is None else event.hours
        cause = {"edge": begins, "source": enters}.get(event.target_kind, {}).get(event.target_id, event.target_id)
        reached = [f for f in range(len(graph.meters)) if act.reach >> f & 1]
        home = next((f for f in reached if graph.meters[f].facility_id == event.target_id), reached[0])
        rows = []
        for f, m in enumerate(graph.meters):
            values = (found.volume[i, f], found.alone[i, f], found.gain[i, f])
            if max(map(abs, values)) > NOTHING * m.potential * found.hours[f] / HOURS_PER_RATE:
                rows.append(f)
        # An event that changes nothing stays visible, with zeros, where it stands.
        for f in rows or [home]:
            m = graph.meters[f]
            yield Driver(
                event.event_id,
                m.facility_id,
                m.network,
                float(found.volume[i, f]) if rows else 0.0,
                float(found.alone[i, f]) if rows else 0.0,
                float(found.gain[i, f]) if rows else 0.0,
                hours,
                cause,
                float(found.error[i, f]),
            )


def _constraints(graph: Graph, solver: FairSolver, found: Shares) -> Iterable[Driver]:
    """Standing constraints: p_f − flow_f(∅), to the element that froze f."""
    begins = {("edge", e.edge_id): e.from_id for e in graph.edges}
    flows = solver.undisturbed()
    for f, element in enumerate(solver.undisturbed_frozen_by()):
        if element is not None:
            m = graph.meters[f]
            volume = float((m.potential - flows[f]) * found.hours[f] / HOURS_PER_RATE)
            cause = begins.get(element, element[1])
            yield Driver(
                f"constraint:{element[1]}",
                m.facility_id,
                m.network,
                volume,
                volume,
                volume,
                float(found.hours[f]),
                cause,
            )
