"""Potential: the operator's chain, what is carried and marked stale, P75 of full days, and a potential overtaken by production."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from pipelines.transforms import carry_state
from pipelines.transforms.potential import (
    WINDOW_DAYS,
    Potentials,
    StatedPotentials,
    daily_potentials,
    stated_potentials,
)
from pipelines.transforms.units import UnitTable
from warehouse.catalog.tables import TABLES

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
D0 = date(2026, 1, 1)
ALWAYS = {"valid_from": date(1900, 1, 1), "valid_to": None}
FACILITIES = pl.DataFrame(
    [{"facility_id": "fs", "ec_code": "FS"} | ALWAYS, {"facility_id": "tm", "ec_code": "TM"} | ALWAYS],
    schema_overrides={"valid_to": pl.Date},
)
WELLS = pl.DataFrame(
    [{"well_ec_code": "W1", "well_id": "w1", "facility_id": "fs"} | ALWAYS], schema_overrides={"valid_to": pl.Date}
)
NETWORKS = pl.DataFrame(
    [
        ("fs", "oil", True, True),
        ("fs", "exportGas", True, True),
        ("fs", "domesticGas", False, False),
        ("fs", "flaredGas", True, True),
        ("tm", "oil", True, False),
    ],
    schema=["facility_id", "network", "is_applicable", "counts_in_roll_up"],
    orient="row",
)
RAW_SCHEMA = pl.Schema(TABLES["raw_energy_components__potential_day"].schema)


def day(offset: int) -> date:
    return D0 + timedelta(days=offset)


def raw(*rows: tuple[int, str, str, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [(day(d), code, network, rate, NOW) for d, code, network, rate in rows], schema=RAW_SCHEMA, orient="row"
    )


def state_potentials(frame: pl.DataFrame | None, labels: list[date], unit: str = "bbl/d | scf/d") -> StatedPotentials:
    return stated_potentials(
        frame, FACILITIES, WELLS, labels, mapped_units={"potential": unit}, units=UnitTable(), now=NOW
    )


def production(*rows: tuple[int, float | None], quality: str = "good") -> pl.DataFrame:
    return pl.DataFrame(
        [(day(d), "fs", "oil", 24.0, v, "missing" if v is None else quality, 1.0) for d, v in rows],
        schema={
            "production_date": pl.Date,
            "facility_id": pl.String,
            "network": pl.String,
            "day_hours": pl.Float64,
            "volume": pl.Float64,
            "quality": pl.String,
            "coverage": pl.Float64,
        },
        orient="row",
    )


def wells(*rows: tuple[int, str, float | None, float | None]) -> pl.DataFrame:
    """day, well, oil potential, down hours (null: its day is unknown)."""
    basis = "last_full_day"
    filled = [
        (day(d), w, "fs", True, down, p, None if p is None else 10 * p, None if p is None else basis)
        for d, w, p, down in rows
    ]
    return pl.DataFrame(
        filled,
        schema={
            "production_date": pl.Date,
            "well_id": pl.String,
            "facility_id": pl.String,
            "is_producer": pl.Boolean,
            "down_hours": pl.Float64,
            "oil_potential_bblpd": pl.Float64,
            "gas_potential_scfpd": pl.Float64,
            "potential_basis": pl.String,
        },
        orient="row",
    )  # fmt: skip


def run(
    labels: list[date],
    methods: list[str],
    *,
    ec: pl.DataFrame | None = None,
    well_days: pl.DataFrame | None = None,
    produced: pl.DataFrame | None = None,
    targets: pl.DataFrame | None = None,
    capacities: pl.DataFrame | None = None,
    state: pl.DataFrame = carry_state.NO_STATE,
    disturbed: pl.DataFrame | None = None,
    sigmas: pl.DataFrame | None = None,
) -> Potentials:
    result = daily_potentials(
        state_potentials(ec, labels), well_days, produced if produced is not None else production(), targets, capacities,
        FACILITIES, NETWORKS, labels, methods=methods, state=state, disturbed=disturbed, sigmas=sigmas,
    )  # fmt: skip
    TABLES["core__daily_potential"].schema.validate(result.potential)
    TABLES["core__carry_state"].schema.validate(result.state)
    return result


def oil(result: Potentials) -> list[tuple[object, ...]]:
    rows = result.potential.filter(pl.col("network") == "oil").sort("production_date")
    return rows.select("potential", "basis", "as_of", "quality").rows()


def test_rows_when_nothing_is_known_then_null_for_cut_networks_only() -> None:
    result = run([D0], ["ec", "target"])
    assert result.potential.select("facility_id", "network").rows() == [("fs", "exportGas"), ("fs", "oil")]
    assert result.potential["potential"].null_count() == 2
    assert set(result.potential["quality"]) == {"missing"}


def test_rows_when_no_method_is_stated_then_missing() -> None:
    assert set(run([D0], []).potential["quality"]) == {"missing"}


def test_ec_when_day_has_no_row_then_carried_with_its_date_and_stale() -> None:
    result = run([day(0), day(1), day(2)], ["ec"], ec=raw((0, "FS", "oil", 100.0), (2, "FS", "oil", 90.0)))
    assert oil(result) == [
        (100.0, "ec", day(0), "good"),
        (100.0, "ec", day(0), "stale"),
        (90.0, "ec", day(2), "good"),
    ]


def test_ec_when_range_begins_later_then_state_carries_it() -> None:
    first = run([D0], ["ec"], ec=raw((0, "FS", "oil", 100.0)))
    second = run([day(1)], ["ec"], state=carry_state.before(first.state, day(1)))
    assert oil(second) == [(100.0, "ec", day(0), "stale")]


def test_stated_when_objects_mix_then_facilities_and_well_tests_apart_and_rest_quarantined() -> None:
    frame = raw(
        (0, "FS", "oil", 1.0),
        (0, "W1", "oil", 2.0),
        (0, "XX", "oil", 3.0),
        (0, "FS", "flaredGas", 4.0),
        (0, "FS", "exportGas", -5.0),
        (0, "FS", "domesticGas", None),
    )
    found = state_potentials(frame, [D0], unit="Sm3/d")
    assert found.facilities.select("facility_id", "network", "rate").rows() == [("fs", "oil", 6.289810770)]
    assert found.wells.select("well_id", "rate").rows() == [("w1", 2 * 6.289810770)]
    assert sorted(found.quarantined["rule"]) == ["range", "unknown_id", "vocabulary"]


def test_wells_when_summed_then_basis_is_their_method_and_gas_goes_to_the_only_sales_network() -> None:
    result = run([D0], ["ec", "last_full_day"], well_days=wells((0, "a", 10.0, 0.0), (0, "b", 5.0, 24.0)))
    assert oil(result) == [(15.0, "last_full_day", D0, "good")]
    gas = result.potential.filter(pl.col("network") == "exportGas")
    assert gas["potential"].to_list() == [150.0]


def test_wells_when_one_has_no_potential_yet_then_uncertain_and_null_if_none_has() -> None:
    result = run(
        [day(0), day(1)],
        ["last_full_day"],
        well_days=wells((0, "a", None, 3.0), (1, "a", 10.0, 0.0), (1, "b", None, 3.0)),
    )
    assert oil(result) == [(None, None, None, "missing"), (10.0, "last_full_day", day(1), "uncertain")]


def test_wells_when_the_day_of_one_is_unknown_then_it_is_left_out_of_the_sum() -> None:
    result = run([D0], ["last_full_day"], well_days=wells((0, "a", 10.0, 0.0), (0, "b", 7.0, None)))
    assert oil(result) == [(10.0, "last_full_day", D0, "good")]


def test_chain_when_first_method_has_a_value_then_it_wins_though_another_is_fresher() -> None:
    result = run(
        [day(0), day(1)],
        ["ec", "last_full_day"],
        ec=raw((0, "FS", "oil", 100.0)),
        well_days=wells((1, "a", 10.0, 0.0)),
    )
    assert [row[1] for row in oil(result)] == ["ec", "ec"]


def full_days(*values: float) -> pl.DataFrame:
    return production(*enumerate(values))


def test_p75_when_fewer_than_five_full_days_then_next_method_and_then_the_quartile() -> None:
    labels = [day(i) for i in range(6)]
    result = run(labels, ["p75_full_days"], produced=full_days(10, 20, 30, 40, 50, 60))
    assert [row[0] for row in oil(result)] == [None] * 4 + [40.0, 47.5]


def test_p75_when_days_are_not_full_then_left_out() -> None:
    labels = [day(i) for i in range(8)]
    produced = full_days(10, 20, 30, 40, 50, 900, 900, 0)
    short = wells((5, "a", 1.0, 2.0), *((i, "a", 1.0, 0.0) for i in (0, 1, 2, 3, 4, 6, 7)))
    disturbed = pl.DataFrame({"facility_id": ["fs"], "production_date": [day(6)]})
    result = run(labels, ["p75_full_days"], produced=produced, well_days=short, disturbed=disturbed)
    assert [row[0] for row in oil(result)][4:] == [40.0] * 4


def test_p75_when_range_is_split_then_window_crosses_it() -> None:
    values = [float((7 * i) % 31 + 50) for i in range(50)]
    labels = [day(i) for i in range(50)]
    whole = run(labels, ["p75_full_days"], produced=full_days(*values))
    left = run(labels[:37], ["p75_full_days"], produced=production(*list(enumerate(values))[:37]))
    state = carry_state.before(left.state, labels[37])
    right = run(labels[37:], ["p75_full_days"], produced=production(*list(enumerate(values))[37:]), state=state)
    assert oil(left) + oil(right) == oil(whole)
    window = carry_state.of_kind(carry_state.at(whole.state, labels[-1]), "full_day_rate")
    assert window.height == WINDOW_DAYS
    assert carry_state.at(right.state, labels[-1]).equals(carry_state.at(whole.state, labels[-1]))


def test_nameplate_and_target_when_in_force_then_used_in_order() -> None:
    capacities = pl.DataFrame(
        [
            ("fs", "oil", day(0), day(2), 300.0, "sharepoint"),
            ("fs", "oil", day(1), day(2), 250.0, "ec"),
        ],
        schema=["facility_id", "network", "valid_from", "valid_to", "capacity", "source"],
        orient="row",
    )
    targets = pl.DataFrame(
        [
            ("V1", "fs", "oil", day(0), None, 200.0, NOW - timedelta(days=9), True),
            ("V2", "fs", "oil", day(0), None, 210.0, NOW, True),
            ("V3", "fs", "oil", day(0), None, 999.0, NOW, False),
        ],
        schema={
            "version": pl.String,
            "node_id": pl.String,
            "network": pl.String,
            "valid_from": pl.Date,
            "valid_to": pl.Date,
            "value": pl.Float64,
            "published_at_utc": pl.Datetime("us", "UTC"),
            "is_approved": pl.Boolean,
        },
        orient="row",
    )
    labels = [day(0), day(1), day(2)]
    plate = run(labels, ["nameplate", "target"], capacities=capacities, targets=targets)
    assert [row[0] for row in oil(plate)] == [300.0, 250.0, 250.0]
    assert oil(plate)[2][3] == "stale"
    assert [row[:2] for row in oil(run(labels, ["target"], targets=targets))] == [(210.0, "target")] * 3


@pytest.mark.parametrize(("produced", "word"), [(102.9, "good"), (103.2, "uncertain"), (None, "good")])
def test_quality_when_production_is_over_potential_by_three_sigma_then_uncertain_and_kept(
    produced: float | None, word: str
) -> None:
    sigmas = pl.DataFrame({"facility_id": ["fs"], "network": ["oil"], "sigma_fraction": [0.01]})
    result = run([D0], ["ec"], ec=raw((0, "FS", "oil", 100.0)), produced=production((0, produced)), sigmas=sigmas)
    assert oil(result) == [(100.0, "ec", D0, word)]


def test_methods_when_unknown_then_error_lists_known() -> None:
    with pytest.raises(ValueError, match=r"guess are unknown; known are ec, well_test"):
        run([D0], ["guess"])
