"""When a cron line of five fields comes due next, in a zone: what status.json tells of the next scheduled run.

Numbers, names of months and weekdays, `*`, lists, ranges and steps. Dagster does the scheduling itself; this only foretells.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, lowest, highest value, and names that stand for values.
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    (0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)
# A line that no day of four years and a leap day fits, such as `0 0 30 2 *`, never comes due.
_LONGEST_DAYS = 4 * 366


def next_run(lines: Iterable[str], zone: str, after: datetime) -> datetime | None:
    """The first instant (UTC) after `after` at which any line comes due in the zone's clock; None when none does.

    A line that is not understood counts as none. A local time that the clock skips in spring is passed over.
    """
    due = [instant for line in lines if (instant := _next(line, ZoneInfo(zone), after)) is not None]
    return min(due, default=None)


def _next(line: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    texts = line.lower().split()
    if len(texts) != len(_FIELDS):
        return None
    try:
        minutes, hours, days, months, weekdays = (
            _values(text, *field) for text, field in zip(texts, _FIELDS, strict=True)
        )
    except ValueError:
        return None
    weekdays = {number % 7 for number in weekdays}
    # Both restricted: either one suffices, which is cron's own rule.
    is_either = not texts[2].startswith("*") and not texts[4].startswith("*")
    first = after.astimezone(zone).date()
    for offset in range(_LONGEST_DAYS):
        day = first + timedelta(days=offset)
        by_date, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month not in months or not (by_date or by_weekday if is_either else by_date and by_weekday):
            continue
        due = (
            instant
            for hour in sorted(hours)
            for minute in sorted(minutes)
            for fold in (0, 1)
            if (instant := _instant(datetime(day.year, day.month, day.day, hour, minute, fold=fold), zone)) is not None
            and instant > after
        )
        found = min(due, default=None)
        if found is not None:
            return found
    return None


def _instant(local: datetime, zone: ZoneInfo) -> datetime | None:
    """The instant of a local time; None for one that the clock skips."""
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    return instant if instant.astimezone(zone).replace(tzinfo=None) == local.replace(fold=0) else None


def _values(text: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    """The values of one field. Raises ValueError for what is no field."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        every = int(step) if step else 1
        if span == "*":
            first, last = low, high
        else:
            begin, _, end = span.partition("-")
            first = _value(begin, names)
            last = _value(end, names) if end else (high if step else first)
        if every < 1 or not low <= first <= last <= high:
            raise ValueError(part)
        found |= set(range(first, last + 1, every))
    return found


def _value(text: str, names: dict[str, int]) -> int:
    return names[text] if text in names else int(text)
