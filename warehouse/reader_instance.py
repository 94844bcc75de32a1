"""The sealed in-memory DuckDB instance that a reader attaches its releases to."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock

import duckdb

from warehouse.errors import WarehouseError

# The instance's own database; schemas of scoped views stand in it.
HOME = "memory"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of the whole instance. One thread a query is the fastest for small ones; concurrency comes from cursors."""

    memory: str = "1GB"
    threads: int = 1
    query_milliseconds: int = 30_000


class Instance:
    """Opens release files read-only under fresh names; refuses every other file, extension and setting."""

    def __init__(self, releases: Path, limits: Limits) -> None:
        self._numbers = count(1)
        self._guard = Lock()
        self._connection = duckdb.connect(config={"threads": limits.threads, "memory_limit": limits.memory})
        # Order matters: the allowed folder must be named before access is closed, the lock comes last.
        for setting in (
            "SET GLOBAL TimeZone = 'UTC'",
            f"SET GLOBAL max_execution_time = {limits.query_milliseconds}",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            f"SET allowed_directories = [{_literal(str(releases) + '/')}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            self._connection.execute(setting)

    def attach(self, path: Path) -> str:
        """Attach a file read-only; the name it is known by. Raises WarehouseError where DuckDB cannot read it."""
        alias = f"release_{next(self._numbers)}"
        try:
            with self._guard:
                self._connection.execute(f"ATTACH {_literal(str(path))} AS {alias} (READ_ONLY)")
        except duckdb.Error as fault:
            raise WarehouseError(f"DuckDB {duckdb.__version__} cannot open {path}: {fault}") from fault
        return alias

    def detach(self, alias: str) -> None:
        """Detach a file; queries under way end on it first."""
        with self._guard:
            self._connection.execute(f"DETACH {alias}")

    def cursor(self, alias: str) -> duckdb.DuckDBPyConnection:
        """A cursor for one thread, with the attached file, or a schema of HOME, as the only place where names are found."""
        with self._guard:
            cursor = self._connection.cursor()
        cursor.execute(f"USE {alias}")
        return cursor

    def drop_schema(self, schema: str) -> None:
        """Drop a schema of HOME with all that stands in it."""
        with self._guard:
            self._connection.execute(f"DROP SCHEMA IF EXISTS {HOME}.{schema} CASCADE")

    def close(self) -> None:
        """Close the instance."""
        with self._guard:
            self._connection.close()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
