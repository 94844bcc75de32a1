"""From what a client gave to raw tables: labels, boundary samples, rows set aside."""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.raw_frames import in_every_label, in_labels, rejected_rows, samples_by_label

DAY = date(2026, 11, 20)
START = datetime(2026, 11, 20, 5, tzinfo=UTC)
SCHEMA = {"tag_id": pl.UInt32, "observed_at_utc": pl.Datetime("us", "UTC"), "value": pl.Float64}


def bounds(days: int) -> list[tuple[date, datetime, datetime]]:
    return [(DAY + timedelta(days=n), START + timedelta(days=n), START + timedelta(days=n + 1)) for n in range(days)]


def samples(*rows: tuple[int, datetime, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("tag_id", "observed_at_utc")


def test_samples_when_a_day_has_an_earlier_value_then_the_last_one_comes_along() -> None:
    frame = samples(
        (1, START - timedelta(hours=2), 1.0), (1, START - timedelta(hours=1), 2.0), (1, START + timedelta(hours=1), 3.0)
    )
    got = samples_by_label(frame, bounds(2)).filter(pl.col("production_date") == DAY)
    assert got["value"].to_list() == [2.0, 3.0]
    later = samples_by_label(frame, bounds(2)).filter(pl.col("production_date") == DAY + timedelta(days=1))
    assert later["value"].to_list() == [3.0]


def test_samples_when_a_value_stands_at_the_start_then_none_before_it_is_kept() -> None:
    frame = samples((1, START - timedelta(hours=1), 1.0), (1, START, 2.0))
    assert samples_by_label(frame, bounds(1))["value"].to_list() == [2.0]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(-30, 80)), unique=True, max_size=40), st.integers(1, 3))
def test_samples_when_a_range_is_read_whole_or_day_by_day_then_the_same(hits: list[tuple[int, int]], days: int) -> None:
    frame = samples(*((tag, START + timedelta(hours=hour), float(hour)) for tag, hour in hits))
    key = ["production_date", "tag_id", "observed_at_utc"]
    whole = samples_by_label(frame, bounds(days)).sort(key)
    single = pl.concat([samples_by_label(_as_a_client_gives(frame, part), [part]) for part in bounds(days)]).sort(key)
    assert whole.equals(single)


def _as_a_client_gives(frame: pl.DataFrame, part: tuple[date, datetime, datetime]) -> pl.DataFrame:
    """What lies in the interval, and per tag the last sample before it unless one stands at its start."""
    _, start, end = part
    at = pl.col("observed_at_utc")
    inside = frame.filter((at >= start) & (at < end))
    before = frame.filter(at < start).group_by("tag_id", maintain_order=True).last()
    begun = inside.filter(at == start).select("tag_id")
    return pl.concat([before.join(begun, on="tag_id", how="anti"), inside]).sort("tag_id", "observed_at_utc")


def test_events_when_they_cross_days_then_stand_in_each_that_they_touch() -> None:
    local = datetime(2026, 11, 20, 8)
    events = pl.DataFrame(
        {
            "event_no": ["long", "open", "ends-at-start"],
            "started_at_local": [local, local + timedelta(days=1), local - timedelta(days=1)],
            "ended_at_local": [local + timedelta(days=1), None, datetime(2026, 11, 20, 6)],
        },
        schema={"event_no": pl.String, "started_at_local": pl.Datetime("us"), "ended_at_local": pl.Datetime("us")},
    )
    labels = [DAY + timedelta(days=n) for n in range(-1, 3)]
    got = in_every_label(events, labels, [time(6)], "started_at_local", "ended_at_local")
    days = {name: got.filter(pl.col("event_no") == name)["production_date"].to_list() for name in events["event_no"]}
    assert days["long"] == [DAY, DAY + timedelta(days=1)]
    assert days["open"] == [DAY + timedelta(days=1), DAY + timedelta(days=2)]
    assert days["ends-at-start"] == [DAY - timedelta(days=1)]


def test_in_labels_when_a_row_is_of_another_day_then_it_is_set_aside_whole() -> None:
    frame = pl.DataFrame(
        {"production_date": [DAY, DAY + timedelta(days=9), None], "v": [1, 2, 3]},
        schema_overrides={"production_date": pl.Date},
    )
    kept, outside = in_labels(frame, [DAY])
    assert kept["v"].to_list() == [1]
    assert outside["rule"].to_list() == ["production_day_asked"] * 2
    assert '"v":"2"' in outside["raw"][0]
    again = rejected_rows("stream_day", DAY, pl.concat([outside, outside]))
    assert again.height == 2


def test_in_labels_when_nothing_is_wrong_then_nothing_is_set_aside() -> None:
    kept, outside = in_labels(pl.DataFrame({"production_date": [DAY]}), [DAY])
    assert (kept.height, outside.height) == (1, 0)
    assert outside.columns == ["rule", "reason", "raw"]
