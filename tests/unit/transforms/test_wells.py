"""Wells: hours and downtime, producers and injectors, gaps, potentials; Volve's three definitions of loss."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms import carry_state
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitTable
from pipelines.transforms.wells import AbsentDays, WellDays, daily_wells
from warehouse.catalog.tables import TABLES

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
OSLO = ProductionCalendar("Europe/Oslo", "00:00")
D0 = date(2012, 5, 1)
RAW = TABLES["raw_energy_components__well_day"].schema

WELLS = pl.DataFrame(
    {
        "well_ec_code": ["A", "B"],
        "well_id": ["w-a", "w-b"],
        "facility_id": ["f", "f"],
        "valid_from": [date(1900, 1, 1)] * 2,
        "valid_to": [None, None],
    },
    schema_overrides={"valid_to": pl.Date},
)


def day(offset: int) -> date:
    return D0 + timedelta(days=offset)


def raw(*rows: dict[str, object]) -> pl.DataFrame:
    """Well rows; day offset `d`, well `w`, hours `h`, oil `oil`, gas `gas`, any other raw column by its name."""
    filled = [
        {
            "production_date": day(int(str(r.get("d", 0)))),
            "well_ec_code": r.get("w", "A"),
            "flow_kind": r.get("flow_kind", "production"),
            "on_stream_hours": r.get("h"),
            "oil_volume": r.get("oil"),
            "gas_volume": r.get("gas"),
            "water_volume": None,
            "injection_volume": r.get("injection"),
            "record_status": r.get("status", "P"),
            "source_updated_at_utc": r.get("updated"),
        }
        for r in rows
    ]
    return pl.DataFrame(filled, schema=pl.Schema(RAW))


def run(
    frame: pl.DataFrame,
    labels: list[date],
    *,
    absent: AbsentDays = "unknown",
    methods: tuple[str, ...] = ("last_full_day",),
    state: pl.DataFrame = carry_state.NO_STATE,
    tests: pl.DataFrame | None = None,
    units: dict[str, str] | None = None,
    calendar: ProductionCalendar = OSLO,
) -> WellDays:
    result = daily_wells(
        frame,
        WELLS,
        calendar,
        labels,
        mapped_units=units or {},
        units=UnitTable(),
        absent_days=absent,
        methods=methods,
        state=state,
        now=NOW,
        tests=tests,
    )
    TABLES["core__daily_well"].schema.validate(result.wells)
    TABLES["core__carry_state"].schema.validate(result.state)
    TABLES["core__quarantine"].schema.validate(result.quarantined)
    return result


def test_hours_when_null_then_down_all_day_and_when_25_hour_day_then_unclipped() -> None:
    label = date(2012, 10, 28)
    frame = raw({"h": 25.0, "oil": 50.0}, {"w": "B", "oil": 0.0}).with_columns(pl.lit(label).alias("production_date"))
    rows = run(frame, [label]).wells
    assert rows["day_hours"].to_list() == [25.0, 25.0]
    assert rows["on_stream_hours"].to_list() == [25.0, 0.0]
    assert rows["down_hours"].to_list() == [0.0, 25.0]
    assert rows["oil_potential_bblpd"].to_list() == [48.0, None]


def test_hours_when_above_the_day_then_clipped_to_it() -> None:
    row = run(raw({"h": 24.3, "oil": 24.0}), [D0]).wells.row(0, named=True)
    assert (row["on_stream_hours"], row["down_hours"]) == (24.0, 0.0)


@pytest.mark.parametrize(
    ("flow_kind", "injection", "oil", "is_producer"),
    [
        ("production", None, 1.0, True),
        ("PRODUCTION", 5.0, 0.0, True),
        ("injection", 5.0, None, False),
        (None, None, None, True),
        ("", 5.0, 0.0, False),
        (None, 5.0, 1.0, True),
    ],
)
def test_producer_when_flow_kind_or_only_injection_then_as_defined(
    flow_kind: str | None, injection: float | None, oil: float | None, is_producer: bool
) -> None:
    frame = raw({"flow_kind": flow_kind, "injection": injection, "oil": oil, "h": 24.0})
    row = run(frame, [D0]).wells.row(0, named=True)
    assert row["is_producer"] is is_producer
    if not is_producer:
        assert row["oil_volume_bbl"] is None
        assert row["oil_potential_bblpd"] is None


def test_rows_when_well_produces_and_injects_on_a_day_then_the_production_row() -> None:
    frame = raw(
        {"flow_kind": "injection", "injection": 9.0, "h": 10.0}, {"flow_kind": "production", "oil": 3.0, "h": 14.0}
    )
    rows = run(frame, [D0]).wells
    assert rows.height == 1
    assert rows.row(0, named=True)["oil_volume_bbl"] == 3.0


def test_last_full_day_when_later_days_are_short_then_carried_with_the_day_length() -> None:
    frame = raw(
        {"d": 0, "h": 12.0, "oil": 6.0},
        {"d": 1, "h": 23.995, "oil": 48.0, "gas": 480.0},
        {"d": 2, "h": 12.0, "oil": 24.0},
        {"d": 3, "h": 24.0, "oil": 0.0},
    )
    rows = run(frame, [day(i) for i in range(4)]).wells
    assert rows["oil_potential_bblpd"].to_list() == [None, 48.0, 48.0, 48.0]
    assert rows["gas_potential_scfpd"].to_list() == [None, 480.0, 480.0, 480.0]
    assert rows["potential_basis"].to_list() == [None, "last_full_day", "last_full_day", "last_full_day"]


def test_month_average_when_months_change_then_each_its_own() -> None:
    rows = [{"d": i, "h": 12.0, "oil": 10.0} for i in range(31)] + [{"d": 31, "h": 6.0, "oil": 30.0}]
    found = run(raw(*rows), [day(i) for i in range(32)], methods=("month_average",)).wells
    assert found["oil_potential_bblpd"][:31].to_list() == pytest.approx([20.0] * 31)
    assert found["oil_potential_bblpd"][31] == pytest.approx(120.0)


def test_well_test_when_first_in_order_then_wins_and_falls_back_before_it() -> None:
    tests = pl.DataFrame(
        {"production_date": [day(1)], "well_id": ["w-a"], "network": ["oil"], "rate": [77.0]},
    )
    frame = raw(*({"d": i, "h": 24.0, "oil": 50.0} for i in range(3)))
    rows = run(frame, [day(i) for i in range(3)], methods=("ec", "well_test", "last_full_day"), tests=tests).wells
    assert rows["oil_potential_bblpd"].to_list() == [50.0, 77.0, 77.0]
    assert rows["potential_basis"].to_list() == ["last_full_day", "well_test", "well_test"]


@pytest.mark.parametrize(("absent", "volume", "down"), [("unknown", None, None), ("down", 0.0, 24.0)])
def test_absent_when_a_day_lies_between_rows_then_flagged_by_the_setting(
    absent: AbsentDays, volume: float | None, down: float | None
) -> None:
    frame = raw(
        {"d": 0, "h": 24.0, "oil": 48.0}, {"d": 2, "h": 24.0, "oil": 48.0}, {"d": 0, "w": "B", "h": 24.0, "oil": 1.0}
    )
    rows = run(frame, [day(i) for i in range(4)], absent=absent).wells
    gap = rows.filter(pl.col("is_absent"))
    assert gap.select("production_date", "well_id").rows() == [(day(1), "w-a")]
    row = gap.row(0, named=True)
    assert (row["on_stream_hours"], row["oil_volume_bbl"], row["down_hours"]) == (None, volume, down)
    assert row["oil_potential_bblpd"] == 48.0


def test_absent_when_well_returns_after_the_range_then_range_knows_it_from_later_rows() -> None:
    frame = raw({"d": 0, "h": 24.0, "oil": 48.0}, {"d": 5, "h": 24.0, "oil": 48.0})
    rows = run(frame, [day(0), day(1)], absent="down").wells
    assert rows["is_absent"].to_list() == [False, True]
    assert rows["production_date"].to_list() == [day(0), day(1)]


def test_quarantine_when_rows_break_then_kept_with_rule_and_not_served() -> None:
    frame = raw(
        {"w": "Z", "h": 24.0, "oil": 1.0},
        {"w": "A", "h": 24.0, "oil": -1.0},
        {"w": "B", "h": -3.0, "oil": 1.0},
    )
    result = run(frame, [D0])
    assert result.wells.is_empty()
    assert sorted(result.quarantined["rule"]) == ["range", "range", "unknown_id"]


def test_quarantine_when_oil_jumps_thousandfold_then_unit_jump() -> None:
    frame = raw(*({"d": i, "h": 24.0, "oil": 100.0 if i != 7 else 100_000.0} for i in range(9)))
    result = run(frame, [day(i) for i in range(9)])
    assert result.quarantined.select("production_date", "rule").rows() == [(day(7), "unit_jump")]
    assert result.wells.filter(pl.col("production_date") == day(7))["is_absent"].to_list() == [True]


def test_wells_when_well_moves_to_another_facility_then_by_validity() -> None:
    moved = pl.concat(
        [
            WELLS.head(1).with_columns(pl.lit(day(1)).alias("valid_to")),
            WELLS.head(1).with_columns(pl.lit("g").alias("facility_id"), pl.lit(day(1)).alias("valid_from")),
        ]
    )
    frame = raw({"d": 0, "h": 24.0, "oil": 1.0}, {"d": 1, "h": 24.0, "oil": 1.0})
    result = daily_wells(
        frame, moved, OSLO, [day(0), day(1)], mapped_units={}, units=UnitTable(), absent_days="unknown",
        methods=[], state=carry_state.NO_STATE, now=NOW,
    )  # fmt: skip
    assert result.wells["facility_id"].to_list() == ["f", "g"]


def test_wells_when_no_row_at_all_then_empty_and_state_carried() -> None:
    first = run(raw({"h": 24.0, "oil": 48.0}), [D0])
    second = run(raw(), [day(1)], state=first.state)
    assert second.wells.is_empty()
    kept = carry_state.of_kind(second.state, "well_oil_last_full_day")
    assert kept.select("value", "as_of").rows() == [(48.0, D0)]


ROWS = st.lists(
    st.none() | st.tuples(st.sampled_from([0.0, 12.0, 24.0]), st.sampled_from([0.0, 40.0, 70.0])),
    min_size=14,
    max_size=14,
)


@settings(max_examples=12, deadline=None)
@given(ROWS, st.integers(1, 13), st.sampled_from(["unknown", "down"]))
def test_range_when_split_anywhere_then_same_rows_and_state(
    rows: list[tuple[float, float] | None], cut: int, absent: AbsentDays
) -> None:
    frame = raw(*({"d": i, "h": r[0], "oil": r[1]} for i, r in enumerate(rows) if r is not None))
    labels = [day(i) for i in range(14)]
    methods = ("last_full_day",)
    whole = run(frame, labels, absent=absent, methods=methods)
    left = run(frame, labels[:cut], absent=absent, methods=methods)
    right = run(frame, labels[cut:], absent=absent, methods=methods, state=carry_state.before(left.state, labels[cut]))
    assert pl.concat([left.wells, right.wells]).equals(whole.wells)
    assert pl.concat([left.state, right.state]).sort(carry_state.KEY).equals(whole.state)


def test_month_state_when_range_ends_within_a_month_then_next_range_has_the_whole_month() -> None:
    frame = raw(*({"d": i, "h": 10.0 + i, "oil": 5.0 * i} for i in range(10)))
    labels = [day(i) for i in range(10)]
    whole = run(frame, labels, methods=("month_average",))
    left = run(frame, labels[:4], methods=("month_average",))
    right = run(frame, labels[4:], methods=("month_average",), state=carry_state.before(left.state, labels[4]))
    assert right.wells["oil_potential_bblpd"].to_list() == pytest.approx(
        whole.wells["oil_potential_bblpd"].to_list()[4:]
    )
