"""Batches of an Oracle result: the types they are fetched as, and their cast to canonical columns, many at a time.

A cast costs a few milliseconds however few the rows are, so batches are put together first, up to a bound of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import oracledb
import polars as pl
import pyarrow as pa

from pipelines.sources.cast import Cast, cast_to_canonical, schema_of
from pipelines.sources.extract import REJECTED_SCHEMA
from pipelines.sources.mapping import ColumnMapping

# Some 50 MB of a view with a dozen columns.
CAST_ROWS = 500_000
_INSTANT = pa.timestamp("us")
_PINNED: dict[Any, pa.DataType] = {
    oracledb.DB_TYPE_BINARY_DOUBLE: pa.float64(),
    oracledb.DB_TYPE_BINARY_FLOAT: pa.float64(),
    oracledb.DB_TYPE_CHAR: pa.string(),
    oracledb.DB_TYPE_CLOB: pa.large_string(),
    oracledb.DB_TYPE_DATE: _INSTANT,
    oracledb.DB_TYPE_LONG: pa.large_string(),
    oracledb.DB_TYPE_NCHAR: pa.string(),
    oracledb.DB_TYPE_NCLOB: pa.large_string(),
    oracledb.DB_TYPE_NVARCHAR: pa.string(),
    oracledb.DB_TYPE_TIMESTAMP: _INSTANT,
    oracledb.DB_TYPE_TIMESTAMP_LTZ: _INSTANT,
    oracledb.DB_TYPE_TIMESTAMP_TZ: _INSTANT,
    oracledb.DB_TYPE_VARCHAR: pa.string(),
}


def pinned(column: Any) -> pa.DataType | None:
    """The Arrow type that a described column is fetched as, whatever the view computes it from; None: no safe one."""
    if column[1] == oracledb.DB_TYPE_NUMBER:
        precision, scale = column[4], column[5]
        return pa.int64() if scale == 0 and precision and precision <= 18 else pa.float64()
    return _PINNED.get(column[1])


class Batches:
    """Takes batches in the order received. `names`: the result's columns in the mapping's spelling."""

    def __init__(
        self, names: Sequence[str], columns: Sequence[ColumnMapping], zone: str, cast_rows: int = CAST_ROWS
    ) -> None:
        self._names = list(names)
        self._columns = columns
        self._zone = zone
        self._cast_rows = cast_rows
        self._waiting: list[pl.DataFrame] = []
        self._waiting_rows = 0
        self._frames = [schema_of(columns).to_frame()]
        self._rejects = [REJECTED_SCHEMA.to_frame()]
        self.rows = self.count = 0

    def add(self, batch: Any) -> None:
        """Take a batch of the driver's."""
        received = pl.DataFrame(batch)
        received.columns = self._names
        self._waiting.append(received)
        self._waiting_rows += received.height
        self.rows, self.count = self.rows + received.height, self.count + 1
        if self._waiting_rows >= self._cast_rows:
            self._cast()

    def whole(self) -> Cast:
        """All rows in canonical columns, and those set aside."""
        self._cast()
        return Cast(pl.concat(self._frames), pl.concat(self._rejects))

    def _cast(self) -> None:
        if self._waiting:
            cast = cast_to_canonical(pl.concat(self._waiting), self._columns, zone=self._zone)
            self._frames.append(cast.frame)
            self._rejects.append(cast.rejected)
        self._waiting, self._waiting_rows = [], 0
