"""/gap-drivers, /production-flow, /terminal and /hubs over the tiny operator."""

from typing import Any

import pytest

from api.routes.gap_drivers import share
from tests.unit.api.client import Api

PRODUCTION_NETWORKS = ("oil", "domesticGas", "exportGas")


def closes(network: dict[str, Any]) -> bool:
    listed = sum(driver["volume"] for driver in network["drivers"])
    explained = listed + network["other"]["volume"] + network["unattributed"]["volume"]
    assert network["closure"]["sumOfDrivers"] == pytest.approx(listed + network["other"]["volume"])
    return explained == pytest.approx(network["reference"]["defermentVolume"], rel=1e-9)


def test_drivers_of_one_flowstation_then_the_domains_worked_case(api: Api) -> None:
    oil = api.body("/api/v1/gap-drivers?facilityIds=fs-alder&network=oil")["networks"]["oil"]
    assert oil["reference"] == {
        "hours": 24,
        "completeDays": 1,
        "potentialVolume": 38000,
        "businessTargetVolume": 34000,
        "productionVolume": 21700,
        "gapVolume": 12300,
        "defermentVolume": 16300,
    }
    first, second = oil["drivers"]
    assert (first["rank"], first["id"], first["volume"], first["volumeIfAlone"], first["gainIfFixed"]) == (
        1,
        "ec:48213",
        11900,
        14000,
        9800,
    )
    assert first["share"] == pytest.approx(0.7301, abs=1e-4)
    assert (first["causeHubId"], first["causeAssetId"], first["title"]) == (
        "hub-alder",
        "east",
        "HP compressor B trip",
    )
    assert (first["open"], first["recoverable"], first["hours"], first["confidence"]) == (True, True, 24, 0.567)
    assert first["evidence"] == ["ec:DEFERMENT_EVENT/48213@1"]
    assert (second["id"], second["planned"], second["recoverable"]) == ("ec:48214", True, False)
    assert oil["unattributed"] == {"volume": 2300, "share": pytest.approx(0.1411, abs=1e-4)}
    assert oil["closure"] == {"sumOfDrivers": 14000, "total": 16300, "error": 0}


@pytest.mark.parametrize("window", ["1d", "7d", "30d", "90d"])
@pytest.mark.parametrize("scope", ["", "&assetId=east", "&facilityIds=fs-birch,gp-alder", "&limit=1", "&units=display"])
def test_drivers_for_any_window_and_scope_then_every_network_closes(api: Api, window: str, scope: str) -> None:
    networks = api.body(f"/api/v1/gap-drivers?window={window}{scope}")["networks"]
    assert set(networks) == set(PRODUCTION_NETWORKS)
    assert all(closes(network) for network in networks.values())


def test_drivers_of_everything_then_the_same_levels_as_the_system(api: Api) -> None:
    reference = api.body("/api/v1/gap-drivers")["networks"]
    system = api.body("/api/v1/summary")["networks"]
    for network in PRODUCTION_NETWORKS:
        levels = reference[network]["reference"]
        assert levels["defermentVolume"] == pytest.approx(system[network]["deferment"])
        assert levels["productionVolume"] == pytest.approx(system[network]["currentProduction"])
        assert levels["gapVolume"] == pytest.approx(system[network]["gap"])


def test_drivers_when_a_day_of_the_window_is_missing_then_it_is_not_complete(api: Api) -> None:
    birch = api.body("/api/v1/gap-drivers?window=7d&facilityIds=fs-birch")["networks"]["oil"]["reference"]
    assert (birch["completeDays"], birch["hours"]) == (6, 144)
    both = api.body("/api/v1/gap-drivers?window=7d")["networks"]["oil"]["reference"]
    assert both["completeDays"] == 7
    assert both["potentialVolume"] == 7 * 38000 + 6 * 20000
    beyond = api.body("/api/v1/gap-drivers?window=90d&facilityIds=fs-alder")["networks"]["oil"]["reference"]
    assert beyond["completeDays"] == 40
    only = api.body("/api/v1/gap-drivers?productionDate=2026-11-18&facilityIds=fs-birch")["networks"]["oil"]
    assert (only["reference"]["completeDays"], only["reference"]["defermentVolume"]) == (0, None)
    assert only["unattributed"] == {"volume": None, "share": None}
    assert only["closure"] == {"sumOfDrivers": 0, "total": None, "error": None}


def test_drivers_when_limited_then_the_rest_stands_in_other(api: Api) -> None:
    oil = api.body("/api/v1/gap-drivers?limit=1")["networks"]["oil"]
    assert [driver["id"] for driver in oil["drivers"]] == ["ec:48213"]
    assert (oil["other"]["count"], oil["other"]["volume"]) == (2, 8100)


