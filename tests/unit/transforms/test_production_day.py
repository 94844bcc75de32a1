"""Production days: lengths, tiling, clock changes, overrides, and Energy Components' naive local times."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.production_day import ProductionCalendar, ProductionDayError, local_to_utc

OSLO_MIDNIGHT = ProductionCalendar("Europe/Oslo", "00:00")
OSLO_SIX = ProductionCalendar("Europe/Oslo", time(6))
LAGOS = ProductionCalendar("Africa/Lagos", "06:00")
CALENDARS = st.sampled_from([OSLO_MIDNIGHT, OSLO_SIX, LAGOS, ProductionCalendar("America/New_York", "02:30")])
LABELS = st.dates(date(1995, 1, 1), date(2035, 12, 31))


def overrides(*rows: tuple[str, str | None, str | None, date | None, date | None]) -> pl.DataFrame:
    return pl.DataFrame(
        rows,
        schema={
            "facility_id": pl.String,
            "zone": pl.String,
            "day_start": pl.String,
            "valid_from": pl.Date,
            "valid_to": pl.Date,
        },
        orient="row",
    )


@pytest.mark.parametrize(
    ("calendar", "label", "hours"),
    [
        (OSLO_MIDNIGHT, date(2012, 3, 25), 23.0),
        (OSLO_MIDNIGHT, date(2012, 10, 28), 25.0),
        (OSLO_MIDNIGHT, date(2012, 6, 1), 24.0),
        (OSLO_SIX, date(2012, 3, 24), 23.0),
        (OSLO_SIX, date(2012, 10, 27), 25.0),
        (OSLO_SIX, date(2012, 10, 28), 24.0),
        (LAGOS, date(2012, 3, 25), 24.0),
    ],
)
def test_hours_when_clocks_change_then_23_24_or_25(calendar: ProductionCalendar, label: date, hours: float) -> None:
    assert calendar.hours(None, label) == hours


def test_bounds_when_lagos_six_then_utc_five() -> None:
    assert LAGOS.bounds("any", date(2026, 11, 21)) == (
        datetime(2026, 11, 21, 5, tzinfo=UTC),
        datetime(2026, 11, 22, 5, tzinfo=UTC),
    )


@given(CALENDARS, LABELS)
def test_bounds_when_consecutive_then_days_tile_time(calendar: ProductionCalendar, label: date) -> None:
    start, end = calendar.bounds(None, label)
    assert end == calendar.bounds(None, label + timedelta(days=1))[0]
    assert timedelta(hours=23) <= end - start <= timedelta(hours=25)


@given(CALENDARS, st.datetimes(datetime(1995, 1, 2), datetime(2035, 12, 30), timezones=st.just(UTC)))
def test_label_of_when_any_instant_then_its_bounds_hold_it(calendar: ProductionCalendar, instant: datetime) -> None:
    start, end = calendar.bounds(None, calendar.label_of(None, instant))
    assert start <= instant < end


@given(CALENDARS, st.lists(LABELS, min_size=1, max_size=5, unique=True))
def test_frame_when_many_labels_then_equal_to_bounds(calendar: ProductionCalendar, labels: list[date]) -> None:
    frame = calendar.frame(labels, ["b", "a", "b"])
    assert frame.height == 2 * len(labels)
    for facility, label, start, end, hours in frame.iter_rows():
        assert (start, end) == calendar.bounds(facility, label)
        assert hours == calendar.hours(facility, label)


def test_rule_when_override_valid_then_used_and_default_outside() -> None:
    calendar = ProductionCalendar(
        "Africa/Lagos",
        "06:00",
        overrides(
            ("a", None, "00:00", date(2026, 1, 10), date(2026, 1, 12)),
            ("b", "Europe/Oslo", None, None, None),
        ),
    )
    assert calendar.bounds("a", date(2026, 1, 9))[0].hour == 5
    assert calendar.bounds("a", date(2026, 1, 10))[0] == datetime(2026, 1, 9, 23, tzinfo=UTC)
    assert calendar.bounds("a", date(2026, 1, 12))[0].hour == 5
    assert calendar.bounds("b", date(2026, 7, 1))[0].hour == 4


def test_union_bounds_when_starts_differ_then_spans_all_and_closes_last() -> None:
    calendar = ProductionCalendar(
        "Africa/Lagos", "06:00", overrides(("a", None, None, None, None), ("b", None, "00:00", None, None))
    )
    label = date(2026, 11, 21)
    start, end = calendar.union_bounds(label)
    assert start == datetime(2026, 11, 20, 23, tzinfo=UTC)
    assert end == datetime(2026, 11, 22, 5, tzinfo=UTC)
    assert not calendar.is_closed(label, end - timedelta(microseconds=1))
    assert calendar.is_closed(label, end)
    assert calendar.latest_closed(end) == label
    assert calendar.latest_closed(end - timedelta(seconds=1)) == label - timedelta(days=1)


def test_latest_closed_when_replay_clock_is_new_year_then_last_day() -> None:
    now = datetime(2013, 1, 1, tzinfo=ZoneInfo("Europe/Oslo"))
    assert OSLO_MIDNIGHT.latest_closed(now) == date(2012, 12, 31)


def test_to_utc_when_time_occurs_twice_then_earliest() -> None:
    local = pl.Series("started_at_local", [datetime(2012, 10, 28, 2, 30), None])
    converted = OSLO_SIX.to_utc(pl.Series(["a", "a"]), local)
    assert converted.to_list() == [datetime(2012, 10, 28, 0, 30, tzinfo=UTC), None]
    assert converted.name == "started_at_local"
    assert converted.dtype == pl.Datetime("us", "UTC")


def test_to_utc_when_time_does_not_occur_then_first_instant_after_the_gap() -> None:
    local = pl.Series([datetime(2012, 3, 25, 2, 30), datetime(2012, 3, 25, 3, 10), datetime(2012, 3, 25, 1, 59)])
    converted = OSLO_SIX.to_utc(pl.Series(["a"] * 3), local)
    assert converted.to_list() == [
        datetime(2012, 3, 25, 1, 0, tzinfo=UTC),
        datetime(2012, 3, 25, 1, 10, tzinfo=UTC),
        datetime(2012, 3, 25, 0, 59, tzinfo=UTC),
    ]


def test_to_utc_when_facilities_differ_in_zone_then_row_by_row_in_order() -> None:
    calendar = ProductionCalendar("Africa/Lagos", "06:00", overrides(("b", "Europe/Oslo", None, None, None)))
    local = pl.Series([datetime(2026, 7, 1, 12)] * 3)
    converted = calendar.to_utc(pl.Series(["b", None, "b"]), local)
    assert [v.hour for v in converted] == [10, 11, 10]


@given(st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), st.timedeltas(timedelta(0), timedelta(hours=3)))
def test_local_to_utc_when_outside_the_repeated_hour_then_order_is_kept(moment: datetime, later: timedelta) -> None:
    moment = moment.replace(month=moment.month if moment.month not in (10, 11) else 5)
    if (moment + later).month in (10, 11):
        later = timedelta(0)
    assert local_to_utc(moment, "Europe/Oslo") <= local_to_utc(moment + later, "Europe/Oslo")


def test_calendar_when_zones_are_unknown_then_all_faults_in_one_error() -> None:
    with pytest.raises(ProductionDayError, match=r"facility a .*Mars.*facility b .*25:00"):
        ProductionCalendar(
            "Africa/Lagos", "06:00", overrides(("a", "Mars/Base", None, None, None), ("b", None, "25:00", None, None))
        )
