"""Values to canonical columns: nothing guessed, nothing dropped."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.cast import cast_to_canonical, pointed, schema_of
from pipelines.sources.mapping import ColumnMapping, FieldType


def column(canonical: str, kind: FieldType, **more: Any) -> ColumnMapping:
    return ColumnMapping(canonical=canonical, source="" if "constant" in more else "X", type=kind, **more)


def one(value: Any, mapping: ColumnMapping, **options: Any) -> Any:
    cast = cast_to_canonical([{"X": value}], [mapping], **options)
    assert cast.rejected.is_empty(), cast.rejected
    return cast.frame.item()


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("text", " A-1 ", "A-1"),
        ("text", "", None),
        ("text", 17.0, "17"),
        ("text", True, "true"),
        ("text", ["a", "b"], "a;b"),
        ("text", {"LookupId": 1, "LookupValue": "Akara"}, "Akara"),
        ("float", "12.5", 12.5),
        ("float", 3, 3.0),
        ("float", Decimal("1.25"), 1.25),
        ("float", float("nan"), None),
        ("float", "  ", None),
        ("int", 3.0, 3),
        ("int", "42", 42),
        ("int", 2**53 + 1, 2**53 + 1),
        ("bool", "Y", True),
        ("bool", "n", False),
        ("bool", 1, True),
        ("date", "2026-11-20", date(2026, 11, 20)),
        ("date", "2026-11-20T00:00:00", date(2026, 11, 20)),
        ("date", datetime(2026, 11, 20, 5), date(2026, 11, 20)),
    ],
)
def test_cast_when_value_fits_then_is_that_value(kind: FieldType, given: Any, expected: Any) -> None:
    assert one(given, column("c", kind)) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float", "n/a"),
        ("float", "1,234"),
        ("float", "NaN"),
        ("float", "inf"),
        ("float", True),
        ("float", {}),
        ("int", 1.5),
        ("int", 10**30),
        ("bool", "maybe"),
        ("date", "20/11/2026"),
        ("date", 46000),
        ("datetime", "noon"),
        ("datetime", "2026-13-01T00:00:00"),
        ("text", {"Odd": 1}),
    ],
)
def test_cast_when_value_does_not_parse_then_row_is_set_aside_whole(kind: FieldType, value: Any) -> None:
    rows = [{"X": None, "K": 1}, {"X": value, "K": 2}]
    cast = cast_to_canonical(rows, [column("c", kind), ColumnMapping(canonical="k", source="K", type="int")])
    assert cast.frame["k"].to_list() == [1]
    assert cast.rejected["rule"].to_list() == [f"c_is_{kind}"]
    assert "is no" in cast.rejected["reason"][0]
    assert json.loads(cast.rejected["raw"][0])["K"] == 2


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-9, 9), st.text("1.x-", max_size=3), st.floats()), max_size=20))
def test_cast_when_values_are_any_then_each_row_is_kept_or_set_aside_never_both(values: list[Any]) -> None:
    rows = [{"X": value, "N": position} for position, value in enumerate(values)]
    cast = cast_to_canonical(rows, [column("c", "float"), ColumnMapping(canonical="n", source="N", type="int")])
    aside = [json.loads(raw)["N"] for raw in cast.rejected["raw"]]
    assert sorted(cast.frame["n"].to_list() + aside) == list(range(len(values)))


def test_cast_when_several_values_of_a_row_fail_then_one_rejection_gives_every_reason() -> None:
    columns = [column("a", "float"), ColumnMapping(canonical="b", source="Y", type="date")]
    cast = cast_to_canonical([{"X": "?", "Y": "!"}], columns)
    assert cast.rejected["reason"].to_list() == ["a: '?' is no float; b: '!' is no date"]


def test_cast_when_rows_are_none_then_schema_stands() -> None:
    columns = [column("a_at_utc", "datetime"), column("b", "datetime"), column("c", "float", constant=1.5)]
    for table in ([], pl.DataFrame(schema={"X": pl.String})):
        cast = cast_to_canonical(table, columns)
        assert cast.frame.schema == schema_of(columns)
        assert cast.frame.schema["a_at_utc"] == pl.Datetime("us", "UTC")
        assert cast.frame.schema["b"] == pl.Datetime("us")


def test_cast_when_column_is_constant_then_every_row_has_it() -> None:
    cast = cast_to_canonical([{}, {}], [column("network", "text", constant="oil")])
    assert cast.frame["network"].to_list() == ["oil", "oil"]


@pytest.mark.parametrize("as_frame", [True, False])
@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (datetime(2026, 7, 1, 12), datetime(2026, 7, 1, 10, tzinfo=UTC)),
        (datetime(2026, 10, 25, 2, 30), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        (datetime(2026, 3, 29, 2, 30), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
    ],
)
def test_cast_when_instant_has_no_offset_then_the_zone_of_the_site_counts(
    local: datetime, expected: datetime, as_frame: bool
) -> None:
    table: Any = pl.DataFrame({"X": [local]}) if as_frame else [{"X": local.isoformat()}]
    cast = cast_to_canonical(table, [column("source_updated_at_utc", "datetime")], zone="Europe/Oslo")
    assert cast.frame.item() == expected


def test_cast_when_column_names_its_zone_then_that_counts_before_the_sites() -> None:
    mapping = column("source_updated_at_utc", "datetime", zone="UTC")
    assert one("2026-07-01T12:00:00", mapping, zone="Europe/Oslo") == datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("summer", "expected"), [("22", date(2026, 7, 2)), ("21", date(2026, 7, 1))])
def test_cast_when_day_comes_as_local_midnight_in_utc_then_is_the_sites_day(summer: str, expected: date) -> None:
    assert one(f"2026-07-01T{summer}:00:00Z", column("valid_from", "date"), zone="Europe/Oslo") == expected


def test_cast_when_local_instant_has_an_offset_then_becomes_the_sites_wall_clock() -> None:
    mapping = column("started_at_local", "datetime")
    assert one("2026-12-01T05:00:00Z", mapping, zone="Africa/Lagos") == datetime(2026, 12, 1, 6)


def test_cast_when_workbook_gives_serials_then_are_days_and_instants_and_impossible_ones_set_aside() -> None:
    assert one("46000", column("laycan_start", "date"), excel=True) == date(2025, 12, 9)
    assert one("46001.25", column("started_at_local", "datetime"), excel=True) == datetime(2025, 12, 10, 6)
    assert one("2026-11-01 00:00:00", column("laycan_start", "date"), excel=True) == date(2026, 11, 1)
    assert cast_to_canonical([{"X": "60"}], [column("d", "date")], excel=True).rejected.height == 1


def test_cast_when_frame_is_typed_then_is_cast_whole_and_empty_texts_are_null() -> None:
    table = pl.DataFrame({"CODE": ["A ", ""], "VOL": [1.5, float("nan")], "REV": [1.0, 2.0]})
    columns = [
        ColumnMapping(canonical="code", source="CODE", type="text"),
        ColumnMapping(canonical="volume", source="VOL", type="float"),
        ColumnMapping(canonical="rev_no", source="REV", type="int"),
    ]
    frame = cast_to_canonical(table, columns).frame
    assert frame.rows() == [("A", 1.5, 1), (None, None, 2)]


def test_pointed_when_pointer_leads_nowhere_then_is_none() -> None:
    content = {"a": [{"b/c": 1}]}
    assert pointed(content, "/a/0/b~1c") == 1
    assert pointed(content, "") == content
    assert pointed(content, "/a/5/b") is None
