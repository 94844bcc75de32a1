"""Energy Components over Oracle's wire protocol: the replayed views behind a listener that real clients log in to.

The protocol is seerdb's; behind it each session reads a DuckDB snapshot. Writing is refused as a read-only
database refuses it. It is slow (about 20,000 rows a second) and never reads the socket while a statement runs.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any

import duckdb
from seerdb.common.tns_consts import FIELD_VERSION_19_1, TNS_TYPE_DATE, TNS_TYPE_NUMBER, TNS_TYPE_VARCHAR
from seerdb.server import BackendError, BindVar, Capability, ColumnMeta, Result, Server

from pipelines.simulators.ec_oracle_sql import Database, translated
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.simulators.server import ServerStartError
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_counts import Counts

USER = "EC_READER"
SERVICE = "ECPROD"
STOP_SECONDS = 5.0
INVALID_IDENTIFIER, NO_SUCH_VIEW, INVALID_STATEMENT = 904, 942, 900
READ_ONLY, NOT_ALL_BOUND, INVALID_NUMBER = 16000, 1008, 1722
# DuckDB's integer types by their widths; Oracle knows only NUMBER.
INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)

_FIRST_WORD = re.compile(r"\s*\(*\s*([A-Za-z]+)")


class EcBackend:
    """One client's session: login, reading, and the session statements that extraction uses."""

    capabilities = frozenset({Capability.TRANSACTIONS})

    def __init__(
        self, database: Database, password: str, failures: deque[int] | None = None, counts: Counts | None = None
    ) -> None:
        self._database = database
        self._password = password
        self._failures: deque[int] = deque() if failures is None else failures
        self._counts = counts or Counts()
        self._pinned: duckdb.DuckDBPyConnection | None = None

    def authenticate(self, username: str) -> str | None:
        """The password of the one account, or none for an unknown user."""
        return self._password if username.upper() == USER else None

    def execute(self, sql: str, binds: Sequence[Any] = ()) -> Result:
        """Run one statement; ``SET TRANSACTION READ ONLY`` pins what is seen until the transaction ends."""
        match = _FIRST_WORD.match(re.sub(r"/\*.*?\*/|--[^\n]*", " ", sql, flags=re.DOTALL))
        word = match[1].upper() if match else ""
        if word == "ALTER" and re.match(r"\s*ALTER\s+SESSION\b", sql, re.IGNORECASE):
            return Result()
        if word == "SET" and re.match(r"\s*SET\s+TRANSACTION\b", sql, re.IGNORECASE):
            self._pinned = self._database.snapshot()
            return Result()
        if word in ("COMMIT", "ROLLBACK"):
            self._pinned = None
            return Result()
        if word not in ("SELECT", "WITH"):
            raise BackendError("database or pluggable database open for read-only access", ora_code=READ_ONLY)
        return self._query(sql, binds)

    def _query(self, sql: str, binds: Sequence[Any]) -> Result:
        with contextlib.suppress(IndexError):
            raise BackendError("made to fail", ora_code=self._failures.popleft())
        given = [bind.value if isinstance(bind, BindVar) else bind for bind in binds]
        try:
            text, values = translated(sql, [_plain(value) for value in given], user=USER, now=self._database.now())
        except ValueError as error:
            raise BackendError(str(error), ora_code=NOT_ALL_BOUND) from None
        cursor = self._pinned or self._database.snapshot()
        try:
            cursor.execute(text, values)
            described = list(cursor.description or ())
            rows = cursor.fetchall()
            self._counts.add("rows", len(rows))
        except duckdb.CatalogException:
            raise BackendError("table or view does not exist", ora_code=NO_SUCH_VIEW) from None
        except duckdb.BinderException as error:
            raise BackendError(f"invalid identifier: {_first_line(error)}", ora_code=INVALID_IDENTIFIER) from None
        except duckdb.ConversionException as error:
            raise BackendError(f"invalid number: {_first_line(error)}", ora_code=INVALID_NUMBER) from None
        except duckdb.Error as error:
            raise BackendError(f"invalid SQL statement: {_first_line(error)}", ora_code=INVALID_STATEMENT) from None
        columns = [_column(name, str(kind), number, rows) for number, (name, kind, *_) in enumerate(described)]
        floats = [number for number, (_, kind, *_) in enumerate(described) if str(kind) in ("DOUBLE", "FLOAT")]
        return Result(columns=columns, rows=_exact(rows, floats), rowcount=len(rows))

    def commit(self) -> None:
        """End the snapshot."""
        self._pinned = None

    def rollback(self) -> None:
        """End the snapshot."""
        self._pinned = None

    def close(self) -> None:
        """Forget the snapshot."""
        self._pinned = None


