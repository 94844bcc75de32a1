"""One open release: its manifest, and its named queries on a cursor per thread, for a caller's assets or for all of them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, local
from typing import Any

import duckdb

from warehouse.errors import ReleaseCorrupt, WarehouseError
from warehouse.manifest import Manifest
from warehouse.queries import EMPTY, QueryBook, run
from warehouse.reader_instance import Instance
from warehouse.reader_scope import ScopeShelf
from warehouse.release_files import hold_shared


class OpenRelease:
    """A release that stays the same for as long as it is leased. `extras` holds what hooks derive from it.

    `leases` and `is_retired` belong to the reader and change under its lock only.
    """

    def __init__(self, instance: Instance, directory: Path, path: Path, manifest: Manifest, book: QueryBook) -> None:
        self.manifest = manifest
        self.release_id = manifest.release_id
        self.path = path
        self.extras: dict[str, Any] = {}
        self.leases = 0
        self.is_retired = False
        self._book = book
        self._instance = instance
        self._local = local()
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        self._guard = Lock()
        self._is_closed = False
        self._use: int | None = hold_shared(directory)  # tells housekeeping that the release is in use
        try:
            self._alias = instance.attach(path)
        except BaseException:
            self._let_go()
            raise
        self._scopes = ScopeShelf(instance, self._alias)

    def query(
        self, name: str, params: Mapping[str, Any] = EMPTY, assets: frozenset[str] | None = None
    ) -> list[dict[str, Any]]:
        """Rows of sql/queries/<name>.sql, over all of the release, or over what a caller limited to `assets` may see.

        Raises QueryNotFound, QueryFaulty; WarehouseError once the release is closed.
        """
        with self.cursor(assets) as cursor:
            return run(cursor, name, params, book=self._book)

    @contextmanager
    def cursor(self, assets: frozenset[str] | None) -> Iterator[duckdb.DuckDBPyConnection]:
        """This thread's cursor, on which the contract's views are those of the release, or of `assets` only.

        It is this thread's until the block ends. Raises WarehouseError once the release is closed.
        """
        if assets is None:
            yield self._cursor()
        else:
            with self._scopes.cursor(assets) as cursor:
                yield cursor

    def warm(self) -> None:
        """Touch what the first request will: a release that cannot answer this is not served. Raises ReleaseCorrupt."""
        cursor = self._cursor()
        try:
            found = cursor.execute("SELECT release_id FROM release_info").fetchall()
            cursor.execute(
                "SELECT sum(production_volume), count(*) FROM production_daily WHERE production_date = $day",
                {"day": self.manifest.latest_production_date},
            ).fetchall()
        except duckdb.Error as fault:
            raise ReleaseCorrupt(self.release_id, str(fault)) from fault
        if found != [(self.release_id,)]:
            raise ReleaseCorrupt(self.release_id, f"its file says that it is release {found}")

    def close(self) -> None:
        """Close cursors and detach the file."""
        with self._guard:
            if self._is_closed:
                return
            self._is_closed = True
            for cursor in self._cursors:
                with suppress(duckdb.Error):
                    cursor.close()
            self._cursors.clear()
        self._scopes.close()
        # A query still running at process shutdown holds the file; the instance goes down right after.
        with suppress(duckdb.Error):
            self._instance.detach(self._alias)
        self.extras.clear()
        self._let_go()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if self._is_closed:
            raise WarehouseError(f"release {self.release_id} is closed: query it inside its lease")
        if cursor is None:
            cursor = self._instance.cursor(self._alias)
            with self._guard:
                self._cursors.append(cursor)
            self._local.cursor = cursor
        return cursor

    def _let_go(self) -> None:
        if self._use is not None:
            os.close(self._use)
            self._use = None
