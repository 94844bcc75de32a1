"""What a refresh remembers of its last read, in `<table>/_watermark.json` beside the data that it speaks of.

Always written after that data: whoever is killed in between reads a little twice. Losing the file costs one full read, and
one that cannot be read is refused with a warning and treated as lost. Marks hold the source's stamps and our own, apart.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import TypeVar

import msgspec

from pipelines.lake import Lake

FORMAT = 1
NAME = "_watermark.json"
_OWED = "_uncomputed_from"
# A change is stamped before it is committed, and clocks differ: stamps from this long before the newest one are read again.
OVERLAP = timedelta(hours=24)
# Deletions carry no stamp: what was last read whole this long ago is read whole again. Shorter than a day, so that the
# morning run, whatever minute it starts at, always does.
SWEEP = timedelta(hours=20)


class DayMark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One production day of a table.

    `read_at`: our clock when the day was last read whole; of PI, whole or from the overlap on. `seen_to`: the newest stamp
    of the source that was seen by then (Energy Components). `read_to`: up to which instant it was read; `suspects`: tags
    with a value that is not good; `missing`: names of tags that could not be read (PI).
    """

    read_at: datetime
    seen_to: datetime | None = None
    read_to: datetime | None = None
    suspects: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive production days with one mark."""

    first: date
    last: date
    mark: DayMark


class DaysRead(msgspec.Struct, frozen=True, kw_only=True):
    """The watermark of a table by production day. `basis` is a hash of how it was asked: asked otherwise, it says nothing."""

    format: int = FORMAT
    basis: str
    spans: tuple[Span, ...] = ()

    def days(self) -> dict[date, DayMark]:
        """Marks by day."""
        return {
            span.first + timedelta(days=n): span.mark
            for span in self.spans
            for n in range((span.last - span.first).days + 1)
        }


class SnapshotRead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The watermark of a snapshot.

    `sha256` is the content that it speaks of: beside any other content it says nothing. `read_at` is our clock at the last
    whole read; `seen_to` the source's newest stamp; `link` and `fields` Graph's way on and the fields that it was given for;
    `version` a file's mark.
    """

    format: int = FORMAT
    basis: str
    sha256: str
    read_at: datetime
    seen_to: datetime | None = None
    link: str = ""
    fields: str = ""
    version: str = ""


W = TypeVar("W", DaysRead, SnapshotRead)


def read_watermark(lake: Lake, table: str, kind: type[W], *, basis: str, warn: Callable[[str], None]) -> W | None:
    """The table's watermark; None when there is none, or when it was made by another way of asking.

    One that does not parse is refused: `warn` is told, and the caller reads in full.
    """
    name = f"{table}/{NAME}"
    content = lake.read_bytes(name)
    if content is None:
        return None
    try:
        found = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        warn(f"WARNING {name} is no watermark ({fault}): refused, what it spoke of is read in full")
        return None
    if found.format != FORMAT:
        warn(f"WARNING {name} has format {found.format}, this version reads {FORMAT}: what it spoke of is read in full")
        return None
    return found if found.basis == basis else None


def write_watermark(lake: Lake, table: str, watermark: DaysRead | SnapshotRead) -> None:
    """Replace the table's watermark atomically. Call it when the data that it speaks of stands in the lake."""
    content = msgspec.json.encode(watermark)
    # A power cut must not leave a mark beside data that never reached the disk.
    lake.settle()
    if lake.read_bytes(f"{table}/{NAME}") != content:
        lake.write_bytes(f"{table}/{NAME}", content)


def owed_from(lake: Lake) -> date | None:
    """The first day that a run changed, or was about to change, and did not get to compute; None when nothing is owed."""
    content = lake.read_bytes(_OWED)
    try:
        return date.fromisoformat(content.decode()) if content else None
    except ValueError:
        # What is unreadable owes everything.
        return date.min


def owe(lake: Lake, first: date | None) -> None:
    """Note from which day on core and out are owed; None when they are computed. Call it before the days are changed."""
    content = lake.read_bytes(_OWED)
    if first is not None and content != first.isoformat().encode():
        lake.write_bytes(_OWED, first.isoformat().encode())
    elif first is None and content is not None:
        lake.settle()
        lake.remove_bytes(_OWED)


def spans_of(days: Mapping[date, DayMark]) -> tuple[Span, ...]:
    """Marks by day as runs of consecutive days with equal marks, in order."""
    spans: list[Span] = []
    for day in sorted(days):
        before = spans[-1] if spans else None
        if before is not None and day - before.last == timedelta(days=1) and days[day] == before.mark:
            spans[-1] = msgspec.structs.replace(before, last=day)
        else:
            spans.append(Span(first=day, last=day, mark=days[day]))
    return tuple(spans)


def is_recent(read_at: datetime, now: datetime) -> bool:
    """Whether a whole read still counts; one of the future (a clock was set back) does not."""
    return timedelta(0) <= now - read_at < SWEEP


def basis_of(*parts: object) -> str:
    """Hash of what a watermark depends on: address, mapping, tags."""
    return hashlib.sha256("\x00".join(repr(part) for part in parts).encode()).hexdigest()[:32]