class OracleServer:
    """Listens on ``127.0.0.1``; user ``EC_READER``, any service name. Use as a context manager.

    ``failures``: error numbers (such as 1555) with which the next queries fail, one each. ``counts``: rows served.
    """

    host = "127.0.0.1"

    def __init__(
        self, replay: EnergyComponentsReplay, *, password: str, clock: Clock | None = None, port: int = 0
    ) -> None:
        self._database = Database(replay, clock=clock or Clock(), owner=USER)
        self._password = password
        self.failures: deque[int] = deque()
        self.counts = Counts()
        self.port = port
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> OracleServer:
        """Listen and serve; returns itself. Raises ``ServerStartError`` when the port is taken."""
        if self._server is not None:
            return self
        # The library announces itself as a preview on every start; that is known here.
        logging.getLogger("seerdb.server").setLevel(logging.CRITICAL)
        try:
            self._server = Server(
                self.host,
                self.port,
                backend_factory=lambda: EcBackend(self._database, self._password, self.failures, self.counts),
                field_version=FIELD_VERSION_19_1,
            )
        except OSError as error:
            message = f"the simulated Oracle cannot listen on {self.host}:{self.port}: {error.strerror}"
            raise ServerStartError(message) from error
        self.port = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever, name="simulator-ec-oracle", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and free the port; sessions end when their clients leave."""
        if self._server is None or self._thread is None:
            return
        self._server.close()
        self._thread.join(STOP_SECONDS)
        self._server = self._thread = None

    def __enter__(self) -> OracleServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _plain(value: Any) -> Any:
    """A bind as DuckDB takes it: text types to text; an empty text is null, as in Oracle."""
    if isinstance(value, str):
        return str(value) or None
    return value


def _column(name: str, kind: str, number: int, rows: Sequence[tuple[Any, ...]]) -> ColumnMeta:
    """A result column as Oracle describes it; text is as wide as its widest value needs."""
    label = name.upper().encode()
    if kind in INTEGERS:
        return ColumnMeta(name=label, data_type=TNS_TYPE_NUMBER, data_length=22, max_size=22, precision=18)
    if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL"):
        return ColumnMeta(name=label, data_type=TNS_TYPE_NUMBER, data_length=22, max_size=22)
    if kind.startswith(("TIMESTAMP", "DATE")):
        return ColumnMeta(name=label, data_type=TNS_TYPE_DATE, data_length=7, max_size=7)
    widths = (len(str(row[number]).encode()) for row in rows if row[number] is not None)
    width = max(widths, default=1)
    return ColumnMeta(name=label, data_type=TNS_TYPE_VARCHAR, data_length=max(width, 1), max_size=max(width, 1))


def _exact(rows: list[tuple[Any, ...]], floats: Sequence[int]) -> list[tuple[Any, ...]]:
    """Rows with doubles as decimals of their shortest text, so that NUMBER gives the same double back."""
    if not floats:
        return rows
    written = []
    for row in rows:
        cells = list(row)
        for number in floats:
            if cells[number] is not None:
                cells[number] = Decimal(repr(cells[number]))
        written.append(tuple(cells))
    return written


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
