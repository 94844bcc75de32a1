"""The bodies of /api/v1 as outsiders read them: exactly these properties, everywhere, whatever is known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny

METADATA = {
    "productionDate",
    "asOf",
    "dataVersion",
    "operator",
    "isSynthetic",
    "recordStatus",
    "targetVersion",
    "freshness",
    "uom",
}
NETWORKS = {"oil", "domesticGas", "exportGas", "flaredGas"}
PRODUCTION = NETWORKS - {"flaredGas"}
KPI = {
    "maxCapacity",
    "businessTarget",
    "currentProduction",
    "deferment",
    "potential",
    "potentialBasis",
    "publishedTarget",
    "gap",
    "overPerformance",
    "excessOverTarget",
    "coverage",
    "quality",
    "source",
    "recordStatus",
}
TERMINAL = {"maxCapacity", "grossStock", "readyCrude", "productionRate", "endurance"}
NODE_UNITS = NETWORKS | {"terminalVolume", "terminalRate", "endurance"}
FACILITY = {"id", "name", "type", "status", "countsInRollUp", "networks", "kpis"}
TREND = {"currentProduction", "businessTarget", "potential", "deferment", "quality", "recordStatus"}
STATISTICS = {
    "average",
    "daysOnTarget",
    "trendPerDay",
    "trendMethod",
    "previousWindowAverage",
    "change",
    "productionEfficiency",
}
DRIVER = {
    "rank",
    "id",
    "title",
    "causeNodeId",
    "causeHubId",
    "causeAssetId",
    "facilities",
    "choke",
    "reasonCode",
    "planned",
    "thirdParty",
    "volume",
    "volumeIfAlone",
    "gainIfFixed",
    "share",
    "hours",
    "open",
    "recoverable",
    "confidence",
    "evidence",
}
REFERENCE = {
    "hours",
    "completeDays",
    "potentialVolume",
    "businessTargetVolume",
    "productionVolume",
    "gapVolume",
    "defermentVolume",
}
TERMINAL_OPERATIONS = {
    "id",
    "name",
    "assetId",
    *TERMINAL,
    "enduranceBasis",
    "ullage",
    "readyStock",
    "stockCoverDays",
    "quality",
    "measuredAt",
    "nextCargo",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("shapes")
    publish_tiny(Path(directory), days=10)
    with Api(Settings(warehouse_dir=Path(directory))) as running:
        yield running


def has(node: dict[str, Any], *names: set[str]) -> None:
    assert set(node) == set().union(*names)


def metadata_of(body: dict[str, Any]) -> None:
    assert set(body) >= METADATA
    has(body["freshness"], {"oldestSourceAsOf", "staleAfter"})


def networks_of(node: dict[str, Any]) -> None:
    has(node["networks"], NETWORKS)
    for kpi in node["networks"].values():
        has(kpi, KPI)
        for name in KPI - {"potentialBasis", "quality", "source", "recordStatus"}:
            assert kpi[name] is None or isinstance(kpi[name], float), name


# Parameters change values, never the shape; the day before the latest ones has a facility without a value.
QUERIES = ("", "?units=display", "?network=oil", "?productionDate=2026-11-18", "?targetVersion=2026.2")


@pytest.mark.parametrize("query", QUERIES)
def test_summary_then_exactly_the_contracts_properties(api: Api, query: str) -> None:
    body = api.body(f"/api/v1/summary{query}")
    metadata_of(body)
    has(body, METADATA, {"networks", "assets", "terminals", "efficiency"})
    has(body["uom"], NODE_UNITS)
    networks_of(body)
    for asset in body["assets"]:
        has(asset, {"id", "name", "networks"})
        networks_of(asset)
    for terminal in body["terminals"]:
        has(terminal, {"id", "name", "assetId"}, TERMINAL)
    has(body["efficiency"], PRODUCTION)
    for efficiency in body["efficiency"].values():
        has(efficiency, {"potential", "productionEfficiency"})


@pytest.mark.parametrize("query", QUERIES)
def test_assets_then_exactly_the_contracts_properties(api: Api, query: str) -> None:
    body = api.body(f"/api/v1/assets{query}")
    assert isinstance(body, list)
    for asset in body:
        metadata_of(asset)
        has(asset, METADATA, {"id", "name", "networks", "hubs", "terminals"})
        has(asset["uom"], NODE_UNITS)
        networks_of(asset)
        for hub in asset["hubs"]:
            has(hub, {"id", "name", "networks", "facilities"})
            networks_of(hub)
        for facility in [*(f for hub in asset["hubs"] for f in hub["facilities"]), *asset["terminals"]]:
            has(facility, FACILITY)
            networks_of(facility)
            has(facility["countsInRollUp"], NETWORKS)
            assert (facility["kpis"] is not None) == (facility["type"] == "terminal")
            if facility["kpis"] is not None:
                has(facility["kpis"], TERMINAL)


@pytest.mark.parametrize("query", [*QUERIES, "?window=90d", "?facilityIds=fs-alder", "?assetId=west"])
def test_gap_drivers_then_exactly_the_contracts_properties(api: Api, query: str) -> None:
    body = api.body(f"/api/v1/gap-drivers{query}")
    metadata_of(body)
    has(body, METADATA, {"assetId", "facilityIds", "causeFacilityIds", "window", "networks"})
    has(body["uom"], PRODUCTION)
    has(body["networks"], PRODUCTION)
    for network in body["networks"].values():
        has(network, {"reference", "drivers", "other", "unattributed", "closure"})
        has(network["reference"], REFERENCE)
        has(network["other"], {"count", "volume", "share"})
        has(network["unattributed"], {"volume", "share"})
        has(network["closure"], {"sumOfDrivers", "total", "error"})
        for driver in network["drivers"]:
            has(driver, DRIVER)
            for facility in driver["facilities"]:
                has(facility, {"facilityId", "hubId", "assetId", "volume"})


@pytest.mark.parametrize("query", [*QUERIES, "?assetId=west"])
def test_production_flow_then_exactly_the_contracts_properties(api: Api, query: str) -> None:
    body = api.body(f"/api/v1/production-flow{query}")
    metadata_of(body)
    has(body, METADATA, {"units", "facilities", "externals", "edges"})
    has(body["uom"], NETWORKS)
    for unit in body["units"]:
        has(unit, {"id", "name", "kind", "assetId"})
    for facility in body["facilities"]:
        has(facility, {"id", "name", "unitId", "assetId", "type", "networks"})
    for external in body["externals"]:
        has(external, {"id", "name", "kind", "network"})
    for edge in body["edges"]:
        has(edge, {"id", "from", "to", "network", "stream", "capacity"})


@pytest.mark.parametrize("query", QUERIES)
def test_terminal_operations_then_exactly_the_contracts_properties(api: Api, query: str) -> None:
    body = api.body(f"/api/v1/terminal/tm-east/operations{query}")
    metadata_of(body)
    has(body, METADATA, TERMINAL_OPERATIONS)
    has(body["uom"], {"terminalVolume", "terminalRate", "endurance"})
    has(body["nextCargo"], {"id", "parcel", "laycanStart", "laycanEnd", "status"})


@pytest.mark.parametrize("query", [*QUERIES, "?window=7d", "?window=90d"])
def test_hub_performance_then_exactly_the_contracts_properties(api: Api, query: str) -> None:
    body = api.body(f"/api/v1/hubs/hub-birch/performance{query}")
    metadata_of(body)
    has(
        body,
        METADATA,
        {"id", "name", "assetId", "window", "from", "to", "completeDays", "points", "statistics"},
    )
    has(body["uom"], NETWORKS)
    for point in body["points"]:
        has(point, {"productionDate", "networks"})
        has(point["networks"], NETWORKS)
        for kpi in point["networks"].values():
            has(kpi, TREND)
    has(body["statistics"], NETWORKS)
    for statistics in body["statistics"].values():
        has(statistics, STATISTICS)


EVENT = {
    *("id", "title", "facilityId", "hubId", "assetId", "targetKind", "targetId", "startedAt", "endedAt", "open"),
    *("lastReadOn", "hours", "source", "reasonCode", "sourceCode", "choke", "planned", "thirdParty", "networks"),
    *("facilities", "enteredLoss", "confidence", "evidence"),
}
FIELD = {
    *("kind", "container", "name", "description", "type", "unit", "displayUnit", "displayScale", "units"),
    *("formula", "source", "owner"),
}
SOURCE = {
    *("source", "inRelease", "status", "dataAsOf", "releasedAsOf", "lagSeconds", "slaSeconds", "lastAttempt"),
    *("lastSuccess", "lastError", "percentGood", "circuit", "circuitSince", "circuitNextTry", "nextRun"),
}


def event_of(event: dict[str, Any]) -> None:
    has(event, EVENT)
    has(event["networks"], PRODUCTION)
    for network in event["networks"].values():
        has(network, {"volume", "volumeIfAlone", "gainIfFixed"})
    for facility in event["facilities"]:
        has(facility, {"facilityId", "hubId", "assetId"}, PRODUCTION)
    has(event["enteredLoss"], {"oil", "gas"})


@pytest.mark.parametrize("facility", ["fs-alder", "gp-alder", "tm-east"])
@pytest.mark.parametrize("query", QUERIES)
def test_facility_then_exactly_the_contracts_properties(api: Api, query: str, facility: str) -> None:
    body = api.body(f"/api/v1/facilities/{facility}{query}")
    metadata_of(body)
    has(
        body, METADATA, FACILITY,
        {"hubId", "hubName", "assetId", "assetName", "validFrom", "validTo", "zone", "dayStart", "intraday"},
        {"intradayReason", "series", "openEvents", "openEventCount", "upstream", "downstream"},
    )  # fmt: skip
    has(body["uom"], NODE_UNITS, {"oilVolume", "gasVolume"})
    networks_of(body)
    has(body["series"], {"from", "to", "completeDays", "points"})
    assert len(body["series"]["points"]) == 90
    for point in body["series"]["points"]:
        for kpi in point["networks"].values():
            has(kpi, TREND)
    for event in body["openEvents"]:
        event_of(event)
    for neighbour in [*body["upstream"], *body["downstream"]]:
        has(neighbour, {"edgeId", "nodeId", "name", "kind", "network", "stream", "capacity"})


@pytest.mark.parametrize("query", ["", "?units=display", "?status=open", "?network=oil", "?limit=1", "?to=2020-01-01"])
def test_events_then_exactly_the_contracts_properties(api: Api, query: str) -> None:
    body = api.body(f"/api/v1/events{query}")
    metadata_of(body)
    has(
        body, METADATA,
        {"from", "to", "status", "facilityId", "assetId", "network", "source", "total", "events", "next"},
    )  # fmt: skip
    for event in body["events"]:
        event_of(event)


def test_data_freshness_then_exactly_the_contracts_properties(api: Api) -> None:
    body = api.body("/api/v1/data-freshness")
    has(body, {"checkedAt", "dataVersion", "held", "status", "statusUpdatedAt", "sources"})
    assert body["sources"]
    for source in body["sources"]:
        has(source, SOURCE)


def test_data_dictionary_then_exactly_the_contracts_properties(api: Api) -> None:
    body = api.body("/api/v1/data-dictionary")
    has(body, METADATA - {"uom"}, {"fields"})
    for field in body["fields"]:
        has(field, FIELD)
        for unit in field["units"]:
            has(unit, {"networks", "unit", "displayUnit", "displayScale"})


def test_problems_then_exactly_the_contracts_properties(api: Api) -> None:
    for path in ("/api/v1/nowhere", "/api/v1/summary?colour=red", "/api/v1/hubs/none/performance"):
        body = api.get(path).json()
        has(body, {"type", "title", "status", "detail", "instance", "code", "traceId", "errors"})
        for error in body["errors"]:
            has(error, {"parameter", "detail", "received"})
