"""/explain over the tiny operator, which publishes no source rows: numbers, nulls, addresses, faults, and the arithmetic."""

import statistics
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contracts.summary import Summary
from api.explain import Draft, Term, is_same, nothing, recompute
from api.explain_fields import PointerFault, find, parse
from tests.unit.api.client import Api

Leaf = tuple[str, float | None]
BODIES = (
    "/summary",
    "/summary?units=display&productionDate=2026-11-18",
    "/assets?targetVersion=2026.2",
    "/assets?network=oil&productionDate=2026-11-18",
    "/gap-drivers?window=7d&units=display",
    "/gap-drivers?facilityIds=fs-birch,gp-alder&limit=1",
    "/production-flow",
    "/terminal/tm-east/operations?units=display",
    "/hubs/hub-birch/performance?window=7d",
)


def explained(path: str) -> str:
    return "/api/v1/explain?path=" + quote(path, safe="")


def leaves(node: Any, at: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Every number and every null of a body with its pointer."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from leaves(value, (*at, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, (*at, str(index)))
    elif node is None or (isinstance(node, int | float) and not isinstance(node, bool)):
        yield "/" + "/".join(token.replace("~", "~0").replace("/", "~1") for token in at), node


@pytest.mark.parametrize("address", BODIES)
def test_every_number_of_a_body_then_it_is_explained_and_reproduced(api: Api, address: str) -> None:
    count = 0
    for pointer, value in leaves(api.body("/api/v1" + address)):
        answer = api.get(explained(f"{address}#{pointer}"))
        if value is None and answer.status_code == 400:
            assert (
                "only numbers are explained" in answer.json()["detail"]
                or "elements" in answer.json()["detail"]
                or ("its numbers are" in answer.json()["detail"])
            ), pointer
            continue
        found = answer.json()
        assert answer.status_code == 200, (pointer, found)
        assert found["value"] == value, pointer
        assert found["isReproduced"], (pointer, value, found["recomputed"], found["inputs"])
        assert found["formula"] and found["meaning"], pointer
        count += 1
    assert count >= 9


def test_number_of_a_parent_then_its_children_with_paths_that_lead_to_the_same_numbers(api: Api) -> None:
    found = api.body(explained("/summary#/networks/oil/currentProduction"))
    assert {row["name"] for row in found["inputs"]} == {"fs-alder", "fs-birch"}
    assert (found["operation"], found["unit"], found["path"]) == (
        "sum",
        "bbl/d",
        "/summary#/networks/oil/currentProduction",
    )
    for entry in found["inputs"]:
        assert api.body(explained(entry["path"]))["value"] == entry["value"]
        row = found["sourceRows"][entry["sourceRow"]]
        assert (row["table"], row["value"]) == ("out__daily_production", entry["value"])
        assert len(row["sha256"]) == 64


def test_gap_then_the_domains_formula_with_signed_weights(api: Api) -> None:
    found = api.body(explained("/assets#/east/hubs/hub-alder/facilities/fs-alder/networks/oil/gap"))
    assert [(i["name"], i["value"], i["weight"]) for i in found["inputs"]] == [
        ("businessTarget", 34000, 1),
        ("currentProduction", 21700, -1),
    ]
    assert found["recomputed"] == 12300
    assert found["path"] == "/assets#/0/hubs/0/facilities/0/networks/oil/gap"


def test_display_units_then_the_result_is_divided_and_inputs_stay_in_base_units(api: Api) -> None:
    found = api.body(explained("/summary?units=display#/networks/oil/currentProduction"))
    total = sum(entry["value"] * entry["weight"] for entry in found["inputs"])
    assert (found["unit"], found["basePerUnit"]) == ("kbbl/d", 1000)
    assert found["value"] == pytest.approx(total / 1000)
    assert all("units=base" in entry["path"] for entry in found["inputs"])


def test_driver_then_its_stored_shares_events_and_potentials(api: Api) -> None:
    found = api.body(explained("/gap-drivers?facilityIds=fs-alder#/networks/oil/drivers/ec:48213/volume"))
    tables = {row["table"] for row in found["sourceRows"]}
    assert tables == {
        "out__daily_gap_driver",
        "out__daily_production",
        "out__daily_event",
        "raw_energy_components__deferment_event",
    }
    assert [i["value"] for i in found["inputs"] if i["role"] == "parameter"] == [38000]
    assert (found["value"], found["recomputed"]) == (11900, 11900)
    raw = next(row for row in found["sourceRows"] if row["table"].startswith("raw_"))
    assert (raw["key"][-1], raw["revision"]) == ({"column": "event_no", "value": "48213"}, 1)
    assert any("code version" in note for note in found["notes"])


def test_null_then_the_reason_and_nothing_recomputed(api: Api) -> None:
    found = api.body(explained("/summary?network=oil#/networks/exportGas/gap"))
    assert (found["value"], found["recomputed"], found["inputs"]) == (None, None, [])
    assert found["isReproduced"] and "oil only" in found["notes"][0]


def test_another_release_or_day_then_it_is_chosen_in_the_bodys_own_query(api: Api) -> None:
    version = api.body("/api/v1/summary")["dataVersion"]
    found = api.body(explained(f"/summary?release={version}&productionDate=2026-11-20#/networks/oil/gap"))
    assert (found["dataVersion"], found["productionDate"]) == (version, "2026-11-20")
    assert f"release={version}" in found["inputs"][0]["path"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nowhere#/a", "/terminal/{id}/operations"),
        ("/summary", "%23"),
        ("/summary#networks", "JSON pointer"),
        ("/summary#/networks/oil", "its numbers are maxCapacity"),
        ("/summary#/networks/oil/quality", "only numbers"),
        ("/summary#/networks/oil/colour", "it has maxCapacity"),
        ("/summary#/networks/oil/gap/0", "nothing below"),
        ("/summary#/assets", "2 elements"),
        ("/summary#/assets/7/networks/oil/gap", "0 to 1, or east, west"),
        ("/assets#/east/hubs/0/facilities/0/kpis/ullage", "is null on this day"),
    ],
)
def test_path_that_leads_to_no_number_then_the_problem_says_what_is_allowed(api: Api, path: str, says: str) -> None:
    found = api.problem(explained(path), 400, "invalidParameter")
    assert says in found["detail"]
    assert found["errors"][0]["parameter"] == "path"


