"""Data reconciliation by production day: what the meters should have said together, and which of them is wrong.

Steady state: a day's volumes have to balance at every node, stock changes included. Oil is one system, the gas networks
another. Belongs here: meters and measurements into rows. Not here: the topology, the balances, the tests (reconciliation_*).
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from pipelines.transforms import reconciliation_solve as solve
from pipelines.transforms.reconciliation_balance import Balances, Floats, balances
from pipelines.transforms.reconciliation_measured import values_by_day
from pipelines.transforms.reconciliation_network import (
    GAS,
    GAS_NETWORKS,
    OIL,
    Arc,
    Meter,
    gas_arcs,
    oil_arcs,
    own_use_key,
)
from warehouse.catalog.reconciliation import OutDailyBalance, OutDailyClosure, OutDailyMeter

# Labels before the first whose measurements the tests look back on; a change of stock needs one label more.
CONTEXT_DAYS = solve.WINDOW_DAYS - 1
# A meter's uncertainty does not shrink below that of this part of the day's largest flow: turndown of 100 : 1.
TURNDOWN = 0.01
SMALLEST_SIGMA = 1.0
CLOSED = solve.critical(1)
SYSTEMS = (OIL, GAS)

Values = Mapping[str, tuple[float, float, str]]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Rows of out__daily_meter, out__daily_balance and out__daily_closure."""

    meters: pl.DataFrame
    balances: pl.DataFrame
    closure: pl.DataFrame


def daily_reconciliation(
    *,
    labels: Sequence[date],
    meters: Sequence[Meter],
    measured: pl.DataFrame,
    days: pl.DataFrame,
    facilities: pl.DataFrame,
    edges: pl.DataFrame,
    externals: pl.DataFrame,
    terminals: pl.DataFrame,
) -> Reconciliation:
    """Meters, balances and closure over the labels, sorted by key; a system without any meter has no row.

    `measured`: rows of measured_volumes, from CONTEXT_DAYS labels before the first. `days`: ProductionCalendar.frame with
    the terminals; the others are reference frames. Facilities and lines are those of the day. A meter without a value has
    null figures and flag notObservable. Volumes in bbl and scf.
    """
    wanted = sorted(set(labels))
    asked = frozenset(wanted)
    by_day = values_by_day(measured)
    topology = _Topology(meters, days, facilities, edges, externals, terminals)
    rows: dict[str, list[Row]] = {"meters": [], "balances": [], "closure": []}
    for system in SYSTEMS:
        own = [m for m in meters if m.system == system]
        memory: deque[list[solve.Block]] = deque(maxlen=CONTEXT_DAYS)
        previous: date | None = None
        if not own:
            continue
        for label in _reach(wanted):
            if previous is not None and label - previous != timedelta(days=1):
                memory.clear()
            previous = label
            day = _Day(own, by_day.get(label, {}), topology, label, system)
            if label in asked:
                _judge(day, list(memory), rows)
            memory.appendleft(day.blocks)
    return Reconciliation(
        *(
            _frame(rows[name], schema)
            for name, schema in (("meters", OutDailyMeter), ("balances", OutDailyBalance), ("closure", OutDailyClosure))
        )
    )


def _reach(wanted: Sequence[date]) -> list[date]:
    """The labels and those before them that their tests look back on."""
    return sorted({label - timedelta(days=back) for label in wanted for back in range(CONTEXT_DAYS + 1)})


def _frame(rows: Sequence[Row], schema: Any) -> pl.DataFrame:
    dtypes = schema.create_empty().schema
    return pl.DataFrame(rows, schema=dtypes, orient="row").sort(schema.primary_key())


