"""A page of plain samples straight to columns: places by numpy, numbers by Arrow, no object a value.

Samples of one page look alike but for their instant and number. The first tells the texts around both; each other is
compared with them byte by byte, what differs (a state, a fault, a flag) is decoded alone, and what the page is without
its samples is decoded as JSON. A page that is not of this kind gives None: the caller then decodes all of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from json import JSONDecoder
from math import isfinite

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.sources.payloads_pi import Sample, Skeleton, SkeletonStream
from pipelines.sources.pi_web_api_frame import Columns
from pipelines.sources.pi_web_api_instants import (
    MOST_DIGITS,
    TO_SECONDS,
    WHOLE,
    Bytes,
    Flags,
    Places,
    Words,
    fractions,
    whole_seconds,
    word_of,
    words_at,
)

_FIRST = re.compile(rb'(\{\s*"Timestamp"\s*:\s*")([^"\\]{20,30})("\s*,\s*"Value"\s*:\s*)(-?\d[^,}\s]*)([^{}]*\})')
_BETWEEN = re.compile(rb"\}(\s*,\s*)\{")
_NUMBER = rb"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
_sample = msgspec.json.Decoder(Sample)
_samples = msgspec.json.Decoder(list[Sample])
_skeleton = msgspec.json.Decoder(Skeleton)
_scanner = JSONDecoder()
# More exceptions than this share, and decoding each alone costs more than decoding the page.
_MOST_EXCEPTIONS = 0.2
# Texts are compared by words of eight bytes.
_WORD = 8
_NUMBER_LETTERS = np.isin(np.arange(256), np.frombuffer(b"-0123456789", np.uint8))
# Work goes by pieces that the processor's nearest caches hold: of text, and of samples.
_PIECE_BYTES = 524_288
_PIECE_SAMPLES = 16_384
# Arrow's offsets into a text.
_LONGEST_BODY = 2**31 - 1


@dataclass(frozen=True)
class _Template:
    """The texts of a plain sample before its instant, between instant and number, after it, and between samples."""

    head: bytes
    middle: bytes
    tail: bytes
    between: bytes
    is_good: bool
    is_questionable: bool

    @property
    def closing(self) -> bytes:
        """What stands between a plain sample's number and the next sample."""
        return self.tail + self.between


