"""/facilities/{id} over the tiny operator."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny, tiny_release_tables

ALDER = "/api/v1/facilities/fs-alder"


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """fs-birch stood under hub-alder until 2026-11-20; it has no row there, only another home."""
    directory: Path = tmp_path_factory.mktemp("moved")
    tables = tiny_release_tables(5)
    versions = tables["facility_version"]
    birch = versions.filter(pl.col("facility_id") == "fs-birch")
    cut = pl.lit(date(2026, 11, 20))
    before = birch.with_columns(valid_to=cut, hub_id=pl.lit("hub-alder"), hub_name=pl.lit("Alder"))
    after = birch.with_columns(valid_from=cut)
    tables["facility_version"] = pl.concat([versions.filter(pl.col("facility_id") != "fs-birch"), before, after])
    publish_tiny(directory, tables=tables)
    with Api(Settings(warehouse_dir=directory)) as running:
        yield running


def test_facility_then_the_kpis_that_assets_has(api: Api) -> None:
    assets = api.body("/api/v1/assets")
    listed = {
        facility["id"]: facility
        for asset in assets
        for facility in [*(f for hub in asset["hubs"] for f in hub["facilities"]), *asset["terminals"]]
    }
    for facility_id in ("fs-alder", "gp-alder", "fs-birch", "tm-east"):
        body = api.body(f"/api/v1/facilities/{facility_id}")
        for name in ("id", "name", "type", "status", "countsInRollUp", "networks", "kpis"):
            assert body[name] == listed[facility_id][name], name


def test_facility_that_is_a_terminal_then_its_five_kpis_and_no_hub(api: Api) -> None:
    body = api.body("/api/v1/facilities/tm-east")
    assert body["kpis"]["grossStock"] == 2_748_000
    assert (body["hubId"], body["hubName"], body["assetId"]) == (None, None, "east")
    assert api.body(ALDER)["kpis"] is None


def test_facility_then_ninety_points_with_gaps_where_the_release_has_none(api: Api) -> None:
    series = api.body("/api/v1/facilities/fs-birch")["series"]
    assert (len(series["points"]), series["from"], series["to"]) == (90, "2026-08-24", "2026-11-21")
    by_day = {point["productionDate"]: point["networks"]["oil"] for point in series["points"]}
    assert by_day["2026-11-21"]["currentProduction"] == 13_000
    assert (by_day["2026-11-18"]["currentProduction"], by_day["2026-11-18"]["quality"]) == (None, "missing")
    assert by_day["2026-08-24"]["quality"] == "missing"
    assert series["completeDays"] == 39


def test_facility_then_its_open_events_with_what_is_counted_there(api: Api) -> None:
    body = api.body(ALDER)
    assert [event["id"] for event in body["openEvents"]] == ["ec:48213"]
    assert body["openEventCount"] == 1
    assert body["openEvents"][0]["networks"]["oil"]["volume"] == 11_900
    # The trip at fs-alder defers export gas at the plant: there it is open too, with that part alone.
    plant = api.body("/api/v1/facilities/gp-alder")["openEvents"]
    assert [(event["id"], event["facilityId"]) for event in plant] == [("ec:48213", "fs-alder")]
    assert plant[0]["networks"]["oil"]["volume"] is None
    assert plant[0]["networks"]["exportGas"]["volume"] == 15e6


def test_facility_then_neighbours_up_and_down_by_edge(api: Api) -> None:
    body = api.body("/api/v1/facilities/gp-alder")
    assert [(n["nodeId"], n["kind"], n["network"]) for n in body["upstream"]] == [
        ("fs-alder", "facility", "domesticGas"),
        ("fs-alder", "facility", "exportGas"),
        ("gas-field", "source", "domesticGas"),
        ("gas-field", "source", "exportGas"),
    ]
    assert [(n["nodeId"], n["name"], n["capacity"]) for n in body["downstream"]] == [
        ("export-gas", "Gas export", None),
        ("market-domestic", "Domestic market", 80e6),
    ]
    assert [n["nodeId"] for n in api.body("/api/v1/facilities/gp-alder?network=exportGas")["downstream"]] == [
        "export-gas"
    ]


def test_facility_in_display_units_then_all_of_it_is_scaled_and_named(api: Api) -> None:
    body = api.body(f"{ALDER}?units=display")
    assert (body["uom"]["oil"], body["uom"]["oilVolume"], body["uom"]["gasVolume"]) == ("kbbl/d", "kbbl", "MMscf")
    assert body["networks"]["oil"]["currentProduction"] == 21.7
    assert body["series"]["points"][-1]["networks"]["oil"]["potential"] == 38
    assert body["openEvents"][0]["networks"]["oil"]["volume"] == 11.9
    assert {n["nodeId"]: n["capacity"] for n in body["downstream"]} == {"gp-alder": 300, "tm-east": 60}


def test_facility_then_its_running_day_stands_apart_from_current_production(api: Api) -> None:
    body = api.body(ALDER)
    intraday = body["intraday"]
    assert body["intradayReason"] is None
    assert (intraday["productionDate"], intraday["from"]) == ("2026-11-22", "2026-11-22T05:00:00Z")
    assert intraday["to"] == "2026-11-22T09:00:00Z"
    assert intraday["networks"]["oil"] == {
        "rate": 24_000,
        "percentGood": 99.5,
        "asOf": "2026-11-22T09:00:00Z",
        "quality": "good",
    }
    assert body["networks"]["oil"]["currentProduction"] == 21_700
    assert intraday["networks"]["flaredGas"]["quality"] == "uncertain"
    assert intraday["networks"]["domesticGas"]["quality"] == "notApplicable"
    display = api.body(f"{ALDER}?units=display")["intraday"]["networks"]
    assert (display["oil"]["rate"], display["flaredGas"]["rate"]) == (24, 2.9)


def test_facility_whose_tags_are_silent_then_the_running_day_says_so(api: Api) -> None:
    networks = api.body("/api/v1/facilities/gp-alder")["intraday"]["networks"]
    assert networks["domesticGas"] == {"rate": None, "percentGood": 0, "asOf": None, "quality": "missing"}
    # PI has no tag of this network, which the facility serves.
    assert networks["exportGas"] == {"rate": None, "percentGood": None, "asOf": None, "quality": "missing"}
    assert networks["oil"]["quality"] == "notApplicable"


def test_facility_asked_for_one_network_then_its_running_day_alone(api: Api) -> None:
    networks = api.body(f"{ALDER}?network=oil")["intraday"]["networks"]
    assert (networks["oil"]["rate"], networks["flaredGas"]["quality"]) == (24_000, "notRequested")


def test_facility_without_a_reading_or_on_an_earlier_day_then_no_running_day_and_why(api: Api) -> None:
    body = api.body("/api/v1/facilities/fs-birch")
    assert body["intraday"] is None
    assert "no reading" in body["intradayReason"]
    earlier = api.body(f"{ALDER}?productionDate=2026-11-19")
    assert earlier["intraday"] is None
    assert "2026-11-21" in earlier["intradayReason"]


def test_facility_asked_for_one_network_then_the_others_are_not_requested(api: Api) -> None:
    body = api.body(f"{ALDER}?network=flaredGas")
    assert body["networks"]["oil"]["quality"] == "notRequested"
    assert body["networks"]["flaredGas"]["currentProduction"] == 3.1e6
    assert body["status"] == "constrained"
    assert [event["id"] for event in body["openEvents"]] == ["ec:48213"]


def test_facility_whose_hub_changed_then_the_one_of_the_day(moved: Api) -> None:
    now = moved.body("/api/v1/facilities/fs-birch")
    assert (now["hubId"], now["validFrom"], now["validTo"]) == ("hub-birch", "2026-11-20", None)
    then = moved.body("/api/v1/facilities/fs-birch?productionDate=2026-11-19")
    assert (then["hubId"], then["hubName"], then["validTo"]) == ("hub-alder", "Alder", "2026-11-20")


@pytest.mark.parametrize("facility_id", ["none", "hub-alder", "east", "gas-field", "x" * 300, "%27%20OR%201=1"])
def test_facility_with_an_id_that_is_none_then_404(api: Api, facility_id: str) -> None:
    problem = api.problem(f"/api/v1/facilities/{facility_id}", 404, "notFound")
    assert "/api/v1/assets" in problem["detail"]
