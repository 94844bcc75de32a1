"""Batches of an Oracle result: put together, cast once, and nothing lost between."""

from __future__ import annotations

from datetime import UTC, datetime

import oracledb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.ec_oracle_batches import Batches, pinned
from pipelines.sources.mapping import ColumnMapping, parse_energy_components


def columns() -> tuple[ColumnMapping, ...]:
    stream_day = {
        "key": ["stream_ec_code"],
        "oracle_sql": "SELECT CODE, VOL, AT FROM V",
        "columns": {
            "stream_ec_code": {"source": "CODE", "type": "text"},
            "volume": {"source": "VOL", "type": "float", "unit": "Sm3"},
            "source_updated_at_utc": {"source": "AT", "type": "datetime"},
        },
    }
    return tuple(parse_energy_components({"datasets": {"stream_day": stream_day}})["stream_day"].columns)


def batch(codes: list[str], at: datetime | str = datetime(2026, 10, 1, 6)) -> pa.Table:
    return pa.table({"code": codes, "vol": [float(place) for place in range(len(codes))], "at": [at] * len(codes)})


@given(st.lists(st.integers(0, 7), max_size=6), st.integers(1, 9))
def test_batches_when_they_come_in_any_sizes_then_all_rows_stand_in_order(sizes: list[int], cast_rows: int) -> None:
    batches = Batches(["CODE", "VOL", "AT"], columns(), "Africa/Lagos", cast_rows)
    codes = [f"S{number}" for number in range(sum(sizes))]
    place = 0
    for size in sizes:
        batches.add(batch(codes[place : place + size]) if size else batch(["x"]).slice(0, 0))
        place += size
    whole = batches.whole()
    assert whole.frame["stream_ec_code"].to_list() == codes
    assert whole.frame["source_updated_at_utc"].to_list() == [datetime(2026, 10, 1, 5, tzinfo=UTC)] * len(codes)
    assert whole.rejected.is_empty()
    assert (batches.rows, batches.count) == (len(codes), len(sizes))


@pytest.mark.parametrize("cast_rows", [1, 100])
def test_batches_when_a_value_is_of_another_kind_then_its_row_is_set_aside(cast_rows: int) -> None:
    batches = Batches(["CODE", "VOL", "AT"], columns(), "UTC", cast_rows)
    batches.add(batch(["S1", "S2"], "2026-10-01T06:00:00"))
    batches.add(batch(["S3"], "no instant"))
    whole = batches.whole()
    assert whole.frame["stream_ec_code"].to_list() == ["S1", "S2"]
    assert whole.rejected["rule"].to_list() == ["source_updated_at_utc_is_datetime"]


def test_batches_when_none_came_then_the_columns_are_there_without_rows() -> None:
    whole = Batches(["CODE", "VOL", "AT"], columns(), "UTC").whole()
    assert whole.frame.schema == pl.Schema(
        {"stream_ec_code": pl.String, "volume": pl.Float64, "source_updated_at_utc": pl.Datetime("us", "UTC")}
    )
    assert whole.frame.is_empty()


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (("N", oracledb.DB_TYPE_NUMBER, None, None, 18, 0, True), pa.int64()),
        (("N", oracledb.DB_TYPE_NUMBER, None, None, 19, 0, True), pa.float64()),
        (("N", oracledb.DB_TYPE_NUMBER, None, None, 0, -127, True), pa.float64()),
        (("D", oracledb.DB_TYPE_DATE, None, None, None, None, True), pa.timestamp("us")),
        (("B", oracledb.DB_TYPE_BLOB, None, None, None, None, True), None),
    ],
)
def test_pinned_when_a_column_is_described_then_its_type_does_not_depend_on_the_values(
    column: tuple[object, ...], kind: pa.DataType | None
) -> None:
    assert pinned(column) == kind
