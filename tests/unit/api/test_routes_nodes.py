"""/summary and /assets over the tiny operator."""

from typing import Any

import pytest

from tests.unit.api.client import Api

NETWORKS = ("oil", "domesticGas", "exportGas", "flaredGas")


def facilities(assets: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for asset in assets:
        for facility in [*(f for hub in asset["hubs"] for f in hub["facilities"]), *asset["terminals"]]:
            assert facility["id"] not in found, "a facility stands once"
            found[facility["id"]] = facility
    return found


def test_summary_on_the_latest_day_then_the_systems_numbers(api: Api) -> None:
    body = api.body("/api/v1/summary")
    assert (body["productionDate"], body["operator"], body["isSynthetic"]) == ("2026-11-21", "tiny", True)
    assert (body["recordStatus"], body["targetVersion"]) == ("provisional", "2026.2")
    assert body["freshness"] == {"oldestSourceAsOf": "2026-11-22T05:00:00Z", "staleAfter": "2026-11-22T07:00:00Z"}
    oil = body["networks"]["oil"]
    assert (oil["currentProduction"], oil["potential"], oil["deferment"], oil["gap"]) == (34700, 58000, 23300, 18300)
    assert body["efficiency"]["oil"]["productionEfficiency"] == pytest.approx(34700 / 58000)
    assert [asset["id"] for asset in body["assets"]] == ["east", "west"]
    assert body["terminals"][0]["grossStock"] == 2_748_000


def test_summary_of_flared_gas_then_excess_over_the_ceiling_and_no_potential(api: Api) -> None:
    flared = api.body("/api/v1/summary")["networks"]["flaredGas"]
    assert flared["potential"] is None
    assert flared["deferment"] == flared["overPerformance"] == 0
    assert flared["gap"] == flared["excessOverTarget"] == pytest.approx(3.4e6)
    within = api.body("/api/v1/summary?productionDate=2026-11-19")["assets"][1]["networks"]["flaredGas"]
    assert within["gap"] == pytest.approx(-0.2e6)
    assert within["excessOverTarget"] == 0


def test_summary_in_display_units_then_scaled_and_named(api: Api) -> None:
    base, shown = api.body("/api/v1/summary"), api.body("/api/v1/summary?units=display")
    assert shown["uom"] == {
        "oil": "kbbl/d",
        "domesticGas": "MMscf/d",
        "exportGas": "MMscf/d",
        "flaredGas": "MMscf/d",
        "terminalVolume": "MMbbl",
        "terminalRate": "kbbl/d",
        "endurance": "d",
    }
    assert shown["networks"]["oil"]["currentProduction"] == 34.7
    assert shown["networks"]["exportGas"]["currentProduction"] == 96
    assert shown["terminals"][0]["grossStock"] == 2.748
    assert shown["terminals"][0]["productionRate"] == 34.7
    assert shown["terminals"][0]["endurance"] == base["terminals"][0]["endurance"]
    assert shown["efficiency"]["oil"]["potential"] == 58


def test_summary_of_an_earlier_day_then_that_days_numbers(api: Api) -> None:
    body = api.body("/api/v1/summary?productionDate=2026-11-20")
    assert body["productionDate"] == "2026-11-20"
    assert body["networks"]["oil"]["currentProduction"] == 54_500


def test_summary_when_a_child_is_missing_then_the_present_subset_and_its_coverage(api: Api) -> None:
    body = api.body("/api/v1/summary?productionDate=2026-11-18")
    oil = body["networks"]["oil"]
    assert (oil["quality"], oil["currentProduction"]) == ("uncertain", 37_200)
    assert oil["coverage"] == pytest.approx(38 / 58)
    west = body["assets"][1]["networks"]["oil"]
    assert (west["quality"], west["currentProduction"], west["deferment"]) == ("missing", None, None)


@pytest.mark.parametrize("day", ["2026-11-22", "2020-01-01"])
def test_summary_of_a_day_that_the_release_lacks_then_the_range_is_named(api: Api, day: str) -> None:
    problem = api.problem(f"/api/v1/summary?productionDate={day}", 400, "invalidParameter")
    assert "2026-10-13 to 2026-11-21" in problem["detail"]
    assert problem["errors"] == [
        {"parameter": "productionDate", "detail": problem["errors"][0]["detail"], "received": day}
    ]


def test_summary_when_one_network_is_asked_for_then_the_others_stand_with_nulls(api: Api) -> None:
    networks = api.body("/api/v1/summary?network=oil")["networks"]
    assert set(networks) == set(NETWORKS)
    assert networks["oil"]["currentProduction"] == 34700
    assert (networks["exportGas"]["quality"], networks["exportGas"]["currentProduction"]) == ("notRequested", None)


def test_assets_on_the_latest_day_then_every_facility_once_with_four_networks(api: Api) -> None:
    assets = api.body("/api/v1/assets")
    found = facilities(assets)
    assert set(found) == {"fs-alder", "gp-alder", "fs-birch", "tm-east"}
    for node in [*found.values(), *assets, *(hub for asset in assets for hub in asset["hubs"])]:
        assert set(node["networks"]) == set(NETWORKS)
    assert [asset["productionDate"] for asset in assets] == ["2026-11-21"] * 2


def test_assets_of_networks_that_are_not_served_then_zeros_and_not_applicable(api: Api) -> None:
    plant = facilities(api.body("/api/v1/assets"))["gp-alder"]
    oil = plant["networks"]["oil"]
    assert (oil["quality"], oil["currentProduction"], oil["potential"], oil["gap"]) == ("notApplicable", 0, 0, 0)
    assert plant["countsInRollUp"] == {"oil": False, "domesticGas": True, "exportGas": True, "flaredGas": True}


def test_assets_of_a_terminal_then_kpis_and_throughput_that_never_adds(api: Api) -> None:
    terminal = facilities(api.body("/api/v1/assets"))["tm-east"]
    assert terminal["kpis"]["maxCapacity"] == 4_500_000
    assert terminal["networks"]["oil"]["currentProduction"] == 34_700
    assert terminal["networks"]["oil"]["potential"] is None
    assert not any(terminal["countsInRollUp"].values())
    assert terminal["networks"]["flaredGas"]["quality"] == "missing"
    others = facilities(api.body("/api/v1/assets"))
    assert all(others[name]["kpis"] is None for name in ("fs-alder", "gp-alder", "fs-birch"))


@pytest.mark.parametrize("query", ["", "?productionDate=2026-11-18", "?units=display", "?targetVersion=2026.2"])
def test_assets_then_children_on_the_cut_sum_to_their_parents(api: Api, query: str) -> None:
    for asset in api.body(f"/api/v1/assets{query}"):
        children = [f for hub in asset["hubs"] for f in hub["facilities"]] + asset["terminals"]
        for network in NETWORKS:
            parent = asset["networks"][network]
            counted = [f["networks"][network] for f in children if f["countsInRollUp"][network]]
            present = [kpi for kpi in counted if kpi["currentProduction"] is not None]
            if parent["currentProduction"] is None or not present:
                continue
            for name in ("currentProduction", "deferment", "businessTarget", "gap"):
                assert parent[name] == pytest.approx(sum(kpi[name] for kpi in present)), (asset["id"], network, name)


def test_assets_then_status_follows_the_domain(api: Api) -> None:
    latest = facilities(api.body("/api/v1/assets"))
    assert (latest["fs-alder"]["status"], latest["tm-east"]["status"]) == ("constrained", "normal")
    missing = facilities(api.body("/api/v1/assets?productionDate=2026-11-18"))
    assert missing["fs-birch"]["status"] == "unknown"
    assert missing["fs-alder"]["status"] == "normal"


def test_assets_when_a_target_version_is_asked_for_then_it_is_named_and_others_stay(api: Api) -> None:
    plain, other = api.body("/api/v1/assets"), api.body("/api/v1/assets?targetVersion=2026.2")
    assert other[0]["targetVersion"] == "2026.2"
    assert other == plain


def test_assets_when_the_target_version_is_unknown_then_unknown_id(api: Api) -> None:
    problem = api.problem("/api/v1/assets?targetVersion=1999.1", 400, "unknownId")
    assert problem["errors"][0]["received"] == "1999.1"
