"""The formula guard: no text of an export runs in a spreadsheet, and what stood in the release can be had back."""

import csv
import io
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.exports_formats import Labels
from api.exports_formats import csv as as_csv
from api.exports_guard import guarded, is_formula, unguarded

BUILT = datetime(2026, 11, 22, 6, tzinfo=UTC)
LABELS = Labels("event", "20261122T000000Z-0123abcd", "tiny", True, BUILT, ())
# Letters that decide, and some that do not.
TEXT = st.text(
    st.sampled_from("=+-@＝＋－＠'\"\t\r\n ,;a1\x00\u00a0\ufeffé") | st.characters(codec="utf-8"), max_size=12
)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "-",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\nx",
        " =1",
        "\x00=1",
        "\u00a0=1",
        "'=1",
        "''@",
        "＝1",
        "=HYPERLINK()",
    ],
)
def test_guard_of_text_that_a_spreadsheet_may_run_then_it_is_marked(text: str) -> None:
    assert is_formula(text)
    assert guarded(text) == "'" + text


@pytest.mark.parametrize("text", ["", "a=1", "1-1", "'", "'a", "BOM.K201B", "2026-11-21", "a\n=1", "é", "#REF", "(1)"])
def test_guard_of_other_text_then_it_stays(text: str) -> None:
    assert guarded(text) == text


@given(TEXT)
def test_guard_of_any_text_then_it_comes_back_and_what_stands_is_no_formula(text: str) -> None:
    written = guarded(text)
    assert unguarded(written) == text
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert written in (text, "'" + text)


@given(st.lists(TEXT | st.none(), min_size=1, max_size=20))
@example(["=1", None, "", "'=1", "a\r\n=b", '"', "-1"])
def test_csv_of_any_text_then_the_same_guard_and_the_rows_come_back(texts: list[str | None]) -> None:
    batch = pa.record_batch({"text": pa.array(texts, pa.string()), "number": pa.array([-1.5] * len(texts))})
    body = b"".join(as_csv(batch.schema, iter([batch]), LABELS)).decode()
    # Null is nothing, empty text is "": the standard reader cannot tell them apart, so it is looked at before it reads.
    rows = list(csv.reader(io.StringIO(body, newline=""), strict=True))
    assert rows[0] == ["text", "number"]
    assert [unguarded(row[0]) for row in rows[1:]] == [text or "" for text in texts]
    assert [row[1] for row in rows[1:]] == ["-1.5"] * len(texts)
    for row, text in zip(rows[1:], texts, strict=True):
        assert row[0] == guarded(text or "")


def test_csv_then_null_is_nothing_and_empty_text_is_quotes() -> None:
    batch = pa.record_batch({"a": pa.array([None, "", "x"], pa.string()), "b": pa.array([1, None, -2])})
    assert b"".join(as_csv(batch.schema, iter([batch]), LABELS)) == b'"a","b"\n,1\n"",\n"x",-2\n'
