"""Numbers of /gap-drivers explained: sums over the stored shares of events, facilities and days, never a new attribution.

A share itself is the Shapley share of its event at its facility (the domain's gap drivers): it is computed by the release's
code version from the day's events and potentials, which stand beside the shares here.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from api.attribution import UNATTRIBUTED, Contribution, Scope, contributions, scope_of
from api.explain import Draft, RowReference, Term, nothing, parameter
from api.explain_nodes import COLUMNS
from api.explain_sources import DRIVER, EVENT, Sources, rate_unit, volume_unit
from api.kpis import Row
from api.routes.gap_drivers import NOTHING, WINDOWS
from api.scoping import RESTRICTED
from api.units import Quantity

LEVELS = {
    "potentialVolume": ("potential_volume", "potential"),
    "businessTargetVolume": ("business_target_volume", "businessTarget"),
    "productionVolume": ("production_volume", "currentProduction"),
    "gapVolume": ("gap_volume", "gap"),
    "defermentVolume": ("deferment_volume", "deferment"),
}
SHARES = {"volume": "volume", "volumeIfAlone": "volume_if_alone", "gainIfFixed": "gain_if_fixed"}
WORDS = {
    "volume": "Σ stored Shapley shares of the event's part in v(S) = flow(∅) − flow(S), over facilities and complete days",
    "volumeIfAlone": "Σ (flow(∅) − flow({event})) over facilities and complete days, as stored",
    "gainIfFixed": "Σ (flow(all but the event) − flow(all)) over facilities and complete days, as stored",
}
OF_VOLUME = frozenset({"volume", "volumeIfAlone", "gainIfFixed", "sumOfDrivers", "total", "error", *LEVELS})
# Where the words of an event's evidence lead: table of the lake and column of its key.
EVIDENCE = {
    "ec:DEFERMENT_EVENT": ("raw_energy_components__deferment_event", "event_no"),
    "ec:WELL_DAY": ("raw_energy_components__well_day", "well_ec_code"),
    "pi": ("core__daily_reading", "tag_name"),
}


def quantity_of(network: str, field: str) -> Quantity | None:
    """Quantity of a number of /gap-drivers; null for shares, hours and counts."""
    if field not in OF_VOLUME:
        return None
    return "oilVolume" if network == "oil" else "gasVolume"


class GapDrivers:
    """One network of a body of /gap-drivers."""

    def __init__(self, sources: Sources, network: str, body: Mapping[str, Any]) -> None:
        self.sources = sources
        self.network = network
        self.body = body["networks"][network]
        view = sources.view
        self.labels = view.window(WINDOWS[view.arguments["window"]])
        # What is recalled holds rows only, never the view: it may outlive the question.
        self.rows, self.shares, self.scope, (self.events, self.residual) = sources.recall(
            ("drivers", network), self._read
        )

    def _read(self) -> tuple[list[Row], list[Row], Scope, tuple[list[Contribution], float | None]]:
        """Facility rows and shares of the network in scope, and what they amount to, as the route has them."""
        sources, view = self.sources, self.sources.view
        facility_ids: Sequence[str] = view.arguments["facilityIds"] or ()
        asset_id: str | None = view.arguments["assetId"]
        levels = sources.recall(("scope",), lambda: view.node_production(["facility"], facility_ids, self.labels[0]))
        rows: list[Row] = [
            row for row in levels if row["network"] == self.network and asset_id in (None, row["asset_id"])
        ]
        scope = scope_of(rows)
        stored = sources.query(
            "gap_driver_share",
            first_date=self.labels[0],
            last_date=self.labels[-1],
            facility_ids=list(facility_ids),
            asset_id=asset_id,
        )
        shares: list[Row] = [
            row
            for row in stored
            if row["network"] == self.network and (row["production_date"], row["facility_id"]) in scope.present
        ]
        return rows, shares, scope, contributions(shares, scope)

    def explain(self, tokens: Sequence[str]) -> Draft:
        """The number at the tokens that follow the network."""
        part, field = tokens[0], tokens[-1]
        if part == "reference":
            return self.reference(field)
        if part == "drivers":
            event = self._event(int(tokens[1]))
            if tokens[2] == "facilities":
                facility = self.body["drivers"][int(tokens[1])]["facilities"][int(tokens[3])]["facilityId"]
                return self.stored(event, "volume", facility)
            return self.driver(event, int(tokens[1]), field)
        if part == "other":
            return self.other(field)
        if part == "unattributed":
            return self.unattributed(field)
        return self.closure(field)

    def _event(self, index: int) -> Contribution:
        event_id = self.body["drivers"][index]["id"]
        return next(event for event in self.events if event.event_id == event_id)

    def _listed(self) -> set[str]:
        return {driver["id"] for driver in self.body["drivers"]}

    def _path(self, *tokens: str) -> str:
        return self.sources.own(("networks", self.network, *tokens))

    def _present(self) -> list[Row]:
        return [row for row in self.rows if (row["production_date"], row["node_id"]) in self.scope.present]

    def _longest(self) -> list[Row]:
        days: dict[date, Row] = {}
        for row in self._present():
            known = days.get(row["production_date"])
            if known is None or row["day_hours"] > known["day_hours"]:
                days[row["production_date"]] = row
        return list(days.values())

    def reference(self, field: str) -> Draft:
        """Levels, hours and complete days of the scope."""
        if field == "hours":
            terms = [
                Term(
                    str(row["production_date"]),
                    row["day_hours"],
                    "h",
                    1.0,
                    "term",
                    row["production_date"],
                    row=self.sources.node_row(row, "day_hours", "h"),
                )
                for row in self._longest()
            ]
            formula = "Σ length of the complete days, of each its longest facility's"
            return Draft(formula, "sum", terms) if terms else Draft(f"0 of no day: {formula}", "zero")
        if field == "completeDays":
            terms = [
                Term(str(row["production_date"]), 1.0, None, 1.0, "term", row["production_date"],
                     row=self.sources.node_row(row, "production", rate_unit(self.network)))
                for row in self._longest()
            ]  # fmt: skip
            return Draft(
                "days on which facilities with half of the scope's potential have a production", "count", terms
            )
        _, kpi = LEVELS[field]
        formula = f"Σ {kpi} × hours ÷ 24 over the facilities of the scope on the counting cut and the complete days"
        if not self.scope.is_applicable:
            return Draft("0 by definition: no facility of the scope counts on the network", "zero")
        terms = [self._level(row, kpi) for row in self._present() if row[COLUMNS[kpi]] is not None]
        return Draft(formula, "sum", terms)

    def _level(self, row: Row, kpi: str) -> Term:
        column, unit = COLUMNS[kpi], rate_unit(self.network)
        return Term(
            f"{row['node_id']} {row['production_date']}",
            row[column],
            unit,
            row["day_hours"] / 24.0,
            "term",
            row["production_date"],
            self.sources.node_path(row, kpi),
            self.sources.node_row(row, column, unit),
        )

    def _share_row(self, row: Row, column: str, unit: str | None) -> RowReference:
        key: dict[str, Any] | None = {name: row[name] for name in ("event_id", "facility_id", "network")}
        if row["event_id"] == RESTRICTED:
            key = None  # several rows of the file, which are not named
        return self.sources.row(DRIVER, row["production_date"], key, column=column, value=row[column], unit=unit)

    def _share(self, row: Row, column: str, unit: str | None) -> Term:
        name = f"{row['facility_id']} {row['production_date']}"
        reference = self._share_row(row, column, unit)
        return Term(name, row[column], unit, 1.0, "term", row["production_date"], None, reference)

    def driver(self, event: Contribution, index: int, field: str) -> Draft:
        """A number of one driver."""
        if field in SHARES:
            return self.stored(event, field)
        if field == "rank":
            drivers = self.body["drivers"][: index + 1]
            terms = [self._other(driver["id"], ("drivers", driver["id"], "volume")) for driver in drivers]
            return Draft(
                "place among the listed drivers by volume, then id: the drivers up to this one", "count", terms
            )
        if field == "share":
            return self.quotient(event.volume, ("drivers", event.event_id, "volume"))
        rows = [row for row in self.shares if row["event_id"] == event.event_id]
        if field == "confidence":
            newest = rows[-1]
            formula = "s × k of the evidence: source, open, overlapped and quality, as of the newest day"
            return Draft(
                formula, "sum", [self._share(newest, "confidence", "fraction")], rows=self._evidence(event, rows)
            )
        longest: dict[date, Row] = {}
        for row in rows:
            known = longest.get(row["production_date"])
            if row["hours"] is not None and (known is None or row["hours"] > known["hours"]):
                longest[row["production_date"]] = row
        terms = [self._share(row, "hours", "h") for row in longest.values()]
        formula = "Σ overlap of event and day over the complete days, of each the longest of the facilities reached"
        return Draft(formula, "sum", terms, rows=self._evidence(event, rows))

    def stored(self, event: Contribution, field: str, facility_id: str | None = None) -> Draft:
        """A sum over the event's stored shares, with its events, its sources and the potentials."""
        rows = [
            row
            for row in self.shares
            if row["event_id"] == event.event_id and facility_id in (None, row["facility_id"])
        ]
        terms = [self._share(row, SHARES[field], volume_unit(self.network)) for row in rows]
        reached = {(row["production_date"], row["facility_id"]) for row in rows}
        potentials = [
            parameter(
                f"potential of {row['node_id']} {row['production_date']}",
                row["potential"],
                rate_unit(self.network),
                day=row["production_date"],
                path=self.sources.node_path(row, "potential"),
                row=self.sources.node_row(row, "potential", rate_unit(self.network)),
            )
            for row in self._present()
            if (row["production_date"], row["node_id"]) in reached
        ]
        version = self.sources.view.release.manifest.code_version
        note = (
            f"Each share was attributed by code version {version} from all events of its day and the potentials listed."
        )
        return Draft(WORDS[field], "sum", [*terms, *potentials], rows=self._evidence(event, rows), notes=[note])

    def _evidence(self, event: Contribution, rows: Sequence[Row]) -> list[RowReference]:
        """The event's own rows and the source rows that they refer to."""
        days = sorted({row["production_date"] for row in rows})
        if not days:
            return []
        found: list[RowReference] = []
        read = self.sources.query(
            "explain_event_day", event_ids=[event.event_id], first_date=days[0], last_date=days[-1]
        )
        for row in read:
            day = row["production_date"]
            if day not in days:
                continue
            key = {"event_id": event.event_id}
            found.append(self.sources.row(EVENT, day, key, column="hours", value=row["hours"], unit="h"))
            found += [ref for word in (row["evidence"] or "").split() if (ref := self._evidence_row(word, day))]
        return found

    def _evidence_row(self, word: str, day: date) -> RowReference | None:
        source, _, rest = word.partition("/")
        if word.startswith("pi:"):
            source, rest = "pi", word[len("pi:") :]
        if source not in EVIDENCE or not rest:
            return None
        table, column = EVIDENCE[source]
        name, _, revision = rest.partition("@")
        name = name.split("/")[0].replace("%20", " ")
        known = int(revision) if revision.isascii() and revision.isdigit() else None
        return self.sources.row(table, day, {column: name}, revision=known)

    def _other(self, event_id: str, tokens: Sequence[str], role: str = "term") -> Term:
        event = next(event for event in self.events if event.event_id == event_id)
        return Term(event_id, event.volume, volume_unit(self.network), 1.0, role, path=self._path(*tokens))

    def _files(self) -> list[RowReference]:
        return [self.sources.row(DRIVER, day) for day in sorted({row["production_date"] for row in self.shares})]

    def other(self, field: str) -> Draft:
        """Drivers that are not listed."""
        listed = self._listed()
        rest = [event for event in self.events if event.event_id not in listed]
        terms = [Term(event.event_id, event.volume, volume_unit(self.network)) for event in rest]
        if field == "count":
            return Draft("drivers that are not listed", "count", terms, rows=self._files())
        if field == "volume":
            formula = "Σ volumes of the drivers that are not listed"
            if not terms:
                return Draft(f"0, for every driver is listed: {formula}", "zero")
            return Draft(formula, "sum", terms, rows=self._files())
        return self.quotient(math.fsum(event.volume for event in rest), ("other", "volume"))

    def unattributed(self, field: str) -> Draft:
        """The residual."""
        formula = "Σ stored residuals: deferment − Σ shares of each facility and day"
        if field == "share":
            return self.quotient(self.residual, ("unattributed", "volume"))
        if self.residual is None:
            return nothing(formula, "The deferment is not known.")
        rows = [row for row in self.shares if row["event_id"] == UNATTRIBUTED]
        terms = [self._share(row, "volume", volume_unit(self.network)) for row in rows]
        return Draft(formula, "sum", terms) if terms else Draft(f"0 of no row: {formula}", "zero")

    def quotient(self, volume: float | None, tokens: Sequence[str]) -> Draft:
        """A share of the deferment."""
        formula = "volume ÷ defermentVolume; null when nothing was deferred"
        total = self.scope.levels["deferment_volume"]
        unit = volume_unit(self.network)
        over = Term("volume", volume, unit, 1.0, "numerator", path=self._path(*tokens))
        under = Term(
            "defermentVolume", total, unit, 1.0, "denominator", path=self._path("reference", "defermentVolume")
        )
        if total is None or abs(total) < NOTHING or volume is None:
            return nothing(formula, "Nothing was deferred, or it is not known.")
        return Draft(formula, "quotient", [over, under])

    def closure(self, field: str) -> Draft:
        """That every barrel is explained."""
        unit = volume_unit(self.network)
        total = self.scope.levels["deferment_volume"]
        # Added as the route adds: what does not close is a residue of the last bits.
        everything = math.fsum(volume for event in self.events for volume in event.volumes)
        whole = Term("total", total, unit, 1.0, path=self._path("reference", "defermentVolume"))
        if field == "total":
            return Draft("the deferment of the scope", "combination", [whole])
        if field == "sumOfDrivers":
            listed = self._listed()
            terms = [
                self._other(e.event_id, ("drivers", e.event_id, "volume")) for e in self.events if e.event_id in listed
            ]
            rest = math.fsum(event.volume for event in self.events if event.event_id not in listed)
            terms.append(Term("other", rest, unit, 1.0, path=self._path("other", "volume")))
            return Draft("Σ volumes of all drivers, listed and other", "sum", terms, rows=self._files())
        parts = [
            whole,
            Term("sumOfDrivers", everything, unit, -1.0, path=self._path("closure", "sumOfDrivers")),
            Term("unattributed", self.residual, unit, -1.0, path=self._path("unattributed", "volume")),
        ]
        return Draft("total − sumOfDrivers − unattributed", "combination", parts)