def test_drivers_of_one_cause_then_the_others_stand_in_other(api: Api) -> None:
    body = api.body("/api/v1/gap-drivers?causeFacilityIds=fs-birch")
    export = body["networks"]["exportGas"]
    assert [driver["id"] for driver in export["drivers"]] == ["ec:48215"]
    assert export["drivers"][0]["facilities"] == [
        {"facilityId": "gp-alder", "hubId": "hub-alder", "assetId": "east", "volume": 4e6}
    ]
    assert (export["drivers"][0]["causeHubId"], export["other"]["count"]) == ("hub-birch", 1)
    assert closes(export)
    assert body["causeFacilityIds"] == ["fs-birch"]


def test_drivers_caused_on_an_edge_then_its_upstream_end_is_the_cause(api: Api) -> None:
    domestic = api.body("/api/v1/gap-drivers?causeFacilityIds=gp-alder")["networks"]["domesticGas"]
    assert domestic["drivers"][0]["causeNodeId"] == "gp-alder~market-domestic~domesticGas"
    assert domestic["drivers"][0]["causeHubId"] == "hub-alder"


def test_drivers_of_one_network_then_the_others_keep_their_closure(api: Api) -> None:
    networks = api.body("/api/v1/gap-drivers?network=oil")["networks"]
    assert networks["exportGas"]["drivers"] == []
    assert networks["exportGas"]["other"]["count"] == 2
    assert all(closes(network) for network in networks.values())


def test_drivers_where_nothing_counts_then_zeros_and_null_shares(api: Api) -> None:
    domestic = api.body("/api/v1/gap-drivers?facilityIds=fs-alder")["networks"]["domesticGas"]
    assert domestic["reference"]["defermentVolume"] == 0
    assert domestic["unattributed"] == {"volume": 0, "share": None}
    assert domestic["other"] == {"count": 0, "volume": 0, "share": None}


def test_share_when_the_deferment_is_a_residue_of_arithmetic_then_null() -> None:
    assert share(1.8e-12, 1.8e-12) is None
    assert share(None, None) is None
    assert share(2.0, -4.0) == -0.5


def test_drivers_when_filters_have_nothing_in_common_then_refused(api: Api) -> None:
    problem = api.problem("/api/v1/gap-drivers?assetId=west&facilityIds=fs-alder", 400, "invalidParameter")
    assert "no facility of asset west" in problem["detail"]


@pytest.mark.parametrize("query", ["assetId=north", "facilityIds=fs-alder,nope", "causeFacilityIds=nope"])
def test_drivers_when_an_id_is_unknown_then_unknown_id(api: Api, query: str) -> None:
    assert api.problem(f"/api/v1/gap-drivers?{query}", 400, "unknownId")["errors"]


def test_drivers_of_flared_gas_then_refused_with_the_networks_that_have_some(api: Api) -> None:
    problem = api.problem("/api/v1/gap-drivers?network=flaredGas", 400, "invalidParameter")
    assert "oil, domesticGas, exportGas" in problem["detail"]


def test_drivers_in_display_units_then_thousand_barrels_and_million_feet(api: Api) -> None:
    body = api.body("/api/v1/gap-drivers?units=display")
    assert body["uom"] == {"oil": "kbbl", "domesticGas": "MMscf", "exportGas": "MMscf"}
    assert body["networks"]["oil"]["drivers"][0]["volume"] == 11.9
    assert body["networks"]["exportGas"]["reference"]["defermentVolume"] == 24


def test_flow_of_everything_then_edges_join_known_nodes(api: Api) -> None:
    body = api.body("/api/v1/production-flow")
    nodes = {node["id"] for kind in ("facilities", "externals") for node in body[kind]}
    assert len(body["edges"]) == 9
    assert all(edge["from"] in nodes and edge["to"] in nodes for edge in body["edges"])
    assert all(edge["id"] == f"{edge['from']}~{edge['to']}~{edge['network']}" for edge in body["edges"])
    assert body["units"][0] == {"id": "hub-alder", "name": "Alder", "kind": "hub", "assetId": "east"}
    assert {f["id"]: f["unitId"] for f in body["facilities"]}["tm-east"] is None
    assert {f["id"]: f["networks"] for f in body["facilities"]}["fs-alder"] == ["oil", "flaredGas"]


def test_flow_of_one_asset_then_what_touches_it(api: Api) -> None:
    body = api.body("/api/v1/production-flow?assetId=west")
    assert [unit["id"] for unit in body["units"]] == ["hub-birch"]
    assert [edge["id"] for edge in body["edges"]] == ["fs-birch~tm-east~oil"]
    assert body["externals"] == []


