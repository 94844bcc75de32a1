"""Row-level security by construction: for each limited scope a schema with views of a release that hold only its rows.

A scoped cursor sees that schema and nothing else, so any named query, whatever it forgets to filter, reads only what the scope
may see; a table without a rule is not there at all. Views are made once a scope and release, and the least used leave.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from threading import Lock, get_ident

import duckdb

from warehouse.errors import WarehouseError
from warehouse.reader_instance import HOME, Instance
from warehouse.reader_scope_rules import HELPERS, RULES, literals

# Scopes of one release whose views are kept.
SCOPES_KEPT = 16


@dataclass
class ScopedViews:
    """The schema of one scope, and a cursor on it for each thread. `users` are queries under way."""

    schema: str
    users: int = 0
    cursors: dict[int, duckdb.DuckDBPyConnection] = field(default_factory=dict)


class ScopeShelf:
    """The scoped views of one attached release. Thread-safe; nothing is dropped under a running query."""

    def __init__(self, instance: Instance, alias: str) -> None:
        self._instance = instance
        self._alias = alias
        self._views: OrderedDict[frozenset[str], ScopedViews] = OrderedDict()
        self._numbers = count(1)
        self._guard = Lock()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._views)

    @contextmanager
    def cursor(self, assets: frozenset[str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """This thread's cursor on the views of the scope, which stay until the block ends."""
        with self._guard:
            if self._is_closed:
                raise WarehouseError(f"{self._alias} is closed: query it inside its lease")
            views = self._views.get(assets)
            if views is None:
                views = self._views[assets] = self._make(assets)
                self._make_room()
            self._views.move_to_end(assets)
            views.users += 1
        try:
            yield self._cursor_of(views)
        finally:
            with self._guard:
                views.users -= 1

    def close(self) -> None:
        """Drop every scope's views."""
        with self._guard:
            self._is_closed = True
            while self._views:
                self._drop(self._views.popitem()[1])

    def _cursor_of(self, views: ScopedViews) -> duckdb.DuckDBPyConnection:
        cursor = views.cursors.get(get_ident())
        if cursor is None:
            cursor = views.cursors[get_ident()] = self._instance.cursor(f"{HOME}.{views.schema}")
        return cursor

    def _make(self, assets: frozenset[str]) -> ScopedViews:
        views = ScopedViews(f"{self._alias}_scope_{next(self._numbers)}")
        cursor = self._instance.cursor(self._alias)
        try:
            for statement in statements(cursor, f"{self._alias}.main", f"{HOME}.{views.schema}", assets):
                cursor.execute(statement)
        except BaseException:
            self._drop(views)
            raise
        finally:
            cursor.close()
        return views

    def _make_room(self) -> None:
        for assets in list(self._views)[:-1]:
            if len(self._views) <= SCOPES_KEPT:
                return
            if not self._views[assets].users:
                self._drop(self._views.pop(assets))

    def _drop(self, views: ScopedViews) -> None:
        for cursor in views.cursors.values():
            with suppress(duckdb.Error):
                cursor.close()
        with suppress(duckdb.Error):
            self._instance.drop_schema(views.schema)


def statements(cursor: duckdb.DuckDBPyConnection, release: str, scope: str, assets: frozenset[str]) -> Iterator[str]:
    """What makes the schema `scope` over the views of `release`: helpers as tables, then a view a rule.

    A release built before a table was published has none of it, and so has the scope.
    """
    database, schema = release.split(".")
    columns: dict[str, list[str]] = {}
    for view, column in cursor.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? "
        "ORDER BY table_name, column_index",
        [database, schema],
    ).fetchall():
        columns.setdefault(view, []).append(f'"{column}"')
    names = {"release": release, "scope": scope, "assets": literals(assets)}
    yield f"CREATE SCHEMA {scope}"
    for helper, sql in HELPERS.items():
        yield f"CREATE TABLE {scope}.{helper} AS {sql.format(**names)}"
    for view, rule in RULES.items():
        if view not in columns:
            continue
        sql = rule.alone if rule.alone is not None and len(assets) == 1 else rule.sql
        listed = ", ".join(columns[view])
        body = sql.format(**names, view=view, columns=listed)
        # The columns in the release's own order, whatever a rule's parts list.
        yield f'CREATE VIEW {scope}."{view}" AS SELECT {listed} FROM ({body})'
