"""Quality words and their order, and the split into accepted and quarantined rows."""

import json
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms import quality
from warehouse.catalog.tables import TABLES

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
TABLE = "raw_energy_components__stream_day"
DAY = date(2026, 11, 21)


def stream_rows(*rows: tuple[object, object, object, object]) -> pl.DataFrame:
    """production_date, stream_ec_code, volume, rev_no."""
    return pl.DataFrame(
        rows, schema=["production_date", "stream_ec_code", "volume", "rev_no"], orient="row", strict=False
    )


def split(frame: pl.DataFrame, *rules: quality.Rule) -> quality.Split:
    return quality.split(frame, TABLE, "energy_components", "stream_day", NOW, rules=rules, label=DAY)


@pytest.mark.parametrize(
    ("fraction", "word"),
    [
        (1.0, "good"),
        (0.90, "good"),
        (0.8999, "uncertain"),
        (0.5, "uncertain"),
        (0.4999, "bad"),
        (0.0, "bad"),
        (None, "missing"),
    ],
)
def test_of_good_fraction_when_at_thresholds_then_word(fraction: float | None, word: str) -> None:
    frame = pl.DataFrame({"good_fraction": [fraction]}, schema={"good_fraction": pl.Float64})
    assert frame.select(quality.of_good_fraction("good_fraction")).item() == word


@settings(deadline=None)
@given(st.lists(st.sampled_from(quality.QUALITY_ORDER), min_size=1, max_size=6))
def test_worst_of_when_words_then_last_in_order(words: list[str]) -> None:
    expected = max(words, key=quality.QUALITY_ORDER.index)
    assert pl.DataFrame({"q": words}).select(quality.worst_of("q")).item() == expected


def test_worst_when_one_is_null_then_the_other() -> None:
    frame = pl.DataFrame({"a": ["good", None], "b": ["stale", "notApplicable"]})
    assert frame.select(quality.worst("a", "b").alias("w"))["w"].to_list() == ["stale", "notApplicable"]


def test_lowest_status_when_mixed_then_least_settled() -> None:
    frame = pl.DataFrame({"s": ["approved", "provisional", None, "verified"]})
    assert frame.select(quality.lowest_status_of("s")).item() == "provisional"


def test_status_of_letter_when_letters_then_words_and_blank_is_provisional() -> None:
    frame = pl.DataFrame({"s": ["P", "v", "A", None]})
    assert frame.select(quality.status_of_letter("s").alias("w"))["w"].to_list() == [
        "provisional",
        "verified",
        "approved",
        "provisional",
    ]


def test_split_when_rows_hold_then_all_accepted_with_schema_dtypes() -> None:
    result = split(stream_rows((DAY, "S1", 1, 0), (DAY, "S2", None, 0)))
    assert result.accepted.height == 2
    assert result.accepted.columns == list(TABLES[TABLE].schema.columns())
    assert result.accepted.schema["volume"] == pl.Float64
    assert result.quarantined.is_empty()


def test_split_when_text_is_no_number_then_quarantined_with_its_raw_content() -> None:
    result = split(
        pl.DataFrame({"production_date": ["2026-11-21"] * 2, "stream_ec_code": ["S1", "S2"], "volume": ["12.5", "n/a"]})
    )
    assert result.accepted["volume"].to_list() == [12.5]
    row = result.quarantined.row(0, named=True)
    assert (row["rule"], row["source"], row["dataset"], row["production_date"]) == (
        "type",
        "energy_components",
        "stream_day",
        DAY,
    )
    assert json.loads(row["raw"])["volume"] == "n/a"
    assert "volume" in row["reason"]


def test_split_when_key_is_empty_then_null_rule_under_the_label() -> None:
    result = split(stream_rows((None, "S1", 1.0, 0), (DAY, None, 1.0, 0)))
    assert result.accepted.is_empty()
    assert result.quarantined["rule"].to_list() == ["null", "null"]
    assert result.quarantined["production_date"].to_list() == [DAY, DAY]


def test_split_when_key_repeats_then_newest_revision_stays_and_last_on_a_tie() -> None:
    result = split(stream_rows((DAY, "S1", 1.0, 2), (DAY, "S1", 2.0, 1), (DAY, "S2", 3.0, 0), (DAY, "S2", 4.0, 0)))
    assert result.accepted.sort("stream_ec_code")["volume"].to_list() == [1.0, 4.0]
    assert set(result.quarantined["rule"]) == {"duplicate_key"}
    assert result.quarantined.height == 2


def test_split_when_row_comes_three_times_identically_then_both_copies_are_counted() -> None:
    result = split(stream_rows(*[(DAY, "S1", 1.0, 0)] * 3))
    assert result.accepted.height == 1
    assert result.quarantined["row_id"].n_unique() == 2


def test_split_when_rules_break_then_first_one_names_the_row() -> None:
    rules = [
        quality.known("stream_ec_code", {"S1"}, "streams.csv"),
        quality.within(pl.col("volume"), 0.0, 10.0, "volume", "bbl"),
    ]
    result = split(stream_rows((DAY, "S1", 5.0, 0), (DAY, "S1", 11.0, 1), (DAY, "S9", -3.0, 0)), *rules)
    assert result.accepted["volume"].to_list() == [5.0]
    assert result.quarantined.select("rule").to_series().to_list() == ["range", "unknown_id"]


def test_split_when_same_rows_again_then_same_row_ids() -> None:
    frame = stream_rows((DAY, None, 1.0, 0), (None, "S2", 2.0, 0))
    assert split(frame).quarantined["row_id"].to_list() == split(frame).quarantined["row_id"].to_list()


def test_split_when_required_column_missing_then_error_names_it() -> None:
    with pytest.raises(ValueError, match="came without stream_ec_code"):
        split(pl.DataFrame({"production_date": [DAY]}))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([DAY, None]),
            st.sampled_from(["S1", "S2", "S9", None]),
            st.sampled_from([1.0, -1.0, None]),
            st.integers(0, 2),
        ),
        max_size=12,
    )
)
def test_split_when_any_rows_then_none_is_lost_and_quarantine_fits_its_schema(
    rows: list[tuple[date | None, str | None, float | None, int]],
) -> None:
    frame = pl.DataFrame(
        rows,
        schema={"production_date": pl.Date, "stream_ec_code": pl.String, "volume": pl.Float64, "rev_no": pl.Int64},
        orient="row",
    )
    result = split(
        frame,
        quality.known("stream_ec_code", {"S1", "S2"}, "streams.csv"),
        quality.within(pl.col("volume"), 0.0, 10.0, "volume", "bbl"),
    )
    assert result.accepted.height + result.quarantined.height == frame.height
    TABLES[TABLE].schema.validate(result.accepted)
    TABLES["core__quarantine"].schema.validate(result.quarantined)
