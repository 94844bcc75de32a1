"""Parents of facility rows: sums over the cut, coverage, words."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms.roll_up import SYSTEM, parent_rows
from warehouse.catalog.columns import NETWORKS
from warehouse.catalog.out import OutDailyProduction

DAY = date(2026, 11, 21)
TARGET_SCHEMA = {
    "production_date": pl.Date,
    "node_id": pl.String,
    "network": pl.String,
    "target": pl.Float64,
    "target_version": pl.String,
}
CAPACITY_SCHEMA = {
    "production_date": pl.Date,
    "node_level": pl.String,
    "node_id": pl.String,
    "network": pl.String,
    "max_capacity": pl.Float64,
}


def facility(node_id: str, p: float | None, q: float | None, **other: Any) -> dict[str, Any]:
    hours = other.get("day_hours", 24.0)
    b = other.pop("b", None)
    days = hours / 24.0
    known = p is not None and q is not None
    row = dict.fromkeys(OutDailyProduction.column_names())
    return (
        row
        | {
            "production_date": DAY,
            "node_level": "facility",
            "node_id": node_id,
            "network": "oil",
            "hub_id": "hub-a",
            "asset_id": "east",
            "counts_in_roll_up": True,
            "day_hours": hours,
            "potential_volume": None if p is None else p * days,
            "production_volume": None if q is None else q * days,
            "business_target_volume": None if b is None else b * days,
            "gap_volume": None if b is None or q is None else (b - q) * days,
            "deferment_volume": max(0.0, p - q) * days if known else None,
            "over_performance_volume": max(0.0, q - p) * days if known else None,
            "coverage": 0.0 if q is None else 1.0,
            "quality": "missing" if q is None else "good",
            "source": None if q is None else "ec",
            "record_status": None if q is None else "provisional",
            "potential_basis": None if p is None else "ec",
        }
        | other
    )


def parents(*facilities: dict[str, Any], targets: list[Any] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    schema = OutDailyProduction.create_empty().schema
    frame = pl.DataFrame(list(facilities), schema=schema, orient="row")
    table = parent_rows(
        frame,
        pl.DataFrame(targets or [], schema=TARGET_SCHEMA, orient="row"),
        pl.DataFrame([], schema=CAPACITY_SCHEMA, orient="row"),
    )
    OutDailyProduction.validate(table)
    return {(row["node_id"], row["network"]): row for row in table.iter_rows(named=True)}


def test_parent_rows_when_one_child_over_performs_then_deferment_is_the_childrens_sum() -> None:
    row = parents(facility("f1", 10.0, 6.0), facility("f2", 10.0, 13.0))["hub-a", "oil"]
    assert (row["deferment"], row["over_performance"]) == (4.0, 3.0)
    assert (row["potential"], row["production"]) == (20.0, 19.0)


def test_parent_rows_when_children_are_off_the_cut_then_they_never_add() -> None:
    found = parents(facility("f1", 10.0, 6.0), facility("tm", None, 6.0, hub_id=None, counts_in_roll_up=False))
    assert found["east", "oil"]["production"] == 6.0
    assert found[SYSTEM, "oil"]["coverage"] == 1.0


def test_parent_rows_when_a_child_is_missing_then_all_are_summed_over_the_present_ones() -> None:
    row = parents(facility("f1", 60.0, 50.0, b=55.0), facility("f2", 40.0, None, b=35.0))["hub-a", "oil"]
    assert (row["potential"], row["business_target"], row["production"], row["deferment"]) == (60.0, 55.0, 50.0, 10.0)
    assert (row["coverage"], row["quality"]) == (pytest.approx(0.6), "uncertain")


def test_parent_rows_when_coverage_is_below_half_then_nulls() -> None:
    row = parents(facility("f1", 49.0, 40.0), facility("f2", 51.0, None))["hub-a", "oil"]
    names = ("potential", "business_target", "production", "deferment", "over_performance", "gap", "source")
    assert [row[n] for n in names] == [None] * len(names)
    assert (row["coverage"], row["quality"]) == (pytest.approx(0.49), "missing")


def test_parent_rows_when_coverage_is_half_then_values_stand() -> None:
    assert parents(facility("f1", 50.0, 40.0), facility("f2", 50.0, None))["hub-a", "oil"]["production"] == 40.0


@pytest.mark.parametrize("rate", [0.0, None])
def test_parent_rows_when_potentials_are_zero_or_null_then_coverage_is_by_count(rate: float | None) -> None:
    row = parents(*(facility(f"f{i}", rate, None if i == 0 else 1.0) for i in range(4)))["hub-a", "oil"]
    assert row["coverage"] == pytest.approx(0.75)


def test_parent_rows_when_a_child_has_no_potential_yet_then_its_production_counts_and_quality_is_uncertain() -> None:
    row = parents(facility("f1", 10.0, 8.0), facility("f2", None, 5.0))["hub-a", "oil"]
    assert (row["production"], row["potential"], row["deferment"]) == (13.0, 10.0, 2.0)
    assert row["quality"] == "uncertain"


def test_parent_rows_when_no_facility_counts_then_zeros_not_applicable() -> None:
    row = parents(facility("f1", 10.0, 8.0, counts_in_roll_up=False, quality="notApplicable"))["hub-a", "oil"]
    assert (row["production"], row["deferment"], row["max_capacity"], row["quality"]) == (
        0.0,
        0.0,
        0.0,
        "notApplicable",
    )


def test_parent_rows_when_gas_is_flared_then_gap_sums_and_deferment_is_zero() -> None:
    flare = {"network": "flaredGas", "deferment_volume": 0.0, "over_performance_volume": 0.0}
    row = parents(
        facility("f1", None, 6.0, **flare, business_target_volume=2.0, gap_volume=4.0),
        facility("f2", None, 1.0, **flare, business_target_volume=3.0, gap_volume=-2.0),
    )["hub-a", "flaredGas"]
    assert (row["production"], row["gap"], row["deferment"], row["potential"]) == (7.0, 2.0, 0.0, None)
    assert row["quality"] == "good"


def test_parent_rows_when_a_parent_has_its_own_target_then_it_stands_beside_the_sum() -> None:
    own = (DAY, "hub-a", "oil", 21.0, "v3")
    row = parents(facility("f1", 10.0, 8.0, b=9.0), facility("f2", 10.0, 8.0, b=9.0), targets=[own])["hub-a", "oil"]
    assert (row["business_target"], row["published_target"]) == (18.0, 21.0)


def test_parent_rows_when_words_differ_then_worst_and_mixed() -> None:
    newest = datetime(2026, 11, 22, tzinfo=UTC)
    row = parents(
        facility("f1", 10.0, 8.0, record_status="approved", observed_at_utc=datetime(2026, 11, 21, tzinfo=UTC)),
        facility("f2", 10.0, 8.0, source="pi", record_status="estimated", quality="bad", observed_at_utc=newest),
    )["hub-a", "oil"]
    assert (row["source"], row["record_status"], row["quality"]) == ("mixed", "estimated", "bad")
    assert row["observed_at_utc"] == newest


def test_parent_rows_when_all_children_are_from_pi_then_the_lowest_good_fraction() -> None:
    row = parents(
        facility("f1", 10.0, 8.0, source="pi", good_fraction=0.97),
        facility("f2", 10.0, 8.0, source="pi", good_fraction=0.92),
    )["hub-a", "oil"]
    assert (row["source"], row["good_fraction"]) == ("pi", 0.92)


def test_parent_rows_when_day_lengths_differ_then_the_longest_and_volumes_sum() -> None:
    row = parents(facility("f1", 24.0, 24.0, day_hours=25.0), facility("f2", 24.0, 24.0))["hub-a", "oil"]
    assert row["day_hours"] == 25.0
    assert row["production_volume"] == pytest.approx(49.0)
    assert row["production"] == pytest.approx(49.0 / 25.0 * 24.0)


rate = st.floats(0.0, 1e5, allow_nan=False)


@st.composite
def fields(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [
        facility(
            f"f{i:02}",
            draw(st.one_of(st.none(), rate)),
            draw(st.one_of(st.none(), rate)),
            hub_id=draw(st.sampled_from(["hub-a", "hub-b", None])),
            asset_id=draw(st.sampled_from(["east", "west"])),
            network=draw(st.sampled_from(NETWORKS[:3])),
            counts_in_roll_up=draw(st.booleans()),
            day_hours=draw(st.sampled_from([23.0, 24.0, 25.0])),
        )
        for i in range(draw(st.integers(1, 8)))
    ]


@settings(max_examples=60, deadline=None)
@given(fields())
def test_parent_rows_when_any_field_then_the_system_is_the_sum_of_its_present_cut_facilities(
    rows: list[dict[str, Any]],
) -> None:
    found = parents(*rows)
    for network in {r["network"] for r in rows}:
        cut = [r for r in rows if r["network"] == network and r["counts_in_roll_up"]]
        present = [r for r in cut if r["production_volume"] is not None]
        system = found[SYSTEM, network]
        if not cut:
            assert system["quality"] == "notApplicable"
            continue
        if system["production_volume"] is None:
            assert system["coverage"] < 0.5
            continue
        assert 0.5 <= system["coverage"] <= 1.0
        for name in ("production_volume", "potential_volume", "deferment_volume", "over_performance_volume"):
            known = [r[name] for r in present if r[name] is not None]
            expected = pytest.approx(sum(known), rel=1e-9, abs=1e-9) if known else None
            assert system[name] == expected, name


@settings(max_examples=40, deadline=None)
@given(fields())
def test_parent_rows_when_the_order_of_rows_changes_then_bits_do_not(rows: list[dict[str, Any]]) -> None:
    assert parents(*rows) == parents(*reversed(rows))
