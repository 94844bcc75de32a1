"""The lake: content addressing, days before months, atomic entries."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.lake import Lake, LakeTableMissing, Provenance, conform, empty, frame_bytes

TABLE = "raw_energy_components__tank_day"
WHEN = Provenance(extracted_at_utc=datetime(2026, 11, 22, tzinfo=UTC), run_id="r1", request="x")
LATER = Provenance(extracted_at_utc=datetime(2026, 11, 23, tzinfo=UTC), run_id="r2", request="y")


def rows(*days: date, volume: float = 1.0, tank: str = "T1") -> pl.DataFrame:
    return empty(TABLE).vstack(
        pl.DataFrame(
            [
                {
                    **dict.fromkeys(empty(TABLE).columns),
                    "production_date": d,
                    "tank_ec_code": tank,
                    "closing_volume": volume,
                }
                for d in days
            ],
            schema=empty(TABLE).schema,
        )
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_write_days_when_content_is_equal_then_nothing_changes(lake: Lake) -> None:
    day = date(2026, 11, 21)
    first = lake.write_days(TABLE, rows(day), [day], provenance=WHEN)
    again = lake.write_days(TABLE, rows(day), [day], provenance=LATER)
    assert [w.changed for w in first] == [True]
    assert [w.changed for w in again] == [False]
    sidecar = lake.sidecar(TABLE, "2026-11-21")
    assert sidecar is not None
    assert sidecar.run_id == "r1"


def test_write_days_when_a_correction_comes_then_the_old_file_stays(lake: Lake) -> None:
    day = date(2026, 11, 21)
    old = lake.write_days(TABLE, rows(day), [day], provenance=WHEN)[0].entry
    lake.write_days(TABLE, rows(day, volume=2.0), [day], provenance=LATER)
    assert (lake.root / TABLE / "2026-11-21" / old.file).exists()
    assert lake.read(TABLE, day, day)["closing_volume"].to_list() == [2.0]


def test_write_days_when_a_label_has_no_rows_then_an_empty_file_says_so(lake: Lake) -> None:
    days = [date(2026, 11, 20), date(2026, 11, 21)]
    written = lake.write_days(TABLE, rows(days[0]), days, provenance=WHEN)
    assert [w.entry.rows for w in written] == [1, 0]
    assert lake.labels(TABLE) == days


def test_write_days_when_rows_lie_outside_then_refuses(lake: Lake) -> None:
    with pytest.raises(ValueError, match="outside the range"):
        lake.write_days(TABLE, rows(date(2026, 1, 1)), [date(2026, 1, 2)], provenance=WHEN)


def test_scan_when_a_day_overrides_its_month_then_the_day_wins(lake: Lake) -> None:
    days = [date(2026, 10, d) for d in range(1, 32)]
    lake.write_month(TABLE, rows(*days), "2026-10", provenance=WHEN)
    lake.write_days(TABLE, rows(days[4], volume=9.0), [days[4]], provenance=LATER)
    got = lake.read(TABLE, days[0], days[-1])
    assert got.height == 31
    assert got.filter(pl.col("closing_volume") == 9.0)["production_date"].to_list() == [days[4]]
    assert lake.labels(TABLE) == days


def test_write_days_when_the_month_holds_the_same_rows_then_nothing_changes(lake: Lake) -> None:
    days = [date(2026, 10, d) for d in range(1, 32)]
    lake.write_month(TABLE, rows(*days), "2026-10", provenance=WHEN)
    written = lake.write_days(TABLE, rows(days[3]), [days[3]], provenance=LATER)
    assert [w.changed for w in written] == [False]
    assert [p.partition for p in lake.partitions(TABLE)] == ["2026-10"]


def test_write_month_when_days_stood_then_they_no_longer_override(lake: Lake) -> None:
    day = date(2026, 10, 5)
    lake.write_days(TABLE, rows(day, volume=5.0), [day], provenance=WHEN)
    lake.write_month(TABLE, rows(day, volume=6.0), "2026-10", provenance=LATER)
    assert lake.read(TABLE, day, day)["closing_volume"].to_list() == [6.0]


def test_scan_when_the_table_was_never_written_then_says_so(lake: Lake) -> None:
    with pytest.raises(LakeTableMissing, match="never written"):
        lake.scan(TABLE, date(2026, 1, 1), date(2026, 1, 2))


def test_scan_when_the_range_holds_nothing_then_empty_with_columns(lake: Lake) -> None:
    day = date(2026, 11, 21)
    lake.write_days(TABLE, rows(day), [day], provenance=WHEN)
    got = lake.scan(TABLE, date(2025, 1, 1), date(2025, 1, 2)).collect()
    assert got.schema == empty(TABLE).schema
    assert got.is_empty()


def test_conform_when_columns_differ_then_names_them() -> None:
    with pytest.raises(ValueError, match="closing_volume"):
        conform(TABLE, rows(date(2026, 1, 1)).drop("closing_volume"))


def test_conform_when_nan_comes_then_null_goes() -> None:
    assert conform(TABLE, rows(date(2026, 1, 1), volume=float("nan")))["closing_volume"].to_list() == [None]


@given(st.permutations([("A", 1.0), ("B", 2.0), ("C", None), ("D", 4.0)]))
def test_frame_bytes_when_rows_come_in_any_order_then_equal(order: list[tuple[str, float | None]]) -> None:
    base = empty(TABLE).schema
    frame = pl.DataFrame(
        [
            {**dict.fromkeys(base), "production_date": date(2026, 1, 1), "tank_ec_code": t, "closing_volume": v}
            for t, v in order
        ],
        schema=base,
    )
    reference = frame.sort("tank_ec_code")
    assert frame_bytes(conform(TABLE, frame)) == frame_bytes(conform(TABLE, reference))
