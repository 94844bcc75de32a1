"""Registers and days of a site that has no codes, no streams, no wells or no rows: empty frames, never an error."""

from datetime import UTC, date, datetime

import polars as pl

from pipelines.transforms import carry_state
from pipelines.transforms.potential import daily_potentials, stated_potentials
from pipelines.transforms.production import daily_production
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.readings import daily_readings
from pipelines.transforms.registers import capacities, cargoes, targets
from pipelines.transforms.units import UnitTable
from pipelines.transforms.wells import daily_wells
from warehouse.catalog.tables import TABLES

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
DAY = date(2026, 11, 21)
LAGOS = ProductionCalendar("Africa/Lagos", "06:00")
UNITS = UnitTable()
TEXT = pl.String
FACILITIES = pl.DataFrame(
    {"facility_id": ["fs"], "ec_code": [None], "sharepoint_code": [None], "valid_from": [None], "valid_to": [None]},
    schema={"facility_id": TEXT, "ec_code": TEXT, "sharepoint_code": TEXT, "valid_from": pl.Date, "valid_to": pl.Date},
)
NETWORKS = pl.DataFrame(
    {"facility_id": ["fs"], "network": ["oil"], "is_applicable": [True], "counts_in_roll_up": [True]}
)
STREAMS = pl.DataFrame(schema={"stream_ec_code": TEXT, "facility_id": TEXT, "network": TEXT, "role": TEXT})
WELLS = pl.DataFrame(
    schema={"well_ec_code": TEXT, "well_id": TEXT, "facility_id": TEXT, "valid_from": pl.Date, "valid_to": pl.Date}
)
TAGS = pl.DataFrame(
    schema={
        "tag_id": pl.Int64,
        "tag_name": TEXT,
        "facility_id": TEXT,
        "network": TEXT,
        "measurement": TEXT,
        "unit": TEXT,
        "is_step": pl.Boolean,
        "hold_limit_seconds": pl.Float64,
    }
)


def empty(table: str) -> pl.DataFrame:
    return pl.DataFrame(schema=pl.Schema(TABLES[table].schema))


def one(table: str, **values: object) -> pl.DataFrame:
    schema = pl.Schema(TABLES[table].schema)
    return pl.DataFrame([{c: values.get(c) for c in schema}], schema=schema)


def test_days_when_site_has_no_streams_wells_or_rows_then_missing_rows_only() -> None:
    stated = stated_potentials(
        empty("raw_energy_components__potential_day"), FACILITIES, WELLS, [DAY], mapped_units={}, units=UNITS, now=NOW
    )
    wells = daily_wells(
        empty("raw_energy_components__well_day"), WELLS, LAGOS, [DAY], mapped_units={}, units=UNITS,
        absent_days="down", methods=["well_test", "last_full_day", "month_average"], state=carry_state.NO_STATE, now=NOW,
        tests=stated.wells,
    )  # fmt: skip
    readings = daily_readings(empty("raw_pi__recorded_value"), TAGS, LAGOS, [DAY], UNITS)
    production = daily_production(
        empty("raw_energy_components__stream_day"), STREAMS, wells.wells, readings, FACILITIES, NETWORKS, LAGOS, [DAY],
        mapped_units={}, units=UNITS, state=carry_state.NO_STATE, now=NOW, wells_observed=wells.observed,
    )  # fmt: skip
    potential = daily_potentials(
        stated, wells.wells, production.production, empty("core__target"), empty("core__capacity"), FACILITIES, NETWORKS,
        [DAY], methods=["ec", "last_full_day", "p75_full_days", "nameplate", "target"], state=carry_state.NO_STATE,
    )  # fmt: skip
    assert wells.wells.is_empty()
    assert readings.is_empty()
    assert production.production["network"].to_list() == ["flaredGas", "oil"]
    assert set(production.production["quality"]) == {"missing"}
    assert potential.potential.select("potential", "quality").rows() == [(None, "missing")]
    assert carry_state.gather(wells.state, production.state, potential.state).is_empty()


def test_days_when_codes_are_unknown_to_an_empty_site_then_every_row_is_quarantined() -> None:
    production = daily_production(
        one("raw_energy_components__stream_day", production_date=DAY, stream_ec_code="S", volume=1.0), STREAMS, None, None,
        FACILITIES, NETWORKS, LAGOS, [DAY], mapped_units={}, units=UNITS, state=carry_state.NO_STATE, now=NOW,
    )  # fmt: skip
    wells = daily_wells(
        one("raw_energy_components__well_day", production_date=DAY, well_ec_code="W", flow_kind="", oil_volume=1.0), WELLS,
        LAGOS, [DAY], mapped_units={}, units=UNITS, absent_days="unknown", methods=[], state=carry_state.NO_STATE, now=NOW,
    )  # fmt: skip
    assert production.quarantined["rule"].to_list() == ["unknown_id"]
    assert wells.quarantined["rule"].to_list() == ["unknown_id"]


def test_registers_when_there_are_no_rows_then_empty() -> None:
    no_ids = pl.DataFrame(schema={"hub_id": TEXT, "asset_id": TEXT})
    target = targets(
        empty("raw_sharepoint__business_target"), FACILITIES, no_ids, no_ids, units=UNITS, label=DAY, now=NOW
    )
    capacity = capacities(
        empty("raw_energy_components__capacity"), empty("raw_sharepoint__capacity_register"), FACILITIES,
        mapped_units={}, units=UNITS, label=DAY, now=NOW,
    )  # fmt: skip
    cargo = cargoes(
        empty("raw_energy_components__cargo"), empty("raw_sharepoint__lifting_programme"), FACILITIES,
        pl.DataFrame(schema={"facility_id": TEXT, "storage_ec_code": TEXT}), LAGOS,
        mapped_units={}, units=UNITS, label=DAY, now=NOW,
    )  # fmt: skip
    assert [r.rows.height for r in (target, capacity, cargo)] == [0, 0, 0]
    assert [r.quarantined.height for r in (target, capacity, cargo)] == [0, 0, 0]


def test_registers_when_no_facility_has_a_code_then_rows_are_quarantined() -> None:
    raw = one("raw_energy_components__capacity", object_ec_code="X", network="oil", valid_from=DAY, capacity=1.0)
    capacity = capacities(raw, None, FACILITIES, mapped_units={}, units=UNITS, label=DAY, now=NOW)
    assert capacity.quarantined["rule"].to_list() == ["unknown_id"]
