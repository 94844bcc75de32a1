"""Four real gas plants through their replayed source, the whole pipeline and a release: shortfall, planned loss, residual.

The sums are those of oracle.json, in TJ: the operator's factor makes 1 TJ of 1e6 scf, so that they come back exactly.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.data.aemo import build_slice
from tests.integration.conftest import Loaded, load

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "real"
SCF_PER_TJ = 1e6
PLANT_DAYS = f"""
WITH shares AS (
  SELECT production_date, facility_id, sum(volume) / {SCF_PER_TJ} AS planned,
    sum(volume_if_alone) / {SCF_PER_TJ} AS alone
  FROM gap_driver_daily WHERE event_id <> 'unattributed' AND network = 'domesticGas' GROUP BY ALL
), rest AS (
  SELECT production_date, facility_id, volume / {SCF_PER_TJ} AS unattributed
  FROM gap_driver_daily WHERE event_id = 'unattributed' AND network = 'domesticGas'
)
SELECT p.production_date, f.name AS plant, p.deferment_volume / {SCF_PER_TJ} AS deferred,
  coalesce(s.planned, 0) AS planned, coalesce(s.alone, 0) AS alone, r.unattributed
FROM production_daily p
JOIN facility f ON f.facility_id = p.node_id
JOIN rest r ON r.production_date = p.production_date AND r.facility_id = p.node_id
LEFT JOIN shares s ON s.production_date = p.production_date AND s.facility_id = p.node_id
WHERE p.node_level = 'facility' AND p.network = 'domesticGas'
"""


@pytest.fixture(scope="module")
def aemo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    yield from load(str(DATA / "operators" / "aemo"), tmp_path_factory.mktemp("aemo"))


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return dict(json.loads((DATA / "aemo" / "oracle.json").read_text(encoding="utf-8"))["attribution"])


@pytest.fixture(scope="module")
def plant_days(aemo: Loaded) -> pl.DataFrame:
    return aemo.sql(PLANT_DAYS)


@pytest.fixture(scope="module")
def by_plant(plant_days: pl.DataFrame) -> dict[str, dict[str, float]]:
    sums = plant_days.group_by("plant").agg(
        pl.len().alias("days"),
        pl.col("deferred").sum().alias("shortfall"),
        pl.col("planned").sum().alias("planned_capacity_loss"),
        pl.min_horizontal("deferred", "planned").sum().alias("attributed_planned"),
        pl.col("unattributed").clip(0.0).sum().alias("unattributed"),
        pl.col("alone").sum().alias("naive_sum_of_overlaps"),
    )
    return {row.pop("plant"): row for row in sums.iter_rows(named=True)}


def test_sums_when_plants_are_replayed_then_equal_the_oracle_plant_by_plant(
    by_plant: dict[str, dict[str, float]], oracle: dict[str, Any]
) -> None:
    expected = {row["plant"]: {k: v for k, v in row.items() if k != "plant"} for row in oracle["by_plant"]}
    assert by_plant.keys() == expected.keys()
    for plant, sums in expected.items():
        assert by_plant[plant] == pytest.approx(sums, rel=1e-6, abs=0.01), plant


def test_totals_when_plants_are_replayed_then_equal_the_oracle(
    by_plant: dict[str, dict[str, float]], oracle: dict[str, Any]
) -> None:
    for name, value in oracle["total"].items():
        assert sum(row[name] for row in by_plant.values()) == pytest.approx(value, rel=1e-6), name


def test_overlap_when_two_outlooks_cover_a_day_then_the_larger_loss_counts_once(aemo: Loaded) -> None:
    """2016-11-21 to 27: 125 and 120 TJ remain of 205; 85 TJ are lost, not 165."""
    rows = aemo.sql(f"""
        SELECT d.production_date, e.title, d.volume / {SCF_PER_TJ} AS share, d.volume_if_alone / {SCF_PER_TJ} AS alone,
          d.gain_if_fixed / {SCF_PER_TJ} AS gain, d.is_planned, d.choke
        FROM gap_driver_daily d JOIN event_daily e USING (production_date, event_id)
        WHERE d.facility_id = 'plant-otway' AND d.production_date BETWEEN '2016-11-21' AND '2016-11-27'
        ORDER BY d.production_date, alone
    """)
    days = rows.group_by("production_date", maintain_order=True).agg(pl.col("share", "alone", "gain"))
    assert days.height == 7
    for _, share, alone, gain in days.iter_rows():
        assert alone == pytest.approx([80.0, 85.0])
        # Fixing the smaller one gains nothing; the larger one, what it takes beyond the smaller.
        assert gain == pytest.approx([0.0, 5.0])
        assert share == pytest.approx([40.0, 45.0])
    assert set(rows["is_planned"]) == {True}
    assert set(rows["choke"]) == {"plant"}


def test_overbooking_when_a_plant_delivers_more_than_its_outlook_then_residual_is_negative(
    plant_days: pl.DataFrame,
) -> None:
    over = plant_days.filter(pl.col("planned") > pl.col("deferred") + 1e-9)
    assert over.height > 0
    assert (over["unattributed"] < 0).all()
    assert (
        plant_days.select((pl.col("planned") + pl.col("unattributed") - pl.col("deferred")).abs().max()).item() < 1e-6
    )


def test_potential_when_capacity_changes_then_the_one_in_force_that_day(aemo: Loaded) -> None:
    rows = aemo.sql(f"""
        SELECT production_date, potential / {SCF_PER_TJ} AS tj, potential_basis, day_hours FROM production_daily
        WHERE node_level = 'facility' AND node_id = 'plant-longford' AND network = 'domesticGas' ORDER BY production_date
    """)
    assert set(rows["potential_basis"]) == {"nameplate"}
    assert set(rows["day_hours"]) == {24.0}
    steps = rows.filter(pl.col("tj") != pl.col("tj").shift(1)).select("production_date", "tj").rows()
    assert steps == [(date(2017, 4, 5), 1115.0)]


def test_sources_when_plants_are_replayed_then_fresh_and_nothing_is_rejected(aemo: Loaded) -> None:
    assert aemo.sql("SELECT count(*) AS n FROM quarantine")["n"].item() == 0
    assert aemo.sql("SELECT count(DISTINCT production_date) AS n FROM production_daily")["n"].item() == 361


def test_slice_when_the_whole_set_is_at_hand_then_it_is_what_the_script_makes(tmp_path: Path) -> None:
    if not (SHARED / "aemo_actual_flows.parquet").is_file():
        pytest.skip(f"the whole AEMO set is not at {SHARED}")
    build_slice.main(SHARED, tmp_path)
    for made in tmp_path.rglob("*.parquet"):
        committed = DATA / "aemo" / made.relative_to(tmp_path)
        assert pl.read_parquet(committed).equals(pl.read_parquet(made)), made.name
    assert json.loads((tmp_path / "oracle.json").read_text()) == json.loads((DATA / "aemo" / "oracle.json").read_text())
