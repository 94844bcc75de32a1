"""The running day from PI alone: what was read so far, by facility and network, the same however late one looks."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms import carry_state
from pipelines.transforms.intraday import running_day
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitTable
from tests.unit.transforms.test_readings import HOUR, Sample, samples, tag
from warehouse.catalog.tables import TABLES

CALENDAR = ProductionCalendar("Africa/Lagos", "06:00")
DAY = date(2026, 11, 20)
START = datetime(2026, 11, 20, 5, tzinfo=UTC)
NOON = START + timedelta(hours=12)


def running(frame: pl.DataFrame, *tags: dict[str, object], now: datetime = NOON) -> list[dict[str, object]]:
    described = pl.DataFrame(list(tags) or [tag()], infer_schema_length=None)
    rows = running_day(frame, described, CALENDAR, DAY, UnitTable(), now=now, state=carry_state.NO_STATE)
    TABLES["core__intraday"].schema.validate(rows)
    return rows.to_dicts()


def test_rate_when_the_value_stepped_then_weighted_over_what_was_read() -> None:
    [row] = running(samples([(-1, 10.0), (2, 30.0), (6, 50.0)]))
    assert row["rate"] == pytest.approx((2 * 10 + 4 * 30) / 6)
    assert (row["production_date"], row["from_utc"], row["to_utc"]) == (DAY, START, START + timedelta(hours=6))
    assert (row["percent_good"], row["quality"]) == (100.0, "good")
    assert row["observed_at_utc"] == START + timedelta(hours=6)


def test_rows_when_the_clock_has_moved_but_no_sample_came_then_the_same() -> None:
    frame = samples([(0, 10.0), (3, 20.0)])
    assert running(frame, now=NOON) == running(frame, now=NOON + timedelta(hours=9))


def test_share_when_values_are_bad_or_held_too_long_then_it_falls_and_the_mean_leaves_them_out() -> None:
    [bad] = running(samples([(0, 10.0), (6, None), (8, 40.0), (10, 40.0)]))
    assert (bad["percent_good"], bad["quality"]) == (pytest.approx(80.0), "uncertain")
    assert bad["rate"] == pytest.approx((6 * 10 + 2 * 40) / 8)
    [held] = running(samples([(0, 10.0), (10, 40.0)]), tag(hold_limit_seconds=3 * HOUR))
    assert (held["percent_good"], held["rate"]) == (pytest.approx(30.0), 10.0)


def test_rate_when_a_facility_has_several_meters_then_their_sum_and_the_worst_share() -> None:
    both = pl.concat([samples([(0, 10.0), (4, 10.0)]), samples([(0, 5.0), (2, None)], tag_id=2)])
    [row] = running(both, tag(1), tag(2))
    assert (row["rate"], row["percent_good"]) == (15.0, pytest.approx(50.0))


def test_rate_when_one_of_the_meters_is_silent_then_null_and_not_part_of_the_sum() -> None:
    [row] = running(samples([(0, 10.0), (4, 10.0)]), tag(1), tag(2))
    assert (row["rate"], row["percent_good"], row["quality"]) == (None, 0.0, "missing")


def test_networks_when_a_facility_measures_several_then_each_has_its_own_row() -> None:
    flare = tag(2, network="flaredGas", measurement="flare_rate", unit="MMscf/d")
    level = tag(3, measurement="level", unit="m")
    frame = pl.concat([samples([(0, 10.0), (4, 10.0)]), samples([(0, 2.0)], tag_id=2), samples([(0, 9.0)], tag_id=3)])
    rows = {row["network"]: row["rate"] for row in running(frame, tag(1), flare, level)}
    assert rows == {"oil": 10.0, "flaredGas": 2e6}


@pytest.mark.parametrize("hours", [[], [(-3, 10.0)]], ids=["no sample", "none of the day"])
def test_rows_when_nothing_of_the_day_was_read_then_none(hours: list[Sample]) -> None:
    assert running(samples(hours)) == []


def test_rows_when_a_source_clock_runs_ahead_then_the_day_ends_at_ours() -> None:
    [row] = running(samples([(0, 10.0), (6, 30.0), (20, 99.0)]))
    assert row["to_utc"] == START + timedelta(hours=6)
    assert row["rate"] == 10.0


@given(
    st.dictionaries(st.integers(-120, 719), st.none() | st.floats(0, 1e5), min_size=1, max_size=30),
    st.sampled_from([HOUR, 24 * HOUR]),
)
def test_rate_for_any_samples_then_what_adding_minute_by_minute_gives(
    known: dict[int, float | None], hold: float
) -> None:
    rows = running(samples([(m / 60, value) for m, value in sorted(known.items())]), tag(hold_limit_seconds=hold))
    end = max(known)
    good = []
    for minute in range(max(end, 0)):
        last = max((m for m in known if m <= minute), default=None)
        if last is not None and (value := known[last]) is not None and (minute - last) * 60 < hold:
            good.append(value)
    if end <= 0:
        assert rows == []
        return
    [row] = rows
    assert row["percent_good"] == pytest.approx(100 * len(good) / end)
    assert row["rate"] == (pytest.approx(sum(good) / len(good), rel=1e-9, abs=1e-9) if good else None)
