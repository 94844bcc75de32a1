"""/reconciliation over the tiny operator with a handful of meters."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import LATEST, publish_tiny, table, tiny_release_tables

METADATA = {
    *("productionDate", "asOf", "dataVersion", "operator", "isSynthetic"),
    *("recordStatus", "targetVersion", "freshness", "uom"),
}


def meter(label: date, system: str, name: str, facility: str, flag: str, **more: Any) -> dict[str, Any]:
    named = {"production_date": label, "system": system, "meter_id": name, "facility_id": facility, "flag": flag}
    return named | {"network": "oil" if system == "oil" else None, "measurement": "rate", "source": "ec"} | more


def balance(label: date, system: str, name: str, spans: str, inputs: float, outputs: float) -> dict[str, Any]:
    sigma = 0.01 * inputs
    return {
        "production_date": label,
        "system": system,
        "balance_id": name,
        "node_id": name.split("/")[0],
        "facility_ids": spans,
        "inputs": inputs,
        "outputs": outputs,
        "imbalance": inputs - outputs,
        "sigma": sigma,
        "statistic": (inputs - outputs) / sigma,
        "is_closed": abs(inputs - outputs) <= 1.96 * sigma,
    }


def closure(label: date, system: str, inputs: float, outputs: float, errors: int) -> dict[str, Any]:
    named = {"production_date": label, "system": system, "balance_count": 2, "meter_count": 3, "observable_count": 2}
    tested = {"gross_error_count": errors, "degrees_of_freedom": 2, "global_statistic": 25.5, "p_value": 2.9e-6}
    flows = {"inputs": inputs, "outputs": outputs, "imbalance": inputs - outputs, "sigma": 200.0}
    return named | tested | flows | {"critical_statistic": 3.4}


def rows(label: date) -> dict[str, list[dict[str, Any]]]:
    odd = {"measured": 22_785.0, "sigma": 114.0, "reconciled": 21_700.0, "reconciled_sigma": 50.0, "evidence_days": 3}
    return {
        "out__daily_meter": [
            meter(label, "oil", "ALD_EXP", "fs-alder", "ok", measured=21_700.0, reconciled=21_700.0, adjustment=0.0),
            meter(label, "oil", "ALD_TRK", "fs-alder", "grossError", adjustment=-1085.0, test_statistic=15.2, **odd),
            meter(label, "oil", "TM/stock", "tm-east", "notObservable", source=None),
            meter(label, "gas", "GP_FEED", "gp-alder", "ok", measured=150e6, source="pi"),
        ],
        "out__daily_balance": [
            balance(label, "oil", "fs-alder/separator~production", "fs-alder", 21_700.0, 21_700.0),
            balance(label, "oil", "tm-east/inlet", "fs-alder fs-birch tm-east", 35_785.0, 34_700.0),
            balance(label, "gas", "gp-alder/process", "gp-alder", 150e6, 148e6),
        ],
        "out__daily_closure": [closure(label, "oil", 35_785.0, 34_700.0, 1), closure(label, "gas", 150e6, 148e6, 0)],
    }


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = Path(tmp_path_factory.mktemp("reconciliation"))
    tables = tiny_release_tables(3)
    tables |= {name: table(name, found) for name, found in rows(LATEST).items()}
    publish_tiny(directory, tables=tables)
    with Api(Settings(warehouse_dir=directory)) as running:
        yield running


def test_reconciliation_then_metadata_is_flat_and_both_systems_stand(api: Api) -> None:
    body = api.body("/api/v1/reconciliation")
    assert set(body) == METADATA | {"network", "systems"}
    assert (body["productionDate"], body["operator"], body["network"]) == (str(LATEST), "tiny", None)
    assert body["uom"] == {"oil": "bbl", "gas": "scf"}
    assert [s["system"] for s in body["systems"]] == ["oil", "gas"]
    assert body["systems"][1]["networks"] == ["domesticGas", "exportGas", "flaredGas"]


def test_reconciliation_then_the_worst_balance_and_the_wrong_meter_come_first(api: Api) -> None:
    oil = api.body("/api/v1/reconciliation?network=oil")["systems"][0]
    worst, good = oil["balances"]
    assert (worst["id"], worst["nodeId"], worst["closed"]) == ("tm-east/inlet", "tm-east", False)
    assert worst["facilityIds"] == ["fs-alder", "fs-birch", "tm-east"]
    assert (worst["imbalance"], worst["closure"]) == (1085, pytest.approx(34_700 / 35_785))
    assert (good["imbalance"], good["closure"], good["closed"]) == (0, 1, True)
    first = oil["meters"][0]
    assert (first["id"], first["flag"], first["evidenceDays"]) == ("ALD_TRK", "grossError", 3)
    assert (first["bias"], first["adjustment"]) == (pytest.approx(0.05), -1085)
    last = oil["meters"][-1]
    assert (last["flag"], last["measured"], last["reconciled"], last["bias"]) == ("notObservable", None, None, None)
    assert oil["closure"]["grossErrorCount"] == 1
    assert oil["closure"]["imbalance"] == 1085


@pytest.mark.parametrize("network", ["domesticGas", "exportGas", "flaredGas"])
def test_reconciliation_of_a_gas_network_then_the_system_that_they_share(api: Api, network: str) -> None:
    body = api.body(f"/api/v1/reconciliation?network={network}")
    assert body["network"] == network
    assert [s["system"] for s in body["systems"]] == ["gas"]


def test_reconciliation_in_display_units_then_volumes_are_and_ratios_are_not(api: Api) -> None:
    body = api.body("/api/v1/reconciliation?units=display")
    assert body["uom"] == {"oil": "kbbl", "gas": "MMscf"}
    oil, gas = body["systems"]
    assert oil["balances"][0]["imbalance"] == 1.085
    assert gas["closure"]["inputs"] == 150
    assert oil["closure"]["closure"] == pytest.approx(34_700 / 35_785)


def test_reconciliation_of_a_day_without_meters_then_no_system(api: Api) -> None:
    assert api.body(f"/api/v1/reconciliation?productionDate={LATEST - timedelta(days=1)}")["systems"] == []


@pytest.mark.parametrize(
    ("query", "named"),
    [("network=water", "network"), ("productionDate=2020-01-01", "productionDate"), ("node=fs-alder", "node")],
)
def test_reconciliation_when_asked_wrongly_then_a_problem_naming_the_parameter(
    api: Api, query: str, named: str
) -> None:
    answer = api.get(f"/api/v1/reconciliation?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert [error["parameter"] for error in answer.json()["errors"]] == [named]


def test_reconciliation_when_the_client_holds_it_then_not_modified(api: Api) -> None:
    tag = api.get("/api/v1/reconciliation").headers["etag"]
    assert api.get("/api/v1/reconciliation", headers={"if-none-match": tag}).status_code == 304
