"""The OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.api.client import Api

ADDRESSES = {
    "/api/v1/summary": "/api/v1/summary",
    "/api/v1/assets": "/api/v1/assets?productionDate=2026-11-18",
    "/api/v1/gap-drivers": "/api/v1/gap-drivers?window=7d",
    "/api/v1/production-flow": "/api/v1/production-flow",
    "/api/v1/terminal/{terminalId}/operations": "/api/v1/terminal/tm-east/operations",
    "/api/v1/hubs/{hubId}/performance": "/api/v1/hubs/hub-birch/performance?window=90d",
    "/api/v1/reconciliation": "/api/v1/reconciliation?network=oil",
    "/api/v1/changes": "/api/v1/changes?limit=3",
    "/api/v1/data-releases": "/api/v1/data-releases",
    "/api/v1/data-releases/{releaseId}": "/api/v1/data-releases/RELEASE",
    "/api/v1/explain": "/api/v1/explain?path=/summary%23/networks/oil/gap",
    "/api/v1/me": "/api/v1/me",
    "/api/v1/facilities/{facilityId}": "/api/v1/facilities/tm-east",
    "/api/v1/events": "/api/v1/events?limit=3",
    "/api/v1/data-freshness": "/api/v1/data-freshness",
    "/api/v1/data-dictionary": "/api/v1/data-dictionary",
    "/healthz": "/healthz",
    "/readyz": "/readyz",
}
# What callers send may leave out what has a default.
REQUESTS = {"Decision"}
# Answers that are no JSON.
FILES = {"/api/v1/exports/{dataset}", "/api/v1/stream"}
POSTED = {"/api/v1/data-releases/{releaseId}/activate", "/api/v1/data-releases/resume"}


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.body("/api/v1/openapi.json")
    return found


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_document_then_every_path_of_the_contract_with_its_own_operation_id(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == set(ADDRESSES) | FILES | POSTED
    assert {path for path, item in document["paths"].items() if "post" in item} == POSTED
    identifiers = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(identifiers)) == len(identifiers)


def test_document_then_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for node in walk(document):
        if "$ref" in node:
            target: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            assert target


def test_document_then_schemas_are_valid_and_every_property_is_required_and_described(
    document: dict[str, Any],
) -> None:
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert schema["description"], name
        if name not in REQUESTS:
            assert sorted(schema["required"]) == sorted(schema["properties"]), name


def test_document_then_open_enumerations_allow_any_text_and_none_is_closed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Kpi"]["properties"]["quality"]["anyOf"][1] == {"type": "string"}
    status = schemas["Kpi"]["properties"]["recordStatus"]["anyOf"]
    assert {"type": "null"} in status
    assert {"type": "string"} in status
    assert any("enum" in choice for choice in status)
    for node in walk(schemas):
        assert "x-open-enum" not in node
        assert not any("anyOf" in choice for choice in node.get("anyOf", ()) if isinstance(choice, dict))


def test_document_then_quantities_are_number_or_null_with_their_unit(document: dict[str, Any]) -> None:
    production = document["components"]["schemas"]["Kpi"]["properties"]["currentProduction"]
    assert production["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert production["x-unit"] == "rate"
    assert "Formula:" in production["description"]


def test_document_then_path_parameters_match_their_template(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        operation = item.get("get") or item["post"]
        named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_document_then_problems_are_documented_as_problem_json(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/v1/summary"]["get"]["responses"]
    assert {"200", "304", "400", "404", "405", "406", "410", "413", "414", "500", "503"} <= set(responses)
    for response in document["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]


@pytest.mark.parametrize("path", ADDRESSES)
def test_answer_of_each_path_then_it_is_what_the_document_says(api: Api, document: dict[str, Any], path: str) -> None:
    content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {**content["schema"], "components": document["components"]}
    release_id = api.body("/readyz")["dataVersion"]
    body = api.body(ADDRESSES[path].replace("RELEASE", release_id))
    errors = list(Draft202012Validator(schema).iter_errors(body))
    assert errors == []


def test_problem_then_it_is_what_the_document_says(api: Api, document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/ProblemBody", "components": document["components"]}
    Draft202012Validator(schema).validate(api.get("/api/v1/summary?x=1").json())


def test_document_when_it_is_held_then_304(api: Api) -> None:
    tag = api.get("/api/v1/openapi.json").headers["etag"]
    assert api.get("/api/v1/openapi.json", {"if-none-match": tag}).status_code == 304


def test_document_then_a_bearer_token_is_described_and_401_and_403_stand_at_every_operation_but_health(
    document: dict[str, Any],
) -> None:
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert {"bearer": []} in document["security"]
    for path, item in document["paths"].items():
        for operation in item.values():
            is_health = path in ("/healthz", "/readyz")
            assert ({"401", "403"} <= set(operation["responses"])) is not is_health, path
            assert (operation.get("security") == []) is is_health, path
