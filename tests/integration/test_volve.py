"""Volve's real daily figures through its replayed source, the whole pipeline and a release: volumes and downtime losses.

The losses D1, D2, D3 are what two engines agree on (oracle.json); each is a site's choice of potential and of absent days.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.integration.conftest import Loaded, load

DATA = Path(__file__).parents[1] / "data"
BBL_PER_SM3 = 6.289810770
OPERATORS = {
    "D1": str(DATA / "operators" / "volve-month-average"),
    "D2": "volve",
    "D3": "volve-absent-down",
}
TOTALS = (
    "SELECT sum(production_volume) AS volume FROM production_daily WHERE node_level = 'facility' AND network = 'oil'"
)
LOSSES = """
SELECT event_id, sum(volume_if_alone) AS alone FROM gap_driver_daily
WHERE network = 'oil' AND event_id LIKE 'ech:%' GROUP BY event_id
"""
WELLS = {"w-volve-f-12": "NO 15/9-F-12 H", "w-volve-f-14": "NO 15/9-F-14 H"}


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return dict(json.loads((DATA / "volve" / "oracle.json").read_text(encoding="utf-8")))


# The third has all that the other two have, and absent days beside.
@pytest.fixture(scope="module", params=[*(pytest.param(name, marks=pytest.mark.slow) for name in ("D1", "D2")), "D3"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Loaded]]:
    """An operator of the three, loaded once; the next one is loaded when this one's tests are done."""
    definition = str(request.param)
    for loaded in load(OPERATORS[definition], tmp_path_factory.mktemp(definition)):
        yield definition, loaded


@pytest.fixture(scope="module")
def wells(case: tuple[str, Loaded]) -> pl.DataFrame:
    lake = case[1].workspace.lake
    labels = lake.labels("core__daily_well")
    return lake.read("core__daily_well", labels[0], labels[-1])


def test_oil_when_volve_is_replayed_then_total_is_the_oracles(case: tuple[str, Loaded], oracle: dict[str, Any]) -> None:
    assert case[1].sql(TOTALS)["volume"].item() == pytest.approx(oracle["oil_bbl"], rel=1e-6)


def test_downtime_loss_when_volve_is_replayed_then_equals_the_definition(
    case: tuple[str, Loaded], oracle: dict[str, Any]
) -> None:
    definition, loaded = case
    losses = loaded.sql(LOSSES).with_columns(
        well=pl.col("event_id").str.split(":").list.get(1), loss=pl.col("alone") / BBL_PER_SM3
    )
    expected = oracle["deferment_slice_only"]
    found = {WELLS[w]: v for w, v in losses.group_by("well").agg(pl.col("loss").sum()).iter_rows()}
    assert found == pytest.approx(expected[definition], rel=1e-6)
    assert losses["loss"].sum() == pytest.approx(expected["total"][definition], rel=1e-6)


def test_hours_when_the_day_has_25_then_not_clipped_and_nothing_is_down(
    wells: pl.DataFrame, oracle: dict[str, Any]
) -> None:
    long_rows = wells.filter(pl.col("on_stream_hours") > 24.0)
    assert long_rows.height == oracle["rows_hours_gt_24"]
    assert set(long_rows["day_hours"]) == {25.0}
    full = long_rows.filter(pl.col("on_stream_hours") == 25.0)
    assert full.height > 0
    assert set(full["down_hours"]) == {0.0}


def test_absent_day_when_a_well_comes_back_then_flagged_and_as_the_operator_says(
    case: tuple[str, Loaded], wells: pl.DataFrame, oracle: dict[str, Any]
) -> None:
    definition, loaded = case
    absent = wells.filter("is_absent")
    assert wells.height - absent.height == oracle["rows"]
    assert absent.height > 100
    booked = loaded.sql(
        "SELECT event_id, confidence FROM event_daily WHERE source = 'ech' AND title LIKE '%without a row'"
    )
    if definition == "D3":
        assert (absent["down_hours"] == absent["day_hours"]).all()
        assert absent["oil_volume_bbl"].sum() == 0.0
        # Each absent day is one event, of less confidence than a day that was reported.
        assert booked.height == absent.height
        reported = loaded.sql(
            "SELECT max(confidence) AS c FROM event_daily WHERE source = 'ech' AND title NOT LIKE '%without a row'"
        )
        assert booked["confidence"].max() < reported["c"].item()
    else:
        assert absent["down_hours"].null_count() == absent.height
        assert absent["oil_volume_bbl"].null_count() == absent.height
        assert booked.is_empty()


def test_closure_when_volve_is_replayed_then_shares_and_residual_are_the_deferment(case: tuple[str, Loaded]) -> None:
    apart = case[1].sql("""
        SELECT p.production_date, p.network, any_value(p.deferment_volume) AS deferred, sum(d.volume) AS explained
        FROM production_daily p JOIN gap_driver_daily d
          ON d.production_date = p.production_date AND d.facility_id = p.node_id AND d.network = p.network
        WHERE p.node_level = 'facility' GROUP BY ALL
    """)
    assert apart.height > 3_000
    assert apart.filter(
        (pl.col("deferred") - pl.col("explained")).abs() > 1e-9 * pl.max_horizontal("deferred", pl.lit(1.0))
    ).is_empty()


def test_quarantine_when_volve_is_replayed_then_no_row_is_rejected(case: tuple[str, Loaded]) -> None:
    assert case[1].sql("SELECT count(*) AS n FROM quarantine")["n"].item() == 0
