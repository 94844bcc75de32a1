"""When a stop in PI is an event, and what it may claim."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.events_derived_equipment import Room, equipment_events
from warehouse.catalog.core import CoreDailyEquipmentStop, CoreDailyEvent

DAY = date(2026, 11, 20)
START = datetime(2026, 11, 20, 5, tzinfo=UTC)
METERS = frozenset({("fs-a", "oil")})


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


def stop(tag: str = "K1.RUN", first: float = 6.0, last: float = 18.0, **other: Any) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "tag_id": 7,
        "from_utc": START + timedelta(hours=first),
        "to_utc": START + timedelta(hours=last),
        "tag_name": tag,
        "facility_id": "fs-a",
        "equipment_id": "K1",
        "phase": "oil",
        "started_at_utc": START + timedelta(hours=first),
        "flow_down": 12_000.0,
        "flow_running": 20_000.0,
    } | other


def booking(first: float, last: float, **other: Any) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "event_id": "ec:1",
        "facility_id": "fs-a",
        "target_kind": "node",
        "target_id": "fs-a",
        "from_utc": START + timedelta(hours=first),
        "to_utc": START + timedelta(hours=last),
        "source": "ec",
    } | other


def make(
    *stops: dict[str, Any],
    left: float | None = 50_000.0,
    booked: list[dict[str, Any]] | None = None,
    tags: int = 2,
    last_closed: date = DAY + timedelta(days=9),
) -> list[dict[str, Any]]:
    def first_day(_facility: str, instant: datetime) -> date:
        return (instant - timedelta(hours=5)).date()

    places = {s["facility_id"] for s in stops}
    return equipment_events(
        rows_of(CoreDailyEquipmentStop, *stops),
        booked=rows_of(CoreDailyEvent, *(booked or [])),
        room=lambda label, facility_id, phase: None if left is None else Room(left, 22_000.0, METERS),
        first_day=first_day,
        day_ends={(place, DAY): START + timedelta(days=1) for place in places},
        tag_counts=dict.fromkeys(places, tags),
        names={"fs-a": "Alpha"},
        last_closed=last_closed,
    )


def volume(event: dict[str, Any]) -> float:
    span: timedelta = event["to_utc"] - event["from_utc"]
    return float(event["loss_rate"] * (span / timedelta(hours=24)))


def test_stop_when_flow_fell_with_it_and_nobody_booked_it_then_an_event_of_the_fall() -> None:
    (event,) = make(stop())
    assert event["event_id"] == "pi:K1.RUN:2026-11-20"
    assert (event["target_kind"], event["target_id"], event["phase"]) == ("node", "fs-a", "oil")
    assert event["loss_rate"] == pytest.approx(8_000.0)
    assert (event["hours"], event["source"], event["choke"]) == (12.0, "pi", "plant")
    assert event["started_at_utc"] == START + timedelta(hours=6)
    assert not event["is_uniform"] and not event["is_open"]
    assert event["evidence"] == "pi:K1.RUN/2026-11-20"


@pytest.mark.parametrize("down", [20_000.0, 19_100.0, 25_000.0])
def test_stop_when_the_facility_flows_normally_then_no_event(down: float) -> None:
    assert make(stop(flow_down=down)) == []


@pytest.mark.parametrize("left", [None, 0.0, 300.0])
def test_stop_when_no_volume_is_missing_or_it_is_not_known_then_no_event(left: float | None) -> None:
    assert make(stop(), left=left) == []


def test_stop_when_less_is_missing_than_flow_fell_then_only_that_is_lost() -> None:
    (event,) = make(stop(), left=2_500.0)
    assert volume(event) == pytest.approx(2_500.0)


def test_stop_when_energy_components_booked_it_then_no_event() -> None:
    assert make(stop(), booked=[booking(0.0, 7.0)]) == []
    assert make(stop(), booked=[booking(0.0, 7.0, target_kind="source", equipment_id="K1")]) == []


def test_stop_when_the_booking_is_of_a_well_or_of_other_hours_then_the_event_stands() -> None:
    assert len(make(stop(), booked=[booking(0.0, 24.0, target_kind="source", equipment_id="w-1")])) == 1
    assert len(make(stop(), booked=[booking(18.0, 24.0)])) == 1
    assert len(make(stop(), booked=[booking(0.0, 24.0, facility_id="fs-b")])) == 1


def test_stop_when_flow_was_not_measured_then_only_a_single_machine_takes_the_whole_flow() -> None:
    unmeasured = stop(flow_down=None, flow_running=None)
    assert make(unmeasured, tags=2) == []
    (event,) = make(unmeasured, tags=1)
    assert event["loss_rate"] == pytest.approx(22_000.0)


def test_stop_when_it_came_over_the_boundary_then_the_id_keeps_its_first_day() -> None:
    (event,) = make(stop(first=0.0, started_at_utc=START - timedelta(hours=30)))
    assert event["event_id"] == "pi:K1.RUN:2026-11-18"
    assert event["from_utc"] == START


def test_stop_when_it_lasts_past_the_last_closed_day_then_open() -> None:
    (event,) = make(stop(last=24.0), last_closed=DAY)
    assert event["is_open"] and event["ended_at_utc"] is None
    (event,) = make(stop(last=24.0))
    assert not event["is_open"] and event["ended_at_utc"] == START + timedelta(days=1)


def test_stop_when_it_comes_several_times_a_day_then_one_event_with_the_sum_of_hours() -> None:
    (event,) = make(stop(first=2.0, last=6.0), stop(first=10.0, last=14.0))
    assert event["is_uniform"]
    assert event["hours"] == 8.0
    assert volume(event) == pytest.approx(8_000.0 * 8.0 / 24.0)


def test_stops_when_two_of_one_facility_overlap_then_they_count_as_one_equipment() -> None:
    first, second = make(stop(), stop("K2.RUN", tag_id=8, equipment_id="K2"), left=4_000.0)
    assert first["equipment_id"] == second["equipment_id"]
    assert volume(first) == volume(second) == pytest.approx(4_000.0)


def test_stops_when_they_are_of_other_hours_or_facilities_then_they_share_what_is_missing() -> None:
    found = make(stop(first=0.0, last=12.0), stop("K2.RUN", 12.0, 18.0, tag_id=8), left=5_000.0)
    assert sum(volume(e) for e in found) == pytest.approx(5_000.0)
    found = make(stop(), stop("K9.RUN", tag_id=9, facility_id="fs-b"), left=5_000.0)
    assert sum(volume(e) for e in found) == pytest.approx(5_000.0)


@given(
    left=st.floats(0.0, 30_000.0),
    flows=st.lists(st.tuples(st.floats(0.0, 20_000.0), st.integers(0, 20), st.integers(1, 4)), min_size=1, max_size=5),
)
def test_stops_when_any_then_together_they_never_claim_more_than_is_missing(
    left: float, flows: list[tuple[float, int, int]]
) -> None:
    made = [
        stop(f"K{n}.RUN", first, first + length, tag_id=n, flow_down=down, facility_id=f"fs-{n}")
        for n, (down, first, length) in enumerate(flows)
    ]
    found = make(*made, left=left)
    assert sum(volume(e) for e in found) <= left * (1.0 + 1e-9) + 1e-9
    assert all(e["loss_rate"] > 0.0 for e in found)
