"""DDL from the catalogue: physical tables in schema `store`, contract views in `main`, a comment on every view and column.

A view that is more than a projection is a file in sql/views; its header says which catalogue tables describe its columns.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from warehouse.catalog.tables import TABLES, Table, published

VIEWS = Path(__file__).parent / "sql" / "views"
OWNER = "warehouse"
_HEADER = re.compile(r"^--\s*(view|description|columns of|column\s+\w+)\s*:\s*(.+)$")


@dataclass(frozen=True)
class View:
    """A contract view: its query, its meaning, and where each column's description comes from."""

    name: str
    description: str
    query: str
    tables: tuple[str, ...]
    overrides: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> tuple[str, Mapping[str, Any]]:
        """Description and metadata of a column. Raises KeyError where neither header nor catalogue knows it."""
        for table in self.tables:
            column = _columns(table).get(name)
            if column is not None:
                return self.overrides.get(name) or column.description or "", column.metadata or {}
        return self.overrides[name], {}


@lru_cache(maxsize=256)
def _columns(table: str) -> Mapping[str, Any]:
    """Columns of a catalogue table: dataframely makes them anew at each call, and a build asks a thousand times."""
    return TABLES[table].schema.columns()


def sql_type(dtype: pl.DataType) -> str:
    """The SQL type of a catalogue dtype; never DECIMAL or HUGEINT, instants with a zone as TIMESTAMPTZ."""
    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMPTZ" if dtype.time_zone else "TIMESTAMP"
    names: dict[type[pl.DataType], str] = {
        pl.String: "VARCHAR",
        pl.Date: "DATE",
        pl.Boolean: "BOOLEAN",
        pl.Float64: "DOUBLE",
        pl.Int64: "BIGINT",
        pl.UInt32: "BIGINT",
    }
    try:
        return names[type(dtype)]
    except KeyError:
        raise TypeError(f"no SQL type is agreed for {dtype}: choose another dtype in the catalogue") from None


def quoted(identifier: str) -> str:
    """An SQL identifier in quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def storage_order(table: Table) -> list[str]:
    """Columns that rows are stored by: the day first, then the key, so that zone maps serve day and node queries alike."""
    return sorted(table.key, key=lambda column: column != "production_date")


def create_table(table: Table) -> str:
    """CREATE TABLE in `store`: types and NOT NULL from the catalogue, no index and no key (they double the file)."""
    columns = ",\n  ".join(
        f"{quoted(name)} {sql_type(column.dtype)}{'' if column.nullable else ' NOT NULL'}"
        for name, column in table.schema.columns().items()
    )
    return f"CREATE TABLE store.{quoted(table.name)} (\n  {columns}\n)"


@lru_cache(maxsize=1)
def views() -> tuple[View, ...]:
    """Every contract view: plain projections in catalogue order, then the files of sql/views by name."""
    plain = [
        View(
            name=table.view,
            description=table.description,
            query=f"SELECT {', '.join(quoted(c) for c in table.schema.columns())} FROM store.{quoted(table.name)}",
            tables=(table.name,),
        )
        for table in published()
        if table.view
    ]
    return tuple(plain) + tuple(parse_view(path.stem, path.read_text("utf-8")) for path in sorted(VIEWS.glob("*.sql")))


def parse_view(stem: str, text: str) -> View:
    """A view file: header lines `-- view:`, `-- description:`, `-- columns of:`, `-- column x:`, then one SELECT."""
    lines = (_HEADER.match(line) for line in text.splitlines())
    header: dict[str, str] = {m[1]: m[2] for m in lines if m}
    missing = [name for name in ("view", "description", "columns of") if name not in header]
    if missing or header["view"] != stem:
        raise ValueError(f"sql/views/{stem}.sql: header lacks {missing or 'its own name'}")
    return View(
        name=stem,
        description=header["description"],
        query="\n".join(line for line in text.splitlines() if not line.startswith("--")).strip().rstrip(";"),
        tables=tuple(name.strip() for name in header["columns of"].split(",")),
        overrides={k.split()[1]: v for k, v in header.items() if k.startswith("column ")},
    )


def create_view(view: View) -> str:
    """CREATE VIEW in `main`."""
    return f"CREATE VIEW main.{quoted(view.name)} AS {view.query}"


def comments(view: View, columns: list[str]) -> list[str]:
    """COMMENT ON the view and each of its columns: meaning, then unit and formula where there are any."""
    statements = [f"COMMENT ON VIEW main.{quoted(view.name)} IS {literal(view.description)}"]
    for name in columns:
        description, metadata = view.column(name)
        unit = f" [{metadata['unit']}]" if metadata.get("unit") else ""
        formula = f" = {metadata['formula']}" if metadata.get("formula") else ""
        where = f"main.{quoted(view.name)}.{quoted(name)}"
        statements.append(f"COMMENT ON COLUMN {where} IS {literal(description + unit + formula)}")
    return statements


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Hash of every table, view and comment: a new catalogue makes a new release even from the same inputs."""
    statements = [create_table(table) for table in published()]
    for view in views():
        columns = [name for table in view.tables for name in TABLES[table].schema.columns()]
        statements += [create_view(view), *comments(view, columns), *view.overrides.values()]
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()
