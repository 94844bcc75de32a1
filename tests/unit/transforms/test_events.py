"""Events of Energy Components: clipping, groups, losses by phase, targets, confidence, quarantine."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from pipelines import site_tables as t
from pipelines.transforms.events import DailyEvents, Reference, daily_events
from pipelines.transforms.events_objects import disturbed_days, object_table
from pipelines.transforms.production_day import ProductionCalendar
from warehouse.catalog.core import CoreDailyEvent, CoreDailyProduction, CoreDailyWell, CoreQuarantine
from warehouse.catalog.raw import RawEnergyComponentsDefermentDay, RawEnergyComponentsDefermentEvent

DAY, NEXT = date(2026, 11, 20), date(2026, 11, 21)
START = date(2020, 1, 1)


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    blank = {f.name: f.default for f in spec.fields} | ({"valid_from": START} if "valid_from" in schema else {})
    return pl.DataFrame([blank | row for row in rows], schema=schema, orient="row")


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


def _facility(facility_id: str, facility_type: str) -> dict[str, Any]:
    return {
        "facility_id": facility_id,
        "name": facility_id,
        "facility_type": facility_type,
        "hub_id": "hub-a",
        "asset_id": "east",
        "ec_code": facility_id.upper(),
        "gor_scf_per_bbl": 1000.0 if facility_type == "flowstation" else None,
    }


def _edge(from_id: str, to_id: str, network: str, stream: str, on_cut: bool = False) -> dict[str, Any]:
    return {"from_id": from_id, "to_id": to_id, "network": network, "stream": stream, "on_cut": on_cut}


REFERENCE = Reference(
    facilities=table(
        t.FACILITIES,
        _facility("fs-a", "flowstation"),
        _facility("gp-a", "gas-plant"),
        _facility("tm-a", "terminal"),
        _facility("fs-lone", "flowstation"),
    ),
    facility_networks=table(
        t.FACILITY_NETWORKS,
        *(
            {"facility_id": f, "network": n, "is_applicable": True, "counts_in_roll_up": True}
            for f, n in (("fs-a", "oil"), ("gp-a", "domesticGas"), ("gp-a", "exportGas"), ("fs-lone", "oil"))
        ),
    ),
    wells=table(t.WELLS, {"well_ec_code": "W1", "well_id": "w-1", "name": "One", "facility_id": "fs-a"}),
    streams=table(
        t.STREAMS,
        {"stream_ec_code": "GP_DOM", "facility_id": "gp-a", "network": "domesticGas", "role": "production"},
    ),
    edges=table(
        t.EDGES,
        _edge("fs-a", "tm-a", "oil", "netOil", True),
        _edge("fs-a", "gp-a", "domesticGas", "rawGas"),
        _edge("fs-a", "gp-a", "exportGas", "rawGas"),
        _edge("gp-a", "market", "domesticGas", "salesGas", True),
        _edge("gp-a", "lng", "exportGas", "salesGas", True),
    ),
    externals=table(
        t.EXTERNALS,
        {"external_id": "market", "name": "Market", "kind": "market", "network": "domesticGas"},
        {"external_id": "lng", "name": "LNG", "kind": "export", "network": "exportGas"},
    ),
    reason_codes=table(
        t.REASON_CODES,
        {"reason_code": "WEL", "ec_code": "20", "title": "Wells", "choke": "wells"},
        {"reason_code": "PLT", "ec_code": "30", "title": "Plant", "choke": "plant"},
        {"reason_code": "EXP", "title": "Export", "choke": "export", "is_third_party": True},
        {"reason_code": "EXP.LINE", "parent_code": "EXP", "ec_code": "40", "title": "Line", "choke": "export"},
        {"reason_code": "MKT", "ec_code": "50", "title": "Market", "choke": "market"},
    ),
)


def event(event_no: str, **other: Any) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "event_no": event_no,
        "object_ec_code": "FS-A",
        "object_type": "FACILITY",
        "deferment_type": "SINGLE",
        "event_type": "DOWN",
        "started_at_local": datetime(2026, 11, 20, 6),
        "ended_at_local": datetime(2026, 11, 21, 6),
        "reason_ec_code": "30",
        "rev_no": 1,
    } | other


def well(**other: Any) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "well_id": "w-1",
        "facility_id": "fs-a",
        "day_hours": 24.0,
        "on_stream_hours": 18.0,
        "down_hours": 6.0,
        "is_producer": True,
        "is_absent": False,
        "oil_potential_bblpd": 2400.0,
    } | other


def make(
    *events: dict[str, Any],
    labels: tuple[date, ...] = (DAY,),
    split: list[dict[str, Any]] | None = None,
    wells: list[dict[str, Any]] | None = None,
    production: list[dict[str, Any]] | None = None,
    last_closed: date = DAY,
    absent_days: str = "unknown",
    zone: str = "Africa/Lagos",
    factors: dict[str, float] | None = None,
) -> DailyEvents:
    found = daily_events(
        labels=labels,
        last_closed=last_closed,
        now=datetime(2026, 11, 22, tzinfo=UTC),
        events=rows_of(RawEnergyComponentsDefermentEvent, *events),
        event_days=rows_of(RawEnergyComponentsDefermentDay, *(split or [])),
        event_factors=factors or {},
        event_day_factors={},
        reference=REFERENCE,
        calendar=ProductionCalendar(zone, "06:00"),
        wells=rows_of(CoreDailyWell, *(wells or [])),
        production=rows_of(CoreDailyProduction, *(production or [])),
        absent_days=absent_days,
    )
    CoreDailyEvent.validate(found.events)
    CoreQuarantine.validate(found.quarantine)
    return found


def only(found: DailyEvents, phase: str = "oil") -> dict[str, Any]:
    return found.events.filter(pl.col("phase") == phase).row(0, named=True)


def test_daily_events_when_a_volume_was_entered_then_it_is_spread_over_the_events_hours() -> None:
    row = only(
        make(event("1", ended_at_local=datetime(2026, 11, 22, 6), oil_loss_volume=10_000.0)),
    )
    assert (row["loss_rate"], row["hours"], row["oil_loss_bbl"]) == (pytest.approx(5000.0), 24.0, 10_000.0)


def test_daily_events_when_a_daily_split_exists_then_it_goes_before_the_entered_volume() -> None:
    split = [{"production_date": DAY, "event_no": "1", "object_ec_code": "FS-A", "oil_volume": 600.0}]
    row = only(make(event("1", ended_at_local=datetime(2026, 11, 20, 18), oil_loss_volume=9e9), split=split))
    assert row["loss_rate"] == pytest.approx(1200.0)


def test_daily_events_when_only_a_rate_was_entered_then_that_rate_in_base_units() -> None:
    row = only(make(event("1", oil_loss_rate=14.0), factors={"oil_loss_rate": 1000.0}))
    assert row["loss_rate"] == 14_000.0


def test_daily_events_when_a_remaining_rate_was_entered_then_it_stands_beside_a_null_loss() -> None:
    row = only(make(event("1", oil_remaining_rate=8000.0)))
    assert (row["loss_rate"], row["remaining_rate"]) == (None, 8000.0)


def test_daily_events_when_nothing_was_entered_then_every_phase_of_the_object_is_lost_whole() -> None:
    rows = make(event("1")).events
    assert rows.select("phase", "loss_rate", "remaining_rate").rows() == [("gas", None, None), ("oil", None, None)]


def test_daily_events_when_only_oil_was_entered_then_gas_is_left_to_the_gas_oil_ratio() -> None:
    assert make(event("1", oil_loss_rate=5.0)).events["phase"].to_list() == ["oil"]


def test_daily_events_when_both_phases_were_entered_then_two_rows() -> None:
    found = make(event("1", oil_loss_rate=5.0, gas_loss_rate=7000.0))
    assert (only(found)["loss_rate"], only(found, "gas")["loss_rate"]) == (5.0, 7000.0)


def test_daily_events_when_a_gas_plant_has_a_zero_oil_loss_then_only_its_gas_row() -> None:
    found = make(event("1", object_ec_code="GP-A", oil_loss_rate=0.0, gas_loss_rate=1e6))
    assert found.events["phase"].to_list() == ["gas"]


def test_daily_events_when_a_well_has_no_entry_then_its_own_potential_is_lost() -> None:
    found = make(event("1", object_ec_code="W1", object_type="WELL"), wells=[well(down_hours=0.0)])
    row = only(found)
    assert (row["loss_rate"], row["target_kind"], row["equipment_id"]) == (2400.0, "source", "w-1")
    assert found.events["phase"].to_list() == ["oil"]


def test_daily_events_when_open_then_it_lasts_to_the_end_of_the_last_closed_day() -> None:
    row = only(make(event("1", ended_at_local=None, oil_loss_volume=30_000.0), last_closed=date(2026, 11, 22)))
    assert (row["is_open"], row["ended_at_utc"]) == (True, None)
    # Three days from its start to the end of the last closed day.
    assert row["loss_rate"] == pytest.approx(10_000.0)
    assert row["to_utc"] == datetime(2026, 11, 21, 5, tzinfo=UTC)


def test_daily_events_when_an_event_crosses_days_then_each_label_has_its_part() -> None:
    entry = event(
        "1",
        started_at_local=datetime(2026, 11, 20, 18),
        ended_at_local=datetime(2026, 11, 21, 12),
        oil_loss_volume=1800.0,
    )
    rows = make(entry, entry | {"production_date": NEXT}, labels=(DAY, NEXT)).events
    assert rows["hours"].to_list() == [12.0, 6.0]
    assert (rows["loss_rate"] * rows["hours"] / 24.0).sum() == pytest.approx(1800.0)


def test_daily_events_when_clocks_go_back_then_an_event_of_the_day_has_25_hours() -> None:
    label = date(2026, 10, 24)
    entry = event(
        "1",
        production_date=label,
        started_at_local=datetime(2026, 10, 24, 6),
        ended_at_local=datetime(2026, 10, 25, 6),
        oil_loss_volume=2500.0,
    )
    row = only(make(entry, labels=(label,), zone="Europe/Oslo"))
    assert (row["hours"], row["loss_rate"]) == (25.0, pytest.approx(2400.0))


def test_daily_events_when_an_event_only_touches_the_label_then_it_has_no_row() -> None:
    entry = event("1", started_at_local=datetime(2026, 11, 20, 1), ended_at_local=datetime(2026, 11, 20, 6))
    assert make(entry).events.is_empty()


def test_daily_events_when_a_group_has_children_then_it_is_evidence_only() -> None:
    child = {"deferment_type": "GROUP_CHILD", "parent_event_no": "1", "object_ec_code": "W1", "object_type": "WELL"}
    found = make(
        event("1", deferment_type="GROUP", oil_loss_volume=900.0, rev_no=3),
        event("2", **child, oil_loss_volume=400.0),
        event("3", **child, oil_loss_volume=500.0),
    )
    assert found.events["event_id"].to_list() == ["ec:2", "ec:3"]
    assert found.events["evidence"][0] == "ec:DEFERMENT_EVENT/2@1 ec:DEFERMENT_EVENT/1@3"


def test_daily_events_when_a_group_has_no_child_then_it_counts() -> None:
    found = make(event("1", deferment_type="GROUP", oil_loss_rate=900.0))
    assert found.events["event_id"].to_list() == ["ec:1"]


def test_daily_events_when_the_groups_only_child_is_rejected_then_the_group_counts() -> None:
    child = {"deferment_type": "GROUP_CHILD", "parent_event_no": "1", "object_ec_code": "NOPE"}
    found = make(event("1", deferment_type="GROUP", oil_loss_rate=900.0), event("2", **child))
    assert found.events["event_id"].to_list() == ["ec:1"]
    assert found.quarantine["rule"].to_list() == ["unknown_object"]


def test_daily_events_when_the_object_is_unknown_or_time_runs_backwards_then_quarantine_says_which() -> None:
    found = make(
        event("1", object_ec_code="NOPE"),
        event("2", ended_at_local=datetime(2026, 11, 20, 5)),
        event("3", oil_loss_rate=1.0),
    )
    assert found.events["event_id"].to_list() == ["ec:3"]
    assert sorted(found.quarantine["rule"]) == ["no_duration", "unknown_object"]
    assert all('"event_no"' in raw for raw in found.quarantine["raw"])


STREAM = {"object_ec_code": "GP_DOM", "object_type": "STREAM", "reason_ec_code": "40"}


@pytest.mark.parametrize(
    ("entry", "phase", "expected"),
    [
        ({"reason_ec_code": "20"}, "oil", ("source", "fs-a", None)),
        ({"reason_ec_code": "30"}, "oil", ("node", "fs-a", None)),
        ({"reason_ec_code": None}, "oil", ("node", "fs-a", None)),
        ({"reason_ec_code": "40"}, "oil", ("edge", "fs-a~tm-a~oil", "oil")),
        ({"reason_ec_code": "40"}, "gas", ("edge", "fs-a~gp-a~domesticGas", None)),
        ({"reason_ec_code": "40", "object_ec_code": "GP-A"}, "gas", ("edge", "gp-a~lng~exportGas", "exportGas")),
        ({"reason_ec_code": "50", "object_ec_code": "GP-A"}, "gas", ("edge", "gp-a~market~domesticGas", "domesticGas")),
        ({"reason_ec_code": "40", "object_ec_code": "FS-LONE"}, "oil", ("node", "fs-lone", None)),
        ({"reason_ec_code": "20", "object_ec_code": "GP-A"}, "gas", ("node", "gp-a", None)),
        ({"object_ec_code": "fs-a~tm-a~oil", "object_type": "EDGE"}, "oil", ("edge", "fs-a~tm-a~oil", "oil")),
        (STREAM, "gas", ("edge", "gp-a~market~domesticGas", "domesticGas")),    ],
)  # fmt: skip
def test_daily_events_when_choke_and_object_say_so_then_that_is_the_target(
    entry: dict[str, Any], phase: str, expected: tuple[str, str, str | None]
) -> None:
    row = only(make(event("1", **entry)), phase)
    assert (row["target_kind"], row["target_id"], row["network"]) == expected


def test_daily_events_when_a_reason_is_a_child_then_the_parents_flag_holds() -> None:
    row = only(make(event("1", reason_ec_code="40", is_scheduled=True)))
    assert (row["reason_code"], row["is_third_party"], row["is_planned"]) == ("EXP.LINE", True, True)


def test_daily_events_when_coded_open_and_overlapped_then_confidence_is_their_product() -> None:
    found = make(
        event("1", ended_at_local=None, oil_loss_rate=14_000.0),
        event("2", object_ec_code="W1", object_type="WELL", reason_ec_code=None, oil_loss_rate=4200.0),
    )
    confidence = dict(found.events.select("event_id", "confidence").iter_rows())
    assert confidence == {"ec:1": pytest.approx(0.567), "ec:2": pytest.approx(0.63)}


def test_daily_events_when_the_days_production_is_uncertain_then_confidence_falls() -> None:
    doubtful = {"production_date": DAY, "facility_id": "fs-a", "network": "oil", "quality": "uncertain"}
    row = only(make(event("1", oil_loss_rate=1.0), production=[doubtful | {"day_hours": 24.0, "coverage": 1.0}]))
    assert row["confidence"] == pytest.approx(0.72)


def test_daily_events_when_a_wells_hours_are_short_without_event_then_a_uniform_derate() -> None:
    row = only(make(wells=[well()]))
    assert (row["event_id"], row["loss_rate"]) == ("ech:w-1:2026-11-20", pytest.approx(600.0))
    assert (row["hours"], row["is_uniform"], row["confidence"], row["source"]) == (6.0, True, 0.5, "ech")


def test_daily_events_when_a_well_has_its_own_gas_potential_then_a_gas_row_too() -> None:
    row = only(make(wells=[well(gas_potential_scfpd=8e6)]), "gas")
    assert row["loss_rate"] == pytest.approx(2e6)


@pytest.mark.parametrize(
    "entry",
    [{"object_ec_code": "W1", "object_type": "WELL", "event_type": "CONSTRAINT"}, {"object_ec_code": "FS-A"}],
)
def test_daily_events_when_an_event_covers_the_well_then_hours_make_none(entry: dict[str, Any]) -> None:
    found = make(event("1", **entry, oil_loss_rate=1.0), wells=[well()])
    assert found.events["event_id"].to_list() == ["ec:1"]


def test_daily_events_when_the_facility_is_only_constrained_then_a_wells_downtime_still_shows() -> None:
    found = make(event("1", event_type="CONSTRAINT", oil_loss_rate=1.0), wells=[well()])
    assert found.events["event_id"].to_list() == ["ec:1", "ech:w-1:2026-11-20"]


@pytest.mark.parametrize(("absent_days", "expected"), [("unknown", []), ("down", [0.4])])
def test_daily_events_when_a_day_is_absent_then_the_operator_decides(absent_days: str, expected: list[float]) -> None:
    absent = well(is_absent=True, on_stream_hours=None, down_hours=24.0)
    found = make(wells=[absent], absent_days=absent_days)
    assert found.events["confidence"].to_list() == expected


def test_daily_events_when_an_injector_is_down_then_no_event() -> None:
    assert make(wells=[well(is_producer=False)]).events.is_empty()


def test_daily_events_when_a_well_has_no_potential_yet_then_its_downtime_loses_nothing() -> None:
    assert only(make(wells=[well(oil_potential_bblpd=None)]))["loss_rate"] == 0.0


def test_disturbed_days_when_an_event_touches_a_facility_its_wells_or_lines_then_they_stand() -> None:
    objects = object_table(
        facilities=REFERENCE.facilities,
        wells=REFERENCE.wells,
        streams=REFERENCE.streams,
        edges=REFERENCE.edges,
        externals=REFERENCE.externals,
    )
    rows = [
        event("1", object_ec_code="W1", object_type="WELL"),
        event("1", object_ec_code="W1", object_type="WELL", production_date=NEXT),
        event("2", object_ec_code="GP_DOM", object_type="STREAM", ended_at_local=None),
        event("3", object_ec_code="FS-LONE", ended_at_local=datetime(2026, 11, 20, 6)),
        event("4", object_ec_code="NOBODY"),
    ]
    found = disturbed_days(rows_of(RawEnergyComponentsDefermentEvent, *rows), objects)
    assert found.rows() == [("fs-a", DAY), ("fs-a", NEXT), ("gp-a", DAY)]
