"""Where numbers stand: rows of the release, rows of the sources behind them, their files, and the paths that serve them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlencode

from api.explain import Draft, RowReference, Term
from api.explain_fields import escape
from api.kpis import Row, by_node
from api.view import View
from warehouse.manifest import InputPartition

PRODUCTION, DRIVER, EVENT, TERMINAL, TREND = (
    f"out__{name}" for name in ("daily_production", "daily_gap_driver", "daily_event", "daily_terminal", "hub_trend")
)
FILES = "api.explain.files"
NO_SOURCE_ROWS = "This release publishes no source rows: the number is explained as far as its own row."
# Column of a source row's own key, by table; the production day stands beside it.
KEYS = {
    "raw_energy_components__stream_day": "stream_ec_code",
    "raw_energy_components__well_day": "well_ec_code",
    "raw_energy_components__potential_day": "object_ec_code",
    "raw_energy_components__tank_day": "tank_ec_code",
    "raw_energy_components__capacity": "object_ec_code",
    "raw_energy_components__cargo": "parcel_no",
    "raw_energy_components__deferment_event": "event_no",
    "raw_energy_components__deferment_day": "event_no",
    "raw_sharepoint__business_target": "item_id",
    "raw_sharepoint__capacity_register": "item_id",
    "raw_sharepoint__lifting_programme": "cargo_id",
    "core__daily_reading": "tag_name",
    "core__daily_well": "well_id",
    "reference/terminals.csv": "facility_id",
}
T = TypeVar("T")
# Answers of queries kept with a body: some 60 days of every node at most.
REMEMBERED = 64
OIL_UNITS, GAS_UNITS = ("bbl/d", "bbl"), ("scf/d", "scf")


def _key(table: str, row: Row) -> dict[str, Any]:
    """Columns of a source row's key beside the production day."""
    if table == "core__carry_state":
        kind, _, entity = row["source_key"].partition("/")
        return {"kind": kind, "entity_id": entity, "slot": 0}
    key = {KEYS.get(table, "key"): row["source_key"]}
    more = {
        "raw_energy_components__potential_day": ("network",),
        "raw_energy_components__capacity": ("network", "valid_from"),
    }
    return key | {name: row[name] for name in more.get(table, ())}


def rate_unit(network: str) -> str:
    """Base unit of a rate."""
    return OIL_UNITS[0] if network == "oil" else GAS_UNITS[0]


def volume_unit(network: str) -> str:
    """Base unit of a volume."""
    return OIL_UNITS[1] if network == "oil" else GAS_UNITS[1]


