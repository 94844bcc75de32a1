"""Time-weighted daily means of PI tags: boundary split, hold limit, bad values, linear and step weighing, units."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms import readings as module
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.readings import ReadingError, daily_readings
from pipelines.transforms.readings_frozen import FROZEN_SAMPLES
from pipelines.transforms.units import UnitTable
from warehouse.catalog.tables import TABLES

CALENDAR = ProductionCalendar("Africa/Lagos", "06:00")
DAY = date(2026, 11, 20)
START = datetime(2026, 11, 20, 5, tzinfo=UTC)
HOUR = 3600.0

Sample = tuple[float, float | None] | tuple[float, float | None, bool]


def tag(tag_id: int = 1, **changes: object) -> dict[str, object]:
    return {
        "tag_id": tag_id,
        "tag_name": f"T{tag_id}",
        "facility_id": "f",
        "network": "oil",
        "measurement": "rate",
        "unit": "bbl/d",
        "is_step": True,
        "hold_limit_seconds": 24 * HOUR,
    } | changes


def samples(hours: list[Sample], tag_id: int = 1, label: date = DAY) -> pl.DataFrame:
    """Samples as (hours after the start of the day of DAY, value, is_good)."""
    return pl.DataFrame(
        [
            (label, tag_id, START + timedelta(hours=s[0]), s[1], s[2] if len(s) == 3 else s[1] is not None)
            for s in hours
        ],
        schema={
            "production_date": pl.Date,
            "tag_id": pl.UInt32,
            "observed_at_utc": pl.Datetime("us", "UTC"),
            "value": pl.Float64,
            "is_good": pl.Boolean,
        },
        orient="row",
    )


def read(frame: pl.DataFrame, *tags: dict[str, object], labels: list[date] | None = None) -> pl.DataFrame:
    described = pl.DataFrame(list(tags) or [tag()], infer_schema_length=None)
    result = daily_readings(frame, described, CALENDAR, labels or [DAY], UnitTable())
    TABLES["core__daily_reading"].schema.validate(result)
    return result


def one(hours: list[Sample], **changes: object) -> dict[str, object]:
    return read(samples(hours), tag(**changes)).row(0, named=True)


def test_mean_when_value_steps_then_weighted_by_time() -> None:
    row = one([(0, 10.0), (6, 30.0)])
    assert row["time_weighted_mean"] == pytest.approx((10 * 6 + 30 * 18) / 24)
    assert row["good_fraction"] == 1.0
    assert row["quality"] == "good"
    assert row["sample_count"] == 2


def test_mean_when_boundary_sample_precedes_the_day_then_it_counts_from_the_start() -> None:
    row = one([(-2, 10.0), (6, 30.0)])
    assert row["time_weighted_mean"] == pytest.approx((10 * 6 + 30 * 18) / 24)
    assert row["sample_count"] == 1


def test_mean_when_hold_limit_ends_before_next_sample_then_rest_is_not_covered() -> None:
    row = one([(0, 10.0), (12, 20.0)], hold_limit_seconds=6 * HOUR)
    assert row["time_weighted_mean"] == pytest.approx(15.0)
    assert row["good_fraction"] == pytest.approx(0.5)
    assert row["quality"] == "uncertain"


def test_mean_when_boundary_sample_is_older_than_the_hold_limit_then_ignored() -> None:
    row = one([(-5, 10.0)], hold_limit_seconds=HOUR)
    assert row["time_weighted_mean"] is None
    assert row["good_fraction"] == 0.0
    assert row["last_value"] == 10.0


def test_mean_when_sample_is_bad_then_its_time_is_excluded_and_not_bridged() -> None:
    row = one([(0, 10.0), (6, None), (12, 20.0), (18, 99.0, False)])
    assert row["time_weighted_mean"] == pytest.approx(15.0)
    assert row["good_fraction"] == pytest.approx(0.5)
    assert row["last_value"] == 20.0
    assert row["last_good_at_utc"] == START + timedelta(hours=12)


def test_mean_when_all_samples_are_null_then_null_not_zero_and_bad() -> None:
    row = one([(h, None) for h in range(24)])
    assert row["time_weighted_mean"] is None
    assert (row["good_fraction"], row["quality"], row["sample_count"]) == (0.0, "bad", 24)


def test_mean_when_there_is_no_sample_then_row_is_missing() -> None:
    result = read(samples([]), tag(1), tag(2))
    assert result["tag_id"].to_list() == [1, 2]
    assert set(result["quality"]) == {"missing"}
    assert result["time_weighted_mean"].null_count() == 2


def test_mean_when_instant_repeats_then_last_row_wins() -> None:
    row = one([(0, 10.0), (0, 50.0), (12, 10.0), (12, 30.0)])
    assert row["time_weighted_mean"] == pytest.approx(40.0)
    assert row["sample_count"] == 2


def test_mean_when_tag_is_linear_then_trapezoid_and_last_value_held() -> None:
    row = one([(0, 0.0), (12, 12.0)], is_step=False)
    assert row["time_weighted_mean"] == pytest.approx((6 * 12 + 12 * 12) / 24)


def test_mean_when_linear_stretch_crosses_the_start_then_only_its_part_counts() -> None:
    row = one([(-6, 0.0), (6, 12.0)], is_step=False)
    assert row["time_weighted_mean"] == pytest.approx((9 * 6 + 12 * 18) / 24)


def test_mean_when_linear_successor_is_bad_or_too_late_then_value_is_held() -> None:
    assert one([(0, 5.0), (6, None), (12, 9.0)], is_step=False)["time_weighted_mean"] == pytest.approx(
        (5 * 6 + 9 * 12) / 18
    )
    late = one([(0, 5.0), (12, 9.0)], is_step=False, hold_limit_seconds=6 * HOUR)
    assert late["time_weighted_mean"] == pytest.approx(7.0)


def test_unit_when_flow_then_base_and_when_pressure_then_kept() -> None:
    frame = pl.concat([samples([(0, 2.0)], i) for i in (1, 2, 3, 4)])
    result = read(
        frame,
        tag(1, unit="kbbl/d"),
        tag(2, network="flaredGas", measurement="flare_rate", unit="Sm3/t"),
        tag(3, network=None, measurement="pressure", unit="barg"),
        tag(4, network=None, measurement="feed_rate", unit="MMscf/d"),
    )
    assert result["unit"].to_list() == ["bbl/d", "scf/d", "barg", "scf/d"]
    assert result["time_weighted_mean"].to_list() == pytest.approx([2000.0, 2 * 24 * 35.314666721, 2.0, 2e6])
    assert result["last_value"].to_list()[0] == 2000.0


def test_unit_when_flow_unit_is_unknown_then_one_error_names_every_tag() -> None:
    with pytest.raises(ReadingError, match=r"T1: 'furlong'.*T2: 'bbl'.*rate is wanted"):
        read(samples([]), tag(1, unit="furlong"), tag(2, unit="bbl"))


def test_frozen_fraction_when_value_repeats_beyond_the_norm_then_share_of_day() -> None:
    step = 24 / (2 * FROZEN_SAMPLES)
    hours: list[Sample] = [(i * step, 7.0 if i < FROZEN_SAMPLES else 7.0 + i) for i in range(2 * FROZEN_SAMPLES)]
    assert one(hours, is_step=False)["frozen_fraction"] == pytest.approx(0.5)
    assert one(hours, is_step=True)["frozen_fraction"] == 0.0
    at_rest: list[Sample] = [(h, 0.0) for h, _ in ((s[0], s[1]) for s in hours)]
    assert one(at_rest, is_step=False)["frozen_fraction"] == 0.0


def test_last_value_when_sample_stands_after_the_day_then_not_taken() -> None:
    row = one([(1, 5.0), (25, 9.0)])
    assert row["last_value"] == 5.0
    assert row["time_weighted_mean"] == pytest.approx(5.0)


def test_day_when_facility_day_is_25_hours_then_fraction_of_25() -> None:
    calendar = ProductionCalendar("Europe/Oslo", "00:00")
    label = date(2012, 10, 28)
    start = calendar.bounds(None, label)[0]
    frame = samples([(0, 10.0)]).with_columns(
        pl.lit(label).alias("production_date"), pl.lit(start).alias("observed_at_utc")
    )
    result = daily_readings(frame, pl.DataFrame([tag()]), calendar, [label], UnitTable())
    assert result["good_fraction"].item() == pytest.approx(24 / 25)


def test_labels_when_many_in_chunks_then_equal_to_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [DAY + timedelta(days=i) for i in range(5)]
    frame = pl.concat(
        [
            samples([(24 * i + h, float(h * (i + 1) * t)) for h in range(0, 24, 3)], t, d)
            for i, d in enumerate(labels)
            for t in (1, 2)
        ]
    )
    tags = [tag(1), tag(2, is_step=False)]
    apart = pl.concat([read(frame, *tags, labels=[label]) for label in labels])
    assert read(frame.reverse(), *tags, labels=labels).equals(apart)
    monkeypatch.setattr(module, "CHUNK_ROWS", 20)
    assert read(frame, *tags, labels=labels).equals(apart)
    assert read(frame, *tags, labels=labels[1:3]).equals(apart[2:6])


def slow_mean(hours: list[Sample], hold: float) -> tuple[float | None, float]:
    """The definition of a step tag, second by second in quarter hours."""
    total = covered = 0.0
    for quarter in range(96):
        at = quarter / 4
        earlier = [s for s in hours if s[0] <= at]
        if not earlier:
            continue
        last = earlier[-1]
        if last[1] is None or at - last[0] >= hold:
            continue
        total += last[1]
        covered += 1
    return (total / covered if covered else None), covered / 96


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-40, 95).map(lambda q: q / 4), st.none() | st.floats(-100.0, 1e3)),
        max_size=12,
        unique_by=lambda s: s[0],
    ),
    st.integers(1, 60).map(lambda q: q / 4),
)
def test_mean_when_any_step_samples_then_equals_the_definition(hours: list[Sample], hold: float) -> None:
    ordered = sorted(hours, key=lambda s: s[0])
    row = one(ordered, hold_limit_seconds=hold * HOUR)
    mean, covered = slow_mean(ordered, hold)
    assert row["good_fraction"] == pytest.approx(covered)
    assert row["time_weighted_mean"] == (pytest.approx(mean, abs=1e-9) if mean is not None else None)
