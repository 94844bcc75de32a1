"""The freshness word of the header Data-Freshness: a judgement by the clock, therefore never in a body.

fresh: every source is within its agreed age; delayed: one is older, or its last attempt failed; stale: one is older than
twice its agreed age. A source read since without finding anything new counts as read, unless the release is held.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from api.facts import ReleaseFacts, SourceAge
from api.telemetry import logger
from warehouse.errors import StatusCorrupt
from warehouse.status import STATUS, Status, read_status

STALE_FACTOR = 2


@dataclass(frozen=True)
class Thresholds:
    """Seconds since the epoch from which the word changes."""

    delayed_from: float
    stale_from: float

    def word(self, now: float) -> bytes:
        """The word at an instant."""
        if now < self.delayed_from:
            return b"fresh"
        return b"delayed" if now < self.stale_from else b"stale"


def thresholds(sources: Iterable[SourceAge], status: Status | None = None, *, is_held: bool = False) -> Thresholds:
    """When the sources of a release grow old. A source without any data is stale from the beginning."""
    delayed_from = stale_from = math.inf
    for source in sources:
        read = status.sources.get(source.source) if status else None
        as_of = source.data_as_of if status is None else newest(source, status, is_held=is_held)
        if as_of is None:
            return Thresholds(-math.inf, -math.inf)
        age = source.sla.total_seconds()
        begun = as_of.astimezone(UTC).timestamp()
        delayed_from = min(delayed_from, begun + age)
        stale_from = min(stale_from, begun + STALE_FACTOR * age)
        if read is not None and read.last_error is not None:
            delayed_from = -math.inf
    return Thresholds(delayed_from, stale_from)


def newest(source: SourceAge, status: Status, *, is_held: bool) -> datetime | None:
    """How far a source was read: in the release, or since without finding anything new, unless the release is held."""
    read = status.sources.get(source.source)
    known = [source.data_as_of, None if read is None or is_held else read.data_as_of]
    return max((moment for moment in known if moment is not None), default=None)


@dataclass(frozen=True)
class Reading:
    """What the word of the release in force is judged from, at an instant in seconds since the epoch."""

    now: float
    status: Status
    is_held: bool
    overall: Thresholds


class FreshnessClock:
    """The word for the release in force, following status.json; any other release is judged by its own sources."""

    def __init__(self, warehouse_dir: Path, now: Callable[[], float] = time.time) -> None:
        self._warehouse_dir = warehouse_dir
        self._now = now
        self._signature: object = None
        self._status = Status()
        self._is_held = False
        self._release_id: str | None = None
        self._thresholds = Thresholds(-math.inf, -math.inf)
        self._by_source: dict[str, Thresholds] = {}

    def follow(self, facts: ReleaseFacts | None, *, is_held: bool) -> None:
        """Takes up a changed status file and the release in force; an unreadable file keeps the last status."""
        signature = (self._stat(), facts.release_id if facts else None, is_held)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._status = read_status(self._warehouse_dir)
        except (StatusCorrupt, OSError) as fault:
            logger.warning("status file unreadable", extra={"fields": {"fault": str(fault)}})
        if facts is not None:
            self._thresholds = thresholds(facts.sources, self._status, is_held=is_held)
            self._by_source = {s.source: thresholds((s,), self._status, is_held=is_held) for s in facts.sources}
            self._release_id = facts.release_id
            self._is_held = is_held

    def word(self, release_id: str, own: Thresholds) -> bytes:
        """The word for an answer from the release, whose own sources say `own`."""
        return (self._thresholds if release_id == self._release_id else own).word(self._now())

    def reading(self) -> Reading:
        """What the release in force is judged from at this instant."""
        return Reading(self._now(), self._status, self._is_held, self._thresholds)

    def words(self) -> dict[str, str]:
        """The word for each source of the release in force."""
        now = self._now()
        return {source: limits.word(now).decode() for source, limits in self._by_source.items()}

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = (self._warehouse_dir / STATUS).stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino)