@dataclass(frozen=True)
class Sources:
    """A view's rows with the files that they stand in. `endpoint` is the address asked about, without prefix and query;
    `memory` keeps what was read for the next question about the same body."""

    view: View
    endpoint: str
    memory: dict[Any, Any] = field(default_factory=dict)

    def recall(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What `make` gave when it was first asked for under the key; forgotten when much else was asked for since."""
        found: T | None = self.memory.get(key)
        if found is None:
            found = make()
            if len(self.memory) >= REMEMBERED:
                self.memory.clear()
            self.memory[key] = found
        return found

    def query(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """Rows of a named query, read once."""
        key = (name, *(tuple(v) if isinstance(v, list) else v for _, v in sorted(params.items())))
        return self.recall(key, lambda: self.view.query(name, **params))

    # -- files ---------------------------------------------------------------------------------------------------

    @cached_property
    def _files(self) -> Mapping[str, Mapping[str, InputPartition]]:
        extras = self.view.release.extras
        found: dict[str, dict[str, InputPartition]] | None = extras.get(FILES)
        if found is None:
            found = {}
            for part in self.view.release.manifest.inputs:
                found.setdefault(part.table, {})[part.partition] = part
            extras[FILES] = found
        return found

    def file(self, table: str, day: date | None) -> InputPartition | None:
        """The file that holds a day of a table: the day's own, else its month's, else the table's only one."""
        parts = self._files.get(table, {})
        names = ["all"] if day is None else [day.isoformat(), f"{day:%Y-%m}", "all"]
        return next((parts[name] for name in names if name in parts), None)

    def row(self, table: str, day: date | None, key: Mapping[str, Any] | None = None, **more: Any) -> RowReference:
        """A row of a table, or its file where no key is given."""
        part = self.file(table, day)
        named = {"production_date": day} if day is not None and key is not None else {}
        return RowReference(
            table,
            part.partition if part else None,
            part.sha256 if part else None,
            tuple((name, str(value)) for name, value in {**named, **(key or {})}.items()),
            **more,
        )

    @property
    def has_source_rows(self) -> bool:
        """Whether the release publishes what its facts were made from."""
        return bool(self.view.release.manifest.row_counts.get("source_row"))

    # -- rows of the release -------------------------------------------------------------------------------------

    def on(self, day: date) -> View:
        """The view of another day."""
        return self.view if day == self.view.production_date else replace(self.view, production_date=day)

    def nodes(self, day: date) -> Mapping[tuple[str, str], Mapping[str, Row]]:
        """Every row of a day by (level, node), then network."""
        levels = ["facility", "hub", "asset", "system"]
        return self.recall(("nodes", day), lambda: by_node(self.on(day).node_production(levels)))

    def node(self, level: str, node_id: str, network: str, day: date) -> Row | None:
        """The row of a node and network; null where the release has none."""
        return self.nodes(day).get((level, node_id), {}).get(network)

    def facilities(self, network: str, day: date) -> list[Row]:
        """Facility rows of a network and day."""
        found = self.nodes(day).items()
        return [rows[network] for (level, _), rows in found if level == "facility" and network in rows]

    def node_row(self, row: Row, column: str, unit: str | None) -> RowReference:
        """A row of out__daily_production."""
        key: dict[str, Any] | None = {name: row[name] for name in ("node_level", "node_id", "network")}
        if row["node_level"] == "system" and self.view.scope.assets is not None:
            key = None  # the system of a limited caller is made from its assets' rows: it stands in no file under its own key
        return self.row(PRODUCTION, row["production_date"], key, column=column, value=row[column], unit=unit)

    # -- rows of the sources -------------------------------------------------------------------------------------

    def source_rows(self, facility_ids: Sequence[str], network: str, quantity: str, day: date) -> list[Row]:
        """Rows of source_row behind a fact of facilities; none where the release publishes none."""
        if not self.has_source_rows:
            return []
        rows = self.query("explain_source_row", production_date=day, network=network, quantity=quantity)
        return [row for row in rows if row["facility_id"] in facility_ids]

    def source_terms(
        self, facility_ids: Sequence[str], network: str, quantity: str, day: date, divisor: float = 1.0
    ) -> list[Term]:
        """The source rows of facilities' facts, each weighing factor ÷ `divisor`."""
        return [self.source_term(row, divisor) for row in self.source_rows(facility_ids, network, quantity, day)]

    def source_term(self, row: Row, divisor: float = 1.0) -> Term:
        """A source row as an input."""
        return Term(
            name=row["source_key"],
            value=row["value"],
            unit=row["unit"],
            weight=row["factor"] / divisor,
            day=row["source_date"],
            row=self.source_reference(row),
        )

    def source_reference(self, row: Row) -> RowReference:
        """The file row of a row of source_row or source_register."""
        table = row["lake_table"]
        return self.row(
            table,
            row.get("source_date"),
            _key(table, row),
            column=row["column_name"],
            value=row["value"],
            unit=row["unit"],
            factor=row["factor"],
            revision=row.get("rev_no"),
            record_status=row.get("record_status"),
            updated_at=row["source_updated_at_utc"],
        )

    def samples(self, facility_ids: Sequence[str], network: str, quantity: str, day: date) -> list[RowReference]:
        """Files of the PI samples behind the source rows of a fact."""
        rows = self.source_rows(facility_ids, network, quantity, day)
        found = sorted({(row["sample_table"], row["source_date"]) for row in rows if row["sample_table"]})
        return [self.row(table, label) for table, label in found]

    def register(
        self, quantity: str, entity_id: str, network: str, day: date, version: str | None = None
    ) -> Term | None:
        """The register's row in force as an input, weighing its factor; null where none holds."""
        if not self.view.release.manifest.row_counts.get("source_register"):
            return None
        rows = self.query(
            "explain_register",
            quantity=quantity,
            entity_id=entity_id,
            network=network,
            production_date=day,
            version=version,
        )
        if not rows:
            return None
        row = rows[-1]
        reference = self.source_reference(row)
        return Term(
            name=f"{quantity} {row['version']}".strip(),
            value=row["value"],
            unit=row["unit"],
            weight=row["factor"],
            row=reference,
        )

    def stored(self, row: Row, column: str, unit: str | None, reference: RowReference, *notes: str) -> Draft:
        """A number that is explained as far as the release's own row."""
        term = Term(column, row[column], unit, row=reference)
        return Draft(f"{column} of {reference.table}", "sum", [term], notes=notes or (NO_SOURCE_ROWS,))

    # -- paths ---------------------------------------------------------------------------------------------------

    def path(self, address: str, pointer: Sequence[str], day: date | None, **more: Any) -> str:
        """A path that /explain takes, of the same release and target version, in base units."""
        asked = self.view.arguments
        query: dict[str, Any] = dict(more)
        if day is not None:
            query["productionDate"] = day.isoformat()
        if asked.get("units") is not None or self.view.units.units == "display":
            query["units"] = "base"
        if asked.get("targetVersion") is not None:
            query["targetVersion"] = asked["targetVersion"]
        if asked.get("release") is not None or asked.get("asKnownAt") is not None:
            query["release"] = self.view.facts.release_id
        given = {name: value for name, value in query.items() if value is not None}
        text = f"?{urlencode(given, safe=',:')}" if given else ""
        return f"{address}{text}#/" + "/".join(escape(token) for token in pointer)

    def own(self, pointer: Sequence[str]) -> str:
        """A path into the very body that was asked about."""
        taken = ("productionDate", "units", "targetVersion", "release", "asKnownAt")
        more = {
            name: ",".join(value) if isinstance(value, tuple) else value
            for name, value in self.view.arguments.items()
            if name not in taken
        }
        return self.path(self.endpoint, pointer, self.view.production_date, **more)

    def node_path(self, row: Row, name: str) -> str:
        """Path of a node's KPI, by its row."""
        level, node_id, day = row["node_level"], row["node_id"], row["production_date"]
        tail = ("networks", row["network"], name)
        if level == "system":
            return self.path("/summary", tail, day)
        steps: tuple[str, ...] = (row["asset_id"],)
        if level == "hub":
            steps += ("hubs", node_id)
        elif level == "facility":
            steps += ("hubs", row["hub_id"], "facilities", node_id) if row["hub_id"] else ("terminals", node_id)
        return self.path("/assets", (*steps, *tail), day)

    def terminal_path(self, terminal_id: str, name: str, day: date) -> str:
        """Path of a terminal's KPI."""
        return self.path(f"/terminal/{terminal_id}/operations", (name,), day)
