"""PI time strings: ISO 8601, ``*``, ``t``, ``y``, ``1-jan-24`` and offsets such as ``*-1d`` or ``t+6h30m``.

A string without an offset is read in the server's zone, as the vendor does.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

UNITS: dict[str, timedelta] = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "sec": timedelta(seconds=1),
    "second": timedelta(seconds=1),
    "seconds": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "minute": timedelta(minutes=1),
    "minutes": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "hour": timedelta(hours=1),
    "hours": timedelta(hours=1),
    "d": timedelta(days=1),
    "day": timedelta(days=1),
    "days": timedelta(days=1),
    "w": timedelta(weeks=1),
    "week": timedelta(weeks=1),
    "weeks": timedelta(weeks=1),
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_BASE = re.compile(r"(\*|today|yesterday|t|y)(?=$|[\s+-])")
_PI_DATE = re.compile(r"(\d{1,2})-([a-z]{3})-(\d{4}|\d{2})(?:\s+(\d{1,2}):(\d{2})(?::(\d{2}))?)?$")
_ISO_SUFFIX = re.compile(r"(?:z|[+-]\d{2}:?\d{2})$")


class TimeError(ValueError):
    """Not a PI time."""


def parse_interval(text: str) -> timedelta:
    """An interval such as ``1h``, ``10m`` or ``1d12h``; raises ``TimeError``."""
    total, position = timedelta(0), 0
    stripped = text.strip().lower()
    for match in _PART.finditer(stripped):
        if stripped[position : match.start()].strip() or match[2] not in UNITS:
            break
        total += float(match[1]) * UNITS[match[2]]
        position = match.end()
    if position != len(stripped) or total <= timedelta(0):
        message = f"The time interval '{text}' is not valid."
        raise TimeError(message)
    return total


def parse_time(text: str, *, now: datetime, zone: ZoneInfo) -> datetime:
    """The instant in UTC that ``text`` means at ``now``; raises ``TimeError``."""
    stripped = text.strip().lower()
    base = _BASE.match(stripped)
    if base is not None:
        return _with_offset(_base(base[1], now, zone), stripped[base.end() :], text)
    if stripped[:1] in "+-" and stripped[1:]:
        return _with_offset(now, stripped, text)
    written = _PI_DATE.match(stripped)
    if written is not None and written[2] in MONTHS:
        year = int(written[3]) + (2000 if len(written[3]) == 2 else 0)
        hour, minute, second = (int(part or 0) for part in written.group(4, 5, 6))
        month = MONTHS.index(written[2]) + 1
        local = datetime(year, month, int(written[1]), hour, minute, second, tzinfo=zone)
        return local.astimezone(UTC)
    return _iso(stripped, text, zone)


def _base(word: str, now: datetime, zone: ZoneInfo) -> datetime:
    if word == "*":
        return now
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if word in ("y", "yesterday"):
        midnight -= timedelta(days=1)
    return midnight.astimezone(UTC)


def _with_offset(base: datetime, offset: str, text: str) -> datetime:
    remaining = offset.strip()
    if not remaining:
        return base
    if remaining[0] not in "+-":
        message = f"The time '{text}' is not valid."
        raise TimeError(message)
    amount = parse_interval(remaining[1:])
    return base + amount if remaining[0] == "+" else base - amount


def _iso(stripped: str, text: str, zone: ZoneInfo) -> datetime:
    """ISO 8601 with up to seven fractional digits, which Python reads to the microsecond."""
    short = re.sub(r"(\.\d{6})\d+", r"\1", stripped)
    try:
        instant = datetime.fromisoformat(short.upper())
    except ValueError:
        message = f"The time '{text}' is not valid."
        raise TimeError(message) from None
    return instant.astimezone(UTC) if _ISO_SUFFIX.search(short) else instant.replace(tzinfo=zone).astimezone(UTC)
