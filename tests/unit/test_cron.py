"""When a cron line comes due next."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cron import next_run

AT = datetime(2026, 11, 22, 6, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "zone", "due"),
    [
        ("*/15 * * * *", "Africa/Lagos", "2026-11-22T06:15:00+00:00"),
        ("40 7 * * *", "Africa/Lagos", "2026-11-22T06:40:00+00:00"),
        ("40 7 * * *", "UTC", "2026-11-22T07:40:00+00:00"),
        ("0 6 * * mon-fri", "UTC", "2026-11-23T06:00:00+00:00"),
        ("0 6 * * 7", "UTC", "2026-11-29T06:00:00+00:00"),
        ("0 0 1 jan *", "UTC", "2027-01-01T00:00:00+00:00"),
        # Day of the month and weekday both restricted: either one suffices.
        ("0 0 13 * 2", "UTC", "2026-11-24T00:00:00+00:00"),
        ("5-59/10 6,8 * * *", "UTC", "2026-11-22T06:15:00+00:00"),
    ],
)
def test_next_run_when_a_line_is_read_then_its_first_instant_after(line: str, zone: str, due: str) -> None:
    assert next_run([line], zone, AT) == datetime.fromisoformat(due)


def test_next_run_when_several_lines_then_the_earliest_and_unreadable_ones_count_as_none() -> None:
    assert next_run(["0 12 * * *", "30 6 * * *"], "UTC", AT) == datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
    assert next_run(["0 0 30 2 *", "@daily", "99 * * * *", "a b c d e", "*/0 * * * *"], "UTC", AT) is None


def test_next_run_when_the_clock_skips_the_hour_then_the_day_after() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    # 02:30 does not exist on 29 March 2026 in Oslo.
    assert next_run(["30 2 * * *"], "Europe/Oslo", before) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)), st.integers(1, 30))
def test_next_run_when_every_n_minutes_then_never_later_than_that_on_the_hour_grid(at: datetime, every: int) -> None:
    after = at.replace(tzinfo=UTC)
    due = next_run([f"*/{every} * * * *"], "Africa/Lagos", after)
    assert due is not None
    assert after < due <= after + timedelta(minutes=every)
    assert due.astimezone(ZoneInfo("Africa/Lagos")).minute % every == 0
