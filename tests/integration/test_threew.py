"""Two real wells' recordings of three days through a PI server, the whole pipeline and a release; there is no other source."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from tests.data.threew.build_slice import long, recordings, write_archive
from tests.integration.conftest import Loaded, load

DATA = Path(__file__).parents[1] / "data"
INSTANCES = ("WELL-00001_20140124213136", "WELL-00002_20140126200050")
LABELS = [date(2014, 1, 24), date(2014, 1, 25), date(2014, 1, 26)]


@pytest.fixture(scope="module")
def threew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    root = tmp_path_factory.mktemp("threew")
    shutil.copytree(DATA / "operators" / "threew", root / "operator")
    write_archive(recordings(DATA / "threew", INSTANCES), root / "data" / "pi")
    yield from load(str(root / "operator"), root / "run")


@pytest.fixture(scope="module")
def readings(threew: Loaded) -> pl.DataFrame:
    return threew.workspace.lake.read("core__daily_reading", LABELS[0], LABELS[-1]).with_columns(
        stuck=pl.col("frozen_fraction") / pl.col("good_fraction")
    )


@pytest.fixture(scope="module")
def recorded() -> pl.DataFrame:
    return long(recordings(DATA / "threew", INSTANCES)).rename({"name": "tag_name"}).with_columns(
        production_date=pl.col("at").dt.date()
    )  # fmt: skip


def of(readings: pl.DataFrame, tag_name: str, label: date) -> dict[str, object]:
    return readings.row(
        by_predicate=(pl.col("tag_name") == tag_name) & (pl.col("production_date") == label), named=True
    )


def test_samples_when_read_from_pi_then_every_one_arrives(readings: pl.DataFrame, recorded: pl.DataFrame) -> None:
    sent = recorded.group_by("tag_name", "production_date").agg(pl.len().cast(pl.Int64).alias("sent"))
    joined = readings.join(sent, on=["tag_name", "production_date"], how="left").with_columns(
        pl.col("sent").fill_null(0)
    )
    assert joined.height == 16 * 3
    assert joined["sample_count"].to_list() == joined["sent"].to_list()


def test_mean_when_tag_is_null_throughout_then_null_not_zero(readings: pl.DataFrame) -> None:
    empty = readings.filter(pl.col("tag_name").str.ends_with("/T-JUS-CKGL"), pl.col("sample_count") > 0)
    assert empty.height == 3
    assert empty["time_weighted_mean"].to_list() == [None] * 3
    assert set(empty["quality"]) == {"bad"}


def test_mean_when_every_second_is_recorded_then_the_mean_of_neighbours(
    readings: pl.DataFrame, recorded: pl.DataFrame
) -> None:
    """One sample a second and no gap: straight lines give the trapezoids, and the last value is held for a minute."""
    series = recorded.filter(
        pl.col("tag_name") == "WELL-00002/T-TPT", pl.col("production_date") == LABELS[2]
    ).sort("at")["value"].to_numpy()  # fmt: skip
    area = (series[:-1] + series[1:]).sum() / 2 + 60.0 * series[-1]
    expected = area / (len(series) - 1 + 60.0)
    assert of(readings, "WELL-00002/T-TPT", LABELS[2])["time_weighted_mean"] == pytest.approx(expected, rel=1e-12)


def test_quality_when_transmitter_is_stuck_then_frozen_and_bad(readings: pl.DataFrame) -> None:
    stuck = [
        ("WELL-00001/P-PDG", LABELS[0], 0.0),
        ("WELL-00002/P-PDG", LABELS[2], 0.0),
        ("WELL-00002/T-JUS-CKP", LABELS[2], 173.0961),
    ]
    for tag_name, label, value in stuck:
        row = of(readings, tag_name, label)
        assert row["time_weighted_mean"] == pytest.approx(value)
        assert (row["stuck"], row["quality"]) == (pytest.approx(1.0), "bad")
    # A closed gas-lift valve measures zero and is at rest; a live pressure that stops for twenty minutes is stuck as long.
    assert of(readings, "WELL-00002/QGL", LABELS[2])["frozen_fraction"] == 0.0
    assert of(readings, "WELL-00002/P-TPT", LABELS[2])["stuck"] == pytest.approx(0.317, abs=0.005)
    assert of(readings, "WELL-00001/T-JUS-CKP", LABELS[0])["frozen_fraction"] == 0.0


def test_mean_when_absolute_pressure_is_below_zero_then_no_value(readings: pl.DataFrame) -> None:
    row = of(readings, "WELL-00001/P-JUS-CKGL", LABELS[0])
    assert row["sample_count"] == 8_904
    assert (row["time_weighted_mean"], row["good_fraction"], row["quality"]) == (None, 0.0, "bad")


def test_production_when_no_tag_measures_oil_then_missing_and_never_zero(threew: Loaded) -> None:
    rows = threew.sql("SELECT DISTINCT production, quality, coverage FROM production_daily WHERE network = 'oil'")
    assert rows["production"].to_list() == [None]
    assert rows["quality"].to_list() == ["missing"]


def test_quarantine_when_samples_are_impossible_then_a_row_a_tag_and_day_with_count_and_reason(threew: Loaded) -> None:
    rows = threew.sql("SELECT production_date, source, dataset, rule, reason, raw FROM quarantine ORDER BY ALL")
    assert rows["production_date"].to_list() == LABELS[:2]
    assert set(rows["rule"]) == {"impossible_value"}
    assert rows["raw"].str.json_path_match("$.tag_name").unique().to_list() == ["WELL-00001/P-JUS-CKGL"]
    assert rows["raw"].str.json_path_match("$.samples").to_list() == ["8904", "3601"]
    assert rows["reason"].str.contains("below vacuum").all()


def test_norms_when_days_are_read_then_carried_with_the_rest_of_the_state(threew: Loaded) -> None:
    state = threew.workspace.lake.read("core__carry_state", LABELS[0], LABELS[-1])
    carried = state.filter(pl.col("kind") == "tag_run_length")
    assert carried["production_date"].unique().sort().to_list() == LABELS
    # The live tags of both wells; the stuck ones, the missing one and the closed valve have no norm.
    assert carried["entity_id"].n_unique() == 8
