"""KPIs of a node on a network and day, explained by the domain's formulas: facilities from sources, parents from the cut."""

import math
from collections.abc import Sequence
from datetime import date

from api.explain import Draft, RowReference, Term, nothing, parameter
from api.explain_sources import NO_SOURCE_ROWS, Sources, rate_unit
from api.kpis import Row
from api.units import Quantity

COLUMNS = {
    "maxCapacity": "max_capacity",
    "businessTarget": "business_target",
    "currentProduction": "production",
    "deferment": "deferment",
    "potential": "potential",
    "publishedTarget": "published_target",
    "gap": "gap",
    "overPerformance": "over_performance",
    "excessOverTarget": "gap",
    "coverage": "coverage",
}
# Zeros of a network that a node does not serve; what stands beside them is null.
ZEROS = frozenset(
    {
        "maxCapacity",
        "businessTarget",
        "currentProduction",
        "deferment",
        "potential",
        "gap",
        "overPerformance",
        "coverage",
    }
)
SUMMED = ("businessTarget", "currentProduction", "deferment", "potential", "gap", "overPerformance")
WELL_METHODS = ("well_test", "last_full_day", "month_average")
FULL_DAYS = 30
NOT_SERVED = "0 by definition: the node does not serve the network"


def quantity_of(network: str, field: str) -> Quantity | None:
    """Quantity of a KPI; null for a fraction."""
    if field == "coverage":
        return None
    return "oilRate" if network == "oil" else "gasRate"


def explain(sources: Sources, level: str, node_id: str, network: str, field: str, day: date) -> Draft:
    """A KPI of contracts.common.Kpi."""
    if not sources.view.wants(network):
        return nothing("null", f"The body was asked for {sources.view.network} only.")
    row = sources.node(level, node_id, network, day)
    if row is None:
        return nothing("null", f"The release has no row of {level} {node_id} on {network} for {day}.")
    if row["quality"] == "notApplicable" and field in ZEROS and row[COLUMNS[field]] == 0.0:
        key = {"facility_id": node_id, "network": network} if level == "facility" else None
        reference = sources.row("reference/facility_networks.csv", None, key)
        return Draft(NOT_SERVED, "zero", rows=[sources.node_row(row, COLUMNS[field], rate_unit(network)), reference])
    if field == "excessOverTarget":
        return _excess(sources, row)
    explainer = _Facility(sources, row) if level == "facility" else _Parent(sources, row)
    return explainer.explain(field)


def efficiency(sources: Sources, network: str, day: date) -> Draft:
    """Production efficiency of the system."""
    row = sources.node("system", "system", network, day) if sources.view.wants(network) else None
    formula = "Σ production ÷ Σ potential, as volumes of the same day"
    if row is None or row["production"] is None or not row["potential"]:
        return nothing(formula, "No potential or production of the system is known, or the potential is 0.")
    return Draft(formula, "quotient", [_own(sources, row, "currentProduction", 1.0, "numerator"),
                                       _own(sources, row, "potential", 1.0, "denominator")])  # fmt: skip


def _own(sources: Sources, row: Row, field: str, weight: float, role: str = "term") -> Term:
    """A KPI of the same node and day as an input."""
    column, unit = COLUMNS[field], rate_unit(row["network"])
    return Term(
        field,
        row[column],
        unit,
        weight,
        role,
        row["production_date"],
        sources.node_path(row, field),
        sources.node_row(row, column, unit),
    )


def _excess(sources: Sources, row: Row) -> Draft:
    formula = "max(0, gap), gap being production − ceiling; of flaredGas only"
    if row["network"] != "flaredGas" or row["gap"] is None:
        return nothing(formula, "Only flaredGas with a production and a ceiling has an excess over target.")
    return Draft(formula, "combinationNotNegative", [_own(sources, row, "gap", 1.0)])


