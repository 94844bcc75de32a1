"""A parent passes what its network passes."""

from datetime import date
from typing import Any

import polars as pl

from pipelines.transforms.roll_up_capacity import parent_capacities
from warehouse.catalog.core import CoreCapacity

OLD, NEW = date(2026, 6, 30), date(2026, 7, 1)
START = date(2020, 1, 1)
VALIDITY = {"valid_from": pl.Date, "valid_to": pl.Date}


def _facility(facility_id: str, facility_type: str, hub_id: str | None) -> dict[str, Any]:
    return {
        "facility_id": facility_id,
        "name": facility_id,
        "facility_type": facility_type,
        "hub_id": hub_id,
        "asset_id": "east",
        "valid_from": START,
        "valid_to": None,
        "gor_scf_per_bbl": None,
        "fuel_fraction": None,
        "baseline_flare_scfpd": None,
        "shrinkage_fraction": None,
    }


def _capacities(values: dict[tuple[str, str], float], valid_from: date = START) -> list[dict[str, Any]]:
    return [
        {"facility_id": f, "network": n, "valid_from": valid_from, "valid_to": None, "capacity": c, "source": "ec"}
        for (f, n), c in values.items()
    ]


def _solve(
    capacities: list[dict[str, Any]], line_until: date | None = None
) -> dict[tuple[date, str, str], float | None]:
    """Three stations behind one trunk line of 150 and, until `line_until`, 170 after it."""
    stations = ("f1", "f2", "f3")
    facilities = [_facility(f, "flowstation", "hub-a") for f in stations] + [_facility("tm", "terminal", None)]
    edges = [(f, "jn", None, START, None) for f in stations]
    edges += [("jn", "tm", 150e3, START, line_until)] + ([("jn", "tm", 170e3, line_until, None)] if line_until else [])
    counted = [(f, "oil", True, True) for f in stations] + [("tm", "oil", True, False)]
    counted += [(f, "flaredGas", True, True) for f in (*stations, "tm")]
    table = parent_capacities(
        labels=[OLD, NEW],
        facilities=pl.DataFrame(facilities).cast({"valid_to": pl.Date, "gor_scf_per_bbl": pl.Float64}),
        facility_networks=pl.DataFrame(
            counted, schema=["facility_id", "network", "is_applicable", "counts_in_roll_up"], orient="row"
        ),
        edges=pl.DataFrame(
            [(a, b, "oil", "netOil", c, a != "jn", low, high) for a, b, c, low, high in edges],
            schema={"from_id": pl.String, "to_id": pl.String, "network": pl.String, "stream": pl.String}
            | {"capacity": pl.Float64, "on_cut": pl.Boolean}
            | VALIDITY,
            orient="row",
        ),
        externals=pl.DataFrame(
            [("jn", "junction", "oil", None, START, None)],
            schema={"external_id": pl.String, "kind": pl.String, "network": pl.String, "rate": pl.Float64} | VALIDITY,
            orient="row",
        ),
        capacities=pl.DataFrame(capacities, schema=CoreCapacity.create_empty().schema, orient="row"),
    )
    return {(r["production_date"], r["node_id"], r["network"]): r["max_capacity"] for r in table.iter_rows(named=True)}


STATIONS = {("f1", "oil"): 60e3, ("f2", "oil"): 40e3, ("f3", "oil"): 80e3}


def test_parent_capacities_when_stations_share_a_trunk_line_then_the_line_limits() -> None:
    found = _solve(_capacities(STATIONS))
    assert found[OLD, "hub-a", "oil"] == found[OLD, "system", "oil"] == 150e3


def test_parent_capacities_when_the_line_grows_then_only_later_labels_have_more() -> None:
    found = _solve(_capacities(STATIONS), line_until=NEW)
    assert (found[OLD, "east", "oil"], found[NEW, "east", "oil"]) == (150e3, 170e3)


def test_parent_capacities_when_flares_stand_alone_then_they_are_summed() -> None:
    flares = {(f, "flaredGas"): 5e6 for f in ("f1", "f2", "f3")}
    found = _solve(_capacities(STATIONS | flares))
    assert found[OLD, "hub-a", "flaredGas"] == 15e6
    # The terminal's flare is not known, so neither is the asset's.
    assert found[OLD, "east", "flaredGas"] is None


def test_parent_capacities_when_a_station_has_none_then_the_line_still_limits() -> None:
    found = _solve(_capacities({("f1", "oil"): 60e3}))
    assert found[OLD, "hub-a", "oil"] == 150e3
