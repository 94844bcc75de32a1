"""Derived events in a network: arrivals of a terminal, and what a stop can still explain."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines import site_tables as t
from pipelines.transforms.drivers_network import TopologyBook
from pipelines.transforms.events_derived import Measured, derived_events
from pipelines.transforms.production_day import ProductionCalendar
from warehouse.catalog.core import (
    CoreCapacity,
    CoreDailyEquipmentStop,
    CoreDailyEvent,
    CoreDailyPotential,
    CoreDailyProduction,
    CoreDailyTerminal,
)

DAY = date(2026, 11, 20)
FROM, TO = datetime(2026, 11, 20, 5, tzinfo=UTC), datetime(2026, 11, 21, 5, tzinfo=UTC)
YIELD = 0.9


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    blank = {f.name: f.default for f in spec.fields}
    blank |= {"valid_from": date(2020, 1, 1)} if "valid_from" in schema else {}
    return pl.DataFrame([blank | row for row in rows], schema=schema, orient="row")


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


FACILITIES = table(
    t.FACILITIES,
    *(
        {"facility_id": f, "name": f.upper(), "facility_type": kind, "asset_id": "east"} | other
        for f, kind, other in (
            ("fs-a", "flowstation", {"gor_scf_per_bbl": 1000.0, "fuel_fraction": 0.0}),
            ("fs-b", "flowstation", {}),
            ("tm-a", "terminal", {}),
            ("cs-a", "compressor-station", {}),
            ("gp-a", "gas-plant", {"shrinkage_fraction": 0.06, "fuel_fraction": 0.04}),
        )
    ),
)
COUNTED = table(
    t.FACILITY_NETWORKS,
    *(
        {"facility_id": f, "network": n, "is_applicable": True, "counts_in_roll_up": True}
        for f, n in (("fs-a", "oil"), ("fs-b", "oil"), ("gp-a", "domesticGas"))
    ),
)
EDGES = table(
    t.EDGES,
    *(
        {"from_id": a, "to_id": b, "network": n, "stream": s, "on_cut": cut}
        for a, b, n, s, cut in (
            ("fs-a", "tm-a", "oil", "netOil", True),
            ("fs-b", "tm-a", "oil", "netOil", True),
            ("fs-a", "cs-a", "domesticGas", "rawGas", False),
            ("cs-a", "gp-a", "domesticGas", "rawGas", False),
            ("gp-a", "market", "domesticGas", "salesGas", True),
        )
    ),
)
EXTERNALS = table(t.EXTERNALS, {"external_id": "market", "name": "Market", "kind": "market", "network": "domesticGas"})
TAGS = table(
    t.TAGS,
    *(
        {"tag_id": n, "tag_name": f"{f}.RUN", "facility_id": f, "measurement": "run_status", "group": "process"}
        for n, f in ((1, "fs-a"), (2, "cs-a"))
    ),
    {"tag_id": 3, "tag_name": "TK 1", "facility_id": "tm-a", "measurement": "stock", "group": "gauge"},
)
STREAMS = table(
    t.STREAMS,
    {"stream_ec_code": "TM_REC", "facility_id": "tm-a", "network": "oil", "role": "receipt", "sigma_fraction": 0.0025},
)
POTENTIALS = {("fs-a", "oil"): 60_000.0, ("fs-b", "oil"): 40_000.0, ("gp-a", "domesticGas"): 54e6}
EVENT_SCHEMA = {name: dtype for name, dtype in CoreDailyEvent.create_empty().schema.items() if name != "confidence"} | {
    "is_doubtful": pl.Boolean()
}


def booking(target_id: str, rate: float, **other: Any) -> dict[str, Any]:
    return (
        dict.fromkeys(EVENT_SCHEMA)
        | {
            "production_date": DAY,
            "event_id": "ec:1",
            "phase": "oil",
            "facility_id": target_id,
            "target_kind": "source",
            "target_id": target_id,
            "equipment_id": "w-1",
            "started_at_utc": FROM,
            "ended_at_utc": TO,
            "from_utc": FROM,
            "to_utc": TO,
            "hours": 24.0,
            "is_uniform": False,
            "loss_rate": rate,
            "choke": "wells",
            "source": "ec",
        }
        | other
    )


def stop(tag_id: int, facility_id: str, phase: str, running: float, down: float) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "tag_id": tag_id,
        "from_utc": FROM,
        "to_utc": TO,
        "tag_name": f"{facility_id}.RUN",
        "facility_id": facility_id,
        "equipment_id": "K1",
        "phase": phase,
        "started_at_utc": FROM,
        "flow_down": down,
        "flow_running": running,
    }


def derive(
    *,
    volumes: Mapping[tuple[str, str], float | None],
    stops: list[dict[str, Any]] | None = None,
    events: list[dict[str, Any]] | None = None,
    stock: float = 0.0,
    receipts: float = 100_000.0,
    stock_source: str = "pi",
) -> list[dict[str, Any]]:
    place = {"production_date": DAY, "day_hours": 24.0, "quality": "good", "coverage": 1.0}
    production = rows_of(
        CoreDailyProduction,
        *(place | {"facility_id": f, "network": n, "volume": v} for (f, n), v in volumes.items()),
    )
    potential = rows_of(
        CoreDailyPotential,
        *(
            {"production_date": DAY, "facility_id": f, "network": n, "potential": p, "quality": "good"}
            for (f, n), p in POTENTIALS.items()
        ),
    )
    terminal = {
        "production_date": DAY,
        "facility_id": "tm-a",
        "day_hours": 24.0,
        "gross_stock_bbl": stock,
        "stock_source": stock_source,
        "measured_at_utc": TO - timedelta(hours=1),
        "receipts_bbl": receipts,
        "quality": "good",
    }
    rows = pl.DataFrame(events or [], schema=EVENT_SCHEMA, orient="row")
    found = derived_events(
        rows,
        Measured(
            terminals=rows_of(CoreDailyTerminal, terminal),
            terminal_reference=table(t.TERMINALS, {"facility_id": "tm-a", "safe_fill_bbl": 1e6}),
            stops=rows_of(CoreDailyEquipmentStop, *(stops or [])),
            tags=TAGS,
            potential=potential,
            capacities=rows_of(CoreCapacity),
            before=rows_of(CoreDailyEvent),
        ),
        labels=[DAY],
        last_closed=DAY + timedelta(days=1),
        book=TopologyBook(FACILITIES, COUNTED, EDGES, EXTERNALS),
        calendar=ProductionCalendar(zone="Africa/Lagos", day_start="06:00", facilities=FACILITIES),
        facilities=FACILITIES,
        streams=STREAMS,
        reason_codes=table(t.REASON_CODES),
        production=production,
    )
    assert found.schema == rows.schema
    return found.to_dicts()


FULL_FLOW = {("fs-a", "oil"): 60_000.0, ("fs-b", "oil"): 40_000.0, ("gp-a", "domesticGas"): 54e6}


def test_derived_when_tanks_are_full_then_receipts_are_held_against_all_that_would_arrive() -> None:
    (event,) = derive(volumes=FULL_FLOW, stock=0.999e6, receipts=80_000.0)
    assert event["event_id"] == "tanktop:tm-a:2026-11-20"
    assert event["remaining_rate"] == 80_000.0
    assert event["evidence"] == "pi:TK%201/2026-11-20 ec:STREAM_DAY/TM_REC/2026-11-20"
    # 100,000 bbl/d would arrive; the receipt meter's three standard errors are 0.75 % of it.
    assert derive(volumes=FULL_FLOW, stock=0.999e6, receipts=99_300.0) == []
    assert len(derive(volumes=FULL_FLOW, stock=0.999e6, receipts=99_200.0)) == 1


def test_derived_when_a_station_loses_oil_that_nobody_booked_then_the_stop_takes_it() -> None:
    short = FULL_FLOW | {("fs-a", "oil"): 48_000.0}
    (event,) = derive(volumes=short, stops=[stop(1, "fs-a", "oil", 60_000.0, 48_500.0)])
    assert event["loss_rate"] == pytest.approx(11_500.0)
    (event,) = derive(volumes=short, stops=[stop(1, "fs-a", "oil", 60_000.0, 40_000.0)])
    assert event["loss_rate"] == pytest.approx(12_000.0)


def test_derived_when_a_well_explains_the_loss_then_the_stop_takes_the_rest_or_nothing() -> None:
    short = FULL_FLOW | {("fs-a", "oil"): 48_000.0}
    stops = [stop(1, "fs-a", "oil", 60_000.0, 48_000.0)]
    assert derive(volumes=short, stops=stops, events=[booking("fs-a", 12_000.0)]) == []
    (event,) = derive(volumes=short, stops=stops, events=[booking("fs-a", 7_000.0)])
    assert event["loss_rate"] == pytest.approx(5_000.0)


def test_derived_when_full_tanks_explain_the_loss_then_the_stop_takes_nothing() -> None:
    short = FULL_FLOW | {("fs-a", "oil"): 48_000.0, ("fs-b", "oil"): 32_000.0}
    found = derive(volumes=short, stops=[stop(1, "fs-a", "oil", 60_000.0, 48_000.0)], stock=0.999e6, receipts=80_000.0)
    assert [e["source"] for e in found] == ["tanktop"]


def test_derived_when_the_loss_is_counted_at_another_facility_then_it_is_raw_gas_where_it_was_caused() -> None:
    lost = 9e6
    short = FULL_FLOW | {("gp-a", "domesticGas"): 54e6 - lost}
    (event,) = derive(volumes=short, stops=[stop(2, "cs-a", "gas", 60e6, 45e6)])
    assert (event["target_id"], event["phase"]) == ("cs-a", "gas")
    assert event["loss_rate"] == pytest.approx(lost / YIELD)


def test_derived_when_a_deferment_is_not_known_then_no_stop_is_an_event() -> None:
    unknown = FULL_FLOW | {("fs-a", "oil"): None}
    assert derive(volumes=unknown, stops=[stop(1, "fs-a", "oil", 60_000.0, 0.0)]) == []
