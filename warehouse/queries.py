"""Named queries: sql/queries/<name>.sql, read once. The header comment of each file says its consumer and its parameters.

Parameters are written `$name`; lists are bound as lists (`len($ids) = 0 OR list_contains($ids, facility_id)`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.errors import QueryFaulty, QueryNotFound, QueryTimeout

QUERIES = Path(__file__).parent / "sql" / "queries"
EMPTY: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Query:
    """One parsed statement. Parsing once saves a sixth of a small query's time."""

    name: str
    sql: str
    parameters: frozenset[str]
    statement: duckdb.Statement


class QueryBook:
    """The queries of a folder, parsed as they are first asked for. Safe to share between threads."""

    def __init__(self, directory: Path = QUERIES) -> None:
        self._directory = directory
        self._queries: dict[str, Query] = {}

    def names(self) -> list[str]:
        """Every query of the folder."""
        return sorted(path.stem for path in self._directory.glob("*.sql"))

    def get(self, name: str) -> Query:
        """The query. Raises QueryNotFound, QueryFaulty."""
        known = self._queries.get(name)
        if known is None:
            known = self._queries[name] = self._load(name)
        return known

    def _load(self, name: str) -> Query:
        path = self._directory / f"{name}.sql"
        if not name.isidentifier() or not path.is_file():
            raise QueryNotFound(
                f"no query {name!r} in {self._directory}; there are {', '.join(self.names()) or 'none'}"
            )
        sql = path.read_text("utf-8")
        if not sql.lstrip().startswith("--"):
            raise QueryFaulty(f"{path}: the first line must be a comment that names the consumer and the parameters")
        try:
            statements = duckdb.extract_statements(sql)
        except duckdb.Error as fault:
            raise QueryFaulty(f"{path}: {fault}") from fault
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryFaulty(f"{path}: there must be exactly one SELECT, found {len(statements)} statements")
        return Query(name, sql, frozenset(statements[0].named_parameters), statements[0])


BOOK = QueryBook()


def run(
    cursor: duckdb.DuckDBPyConnection, name: str, params: Mapping[str, Any] = EMPTY, *, book: QueryBook = BOOK
) -> list[dict[str, Any]]:
    """Rows of the named query as dictionaries, null as None, instants with zone UTC.

    `cursor` must belong to this thread alone. Raises QueryNotFound, QueryFaulty (missing and unknown parameters together),
    QueryTimeout.
    """
    query = book.get(name)
    if params.keys() != query.parameters:
        missing, unknown = sorted(query.parameters - params.keys()), sorted(params.keys() - query.parameters)
        says = [
            f"{what} {', '.join(names)}" for what, names in (("needs", missing), ("does not know", unknown)) if names
        ]
        raise QueryFaulty(f"query {name} {' and '.join(says)}; its parameters are {sorted(query.parameters) or 'none'}")
    try:
        rows = cursor.execute(query.statement, dict(params)).fetchall()
    except duckdb.InterruptException as fault:
        raise QueryTimeout(f"query {name} was ended: {fault}") from fault
    columns = [column[0] for column in cursor.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in rows]