def test_flow_of_one_network_then_its_edges_only(api: Api) -> None:
    body = api.body("/api/v1/production-flow?network=exportGas")
    assert {edge["network"] for edge in body["edges"]} == {"exportGas"}
    assert [facility["id"] for facility in body["facilities"]] == ["gp-alder"]


def test_flow_in_display_units_then_capacities_are_scaled(api: Api) -> None:
    edges = {edge["id"]: edge["capacity"] for edge in api.body("/api/v1/production-flow?units=display")["edges"]}
    assert edges["fs-alder~tm-east~oil"] == 60
    assert edges["gp-alder~market-domestic~domesticGas"] == 80
    assert edges["tm-east~export-oil~oil"] is None


def test_terminal_on_the_latest_day_then_stock_and_next_cargo(api: Api) -> None:
    body = api.body("/api/v1/terminal/tm-east/operations")
    assert (body["maxCapacity"], body["grossStock"], body["ullage"]) == (4_500_000, 2_748_000, 1_752_000)
    assert body["endurance"] == pytest.approx(1_752_000 / 34_700)
    assert body["stockCoverDays"] == pytest.approx(2_448_000 / 34_700)
    assert (body["measuredAt"], body["enduranceBasis"]) == ("2026-11-22T05:00:00Z", "ullageToTankTop")
    assert body["nextCargo"] == {
        "id": "EAST-2026-031",
        "parcel": 950_000,
        "laycanStart": "2026-11-26",
        "laycanEnd": "2026-11-28",
        "status": "nominated",
    }


def test_terminal_seen_before_a_lifting_then_the_cargo_that_was_next_then(api: Api) -> None:
    body = api.body("/api/v1/terminal/tm-east/operations?productionDate=2026-10-20")
    assert body["nextCargo"]["id"] == "EAST-2026-030"


@pytest.mark.parametrize("terminal", ["tm-west", "fs-alder", "%00", "a%2Fb"])
def test_terminal_that_is_none_then_not_found(api: Api, terminal: str) -> None:
    api.problem(f"/api/v1/terminal/{terminal}/operations", 404, "notFound")


@pytest.mark.parametrize(("window", "count"), [("7d", 7), ("30d", 30), ("90d", 90)])
def test_hub_for_a_window_then_exactly_its_points_with_gaps_as_nulls(api: Api, window: str, count: int) -> None:
    body = api.body(f"/api/v1/hubs/hub-birch/performance?window={window}")
    dates = [point["productionDate"] for point in body["points"]]
    assert len(dates) == count
    assert dates == sorted(dates)
    assert (body["from"], body["to"]) == (dates[0], "2026-11-21")
    gap = next(point for point in body["points"] if point["productionDate"] == "2026-11-18")["networks"]["oil"]
    assert (gap["currentProduction"], gap["deferment"], gap["quality"]) == (None, None, "missing")
    assert body["completeDays"] == min(count, 40) - 1
    if window == "90d":
        before = body["points"][0]["networks"]["oil"]
        assert (before["currentProduction"], before["quality"], before["recordStatus"]) == (None, "missing", None)


def test_hub_by_default_then_thirty_days(api: Api) -> None:
    assert api.body("/api/v1/hubs/hub-alder/performance")["window"] == "30d"


def test_hub_statistics_then_those_of_the_release(api: Api) -> None:
    statistics = api.body("/api/v1/hubs/hub-birch/performance?window=7d")["statistics"]["oil"]
    known = [13_000, 18_500, 21_000, 19_200, 13_000, 18_500]
    assert statistics["average"] == pytest.approx(sum(known) / 6)
    assert (statistics["daysOnTarget"], statistics["trendMethod"]) == (2, "theil-sen")
    assert statistics["productionEfficiency"] == pytest.approx(sum(known) / 120_000)
    assert statistics["change"] == pytest.approx(
        statistics["average"] / statistics["previousWindowAverage"] - 1, rel=1e-9
    )
    again = api.body("/api/v1/hubs/hub-birch/performance?window=7d&targetVersion=2026.2")["statistics"]["oil"]
    assert again == statistics


def test_hub_that_is_none_then_not_found(api: Api) -> None:
    api.problem("/api/v1/hubs/hub-none/performance", 404, "notFound")


def test_hub_for_a_window_that_it_has_not_then_refused(api: Api) -> None:
    problem = api.problem("/api/v1/hubs/hub-alder/performance?window=1d", 400, "invalidParameter")
    assert "7d, 30d, 90d" in problem["detail"]
