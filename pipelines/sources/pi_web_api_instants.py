"""Instants read from bytes in bulk: `2026-10-01T05:00:20Z` and its fractions to microseconds, no text made.

Clock times and fractions are computed eight digits at a time within machine words; a date is read once for each run of
equal ones. Everything works on little-endian words, whatever the machine's own order.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# `YYYY-MM-DDTHH:MM:SS`, and with its Z.
TO_SECONDS = 19
WHOLE = 20
# Digits of a fraction, at most; a seventh and later ones are cut.
MOST_DIGITS = 9
_DAY_SECONDS = 86_400
_UNIX_DAY = date(1970, 1, 1).toordinal()


def word_of(text: bytes) -> np.uint64:
    """The word that these eight bytes are."""
    return np.uint64(int.from_bytes(text, "little"))


_EIGHT = np.uint64(8)
_ZEROS = word_of(b"0" * 8)
_CLOCK = word_of(b"00:00:00")
# A digit above nine overflows its half byte once six is added.
_SIXES = word_of(b"\6" * 8)
_CLOCK_SIXES = word_of(b"\6\6\0\6\6\0\6\6")
_HIGH_HALVES = word_of(b"\xf0" * 8)
_NO_CLOCK_DIGITS = word_of(b"\xf0\xf0\xff\xf0\xf0\xff\xf0\xf0")
_DAY_AND_T = word_of(b"\xff\xff\xff" + bytes(5))
# Hours, minutes and seconds, each in a byte; what makes them pass 255 when they are too large; and where that shows.
_PAIRS = word_of(b"\xff\0\0\xff\0\0\xff\0")
_ABOVE = word_of(bytes([256 - 24, 0, 0, 256 - 60, 0, 0, 256 - 60, 0]))
_CARRIED = word_of(b"\0\xff\0\0\xff\0\0\xff")
_TO_MINUTES = np.uint64(60 << 24 | 1)
_FIRST_OF_FOUR = word_of(b"\xff\0\0\0\xff\0\0\0")
_LEADING = np.array([word_of(b"\xff" * count + bytes(8 - count)) for count in range(9)], dtype=np.uint64)


def whole_seconds(first: Words, second: Words, third: Words) -> tuple[npt.NDArray[np.int64], Flags]:
    """Seconds since 1970 of instants given as three words, fractions left out, and which of them are instants."""
    text = second >> np.uint64(24)
    text |= third << np.uint64(40)
    seconds, is_clock = _clock(text)
    last = second & _DAY_AND_T
    if np.all((first == first[0]) & (last == last[0])):
        day = _day(int(first[0]), int(last[0]))
        if day is None:
            is_clock[:] = False
        else:
            seconds += day * _DAY_SECONDS
        return seconds, is_clock
    days, is_day = _days(first, last)
    seconds += days * _DAY_SECONDS
    return seconds, is_clock if is_day is None else is_clock & is_day


def fractions(buffer: Bytes, places: Places) -> tuple[npt.NDArray[np.int64], Places]:
    """Microseconds (cut) of the digits that begin at `places`, and how many they are: 0 where no Z ends 1 to 9 digits.

    Ten bytes from each place lie within the buffer.
    """
    lengths = np.zeros(len(places), np.int64)
    open_ = np.arange(len(places))
    for length in range(1, MOST_DIGITS + 1):
        is_closed = buffer[places[open_] + length] == ord("Z")
        lengths[open_[is_closed]] = length
        open_ = open_[~is_closed]
        if len(open_) == 0:
            break
    digits = words_at(buffer, places, 1)[:, 0] ^ _ZEROS
    strange = (((digits + _SIXES) | digits) & _HIGH_HALVES) & _LEADING[np.minimum(lengths, 8)]
    lengths[strange != 0] = 0
    ninth = np.flatnonzero(lengths == MOST_DIGITS)
    lengths[ninth[(buffer[places[ninth] + 8] ^ np.uint8(ord("0"))) > 9]] = 0
    # What is beyond the sixth digit is nought: eight digits are then a hundred times the microseconds.
    digits &= _LEADING[np.minimum(lengths, 6)]
    pairs = digits * np.uint64(10) + (digits >> _EIGHT)
    eight = (pairs & _FIRST_OF_FOUR) * np.uint64(100 + (1_000_000 << 32))
    eight += ((pairs >> np.uint64(16)) & _FIRST_OF_FOUR) * np.uint64(1 + (10_000 << 32))
    return (eight >> np.uint64(32)).astype(np.int64) // 100, lengths


def words_at(buffer: Bytes, places: Places, count: int) -> Words:
    """So many words from each place, a row each. One copy of a whole row costs what one word would."""
    kind = np.dtype((np.void, 8 * count))
    rows = np.ndarray((len(buffer) - 8 * count + 1,), kind, buffer=buffer, strides=(1,))[places]
    return rows.view("<u8").reshape(len(places), count)


def _clock(text: Words) -> tuple[npt.NDArray[np.int64], Flags]:
    """Seconds of the day of `HH:MM:SS`, and which texts are that."""
    digits = text ^ _CLOCK
    strange = digits + _CLOCK_SIXES
    strange &= _HIGH_HALVES
    strange |= digits & _NO_CLOCK_DIGITS
    # Tens and ones stand in neighbouring bytes, none of which overflows: 10 x 9 + 9.
    tens = digits * np.uint64(10)
    digits >>= _EIGHT
    tens += digits
    tens &= _PAIRS
    # What is beyond 23:59:59 carries into the byte above it.
    strange |= (tens + _ABOVE) & _CARRIED
    # One multiplication adds up minutes, the hours' and the other ones, above the hours' own bits.
    minutes = tens * _TO_MINUTES
    minutes >>= np.uint64(24)
    minutes &= np.uint64(0xFFF)
    minutes *= np.uint64(60)
    tens >>= np.uint64(48)
    minutes += tens
    return minutes.view(np.int64), strange == 0


def _days(first: Words, last: Words) -> tuple[npt.NDArray[np.int64], Flags | None]:
    """Days since 1970 of `YYYY-MM-` and `DDT`, and which texts are that (None: all)."""
    changes = np.flatnonzero((first[1:] != first[:-1]) | (last[1:] != last[:-1])) + 1
    begins = np.concatenate([np.zeros(1, np.int64), changes])
    found = [_day(*pair) for pair in zip(first[begins].tolist(), last[begins].tolist(), strict=True)]
    lengths = np.diff(begins, append=len(first))
    days = np.repeat(np.array([0 if day is None else day for day in found], dtype=np.int64), lengths)
    if None not in found:
        return days, None
    return days, np.repeat(np.array([day is not None for day in found], dtype=np.bool_), lengths)


@lru_cache(maxsize=4096)
def _day(first: int, last: int) -> int | None:
    text = first.to_bytes(8, "little") + last.to_bytes(8, "little")[:3]
    try:
        day = date.fromisoformat(text[:10].decode("ascii"))
    except ValueError:
        return None
    return day.toordinal() - _UNIX_DAY if text[10:] == b"T" else None
