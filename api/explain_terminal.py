"""KPIs of a terminal explained: tanks, receipts, settling, endurance; and the parcel of the next cargo."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from api.explain import Draft, Term, nothing, parameter
from api.explain_nodes import COLUMNS
from api.explain_sources import NO_SOURCE_ROWS, TERMINAL, Sources
from api.kpis import Row
from api.units import Quantity

STORED = {
    "maxCapacity": "max_capacity",
    "grossStock": "gross_stock",
    "readyCrude": "ready_crude",
    "productionRate": "production_rate",
    "endurance": "endurance",
    "ullage": "ullage",
    "readyStock": "ready_stock",
    "stockCoverDays": "stock_cover",
}
QUANTITIES: Mapping[str, Quantity] = {
    "maxCapacity": "terminalVolume",
    "grossStock": "terminalVolume",
    "ullage": "terminalVolume",
    "readyStock": "terminalVolume",
    "parcel": "terminalVolume",
    "readyCrude": "oilRate",
    "productionRate": "oilRate",
    "endurance": "time",
    "stockCoverDays": "time",
}
UNITS = {"terminalVolume": "bbl", "oilRate": "bbl/d", "time": "d"}
# Labels that a settling lag of some days can reach back over.
REACH_DAYS = 8
# Rounding of hours.
TINY_HOURS = 1e-9


def cargo(sources: Sources, terminal_id: str, cargo_id: str) -> Draft:
    """The parcel of the next cargo."""
    day = sources.view.production_date
    formula = "nominated parcel; of a cargo that is not nominated the lifting programme's"
    term = sources.register("parcel", cargo_id, "oil", day)
    if term is not None:
        return Draft(formula, "sum", [term])
    stock = sources.query("terminal_day", production_date=day, terminal_ids=[terminal_id])
    measured_at = stock[0]["measured_at_utc"] if stock else None
    rows = sources.query("next_cargo", terminal_id=terminal_id, production_date=day, measured_at_utc=measured_at)
    parcel = next((row["parcel"] for row in rows if row["cargo_id"] == cargo_id), None)
    if parcel is None:
        return nothing(formula, "No register states the parcel.")
    key = {"cargo_id": cargo_id}
    reference = sources.row("core__cargo", None, key, column="parcel_bbl", value=parcel, unit="bbl")
    return Draft(formula, "sum", [Term("parcel", parcel, "bbl", row=reference)], notes=[NO_SOURCE_ROWS])


class TerminalKpi:
    """KPIs of one terminal at the end of one day."""

    def __init__(self, sources: Sources, terminal_id: str, day: date) -> None:
        self.sources = sources
        self.terminal_id = terminal_id
        self.day = day
        rows = sources.query("terminal_day", production_date=day, terminal_ids=[terminal_id])
        self.row: Row = rows[0] if rows else {}

    def explain(self, field: str) -> Draft:
        """A KPI by its property."""
        if not self.row:
            return nothing("null", f"The release has no row of {self.terminal_id} for {self.day}.")
        explainers: dict[str, Callable[[], Draft]] = {
            "maxCapacity": lambda: self._constant("safeFill", "safe fill of the tanks in service, bottoms included"),
            "grossStock": self._stock,
            "ullage": self._ullage,
            "productionRate": self._receipts,
            "readyCrude": self._ready_crude,
            "readyStock": self._ready_stock,
            "endurance": lambda: self._days("ullage", "ullage ÷ productionRate: days to tank-top with no lifting"),
            "stockCoverDays": lambda: self._days("readyStock", "readyStock ÷ productionRate"),
        }
        value = self.row[STORED[field]]
        draft = explainers[field]()
        if value is not None and not [term for term in draft.terms if term.role != "parameter"]:
            return self._stored(field)
        return draft

    def _stored(self, field: str) -> Draft:
        """The release's own row."""
        column, unit = STORED[field], UNITS[QUANTITIES[field]]
        return self.sources.stored(self.row, column, unit, self._reference(field, self.day, self.row[column]))

    def _reference(self, field: str, day: date, value: float | None) -> Any:
        """A row of out__daily_terminal."""
        column, unit = STORED[field], UNITS[QUANTITIES[field]]
        key = {"terminal_id": self.terminal_id}
        return self.sources.row(TERMINAL, day, key, column=column, value=value, unit=unit)

    def _own(self, field: str, weight: float, role: str = "term") -> Term:
        """Another KPI of the terminal as an input."""
        value, unit = self.row[STORED[field]], UNITS[QUANTITIES[field]]
        path = self.sources.terminal_path(self.terminal_id, field, self.day)
        return Term(field, value, unit, weight, role, self.day, path, self._reference(field, self.day, value))

    def _setting(self, quantity: str, *, weight: float | None = None) -> Term | None:
        """A constant of the terminal; a parameter unless it weighs."""
        found = self.sources.register(quantity, self.terminal_id, "oil", self.day)
        if found is None:
            return None
        role = "parameter" if weight is None else "term"
        return Term(found.name, found.value, found.unit, weight, role, path=None, row=found.row)

    def _constant(self, quantity: str, formula: str) -> Draft:
        term = self._setting(quantity, weight=1.0)
        return Draft(formula, "sum", [term]) if term else nothing(formula)

    def _stock(self) -> Draft:
        terms = self.sources.source_terms([self.terminal_id], "oil", "stock", self.day)
        formula = (
            "Σ last readings of the tank gauges; Energy Components' closing stock where it is newer or the only one"
        )
        if self.row["gross_stock"] is None:
            return nothing(formula, "A tank has no reading, or nothing was measured.", terms=terms)
        samples = self.sources.samples([self.terminal_id], "oil", "stock", self.day)
        return Draft(formula, "sum", terms, rows=samples)

    def _ullage(self) -> Draft:
        formula = "max(0, maxCapacity − grossStock)"
        return Draft(formula, "combinationNotNegative", [self._own("maxCapacity", 1.0), self._own("grossStock", -1.0)])

    def _days(self, field: str, formula: str) -> Draft:
        if not self.row["production_rate"] and self.row[STORED[field]] != 0.0:
            return nothing(
                formula, "Nothing is received, or receipts are not known.", terms=[self._own("productionRate", 1.0)]
            )
        if field == "ullage" and self.row["ullage"] == 0.0:
            return Draft(f"0 at or above safe fill; else {formula}", "sum", [self._own("ullage", 1.0)])
        terms = [self._own(field, 1.0, "numerator"), self._own("productionRate", 1.0, "denominator")]
        return Draft(formula, "quotient", terms)

    def _receipts(self) -> Draft:
        """The terminal's own meter, else Σ of the stations whose oil reaches it."""
        formula = "receipts ÷ (hours of the day ÷ 24), by the terminal's own meter"
        own = self.sources.node("facility", self.terminal_id, "oil", self.day)
        if own is not None and own["production"] is not None and own["quality"] != "notApplicable":
            path = self.sources.node_path(own, "currentProduction")
            row = self.sources.node_row(own, "production", "bbl/d")
            behind = self.sources.source_terms([self.terminal_id], "oil", "production", self.day)
            term = Term("receipts metered", own["production"], "bbl/d", 1.0, "term", self.day, path, row)
            return Draft(formula, "sum", [term], rows=[t.row for t in behind if t.row])
        formula = "Σ production of the stations whose oil reaches the terminal, for it has no meter of its own"
        feeding = self._upstream()
        rows = [row for row in self.sources.facilities("oil", self.day) if row["node_id"] in feeding]
        rows = [row for row in rows if row["quality"] != "notApplicable"]
        hours = next((b["day_hours"] for b in self._balances(self.day)), own["day_hours"] if own else 24.0)
        terms = [
            Term(
                row["node_id"],
                row["production"],
                "bbl/d",
                row["day_hours"] / hours,
                "term",
                self.day,
                self.sources.node_path(row, "currentProduction"),
                self.sources.node_row(row, COLUMNS["currentProduction"], "bbl/d"),
            )
            for row in rows
        ]
        return Draft(formula, "combination", terms)

    def _upstream(self) -> set[str]:
        edges = self.sources.query("edge_list", production_date=self.day)
        found, reached = set[str](), {self.terminal_id}
        while reached:
            reached = {e["from_id"] for e in edges if e["network"] == "oil" and e["to_id"] in reached} - found
            found |= reached
        return found

    def _balances(self, first: date) -> Sequence[Row]:
        if not self.sources.view.release.manifest.row_counts.get("terminal_balance"):
            return []
        return self.sources.query(
            "explain_terminal_balance", terminal_id=self.terminal_id, first_date=first, last_date=self.day
        )

    def _received(self, low: float, high: float) -> list[tuple[Row, float]]:
        """Days with the hours of each that lie between so many hours before the end of the day; none where one is missing."""
        found: list[tuple[Row, float]] = []
        start, expected = 0.0, self.day
        for row in self._balances(self.day - timedelta(days=REACH_DAYS)):
            end = start + row["day_hours"]
            overlap = min(end, high) - max(start, low)
            if row["production_date"] != expected or start >= high:
                break
            if overlap > 0:
                if row["receipts"] is None:
                    return []
                found.append((row, overlap))
            start, expected = end, expected - timedelta(days=1)
        covered = sum(hours for _, hours in found)
        return found if covered >= high - low - TINY_HOURS else []

    def _day_rate(self, row: Row, weight: float) -> Term:
        """Receipts of a day as its rate."""
        day = row["production_date"]
        rate = row["receipts"] / (row["day_hours"] / 24.0)
        path = self.sources.terminal_path(self.terminal_id, "productionRate", day)
        reference = self._reference("productionRate", day, rate)
        return Term(f"productionRate of {day}", rate, "bbl/d", weight, "term", day, path, reference)

    def _lag(self) -> tuple[float, list[Term]]:
        lag = self._setting("settlingHours")
        return (lag.value or 0.0 if lag else 0.0), ([lag] if lag else [])

    def _ready_crude(self) -> Draft:
        formula = "mean receipts over the day shifted back by the settling lag × (1 − BS&W) × (1 − shrinkage)"
        if not self._balances(self.day):
            return nothing(formula)
        lag, shown = self._lag()
        rest = 1.0
        for quantity in ("bswFraction", "shrinkageFraction"):
            term = self._setting(quantity)
            if term is not None:
                shown.append(term)
                rest *= 1.0 - (term.value or 0.0)
        balances = self._balances(self.day)
        window = balances[0]["day_hours"] if balances else 24.0
        shown.append(parameter("hours of the window", window, "h"))
        days = self._received(lag, lag + window)
        if not days:
            return nothing(formula, "A day that the lag reaches back to has no receipts.", terms=shown)
        terms = [self._day_rate(row, hours / window * rest) for row, hours in days]
        return Draft(formula, "sum", [*terms, *shown, *_hours(days)])

    def _ready_stock(self) -> Draft:
        formula = "max(0, grossStock − dead stock − unsettled − water); unsettled: receipts of the last settling lag"
        if not self._balances(self.day):
            return nothing(formula)
        lag, shown = self._lag()
        days = self._received(0.0, lag)
        if lag and not days:
            return nothing(formula, "A day that the settling lag reaches back to has no receipts.", terms=shown)
        terms = [self._own("grossStock", 1.0)]
        dead = self._setting("deadStock", weight=-1.0)
        if dead is not None:
            terms.append(dead)
        terms += [self._day_rate(row, -hours / 24.0) for row, hours in days]
        water = self.sources.source_terms([self.terminal_id], "oil", "water", self.day)
        terms += [
            Term(f"water of {t.name}", t.value, t.unit, -(t.weight or 0.0), "term", self.day, None, t.row)
            for t in water
        ]
        return Draft(formula, "combinationNotNegative", [*terms, *shown, *_hours(days)])


def _hours(days: list[tuple[Row, float]]) -> list[Term]:
    return [
        parameter(f"hours of {row['production_date']}", hours, "h", day=row["production_date"]) for row, hours in days
    ]
