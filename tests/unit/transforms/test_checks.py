"""Checks before publish: what they find, and that they find nothing where nothing is wrong."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines import site_tables as t
from pipelines.transforms import checks
from pipelines.transforms.meter_sigmas import meter_sigmas
from warehouse.catalog.core import CoreDailyPotential, CoreDailyProduction, CoreQuarantine
from warehouse.catalog.out import OutDailyGapDriver, OutDailyProduction

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    blank = {f.name: f.default for f in spec.fields}
    blank |= {"valid_from": date(2020, 1, 1)} if "valid_from" in schema else {}
    return pl.DataFrame([blank | row for row in rows], schema=schema, orient="row")


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


def node(level: str, node_id: str, **other: Any) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "node_level": level,
        "node_id": node_id,
        "network": "oil",
        "hub_id": "hub-a" if level == "facility" else None,
        "asset_id": "east" if level == "facility" else None,
        "counts_in_roll_up": level == "facility",
        "production_volume": 80.0,
        "potential_volume": 100.0,
        "deferment_volume": 20.0,
        "over_performance_volume": 0.0,
        "quality": "good",
    } | other


FACILITY = node("facility", "fs-a")
PARENTS = [node("hub", "hub-a"), node("asset", "east"), node("system", "system")]


def test_children_when_a_parent_is_not_their_sum_then_it_is_named() -> None:
    good = rows_of(OutDailyProduction, FACILITY, *PARENTS)
    assert checks.children_sum_to_parents(good).is_empty()
    bad = rows_of(OutDailyProduction, FACILITY, PARENTS[0], PARENTS[1] | {"deferment_volume": 21.0}, PARENTS[2])
    assert checks.children_sum_to_parents(bad).select("node_id", "column", "parent", "children").rows() == [
        ("east", "deferment_volume", 21.0, 20.0)
    ]


def test_identity_when_potential_less_production_is_not_deferment_then_the_row_is_named() -> None:
    check = checks.potential_less_production_is_deferment_less_over_performance
    assert check(rows_of(OutDailyProduction, FACILITY)).is_empty()
    assert check(rows_of(OutDailyProduction, FACILITY | {"deferment_volume": 19.0}))["node_id"].to_list() == ["fs-a"]


def test_networks_when_one_is_missing_then_the_node_is_named() -> None:
    frame = rows_of(OutDailyProduction, *(FACILITY | {"network": n} for n in ("oil", "domesticGas")))
    assert checks.every_node_has_four_networks(frame, ("oil", "domesticGas")).is_empty()
    assert checks.every_node_has_four_networks(frame, ("oil", "exportGas")).height == 1


@pytest.mark.parametrize(("rest", "faults"), [(8.0, 0), (7.0, 1)])
def test_closure_when_drivers_do_not_sum_to_deferment_then_the_facility_is_named(rest: float, faults: int) -> None:
    place = {"production_date": DAY, "facility_id": "fs-a", "network": "oil"}
    drivers = rows_of(
        OutDailyGapDriver,
        place | {"event_id": "ec:1", "volume": 12.0},
        place | {"event_id": "unattributed", "volume": rest},
    )
    found = checks.drivers_and_unattributed_close(rows_of(OutDailyProduction, FACILITY), drivers)
    assert found.height == faults


def _rates(potential: float, volume: float | None, hours: float = 24.0) -> tuple[pl.DataFrame, pl.DataFrame]:
    place = {"production_date": DAY, "facility_id": "fs-a", "network": "oil", "quality": "good"}
    return (
        rows_of(CoreDailyPotential, place | {"potential": potential, "basis": "ec", "as_of": DAY}),
        rows_of(CoreDailyProduction, place | {"volume": volume, "day_hours": hours, "coverage": 1.0}),
    )


@pytest.mark.parametrize(
    ("potential", "volume", "hours", "faults"),
    [
        (100.0, 100.0, 24.0, 0),
        # Three standard errors of a 2 % meter: 6 % of what was produced.
        (94.0, 100.0, 24.0, 0),
        (93.9, 100.0, 24.0, 1),
        # A volume of 25 h is a rate per 24 h of 24/25 of it.
        (94.0, 104.0, 25.0, 0),
        (50.0, None, 24.0, 0),
    ],
)
def test_potential_when_below_production_by_three_sigma_then_listed(
    potential: float, volume: float | None, hours: float, faults: int
) -> None:
    streams = table(
        t.STREAMS,
        {"stream_ec_code": "A", "facility_id": "fs-a", "network": "oil", "role": "production", "sigma_fraction": 0.02},
    )
    frames = _rates(potential, volume, hours)
    found = checks.potentials_are_not_overtaken(*frames, meter_sigmas(streams))
    assert found.height == faults


def test_potential_when_the_site_states_no_uncertainty_then_one_percent_counts() -> None:
    none = meter_sigmas(table(t.STREAMS))
    assert checks.potentials_are_not_overtaken(*_rates(97.1, 100.0), none).is_empty()
    assert checks.potentials_are_not_overtaken(*_rates(96.9, 100.0), none)["sigma"].to_list() == [1.0]


def test_sigmas_when_several_meters_make_a_row_then_the_largest_of_the_first_role() -> None:
    streams = table(
        t.STREAMS,
        *(
            {"stream_ec_code": code, "facility_id": f, "network": "oil", "role": role, "sigma_fraction": sigma}
            for code, f, role, sigma in (
                ("A1", "fs-a", "production", 0.002),
                ("A2", "fs-a", "production", 0.004),
                ("A3", "fs-a", "throughput", 0.05),
                ("B1", "fs-b", "production", None),
                ("T1", "tm-a", "receipt", 0.0025),
                ("T2", "tm-a", "export", 0.3),
            )
        ),
    )
    assert meter_sigmas(streams).rows() == [
        ("fs-a", "oil", 0.004),
        ("fs-b", "oil", 0.01),
        ("tm-a", "oil", 0.0025),
    ]


def test_published_target_when_it_is_not_the_sum_then_the_parent_is_listed() -> None:
    hub = node("hub", "hub-a", published_target=90.0, business_target=90.0)
    asset = node("asset", "east", published_target=95.0, business_target=90.0)
    silent = node("system", "system", published_target=None, business_target=90.0)
    own = node("facility", "fs-a", published_target=80.0, business_target=90.0)
    found = checks.published_targets_equal_the_sum(rows_of(OutDailyProduction, hub, asset, silent, own))
    assert found.select("node_id", "difference").rows() == [("east", 5.0)]


def test_sla_when_the_data_is_older_than_promised_then_the_source_is_listed_whatever_the_run() -> None:
    newest = {"pi": NOW - timedelta(hours=3), "energy_components": NOW - timedelta(hours=3)}
    sla = {"pi": 7200, "energy_components": 108_000, "sharepoint": 604_800}
    found = checks.sources_are_within_their_sla(newest, sla, NOW)
    assert found.select("source", "age_seconds", "sla_seconds").rows() == [
        ("pi", 10_800.0, 7200),
        ("sharepoint", None, 604_800),
    ]
    assert checks.sources_are_within_their_sla(newest, {"pi": 7200}, NOW - timedelta(hours=1)).is_empty()


FACILITIES = table(
    t.FACILITIES,
    *(
        {"facility_id": f, "name": f, "facility_type": kind, "asset_id": "east", "gor_scf_per_bbl": gor}
        for f, kind, gor in (
            ("fs-a", "flowstation", 1000.0),
            ("gp-a", "gas-plant", None),
            ("gp-b", "gas-plant", None),
            ("tm-a", "terminal", None),
        )
    ),
)
COUNTED = table(
    t.FACILITY_NETWORKS,
    *(
        {"facility_id": f, "network": n, "is_applicable": True, "counts_in_roll_up": True}
        for f, n in (("fs-a", "oil"), ("gp-a", "domesticGas"))
    ),
)
MARKET = table(t.EXTERNALS, {"external_id": "market", "name": "M", "kind": "market", "network": "domesticGas"})


def _cut(*edges: tuple[str, str, str, str, bool], valid_to: date | None = None) -> pl.DataFrame:
    rows = [
        {"from_id": a, "to_id": b, "network": n, "stream": s, "on_cut": on_cut, "valid_to": valid_to}
        for a, b, n, s, on_cut in edges
    ]
    labels = [DAY, DAY + timedelta(days=1)]
    return checks.every_path_crosses_the_cut_once(labels, FACILITIES, COUNTED, table(t.EDGES, *rows), MARKET)


OIL_LINE = ("fs-a", "tm-a", "oil", "netOil", True)
GAS_LINE = ("fs-a", "gp-a", "domesticGas", "rawGas", False)
SALES = ("gp-a", "market", "domesticGas", "salesGas", True)


def test_cut_when_every_path_crosses_it_once_then_no_fault() -> None:
    assert _cut(OIL_LINE, GAS_LINE, SALES).is_empty()


def test_cut_when_a_path_crosses_no_meter_or_two_then_it_is_named_once_with_its_first_label() -> None:
    around = _cut(OIL_LINE, GAS_LINE, SALES, ("fs-a", "market", "domesticGas", "salesGas", False))
    assert around.select("production_date", "phase").rows() == [(DAY, "gas")]
    assert "fs-a → market crosses no meter" in around["fault"][0]
    twice = _cut(
        OIL_LINE,
        GAS_LINE,
        ("gp-a", "gp-b", "domesticGas", "salesGas", True),
        ("gp-b", "market", "domesticGas", "salesGas", True),
    )
    assert "more than once" in twice["fault"][0]


def test_cut_when_the_faulty_line_is_no_longer_in_force_then_no_fault() -> None:
    assert _cut(OIL_LINE, ("fs-a", "market", "domesticGas", "salesGas", False), valid_to=DAY).is_empty()


def test_cut_when_rows_describe_no_network_then_that_is_the_fault() -> None:
    found = _cut(OIL_LINE, GAS_LINE, GAS_LINE, SALES)
    assert "stands twice" in found["fault"][0]


def test_quarantine_when_rows_were_rejected_then_counted_by_source_dataset_and_rule() -> None:
    row = {"production_date": DAY, "source": "pi", "dataset": "recorded_value", "rule": "tag_exists"}
    rest = {"reason": "r", "raw": "{}", "rejected_at_utc": NOW}
    frame = rows_of(
        CoreQuarantine,
        row | rest | {"row_id": "1"},
        row | rest | {"row_id": "2", "production_date": DAY + timedelta(days=1)},
        row | rest | {"row_id": "3", "rule": "range"},
    )
    assert checks.quarantined_rows(frame).rows() == [
        ("pi", "recorded_value", "range", 1, DAY, DAY),
        ("pi", "recorded_value", "tag_exists", 2, DAY, DAY + timedelta(days=1)),
    ]
    assert checks.quarantined_rows(rows_of(CoreQuarantine)).is_empty()
