"""Lineage: the rows behind facts add up to the facts, and no row that the facts did not use stands among them."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import site as sites
from pipelines.transforms import lineage
from pipelines.transforms.lineage_capacity import capacity_limits
from pipelines.transforms.lineage_registers import capacity_rows, constant_rows, parcel_rows, target_rows
from pipelines.transforms.lineage_stock import stock_rows
from pipelines.transforms.roll_up_capacity import parent_capacities
from pipelines.transforms.units import UnitTable
from warehouse.catalog.tables import TABLES

DAY, BEFORE = date(2026, 11, 21), date(2026, 11, 20)
AT = datetime(2026, 11, 22, 5, tzinfo=UTC)
UNITS = UnitTable()
MAPPED = {"volume": "Sm3 | kSm3", "potential": "Sm3/d | kSm3/d", "oil_volume": "Sm3", "gas_volume": "kSm3"}
OIL, GAS = 6.289810770, 35314.666721


def frame(name: str, *rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of a catalogue table; what a row does not name is null."""
    dtypes = {n: column.dtype for n, column in TABLES[name].schema.columns().items()}
    return pl.DataFrame([{n: row.get(n) for n in dtypes} for row in rows], schema=dtypes, orient="row")


def production(*rows: tuple[str, str, str | None], hours: float = 24.0) -> pl.DataFrame:
    return frame(
        "core__daily_production",
        *(
            {"production_date": DAY, "facility_id": f, "network": n, "source": source, "day_hours": hours}
            for f, n, source in rows
        ),
    )


def networks(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [(f, n, True, True) for f, n in rows],
        schema=["facility_id", "network", "is_applicable", "counts_in_roll_up"],
        orient="row",
    )


def total(rows: pl.DataFrame, **where: Any) -> float | None:
    picked = rows.filter(*(pl.col(name) == value for name, value in where.items()))
    parts = (picked["value"] * picked["factor"]).drop_nulls()
    return parts.sum() if parts.len() else None


STREAMS = pl.DataFrame(
    [
        ("A_EXP", "fs-a", "oil", "production"),
        ("A_EXP2", "fs-a", "oil", "production"),
        ("A_TRK", "fs-a", "oil", "throughput"),
        ("A_FLR", "fs-a", "flaredGas", "flare"),
    ],
    schema=["stream_ec_code", "facility_id", "network", "role"],
    orient="row",
)


def test_streams_then_those_that_make_the_row_in_base_units_and_null_where_one_did_not_come() -> None:
    raw = frame(
        lineage.STREAM_DAY,
        {"production_date": DAY, "stream_ec_code": "A_EXP", "volume": 100.0, "rev_no": 3, "record_status": "V"},
        {"production_date": DAY, "stream_ec_code": "A_TRK", "volume": 900.0},
        {"production_date": DAY, "stream_ec_code": "A_FLR", "volume": 2.0},
    )
    facts = production(("fs-a", "oil", "ec"), ("fs-a", "flaredGas", "ec"))
    rows = lineage.stream_rows(facts, raw, STREAMS, MAPPED, UNITS)
    assert total(rows, network="oil") == pytest.approx(100 * OIL)
    assert total(rows, network="flaredGas") == pytest.approx(2 * GAS)
    oil = rows.filter(pl.col("network") == "oil").sort("source_key")
    assert oil.select("source_key", "value", "unit", "rev_no").rows() == [
        ("A_EXP", 100.0, "Sm3", 3),
        ("A_EXP2", None, "Sm3", None),
    ]


def test_streams_when_pi_stood_in_then_none_and_the_tags_of_the_first_measurement_instead() -> None:
    facts = production(("fs-a", "oil", "pi"), hours=23.0)
    raw = frame(lineage.STREAM_DAY, {"production_date": DAY, "stream_ec_code": "A_EXP", "volume": 100.0})
    assert lineage.stream_rows(facts, raw, STREAMS, MAPPED, UNITS).is_empty()
    reading = {
        "production_date": DAY,
        "facility_id": "fs-a",
        "network": "oil",
        "unit": "bbl/d",
        "last_good_at_utc": AT,
    }
    readings = frame(
        lineage.READING,
        {**reading, "tag_id": 1, "tag_name": "FQ1", "measurement": "rate", "time_weighted_mean": 2400.0},
        {**reading, "tag_id": 2, "tag_name": "FQ2", "measurement": "throughput_rate", "time_weighted_mean": 9e9},
    )
    tags = pl.DataFrame({"tag_id": [1, 2], "group": ["process", "process"]})
    rows = lineage.tag_rows(facts, readings, tags)
    assert rows.select("source_key", "lake_table", "sample_table").rows() == [
        ("FQ1", "core__daily_reading", "raw_pi__recorded_value")
    ]
    assert total(rows) == pytest.approx(2400 * 23 / 24)