class _Topology:
    """Arcs and balances of a day, made once for each state of the network and set of metered flows."""

    def __init__(
        self,
        meters: Sequence[Meter],
        days: pl.DataFrame,
        facilities: pl.DataFrame,
        edges: pl.DataFrame,
        externals: pl.DataFrame,
        terminals: pl.DataFrame,
    ) -> None:
        self._meters = meters
        self._hours = {(f, d): h for f, d, h in days.select("facility_id", "production_date", "day_hours").iter_rows()}
        self._facilities, self._edges, self._externals = (
            [(r["valid_from"], r["valid_to"], r) for r in frame.iter_rows(named=True)]
            for frame in (facilities, edges, externals)
        )
        self.terminals = {r["facility_id"]: r for r in terminals.iter_rows(named=True)}
        self._arcs: dict[tuple[Any, ...], list[Arc]] = {}
        self._balances: dict[tuple[Any, ...], Balances] = {}

    def declared(self, label: date) -> dict[str, float]:
        """Volumes that no meter measures but the reference states: own use of terminals."""
        return {
            own_use_key(name): row["own_use_bblpd"] * self._hours.get((name, label), 24.0) / 24.0
            for name, row in self.terminals.items()
            if row["own_use_bblpd"]
        }

    def balances(self, system: str, label: date, known: frozenset[str]) -> Balances:
        """Balances between the known flows of a day."""
        state = tuple(
            tuple(n for n, (start, end, _) in enumerate(rows) if _holds(start, end, label))
            for rows in (self._facilities, self._edges, self._externals)
        )
        if (system, state) not in self._arcs:
            self._arcs[system, state] = self._draw(system, *state)
        key = (system, state, known)
        if key not in self._balances:
            self._balances[key] = balances(self._arcs[system, state], known)
        return self._balances[key]

    def _draw(
        self, system: str, facilities: Sequence[int], edges: Sequence[int], externals: Sequence[int]
    ) -> list[Arc]:
        present = [self._facilities[n][2] for n in facilities]
        lines = [self._edges[n][2] for n in edges]
        outside = [self._externals[n][2] for n in externals]
        junctions = [e["external_id"] for e in outside if e["kind"] == "junction"]
        if system == OIL:
            oil = [(e["from_id"], e["to_id"]) for e in lines if e["network"] == OIL]
            return oil_arcs(self._meters, oil, present, self.terminals, junctions)
        gas = [(e["from_id"], e["to_id"], e["network"]) for e in lines if e["network"] in GAS_NETWORKS]
        sources = [e["external_id"] for e in outside if e["kind"] == "source"]
        return gas_arcs(self._meters, gas, present, sources, junctions)


def _holds(start: date | None, end: date | None, label: date) -> bool:
    return (start is None or start <= label) and (end is None or label < end)


class _Day:
    """A system on one day: balances, measured volumes with their σ, and the whitened parts that the tests work on."""

    def __init__(self, meters: Sequence[Meter], values: Values, topology: _Topology, label: date, system: str) -> None:
        self.label, self.system = label, system
        self.meters, self.values = meters, values
        largest = max((abs(values[m.meter_id][0]) for m in meters if m.meter_id in values), default=0.0)
        self.sigma = {
            m.meter_id: max(m.sigma_fraction * max(values[m.meter_id][1], TURNDOWN * largest), SMALLEST_SIGMA)
            for m in meters
            if m.meter_id in values and m.sigma_fraction is not None
        }
        declared = topology.declared(label)
        self.balances = topology.balances(system, label, frozenset(self.sigma) | frozenset(declared))
        keys = self.balances.keys
        self.volumes: Floats = np.array([values[k][0] if k in self.sigma else declared[k] for k in keys])
        self.sigmas: Floats = np.array([self.sigma.get(k, 0.0) for k in keys])
        self.blocks = solve.blocks(self.balances, self.volumes, self.sigmas)


def _judge(day: _Day, past: Sequence[Sequence[solve.Block]], rows: dict[str, list[Row]]) -> None:
    """Append the day's rows."""
    candidates = sum(max(solve.directions(block), default=-1) + 1 for block in day.blocks)
    bound = solve.critical(candidates * (len(past) + 1))
    found: dict[str, solve.Verdict] = {}
    for block in day.blocks:
        found |= solve.verdicts(block, past, bound)
    removed = [j for j, key in enumerate(day.balances.keys) if key in found and found[key].is_removed]
    estimate = solve.estimate(day.balances, day.volumes, day.sigmas, removed)
    place = {key: j for j, key in enumerate(day.balances.keys)}
    meter_rows = [_meter_row(meter, day, found.get(meter.meter_id), estimate, place) for meter in day.meters]
    rows["meters"] += meter_rows
    rows["balances"] += _balance_rows(day)
    rows["closure"].append(_closure_row(day, found, meter_rows, bound))


