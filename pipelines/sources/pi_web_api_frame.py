"""PI samples to columns: numbers, states, faults and instants, a page at a time.

Pure: structs in, a frame out. Timestamps are cast by Arrow (five times faster than Polars' parser) and cut to µs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipelines.sources.payloads_pi import Sample, State

_INSTANT = pl.Datetime("us", "UTC")
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "tag_id": pl.UInt32,
    "observed_at_utc": _INSTANT,
    "value": pl.Float64,
    "state_code": pl.Int16,
    "is_good": pl.Boolean,
    "is_questionable": pl.Boolean,
}
RECORDED_SCHEMA = pl.Schema(_COLUMNS)


@dataclass(frozen=True)
class Columns:
    """Samples in the order received: µs since 1970, values (NaN: null), flags, and state codes by place."""

    instants: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    is_good: npt.NDArray[np.bool_]
    is_questionable: npt.NDArray[np.bool_]
    codes: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of_good(cls, instants: npt.NDArray[np.int64], *, is_good: bool, is_questionable: bool) -> Columns:
        """Samples of these instants, all with these flags and without a value so far."""
        count = len(instants)
        return cls(instants, np.full(count, np.nan), np.full(count, is_good), np.full(count, is_questionable))

    def put(self, places: Sequence[int], samples: Sequence[Sample]) -> None:
        """Set these places to samples that all have a timestamp. Raises ValueError for an unreadable one."""
        if not places:
            return
        self.instants[np.array(places)] = instants([sample.Timestamp or "" for sample in samples]).to_physical()
        for place, sample in zip(places, samples, strict=True):
            value, code = (sample.Value, None) if sample.Value.__class__ is float else _one(sample.Value)
            if sample.Errors:
                value = None
            self.values[place] = nan if value is None else value
            self.is_good[place] = sample.Good and value is not None
            self.is_questionable[place] = sample.Questionable
            if code is not None and -(2**15) <= code < 2**15:
                self.codes[place] = code

    def frame(self, tag_ids: npt.NDArray[np.uint32]) -> pl.DataFrame:
        """The samples as rows of `RECORDED_SCHEMA`, under these tag ids."""
        # Every call of an engine with threads of its own costs more than the columns themselves.
        codes = pl.Series("state_code", [None], dtype=pl.Int16).new_from_index(0, len(tag_ids))
        if self.codes:
            codes = codes.scatter(list(self.codes), pl.Series(list(self.codes.values()), dtype=pl.Int16))
        return pl.DataFrame(
            [
                pl.Series("tag_id", tag_ids),
                pl.Series("observed_at_utc", self.instants).cast(_INSTANT),
                pl.Series("value", self.values, nan_to_null=True),
                codes,
                pl.Series("is_good", self.is_good),
                pl.Series("is_questionable", self.is_questionable),
            ]
        )


def instants(texts: Sequence[str]) -> pl.Series:
    """UTC instants (µs, cut, not rounded) of ISO texts with 0 to 9 fractional digits. Raises ValueError for another text."""
    try:
        nanoseconds = pa.array(texts, pa.string()).cast(pa.timestamp("ns", "UTC"))
    except pa.ArrowInvalid as error:
        raise ValueError(f"unreadable timestamp: {error}") from None
    return pl.Series("observed_at_utc", nanoseconds.cast(pa.timestamp("us", "UTC"), safe=False), dtype=_INSTANT)


def recorded_frame(streams: Iterable[tuple[int, Sequence[Sample]]]) -> pl.DataFrame:
    """One row a sample, in the order received, for pairs of tag id and samples that all have a timestamp.

    A system state is a null value with its code; a digital state is its code as a number; a value that comes with
    errors, a text and an absent value are null and not good. Raises ValueError for an unreadable timestamp.
    """
    pairs = list(streams)
    lists = [samples for _, samples in pairs]
    samples = list(chain.from_iterable(lists))
    if not samples:
        return RECORDED_SCHEMA.to_frame()
    tag_ids = pl.Series("tag_id", [tag_id for tag_id, _ in pairs], dtype=pl.UInt32)
    lengths = pl.Series("length", [len(each) for each in lists], dtype=pl.UInt32)
    values, codes, faulty = _values(samples)
    flags = pl.Series("is_good", [sample.Good for sample in samples], dtype=pl.Boolean) & values.is_not_null()
    return pl.DataFrame(
        [
            pl.select(pl.lit(tag_ids).repeat_by(pl.lit(lengths)).explode()).to_series().rename("tag_id")
            if len(pairs) > 1
            else pl.repeat(pairs[0][0], len(samples), dtype=pl.UInt32, eager=True).alias("tag_id"),
            instants([sample.Timestamp or "" for sample in samples]),
            values,
            codes,
            flags if faulty is None else flags & ~faulty,
            pl.Series("is_questionable", [sample.Questionable for sample in samples], dtype=pl.Boolean),
        ]
    )


def between(frame: pl.DataFrame, start: datetime | None, end: datetime) -> pl.DataFrame:
    """Rows from `start` (None: from any time) to before `end`; the frame itself where that is all of it."""
    first, last = frame["observed_at_utc"].min(), frame["observed_at_utc"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return frame
    if last < end and (start is None or first >= start):
        return frame
    is_inside = pl.col("observed_at_utc") < end
    return frame.filter(is_inside if start is None else is_inside & (pl.col("observed_at_utc") >= start))


# Shorter runs are sorted rather than put together: each costs as much as some hundred rows.
_SHORTEST_RUN = 256


def single(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of the frames in the order of tag and instant: of several at one instant the last received stands."""
    together = _by_tag(frames)
    if _is_single(together):
        return together
    ordered = together.sort("tag_id", "observed_at_utc", maintain_order=True)
    # Neighbours tell: much cheaper than hashing every pair.
    is_last = (pl.col("tag_id") != pl.col("tag_id").shift(-1)) | (
        pl.col("observed_at_utc") != pl.col("observed_at_utc").shift(-1)
    )
    return ordered.filter(is_last.fill_null(value=True))


