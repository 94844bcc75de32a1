"""Frozen tags against their own history: what teaches a norm, what does not, and that the norm crosses days."""

from datetime import date, timedelta

import polars as pl
import pytest

from pipelines.transforms import carry_state
from pipelines.transforms.readings_frozen import (
    FROZEN_RATIO,
    FROZEN_SAMPLES,
    NORM_DAYS,
    NORM_DAYS_MINIMUM,
    NORM_RUNS,
    STATE,
    frozen_time,
    runs_of,
)

FIRST = date(2026, 3, 1)


def day_of(runs: list[tuple[float | None, int]], label: date = FIRST, **flags: bool) -> pl.DataFrame:
    """Samples of one tag and day as (value, how often in a row), each held for one unit of time."""
    values = [value for value, count in runs for _ in range(count)]
    return pl.DataFrame({"value": values}, schema={"value": pl.Float64}).with_columns(
        pl.lit(label.toordinal(), dtype=pl.Int64).alias("key"),
        pl.lit(1, dtype=pl.Int64).alias("held"),
        pl.lit(flags.get("is_step", False)).alias("is_step"),
        pl.lit(flags.get("rests", False)).alias("rests"),
    )


def coarse(length: int, count: int = 3 * NORM_RUNS) -> list[tuple[float | None, int]]:
    """A live signal that repeats each value `length` times."""
    return [(float(i % 7), length) for i in range(count)]


def frozen(
    days: list[pl.DataFrame], labels: list[date], state: pl.DataFrame = carry_state.NO_STATE
) -> tuple[dict[date, float], pl.DataFrame]:
    """Frozen time by label, and the state after them."""
    keys = pl.DataFrame(
        {"key": [d.toordinal() for d in labels], "production_date": labels, "tag_id": [7] * len(labels)},
        schema={"key": pl.Int64, "production_date": pl.Date, "tag_id": pl.UInt32},
    )
    found, carried = frozen_time(runs_of(pl.concat(days)), keys, labels, state)
    return {date.fromordinal(key): time for key, time in found.select("key", "frozen").iter_rows()}, carried


def alone(runs: list[tuple[float | None, int]], **flags: bool) -> float:
    return frozen([day_of(runs, **flags)], [FIRST])[0].get(FIRST, 0.0)


def test_threshold_when_read_then_as_documented() -> None:
    assert (FROZEN_SAMPLES, FROZEN_RATIO, NORM_RUNS, NORM_DAYS, NORM_DAYS_MINIMUM) == (30, 10.0, 20, 9, 5)


@pytest.mark.parametrize(("length", "expected"), [(29, 0.0), (30, 30.0), (31, 31.0)])
def test_run_when_the_tag_moves_every_sample_then_frozen_from_thirty_on(length: int, expected: float) -> None:
    assert alone([*coarse(1), (9.0, length), *coarse(1)]) == expected


@pytest.mark.parametrize(("length", "expected"), [(99, 0.0), (101, 101.0)])
def test_run_when_the_tag_repeats_tenfold_then_frozen_from_a_hundred_on(length: int, expected: float) -> None:
    # One long run among many moves their mean by little: 99 is below ten times the mean, 121 runs of 10 and it.
    assert alone([*coarse(10, 60), (9.0, length), *coarse(10, 60)]) == pytest.approx(
        0.0 if length < FROZEN_RATIO * (119 * 10 - 10 + length) / 119 else expected
    )


def test_run_when_a_tag_never_moves_then_all_of_it_whatever_its_length() -> None:
    assert alone([(42.0, 86_400)]) == 86_400.0
    # Its two ends were not seen: it taught nothing, so that it never becomes its own norm.
    assert frozen([day_of([(42.0, 500)])], [FIRST])[1].is_empty()


def test_run_when_bad_samples_lie_within_then_one_run() -> None:
    assert alone([*coarse(1), (9.0, 20), (None, 50), (9.0, 20), *coarse(1)]) == 40.0


def test_run_when_step_tag_or_at_rest_then_never_frozen() -> None:
    assert alone([(1.0, 500)], is_step=True) == 0.0
    assert alone([(0.0, 500)], rests=True) == 0.0
    assert alone([(0.0, 500)]) == 500.0
    assert alone([(3.0, 500)], rests=True) == 500.0


def test_norm_when_few_runs_then_not_learnt() -> None:
    few: list[tuple[float | None, int]] = [(float(i), 40) for i in range(NORM_RUNS)]
    # Two of them touch the ends of the day: eighteen whole runs are no history, so thirty samples count as stuck.
    assert alone(few) == 40.0 * NORM_RUNS


def test_norm_when_history_is_coarse_then_a_quiet_day_is_not_frozen() -> None:
    """Values of 40 samples each; on the last day only ten runs, of 300: twice that is beyond its history."""
    labels = [FIRST + timedelta(days=n) for n in range(NORM_DAYS_MINIMUM + 2)]
    days = [day_of(coarse(40), label) for label in labels[:-2]]
    days.append(day_of([(float(i), 300) for i in range(10)], labels[-2]))
    days.append(day_of([(1.0, 300), (2.0, 700), (3.0, 300)], labels[-1]))
    found, _ = frozen(days, labels)
    assert found == {labels[-1]: 700.0}
    assert alone([(float(i), 300) for i in range(10)]) == 3_000.0


def test_norm_when_days_come_one_by_one_then_same_as_together() -> None:
    labels = [FIRST + timedelta(days=n) for n in range(NORM_DAYS + 4)]
    days = [day_of([*coarse(3 + n), (99.0, 45 + 7 * n)], label) for n, label in enumerate(labels)]
    together, state_together = frozen(days, labels)
    assert together
    state, apart = carry_state.NO_STATE, {}
    for label, day in zip(labels, days, strict=True):
        found, state = frozen([day], [label], state)
        apart |= found
    assert apart == together
    assert carry_state.at(state_together, labels[-1]).equals(state)
    assert set(state["kind"]) == {STATE}
    assert state.height == NORM_DAYS
