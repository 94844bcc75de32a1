"""Summaries of the archive: averages, totals, extremes, counts and coverage over intervals.

Time-weighted: a step point holds its value, any other is a line between good neighbours; what is bad has no weight.
A time-weighted Total integrates a rate per day and is divided by the good share; Count is then seconds of good data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.simulators.pi_web_api_values import Archive
from pipelines.simulators.replay_pi import Point

SUMMARY_TYPES = (
    "Total",
    "Average",
    "Minimum",
    "Maximum",
    "Range",
    "StdDev",
    "PopulationStdDev",
    "Count",
    "PercentGood",
)
DAY_MICROS = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Summary:
    """One summary value with the instant it carries; null when there is no good data."""

    kind: str
    time: int
    value: float | None


@dataclass(frozen=True, slots=True)
class _Segments:
    """Good stretches between samples: start and end instants and the values there."""

    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    left: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]


def summarise(
    archive: Archive, point: Point, first: int, last: int, kinds: list[str], *, time_weighted: bool, earliest_time: bool
) -> list[Summary]:
    """The summaries ``kinds`` of one point over one interval, in microseconds; ``earliest_time`` stamps the start."""
    visible = min(last, archive.now)
    start, stop = archive.replay.rows(point, first, visible)
    times = archive.replay.times[start:stop]
    values = archive.replay.values["Value"].slice(start, stop - start).to_numpy().astype(np.float64)
    good = archive.replay.values["Good"].slice(start, stop - start).to_numpy() & np.isfinite(values)
    if time_weighted:
        numbers = _time_weighted(_segments(archive, point, first, visible), max(last - first, 1))
    else:
        numbers = _event_weighted(values[good], len(values))
    stamps = _stamps(times[good], values[good], first, last, earliest_time=earliest_time)
    return [Summary(kind, stamps.get(kind, first), numbers.get(kind)) for kind in kinds]


def _segments(archive: Archive, point: Point, first: int, last: int) -> _Segments:
    start, stop = archive.replay.rows(point, first, last)
    # The neighbours outside the interval carry the value into it and out of it.
    start, stop = max(start - 1, point.start), min(stop + 1, point.stop)
    while stop > start and archive.replay.times[stop - 1] > archive.now:
        stop -= 1
    times = archive.replay.times[start:stop]
    values = archive.replay.values["Value"].slice(start, stop - start).to_numpy().astype(np.float64)
    good = archive.replay.values["Good"].slice(start, stop - start).to_numpy() & np.isfinite(values)
    if len(times) == 0:
        nothing = np.empty(0)
        return _Segments(nothing.astype(np.int64), nothing.astype(np.int64), nothing, nothing)
    begin, end = times, np.append(times[1:], max(last, int(times[-1])))
    following = np.append(values[1:], values[-1])
    following_good = np.append(good[1:], False)
    right = values if point.step else np.where(following_good, following, values)
    width = np.maximum(end - begin, 1)
    low, high = np.clip(begin, first, last), np.clip(end, first, last)
    left_cut = values + (right - values) * (low - begin) / width
    right_cut = values + (right - values) * (high - begin) / width
    keep = good & (high > low)
    return _Segments(low[keep], high[keep], left_cut[keep], right_cut[keep])


def _time_weighted(parts: _Segments, length: int) -> dict[str, float | None]:
    width = (parts.end - parts.begin).astype(np.float64)
    covered = float(width.sum())
    result: dict[str, float | None] = {"PercentGood": 100.0 * covered / length, "Count": covered / 1e6}
    if covered <= 0:
        return result
    average = float(((parts.left + parts.right) / 2 * width).sum() / covered)
    squares = (parts.left**2 + parts.left * parts.right + parts.right**2) / 3
    variance = max(0.0, float((squares * width).sum() / covered) - average**2)
    low, high = float(min(parts.left.min(), parts.right.min())), float(max(parts.left.max(), parts.right.max()))
    return result | {
        "Average": average,
        "Total": average * length / DAY_MICROS,
        "Minimum": low,
        "Maximum": high,
        "Range": high - low,
        "StdDev": variance**0.5,
        "PopulationStdDev": variance**0.5,
    }


def _event_weighted(values: npt.NDArray[np.float64], events: int) -> dict[str, float | None]:
    count = len(values)
    result: dict[str, float | None] = {"PercentGood": 100.0 * count / events if events else 0.0, "Count": float(count)}
    if count == 0:
        return result
    return result | {
        "Average": float(values.mean()),
        "Total": float(values.sum()),
        "Minimum": float(values.min()),
        "Maximum": float(values.max()),
        "Range": float(values.max() - values.min()),
        "StdDev": float(values.std(ddof=1)) if count > 1 else 0.0,
        "PopulationStdDev": float(values.std()),
    }


def _stamps(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], first: int, last: int, *, earliest_time: bool
) -> dict[str, int]:
    """Extremes carry the instant of the extreme, or the interval's end where none was recorded in it."""
    if earliest_time:
        return {}
    if len(times) == 0:
        return {"Minimum": last, "Maximum": last}
    return {"Minimum": int(times[values.argmin()]), "Maximum": int(times[values.argmax()])}