def test_rejected_rows_then_they_are_left_out_as_often_as_they_were_rejected() -> None:
    row = {"production_date": DAY, "stream_ec_code": "A_EXP", "volume": 5.0}
    raw = frame(lineage.STREAM_DAY, row, row, {**row, "volume": 6.0})
    content = raw.select(pl.struct(pl.all()).struct.json_encode())["production_date"][0]
    rejected = {"production_date": DAY, "dataset": "stream_day", "raw": content}
    quarantine = frame("core__quarantine", rejected, {**rejected, "dataset": "well_day"})
    kept = lineage.accepted(raw, quarantine, "stream_day")
    assert sorted(kept["volume"]) == [5.0, 6.0]
    assert lineage.accepted(raw, quarantine.clear(), "stream_day").height == 3


def test_wells_then_raw_rows_of_producers_and_the_assumption_for_an_absent_one() -> None:
    wells = pl.DataFrame(
        {
            "well_ec_code": ["W1", "W2"],
            "well_id": ["w-1", "w-2"],
            "valid_from": [None, None],
            "valid_to": [None, None],
        },
        schema_overrides={"valid_from": pl.Date, "valid_to": pl.Date},
    )
    core = {"production_date": DAY, "facility_id": "fs-b", "is_producer": True}
    well_days = frame(
        lineage.WELL,
        {**core, "well_id": "w-1", "oil_volume_bbl": 10 * OIL, "gas_volume_scf": 3 * GAS},
        {**core, "well_id": "w-2", "oil_volume_bbl": 0.0, "gas_volume_scf": 0.0},
    )
    raw = frame(
        lineage.WELL_DAY,
        {
            "production_date": DAY,
            "well_ec_code": "W1",
            "flow_kind": "production",
            "oil_volume": 10.0,
            "gas_volume": 3.0,
        },
        {"production_date": DAY, "well_ec_code": "W1", "flow_kind": "injection", "oil_volume": 7.0},
    )
    facts = production(("fs-b", "oil", "ec"), ("fs-b", "exportGas", "ec"), ("fs-a", "oil", "ec"))
    served = networks(("fs-b", "oil"), ("fs-b", "exportGas"))
    rows = lineage.well_rows(facts, STREAMS, well_days, raw, wells, served, MAPPED, UNITS)
    assert total(rows, network="oil") == pytest.approx(10 * OIL)
    assert total(rows, network="exportGas") == pytest.approx(3 * GAS)
    assert rows.filter(network="oil").sort("source_key").select("source_key", "lake_table").rows() == [
        ("W1", "raw_energy_components__well_day"),
        ("w-2", "core__daily_well"),
    ]


def test_potential_when_it_was_carried_then_the_row_of_the_day_it_was_established_on() -> None:
    facilities = pl.DataFrame(
        {"facility_id": ["fs-a"], "ec_code": ["FS_A"], "valid_from": [None], "valid_to": [None]},
        schema_overrides={"valid_from": pl.Date, "valid_to": pl.Date},
    )
    known = {"production_date": DAY, "network": "oil", "as_of": BEFORE}
    potential = frame(
        "core__daily_potential",
        {**known, "facility_id": "fs-a", "potential": 50 * OIL, "basis": "ec"},
        {**known, "facility_id": "fs-b", "potential": 30.0, "basis": "last_full_day"},
        {**known, "facility_id": "fs-c", "potential": None, "basis": None},
    )
    stated = {"object_ec_code": "FS_A", "network": "oil"}
    raw = frame(
        lineage.POTENTIAL_DAY,
        {**stated, "production_date": BEFORE, "potential": 50.0},
        {**stated, "production_date": DAY, "potential": None},
    )
    well = {"production_date": BEFORE, "facility_id": "fs-b", "is_producer": True, "down_hours": 0.0}
    well_days = frame(
        lineage.WELL,
        {**well, "well_id": "w-1", "oil_potential_bblpd": 30.0},
        {**well, "well_id": "w-2", "oil_potential_bblpd": None},
        {**well, "well_id": "w-3", "oil_potential_bblpd": 99.0, "is_producer": False},
    )
    rows = lineage.potential_rows(potential, raw, facilities, well_days, networks(("fs-b", "oil")), MAPPED, UNITS)
    assert total(rows, facility_id="fs-a") == pytest.approx(50 * OIL)
    assert total(rows, facility_id="fs-b") == 30.0
    assert set(rows["source_date"]) == {BEFORE}
    assert rows.filter(facility_id="fs-b").height == 2


