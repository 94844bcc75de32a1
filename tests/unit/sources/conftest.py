"""Small servers that the clients are tried against: scripted HTTP answers, and DuckDB behind the Oracle wire protocol."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import duckdb
import pytest

PASSWORD = "s3cret-Oracle-pass"


class OracleStub:
    """A seerdb server over one DuckDB database; `log` holds the statements, `logins` counts password checks."""

    def __init__(self, setup: str) -> None:
        from seerdb.common.tns_consts import FIELD_VERSION_19_1
        from seerdb.server import Server

        self.database = duckdb.connect(":memory:")
        self.database.execute(setup)
        self.log: list[str] = []
        self.logins = 0
        self.fail_with: list[int] = []
        self._server = Server("127.0.0.1", 0, backend_factory=self._backend, field_version=FIELD_VERSION_19_1)
        self.port = int(self._server.port)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.close()
        self._thread.join(5)
        self.database.close()

    def _backend(self) -> Any:
        return _Backend(self)


class _Backend:
    capabilities = frozenset()

    def __init__(self, stub: OracleStub) -> None:
        self._stub = stub
        self._connection = stub.database.cursor()

    def authenticate(self, user: str) -> str:
        self._stub.logins += 1
        return PASSWORD

    def execute(self, sql: str, binds: Any = None) -> Any:
        from seerdb.server import BackendError, Result

        self._stub.log.append(sql)
        if self._stub.fail_with:
            code = self._stub.fail_with.pop(0)
            raise BackendError(f"ORA-{code:05d}: made to fail", ora_code=code)
        head = sql.strip().split()[0].upper()
        if head in ("SET", "ALTER", "BEGIN"):
            return Result()
        names, values = _binds(sql, binds)
        try:
            relation = self._connection.sql(names, params=values or None)
        except duckdb.CatalogException as error:
            raise BackendError(f"ORA-00942: table or view does not exist: {error}", ora_code=942) from None
        except duckdb.BinderException as error:
            raise BackendError(f"ORA-00904: invalid identifier: {error}", ora_code=904) from None
        columns = [_column(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
        return Result(columns=columns, rows=[tuple(_value(each) for each in row) for row in relation.fetchall()])

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None:
        self._connection.close()


def _binds(sql: str, binds: Any) -> tuple[str, list[Any]]:
    import re

    pattern = re.compile(r"'(?:[^']|'')*'|:([A-Za-z_]\w*)")
    order: list[str] = []

    def place(found: re.Match[str]) -> str:
        if not found[1]:
            return found[0]
        order.append(found[1])
        return "?"

    text = pattern.sub(place, sql)
    if isinstance(binds, dict):
        return text, [binds[name] for name in order]
    given = list(binds or [])
    if len(given) == len(order):
        return text, given
    first = list(dict.fromkeys(order))
    return text, [given[first.index(name)] for name in order]


def _value(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    return value


def _column(name: str, kind: str) -> Any:
    from seerdb.common import tns_consts as consts
    from seerdb.server import ColumnMeta

    label = name.upper().encode()
    if kind in ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "HUGEINT") or kind.startswith("DECIMAL"):
        return ColumnMeta(label, consts.TNS_TYPE_NUMBER, 22, 22, scale=-127 if kind in ("DOUBLE", "FLOAT") else 0)
    if kind in ("DATE", "TIMESTAMP"):
        return ColumnMeta(label, consts.TNS_TYPE_DATE, 7, 7)
    return ColumnMeta(label, consts.TNS_TYPE_VARCHAR, 4000, 4000)


@pytest.fixture
def oracle() -> Iterator[Callable[[str], OracleStub]]:
    with ExitStack() as stack:

        def start(setup: str) -> OracleStub:
            stub = OracleStub(setup)
            stack.callback(stub.close)
            return stub

        yield start
