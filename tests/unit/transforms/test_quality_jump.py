"""Unit jumps: ×1000 slips are caught, ordinary life is not, and the window crosses ranges."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms import carry_state
from pipelines.transforms.quality_jump import JUMP_MINIMUM, JUMP_WINDOW, Jumps, unit_jumps

FIRST = date(2026, 1, 1)


def series(values: list[float | None], first: date = FIRST) -> pl.DataFrame:
    days = [first + timedelta(days=i) for i in range(len(values))]
    return pl.DataFrame(
        {"production_date": days, "code": ["S"] * len(values), "v": values},
        schema={"production_date": pl.Date, "code": pl.String, "v": pl.Float64},
    )


def jumps(frame: pl.DataFrame, state: pl.DataFrame = carry_state.NO_STATE) -> Jumps:
    return unit_jumps(
        frame, entity="code", value="v", kind="window", labels=frame["production_date"].to_list(), state=state
    )


def test_jump_when_value_is_thousandfold_then_flagged_and_kept_out_of_the_window() -> None:
    found = jumps(series([100.0, 101, 99, 102, 98, 100_000, 100_000, 100, 100_000]))
    assert found.mask.to_list() == [False] * 5 + [True, True, False, True]
    assert found.state["value"].max() == 102.0


def test_jump_when_fewer_values_than_minimum_then_nothing_is_judged() -> None:
    assert not jumps(series([1.0] * (JUMP_MINIMUM - 1) + [1e6])).mask.any()


@pytest.mark.parametrize("tail", [[0.1], [0.0], [None], [-5.0], [29_000.0]])
def test_jump_when_value_falls_or_stays_below_the_ratio_then_accepted(tail: list[float | None]) -> None:
    assert not jumps(series([100.0] * 10 + tail)).mask.any()


def test_jump_when_range_is_split_then_same_verdicts_and_same_state() -> None:
    values: list[float | None] = [100.0, 90, None, 110, 0.0, 105, 95, 100, 101, 99, 98, 100_000, 97, 1e6, 96]
    whole = jumps(series(values))
    left = jumps(series(values[:9]))
    boundary = FIRST + timedelta(days=9)
    right = jumps(series(values[9:], boundary), carry_state.before(left.state, boundary))
    assert whole.mask.to_list() == left.mask.to_list() + right.mask.to_list()
    last = FIRST + timedelta(days=len(values) - 1)
    assert carry_state.at(whole.state, last).equals(carry_state.at(right.state, last))
    assert carry_state.of_kind(carry_state.at(whole.state, last), "window").height == JUMP_WINDOW


def test_jump_when_it_comes_back_from_near_zero_then_known_and_a_slip_is_still_caught() -> None:
    busy, idle = [200.0] * 9, [0.1] * 9
    assert not jumps(series([*busy, *idle, 130.0])).mask.any()
    assert jumps(series([*busy, *idle, 130_000.0])).mask.to_list() == [False] * 18 + [True]
    left = jumps(series([*busy, *idle]))
    boundary = FIRST + timedelta(days=18)
    carried = carry_state.before(left.state, boundary)
    assert not jumps(series([130.0], boundary), carried).mask.any()
    assert jumps(series([130_000.0], boundary), carried).mask.all()
    # Without the memory of its busy days the same value is a jump.
    assert jumps(series([*idle, 130.0])).mask.to_list() == [False] * 9 + [True]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.none() | st.sampled_from([0.1, 0.3, 90.0, 100.0, 130.0, 1e5]), min_size=2, max_size=40),
    st.integers(1, 39),
)
def test_jump_when_any_series_is_split_anywhere_then_same_verdicts_and_state(
    values: list[float | None], cut: int
) -> None:
    cut = min(cut, len(values) - 1)
    boundary = FIRST + timedelta(days=cut)
    whole, left = jumps(series(values)), jumps(series(values[:cut]))
    right = jumps(series(values[cut:], boundary), carry_state.before(left.state, boundary))
    assert whole.mask.to_list() == left.mask.to_list() + right.mask.to_list()
    last = FIRST + timedelta(days=len(values) - 1)
    assert carry_state.at(whole.state, last).equals(carry_state.at(right.state, last))
