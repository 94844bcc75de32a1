"""A page of plain samples straight to columns: places by numpy, numbers by Polars, no object a value.

Samples of one page look alike but for their instant and number. The first tells the texts around both; each other is
compared with them byte by byte, and what differs (a state, a fault, a flag) is decoded alone. A page that is not of this
kind gives None: the caller then decodes it as JSON, five times slower and with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipelines.sources.payloads_pi import Sample
from pipelines.sources.pi_web_api_frame import RECORDED_SCHEMA, recorded_frame

_FIRST = re.compile(rb'(\{\s*"Timestamp"\s*:\s*")([^"\\]{20,30})("\s*,\s*"Value"\s*:\s*)(-?\d[^,}\s]*)([^{}]*\})')
_BETWEEN = re.compile(rb"\}(\s*,\s*)\{")
_sample = msgspec.json.Decoder(Sample)
# More exceptions than this share, and decoding each alone costs more than decoding the page.
_MOST_EXCEPTIONS = 0.2

# Texts are compared by words of eight bytes.
_SHORTEST_TEXT = 8

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Template:
    """The texts of a plain sample before its instant, between instant and number, after it, and between samples."""

    head: bytes
    middle: bytes
    tail: bytes
    between: bytes
    is_good: bool
    is_questionable: bool


def page_frame(body: bytes, streams: Sequence[tuple[int, msgspec.Raw]]) -> pl.DataFrame | None:
    """One row a sample, as `recorded_frame`, for pairs of tag id and the text of its samples within `body`.

    None when the page is not plain, holds nothing, or is odd in any way.
    """
    template = _learnt(body)
    if template is None:
        return None
    buffer = np.frombuffer(body, dtype=np.uint8)
    base = buffer.ctypes.data
    starts = _starts(buffer, template)
    if starts is None:
        return None
    ends = np.empty_like(starts)
    ends[:-1] = starts[1:] - len(template.between)
    counts: list[int] = []
    place = 0
    for _, raw in streams:
        text = np.frombuffer(memoryview(raw), dtype=np.uint8)
        first = int(text.ctypes.data) - base
        if not 0 <= first <= len(body) - len(text):
            return None
        last = first + len(text)
        after = int(np.searchsorted(starts, last))
        if after == place:
            if body[first:last].strip(b"[] \r\n\t"):
                return None
        else:
            ends[after - 1] = body.rfind(b"}", first, last) + 1
            if body[first : int(starts[place])].strip() != b"[" or body[int(ends[after - 1]) : last].strip() != b"]":
                return None
        counts.append(after - place)
        place = after
    if place != len(starts) or place == 0:
        return None
    tag_ids = np.repeat(np.array([tag_id for tag_id, _ in streams], dtype=np.uint32), counts)
    return _frame(body, buffer, template, starts, ends, tag_ids)


def _learnt(body: bytes) -> _Template | None:
    found = _FIRST.search(body)
    if found is None:
        return None
    between = _BETWEEN.match(body, found.end() - 1)
    try:
        sample = _sample.decode(found[0])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if sample.Errors is not None or len(found[5]) < _SHORTEST_TEXT:
        return None
    return _Template(found[1], found[3], found[5], between[1] if between else b",", sample.Good, sample.Questionable)


def _windows(buffer: Bytes, places: Places, length: int) -> Bytes:
    """`length` bytes from each place, one row each; places near the end are the caller's care."""
    return np.lib.stride_tricks.sliding_window_view(buffer, length)[places]


def _equal(buffer: Bytes, places: Places, text: bytes) -> npt.NDArray[np.bool_]:
    """Where `text` (of at least eight bytes) stands; places are within the buffer."""
    fits = places <= len(buffer) - len(text)
    safe = np.where(fits, places, 0)
    # Eight bytes at a time, the last ones overlapping.
    words = np.ndarray((len(buffer) - 7,), np.uint64, buffer=buffer, strides=(1,))
    for offset in {*range(0, len(text) - 7, 8), len(text) - 8}:
        fits &= words[safe + offset] == np.frombuffer(text, np.uint64, 1, offset)[0]
    return fits


def _starts(buffer: Bytes, template: _Template) -> Places | None:
    """Where samples begin."""
    braces = np.flatnonzero(buffer == ord("{"))
    letter = template.head.index(b"T")
    braces = braces[braces < len(buffer) - 64]
    braces = braces[buffer[braces + letter] == ord("T")]
    starts = braces[_equal(buffer, braces, template.head)]
    return starts if len(starts) else None