def test_full_uptime_days_then_each_days_own_rate_once() -> None:
    state = {"kind": lineage.FULL_DAY_STATE, "entity_id": "fs-a|exportGas"}
    rows = lineage.full_day_rows(
        frame(
            lineage.STATE,
            {**state, "production_date": DAY, "slot": 0, "value": 5.0, "as_of": DAY},
            {**state, "production_date": DAY, "slot": 1, "value": 4.0, "as_of": BEFORE},
            {**state, "production_date": BEFORE, "slot": 0, "value": 3.0, "as_of": date(2026, 11, 1)},
        )
    )
    assert rows.select("facility_id", "network", "value", "unit").rows() == [("fs-a", "exportGas", 5.0, "scf/d")]


@pytest.mark.parametrize(("source", "stock", "water"), [("pi", 700.0, 20.0), ("ec", 750.0, 20.0)])
def test_stock_then_the_source_that_the_day_used_and_water_of_the_closing_row(
    source: str, stock: float, water: float
) -> None:
    tags = pl.DataFrame(
        {
            "tag_id": [1, 2, 3],
            "facility_id": ["tm-x"] * 3,
            "measurement": ["stock", "stock", "water_volume"],
            "group": ["gauge"] * 3,
            "object_id": ["TK1", "TK2", "TK1"],
        }
    )
    reading = {"production_date": DAY, "facility_id": "tm-x", "unit": "bbl", "last_good_at_utc": AT}
    readings = frame(
        lineage.READING,
        {**reading, "tag_id": 1, "tag_name": "S1", "measurement": "stock", "last_value": 300.0},
        {**reading, "tag_id": 2, "tag_name": "S2", "measurement": "stock", "last_value": 400.0},
        {**reading, "tag_id": 3, "tag_name": "W1", "measurement": "water_volume", "last_value": 5.0},
    )
    tanks = frame(
        "raw_energy_components__tank_day",
        {"production_date": DAY, "tank_ec_code": "TM_X", "closing_volume": 750.0, "water_volume": 20.0},
        {"production_date": DAY, "tank_ec_code": "TK1", "closing_volume": 9.0},
    )
    terminals = pl.DataFrame({"facility_id": ["tm-x"], "storage_ec_code": ["TM_X"]})
    daily = frame("core__daily_terminal", {"production_date": DAY, "facility_id": "tm-x", "stock_source": source})
    rows = stock_rows(daily, readings, tags, tanks, terminals, {}, UNITS)
    assert total(rows, quantity="stock") == stock
    assert total(rows, quantity="water") == water
    dry = stock_rows(daily, readings, tags, tanks.with_columns(water_volume=None), terminals, {}, UNITS)
    assert total(dry, quantity="water") == 5.0


def test_targets_then_the_item_published_last_and_its_unit() -> None:
    item = {"network": "oil", "version": "v1", "valid_from": DAY, "unit": "kbbl/d", "status": "approved"}
    raw = frame(
        "raw_sharepoint__business_target",
        {**item, "item_id": "1", "node_code": "A-FS", "value": 40.0, "published_at_utc": AT.replace(day=1)},
        {**item, "item_id": "2", "node_code": "fs-a", "value": 42.0, "published_at_utc": AT},
        {**item, "item_id": "3", "node_code": "nowhere", "value": 1.0},
        {**item, "item_id": "4", "node_code": "fs-a", "version": "draft", "value": 1.0},
    )
    key = {"version": "v1", "node_id": "fs-a", "network": "oil", "valid_from": DAY}
    rows = target_rows(raw, frame("core__target", key), {"A-FS": "fs-a", "fs-a": "fs-a"}, UNITS)
    assert rows.select("source_key", "entity_id", "value", "factor").rows() == [("2", "fs-a", 42.0, 1000.0)]


