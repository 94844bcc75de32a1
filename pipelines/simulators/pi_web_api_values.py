"""Reading the archive as a PI server does: recorded ranges with their boundaries, values at a time, interpolation.

Nothing later than the server's clock is ever seen. Interpolation holds a step point's last value and draws a line
between the neighbours of any other; beside a bad neighbour there is no line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.simulators.pi_web_api_encode import Run
from pipelines.simulators.replay_pi import VALUE_COLUMNS, PiReplay, Point

Boundary = Literal["Inside", "Outside", "Interpolated"]
NO_DATA = 248


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a recorded read asks for, in microseconds; ``end`` before ``start`` means latest first."""

    start: int
    end: int
    boundary: Boundary = "Inside"
    limit: int = 1000

    @property
    def is_descending(self) -> bool:
        """Whether the latest value comes first."""
        return self.end < self.start


class Archive:
    """A replay as seen at ``now`` (microseconds)."""

    def __init__(self, replay: PiReplay, now: int) -> None:
        self.replay = replay
        self.now = now

    def last_row(self, point: Point) -> int | None:
        """The row of the latest archived value up to now, or none."""
        _, stop = self.replay.rows(point, 0, self.now)
        return stop - 1 if stop > point.start else None

    def recorded(self, point: Point, asked: Range) -> Run:
        """The recorded values of a range with its boundary values, at most ``limit``."""
        first, last = sorted((asked.start, asked.end))
        start, stop = self.replay.rows(point, first, min(last, self.now))
        _, visible = self.replay.rows(point, first, self.now)
        if asked.boundary == "Outside":
            start = start - 1 if start > point.start and self._time(start) != first else start
            stop = stop + 1 if stop < max(visible, stop) and (stop == start or self._time(stop - 1) != last) else stop
        run = self._slice(point, start, stop, asked)
        if asked.boundary == "Interpolated":
            run = self._with_ends(point, run, first, min(last, self.now), asked)
        return run

    def at(self, point: Point, times: npt.NDArray[np.int64]) -> Run:
        """Interpolated values at ``times``; before the first value and after now there is No Data."""
        own = self.replay.times[point.start : point.stop]
        before = np.searchsorted(own, times, side="right") - 1
        known = (before >= 0) & (times <= self.now)
        if len(own) == 0:
            return Run(point, times, _no_data(len(times)))
        low = np.clip(before, 0, None)
        exact = own[low] == times
        high = np.minimum(low + 1, len(own) - 1)
        rows = self.replay.values.slice(point.start, point.stop - point.start)
        at_low, at_high = rows[low.tolist()], rows[high.tolist()]
        values = at_low["Value"].to_numpy().astype(np.float64)
        following = at_high["Value"].to_numpy().astype(np.float64)
        has_line = (high > low) & (own[high] <= self.now) & np.isfinite(following) & ~exact
        if not point.step and point.point_type != "Digital":
            width = np.maximum(own[high] - own[low], 1)
            share = (times - own[low]) / width
            values = np.where(has_line, values + (following - values) * share, values)
        frame = at_low.with_columns(pl.Series("Value", values).fill_nan(None)).with_columns(
            Value=pl.when(pl.lit(pl.Series(known))).then(pl.col("Value")).otherwise(None),
            State=pl.when(pl.lit(pl.Series(known))).then(pl.col("State")).otherwise(NO_DATA).cast(pl.Int16),
            Good=pl.col("Good") & pl.lit(pl.Series(known)),
        )
        return Run(point, times, frame)

    def plot(self, point: Point, first: int, last: int, intervals: int) -> Run:
        """What a drawing of each interval needs: its first, last, lowest, highest and one bad value; no more than five.

        The ends of the range are interpolated where nothing is recorded there.
        """
        start, stop = self.replay.rows(point, first, min(last, self.now))
        times = self.replay.times[start:stop]
        frame = self.replay.values.slice(start, stop - start)
        values = frame["Value"].to_numpy().astype(np.float64)
        good = frame["Good"].to_numpy() & np.isfinite(values)
        edges = first + np.arange(intervals + 1) * ((last - first) / intervals)
        owners = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, intervals - 1)
        chosen: set[int] = set()
        for number in np.unique(owners):
            own = np.flatnonzero(owners == number)
            usable = own[good[own]]
            chosen.update((int(own[0]), int(own[-1])))
            if len(usable):
                chosen.update((int(usable[values[usable].argmin()]), int(usable[values[usable].argmax()])))
            chosen.update(int(bad) for bad in own[~good[own]][:1])
        order = sorted(chosen)
        run = Run(point, times[order], frame[order])
        asked = Range(start=first, end=last, limit=len(order) + 2)
        return self._with_ends(point, run, first, min(last, self.now), asked)

    def nearest(self, point: Point, time: int, mode: str) -> Run | None:
        """The recorded value at, before or after a time, by the vendor's retrieval modes; none when there is none."""
        start, stop = self.replay.rows(point, time, time)
        _, visible = self.replay.rows(point, time, self.now)
        exact = start if stop > start else None
        earlier = start - 1 if start > point.start else None
        later = stop if stop < visible else None
        chosen = {
            "exact": exact,
            "before": earlier,
            "after": later,
            "atorbefore": earlier if exact is None else exact,
            "atorafter": later if exact is None else exact,
            "auto": next((row for row in (exact, earlier, later) if row is not None), None),
        }.get(mode.lower())
        return None if chosen is None else self.row(point, chosen)

    def row(self, point: Point, row: int) -> Run:
        """One recorded value."""
        return Run(point, self.replay.times[row : row + 1], self.replay.values.slice(row, 1))

    def no_data(self, point: Point, time: int) -> Run:
        """The system state No Data at a time."""
        return Run(point, np.array([time], dtype=np.int64), _no_data(1))

    def _time(self, row: int) -> int:
        return int(self.replay.times[row])

    def _slice(self, point: Point, start: int, stop: int, asked: Range) -> Run:
        if asked.is_descending:
            first = max(start, stop - asked.limit)
            times = self.replay.times[first:stop][::-1]
            return Run(point, np.ascontiguousarray(times), self.replay.values.slice(first, stop - first).reverse())
        count = min(stop - start, asked.limit)
        return Run(point, self.replay.times[start : start + count], self.replay.values.slice(start, count))

    def _with_ends(self, point: Point, run: Run, first: int, last: int, asked: Range) -> Run:
        ends = [time for time in dict.fromkeys((first, last)) if time not in run.times]
        edge = self.at(point, np.array(ends, dtype=np.int64))
        times = np.concatenate([run.times, edge.times])
        order = np.argsort(-times if asked.is_descending else times, kind="stable")[: asked.limit]
        frame = pl.concat([run.values, edge.values])[order.tolist()]
        return Run(point, times[order], frame)


def _no_data(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "Value": [None] * count,
            "State": [NO_DATA] * count,
            "Good": [False] * count,
            "Questionable": [False] * count,
            "Substituted": [False] * count,
        },
        schema=VALUE_COLUMNS,
    )