def _frame(
    body: bytes, buffer: Bytes, template: _Template, starts: Places, ends: Places, tag_ids: npt.NDArray[np.uint32]
) -> pl.DataFrame | None:
    instants = starts + len(template.head)
    micros, widths = _fractions(buffer, instants)
    values_from = instants + widths + len(template.middle)
    values_to = ends - len(template.tail)
    is_plain = (
        (widths > 0)
        & (values_to > values_from)
        & _equal(buffer, instants + widths, template.middle)
        & _equal(buffer, np.maximum(values_to, 0), template.tail)
    )
    if np.count_nonzero(~is_plain) > _MOST_EXCEPTIONS * len(starts):
        return None
    seconds = _seconds(buffer, instants)
    if seconds is None:
        return None
    values = _numbers(body, buffer, np.where(is_plain, values_from, 0), np.where(is_plain, values_to - values_from, 0))
    exceptions = np.flatnonzero(~is_plain | values.is_null().to_numpy())
    frame = pl.DataFrame(
        [
            pl.Series("tag_id", tag_ids),
            pl.Series("observed_at_utc", seconds * 1_000_000 + micros)
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC"),
            values.alias("value"),
            pl.repeat(None, len(starts), dtype=pl.Int16, eager=True).alias("state_code"),
            pl.repeat(template.is_good, len(starts), dtype=pl.Boolean, eager=True).alias("is_good"),
            pl.repeat(template.is_questionable, len(starts), dtype=pl.Boolean, eager=True).alias("is_questionable"),
        ],
        schema=RECORDED_SCHEMA,
    )
    return frame if len(exceptions) == 0 else _patched(body, frame, exceptions, starts, ends)


def _fractions(buffer: Bytes, instants: Places) -> tuple[npt.NDArray[np.int64], Places]:
    """Microseconds of each instant's fraction, cut, and its length with the Z (0: not of this form)."""
    marks = buffer[instants + 19]
    widths = np.where(marks == ord("Z"), 20, 0)
    micros = np.zeros(len(instants), dtype=np.int64)
    broken = np.flatnonzero(marks == ord("."))
    if len(broken):
        digits = _windows(buffer, instants[broken] + 20, 10)
        is_digit = np.logical_and.accumulate((digits >= ord("0")) & (digits <= ord("9")), axis=1)
        length = is_digit.sum(axis=1)
        closed = digits[np.arange(len(broken)), np.minimum(length, 9)] == ord("Z")
        widths[broken] = np.where((length > 0) & (length < 10) & closed, 21 + length, 0)
        weights = 10 ** np.arange(5, -1, -1, dtype=np.int64)
        micros[broken] = np.where(is_digit[:, :6], digits[:, :6] - ord("0"), 0).astype(np.int64) @ weights
    return micros, widths


def _seconds(buffer: Bytes, instants: Places) -> npt.NDArray[np.int64] | None:
    """Whole seconds since 1970 of `YYYY-MM-DDTHH:MM:SS`; None when one is no instant."""
    texts = np.ascontiguousarray(_windows(buffer, instants, 19))
    offsets = np.arange(0, 19 * (len(instants) + 1), 19, dtype=np.int64)
    array = pa.Array.from_buffers(pa.large_string(), len(instants), [None, pa.py_buffer(offsets), pa.py_buffer(texts)])
    try:
        seconds = array.cast(pa.timestamp("s"))
    except pa.ArrowInvalid:
        return None
    # Its own way to numpy imports pandas on first use.
    return np.frombuffer(seconds.buffers()[1], dtype=np.int64)[: len(instants)]


def _numbers(body: bytes, buffer: Bytes, places: Places, lengths: Places) -> pl.Series:
    """The numbers written there; null where there is none."""
    # Arrow's string views point into the body: length, then for long texts four first bytes, buffer and offset, for
    # texts of at most twelve bytes the text itself.
    views = np.zeros((len(places), 4), dtype=np.int32)
    views[:, 0] = lengths
    views[:, 3] = places
    first = _windows(buffer, places, 12)
    views[:, 1] = np.ascontiguousarray(first[:, :4]).view(np.int32)[:, 0]
    is_short = lengths <= 12
    short = first[is_short].copy()
    short[np.arange(12)[None, :] >= lengths[is_short][:, None]] = 0
    views.view(np.uint8)[is_short, 4:] = short
    texts = pa.Array.from_buffers(pa.string_view(), len(places), [None, pa.py_buffer(views), pa.py_buffer(body)])
    series = pl.Series(texts, dtype=pl.String)
    numbers = series.cast(pl.Float64, strict=False)
    # Polars reads words that JSON does not know as numbers: those are no plain ones.
    return numbers.set(numbers.is_nan() | numbers.is_infinite(), None)


def _patched(body: bytes, frame: pl.DataFrame, places: Places, starts: Places, ends: Places) -> pl.DataFrame | None:
    """The frame with those rows decoded alone, each as `recorded_frame` has it."""
    samples: list[Sample] = []
    for place in places.tolist():
        try:
            sample = _sample.decode(body[int(starts[place]) : int(ends[place])])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if sample.Timestamp is None:
            return None
        samples.append(sample)
    try:
        single = recorded_frame([(0, samples)])
    except ValueError:
        return None
    columns = ("observed_at_utc", "value", "state_code", "is_good", "is_questionable")
    return frame.with_columns(frame[name].scatter(places, single[name]) for name in columns)
