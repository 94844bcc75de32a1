"""/data-dictionary: every field of the API and of the release's views."""

import json
from typing import Any

import pytest

from tests.unit.api.client import Api

PATH = "/api/v1/data-dictionary"
MIXED = {"bbl/d | scf/d": ("kbbl/d", "MMscf/d"), "bbl | scf": ("kbbl", "MMscf")}


@pytest.fixture(scope="module")
def fields(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.body(PATH)["fields"]
    return found


def one(fields: list[dict[str, Any]], container: str, name: str) -> dict[str, Any]:
    (found,) = [field for field in fields if (field["container"], field["name"]) == (container, name)]
    return found


def test_dictionary_then_every_column_of_every_view(api: Api, fields: list[dict[str, Any]]) -> None:
    with api.edge.desk.reader.lease() as release, release.cursor(None) as cursor:
        columns = cursor.execute(
            "SELECT table_name, column_name FROM duckdb_columns() "
            "WHERE database_name = current_database() AND schema_name = 'main'"
        ).fetchall()
    sql = [(field["container"], field["name"]) for field in fields if field["kind"] == "sql"]
    assert sorted(sql) == sorted(columns)


def test_dictionary_then_every_property_of_every_schema(api: Api, fields: list[dict[str, Any]]) -> None:
    schemas = api.body("/api/v1/openapi.json")["components"]["schemas"]
    expected = [(schema, name) for schema, described in schemas.items() for name in described["properties"]]
    assert sorted((field["container"], field["name"]) for field in fields if field["kind"] == "api") == sorted(expected)


def test_dictionary_then_every_field_is_described_and_scales_agree(fields: list[dict[str, Any]]) -> None:
    for field in fields:
        where = f"{field['container']}.{field['name']}"
        assert field["description"], where
        assert field["owner"], where
        assert (field["unit"] is None) == (field["units"] == []) == (field["displayUnit"] is None), where
        assert (field["displayScale"] is not None) == (len(field["units"]) == 1), where
        for unit in field["units"]:
            assert unit["displayScale"] > 0, where


def test_dictionary_where_the_network_decides_then_a_factor_for_liquids_and_one_for_gas(
    fields: list[dict[str, Any]],
) -> None:
    mixed = [field for field in fields if field["unit"] in MIXED]
    assert {"production_daily", "gap_driver_daily", "Kpi", "Driver"} <= {field["container"] for field in mixed}
    for field in mixed:
        oil, gas = field["units"]
        assert (field["displayScale"], field["displayUnit"]) == (None, " | ".join(MIXED[field["unit"]]))
        assert (oil["networks"], oil["displayScale"]) == (["oil"], 1e-3)
        assert (gas["networks"], gas["displayScale"]) == (["domesticGas", "exportGas", "flaredGas"], 1e-6)


def test_dictionary_scales_then_they_are_what_display_units_are_made_with(
    api: Api, fields: list[dict[str, Any]]
) -> None:
    base, shown = api.body("/api/v1/summary"), api.body("/api/v1/summary?units=display")
    units = one(fields, "Kpi", "currentProduction")["units"]
    for network in ("oil", "exportGas"):
        (unit,) = [unit for unit in units if network in unit["networks"]]
        assert (base["uom"][network], shown["uom"][network]) == (unit["unit"], unit["displayUnit"])
        kpi, displayed = base["networks"][network], shown["networks"][network]
        assert displayed["currentProduction"] == pytest.approx(kpi["currentProduction"] * unit["displayScale"])
    stock = one(fields, "TerminalKpis", "grossStock")
    terminal, displayed = base["terminals"][0], shown["terminals"][0]
    assert displayed["grossStock"] == pytest.approx(terminal["grossStock"] * stock["displayScale"])


def test_dictionary_of_one_column_then_what_the_catalogue_says(fields: list[dict[str, Any]]) -> None:
    gap = one(fields, "production_daily", "gap")
    assert (gap["kind"], gap["type"], gap["unit"], gap["owner"]) == ("sql", "DOUBLE", "bbl/d | scf/d", "warehouse")
    assert gap["formula"] == "target − production; flaredGas: production − target"
    cover = one(fields, "terminal_daily", "stock_cover")
    assert (cover["unit"], cover["displayScale"], cover["units"][0]["networks"]) == ("d", 1, None)
    name = one(fields, "facility", "name")
    assert (name["unit"], name["displayScale"], name["units"]) == (None, None, [])


def test_dictionary_of_one_kind_then_only_that(api: Api) -> None:
    assert {field["kind"] for field in api.body(f"{PATH}?kind=sql")["fields"]} == {"sql"}
    assert {field["kind"] for field in api.body(f"{PATH}?kind=api")["fields"]} == {"api"}
    api.problem(f"{PATH}?kind=xml", 400, "invalidParameter")


def test_dictionary_in_the_release_then_no_column_of_several_networks_has_one_factor(api: Api) -> None:
    with api.edge.desk.reader.lease() as release:
        rows = release.query("dictionary_list")
    mixed = [row for row in rows if row["unit"] and " | " in row["unit"]]
    assert mixed
    assert [row["column_name"] for row in mixed if row["display_scale"] is not None] == []
    (scale,) = [row for row in rows if (row["table_name"], row["column_name"]) == ("dictionary", "display_scale")]
    assert "null" in scale["description"], json.dumps(scale, default=str)
