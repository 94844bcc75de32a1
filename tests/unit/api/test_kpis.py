"""Assembly of nodes: status, absence, and facilities in unusual places."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from api.callers import EVERYTHING
from api.kpis import facility_status, kpi, ratio, terminal_kpis
from api.parameters import COMMON
from api.routes import assets
from api.units import Converter
from api.view import View, defaults
from tests.unit.api.test_caching import DAY, FACTS


class Rows:
    """Stands for an open release: canned rows by query."""

    release_id = FACTS.release_id

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def query(self, name: str, params: Mapping[str, Any], assets: object = None) -> list[dict[str, Any]]:
        return self.rows.get(name, [])


def view(**rows: list[dict[str, Any]]) -> View:
    release: Any = Rows(**rows)
    return View(release, FACTS, defaults(COMMON), DAY, Converter("base"), EVERYTHING)


def row(**more: Any) -> dict[str, Any]:
    return {"quality": "good", "production": 90.0, "potential": 100.0, "deferment": 10.0} | more


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ({}, "unknown"),
        ({"oil": row(production=None)}, "unknown"),
        ({"oil": row(production=0.0, deferment=100.0)}, "down"),
        ({"oil": row()}, "constrained"),
        ({"oil": row(production=95.0, deferment=5.0)}, "normal"),
        ({"oil": row(production=94.9, deferment=5.1)}, "constrained"),
        ({"oil": row(potential=None, deferment=None)}, "normal"),
        ({"oil": row(quality="notApplicable", production=0.0), "flaredGas": row()}, "unknown"),
        ({"domesticGas": row(production=0.0, deferment=9.0), "exportGas": row(deferment=1.0)}, "constrained"),
        ({"domesticGas": row(production=None), "exportGas": row(production=0.0)}, "down"),
    ],
)
def test_facility_status_over_the_networks_it_serves(rows: dict[str, dict[str, Any]], status: str) -> None:
    assert facility_status(rows) == status


def test_kpi_without_a_row_then_missing_and_nulls() -> None:
    found = kpi(view(), "oil", None)
    assert (found.quality, found.current_production, found.coverage) == ("missing", None, 0.0)


def test_terminal_kpis_without_a_row_then_nulls() -> None:
    assert terminal_kpis(view(), None).gross_stock is None


def test_ratio_when_a_part_is_absent_or_zero_then_null() -> None:
    assert [ratio(None, 1.0), ratio(1.0, None), ratio(1.0, 0.0), ratio(1.0, 4.0)] == [None, None, None, 0.25]


def test_assets_when_a_plant_has_no_hub_then_it_stands_in_the_assets_terminals_once() -> None:
    place = {"name": "x", "asset_id": "a", "served_networks": ["oil"], "cut_networks": ["oil"]}
    found = assets.assemble(
        view(
            asset_list=[{"asset_id": "a", "name": "A"}, {"asset_id": "b", "name": "B"}],
            hub_list=[{"hub_id": "h", "name": "H", "asset_id": "a"}],
            facility_list=[
                place | {"facility_id": "gp", "facility_type": "gas-plant", "hub_id": None},
                place | {"facility_id": "tm", "facility_type": "terminal", "hub_id": "h"},
            ],
        )
    )
    assert [f.id for f in found[0].terminals] == ["gp"]
    assert found[0].terminals[0].kpis is None
    assert found[0].terminals[0].counts_in_roll_up.oil is True
    assert [f.id for f in found[0].hubs[0].facilities] == ["tm"]
    assert found[0].hubs[0].facilities[0].kpis is not None
    assert (found[1].hubs, found[1].terminals) == ([], [])
    assert found[0].production_date == date(2026, 11, 21)
