"""Instants read from bytes: as Python reads them, or refused."""

from __future__ import annotations

import contextlib
import re
import string
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.pi_web_api_instants import fractions, whole_seconds, words_at

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d", re.ASCII)
instants = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)


def read(texts: list[bytes]) -> tuple[list[int], list[bool]]:
    buffer = np.frombuffer(b"".join(text.ljust(32) for text in texts), np.uint8)
    words = words_at(buffer, np.arange(0, len(buffer), 32), 3)
    seconds, is_instant = whole_seconds(words[:, 0], words[:, 1], words[:, 2])
    return seconds.tolist(), is_instant.tolist()


@given(st.lists(instants, min_size=1, max_size=20))
def test_seconds_when_texts_are_instants_then_are_those_of_the_calendar(several: list[datetime]) -> None:
    seconds, is_instant = read([at.strftime("%Y-%m-%dT%H:%M:%SZ").encode() for at in several])
    assert all(is_instant)
    assert [EPOCH + timedelta(seconds=each) for each in seconds] == several


@given(instants, st.integers(0, 18), st.sampled_from(string.printable.strip()))
def test_seconds_when_one_letter_is_another_then_only_instants_pass(at: datetime, place: int, letter: str) -> None:
    text = at.strftime("%Y-%m-%dT%H:%M:%S")
    text = text[:place] + letter + text[place + 1 :]
    wanted = None
    if FORM.fullmatch(text):
        with contextlib.suppress(ValueError):
            wanted = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    seconds, is_instant = read([f"{text}Z".encode(), b"2026-10-01T00:00:00Z"])
    assert is_instant == [wanted is not None, True]
    if wanted is not None:
        assert EPOCH + timedelta(seconds=seconds[0]) == wanted


@pytest.mark.parametrize(
    "text", [b"2026-10-01T24:00:00Z", b"2026-10-01T00:60:00Z", b"2026-10-01T00:00:60Z", b"2026-02-29T00:00:00Z"]
)
def test_seconds_when_the_clock_or_the_calendar_has_no_such_then_are_refused(text: bytes) -> None:
    assert read([text])[1] == [False]


@given(st.lists(st.text("0123456789", max_size=12), min_size=1, max_size=20))
def test_fractions_when_digits_stand_before_a_z_then_are_microseconds(several: list[str]) -> None:
    buffer = np.frombuffer(b"".join(f"{digits}Z".encode().ljust(32) for digits in several), np.uint8)
    micros, lengths = fractions(buffer, np.arange(0, len(buffer), 32))
    for digits, micro, length in zip(several, micros.tolist(), lengths.tolist(), strict=True):
        assert length == (len(digits) if 1 <= len(digits) <= 9 else 0)
        if length:
            assert micro == int(digits[:6].ljust(6, "0"))


@pytest.mark.parametrize("text", [b"12345678xZ", b"1x3Z", b"-5Z", b"123 "])
def test_fractions_when_other_letters_stand_there_then_have_no_length(text: bytes) -> None:
    buffer = np.frombuffer(text.ljust(32), np.uint8)
    assert fractions(buffer, np.zeros(1, np.int64))[1].tolist() == [0]
