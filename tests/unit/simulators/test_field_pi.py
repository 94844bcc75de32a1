"""The field's historian: what its samples say must be what the field's truth says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import fastexcel
import numpy as np
import polars as pl
import pytest

from pipelines.simulators.field import generate

REFERENCE = Path(__file__).parents[3] / "pipelines" / "reference" / "sandbox"
NOW = datetime(2026, 11, 22, 9, 17, tzinfo=UTC)
LAST = date(2026, 11, 21)
DAYS = 4
FIRST_INSTANT = datetime(2026, 11, 18, 5, tzinfo=UTC)
BASE = {"kbbl/d": 1e3, "kbbl": 1e3, "MMscf/d": 1e6}
SM3 = {"oil": 6.289810770, "gas": 35.314666721}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("pi") / "data"
    generate(REFERENCE, data, now=NOW, history_days=60, pi_days=DAYS)
    return data


@pytest.fixture(scope="module")
def values(folder: Path) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(p) for p in sorted((folder / "pi" / "values").glob("*.parquet")))


@pytest.fixture(scope="module")
def tags() -> pl.DataFrame:
    return pl.read_csv(REFERENCE / "tags.csv")


def base_factor(unit: str, *, oil: bool) -> float:
    return SM3["oil" if oil else "gas"] if unit.startswith("Sm3") else BASE.get(unit, 1.0)


def time_weighted(samples: pl.DataFrame, start: datetime, end: datetime) -> float:
    """Mean over straight lines between good samples of one tag."""
    frame = samples.filter((pl.col("Timestamp") >= start) & (pl.col("Timestamp") <= end) & pl.col("Good"))
    seconds = frame["Timestamp"].dt.epoch("us").to_numpy() / 1e6
    return float(np.trapezoid(frame["Value"].to_numpy(), seconds) / (seconds[-1] - seconds[0]))


def test_tags_of_the_sandbox_are_about_240_with_sixty_each_minute(tags: pl.DataFrame, values: pl.DataFrame) -> None:
    day = values.filter(pl.col("Timestamp").is_between(FIRST_INSTANT, FIRST_INSTANT + timedelta(days=1), closed="left"))
    counts = dict(day.group_by("Name").len().group_by("len").agg(pl.len().alias("tags")).iter_rows())
    assert 220 <= tags.height <= 250
    assert counts == {1440: 60, 144: tags.height - 60 - 18, 24: 18}


def test_every_stored_value_belongs_to_a_listed_point_and_stands_in_order(folder: Path, tags: pl.DataFrame) -> None:
    points = pl.read_csv(folder / "pi" / "points.csv")
    assert points["Name"].to_list() == tags["tag_name"].to_list()
    assert points["Id"].is_unique().all()
    for path in (folder / "pi" / "values").glob("*.parquet"):
        frame = pl.read_parquet(path)
        assert frame.select("Name", "Timestamp").equals(frame.select("Name", "Timestamp").sort("Name", "Timestamp"))
        assert frame["Timestamp"].max() <= NOW
        assert set(frame["Name"].unique()) <= set(points["Name"])


def test_mean_of_every_day_with_enough_good_samples_is_within_half_a_percent_of_the_meter(
    folder: Path, values: pl.DataFrame, tags: pl.DataFrame
) -> None:
    streams = pl.read_parquet(folder / "truth" / "stream_day.parquet")
    bias = pl.read_parquet(folder / "truth" / "meter_bias.parquet")
    good = pl.read_parquet(folder / "truth" / "pi_day.parquet").filter(pl.col("good_fraction") >= 0.99)
    by_name = values.partition_by("Name", as_dict=True)
    checked = 0
    for tag in tags.filter(pl.col("object_id").is_in(streams["stream_ec_code"].to_list())).to_dicts():
        own = streams.filter(pl.col("stream_ec_code") == tag["object_id"])
        for row in good.filter(pl.col("tag_name") == tag["tag_name"]).to_dicts():
            day = row["production_date"]
            start = datetime(day.year, day.month, day.day, 5, tzinfo=UTC)
            mean = time_weighted(by_name[(tag["tag_name"],)], start, start + timedelta(days=1))
            rate = mean * base_factor(tag["unit"], oil=tag["network"] == "oil")
            true = own.row(by_predicate=pl.col("production_date") == day, named=True)["true_volume"]
            for episode in bias.filter(pl.col("meter") == tag["object_id"]).to_dicts():
                if episode["first_date"] <= day <= episode["last_date"]:
                    true *= 1.0 + episode["factor"]
            assert rate == pytest.approx(true, rel=5e-3, abs=5e-3 * max(true, 2e3)), (tag["tag_name"], day)
            assert row["mean_base"] == pytest.approx(rate, rel=1e-3, abs=2e3)
            checked += 1
    assert checked > 40 * DAYS * 0.9


def test_meter_that_stands_in_for_the_late_row_on_the_last_day_reads_the_truth(values: pl.DataFrame) -> None:
    own = values.filter(pl.col("Name") == "SOL.FQ101.OIL_EXP")
    start = datetime(2026, 11, 21, 5, tzinfo=UTC)
    day = own.filter(pl.col("Timestamp").is_between(start, start + timedelta(days=1)))
    assert day["Good"].all()
    assert time_weighted(own, start, start + timedelta(days=1)) == pytest.approx(19_600.0, rel=1e-5)


def test_bad_stretches_carry_system_states_on_about_two_percent_of_tag_days(folder: Path, values: pl.DataFrame) -> None:
    bad = values.filter(~pl.col("Good"))
    assert bad.height > 0
    assert bad["Value"].null_count() == bad.height
    assert set(bad["State"].unique()) <= {237, 246, 254, 255}
    assert values.filter(pl.col("Good"))["State"].null_count() == values.height - bad.height
    days = pl.read_parquet(folder / "truth" / "pi_day.parquet")
    assert 0.01 <= (days["good_fraction"] < 0.90).mean() <= 0.03
    # What the truth calls good must be what the samples show.
    worst = days.sort("good_fraction").row(0, named=True)
    day = worst["production_date"]
    start = datetime(day.year, day.month, day.day, 5, tzinfo=UTC)
    inside = values.filter(
        (pl.col("Name") == worst["tag_name"])
        & pl.col("Timestamp").is_between(start, start + timedelta(days=1), closed="left")
    )
    assert inside["Good"].mean() == pytest.approx(worst["good_fraction"], abs=0.01)


def test_compressor_of_the_tripped_station_stands_still_while_its_event_lasts(values: pl.DataFrame) -> None:
    run = values.filter((pl.col("Name") == "BOM.K201B.RUN") & pl.col("Good"))
    start = datetime(2026, 11, 21, 5, tzinfo=UTC)
    assert set(run.filter(pl.col("Timestamp") >= start)["Value"]) == {0.0}
    assert set(
        values.filter((pl.col("Name") == "BOM.K201A.RUN") & (pl.col("Timestamp") >= start) & pl.col("Good"))["Value"]
    ) == {1.0}


def test_gauges_of_a_terminal_sum_to_its_stock_over_the_whole_history(
    folder: Path, values: pl.DataFrame, tags: pl.DataFrame
) -> None:
    stocks = pl.read_parquet(folder / "truth" / "terminal_day.parquet")
    for terminal, rows in stocks.group_by("facility_id"):
        tanks = tags.filter((pl.col("facility_id") == terminal[0]) & (pl.col("measurement") == "stock"))
        factor = base_factor(tanks["unit"][0], oil=True)
        at_close = (
            values.filter(pl.col("Name").is_in(tanks["tag_name"].to_list()))
            .group_by("Timestamp")
            .agg((pl.col("Value").sum() * factor).alias("gauged"))
        )
        day = rows.with_columns(
            Timestamp=(
                pl.col("production_date").cast(pl.Datetime("us")) + pl.duration(days=1, hours=5)
            ).dt.replace_time_zone("UTC")
        ).join(at_close, on="Timestamp")
        assert day.height == 60
        assert ((day["gauged"] - day["closing_bbl"]).abs() / day["closing_bbl"]).max() < 1e-6


def test_running_day_has_samples_up_to_the_clock(values: pl.DataFrame) -> None:
    newest = values.filter(pl.col("Name") == "AK1.FQ101.OIL_EXP")["Timestamp"].max()
    assert newest == NOW


def test_workbooks_hold_a_title_row_and_dates_as_serials(folder: Path) -> None:
    drive = folder / "sharepoint" / "drive"
    programme = fastexcel.read_excel(drive / "Lifting" / "Lifting programme.xlsx").load_sheet("Programme", header_row=1)
    frame = programme.to_polars()
    assert frame.columns == ["Cargo", "Terminal", "Parcel", "Unit", "Laycan from", "Laycan to", "Status"]
    assert frame["Laycan from"].dtype in (pl.Date, pl.Datetime("ms"))
    assert set(frame["Terminal"]) == {"KUL-TM", "BEN-TM"}
    register = fastexcel.read_excel(drive / "Instrumentation" / "PI tag register.xlsx").load_sheet("Tags").to_polars()
    assert "BOM.K201B.RUN" in register["Tag"].to_list()


def test_targets_in_force_on_the_last_day_are_the_reference_targets(folder: Path) -> None:
    targets = pl.read_parquet(folder / "sharepoint" / "lists" / "Business targets.parquet")
    scale = pl.col("Unit").replace_strict({"bbl/d": 1.0, "kbbl/d": 1e3, "MMscf/d": 1e6})
    in_force = targets.filter(
        (pl.col("Status") == "approved")
        & (pl.col("Valid from") <= LAST)
        & (pl.col("Valid to").is_null() | (pl.col("Valid to") > LAST))
    ).with_columns(base=pl.col("Target") * scale)
    oil = dict(in_force.filter(pl.col("Network") == "oil").select("Node", "base").iter_rows())
    assert oil["BOM-FS"] == pytest.approx(34_000.0)
    assert sum(v for k, v in oil.items() if k.endswith("-FS")) == pytest.approx(203_000.0)
    assert oil["east"] == pytest.approx(122_500.0)
    assert in_force.filter(pl.col("Network") == "flaredGas").height == 14
    assert in_force.select("Node", "Network").is_unique().all()
    assert {"bbl/d", "kbbl/d", "MMscf/d"} == set(targets["Unit"])
