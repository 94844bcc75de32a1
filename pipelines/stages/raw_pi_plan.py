"""Which production days of PI are read, and from when on. Pure.

A day is final when it was read late enough after its end for late values to have come; before, a refresh reads the overlap
before its last read again, and the whole day once a day. Of a final day only tags with values that are not good are.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipelines.watermark import OVERLAP, DayMark, is_recent

# Buffers of a site empty themselves within days of an outage: until then values of a closed day may still come.
LATE_HORIZON = timedelta(hours=72)


@dataclass(frozen=True)
class Day:
    """A label, its start, what there is to read of it (`end`: its own end or now), and whether it is over."""

    label: date
    start: datetime
    end: datetime
    is_over: bool


@dataclass(frozen=True)
class Window:
    """Consecutive days read in one go from `start` on; of the days in `partial` what lies before stays as it is."""

    days: tuple[Day, ...]
    start: datetime
    partial: frozenset[date]


def needed_from(day: Day, mark: DayMark | None, now: datetime) -> datetime | None:
    """From when on a day has to be read, `day.start` for the whole of it, None for nothing.

    `mark` None: it was never read, or it was read otherwise.
    """
    if mark is None or mark.read_to is None:
        return day.start
    is_whole = mark.read_to >= day.end
    if day.is_over and is_whole and day.end + LATE_HORIZON <= mark.read_at <= now:
        return None
    if not is_recent(mark.read_at, now):
        return day.start
    overlap = (mark.read_at if is_whole else mark.read_to) - OVERLAP
    return max(day.start, overlap) if overlap < day.end else None


def windows(
    days: Sequence[Day], marks: Mapping[date, DayMark], held: Collection[date], now: datetime, *, most: int
) -> list[Window]:
    """What is read of the days (ascending), at most `most` days in one go. `held` are the days that the lake has."""
    needs = [(day, needed_from(day, marks.get(day.label) if day.label in held else None, now)) for day in days]
    found: list[list[tuple[Day, datetime]]] = []
    for day, start in needs:
        if start is None:
            continue
        follows = found and day.label - found[-1][-1][0].label == timedelta(days=1)
        if follows and len(found[-1]) < most:
            found[-1].append((day, start))
        else:
            found.append([(day, start)])
    return [
        Window(
            days=tuple(day for day, _ in part),
            start=min(start for _, start in part),
            partial=frozenset(day.label for day, start in part if start > day.start),
        )
        for part in found
    ]


def doubtful(
    days: Sequence[Day], marks: Mapping[date, DayMark], held: Collection[date], now: datetime
) -> list[tuple[Day, DayMark]]:
    """Final days with tags whose values were not good, or that could not be read, when they were looked at a day ago."""
    return [
        (day, mark)
        for day in days
        if day.label in held
        and (mark := marks.get(day.label)) is not None
        and needed_from(day, mark, now) is None
        and (mark.suspects or mark.missing)
        and not is_recent(mark.read_at, now)
    ]
