"""The OpenAPI document against the one released last: within v1 only additions. `make openapi` writes the new one."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.app import create_app
from api.openapi import document
from api.settings import Settings
from tests.contract.openapi_changes import breaking_changes

RELEASED = Path(__file__).resolve().parents[2] / "docs" / "openapi-v1.json"
OLD: dict[str, Any] = json.loads(RELEASED.read_text("utf-8"))
SCHEMAS = OLD["components"]["schemas"]
PROPERTIES = [(name, field) for name, schema in SCHEMAS.items() for field in schema.get("properties", {})]
PARAMETERS = [
    (path, method, number)
    for path, item in OLD["paths"].items()
    for method, operation in item.items()
    for number, _ in enumerate(operation.get("parameters", ()))
]


def current(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(create_app(Settings(warehouse_dir=folder)).app)))
    return found


def test_document_when_compared_with_the_released_one_then_nothing_breaks_a_client(tmp_path: Path) -> None:
    assert breaking_changes(OLD, current(tmp_path)) == []


def test_released_document_when_the_api_grew_then_it_was_written_anew(tmp_path: Path) -> None:
    new = current(tmp_path)
    assert sorted(OLD["paths"]) == sorted(new["paths"]), "run `make openapi` and commit docs/openapi-v1.json"
    assert sorted(SCHEMAS) == sorted(new["components"]["schemas"]), "run `make openapi` and commit docs/openapi-v1.json"


def test_changes_when_nothing_changed_then_none() -> None:
    assert breaking_changes(OLD, copy.deepcopy(OLD)) == []


@settings(max_examples=60)
@given(st.sampled_from(PROPERTIES), st.sampled_from(["gone", "optional", "text", "nullable unit"]))
def test_changes_when_any_property_of_any_answer_breaks_then_it_is_named(place: tuple[str, str], how: str) -> None:
    name, field = place
    new = copy.deepcopy(OLD)
    schema = new["components"]["schemas"][name]
    is_sent = name == "Decision"
    if how == "gone":
        del schema["properties"][field]
    elif how == "optional":
        if is_sent:
            return
        schema["required"].remove(field)
    elif how == "text":
        schema["properties"][field] = {
            "type": "boolean" if schema["properties"][field].get("type") != "boolean" else "null"
        }
    else:
        if is_sent:
            return
        schema["properties"][field]["x-unit"] = "furlong"
        if "$ref" in schema["properties"][field]:
            return
    assert any(f"{name}.{field}" in change for change in breaking_changes(OLD, new)), (name, field, how)


@settings(max_examples=40)
@given(st.sampled_from(PARAMETERS), st.sampled_from(["gone", "required", "narrow"]))
def test_changes_when_any_parameter_breaks_then_it_is_named(place: tuple[str, str, int], how: str) -> None:
    path, method, number = place
    new = copy.deepcopy(OLD)
    parameters = new["paths"][path][method]["parameters"]
    parameter = parameters[number]
    if how == "gone":
        del parameters[number]
    elif how == "required":
        if parameter["required"]:
            return
        parameter["required"] = True
    elif "enum" in parameter["schema"]:
        parameter["schema"]["enum"].pop()
    else:
        parameter["schema"]["maxLength"] = 1
    assert any(parameter["name"] in change for change in breaking_changes(OLD, new))


def _drop_path(new: dict[str, Any]) -> None:
    del new["paths"]["/api/v1/summary"]


def _rename_operation(new: dict[str, Any]) -> None:
    new["paths"]["/api/v1/summary"]["get"]["operationId"] = "readSummary"


def _drop_schema(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["Network"] = new["components"]["schemas"].pop("Kpi")


def _require_body_field(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["Decision"]["required"].append("ticket")
    new["components"]["schemas"]["Decision"]["properties"]["ticket"] = {"type": "string"}


def _close_enumeration(new: dict[str, Any]) -> None:
    new["paths"]["/api/v1/summary"]["get"]["responses"]["200"]["content"] = {"application/xml": {}}


def _drop_header(new: dict[str, Any]) -> None:
    del new["paths"]["/api/v1/summary"]["get"]["responses"]["200"]["headers"]["ETag"]


BREAKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "GET /api/v1/summary is gone": _drop_path,
    "operationId was getSummary, is readSummary": _rename_operation,
    "schema Kpi is gone": _drop_schema,
    "Decision.ticket is required now": _require_body_field,
    "application/json is gone": _close_enumeration,
    "header ETag is gone": _drop_header,
}


@pytest.mark.parametrize("sentence", BREAKS)
def test_changes_when_a_client_would_break_then_the_sentence_says_where(sentence: str) -> None:
    new = copy.deepcopy(OLD)
    BREAKS[sentence](new)
    assert any(sentence in change for change in breaking_changes(OLD, new)), breaking_changes(OLD, new)


def test_changes_when_only_things_are_added_then_none() -> None:
    new = copy.deepcopy(OLD)
    new["paths"]["/api/v1/more"] = {"get": {"operationId": "more", "responses": {}}}
    kpi = new["components"]["schemas"]["Kpi"]
    kpi["properties"]["more"] = {"type": "number"}
    kpi["required"].append("more")
    kpi["properties"]["quality"]["anyOf"][0]["enum"].append("guessed")
    new["paths"]["/api/v1/summary"]["get"]["parameters"].append(
        {"name": "more", "in": "query", "required": False, "schema": {"type": "string"}}
    )
    assert breaking_changes(OLD, new) == []
