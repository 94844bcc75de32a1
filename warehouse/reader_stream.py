"""Rows of a contract view as Arrow batches, a few production days at a time: memory and query time do not grow with the view.

No query outlives its batch, so a slow client holds a lease and nothing else. Needs pyarrow once batches are asked for.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from warehouse.errors import QueryTimeout, WarehouseError
from warehouse.reader_release import OpenRelease

# Rows to a batch, but for a single day that has more.
BATCH_ROWS = 50_000
# The column by which a view is cut into batches, and which `first` and `last` bound.
DAY_COLUMNS = ("production_date", "date")
NETWORK_COLUMN = "network"
ASSET_COLUMN = "asset_id"
Assets = frozenset[str] | None


@dataclass(frozen=True)
class Column:
    """A column of a view, with what the release's dictionary says of it."""

    name: str
    sql_type: str
    description: str
    unit: str | None


@dataclass(frozen=True)
class Dataset:
    """A view of a release as a caller limited to `assets` sees it (None: all of it)."""

    view: str
    assets: Assets
    columns: tuple[Column, ...]

    @property
    def day_column(self) -> str | None:
        """Its day; None for a view without one."""
        return next((c.name for c in self.columns if c.name in DAY_COLUMNS and c.sql_type == "DATE"), None)

    def has(self, column: str) -> bool:
        """Whether it has the column."""
        return any(c.name == column for c in self.columns)


@dataclass(frozen=True)
class Filters:
    """Which rows; None: all. Days are included on both ends."""

    first: date | None = None
    last: date | None = None
    network: str | None = None
    asset_id: str | None = None


@dataclass(frozen=True)
class Span:
    """Days that make one batch; None for a view without days."""

    first: date | None
    last: date | None
    rows: int


def describe(release: OpenRelease, view: str, assets: Assets) -> Dataset | None:
    """The view with its columns in order; None where the release documents none of that name, or the caller has none."""
    with _cursor(release, view, assets) as cursor:
        # A left join to the dictionary, which an older release may not have filled for each column.
        rows = cursor.execute(
            "SELECT c.column_name, c.data_type, coalesce(d.description, ''), d.unit "
            "FROM duckdb_columns() AS c "
            "LEFT JOIN dictionary AS d ON d.table_name = c.table_name AND d.column_name = c.column_name "
            "WHERE c.database_name = current_database() AND c.schema_name = current_schema() AND c.table_name = $view "
            "AND c.table_name IN (SELECT table_name FROM dictionary) ORDER BY c.column_index",
            {"view": view},
        ).fetchall()
    return Dataset(view, assets, tuple(Column(*row) for row in rows)) if rows else None


def schema(release: OpenRelease, dataset: Dataset) -> Any:
    """The Arrow schema of its batches."""
    with _cursor(release, dataset.view, dataset.assets) as cursor:
        return cursor.sql(f"SELECT * FROM {_quoted(dataset.view)} LIMIT 0").to_arrow_table().schema


def plan(release: OpenRelease, dataset: Dataset, filters: Filters) -> list[Span]:
    """The spans that together hold every row once, oldest day first."""
    day = dataset.day_column
    where, params = _where(dataset, filters)
    grouped = _quoted(day) if day else "NULL::DATE"
    with _cursor(release, dataset.view, dataset.assets) as cursor:
        rows = cursor.execute(
            f"SELECT {grouped} AS day, count(*)::BIGINT FROM {_quoted(dataset.view)} {where} GROUP BY 1 ORDER BY 1",
            params,
        ).fetchall()
    spans: list[Span] = []
    for label, count in rows:
        if spans and day and spans[-1].rows + count <= BATCH_ROWS:
            spans[-1] = Span(spans[-1].first, label, spans[-1].rows + count)
        else:
            spans.append(Span(label, label, count))
    return spans


def longest_text(release: OpenRelease, dataset: Dataset, filters: Filters) -> int:
    """Bytes of the longest text among the rows; 0 where there is none."""
    names = [_quoted(c.name) for c in dataset.columns if c.sql_type == "VARCHAR"]
    if not names:
        return 0
    where, params = _where(dataset, filters)
    longest = ", ".join(f"coalesce(max(strlen({name})), 0)" for name in names)
    with _cursor(release, dataset.view, dataset.assets) as cursor:
        rows = cursor.execute(f"SELECT greatest({longest}, 0) FROM {_quoted(dataset.view)} {where}", params).fetchall()
    return int(rows[0][0])


def batches(release: OpenRelease, dataset: Dataset, filters: Filters, spans: list[Span]) -> Iterator[Any]:
    """Record batches, rows by day and then by the columns from left to right, so that equal rows make equal bytes.

    Raises WarehouseError where a span has not the rows that were planned: an export is whole or it fails.
    """
    for span in spans:
        within = filters if span.first is None else Filters(span.first, span.last, filters.network, filters.asset_id)
        where, params = _where(dataset, within)
        order = f"{_quoted(dataset.day_column)}, " if dataset.day_column else ""
        columns = ", ".join(_quoted(column.name) for column in dataset.columns)
        with _cursor(release, dataset.view, dataset.assets) as cursor:
            table = cursor.sql(
                f"SELECT {columns} FROM {_quoted(dataset.view)} {where} ORDER BY {order}{columns}", params=params
            ).to_arrow_table()
        if table.num_rows != span.rows:
            raise WarehouseError(
                f"{dataset.view} has {table.num_rows} rows from {span.first}, {span.rows} were counted"
            )
        yield from table.combine_chunks().to_batches()


@contextmanager
def _cursor(release: OpenRelease, view: str, assets: Assets) -> Iterator[duckdb.DuckDBPyConnection]:
    """The caller's cursor. Raises QueryTimeout where the reader's limit ends what is asked of it."""
    try:
        with release.cursor(assets) as cursor:
            yield cursor
    except duckdb.InterruptException as fault:
        raise QueryTimeout(f"reading {view} was ended: {fault}") from fault


def _where(dataset: Dataset, filters: Filters) -> tuple[str, Mapping[str, Any]]:
    day = dataset.day_column
    wanted = {
        "first": (day, ">=", filters.first),
        "last": (day, "<=", filters.last),
        "network": (NETWORK_COLUMN, "=", filters.network),
        "asset": (ASSET_COLUMN, "=", filters.asset_id),
    }
    given = {name: (column, sign, value) for name, (column, sign, value) in wanted.items() if value is not None}
    absent = sorted(name for name, (column, _, _) in given.items() if column is None or not dataset.has(column))
    if absent:
        raise WarehouseError(f"{dataset.view} has no column for {', '.join(absent)}")
    if not given:
        return "", {}
    tests = [f"{_quoted(column or '')} {sign} ${name}" for name, (column, sign, _) in given.items()]
    return "WHERE " + " AND ".join(tests), {name: value for name, (_, _, value) in given.items()}


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
