"""Volve's published daily figures: downtime loss by three definitions of potential equals what two engines agree on."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.transforms import carry_state
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import BBL_PER_SM3, UnitTable
from pipelines.transforms.wells import AbsentDays, WellDays, daily_wells

FOLDER = Path(__file__).parents[2] / "data" / "volve"
OSLO = ProductionCalendar("Europe/Oslo", "00:00")
NOW = datetime(2013, 1, 1, tzinfo=UTC)
UNITS = {"on_stream_hours": "h", "oil_volume": "Sm3", "gas_volume": "Sm3", "injection_volume": "Sm3"}
COLUMNS = {
    "DATEPRD": "production_date",
    "WELL_BORE_CODE": "well_ec_code",
    "FLOW_KIND": "flow_kind",
    "ON_STREAM_HRS": "on_stream_hours",
    "BORE_OIL_VOL": "oil_volume",
    "BORE_GAS_VOL": "gas_volume",
    "BORE_WAT_VOL": "water_volume",
    "BORE_WI_VOL": "injection_volume",
}

pytestmark = pytest.mark.skipif(
    not (FOLDER / "energy_components" / "DV_VOLVE_DAY.parquet").is_file(),
    reason="the Volve slice is not part of this checkout (tests/data/volve)",
)


@pytest.fixture(scope="module")
def slice_rows() -> pl.DataFrame:
    return pl.read_parquet(FOLDER / "energy_components" / "DV_VOLVE_DAY.parquet").select(list(COLUMNS)).rename(COLUMNS)


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "oracle.json").read_text(encoding="utf-8")))


def run(rows: pl.DataFrame, labels: list[date], absent: AbsentDays, method: str, state: pl.DataFrame) -> WellDays:
    codes = rows["well_ec_code"].unique().sort()
    wells = pl.DataFrame({"well_ec_code": codes, "well_id": codes}).with_columns(
        pl.lit("volve").alias("facility_id"),
        pl.lit(date(1900, 1, 1)).alias("valid_from"),
        pl.lit(None, dtype=pl.Date).alias("valid_to"),
    )
    return daily_wells(
        rows, wells, OSLO, labels, mapped_units=UNITS, units=UnitTable(), absent_days=absent, methods=[method],
        state=state, now=NOW,
    )  # fmt: skip


def all_labels(rows: pl.DataFrame) -> list[date]:
    first, last = rows.select(pl.col("production_date").min(), pl.col("production_date").max().alias("last")).row(0)
    return list(pl.date_range(first, last, eager=True))


def losses(wells: pl.DataFrame) -> dict[str, float]:
    loss = (pl.col("down_hours") * pl.col("oil_potential_bblpd") / 24.0 / BBL_PER_SM3).sum()
    return dict(wells.filter("is_producer").group_by("well_id").agg(loss.alias("loss")).iter_rows())


@pytest.mark.parametrize(
    ("definition", "absent", "method"),
    [("D1", "unknown", "month_average"), ("D2", "unknown", "last_full_day"), ("D3", "down", "last_full_day")],
)
def test_downtime_loss_when_volve_then_equals_the_oracle(
    slice_rows: pl.DataFrame, oracle: dict[str, Any], definition: str, absent: AbsentDays, method: str
) -> None:
    result = run(slice_rows, all_labels(slice_rows), absent, method, carry_state.NO_STATE)
    found = losses(result.wells)
    expected = oracle["deferment_slice_only"][definition]
    assert found == pytest.approx(expected, rel=1e-6)
    assert sum(found.values()) == pytest.approx(oracle["deferment_slice_only"]["total"][definition], rel=1e-6)
    assert result.quarantined.is_empty()


def test_volumes_when_volve_then_totals_in_barrels_and_nine_long_days(
    slice_rows: pl.DataFrame, oracle: dict[str, Any]
) -> None:
    wells = run(slice_rows, all_labels(slice_rows), "unknown", "last_full_day", carry_state.NO_STATE).wells
    assert wells["oil_volume_bbl"].sum() == pytest.approx(oracle["oil_bbl"], rel=1e-8)
    assert wells.filter(pl.col("on_stream_hours") > 24).height == oracle["rows_hours_gt_24"]
    assert wells.filter(~pl.col("is_absent")).height == oracle["rows"]
    assert wells["is_absent"].sum() > 0


def test_downtime_loss_when_volve_comes_year_by_year_then_the_same(
    slice_rows: pl.DataFrame, oracle: dict[str, Any]
) -> None:
    state, parts = carry_state.NO_STATE, []
    labels = all_labels(slice_rows)
    for year in range(2007, 2013):
        part = [label for label in labels if label.year == year]
        known = slice_rows.filter(pl.col("production_date") >= part[0])
        result = run(known, part, "down", "last_full_day", carry_state.before(state, part[0]))
        parts.append(result.wells)
        state = result.state
    assert losses(pl.concat(parts)) == pytest.approx(oracle["deferment_slice_only"]["D3"], rel=1e-6)