def _difference(sources: Sources, row: Row, field: str) -> Draft:
    """Formulas of domain.md for a facility on the cut, and for a parent against another target version."""
    flared = row["network"] == "flaredGas"
    pairs = {
        "deferment": ("max(0, potential − production)", "potential", "currentProduction"),
        "overPerformance": ("max(0, production − potential)", "currentProduction", "potential"),
        "gap": ("production − ceiling", "currentProduction", "businessTarget")
        if flared
        else ("target − production", "businessTarget", "currentProduction"),
    }
    formula, first, second = pairs[field]
    if flared and field != "gap":
        formula = "0 by definition: flared gas has neither potential nor deferment"
        return Draft(formula, "zero", rows=[sources.node_row(row, COLUMNS[field], rate_unit("flaredGas"))])
    operation = "combination" if field == "gap" else "combinationNotNegative"
    return Draft(formula, operation, [_own(sources, row, first, 1.0), _own(sources, row, second, -1.0)])


class _Facility:
    """A facility's KPI from the rows of the sources."""

    def __init__(self, sources: Sources, row: Row) -> None:
        self.sources = sources
        self.row = row
        self.facility_id: str = row["node_id"]
        self.network: str = row["network"]
        self.day: date = row["production_date"]
        self.days: float = row["day_hours"] / 24.0
        self.unit = rate_unit(self.network)

    def explain(self, field: str) -> Draft:
        if field == "coverage":
            return self.coverage()
        if field == "currentProduction":
            return self.production()
        if field == "maxCapacity":
            return self.registered(
                field, "capacity", "capacity in force: Energy Components before the capacity register"
            )
        if field == "publishedTarget":
            return nothing("a parent's own published target", "A facility's target stands in businessTarget.")
        if not self.row["counts_in_roll_up"]:
            return nothing(
                "null off the counting cut", "The facility owns no meter on the counting cut of the network."
            )
        if self.row[COLUMNS[field]] is None:
            return self.unknown(field)
        if field == "potential":
            return self.potential()
        if field == "businessTarget":
            return self.registered(
                field, "target", "approved target version in force", self.sources.view.target_version
            )
        return _difference(self.sources, self.row, field)

    def unknown(self, field: str) -> Draft:
        if field == "potential" and self.network == "flaredGas":
            return nothing("null", "Flared gas has no potential.")
        if field in ("potential", "businessTarget"):
            return nothing("null", f"No source states a {field} for the day.")
        return nothing(
            "null where an input is null", "An input is not known: see potential, businessTarget and currentProduction."
        )

    def stored(self, column: str) -> Draft:
        reference = self.sources.node_row(self.row, column, self.unit)
        return self.sources.stored(self.row, column, self.unit, reference)

    def production(self) -> Draft:
        """Σ source rows × factor ÷ (T_D ÷ 24)."""
        terms = self.sources.source_terms([self.facility_id], self.network, "production", self.day, self.days)
        own = self.sources.node_row(self.row, "day_hours", "h")
        hours = parameter("length of the production day", self.row["day_hours"], "h", day=self.day, row=own)
        if self.row["production"] is None:
            return nothing(
                "volume ÷ (hours of the day ÷ 24)", "No source has a volume of the day.", terms=[*terms, hours]
            )
        if not terms:
            return self.stored("production")
        from_pi = self.row["source"] == "pi"
        formula = (
            "Σ time-weighted mean × factor ÷ (hours of the day ÷ 24): PI stands in, for Energy Components has no row yet"
            if from_pi
            else "Σ volume × factor ÷ (hours of the day ÷ 24), from Energy Components"
        )
        samples = self.sources.samples([self.facility_id], self.network, "production", self.day)
        return Draft(formula, "sumNotNegative" if from_pi else "sum", [*terms, hours], rows=samples)

    def potential(self) -> Draft:
        """By the method that potentialBasis names."""
        basis: str = self.row["potential_basis"]
        if basis == "p75_full_days":
            rows = self.sources.query(
                "explain_full_day",
                production_date=self.day,
                facility_id=self.facility_id,
                network=self.network,
                count=FULL_DAYS,
            ) if self.sources.has_source_rows else []  # fmt: skip
            terms = [self.sources.source_term(row) for row in rows]
            return self._or_stored(terms, "P75 of the rates of the last 30 full-uptime days", "quantile75")
        if basis in ("nameplate", "target"):
            quantity = "capacity" if basis == "nameplate" else "target"
            return self.registered("potential", quantity, f"{quantity} in force, by the method {basis}")
        terms = self.sources.source_terms([self.facility_id], self.network, "potential", self.day)
        what = (
            f"Σ potentials of the wells, by the method {basis}"
            if basis in WELL_METHODS
            else "stated by Energy Components"
        )
        return self._or_stored(terms, f"{what}; as of the day of its row")

    def _or_stored(self, terms: list[Term], formula: str, operation: str = "sum") -> Draft:
        return Draft(formula, operation, terms) if terms else self.stored("potential")

    def registered(self, field: str, quantity: str, formula: str, version: str | None = None) -> Draft:
        """The register's row in force."""
        column = COLUMNS[field]
        if self.row[column] is None:
            return nothing(formula, "No register states one for the day.")
        term = self.sources.register(quantity, self.facility_id, self.network, self.day, version)
        return Draft(formula, "sum", [term]) if term is not None else self.stored(column)

    def coverage(self) -> Draft:
        """Present ÷ expected source rows; 0 without a production."""
        terms = self.sources.source_terms([self.facility_id], self.network, "production", self.day)
        formula = "source rows that came ÷ source rows expected"
        if self.row["production"] is None:
            return Draft(f"0: nothing came; else {formula}", "zero", rows=[term.row for term in terms if term.row])
        if not terms:
            return self.stored("coverage")  # of a network that is not served, or of a release without source rows
        expected = [Term(t.name, 1.0, None, 1.0, "denominator", t.day, row=t.row) for t in terms]
        came = [Term(t.name, 1.0, None, 1.0, "numerator", t.day, row=t.row) for t in terms if t.value is not None]
        return Draft(formula, "quotient", [*came, *expected])


