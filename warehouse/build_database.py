"""Writes the DuckDB file of a release: checked frames into `store`, contract views into `main`, comments, dictionary.

The file is written through ATTACH with a storage version that DuckDB 1.4 clients can open.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from dataframely.exc import SchemaError

from warehouse import ddl
from warehouse.catalog.tables import TABLES, Table, published
from warehouse.dictionary import dictionary_rows

# Tables that the build fills itself.
OWN = ("dictionary", "release_info")
# What numbers were made from: without it they are explained as far as their own row.
LINEAGE = ("source_row", "source_register", "capacity_limit", "terminal_balance")
# Tables that may be left out: they stay empty until something fills them.
OPTIONAL = ("cargo_forecast_daily", "restatement", "quarantine", *LINEAGE)
STORAGE_VERSION = "v1.4.0"
# A release has hundreds of columns, many of them with few values: in DuckDB's own blocks of 256 KiB it is mostly padding
# (decision 0021).
BLOCK_BYTES = 65_536

Progress = Callable[[str], None]


class FramesUnfit(Exception):
    """Frames that break their schema; one line a table and rule."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def input_faults(tables: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names of the tables handed over."""
    wanted = {t.name for t in published()} - set(OWN)
    unknown = sorted(set(tables) - wanted)
    missing = sorted(wanted - set(tables) - set(OPTIONAL))
    faults = [f"table {name} is none that a release publishes" for name in unknown]
    return faults + [f"table {name} is missing (an empty frame will do where there are no rows)" for name in missing]


def checked_frame(table: Table, frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """The frame with the catalogue's columns in storage order. Raises FramesUnfit naming table, rule and count."""
    rows = frame.lazy().collect()
    columns = list(table.schema.columns())
    missing = [c for c in columns if c not in rows.columns]
    if missing:
        raise FramesUnfit([f"{table.name}: columns {', '.join(missing)} are missing"])
    try:
        result = table.schema.filter(rows.select(columns))
    except SchemaError as fault:
        raise FramesUnfit([f"{table.name}: {str(fault).splitlines()[0]}"]) from fault
    counts = result.failure.counts()
    if counts:
        raise FramesUnfit(
            [f"{table.name}: rule {rule} is broken by {count} of {rows.height} rows" for rule, count in counts.items()]
        )
    return rows.select(columns).sort(ddl.storage_order(table))


@contextmanager
def open_database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new release file, attached and in use; it is checkpointed and closed at the end."""
    connection = duckdb.connect(config={"temp_directory": str(path.parent / "spill")})
    try:
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        where = ddl.literal(str(path))
        connection.execute(
            f"ATTACH {where} AS candidate (STORAGE_VERSION '{STORAGE_VERSION}', BLOCK_SIZE {BLOCK_BYTES})"
        )
        connection.execute("USE candidate")
        # One transaction: a commit a statement would sync the disk three hundred times for the comments alone.
        connection.execute("BEGIN")
        connection.execute("CREATE SCHEMA store")
        yield connection
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT candidate")
        connection.execute("USE memory")
        connection.execute("DETACH candidate")
    finally:
        connection.close()


def write_tables(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pl.DataFrame | pl.LazyFrame], progress: Progress
) -> dict[str, int]:
    """Write every table but the build's own; rows by table. Raises FramesUnfit with the faults of all tables at once."""
    faults: list[str] = []
    counts: dict[str, int] = {}
    for table in published():
        connection.execute(ddl.create_table(table))
        if table.name in OWN:
            continue
        try:
            given = tables.get(table.name)
            frame = checked_frame(table, table.schema.create_empty() if given is None else given)
        except FramesUnfit as fault:
            faults += fault.faults
            continue
        if not faults:
            insert(connection, table, frame)
        counts[table.name] = frame.height
        progress(f"wrote {table.name}: {frame.height:,} rows")
    if faults:
        raise FramesUnfit(faults)
    return counts


def insert(connection: duckdb.DuckDBPyConnection, table: Table, frame: pl.DataFrame) -> None:
    """Insert checked rows, in the order they stand in."""
    names = ", ".join(ddl.quoted(c) for c in table.schema.columns())
    connection.register("checked_rows", frame)
    connection.execute(f"INSERT INTO store.{ddl.quoted(table.name)} ({names}) SELECT {names} FROM checked_rows")
    connection.unregister("checked_rows")


def write_views(connection: duckdb.DuckDBPyConnection) -> int:
    """Create views, comments and the dictionary; number of dictionary rows."""
    for view in ddl.views():
        connection.execute(ddl.create_view(view))
    columns = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = 'candidate' AND schema_name = 'main' ORDER BY table_name, column_index"
    ).fetchall()
    for view in ddl.views():
        for statement in ddl.comments(view, [column for name, column, _ in columns if name == view.name]):
            connection.execute(statement)
    dictionary = TABLES["dictionary"]
    rows = pl.DataFrame(dictionary_rows(ddl.views(), columns), schema=_dtypes(dictionary))
    insert(connection, dictionary, checked_frame(dictionary, rows))
    return rows.height


def write_release_info(connection: duckdb.DuckDBPyConnection, info: Mapping[str, Any]) -> None:
    """The one row of release_info."""
    table = TABLES["release_info"]
    insert(connection, table, checked_frame(table, pl.DataFrame([info], schema=_dtypes(table))))


def production_span(connection: duckdb.DuckDBPyConnection) -> tuple[date, date] | None:
    """First and latest production day written; None where there is none."""
    first, latest = connection.execute(
        "SELECT min(production_date), max(production_date) FROM store.out__daily_production"
    ).fetchall()[0]
    return None if first is None else (first, latest)


def _dtypes(table: Table) -> dict[str, Any]:
    return {name: column.dtype for name, column in table.schema.columns().items()}