def test_fault_of_the_bodys_own_then_it_is_answered_as_the_endpoint_does(api: Api) -> None:
    api.problem(explained("/terminal/none/operations#/ullage"), 404, "notFound")
    api.problem(explained("/hubs/none/performance#/completeDays"), 404, "notFound")
    api.problem(explained("/gap-drivers?facilityIds=none#/networks/oil/reference/hours"), 400, "unknownId")
    found = api.problem(explained("/summary?colour=red#/networks/oil/gap"), 400, "invalidParameter")
    assert found["errors"][0]["parameter"] == "colour"
    assert "path is needed" in api.problem("/api/v1/explain", 400, "invalidParameter")["detail"]
    # An ampersand that is not encoded ends the path.
    api.problem("/api/v1/explain?path=/gap-drivers?window=7d&limit=2", 400, "invalidParameter")


def test_answer_that_is_held_then_it_is_confirmed(api: Api) -> None:
    path = explained("/summary#/networks/oil/gap")
    tag = api.get(path).headers["etag"]
    assert api.get(path, {"if-none-match": tag}).status_code == 304


# -- arithmetic --------------------------------------------------------------------------------------------------


def terms(*values: float | None, role: str = "term", first: date = date(2026, 1, 1)) -> list[Term]:
    return [
        Term(str(index), value, None, 1.0, role, first + timedelta(days=index)) for index, value in enumerate(values)
    ]


def test_operations_when_an_input_is_null_then_sums_skip_it_and_combinations_are_null() -> None:
    assert recompute(Draft("", "sum", terms(1.0, None, 2.0))) == 3.0
    assert recompute(Draft("", "sum", terms(None))) is None
    assert recompute(Draft("", "combination", terms(1.0, None))) is None
    assert recompute(Draft("", "combinationNotNegative", terms(1.0, -3.0))) == 0.0
    assert recompute(Draft("", "sumNotNegative", terms(-1.0))) == 0.0
    assert recompute(Draft("", "zero")) == 0.0
    assert recompute(nothing("null", terms=terms(5.0))) is None


def test_quotient_when_the_denominator_is_zero_or_missing_then_null() -> None:
    over = terms(3.0, role="numerator")
    assert recompute(Draft("", "quotient", [*over, *terms(2.0, 4.0, role="denominator")])) == 0.5
    assert recompute(Draft("", "quotient", [*over, *terms(0.0, role="denominator")])) is None
    assert recompute(Draft("", "quotient", over)) is None


@pytest.mark.parametrize(("network", "count"), [("oil", 2.0), ("flaredGas", 2.0), ("exportGas", 2.0)])
def test_days_on_target_when_flared_then_a_ceiling_else_a_floor(network: str, count: float) -> None:
    made, wanted = terms(1.0, 2.0, 3.0, role="production"), terms(2.0, 2.0, 2.0, role="target")
    assert recompute(Draft("", "countOnTarget", [*made, *wanted], network=network)) == count
    assert recompute(Draft("", "countOnTarget", made, network=network)) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_quantile_for_any_values_then_the_inclusive_quartile_of_the_standard_library(values: list[float]) -> None:
    expected = statistics.quantiles(values, n=4, method="inclusive")[2]
    assert recompute(Draft("", "quantile75", terms(*values))) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(2, 20))
def test_slope_of_a_line_then_its_own_slope(level: float, slope: float, days: int) -> None:
    line = terms(*(level + slope * day for day in range(days)))
    assert recompute(Draft("", "medianSlope", line)) == pytest.approx(slope, rel=1e-6, abs=1e-6)
    assert recompute(Draft("", "medianSlope", terms(1.0))) is None


def test_reproduction_when_terms_cancel_then_it_is_judged_by_the_largest() -> None:
    near = terms(1e9, -1e9 + 1e-3)
    assert is_same(1e-3, 1.0001e-3, near, 1.0)
    assert not is_same(1e-3, 1.0001e-3, terms(1e-3), 1.0)
    assert is_same(None, None, [], 1.0)
    assert not is_same(None, 1.0, [], 1.0)


def test_pointer_when_tokens_are_escaped_then_they_are_read_back() -> None:
    assert parse("/edges/a~0b~1c/capacity") == ("edges", "a~b/c", "capacity")
    with pytest.raises(PointerFault):
        find(Summary, {}, ("nowhere",))
