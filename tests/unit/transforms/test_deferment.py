"""Facility rows: zero, null, on and off the cut, versions in force."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from pipelines.transforms.deferment import (
    capacities_in_force,
    facility_days,
    facility_production,
    in_force,
    targets_in_force,
)
from pipelines.transforms.production_day import ProductionCalendar
from warehouse.catalog.core import CoreCapacity, CoreDailyPotential, CoreDailyProduction, CoreTarget
from warehouse.catalog.out import OutDailyProduction

DAY = date(2026, 11, 21)
FACILITY = {"name": "A", "hub_id": "hub-a", "asset_id": "east", "valid_from": date(2020, 1, 1), "valid_to": None}
FACILITY |= {"zone": None, "day_start": None}
OIL_ONLY = {"oil": (True, True), "domesticGas": (False, False), "exportGas": (False, False), "flaredGas": (True, True)}


def rows(schema: Any, *values: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    blank = dict.fromkeys(empty.columns)
    return pl.DataFrame([blank | value for value in values], schema=empty.schema, orient="row")


def produced(facility_id: str, volume: float | None, network: str = "oil", **other: Any) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "facility_id": facility_id,
        "network": network,
        "day_hours": 24.0,
        "volume": volume,
        "source": None if volume is None else "ec",
        "record_status": None if volume is None else "provisional",
        "quality": "missing" if volume is None else "good",
        "coverage": 0.0 if volume is None else 1.0,
    } | other


def potential(facility_id: str, rate: float | None, network: str = "oil", **other: Any) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "facility_id": facility_id,
        "network": network,
        "potential": rate,
        "basis": "ec",
        "quality": "good",
    } | other


def target(value: float, version: str = "v1", **other: Any) -> dict[str, Any]:
    return {
        "version": version,
        "node_id": "fs-a",
        "network": "oil",
        "valid_from": date(2026, 1, 1),
        "value": value,
        "published_at_utc": datetime(2025, 12, 1, tzinfo=UTC),
        "is_approved": True,
    } | other


def facility_table(
    *,
    label: date = DAY,
    zone: str = "UTC",
    networks: dict[str, tuple[bool, bool]] = OIL_ONLY,
    production: list[dict[str, Any]] | None = None,
    potentials: list[dict[str, Any]] | None = None,
    targets: list[dict[str, Any]] | None = None,
    capacities: list[dict[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    facilities = pl.DataFrame([FACILITY | {"facility_id": "fs-a"}]).cast({"valid_to": pl.Date})
    table = facility_production(
        labels=[label],
        days=ProductionCalendar(zone, "00:00").frame([label], ["fs-a"]),
        facilities=facilities,
        facility_networks=pl.DataFrame(
            [("fs-a", n, a, c) for n, (a, c) in networks.items()],
            schema=["facility_id", "network", "is_applicable", "counts_in_roll_up"],
            orient="row",
        ),
        production=rows(CoreDailyProduction, *(production or [])),
        potential=rows(CoreDailyPotential, *(potentials or [])),
        targets=rows(CoreTarget, *(targets or [])),
        capacities=rows(CoreCapacity, *(capacities or [])),
    )
    OutDailyProduction.validate(table)
    return {row["network"]: row for row in table.iter_rows(named=True)}


def test_facility_production_when_short_of_potential_and_target_then_deferment_and_gap() -> None:
    row = facility_table(
        production=[produced("fs-a", 21_700.0)], potentials=[potential("fs-a", 38_000.0)], targets=[target(34_000.0)]
    )["oil"]
    assert (row["deferment"], row["over_performance"], row["gap"]) == (16_300.0, 0.0, 12_300.0)
    assert (row["quality"], row["coverage"], row["target_version"]) == ("good", 1.0, "v1")


def test_facility_production_when_above_potential_then_over_performance_and_no_deferment() -> None:
    row = facility_table(production=[produced("fs-a", 13.0)], potentials=[potential("fs-a", 10.0)])["oil"]
    assert (row["deferment"], row["over_performance"]) == (0.0, 3.0)


def test_facility_production_when_a_network_does_not_apply_then_zeros() -> None:
    row = facility_table(production=[produced("fs-a", 5.0, "domesticGas")])["domesticGas"]
    numbers = ("max_capacity", "potential", "business_target", "production", "deferment", "over_performance", "gap")
    assert [row[n] for n in numbers] == [0.0] * len(numbers)
    assert (row["quality"], row["source"], row["record_status"]) == ("notApplicable", None, None)


def test_facility_production_when_the_value_is_missing_then_nulls_and_never_zeros() -> None:
    row = facility_table(potentials=[potential("fs-a", 10.0)], targets=[target(9.0)])["oil"]
    assert (row["production"], row["deferment"], row["gap"], row["quality"]) == (None, None, None, "missing")
    assert (row["potential"], row["business_target"], row["coverage"]) == (10.0, 9.0, 0.0)


def test_facility_production_when_flared_then_gap_is_inverse_and_deferment_zero() -> None:
    row = facility_table(
        production=[produced("fs-a", 6.2e6, "flaredGas")], targets=[target(2.5e6, network="flaredGas")]
    )["flaredGas"]
    assert (row["potential"], row["deferment"], row["over_performance"]) == (None, 0.0, 0.0)
    assert row["gap"] == pytest.approx(3.7e6)


def test_facility_production_when_no_flare_meter_then_nulls_even_if_the_site_says_not_applicable() -> None:
    row = facility_table(networks=OIL_ONLY | {"flaredGas": (False, True)})["flaredGas"]
    assert (row["production"], row["deferment"], row["quality"]) == (None, None, "missing")


def test_facility_production_when_off_the_cut_then_only_throughput_and_capacity() -> None:
    row = facility_table(
        networks=OIL_ONLY | {"oil": (True, False)},
        production=[produced("fs-a", 100.0)],
        potentials=[potential("fs-a", 120.0)],
        targets=[target(110.0)],
        capacities=[
            {
                "facility_id": "fs-a",
                "network": "oil",
                "valid_from": date(2020, 1, 1),
                "capacity": 150.0,
                "source": "ec",
            }
        ],
    )["oil"]
    assert (row["production"], row["max_capacity"]) == (100.0, 150.0)
    names = ("potential", "business_target", "deferment", "over_performance", "gap")
    assert [row[n] for n in names] == [None] * len(names)
    assert (row["counts_in_roll_up"], row["quality"]) == (False, "good")


@pytest.mark.parametrize("value", [{"quality": "uncertain"}, {"quality": "stale"}, {"potential": None}])
def test_facility_production_when_the_potential_is_doubtful_then_uncertain(value: dict[str, Any]) -> None:
    row = facility_table(production=[produced("fs-a", 12.0)], potentials=[potential("fs-a", 10.0) | value])["oil"]
    assert (row["quality"], row["production"]) == ("uncertain", 12.0)


def test_facility_production_when_the_day_has_25_hours_then_rates_are_per_24_hours() -> None:
    label = date(2026, 10, 25)
    row = facility_table(
        label=label,
        zone="Europe/Oslo",
        production=[produced("fs-a", 2500.0, production_date=label, day_hours=25.0)],
        potentials=[potential("fs-a", 2880.0, production_date=label)],
    )["oil"]
    assert (row["day_hours"], row["production"]) == (25.0, pytest.approx(2400.0))
    assert (row["potential_volume"], row["deferment_volume"]) == (pytest.approx(3000.0), pytest.approx(500.0))


def test_targets_in_force_when_versions_overlap_then_the_last_published_approved_one() -> None:
    later = datetime(2026, 6, 1, tzinfo=UTC)
    table = rows(
        CoreTarget,
        target(30.0, "v1"),
        target(28.0, "v2", published_at_utc=later, valid_from=date(2026, 7, 1), valid_to=date(2026, 9, 1)),
        target(99.0, "draft", published_at_utc=datetime(2026, 8, 1, tzinfo=UTC), is_approved=False),
    )
    labels = [date(2025, 12, 31), date(2026, 6, 30), date(2026, 7, 1), date(2026, 8, 31), date(2026, 9, 1)]
    found = targets_in_force(table, labels)
    assert found.select("production_date", "target_version").rows() == [
        (date(2026, 6, 30), "v1"),
        (date(2026, 7, 1), "v2"),
        (date(2026, 8, 31), "v2"),
        (date(2026, 9, 1), "v1"),
    ]


def test_capacities_in_force_when_both_sources_have_one_then_energy_components() -> None:
    entry = {"facility_id": "fs-a", "network": "oil", "valid_from": date(2026, 1, 1), "source": "sharepoint"}
    table = rows(
        CoreCapacity,
        entry | {"capacity": 60.0, "valid_from": date(2026, 11, 1)},
        entry | {"capacity": 50.0, "source": "ec", "valid_to": DAY},
    )
    found = capacities_in_force(table, [date(2026, 11, 20), DAY])
    assert found["capacity"].to_list() == [50.0, 60.0]


def test_in_force_when_there_are_no_versions_then_no_rows_but_the_columns() -> None:
    found = in_force(rows(CoreCapacity), ["facility_id", "network"], [DAY])
    assert found.height == 0
    assert "capacity" in found.columns


def test_facility_days_when_a_facility_moves_then_each_label_has_the_hub_of_its_day() -> None:
    versions = pl.DataFrame(
        [
            {"facility_id": "fs-a", "hub_id": "old", "valid_from": date(2020, 1, 1), "valid_to": DAY},
            {"facility_id": "fs-a", "hub_id": "new", "valid_from": DAY, "valid_to": None},
        ]
    )
    found = facility_days(versions, [date(2026, 11, 20), DAY])
    assert found["hub_id"].to_list() == ["old", "new"]