def _by_tag(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All rows, those of a tag together as far as that is cheap, in the order received."""
    runs: list[tuple[int, pl.DataFrame]] = []
    rows = 0
    for frame in frames:
        tags = frame["tag_id"].to_numpy()
        begins = np.flatnonzero(tags[1:] != tags[:-1]) + 1
        ends = [*begins.tolist(), len(tags)]
        rows += len(tags)
        if (len(runs) + len(ends)) * _SHORTEST_RUN > rows + len(ends) * _SHORTEST_RUN:
            return pl.concat([RECORDED_SCHEMA.to_frame(), *frames], rechunk=True)
        begin = 0
        for end in ends:
            if end > begin:
                runs.append((int(tags[begin]), frame[begin:end]))
            begin = end
    runs.sort(key=lambda run: run[0])
    return pl.concat([RECORDED_SCHEMA.to_frame(), *(run for _, run in runs)], rechunk=True)


def _is_single(frame: pl.DataFrame) -> bool:
    """Whether rows stand in the order of tag and instant, each instant once."""
    tags, instants_ = frame["tag_id"].to_numpy(), frame["observed_at_utc"].to_physical().to_numpy()
    is_after = (tags[1:] == tags[:-1]) & (instants_[1:] > instants_[:-1])
    return bool(np.all(is_after | (tags[1:] > tags[:-1])))


def _values(samples: list[Sample]) -> tuple[pl.Series, pl.Series, pl.Series | None]:
    """Values, state codes, and which samples are faulty (None: none of them)."""
    values: list[Any] = [sample.Value for sample in samples]
    codes: dict[int, int | None] = {}
    if set(map(type, values)) != {float}:
        # Few samples are no plain number: those are looked at one by one.
        for position in [place for place, value in enumerate(values) if value.__class__ is not float]:
            values[position], code = _one(values[position])
            if code is not None:
                codes[position] = code
    numbers = pl.Series("value", values, dtype=pl.Float64).fill_nan(None)
    states = pl.repeat(None, len(values), dtype=pl.Int64, eager=True).alias("state_code")
    if codes:
        states = states.scatter(list(codes), list(codes.values()))
    states = states.cast(pl.Int16, strict=False)
    errors = [sample.Errors for sample in samples]
    if not any(errors):
        return numbers, states, None
    faulty = pl.Series("faulty", [bool(each) for each in errors], dtype=pl.Boolean)
    return numbers.set(faulty, None), states, faulty


def _one(value: float | State | str | bool | None) -> tuple[float | None, int | None]:
    if isinstance(value, State):
        if value.IsSystem:
            return None, value.Value
        return (None if value.Value is None else float(value.Value)), None
    if isinstance(value, str) or value is None:
        return None, None
    return float(value), None
