"""Tank-top: full tanks with receipts below the arrivals, and what must not be taken for it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines import site_tables as t
from pipelines.transforms.events_derived_tank_top import full_days, tank_top_events, tank_top_reason
from warehouse.catalog.core import CoreDailyEvent, CoreDailyTerminal

DAY = date(2026, 11, 20)
START = date(2020, 1, 1)
SAFE_FILL = 1_000_000.0
DAYS_SCHEMA = {
    "facility_id": pl.String(),
    "production_date": pl.Date(),
    "from_utc": pl.Datetime("us", "UTC"),
    "to_utc": pl.Datetime("us", "UTC"),
    "day_hours": pl.Float64(),
}
REASONS = [
    {"reason_code": "EXP", "title": "Export", "choke": "export"},
    {"reason_code": "EXP.TANKTOP", "ec_code": "4200", "title": "Terminal tank-top", "choke": "export"},
]
NO_SIGMAS = pl.DataFrame(schema={"facility_id": pl.String(), "network": pl.String(), "sigma_fraction": pl.Float64()})


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    blank = {f.name: f.default for f in spec.fields} | ({"valid_from": START} if "valid_from" in schema else {})
    return pl.DataFrame([blank | row for row in rows], schema=schema, orient="row")


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


def bounds(label: date) -> tuple[datetime, datetime]:
    start = datetime(label.year, label.month, label.day, 5, tzinfo=UTC)
    return start, start + timedelta(days=1)


def terminal_day(label: date = DAY, **other: Any) -> dict[str, Any]:
    return {
        "production_date": label,
        "facility_id": "tm-a",
        "day_hours": 24.0,
        "gross_stock_bbl": 0.996 * SAFE_FILL,
        "stock_source": "ec",
        "measured_at_utc": bounds(label)[1],
        "receipts_bbl": 50_000.0,
        "quality": "good",
    } | other


def make(
    *days: dict[str, Any],
    arrivals: float | None = 90_000.0,
    booked: pl.DataFrame | None = None,
    before: pl.DataFrame | None = None,
    reasons: list[dict[str, Any]] | None = None,
    sigmas: pl.DataFrame = NO_SIGMAS,
    last_closed: date = DAY + timedelta(days=9),
) -> list[dict[str, Any]]:
    labels = sorted({row["production_date"] for row in days})
    frame = pl.DataFrame([("tm-a", label, *bounds(label), 24.0) for label in labels], schema=DAYS_SCHEMA, orient="row")
    terminals = table(t.TERMINALS, {"facility_id": "tm-a", "safe_fill_bbl": SAFE_FILL, "storage_ec_code": "TM_A"})
    none = rows_of(CoreDailyEvent)
    return tank_top_events(
        full_days(rows_of(CoreDailyTerminal, *days), terminals, frame),
        arrivals=lambda label, terminal_id: arrivals,
        sigmas=sigmas,
        booked=none if booked is None else booked,
        before=none if before is None else before,
        names={"tm-a": "Alpha"},
        evidence=lambda row: f"ec:TANK_DAY/{row['storage_ec_code']}/{row['production_date']}",
        reason_codes=table(t.REASON_CODES, *(REASONS if reasons is None else reasons)),
        last_closed=last_closed,
    )


def test_tank_top_when_full_and_receipts_below_arrivals_then_the_node_keeps_what_was_received() -> None:
    (event,) = make(terminal_day())
    assert event["event_id"] == "tanktop:tm-a:2026-11-20"
    assert (event["target_kind"], event["target_id"], event["phase"]) == ("node", "tm-a", "oil")
    assert event["remaining_rate"] == 50_000.0
    assert "loss_rate" not in event
    assert (event["from_utc"], event["to_utc"]) == bounds(DAY)
    assert (event["source"], event["choke"], event["reason_code"]) == ("tanktop", "export", "EXP.TANKTOP")
    assert event["evidence"] == "ec:TANK_DAY/TM_A/2026-11-20"


def test_tank_top_when_the_day_has_25_hours_then_the_remaining_rate_is_per_24_hours() -> None:
    (event,) = make(terminal_day(day_hours=25.0))
    assert event["remaining_rate"] == pytest.approx(48_000.0)


@pytest.mark.parametrize(
    ("other", "arrivals"),
    [
        ({"gross_stock_bbl": 0.9949 * SAFE_FILL}, 90_000.0),
        ({"gross_stock_bbl": None}, 90_000.0),
        ({"receipts_bbl": None}, 90_000.0),
        # Stock of an earlier day says nothing about this one.
        ({"measured_at_utc": bounds(DAY)[0]}, 90_000.0),
        # Within three standard errors of the meter, 1 % where none is stated.
        ({"receipts_bbl": 87_400.0}, 90_000.0),
        ({}, None),
    ],
)
def test_tank_top_when_a_condition_fails_then_no_event(other: dict[str, Any], arrivals: float | None) -> None:
    assert make(terminal_day(**other), arrivals=arrivals) == []


def test_tank_top_when_the_meter_is_better_than_one_percent_then_a_smaller_shortfall_counts() -> None:
    sigmas = pl.DataFrame([("tm-a", "oil", 0.0025)], schema=NO_SIGMAS.schema, orient="row")
    assert len(make(terminal_day(receipts_bbl=88_000.0), sigmas=sigmas)) == 1


def test_tank_top_when_days_follow_each_other_then_one_id_and_after_a_gap_a_new_one() -> None:
    days = [terminal_day(DAY + timedelta(days=n)) for n in (0, 1, 3)]
    found = make(*days)
    first, third = "tanktop:tm-a:2026-11-20", "tanktop:tm-a:2026-11-23"
    assert [e["event_id"] for e in found] == [first, first, third]
    assert found[1]["started_at_utc"] == bounds(DAY)[0]
    assert found[1]["from_utc"] == bounds(DAY + timedelta(days=1))[0]


def test_tank_top_when_it_stood_on_the_label_before_then_it_goes_on_under_its_id() -> None:
    yesterday = {
        "production_date": DAY - timedelta(days=1),
        "event_id": "tanktop:tm-a:2026-11-17",
        "target_id": "tm-a",
        "source": "tanktop",
        "started_at_utc": bounds(date(2026, 11, 17))[0],
    }
    (event,) = make(terminal_day(), before=rows_of(CoreDailyEvent, yesterday))
    assert event["event_id"] == "tanktop:tm-a:2026-11-17"
    assert event["started_at_utc"] == bounds(date(2026, 11, 17))[0]


def test_tank_top_when_it_stands_on_the_last_closed_day_then_open_else_ended() -> None:
    (event,) = make(terminal_day(), last_closed=DAY)
    assert event["is_open"] and event["ended_at_utc"] is None
    (event,) = make(terminal_day())
    assert not event["is_open"] and event["ended_at_utc"] == bounds(DAY)[1]


@pytest.mark.parametrize(("choke", "count"), [("export", 0), ("plant", 1)])
def test_tank_top_when_an_export_event_is_booked_on_the_terminal_then_that_one_stands(choke: str, count: int) -> None:
    booked = {"production_date": DAY, "event_id": "ec:1", "phase": "oil", "facility_id": "tm-a", "choke": choke}
    assert len(make(terminal_day(), booked=rows_of(CoreDailyEvent, booked))) == count


def test_reason_when_the_tree_has_none_or_it_is_over_then_null() -> None:
    (event,) = make(terminal_day(), reasons=[{"reason_code": "EXP", "title": "Export", "choke": "export"}])
    assert event["reason_code"] is None
    over = table(t.REASON_CODES, REASONS[1] | {"valid_to": DAY})
    assert tank_top_reason(over, DAY) is None
    assert tank_top_reason(over, DAY - timedelta(days=1)) is not None
