"""Reconciliation from reference and measurements to rows: which meters there are, what they measured, what is said of them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines import site_tables as t
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.reconciliation import Reconciliation, daily_reconciliation
from pipelines.transforms.reconciliation_measured import SCHEMA, accepted_streams, measured_volumes
from pipelines.transforms.reconciliation_network import Meter, gas_arcs, oil_arcs, site_meters
from pipelines.transforms.units import UnitTable
from warehouse.catalog.core import CoreDailyReading, CoreDailyTerminal, CoreQuarantine
from warehouse.catalog.raw import RawEnergyComponentsStreamDay
from warehouse.catalog.reconciliation import OutDailyBalance, OutDailyClosure, OutDailyMeter

DAY = date(2026, 11, 20)
BEFORE = DAY - timedelta(days=1)
LAGOS = ProductionCalendar("Africa/Lagos", "06:00")
DAYS = LAGOS.frame([BEFORE, DAY], ["fs-a", "fs-b", "tm"])


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    blank = {f.name: f.default for f in spec.fields}
    return pl.DataFrame([blank | row for row in rows], schema=schema, orient="row")


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


def facility(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"facility_id": name, "name": name, "facility_type": kind, "asset_id": "east"} | more


def stream(
    code: str, facility_id: str, role: str, sigma: float | None = 0.0025, network: str = "oil"
) -> dict[str, Any]:
    return {
        "stream_ec_code": code,
        "facility_id": facility_id,
        "network": network,
        "role": role,
        "sigma_fraction": sigma,
    }


def tag(tag_id: int, facility_id: str, measurement: str, **more: Any) -> dict[str, Any]:
    named = {"tag_id": tag_id, "tag_name": f"T{tag_id}", "facility_id": facility_id, "measurement": measurement}
    return named | {"unit": "bbl/d", "group": "process", "network": "oil"} | more


FACILITIES = table(
    t.FACILITIES, facility("fs-a", "flowstation"), facility("fs-b", "flowstation"), facility("tm", "terminal")
)
STREAMS = table(
    t.STREAMS,
    *(stream(f"{s}_EXP", f"fs-{s.lower()}", "production") for s in "AB"),
    *(stream(f"{s}_SEP", f"fs-{s.lower()}", "throughput", 0.01) for s in "AB"),
    *(stream(f"{s}_TRK", f"fs-{s.lower()}", "throughput", 0.005) for s in "AB"),
    stream("TM_IN", "tm", "receipt"),
    stream("TM_OUT", "tm", "export", 0.002),
)
TAGS = table(
    t.TAGS,
    *(tag(n, f"fs-{s}", "separator_rate", object_id=f"{s.upper()}_SEP") for n, s in ((1, "a"), (2, "b"))),
    *(tag(n, f"fs-{s}", "trunk_inlet_rate", object_id=f"{s.upper()}_TRK") for n, s in ((3, "a"), (4, "b"))),
    tag(5, "tm", "stock", unit="bbl", group="gauge", sigma_fraction=0.002, object_id="TM_TK1"),
    tag(6, "fs-a", "pressure", unit="bar", network=None),
)
TERMINALS = table(
    t.TERMINALS, {"facility_id": "tm", "safe_fill_bbl": 1e6, "storage_ec_code": "TM", "own_use_bblpd": 100.0}
)
EDGES = table(
    t.EDGES,
    *({"from_id": f"fs-{s}", "to_id": "tm", "network": "oil", "stream": "netOil"} for s in "ab"),
    {"from_id": "tm", "to_id": "export-crude", "network": "oil", "stream": "crude"},
)
EXTERNALS = table(t.EXTERNALS, {"external_id": "export-crude", "name": "Cargoes", "kind": "export"})
METERS = site_meters(STREAMS, TAGS, TERMINALS)
TRUE = {f"A_{m}": 30_000.0 for m in ("SEP", "EXP", "TRK")} | {f"B_{m}": 20_000.0 for m in ("SEP", "EXP", "TRK")}
TRUE |= {"TM_IN": 50_000.0, "TM_OUT": 0.0, "TM/stock": 49_900.0}


def measured(volumes: dict[str, float], label: date = DAY) -> pl.DataFrame:
    rows = [(label, k, v, 400_000.0 if k.endswith("stock") else v, "ec") for k, v in volumes.items()]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def reconciled(volumes: pl.DataFrame, labels: tuple[date, ...] = (DAY,), edges: pl.DataFrame = EDGES) -> Reconciliation:
    found = daily_reconciliation(
        labels=labels,
        meters=METERS,
        measured=volumes,
        days=DAYS,
        facilities=FACILITIES,
        edges=edges,
        externals=EXTERNALS,
        terminals=TERMINALS,
    )
    OutDailyMeter.validate(found.meters)
    OutDailyBalance.validate(found.balances)
    OutDailyClosure.validate(found.closure)
    return found


def by(frame: pl.DataFrame, key: str, value: str) -> dict[str, Any]:
    return dict(frame.select(key, value).iter_rows())


def test_meters_when_a_tag_reads_a_stream_then_they_are_one_meter_with_the_tags_word() -> None:
    words = {m.meter_id: (m.measurement, m.stream_ec_code, m.tag_id) for m in METERS}
    assert words["A_SEP"] == ("separator_rate", "A_SEP", 1)
    assert words["A_EXP"] == ("rate", "A_EXP", None)
    assert words["TM/stock"] == ("stock", None, None)
    assert len(words) == 9


def test_meters_when_a_tag_has_another_object_then_a_meter_of_its_own() -> None:
    tags = table(t.TAGS, tag(9, "fs-a", "gas_rate", network=None, unit="scf/d", object_id="A_GAS", sigma_fraction=0.01))
    found = {m.meter_id: m for m in site_meters(STREAMS, tags, TERMINALS)}
    assert (found["A_GAS"].system, found["A_GAS"].tag_id, found["A_GAS"].network) == ("gas", 9, None)


def test_balances_when_everything_is_measured_then_stations_trunk_and_tanks_close() -> None:
    found = reconciled(measured(TRUE))
    assert found.balances["balance_id"].to_list() == [
        "fs-a/production~trunk_inlet",
        "fs-a/separator~production",
        "fs-b/production~trunk_inlet",
        "fs-b/separator~production",
        "tm/inlet",
        "tm/tanks",
    ]
    assert by(found.balances, "balance_id", "facility_ids")["tm/inlet"] == "fs-a fs-b tm"
    assert found.balances["imbalance"].abs().max() == pytest.approx(0.0, abs=1e-9)
    tanks = found.balances.row(by_predicate=pl.col("balance_id") == "tm/tanks", named=True)
    assert (tanks["inputs"], tanks["outputs"]) == (50_000.0, 50_000.0)  # own use of 100 bbl is declared, not measured
    (closure,) = found.closure.to_dicts()
    assert (closure["balance_count"], closure["degrees_of_freedom"], closure["observable_count"]) == (6, 6, 7)
    assert (closure["inputs"], closure["outputs"], closure["p_value"]) == (50_000.0, 50_000.0, 1.0)


def test_meters_when_one_is_off_then_flagged_and_reconciled_from_the_others() -> None:
    found = reconciled(measured(TRUE | {"A_TRK": 31_500.0}))
    flags = by(found.meters, "meter_id", "flag")
    assert {k for k, v in flags.items() if v == "grossError"} == {"A_TRK"}
    assert {k for k, v in flags.items() if v == "notObservable"} == {"TM_OUT", "TM/stock"}
    row = found.meters.row(by_predicate=pl.col("meter_id") == "A_TRK", named=True)
    assert row["reconciled"] == pytest.approx(30_000, rel=1e-4)
    assert row["adjustment"] == pytest.approx(row["reconciled"] - 31_500)
    assert row["sigma"] == pytest.approx(0.005 * 31_500)
    broken = found.balances.filter(~pl.col("is_closed"))["balance_id"].to_list()
    assert broken == ["fs-a/production~trunk_inlet", "tm/inlet"]
    assert found.closure["gross_error_count"].to_list() == [1]


def test_meters_when_the_day_before_is_given_then_the_small_bias_is_found_and_only_asked_labels_are_rows() -> None:
    small = TRUE | {"A_TRK": 1.016 * TRUE["A_TRK"]}
    alone = reconciled(measured(small))
    assert by(alone.meters, "meter_id", "flag")["A_TRK"] == "suspect"
    both = reconciled(pl.concat([measured(small, BEFORE), measured(small)]))
    assert both.meters["production_date"].unique().to_list() == [DAY]
    assert by(both.meters, "meter_id", "flag")["A_TRK"] == "grossError"
    assert by(both.meters, "meter_id", "evidence_days")["A_TRK"] == 2


def test_meters_when_one_has_no_value_then_null_and_not_observable_and_the_rest_still_balances() -> None:
    found = reconciled(measured({k: v for k, v in TRUE.items() if k not in ("A_EXP", "TM/stock")}))
    row = found.meters.row(by_predicate=pl.col("meter_id") == "A_EXP", named=True)
    assert (row["measured"], row["sigma"], row["reconciled"], row["flag"]) == (None, None, None, "notObservable")
    assert "fs-a/production~trunk_inlet" in found.balances["balance_id"].to_list()
    # Without the change of stock no balance stands at the tanks.
    assert "tm/tanks" not in found.balances["balance_id"].to_list()


def test_meters_when_nothing_is_measured_then_rows_without_figures_and_no_balance() -> None:
    found = reconciled(measured({}))
    assert found.meters["flag"].unique().to_list() == ["notObservable"]
    assert found.balances.is_empty()
    (closure,) = found.closure.to_dicts()
    assert (closure["degrees_of_freedom"], closure["p_value"], closure["critical_statistic"]) == (0, None, None)


def test_balances_when_a_line_ends_then_the_day_decides_where_the_oil_went() -> None:
    closed = EDGES.with_columns(valid_to=pl.when(pl.col("from_id") == "fs-b").then(pl.lit(DAY)).otherwise("valid_to"))
    found = reconciled(pl.concat([measured(TRUE, BEFORE), measured(TRUE)]), (BEFORE, DAY), closed)
    spans = found.balances.filter(balance_id="tm/inlet").sort("production_date")["facility_ids"].to_list()
    assert spans == ["fs-a fs-b tm", "fs-a tm"]


def test_meters_when_all_flows_stand_still_then_no_division_and_no_flag() -> None:
    found = reconciled(measured(dict.fromkeys(TRUE, 0.0) | {"TM/stock": -100.0}))
    assert set(found.meters["flag"]) == {"ok", "notObservable"}
    assert found.balances["imbalance"].abs().max() == pytest.approx(0.0, abs=1e-9)


def test_oil_when_a_station_passes_anothers_oil_on_then_its_trunk_meter_sees_both() -> None:
    arcs = oil_arcs(METERS, [("fs-a", "fs-b"), ("fs-b", "tm")], FACILITIES.to_dicts(), {"tm": TERMINALS.to_dicts()[0]})
    between = [(a.tail, a.head) for a in arcs if a.tail == "fs-a/outlet"]
    assert between == [("fs-a/outlet", "fs-b/production~trunk_inlet")]


def test_oil_when_lines_meet_at_a_junction_then_it_joins_them() -> None:
    lines = [("fs-a", "j"), ("fs-b", "j"), ("j", "tm")]
    arcs = oil_arcs(METERS, lines, FACILITIES.to_dicts(), {"tm": TERMINALS.to_dicts()[0]}, ["j"])
    assert {(a.tail, a.head) for a in arcs if a.key is None} >= {
        ("fs-a/outlet", "j/junction"),
        ("j/junction", "tm/inlet"),
    }


def gas_meter(name: str, at: str, word: str, network: str | None = None) -> Meter:
    return Meter(name, "gas", at, network, word, 0.01, name if network else None, None)


GAS = [
    gas_meter("A_GAS", "fs-a", "gas_rate"),
    gas_meter("A_FLARE", "fs-a", "flare_rate", "flaredGas"),
    gas_meter("GP_FEED", "gp", "feed_rate"),
    gas_meter("GP_NAG", "gp", "feed_rate"),
    gas_meter("GP_DOM", "gp", "rate", "domesticGas"),
    gas_meter("GP_EXP", "gp", "rate", "exportGas"),
    gas_meter("GP_FLARE", "gp", "flare_rate", "flaredGas"),
]
PLANTS = table(
    t.FACILITIES,
    facility("fs-a", "flowstation", fuel_fraction=0.1),
    facility("gp", "gas-plant", shrinkage_fraction=0.05, fuel_fraction=0.02),
).to_dicts()
GAS_LINES = [
    *(("fs-a", "gp", n) for n in ("domesticGas", "exportGas")),
    *(("nag-gp", "gp", n) for n in ("domesticGas", "exportGas")),
    ("gp", "market", "domesticGas"),
    ("gp", "lng", "exportGas"),
]


def test_gas_when_a_plant_has_feed_and_sales_then_shrinkage_and_fuel_are_its_losses() -> None:
    arcs = {a.key: a for a in gas_arcs(GAS, GAS_LINES, PLANTS, ["nag-gp"]) if a.key}
    assert (arcs["A_GAS"].gain, arcs["A_GAS"].head) == (0.9, "fs-a/outlet")
    assert (arcs["GP_FEED"].tail, arcs["GP_FEED"].head) == ("gp/inlet", "gp/process")
    assert arcs["GP_FEED"].gain == pytest.approx(0.93)
    # The feed meter that carries the source's name is the source's, not part of the whole feed.
    assert (arcs["GP_NAG"].tail, arcs["GP_NAG"].head) == (None, "gp/inlet")
    assert {arcs[k].tail for k in ("GP_DOM", "GP_EXP", "GP_FLARE")} == {"gp/process"}


def test_gas_when_an_outlet_or_a_flare_has_no_meter_then_its_flow_is_unmetered() -> None:
    arcs = gas_arcs([m for m in GAS if m.meter_id not in ("GP_EXP", "A_FLARE")], GAS_LINES, PLANTS, ["nag-gp"])
    unmetered = {(a.tail, a.head) for a in arcs if a.key is None}
    assert unmetered >= {("gp/process", None), ("fs-a/outlet", None), ("fs-a/outlet", "gp/inlet")}


def raw_stream(code: str, volume: float | None, rev: int = 1) -> dict[str, Any]:
    return {"stream_ec_code": code, "production_date": DAY, "volume": volume, "rev_no": rev}


def rejected(code: str, volume: float, rule: str) -> dict[str, Any]:
    raw = f'{{"production_date":"{DAY}","stream_ec_code":"{code}","volume":{volume}}}'
    named = {"production_date": DAY, "source": "energy_components", "dataset": "stream_day", "row_id": code}
    return named | {"rule": rule, "raw": raw}


def test_streams_when_in_quarantine_then_not_measured_but_the_newest_of_repeats_is() -> None:
    raw = rows_of(
        RawEnergyComponentsStreamDay,
        raw_stream("A_EXP", -5.0),
        raw_stream("A_SEP", 30_000.0),
        raw_stream("A_SEP", 30_100.0, rev=2),
        raw_stream("A_TRK", None),
    )
    quarantine = rows_of(CoreQuarantine, rejected("A_EXP", -5.0, "range"), rejected("A_SEP", 30_000.0, "duplicate_key"))
    assert accepted_streams(raw, quarantine).select("stream_ec_code", "volume").rows() == [("A_SEP", 30_100.0)]


def volumes(
    streams: list[dict[str, Any]], readings: list[dict[str, Any]], stocks: list[dict[str, Any]]
) -> dict[str, tuple[Any, ...]]:
    frame = measured_volumes(
        METERS,
        streams=rows_of(RawEnergyComponentsStreamDay, *streams),
        readings=rows_of(CoreDailyReading, *readings),
        terminal_days=rows_of(CoreDailyTerminal, *stocks),
        terminals=TERMINALS,
        days=DAYS,
        mapped_units={"volume": "kbbl | MMscf"},
        units=UnitTable(),
    )
    return {row[1]: row[2:] for row in frame.rows()}


def reading(tag_id: int, mean: float, good: float) -> dict[str, Any]:
    named = {"production_date": DAY, "tag_id": tag_id, "facility_id": "fs-a"}
    return named | {"time_weighted_mean": mean, "good_fraction": good}


def stock(label: date, volume: float, at: datetime) -> dict[str, Any]:
    named = {"production_date": label, "facility_id": "tm", "gross_stock_bbl": volume, "measured_at_utc": at}
    return named | {"stock_source": "pi"}


def test_volumes_when_energy_components_has_a_row_then_it_counts_else_a_good_pi_mean() -> None:
    found = volumes([raw_stream("A_SEP", 30.0)], [reading(1, 99.0, 1.0), reading(3, 29_000.0, 0.95)], [])
    assert found["A_SEP"] == (30_000.0, 30_000.0, "ec")
    assert found["A_TRK"] == (29_000.0, 29_000.0, "pi")
    assert "A_TRK" not in volumes([], [reading(3, 29_000.0, 0.89)], [])


def test_volumes_when_two_stocks_are_a_day_apart_then_their_change_with_both_uncertainties() -> None:
    end = datetime(2026, 11, 21, 4, tzinfo=UTC)
    found = volumes([], [], [stock(BEFORE, 300_000.0, end - timedelta(days=1)), stock(DAY, 400_000.0, end)])
    assert found["TM/stock"] == (100_000.0, pytest.approx(500_000.0), "pi")
    late = volumes([], [], [stock(BEFORE, 3e5, end - timedelta(days=1)), stock(DAY, 4e5, end + timedelta(hours=1.5))])
    assert "TM/stock" not in late
