"""The field's own calendar: production days as labels, their bounds in UTC, and hours since the first of them.

The open day stands behind the last closed one, so that index `closed` is the day that is still running.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STEP_HOURS = 1.0 / 6.0


@dataclass(frozen=True)
class Calendar:
    """`labels` are the closed days and the open one; `bounds` (one longer) are hours since `origin`."""

    zone: ZoneInfo
    origin: datetime
    labels: tuple[date, ...]
    bounds: Floats
    now: datetime

    @property
    def closed(self) -> int:
        """How many days are closed; also the index of the open day."""
        return len(self.labels) - 1

    @property
    def hours(self) -> Floats:
        """Length of each day in hours: 23, 24 or 25."""
        return np.diff(self.bounds)

    @property
    def now_hours(self) -> float:
        """The clock in hours since the origin."""
        return (self.now - self.origin).total_seconds() / 3600.0

    def instant(self, hours: float) -> datetime:
        """The UTC instant of hours since the origin, to the second."""
        return self.origin + timedelta(seconds=round(hours * 3600.0))

    def local(self, hours: float) -> datetime:
        """The same as naive facility-local time."""
        return self.instant(hours).astimezone(self.zone).replace(tzinfo=None)

    def day_of(self, hours: float) -> int:
        """Index of the day that holds an hour; the last day for its own end."""
        return int(np.clip(np.searchsorted(self.bounds, hours, side="right") - 1, 0, len(self.labels) - 1))


def calendar(zone_name: str, day_start: str, now: datetime, history_days: int) -> Calendar:
    """The `history_days` closed labels before `now` and the running one. `now` needs an offset, else ValueError."""
    if now.tzinfo is None:
        raise ValueError(f"now={now!r} has no offset: give an aware instant")
    zone, start = ZoneInfo(zone_name), time.fromisoformat(day_start)
    opened = now.astimezone(zone).date()
    if _instant(opened, start, zone) > now:
        opened -= timedelta(days=1)
    labels = tuple(opened - timedelta(days=back) for back in range(history_days, -1, -1))
    instants = [_instant(label, start, zone) for label in (*labels, opened + timedelta(days=1))]
    bounds = np.array([(i - instants[0]).total_seconds() / 3600.0 for i in instants])
    return Calendar(zone, instants[0], labels, bounds, now.astimezone(UTC))


def _instant(label: date, start: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(label, start, tzinfo=zone).astimezone(UTC)


def record_status(label: date, last_closed: date) -> str:
    """P for the newest three days, A once the month is over, V between."""
    if (last_closed - label).days < 3:
        return "P"
    return "A" if (label.year, label.month) < (last_closed.year, last_closed.month) else "V"