def test_capacities_then_the_row_of_the_source_that_core_took() -> None:
    facilities = pl.DataFrame({"facility_id": ["fs-a"], "ec_code": ["FS_A"], "sharepoint_code": ["A-FS"]})
    core = {"facility_id": "fs-a", "valid_from": DAY}
    capacities = frame(
        "core__capacity",
        {**core, "network": "oil", "source": "ec"},
        {**core, "network": "flaredGas", "source": "sharepoint"},
    )
    ec = frame(
        "raw_energy_components__capacity",
        {"object_ec_code": "FS_A", "network": "oil", "valid_from": DAY, "capacity": 60_000.0},
    )
    item = {"facility_code": "A-FS", "valid_from": DAY, "unit": "MMscf/d"}
    register = frame(
        "raw_sharepoint__capacity_register",
        {**item, "item_id": "7", "network": "flaredGas", "capacity": 70.0},
        {**item, "item_id": "8", "network": "oil", "unit": "kbbl/d", "capacity": 61.0},
    )
    rows = capacity_rows(ec, register, capacities, facilities, {"capacity": "bbl/d | scf/d"}, UNITS)
    assert sorted(rows.select("source_key", "unit", "value", "factor").rows()) == [
        ("7", "MMscf/d", 70.0, 1e6),
        ("FS_A", "bbl/d", 60_000.0, 1.0),
    ]


def test_parcels_then_the_nomination_and_for_others_the_programme() -> None:
    ec = frame(
        "raw_energy_components__cargo",
        {"parcel_no": "P1", "cargo_name": "KUL-1", "nominated_volume": 950.0},
        {"parcel_no": "P2", "cargo_name": "KUL-2", "nominated_volume": None},
    )
    programme = frame(
        "raw_sharepoint__lifting_programme",
        {"cargo_id": "KUL-1", "parcel": 1.0, "unit": "kbbl"},
        {"cargo_id": "KUL-2", "parcel": 0.8, "unit": "kbbl"},
        {"cargo_id": "KUL-9", "parcel": 0.7, "unit": "kbbl"},
    )
    cargoes = frame("core__cargo", {"cargo_id": "P1"}, {"cargo_id": "P2"})
    rows = parcel_rows(ec, programme, cargoes, {}, UNITS).sort("entity_id")
    assert rows.select("entity_id", "source_key", "value", "factor").rows() == [
        ("P1", "P1", 950.0, 1.0),
        ("P2", "KUL-2", 0.8, 1000.0),
    ]


def test_constants_of_terminals_then_one_row_each_that_is_stated() -> None:
    terminals = pl.DataFrame(
        {
            "facility_id": ["tm-x"],
            "safe_fill_bbl": [100.0],
            "dead_stock_bbl": [10.0],
            "settling_hours": [30.0],
            "bsw_fraction": [None],
            "shrinkage_fraction": [0.01],
        },
        schema_overrides={"bsw_fraction": pl.Float64},
    )
    rows = constant_rows(terminals)
    assert dict(rows.select("quantity", "value").iter_rows()) == {
        "safeFill": 100.0,
        "deadStock": 10.0,
        "settlingHours": 30.0,
        "shrinkageFraction": 0.01,
    }


SANDBOX = sites.load("sandbox")


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(1e3, 1e6), min_size=4, max_size=4), st.floats(1e6, 5e8))
def test_cut_for_any_capacities_then_its_elements_sum_to_the_max_flow(oil: list[float], gas: float) -> None:
    stated = [("fs-akara-1", "oil", oil[0]), ("fs-bomiri", "oil", oil[1]), ("tm-kuloma", "oil", oil[2])]
    stated += [("fs-warike", "oil", oil[3]), ("gp-bomiri", "exportGas", gas), ("cs-akara", "domesticGas", gas / 3)]
    stated += [("cs-akara", "exportGas", gas / 3), ("fs-akara-1", "flaredGas", gas)]
    start = date(2020, 1, 1)
    rows = [{"facility_id": f, "network": n, "capacity": c, "valid_from": start, "source": "ec"} for f, n, c in stated]
    later = {**rows[0], "valid_from": DAY, "capacity": oil[0] / 2}
    capacities = frame("core__capacity", *rows, later)
    reference = {
        "facilities": SANDBOX.facilities,
        "facility_networks": SANDBOX.facility_networks,
        "edges": SANDBOX.edges,
        "externals": SANDBOX.externals,
        "capacities": capacities,
    }
    limits = capacity_limits(first=BEFORE, last=DAY, **reference)
    parents = parent_capacities(labels=[BEFORE, DAY], **reference).filter(pl.col("network") != "flaredGas")
    checked = 0
    for parent in parents.filter(pl.col("max_capacity") > 0).iter_rows(named=True):
        cut = limits.filter(
            pl.col("node_id") == parent["node_id"],
            pl.col("node_level") == parent["node_level"],
            pl.col("network") == parent["network"],
            pl.col("valid_from") <= parent["production_date"],
            pl.col("valid_to").is_null() | (parent["production_date"] < pl.col("valid_to")),
        )
        assert (cut["capacity"] * cut["weight"]).sum() == pytest.approx(parent["max_capacity"], rel=1e-9)
        checked += 1
    assert checked >= 10
