"""Statistics of a hub over a window, explained from its days."""

from collections.abc import Sequence
from datetime import timedelta

from api.explain import Draft, RowReference, Term, nothing
from api.explain_nodes import COLUMNS
from api.explain_sources import TREND, Sources, rate_unit
from api.kpis import Row
from api.units import PRODUCTION_NETWORKS

OF_A_RATE = frozenset({"average", "trendPerDay", "previousWindowAverage"})
STORED = {
    "average": "average",
    "daysOnTarget": "days_on_target",
    "trendPerDay": "trend_per_day",
    "previousWindowAverage": "previous_average",
    "change": "change_fraction",
    "productionEfficiency": "production_efficiency",
}


class HubTrend:
    """One hub over the window that was asked about."""

    def __init__(self, sources: Sources, hub_id: str, days: int) -> None:
        self.sources = sources
        self.hub_id = hub_id
        self.days = days
        self.labels = sources.view.window(days)

    def rows(self, network: str | None = None, *, previous: bool = False) -> list[Row]:
        """The hub's rows over the window, or the one before it."""
        back = timedelta(days=self.days if previous else 0)
        view = self.sources.on(self.labels[-1] - back)
        found = self.sources.recall(
            ("hub", previous), lambda: view.node_production(["hub"], [self.hub_id], self.labels[0] - back)
        )
        return [row for row in found if network in (None, row["network"])]

    def complete_days(self) -> Draft:
        """Days on which every production network that the hub serves has a value."""
        formula = "number of days on which every production network that the hub serves has a value"
        days: dict[object, dict[str, Row]] = {}
        for row in self.rows():
            if row["network"] in PRODUCTION_NETWORKS:
                days.setdefault(row["production_date"], {})[row["network"]] = row
        served = {n for rows in days.values() for n, row in rows.items() if row["quality"] != "notApplicable"}
        if not served:
            return Draft(formula, "count", notes=["The hub serves no production network."])
        complete = [
            next(iter(rows.values()))
            for rows in days.values()
            if all(n in rows and rows[n]["production"] is not None for n in served)
        ]
        terms = [
            Term(str(row["production_date"]), 1.0, None, 1.0, "term", row["production_date"], row=self._reference(row))
            for row in complete
        ]
        return Draft(formula, "count", terms)

    def statistic(self, network: str, field: str) -> Draft:
        """A statistic of contracts.hub_performance.TrendStatistics."""
        if not self.sources.view.wants(network):
            return nothing("null", f"The body was asked for {self.sources.view.network} only.")
        found = [
            row
            for row in self.sources.query(
                "hub_statistics",
                hub_id=self.hub_id,
                production_date=self.sources.view.production_date,
                window_days=self.days,
            )
            if row["network"] == network
        ]
        if not found:
            return nothing("null", "The release has no statistics of the hub for the window.")
        complete = [row for row in self.rows(network) if row["production"] is not None]
        draft = {
            "average": lambda: self._average(complete),
            "previousWindowAverage": lambda: self._average(
                [row for row in self.rows(network, previous=True) if row["production"] is not None]
            ),
            "daysOnTarget": lambda: self._on_target(network, complete, found[0]),
            "trendPerDay": lambda: self._trend(complete),
            "change": lambda: self._change(network, found[0]),
            "productionEfficiency": lambda: self._efficiency(complete),
        }[field]()
        unit = rate_unit(network) if field in OF_A_RATE else None
        key = {"hub_id": self.hub_id, "network": network, "window_days": self.days}
        column = STORED[field]
        reference = self.sources.row(TREND, self.labels[-1], key, column=column, value=found[0][column], unit=unit)
        return Draft(draft.formula, draft.operation, draft.terms, None, [reference], draft.notes, network)

    def _reference(self, row: Row, column: str = "production") -> RowReference:
        return self.sources.node_row(row, column, rate_unit(row["network"]))

    def _rate(self, row: Row, field: str, weight: float, role: str = "term") -> Term:
        column = COLUMNS[field]
        day = row["production_date"]
        if day in self.labels:
            path = self.sources.own(("points", day.isoformat(), "networks", row["network"], field))
        else:
            path = self.sources.node_path(row, field)
        unit = rate_unit(row["network"])
        reference = self.sources.node_row(row, column, unit)
        return Term(f"{field} of {day}", row[column], unit, weight, role, day, path, reference)

    def _average(self, complete: Sequence[Row]) -> Draft:
        formula = "Σ volume ÷ Σ hours × 24 over the complete days"
        over = [self._rate(row, "currentProduction", row["day_hours"] / 24.0, "numerator") for row in complete]
        under = [
            Term(
                f"hours of {row['production_date']}",
                row["day_hours"],
                "h",
                1.0 / 24.0,
                "denominator",
                row["production_date"],
                row=self.sources.node_row(row, "day_hours", "h"),
            )
            for row in complete
        ]
        return Draft(formula, "quotient", [*over, *under])

    def _on_target(self, network: str, complete: Sequence[Row], stored: Row) -> Draft:
        if network == "flaredGas":
            formula = "number of complete days on which production stayed at or below the ceiling"
        else:
            formula = "number of complete days on which production reached the target"
        known = [row for row in complete if row["business_target"] is not None]
        if not stored["days_on_target"] and known and all(row["quality"] == "notApplicable" for row in known):
            return Draft("0 by definition: the hub does not serve the network", "zero")
        terms = [
            self._rate(row, field, 1.0, role)
            for row in known
            for field, role in (("currentProduction", "production"), ("businessTarget", "target"))
        ]
        return Draft(formula, "countOnTarget", terms)

    def _trend(self, complete: Sequence[Row]) -> Draft:
        formula = "median of the slopes of all pairs of complete days (Theil–Sen), rate per day"
        return Draft(formula, "medianSlope", [self._rate(row, "currentProduction", 1.0) for row in complete])

    def _change(self, network: str, row: Row) -> Draft:
        formula = "average ÷ previousWindowAverage − 1"

        def own(field: str, weight: float, role: str) -> Term:
            path = self.sources.own(("statistics", network, field))
            return Term(field, row[STORED[field]], rate_unit(network), weight, role, path=path)

        return Draft(
            formula,
            "quotient",
            [
                own("average", 1.0, "numerator"),
                own("previousWindowAverage", -1.0, "numerator"),
                own("previousWindowAverage", 1.0, "denominator"),
            ],
        )

    def _efficiency(self, complete: Sequence[Row]) -> Draft:
        formula = "Σ production ÷ Σ potential as volumes, over complete days with a potential"
        known = [row for row in complete if row["potential"] is not None]
        over = [self._rate(row, "currentProduction", row["day_hours"] / 24.0, "numerator") for row in known]
        under = [self._rate(row, "potential", row["day_hours"] / 24.0, "denominator") for row in known]
        return Draft(formula, "quotient", [*over, *under])
