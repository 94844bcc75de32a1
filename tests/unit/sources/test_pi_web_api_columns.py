"""Plain pages decoded quickly: the same rows as the slow way gives, or nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.sources import pi_web_api_frame
from pipelines.sources.payloads_pi import Sample
from pipelines.sources.pi_web_api_columns import plain_page
from pipelines.sources.pi_web_api_frame import RECORDED_SCHEMA, between, recorded_frame, single
from pipelines.sources.pi_web_api_page import PageDecoder

STATE = {"Name": 'I/O "T{"Timestamp":"', "Value": 246, "IsSystem": True}


def item(second: int, value: Any = 1.5, *, fraction: str = "", good: bool = True, questionable: bool = False) -> Any:
    at = f"2026-10-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{fraction}Z"
    return {"Timestamp": at, "Value": value, "Good": good, "Questionable": questionable}


def body_of(streams: list[list[Any]], indent: int | None = None) -> bytes:
    separators = (",", ":") if indent is None else None
    items = [{"WebId": f"w{place}", "Name": f"T{place}", "Items": items} for place, items in enumerate(streams)]
    return json.dumps({"Items": items}, indent=indent, separators=separators).encode()


def quick(body: bytes) -> pl.DataFrame | None:
    page = plain_page(body)
    if page is None:
        return None
    return page.columns.frame(np.repeat(np.arange(len(page.counts), dtype=np.uint32), page.counts))


def slow(streams: list[list[Any]]) -> pl.DataFrame:
    return recorded_frame((place, msgspec.convert(items, list[Sample])) for place, items in enumerate(streams))


def many(count: int = 40, **options: Any) -> list[Any]:
    return [item(second, second / 8, **options) for second in range(count)]


values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**12), 10**12),
    st.sampled_from([None, "text", '"quoted', "a{b", True, STATE, {"Name": "OPEN", "Value": 1, "IsSystem": False}]),
)
items = st.builds(
    item,
    st.integers(0, 86_399),
    values,
    fraction=st.sampled_from(["", "", ".5", ".1234567", ".000001", ".999999999"]),
    good=st.sampled_from([True, True, True, False]),
    questionable=st.sampled_from([False, False, True]),
)


@settings(deadline=None)
@given(st.lists(st.lists(items, max_size=12), max_size=4), st.sampled_from([None, 2]))
def test_page_when_it_holds_anything_then_rows_are_those_of_the_slow_way(
    streams: list[list[Any]], indent: int | None
) -> None:
    page = PageDecoder().decode(body_of(streams, indent))
    assert [stream.count for stream in page.Items or []] == [len(each) for each in streams]
    assert_frame_equal(page.frame({place: place for place in range(len(streams))}), slow(streams))


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.data())
def test_page_when_few_values_are_odd_then_the_quick_way_is_taken(counts: list[int], data: st.DataObject) -> None:
    streams = [many(count) for count in [*counts, 30]]
    odd = data.draw(st.lists(st.tuples(st.integers(0, 29), items), max_size=3))
    for place, replacement in odd:
        streams[-1][place] = replacement
    frame = quick(body_of(streams))
    if data.draw(st.just(len(odd))) * 5 < sum(map(len, streams)) - 1:
        assert frame is not None
    if frame is not None:
        assert_frame_equal(frame, slow(streams))


@pytest.mark.parametrize("fraction", ["", ".5", ".8757629", ".999999999"])
@pytest.mark.parametrize("indent", [None, 2])
def test_page_when_instants_have_digits_then_they_are_cut_to_microseconds(fraction: str, indent: int | None) -> None:
    streams = [many(fraction=fraction), [], many(3)]
    frame = quick(body_of(streams, indent))
    assert frame is not None
    assert_frame_equal(frame, slow(streams))


def test_page_when_every_value_is_questionable_then_flags_follow() -> None:
    streams = [many(questionable=True)]
    frame = quick(body_of(streams))
    assert frame is not None
    assert frame["is_questionable"].all()
    assert_frame_equal(frame, slow(streams))


@pytest.mark.parametrize(
    "streams",
    [
        [],
        [[]],
        [[item(1, STATE)]],
        [[item(second, STATE) for second in range(9)]],
        [[{"Value": 1.5, "Good": True}], many(2)],
        [[{"Value": 1.5, "Timestamp": "2026-10-01T00:00:00Z", "Good": True, "Questionable": False}]],
        [[*many(9), {"Good": False, "Value": None, "Errors": [{"FieldName": "Value", "Message": ["gone"]}]}]],
        [[{**item(1), "Timestamp": "2026-10-01T00:00:00+00:00"}]],
    ],
)
def test_page_when_it_is_not_plain_then_the_quick_way_declines(streams: list[list[Any]]) -> None:
    assert quick(body_of(streams)) is None


def test_page_when_a_timestamp_is_no_instant_then_the_slow_way_says_which() -> None:
    page = PageDecoder().decode(body_of([[*many(9), {**item(1), "Timestamp": "2026-13-41T00:00:00Z"}]]))
    assert page.plain is None
    with pytest.raises(ValueError, match="2026-13-41"):
        page.frame({0: 7})


def test_page_when_only_some_streams_are_asked_then_their_rows_come_under_their_tags() -> None:
    page = PageDecoder().decode(body_of([many(3), many(5), many(2)]))
    assert page.frame({2: 70, 0: 50})["tag_id"].to_list() == [50] * 3 + [70] * 2


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_page_when_its_body_is_cut_then_is_never_half_read(cut: int) -> None:
    body = body_of([many(4)])
    with pytest.raises(msgspec.DecodeError):
        PageDecoder().decode(body[:-cut])


def rows_of(pairs: list[tuple[int, int]], value: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "tag_id": [tag for tag, _ in pairs],
            "observed_at_utc": [second * 1_000_000 for _, second in pairs],
            "value": [value] * len(pairs),
            "state_code": [None] * len(pairs),
            "is_good": [True] * len(pairs),
            "is_questionable": [False] * len(pairs),
        },
        schema_overrides=RECORDED_SCHEMA,
    ).cast(dict(RECORDED_SCHEMA))


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 6)), max_size=8), max_size=4),
    st.sampled_from([1, 256]),
)
def test_single_when_frames_overlap_then_the_last_received_of_an_instant_stands(
    frames: list[list[tuple[int, int]]], shortest_run: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pi_web_api_frame, "_SHORTEST_RUN", shortest_run)
        found = single([rows_of(pairs, float(number)) for number, pairs in enumerate(frames)])
    last = {(tag, second): float(number) for number, pairs in enumerate(frames) for tag, second in pairs}
    received = zip(found["tag_id"], found["observed_at_utc"].to_physical() // 1_000_000, found["value"], strict=True)
    assert [((tag, second), value) for tag, second, value in received] == sorted(last.items())
    assert found.schema == RECORDED_SCHEMA


@pytest.mark.parametrize(("first", "last"), [(0, 9), (3, 9), (0, 5), (5, 5)])
def test_between_when_rows_lie_outside_then_only_those_are_left_out(first: int, last: int) -> None:
    frame = rows_of([(1, second) for second in range(9)], 1.0)
    start, end = (datetime(1970, 1, 1, 0, 0, second, tzinfo=UTC) for second in (first, last))
    wanted = list(range(first, last))
    assert (between(frame, start, end)["observed_at_utc"].to_physical() // 1_000_000).to_list() == wanted
    assert (between(frame, None, end)["observed_at_utc"].to_physical() // 1_000_000).to_list() == list(range(last))
    assert between(frame.clear(), start, end).is_empty()
