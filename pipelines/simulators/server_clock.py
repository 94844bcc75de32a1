"""The clock of a simulated source system.

Every server reads time here only, so a test or a replay can hold it still, set it or move it on.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that follows the machine's until it is set; safe to use from several threads.

    ``now`` fixes it from the start (a replay's ``as_of``). Every instant is aware and in UTC.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self._lock = threading.Lock()
        self._fixed = _utc(now) if now is not None else None
        self._skew = timedelta(0)

    def now(self) -> datetime:
        """The instant that the simulated system believes it is."""
        with self._lock:
            return (self._fixed or datetime.now(UTC)) + self._skew

    def set(self, now: datetime) -> None:
        """Hold the clock at ``now``."""
        with self._lock:
            self._fixed = _utc(now)

    def advance(self, by: timedelta) -> None:
        """Move a held clock on; a running one is held at its new reading."""
        with self._lock:
            self._fixed = (self._fixed or datetime.now(UTC)) + by

    def skew(self, by: timedelta) -> None:
        """Shift every reading by ``by``: the fault of a server whose clock is wrong."""
        with self._lock:
            self._skew = by


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        message = f"a simulator's clock needs an instant with a zone, not {instant.isoformat()}"
        raise ValueError(message)
    return instant.astimezone(UTC)
