"""Events that no source books and measurements show: full tanks (`tanktop:`) and equipment that stands in PI (`pi:`).

Here: the day's network and what its events leave unexplained, which both kinds are measured against; rows of both.
Not here: the rules themselves (events_derived_tank_top, events_derived_equipment), confidence (events_confidence).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from pipelines.transforms.deferment import capacities_in_force
from pipelines.transforms.drivers_day import DayEvents, attribute_label
from pipelines.transforms.drivers_network import TopologyBook, rates_by_label
from pipelines.transforms.events_derived_equipment import Room, equipment_events
from pipelines.transforms.events_derived_tank_top import full_days, tank_top_events
from pipelines.transforms.meter_sigmas import meter_sigmas
from pipelines.transforms.network import OIL, Graph
from pipelines.transforms.network_fair import FairSolver
from pipelines.transforms.production_day import ProductionCalendar


@dataclass(frozen=True)
class Measured:
    """What derived events are read from, of the labels: core__daily_terminal, terminals.csv, core__daily_equipment_stop,
    tags.csv, core__daily_potential, core__capacity; and core__daily_event of the label before the first."""

    terminals: pl.DataFrame
    terminal_reference: pl.DataFrame
    stops: pl.DataFrame
    tags: pl.DataFrame
    potential: pl.DataFrame
    capacities: pl.DataFrame
    before: pl.DataFrame


def derived_events(
    rows: pl.DataFrame,
    measured: Measured,
    *,
    labels: Sequence[date],
    last_closed: date,
    book: TopologyBook,
    calendar: ProductionCalendar,
    facilities: pl.DataFrame,
    streams: pl.DataFrame,
    reason_codes: pl.DataFrame,
    production: pl.DataFrame,
) -> pl.DataFrame:
    """Rows like `rows` (events without confidence) that measurements add to them; tank-top first, since it explains what
    equipment then need not. `production` is core__daily_production. Raises NetworkError for a topology without a valid cut,
    only where a label has a candidate."""
    wanted = sorted(set(labels))
    places = facilities["facility_id"].unique().sort().to_list()
    names = dict(facilities.sort("valid_from").select("facility_id", "name").iter_rows())
    days = calendar.frame(wanted, places)
    networks = _Networks(book, measured, wanted, days, production)
    full = full_days(
        measured.terminals.filter(pl.col("production_date").is_in(wanted)), measured.terminal_reference, days
    )
    tanks = _like(
        rows,
        tank_top_events(
            full,
            arrivals=networks.arrivals,
            sigmas=meter_sigmas(streams),
            booked=rows,
            before=measured.before,
            names=names,
            evidence=_Evidence(measured.tags, streams).of,
            reason_codes=reason_codes,
            last_closed=last_closed,
        ),
    )
    known = pl.concat([rows, tanks])
    networks.events = _by_label(known)
    stops = measured.stops.filter(pl.col("production_date").is_in(wanted))
    ends = {(f, label): end for f, label, end in days.select("facility_id", "production_date", "to_utc").iter_rows()}
    run = measured.tags.filter(pl.col("measurement") == "run_status")
    equipment = _like(
        rows,
        equipment_events(
            stops,
            booked=rows,
            room=networks.room,
            first_day=calendar.label_of,
            day_ends=ends,
            tag_counts=dict(run.group_by("facility_id").len().iter_rows()),
            names=names,
            last_closed=last_closed,
        ),
    )
    return pl.concat([tanks, equipment])


def _like(rows: pl.DataFrame, made: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """`made` in the columns of `rows`; what a row does not say is null."""
    return pl.DataFrame([{name: row.get(name) for name in rows.columns} for row in made], schema=rows.schema)


def _by_label(rows: pl.DataFrame) -> dict[date, list[Mapping[str, Any]]]:
    found: dict[date, list[Mapping[str, Any]]] = {}
    for row in rows.sort("production_date", "event_id", "phase").iter_rows(named=True):
        found.setdefault(row["production_date"], []).append(row)
    return found


class _Evidence:
    """References to the rows that a full terminal-day is read from."""

    def __init__(self, tags: pl.DataFrame, streams: pl.DataFrame) -> None:
        stock = tags.filter(pl.col("measurement") == "stock").sort("tag_name")
        self._gauges: dict[str, list[str]] = dict(stock.group_by("facility_id").agg("tag_name").iter_rows())
        receipts = streams.filter(pl.col("role") == "receipt", pl.col("network") == OIL).sort("stream_ec_code")
        codes = receipts.group_by("facility_id").agg("stream_ec_code")
        self._meters: dict[str, list[str]] = dict(codes.iter_rows())

    def of(self, row: Mapping[str, Any]) -> str:
        """Gauges or closing stock, and the receipt meters, of a row of core__daily_terminal."""
        facility_id, label = row["facility_id"], row["production_date"].isoformat()
        if row["stock_source"] == "pi":
            stock = [f"pi:{name.replace(' ', '%20')}/{label}" for name in self._gauges.get(facility_id, [])]
        else:
            stock = [f"ec:TANK_DAY/{row['storage_ec_code'] or facility_id}/{label}"]
        return " ".join([*stock, *(f"ec:STREAM_DAY/{code}/{label}" for code in self._meters.get(facility_id, []))])


class _Networks:
    """The networks of the labels, each made when it is first asked for, and what `events` leave unexplained in them."""

    def __init__(
        self,
        book: TopologyBook,
        measured: Measured,
        labels: Sequence[date],
        days: pl.DataFrame,
        production: pl.DataFrame,
    ) -> None:
        self.events: Mapping[date, Sequence[Mapping[str, Any]]] = {}
        self._book = book
        self._potentials = rates_by_label(measured.potential, "potential")
        self._limits = rates_by_label(capacities_in_force(measured.capacities, labels), "capacity")
        self._bounds: dict[date, dict[str, tuple[datetime, datetime]]] = {}
        self._hours: dict[tuple[date, str], float] = {}
        for facility_id, label, start, end, hours in days.iter_rows():
            self._bounds.setdefault(label, {})[facility_id] = (start, end)
            self._hours[label, facility_id] = hours
        self._volumes = rates_by_label(production, "volume")
        self._solvers: dict[tuple[date, str], FairSolver] = {}
        self._unexplained: dict[date, dict[tuple[str, str], float | None]] = {}

    def arrivals(self, label: date, terminal_id: str) -> float | None:
        """Undisturbed oil through a terminal, bbl/d; None where no oil leads to it that day."""
        return self._through(self._solver(label, OIL), terminal_id)

    def room(self, label: date, facility_id: str, phase: str) -> Room | None:
        """What a stop at a facility can explain; None where it reaches no meter or a deferment is not known."""
        solver = self._solver(label, phase)
        undisturbed = self._through(solver, facility_id)
        if undisturbed is None:
            return None
        mask = solver.reach(solver.index["node", facility_id])
        meters = [m for f, m in enumerate(solver.meters) if mask >> f & 1]
        yields = {n.node_id: n.sales_yield for n in solver.graph.nodes}
        unexplained = self._left(label)
        volume = 0.0
        for meter in meters:
            left = unexplained.get(meter.key)
            if left is None:
                return None
            # Gas is counted as sales; on its way to a plant the same loss is larger by what the plant uses and shrinks.
            is_raw = phase != OIL and meter.facility_id != facility_id
            volume += left / (yields[meter.facility_id] if is_raw else 1.0)
        return Room(max(0.0, volume), undisturbed, frozenset(m.key for m in meters))

    def _solver(self, label: date, phase: str) -> FairSolver:
        if (label, phase) not in self._solvers:
            graphs: tuple[Graph, Graph] = self._book.on(label).graphs(
                self._potentials.get(label, {}), self._limits.get(label, {})
            )
            self._solvers[label, OIL], self._solvers[label, "gas"] = (FairSolver(graph) for graph in graphs)
        return self._solvers[label, phase]

    def _through(self, solver: FairSolver, node_id: str) -> float | None:
        element = solver.index.get(("node", node_id))
        if element is None or not solver.reach(element):
            return None
        return float(solver.through(solver.undisturbed())[element])

    def _left(self, label: date) -> dict[tuple[str, str], float | None]:
        """Deferment less the shares of events and constraints, by (facility, network); None where it is not known."""
        if label not in self._unexplained:
            found = attribute_label(
                self._book.on(label),
                DayEvents(self.events.get(label, [])),
                self._potentials.get(label, {}),
                self._limits.get(label, {}),
                self._bounds[label],
            )
            left: dict[tuple[str, str], float | None] = {}
            volumes = self._volumes.get(label, {})
            for (facility_id, network), potential in self._potentials.get(label, {}).items():
                volume = volumes.get((facility_id, network))
                if potential is None or volume is None:
                    left[facility_id, network] = None
                    continue
                possible = potential * self._hours[label, facility_id] / 24.0
                left[facility_id, network] = max(0.0, possible - volume)
            for driver in found.drivers:
                rest = left.get((driver.facility_id, driver.network))
                if rest is not None:
                    left[driver.facility_id, driver.network] = rest - driver.volume
            self._unexplained[label] = left
        return self._unexplained[label]
