"""Oracle statements over the replayed views: a DuckDB database per state of the clock, and the translation into it.

Dates and instants become DATE (seconds, instants in UTC), empty text is null, flags are Y and N, as Oracle holds them.
Only reading is understood; the dialect is what extraction statements need.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import duckdb
import polars as pl
from seerdb.common.sqltext import sql_tokens

from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.simulators.server_clock import Clock

NUMBERED = re.compile(r":\d+$")
CALL_WITH_FORMAT = re.compile(r"\bTO_(DATE|CHAR)\s*\(\s*([^(),]+?)\s*,\s*'([^']*)'\s*\)", re.IGNORECASE)
TRUNCATED_DAY = re.compile(r"\bTRUNC\s*\(\s*([^(),]+)\s*\)", re.IGNORECASE)
FORMAT_PARTS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S"}


class Database:
    """The views as DuckDB tables in the schema of ``owner``; rebuilt when the clock changes what is visible."""

    def __init__(self, replay: EnergyComponentsReplay, *, clock: Clock, owner: str) -> None:
        self._replay = replay
        self._clock = clock
        self._owner = owner
        self._lock = threading.Lock()
        self._current: tuple[tuple[int, ...], duckdb.DuckDBPyConnection] | None = None

    def snapshot(self) -> duckdb.DuckDBPyConnection:
        """A cursor of its own on the database as of now; it keeps what it saw when a newer one is built."""
        now = self._clock.now()
        version = self._replay.version(now)
        with self._lock:
            if self._current is None or self._current[0] != version:
                self._current = version, self._built(now)
            cursor = self._current[1].cursor()
        cursor.execute(f"SET search_path = 'main,{self._owner}'")
        return cursor

    def now(self) -> datetime:
        """SYSDATE."""
        return self._clock.now()

    def _built(self, now: datetime) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(":memory:")
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute(f'CREATE SCHEMA "{self._owner}"')
        columns: list[tuple[str, str, str, str, int]] = []
        for name, view in self._replay.views.items():
            frame = _as_oracle(view.visible(now))
            connection.register("incoming", frame)
            connection.execute(f'CREATE TABLE "{self._owner}"."{name}" AS FROM incoming')
            connection.unregister("incoming")
            for number, (column, dtype) in enumerate(frame.schema.items(), start=1):
                columns.append((self._owner, name, column, _oracle_type(dtype), number))
        connection.execute("CREATE TABLE DUAL AS SELECT 'X' AS DUMMY")
        connection.execute(
            "CREATE TABLE ALL_TAB_COLUMNS (OWNER VARCHAR, TABLE_NAME VARCHAR, COLUMN_NAME VARCHAR, DATA_TYPE VARCHAR,"
            " COLUMN_ID INTEGER, NULLABLE VARCHAR DEFAULT 'Y')"
        )
        if columns:
            connection.executemany(
                "INSERT INTO ALL_TAB_COLUMNS (OWNER, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_ID) VALUES (?,?,?,?,?)",
                columns,
            )
        connection.execute("CREATE VIEW USER_TAB_COLUMNS AS SELECT * EXCLUDE (OWNER) FROM ALL_TAB_COLUMNS")
        connection.execute(
            "CREATE VIEW ALL_VIEWS AS SELECT DISTINCT OWNER, TABLE_NAME AS VIEW_NAME FROM ALL_TAB_COLUMNS"
        )
        connection.execute(
            "CREATE VIEW ALL_OBJECTS AS SELECT OWNER, VIEW_NAME AS OBJECT_NAME, 'VIEW' AS OBJECT_TYPE FROM ALL_VIEWS"
        )
        connection.execute("CREATE TABLE SESSION_PRIVS AS SELECT 'CREATE SESSION' AS PRIVILEGE")
        connection.execute("CREATE MACRO SYS_EXTRACT_UTC(a) AS a")
        connection.execute("CREATE MACRO NVL(a, b) AS coalesce(a, b)")
        connection.execute("CREATE MACRO NVL2(a, b, c) AS CASE WHEN a IS NULL THEN c ELSE b END")
        connection.execute("CREATE MACRO TO_NUMBER(a) AS CAST(a AS DOUBLE)")
        connection.execute("CREATE MACRO ADD_MONTHS(a, b) AS a + to_months(CAST(b AS INTEGER))")
        connection.execute("SET enable_external_access = false")
        return connection


def translated(sql: str, binds: Sequence[object], *, user: str, now: datetime) -> tuple[str, list[object]]:
    """The statement in DuckDB's dialect and one value for each placeholder, in order of the text.

    A client sends one value for each occurrence of a name, or one for each name: both are understood.
    """
    tokens = list(sql_tokens(sql.strip().rstrip(";")))
    text = sql.strip().rstrip(";")
    placeholders = [_bind_name(text[token.start : token.end]) for token in tokens if token.kind == "bind"]
    distinct = list(dict.fromkeys(placeholders))
    if len(binds) == len(placeholders):
        values = list(binds)
    elif len(binds) == len(distinct):
        by_name = dict(zip(distinct, binds, strict=True))
        values = [by_name[name] for name in placeholders]
    else:
        message = f"not all variables bound: {len(placeholders)} placeholders, {len(binds)} values"
        raise ValueError(message)
    words: dict[str, Callable[[], str]] = {
        "USER": lambda: f"'{user}'",
        "SYSDATE": lambda: f"TIMESTAMP '{now.astimezone(UTC):%Y-%m-%d %H:%M:%S}'",
        "SYSTIMESTAMP": lambda: f"TIMESTAMP '{now.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'",
        "VARCHAR2": lambda: "VARCHAR",
        "NUMBER": lambda: "DOUBLE",
        "MINUS": lambda: "EXCEPT",
    }
    parts = []
    for token in tokens:
        part = text[token.start : token.end]
        if token.kind == "bind":
            part = "?"
        elif token.kind == "word" and part.upper() in words:
            part = words[part.upper()]()
        elif token.kind == "comment":
            part = " "
        parts.append(part)
    joined = "".join(parts)
    joined = TRUNCATED_DAY.sub(r"date_trunc('day', \1)", joined)
    return CALL_WITH_FORMAT.sub(_formatted, joined), values


def _formatted(call: re.Match[str]) -> str:
    """TO_DATE or TO_CHAR with a literal format as DuckDB's own function."""
    form = call[3].upper()
    for part, directive in FORMAT_PARTS.items():
        form = form.replace(part, directive)
    return f"{'strptime' if call[1].upper() == 'DATE' else 'strftime'}({call[2]}, '{form}')"


def _bind_name(text: str) -> str:
    name = text[1:].strip()
    return name.strip('"') if name.startswith('"') else name.upper()


def _as_oracle(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with Oracle's types: DATE for every date and instant, Y and N for flags, null for empty text."""
    written = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if isinstance(dtype, pl.Datetime):
            column = (
                column if dtype.time_zone is None else column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            )
            column = column.dt.truncate("1s").cast(pl.Datetime("us"))
        elif dtype == pl.Date:
            column = column.cast(pl.Datetime("us"))
        elif dtype == pl.Boolean:
            column = pl.when(column).then(pl.lit("Y")).when(~column).then(pl.lit("N")).otherwise(None)
        elif dtype == pl.String:
            column = pl.when(column != "").then(column)
        elif dtype.is_float():
            column = column.cast(pl.Float64).fill_nan(None)
        elif dtype.is_integer():
            column = column.cast(pl.Int64)
        elif dtype == pl.Null:
            column = column.cast(pl.String)
        written.append(column.alias(name))
    return frame.select(written)


def _oracle_type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "DATE"
    return "NUMBER" if dtype.is_numeric() else "VARCHAR2"
