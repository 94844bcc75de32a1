"""Carried state: values go forward with their date, windows keep the newest, and a split range gives the same state."""

from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms import carry_state as cs
from warehouse.catalog.tables import TABLES

FIRST = date(2026, 3, 1)
LABELS = [FIRST + timedelta(days=i) for i in range(12)]
VALUES = st.lists(st.none() | st.floats(0, 10), min_size=12, max_size=12)


def points(values: list[float | None], labels: list[date]) -> pl.DataFrame:
    return pl.DataFrame(
        {"entity_id": ["w"] * len(values), "production_date": labels, "value": values},
        schema={"entity_id": pl.String, "production_date": pl.Date, "value": pl.Float64},
    )


def test_carried_when_day_has_no_value_then_last_one_with_its_date() -> None:
    found = cs.carried(points([None, 2.0, None, 3.0], LABELS[:4]), cs.NO_STATE, "k", LABELS[:5])
    assert found["production_date"].to_list() == LABELS[1:5]
    assert found["value"].to_list() == [2.0, 2.0, 3.0, 3.0]
    assert found["as_of"].to_list() == [LABELS[1], LABELS[1], LABELS[3], LABELS[3]]


@given(VALUES, st.integers(1, 11))
def test_carried_when_range_is_split_anywhere_then_same_state(values: list[float | None], cut: int) -> None:
    whole = cs.rows(cs.carried(points(values, LABELS), cs.NO_STATE, "k", LABELS), "k")
    left = cs.rows(cs.carried(points(values[:cut], LABELS[:cut]), cs.NO_STATE, "k", LABELS[:cut]), "k")
    state = cs.before(left, LABELS[cut])
    right = cs.rows(cs.carried(points(values[cut:], LABELS[cut:]), state, "k", LABELS[cut:]), "k")
    assert pl.concat([left, right]).sort(cs.KEY).equals(whole.sort(cs.KEY))


@given(VALUES, st.integers(1, 11), st.integers(1, 4))
def test_window_when_range_is_split_anywhere_then_same_state(values: list[float | None], cut: int, size: int) -> None:
    def window(part: slice, state: pl.DataFrame) -> pl.DataFrame:
        numbered = cs.window_points(points(values[part], LABELS[part]), state, "k")
        return cs.window_rows(numbered, "k", LABELS[part], size)

    whole = window(slice(None), cs.NO_STATE)
    left = window(slice(None, cut), cs.NO_STATE)
    right = window(slice(cut, None), cs.before(left, LABELS[cut]))
    assert pl.concat([left, right]).sort(cs.KEY).equals(whole)
    assert whole.filter(pl.col("slot") >= size).is_empty()
    TABLES["core__carry_state"].schema.validate(whole)


def test_entity_when_joined_then_split_gives_the_parts_back() -> None:
    frame = pl.DataFrame({"facility_id": ["fs-a"], "network": ["oil"]})
    joined = frame.select(cs.entity("facility_id", "network").alias("entity_id"))
    assert joined.select(cs.split_entity("facility_id", "network")).equals(frame)
