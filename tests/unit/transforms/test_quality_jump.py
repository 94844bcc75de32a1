"""Unit jumps: ×1000 slips are caught, ordinary life is not, and the window crosses ranges."""

from datetime import date, timedelta

import polars as pl
import pytest

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
    assert carry_state.at(whole.state, last).height == JUMP_WINDOW
