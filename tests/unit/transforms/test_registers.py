"""Registers: identities, units and duplicates of targets, capacities and cargoes."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.registers import Register, capacities, cargoes, targets
from pipelines.transforms.units import UnitTable
from warehouse.catalog.tables import TABLES

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
LABEL = date(2026, 11, 21)
FROM = date(2026, 1, 1)
FACILITIES = pl.DataFrame(
    {"facility_id": ["fs", "tm"], "ec_code": ["FS", "TM"], "sharepoint_code": ["Station", "Terminal"]}
)
HUBS = pl.DataFrame({"hub_id": ["hub"]})
ASSETS = pl.DataFrame({"asset_id": ["east"]})
TERMINALS = pl.DataFrame({"facility_id": ["tm"], "storage_ec_code": ["TM_STORAGE"]})
LAGOS = ProductionCalendar("Africa/Lagos", "06:00")


def frame(table: str, *rows: dict[str, object]) -> pl.DataFrame:
    schema = pl.Schema(TABLES[table].schema)
    return pl.DataFrame([{c: r.get(c) for c in schema} for r in rows], schema=schema)


def target(item: str, **changes: object) -> dict[str, object]:
    return {
        "item_id": item,
        "node_code": "Station",
        "network": "oil",
        "version": "2026-1",
        "valid_from": FROM,
        "value": 42.0,
        "unit": "kbbl/d",
        "status": "Approved",
        "published_at_utc": NOW,
    } | changes


def read_targets(*rows: dict[str, object]) -> Register:
    raw = frame("raw_sharepoint__business_target", *rows)
    result = targets(raw, FACILITIES, HUBS, ASSETS, units=UnitTable(), label=LABEL, now=NOW)
    TABLES["core__target"].schema.validate(result.rows)
    TABLES["core__quarantine"].schema.validate(result.quarantined)
    return result


def test_targets_when_nodes_of_all_levels_then_our_ids_and_base_units() -> None:
    result = read_targets(
        target("1"),
        target("2", node_code="hub", network="flaredGas", unit="MMscf/d", value=2.5, status="draft"),
        target("3", node_code="east", unit="bbl/d"),
        target("4", node_code="system", unit="Sm3/d", value=1.0),
    )
    assert result.rows.select("node_id", "network", "value", "is_approved").rows() == [
        ("east", "oil", 42.0, True),
        ("fs", "oil", 42_000.0, True),
        ("hub", "flaredGas", 2.5e6, False),
        ("system", "oil", 6.289810770, True),
    ]
    assert result.quarantined.is_empty()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"node_code": "Nowhere"}, "unknown_id"),
        ({"network": "steam"}, "vocabulary"),
        ({"unit": "furlong"}, "unknown_unit"),
        ({"unit": None}, "unknown_unit"),
        ({"unit": "kbbl"}, "unknown_unit"),
        ({"value": -1.0}, "range"),
        ({"value": 42_000.0}, "range"),
        ({"valid_from": None}, "null"),
    ],
)
def test_targets_when_row_breaks_a_rule_then_quarantined_under_the_label(changes: dict[str, object], rule: str) -> None:
    result = read_targets(target("1", **changes), target("2", version="ok"))
    assert result.rows["version"].to_list() == ["ok"]
    assert result.quarantined.select("rule", "production_date", "dataset").rows() == [(rule, LABEL, "business_target")]


def test_targets_when_a_version_stands_twice_then_last_published_stays() -> None:
    result = read_targets(
        target("1", value=1.0), target("2", value=2.0, published_at_utc=datetime(2026, 1, 1, tzinfo=UTC))
    )
    assert result.rows["value"].to_list() == [1000.0]
    assert result.quarantined["rule"].to_list() == ["duplicate_key"]


def test_capacities_when_both_sources_state_one_then_energy_components_stays() -> None:
    ec = frame(
        "raw_energy_components__capacity",
        {"object_ec_code": "FS", "network": "oil", "valid_from": FROM, "capacity": 10.0},
        {"object_ec_code": "??", "network": "oil", "valid_from": FROM, "capacity": 10.0},
    )
    plate = {"facility_code": "Station", "network": "exportGas", "valid_from": FROM, "unit": "MMscf/d"}
    register = frame(
        "raw_sharepoint__capacity_register",
        plate | {"item_id": "1", "network": "oil", "capacity": 60.0, "unit": "kbbl/d"},
        plate | {"item_id": "2", "capacity": 5.0},
        plate | {"item_id": "3", "capacity": 6.0},
    )
    result = capacities(ec, register, FACILITIES, mapped_units={}, units=UnitTable(), label=LABEL, now=NOW)
    TABLES["core__capacity"].schema.validate(result.rows)
    assert result.rows.select("facility_id", "network", "capacity", "source").rows() == [
        ("fs", "exportGas", 6e6, "sharepoint"),
        ("fs", "oil", 10.0, "ec"),
    ]
    assert result.quarantined.select("source", "rule").rows() == [
        ("energy_components", "unknown_id"),
        ("sharepoint", "duplicate_key"),
    ]


def test_capacities_when_mapping_states_a_unit_then_converted() -> None:
    ec = frame(
        "raw_energy_components__capacity",
        {"object_ec_code": "FS", "network": "oil", "valid_from": FROM, "capacity": 10.0},
    )
    units = {"capacity": "kbbl/d | MMscf/d"}
    result = capacities(ec, None, FACILITIES, mapped_units=units, units=UnitTable(), label=LABEL, now=NOW)
    assert result.rows["capacity"].to_list() == [10_000.0]


def read_cargoes(ec: list[dict[str, object]], programme: list[dict[str, object]]) -> Register:
    result = cargoes(
        frame("raw_energy_components__cargo", *ec),
        frame("raw_sharepoint__lifting_programme", *programme),
        FACILITIES, TERMINALS, LAGOS,
        mapped_units={"nominated_volume": "bbl", "lifted_volume": "Sm3"}, units=UnitTable(), label=LABEL, now=NOW,
    )  # fmt: skip
    TABLES["core__cargo"].schema.validate(result.rows)
    return result


def test_cargoes_when_programme_names_a_nomination_then_one_row_with_fields_of_both() -> None:
    nomination = {
        "parcel_no": "P1", "cargo_name": "K-101", "storage_ec_code": "TM_STORAGE", "status": "LIFTED", "lifted_volume": 100.0,
        "lifted_at_local": datetime(2026, 11, 3, 14), "laycan_start": date(2026, 11, 2),
    }  # fmt: skip
    planned = {
        "cargo_id": "K-101", "terminal_code": "Terminal", "parcel": 950.0, "unit": "kbbl", "status": "planned",
        "laycan_start": date(2026, 11, 1), "laycan_end": date(2026, 11, 4),
    }  # fmt: skip
    result = read_cargoes([nomination], [planned, planned | {"cargo_id": "K-102"}])
    assert result.quarantined.is_empty()
    first, second = result.rows.sort("status").rows(named=True)
    assert first == {
        "cargo_id": "P1", "terminal_id": "tm", "parcel_bbl": 950_000.0, "status": "lifted",
        "laycan_start": date(2026, 11, 2), "laycan_end": date(2026, 11, 4), "lifted_bbl": pytest.approx(628.981077),
        "lifted_at_utc": datetime(2026, 11, 3, 13, tzinfo=UTC),
    }  # fmt: skip
    assert (second["cargo_id"], second["status"]) == ("K-102", "planned")


def test_cargoes_when_terminal_unit_status_or_size_is_wrong_then_quarantined() -> None:
    good = {"terminal_code": "tm", "parcel": 950.0, "unit": "kbbl", "status": "nominated"}
    result = read_cargoes(
        [{"parcel_no": "P1", "storage_ec_code": "ELSE", "status": "planned"}],
        [
            good | {"cargo_id": "1"},
            good | {"cargo_id": "2", "unit": "bpd"},
            good | {"cargo_id": "3", "status": "perhaps"},
            good | {"cargo_id": "4", "status": None},
            good | {"cargo_id": "5", "parcel": 950_000.0},
        ],
    )
    assert result.rows["cargo_id"].to_list() == ["1"]
    assert sorted(result.quarantined["rule"]) == ["range", "unknown_id", "unknown_unit", "vocabulary", "vocabulary"]


def test_cargoes_when_no_source_exists_then_empty() -> None:
    result = cargoes(None, None, FACILITIES, TERMINALS, LAGOS, mapped_units={}, units=UnitTable(), label=LABEL, now=NOW)
    assert result.rows.is_empty()
    assert result.quarantined.is_empty()