@dataclass(frozen=True)
class _Row:
    """The words around a sample's beginning, its instant at the begin of one: what they hold where all is plain."""

    # Bytes before the sample, words in all, and the instant's first word.
    lead: int
    count: int
    instant: int
    # By word: its place, its text, and which of its bytes count (None: all). `joint` is closing and head together.
    closing: tuple[_Check, ...]
    head: tuple[_Check, ...]
    joint: tuple[_Check, ...]
    # What stands behind an instant of whole seconds, its Z first.
    middle: tuple[_Check, ...]

    @classmethod
    def of(cls, template: _Template) -> _Row:
        lead = len(template.closing) + -(len(template.closing) + len(template.head)) % _WORD
        at_middle = lead + len(template.head) + WHOLE
        return cls(
            lead=lead,
            count=-(-(at_middle + len(template.middle)) // _WORD),
            instant=(lead + len(template.head)) // _WORD,
            closing=_checks(template.closing, lead - len(template.closing)),
            head=_checks(template.head, lead),
            joint=_checks(template.closing + template.head, lead - len(template.closing)),
            middle=_checks(b"Z" + template.middle, at_middle - 1),
        )


_Check = tuple[int, np.uint64, np.uint64 | None]


def _checks(text: bytes, place: int) -> tuple[_Check, ...]:
    """The words that hold `text` from this place of a row on."""
    first, last = place // _WORD, -(-(place + len(text)) // _WORD)
    row = text.rjust(place - first * _WORD + len(text), b"\0").ljust((last - first) * _WORD, b"\0")
    known = (b"\xff" * len(text)).rjust(place - first * _WORD + len(text), b"\0").ljust(len(row), b"\0")
    return tuple(
        (
            first + at // _WORD,
            word_of(row[at : at + _WORD]),
            None if 0 not in known[at : at + _WORD] else word_of(known[at : at + _WORD]),
        )
        for at in range(0, len(row), _WORD)
    )


def _holds(words: Words, checks: tuple[_Check, ...]) -> Flags:
    """Which rows hold that text."""
    differs: Words | None = None
    for place, text, mask in checks:
        piece = words[:, place] ^ text
        if mask is not None:
            piece &= mask
        differs = piece if differs is None else np.bitwise_or(differs, piece, out=differs)
    assert differs is not None
    holds: Flags = differs == 0
    return holds


@dataclass(frozen=True)
class _Found:
    """Samples of a body: where each begins, its instant (µs), where its number does (0: not plain up to there), and
    whether the text before it ends a plain sample."""

    starts: Places
    instants: Places
    numbers: Places
    is_after_plain: Flags


@dataclass(frozen=True)
class PlainPage:
    """Streams, how many samples each has, and the columns of all samples in their order."""

    streams: list[SkeletonStream]
    counts: list[int]
    columns: Columns


def plain_page(body: bytes) -> PlainPage | None:
    """The page, or None when it is not plain, holds no sample, or is odd in any way: the other way tells what is wrong."""
    template = _learnt(body) if len(body) <= _LONGEST_BODY else None
    if template is None:
        return None
    found = _found(np.frombuffer(body, dtype=np.uint8), template)
    if found is None:
        return None
    columns = Columns.of_good(found.instants, is_good=template.is_good, is_questionable=template.is_questionable)
    try:
        is_plain = _numbered(body, template, found, columns)
    except pa.ArrowInvalid:
        return None
    ends = _exceptions(body, template, found, np.flatnonzero(~is_plain), columns)
    return None if ends is None else _whole(body, template, found.starts, ends, columns)


def _learnt(body: bytes) -> _Template | None:
    found = _FIRST.search(body)
    if found is None:
        return None
    between = _BETWEEN.match(body, found.end() - 1)
    try:
        sample = _sample.decode(found[0])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if sample.Errors is not None:
        return None
    return _Template(found[1], found[3], found[5], between[1] if between else b",", sample.Good, sample.Questionable)


def _found(buffer: Bytes, template: _Template) -> _Found | None:
    """The body's samples. No JSON string holds their head: quotes are escaped there."""
    row = _Row.of(template)
    # Samples so near to either end that a row would pass it are left in the text, which is then no plain one.
    last = len(buffer) - row.count * _WORD - MOST_DIGITS - 1 + row.lead
    letter = template.head.index(b"T")
    pieces: list[_Found] = []
    for first in range(row.lead, last, _PIECE_BYTES):
        starts = np.flatnonzero(buffer[first : min(first + _PIECE_BYTES, last)] == ord("{")) + first
        starts = starts[buffer[starts + letter] == ord("T")]
        words = words_at(buffer, starts - row.lead, row.count)
        is_after_plain = _holds(words, row.joint)
        others = np.flatnonzero(~is_after_plain)
        if len(others):
            is_sample = np.ones(len(starts), np.bool_)
            is_sample[others] = _holds(words[others], row.head)
            is_after_plain[others] = _holds(words[others], row.closing)
            if not is_sample.all():
                starts, words, is_after_plain = starts[is_sample], words[is_sample], is_after_plain[is_sample]
        if len(starts):
            instants, numbers = _instants(buffer, template, row, starts, words)
            pieces.append(_Found(starts, instants, numbers, is_after_plain))
    if not pieces:
        return None
    return _Found(
        np.concatenate([piece.starts for piece in pieces]),
        np.concatenate([piece.instants for piece in pieces]),
        np.concatenate([piece.numbers for piece in pieces]),
        np.concatenate([piece.is_after_plain for piece in pieces]),
    )


def _instants(
    buffer: Bytes, template: _Template, row: _Row, starts: Places, words: Words
) -> tuple[npt.NDArray[np.int64], Places]:
    """Each sample's instant in µs, and where its number begins; 0 where it is not plain up to there."""
    instants, is_instant = whole_seconds(*(words[:, row.instant + place] for place in range(3)))
    instants *= 1_000_000
    numbers = starts + (len(template.head) + WHOLE + len(template.middle))
    is_begun = _holds(words, row.middle)
    is_begun &= is_instant
    if is_begun.all():
        return instants, numbers
    broken = np.flatnonzero(is_instant & ~is_begun)
    broken = broken[buffer[starts[broken] + (len(template.head) + TO_SECONDS)] == ord(".")]
    if len(broken):
        digits_at = starts[broken] + len(template.head) + WHOLE
        micros, lengths = fractions(buffer, digits_at)
        instants[broken] += micros
        after = digits_at + lengths + 1
        count = -(-len(template.middle) // _WORD)
        after_words = words_at(buffer, np.minimum(after, len(buffer) - count * _WORD), count)
        is_begun[broken] = (lengths > 0) & _holds(after_words, _checks(template.middle, 0))
        numbers[broken] = after + len(template.middle)
    return instants, np.where(is_begun, numbers, 0)


def _numbered(body: bytes, template: _Template, found: _Found, columns: Columns) -> Flags:
    """Fill in the numbers of plain samples that another follows; which those are."""
    buffer = np.frombuffer(body, np.uint8)
    is_plain = np.zeros(len(found.starts), np.bool_)
    for first in range(0, len(is_plain) - 1, _PIECE_SAMPLES):
        # The last sample of all has no next: it is looked at alone.
        piece = slice(first, min(first + _PIECE_SAMPLES, len(is_plain) - 1))
        following = slice(first + 1, piece.stop + 1)
        begins = found.numbers[piece]
        ends = found.starts[following] - len(template.closing)
        is_number = found.is_after_plain[following] & (begins > 0) & (ends > begins)
        is_number &= _NUMBER_LETTERS[buffer[begins]]
        values = _numbers(body, begins, ends, is_number)
        # Numbers beyond the range, and words that JSON does not know, such as -inf, are not plain.
        is_number &= np.isfinite(values)
        columns.values[piece] = values
        is_plain[piece] = is_number
    return is_plain


def _numbers(body: bytes, begins: Places, ends: Places, is_number: Flags) -> npt.NDArray[np.float64]:
    """The numbers written there; anything where there is none. Raises ArrowInvalid for what only begins as a number."""
    # Arrow reads the body as texts one after the other: a number, what stands up to the next one (null), a number…
    count = len(begins)
    offsets = np.empty(2 * count, np.int32)
    offsets[::2] = begins
    offsets[1::2] = ends
    is_valid = np.zeros(2 * count, np.bool_)
    is_valid[::2] = is_number
    buffers = [pa.py_buffer(np.packbits(is_valid, bitorder="little")), pa.py_buffer(offsets), pa.py_buffer(body)]
    texts = pa.Array.from_buffers(pa.string(), 2 * count - 1, buffers)
    return np.frombuffer(texts.cast(pa.float64()).buffers()[1], np.float64)[: 2 * count - 1 : 2]


def _exceptions(
    body: bytes, template: _Template, found: _Found, places: Places, columns: Columns
) -> dict[int, int] | None:
    """Fill in the samples that are not plain, or the last of their lists; where each ends. None: too many, or broken."""
    plain = re.compile(_NUMBER + re.escape(template.tail))
    starts, bridge = found.starts, b"}" + template.between
    ends: dict[int, int] = {}
    odd: list[int] = []
    texts: list[bytes] = []
    try:
        nexts = np.append(starts, len(body))[places + 1]
        listed = (each.tolist() for each in (places, starts[places], found.numbers[places], nexts))
        for place, start, begin, after in zip(*listed, strict=True):
            match = plain.match(body, begin, after) if begin else None
            if match is not None and isfinite(number := float(match[1])):
                columns.values[place] = number
                ends[place] = match.end()
                continue
            if body.endswith(bridge, start, after) and place + 1 < len(starts):
                # Up to the next sample: if it is not one, the texts together do not decode.
                texts.append(body[start : after - len(template.between)])
            else:
                text = body[start:after].decode()
                _, length = _scanner.raw_decode(text)
                texts.append(text[:length].encode())
            ends[place] = start + len(texts[-1])
            odd.append(place)
            if len(odd) > _MOST_EXCEPTIONS * len(starts):
                return None
        samples = _samples.decode(b"[" + b",".join(texts) + b"]")
        if len(samples) != len(odd) or any(sample.Timestamp is None for sample in samples):
            return None
        columns.put(odd, samples)
    except (ValueError, RecursionError, msgspec.DecodeError):
        return None
    return ends


def _whole(
    body: bytes, template: _Template, starts: Places, ends: dict[int, int], columns: Columns
) -> PlainPage | None:
    """The page whose samples these are, if all else of it is what a page has. Each run of samples is cut out of it."""
    pieces = [body[: int(starts[0])]]
    lengths: list[int] = []
    first = 0
    for place, end in ends.items():
        after = int(starts[place + 1]) if place + 1 < len(starts) else len(body)
        between = body[end:after]
        if between == template.between and place + 1 < len(starts):
            continue
        # A run's number stands where it stood.
        pieces += [b"%d" % len(lengths), between]
        lengths.append(place + 1 - first)
        first = place + 1
    try:
        skeleton = _skeleton.decode(b"".join(pieces))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if skeleton.Items is None or skeleton.WebException is not None:
        return None
    if [run for stream in skeleton.Items for run in stream.Items] != list(range(len(lengths))):
        return None
    counts = [sum(lengths[run] for run in stream.Items) for stream in skeleton.Items]
    return PlainPage(skeleton.Items, counts, columns)