class _Parent:
    """A parent's KPI from the facilities on the counting cut that are present."""

    def __init__(self, sources: Sources, row: Row) -> None:
        self.sources = sources
        self.row = row
        self.network: str = row["network"]
        self.day: date = row["production_date"]
        self.unit = rate_unit(self.network)

    def explain(self, field: str) -> Draft:
        if field == "maxCapacity":
            return self.capacity()
        if field == "publishedTarget":
            return self.published()
        cut = [
            child
            for child in self.sources.facilities(self.network, self.day)
            if child["counts_in_roll_up"] and child["quality"] != "notApplicable" and self._holds(child)
        ]
        if field == "coverage":
            return self.coverage(cut)
        return self.summed(field, cut)

    def _holds(self, child: Row) -> bool:
        level = self.row["node_level"]
        return level == "system" or bool(child[f"{level}_id"] == self.row["node_id"])

    def _child(self, child: Row, field: str, weight: float, role: str = "term") -> Term:
        column = COLUMNS[field]
        return Term(
            child["node_id"],
            child[column],
            self.unit,
            weight,
            role,
            self.day,
            self.sources.node_path(child, field),
            self.sources.node_row(child, column, self.unit),
        )

    def summed(self, field: str, cut: Sequence[Row]) -> Draft:
        column = COLUMNS[field]
        formula = f"Σ {field} over the facilities on the counting cut, as volumes ÷ (hours of the day ÷ 24)"
        present = [child for child in cut if child["production"] is not None]
        if self.row["production"] is None:
            known = [parameter(c["node_id"], c["production"], self.unit, day=self.day) for c in cut]
            why = f"Facilities with less than half of the potential have a production (coverage {self.row['coverage']:.4g})."
            return nothing(formula, why, terms=known)
        if field == "gap" and self.sources.view.target_version is not None and self.row["gap"] is not None:
            return _difference(self.sources, self.row, field)
        terms = [
            self._child(child, field, child["day_hours"] / self.row["day_hours"])
            for child in present
            if child[column] is not None
        ]
        if not terms:
            return nothing(formula, "None of the facilities has one.")
        notes = [f"{len(cut) - len(present)} of {len(cut)} facilities are missing."] if len(present) < len(cut) else []
        return Draft(formula, "sum", terms, rows=self._behind(field, present), notes=notes)

    def _behind(self, field: str, present: Sequence[Row]) -> list[RowReference]:
        """Source rows of the facilities' own facts."""
        ids = [child["node_id"] for child in present]
        if field in ("currentProduction", "potential"):
            quantity = "production" if field == "currentProduction" else "potential"
            return [t.row for t in self.sources.source_terms(ids, self.network, quantity, self.day) if t.row]
        if field == "businessTarget":
            version = self.sources.view.target_version
            found = (self.sources.register("target", f, self.network, self.day, version) for f in ids)
            return [term.row for term in found if term is not None and term.row]
        return []

    def capacity(self) -> Draft:
        """Σ capacities of the smallest cut: the max-flow through the node's network."""
        formula = (
            "Σ capacities of the flares"
            if self.network == "flaredGas"
            else "max-flow from the node's sources to its sinks = Σ capacity × weight over the smallest cut"
        )
        assets = self.sources.view.scope.assets
        if (
            self.row["node_level"] == "system"
            and assets is not None
            and len(assets) > 1
            and not self.row["max_capacity"]
        ):
            return nothing(formula, "The capacity of several assets together is not published: it is no sum of theirs.")
        if self.row["max_capacity"] is None:
            return nothing(formula, "Nothing limits the node, or the capacity of an element is not known.")
        limits = (
            self.sources.query(
                "explain_capacity_limit",
                node_level=self.row["node_level"],
                node_id=self.row["node_id"],
                network=self.network,
                production_date=self.day,
            )
            if self.sources.view.release.manifest.row_counts.get("capacity_limit")
            else []
        )
        terms = [self._element(limit) for limit in limits]
        if not terms or not math.isfinite(sum(term.weight or 0.0 for term in terms)):
            reference = self.sources.node_row(self.row, "max_capacity", self.unit)
            note = "The smallest cut of the node is not published for this network."
            return self.sources.stored(self.row, "max_capacity", self.unit, reference, note)
        return Draft(formula, "sum", terms)

    def _element(self, limit: Row) -> Term:
        kind, element, network = limit["element_kind"], limit["element_id"], limit["element_network"]
        name = f"{kind} {element}"
        if kind == "edge":
            from_id, to_id, _ = element.split("~")
            reference: RowReference | None = self.sources.row(
                "reference/edges.csv",
                None,
                {"from_id": from_id, "to_id": to_id, "network": network},
                column="capacity",
                value=limit["capacity"],
                unit=self.unit,
                factor=1.0,
            )
            path: str | None = self.sources.path("/production-flow", ("edges", element, "capacity"), self.day)
        else:
            stated = self.sources.register("capacity", element, network, self.day)
            reference = stated.row if stated else None
            facility = self.sources.node("facility", element, network, self.day)
            path = self.sources.node_path(facility, "maxCapacity") if facility else None
        return Term(name, limit["capacity"], self.unit, limit["weight"], "term", self.day, path, reference)

    def published(self) -> Draft:
        """The node's own target, beside the sum."""
        formula = "the node's own approved target in force"
        if self.row["published_target"] is None:
            return nothing(formula, "The node has no target of its own on the day.")
        term = self.sources.register("target", self.row["node_id"], self.network, self.day)
        if term is not None:
            return Draft(formula, "sum", [term])
        reference = self.sources.node_row(self.row, "published_target", self.unit)
        return self.sources.stored(self.row, "published_target", self.unit, reference, NO_SOURCE_ROWS)

    def coverage(self, cut: Sequence[Row]) -> Draft:
        """Present ÷ applicable cut facilities, by potential where every one has it."""
        present = [child for child in cut if child["production"] is not None]
        if not cut:
            reference = self.sources.node_row(self.row, "coverage", "fraction")
            note = "No facility of the node stands on the counting cut."
            return self.sources.stored(self.row, "coverage", "fraction", reference, note)
        known = all(child["potential"] is not None for child in cut)
        if known and sum(child["potential"] for child in cut) > 0:
            formula = "Σ potential of the facilities present ÷ Σ potential of all on the counting cut, as volumes"
            over = [self._child(c, "potential", c["day_hours"] / 24.0, "numerator") for c in present]
            under = [self._child(c, "potential", c["day_hours"] / 24.0, "denominator") for c in cut]
        else:
            formula = "number of facilities present ÷ number on the counting cut"
            over = [self._one(c, "numerator") for c in present]
            under = [self._one(c, "denominator") for c in cut]
        return Draft(formula, "quotient", [*over, *under]) if over else Draft(f"0 of: {formula}", "zero", under)

    def _one(self, child: Row, role: str) -> Term:
        reference = self.sources.node_row(child, "production", self.unit)
        return Term(child["node_id"], 1.0, None, 1.0, role, self.day, row=reference)
