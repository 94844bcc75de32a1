"""Stretches in which equipment stands by its run status, and the facility's flow over them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines import site_tables as t
from pipelines.transforms.events_derived_stops import equipment_stops, flow_tags
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitTable
from warehouse.catalog.core import CoreDailyEquipmentStop, CoreDailyReading
from warehouse.catalog.raw import RawPiSample

DAY, NEXT = date(2026, 11, 20), date(2026, 11, 21)
START = datetime(2026, 11, 20, 5, tzinfo=UTC)
RUN, FLOW = 7, 8


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    blank = {f.name: f.default for f in spec.fields}
    blank |= {"valid_from": date(2020, 1, 1)} if "valid_from" in schema else {}
    return pl.DataFrame([blank | row for row in rows], schema=schema, orient="row")


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


TAGS = table(
    t.TAGS,
    {
        "tag_id": RUN, "tag_name": "K1.RUN", "facility_id": "cs-a", "measurement": "run_status", "is_step": True,
        "hold_limit_seconds": 1_209_600.0, "group": "process", "object_id": "K1",
    },
    {
        "tag_id": FLOW, "tag_name": "K.FLOW", "facility_id": "cs-a", "measurement": "throughput_rate",
        "unit": "MMscf/d", "hold_limit_seconds": 7200.0, "group": "process",
    },
)  # fmt: skip
FACILITIES = table(
    t.FACILITIES,
    {"facility_id": "cs-a", "name": "A", "facility_type": "compressor-station", "asset_id": "east"},
)
CALENDAR = ProductionCalendar(zone="Africa/Lagos", day_start="06:00", facilities=FACILITIES)


def sample(tag_id: int, hour: float, value: float | None, label: date = DAY, *, is_good: bool = True) -> dict[str, Any]:
    return {
        "production_date": label,
        "tag_id": tag_id,
        "observed_at_utc": START + timedelta(hours=hour),
        "value": value,
        "is_good": is_good,
        "is_questionable": False,
    }


def flows(*rates: float, label: date = DAY, first_hour: float = 0.0) -> list[dict[str, Any]]:
    return [sample(FLOW, first_hour + hour, rate, label) for hour, rate in enumerate(rates)]


def stops(*samples: dict[str, Any], labels: tuple[date, ...] = (DAY,), **other: Any) -> list[dict[str, Any]]:
    found = equipment_stops(
        rows_of(RawPiSample, *samples),
        TAGS,
        FACILITIES,
        CALENDAR,
        labels,
        UnitTable(),
        other.get("before", rows_of(CoreDailyEquipmentStop)),
        other.get("readings", rows_of(CoreDailyReading)),
    )
    return found.to_dicts()


def test_stop_when_the_status_falls_to_zero_then_the_stretch_and_both_flows() -> None:
    (stop,) = stops(
        sample(RUN, -1, 1.0), sample(RUN, 6, 0.0), sample(RUN, 10, 1.0), *flows(*[50.0] * 6, *[20.0] * 4, *[50.0] * 14)
    )
    assert (stop["from_utc"], stop["to_utc"]) == (START + timedelta(hours=6), START + timedelta(hours=10))
    assert stop["started_at_utc"] == stop["from_utc"]
    assert (stop["facility_id"], stop["equipment_id"], stop["phase"]) == ("cs-a", "K1", "gas")
    assert stop["flow_down"] == pytest.approx(20e6)
    assert stop["flow_running"] == pytest.approx(50e6)


def test_stop_when_the_status_is_repeated_then_one_stretch() -> None:
    (stop,) = stops(sample(RUN, 0, 0.0), *(sample(RUN, h, 0.0) for h in range(1, 5)), sample(RUN, 5, 1.0))
    assert (stop["to_utc"] - stop["from_utc"]) == timedelta(hours=5)


def test_stop_when_the_equipment_ran_all_day_or_was_never_read_then_none() -> None:
    assert stops(sample(RUN, -1, 1.0)) == []
    assert stops() == []


def test_stop_when_the_archive_was_bad_then_those_hours_say_nothing() -> None:
    found = stops(sample(RUN, 0, 0.0), sample(RUN, 4, None, is_good=False), sample(RUN, 8, 1.0))
    assert [(s["from_utc"], s["to_utc"]) for s in found] == [(START, START + timedelta(hours=4))]


def test_stop_when_it_goes_over_the_boundary_then_it_keeps_its_start_and_its_running_flow() -> None:
    found = stops(
        *(sample(RUN, 0, 1.0), sample(RUN, 18, 0.0), *flows(*[50.0] * 18, *[20.0] * 6)),
        *(sample(RUN, 18, 0.0, NEXT), sample(RUN, 30, 1.0, NEXT), *flows(*[20.0] * 6, label=NEXT, first_hour=24)),
        labels=(DAY, NEXT),
    )
    first, second = found
    assert second["started_at_utc"] == first["started_at_utc"] == START + timedelta(hours=18)
    assert second["from_utc"] == first["to_utc"] == START + timedelta(hours=24)
    assert second["flow_running"] == first["flow_running"] == pytest.approx(50e6)
    apart = stops(
        *(sample(RUN, 18, 0.0, NEXT), sample(RUN, 30, 1.0, NEXT), *flows(*[20.0] * 6, label=NEXT, first_hour=24)),
        labels=(NEXT,),
        before=rows_of(CoreDailyEquipmentStop, first),
    )
    assert apart == [second]


def test_stop_when_it_stood_before_the_day_then_it_began_at_its_first_known_sample() -> None:
    (stop,) = stops(sample(RUN, -30, 0.0), sample(RUN, 3, 1.0))
    assert stop["started_at_utc"] == START - timedelta(hours=30)
    assert stop["from_utc"] == START


def test_stop_when_it_begins_with_the_day_then_the_day_before_is_the_running_flow() -> None:
    reading = {
        "production_date": DAY - timedelta(days=1),
        "tag_id": FLOW,
        "tag_name": "K.FLOW",
        "facility_id": "cs-a",
        "time_weighted_mean": 48e6,
        "good_fraction": 1.0,
    }
    samples = [sample(RUN, -1, 1.0), sample(RUN, 0, 0.0), *flows(*[20.0] * 24)]
    (stop,) = stops(*samples, readings=rows_of(CoreDailyReading, reading))
    assert (stop["flow_down"], stop["flow_running"]) == (pytest.approx(20e6), pytest.approx(48e6))
    (stop,) = stops(*samples)
    assert stop["flow_running"] is None


def test_stop_when_the_flow_meter_was_silent_for_most_of_it_then_its_flow_is_null() -> None:
    (stop,) = stops(sample(RUN, 0, 1.0), sample(RUN, 10, 0.0), sample(RUN, 20, 1.0), *flows(*[50.0] * 10))
    assert stop["flow_down"] is None
    assert stop["flow_running"] == pytest.approx(50e6)


def test_flow_tags_when_a_facility_has_several_measurements_then_the_first_word_of_its_phase() -> None:
    tags = table(
        t.TAGS,
        *(
            {"tag_id": n, "tag_name": str(n), "facility_id": f, "network": net, "measurement": m, "group": "process"}
            for n, f, net, m in (
                (1, "fs-a", "oil", "rate"),
                (2, "fs-a", None, "gas_rate"),
                (3, "fs-a", "flaredGas", "flare_rate"),
                (4, "gp-a", "domesticGas", "rate"),
                (5, "gp-a", "exportGas", "rate"),
                (6, "gp-a", None, "feed_rate"),
                (7, "tm-a", "oil", "receipt_rate"),
                (8, "tm-a", "oil", "export_rate"),
            )
        ),
    )
    facilities = table(
        t.FACILITIES,
        *(
            {"facility_id": f, "name": f, "facility_type": kind, "asset_id": "east"}
            for f, kind in (("fs-a", "flowstation"), ("gp-a", "gas-plant"), ("tm-a", "terminal"))
        ),
    )
    found = flow_tags(tags, facilities).select("facility_id", "phase", "tag_id").rows()
    assert found == [("fs-a", "oil", 1), ("gp-a", "gas", 4), ("gp-a", "gas", 5), ("tm-a", "oil", 7)]