def _meter_row(
    meter: Meter, day: _Day, verdict: solve.Verdict | None, estimate: solve.Estimate, place: Mapping[str, int]
) -> Row:
    volume, _, source = day.values.get(meter.meter_id, (None, None, None))
    j = place.get(meter.meter_id)
    # A meter in no balance of the day has nothing to be reconciled with.
    is_balanced = verdict is not None and j is not None
    reconciled = float(estimate.values[j]) if is_balanced else None
    return {
        "production_date": day.label,
        "system": day.system,
        "meter_id": meter.meter_id,
        "facility_id": meter.facility_id,
        "network": meter.network,
        "measurement": meter.measurement,
        "source": source,
        "measured": volume,
        "sigma": day.sigma.get(meter.meter_id),
        "reconciled": reconciled,
        "reconciled_sigma": float(estimate.sigmas[j]) if is_balanced else None,
        "adjustment": reconciled - volume if reconciled is not None and volume is not None else None,
        "test_statistic": verdict.statistic if verdict else None,
        "evidence_days": verdict.days if verdict else None,
        "flag": _flag(verdict),
    }


def _flag(verdict: solve.Verdict | None) -> str:
    if verdict is None or not verdict.is_observable:
        return "notObservable"
    if verdict.is_removed:
        return "grossError"
    return "suspect" if verdict.is_suspect else "ok"


def _balance_rows(day: _Day) -> list[Row]:
    matrix = day.balances.matrix
    terms = matrix * day.volumes
    deviations = np.sqrt(((matrix * day.sigmas) ** 2).sum(axis=1))
    rows = []
    for i, node in enumerate(day.balances.nodes):
        inputs = float(terms[i][matrix[i] > 0.0].sum())
        outputs = -float(terms[i][matrix[i] < 0.0].sum())
        sigma = float(deviations[i])
        statistic = (inputs - outputs) / sigma if sigma > 0.0 else None
        rows.append(
            {
                "production_date": day.label,
                "system": day.system,
                "balance_id": node,
                "node_id": node.split("/")[0],
                "facility_ids": " ".join(dict.fromkeys(n.split("/")[0] for n in day.balances.spans[i])),
                "inputs": inputs,
                "outputs": outputs,
                "imbalance": inputs - outputs,
                "sigma": sigma,
                "statistic": statistic,
                "is_closed": statistic is None or abs(statistic) <= CLOSED,
            }
        )
    return rows


def _closure_row(day: _Day, found: Mapping[str, solve.Verdict], meter_rows: Sequence[Row], bound: float) -> Row:
    statistic = float(sum(float(b.residuals @ b.residuals) for b in day.blocks))
    degrees = sum(len(b.residuals) for b in day.blocks)
    row: Row = {
        "production_date": day.label,
        "system": day.system,
        "balance_count": len(day.balances.nodes),
        "meter_count": sum(m["measured"] is not None for m in meter_rows),
        "observable_count": sum(v.is_observable for v in found.values()),
        "gross_error_count": sum(m["flag"] == "grossError" for m in meter_rows),
        "degrees_of_freedom": degrees,
        "critical_statistic": bound if math.isfinite(bound) else None,
    }
    if degrees:
        # Meters between two nodes cancel in the sum of the balances: what is left are those at the system's edge.
        edge = day.balances.matrix.sum(axis=0)
        inputs = float((edge * day.volumes)[edge > 1e-9].sum())
        outputs = -float((edge * day.volumes)[edge < -1e-9].sum())
        row |= {
            "inputs": inputs,
            "outputs": outputs,
            "imbalance": inputs - outputs,
            "sigma": float(np.sqrt(((edge * day.sigmas) ** 2).sum())),
            "global_statistic": statistic,
            "p_value": solve.chi_square_tail(statistic, degrees),
        }
    return row
