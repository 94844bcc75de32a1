"""Daily production: Energy Components first, PI where it has no row, wells where there are no streams."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from pipelines.transforms import carry_state
from pipelines.transforms.production import Production, daily_production
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitTable
from warehouse.catalog.tables import TABLES

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
DAY = date(2026, 11, 20)
LAGOS = ProductionCalendar("Africa/Lagos", "06:00")
FACILITIES = pl.DataFrame(
    {"facility_id": ["fs", "tm"], "valid_from": [date(1900, 1, 1)] * 2, "valid_to": [None, None]},
    schema_overrides={"valid_to": pl.Date},
)
NETWORKS = pl.DataFrame(
    [
        ("fs", "oil", True),
        ("fs", "domesticGas", False),
        ("fs", "exportGas", True),
        ("fs", "flaredGas", True),
        ("tm", "oil", True),
    ],
    schema=["facility_id", "network", "is_applicable"],
    orient="row",
)
STREAMS = pl.DataFrame(
    [
        ("FS_OIL_1", "fs", "oil", "production"),
        ("FS_OIL_2", "fs", "oil", "production"),
        ("FS_SEP", "fs", "oil", "throughput"),
        ("FS_FLARE", "fs", "flaredGas", "flare"),
        ("TM_RECEIPT", "tm", "oil", "receipt"),
        ("TM_EXPORT", "tm", "oil", "export"),
    ],
    schema=["stream_ec_code", "facility_id", "network", "role"],
    orient="row",
)
NO_STREAMS = STREAMS.clear()
STREAM_SCHEMA = pl.Schema(TABLES["raw_energy_components__stream_day"].schema)


def streams(*rows: tuple[str, float | None, str | None], label: date = DAY) -> pl.DataFrame:
    return pl.DataFrame(
        [(label, code, volume, status, 0, NOW) for code, volume, status in rows], schema=STREAM_SCHEMA, orient="row"
    )


def reading(facility: str, network: str, measurement: str, mean: float | None, good: float = 1.0) -> dict[str, object]:
    word = "missing" if mean is None else "good" if good >= 0.9 else "uncertain" if good >= 0.5 else "bad"
    return {
        "production_date": DAY,
        "tag_id": 1,
        "facility_id": facility,
        "network": network,
        "measurement": measurement,
        "time_weighted_mean": mean,
        "good_fraction": good,
        "quality": word,
        "last_good_at_utc": NOW,
    }


def readings(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides={"time_weighted_mean": pl.Float64})


def well(well_id: str, oil: float | None, gas: float | None, *, is_absent: bool = False) -> dict[str, object]:
    return {
        "production_date": DAY,
        "well_id": well_id,
        "facility_id": "fs",
        "is_producer": True,
        "is_absent": is_absent,
        "oil_volume_bbl": oil,
        "gas_volume_scf": gas,
        "record_status": None if is_absent else "verified",
    }


def wells(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema_overrides={"oil_volume_bbl": pl.Float64, "gas_volume_scf": pl.Float64})


def run(
    raw: pl.DataFrame | None = None,
    *,
    mapped: pl.DataFrame = STREAMS,
    well_days: pl.DataFrame | None = None,
    pi: pl.DataFrame | None = None,
    labels: list[date] | None = None,
    unit: str = "bbl | scf",
    calendar: ProductionCalendar = LAGOS,
) -> Production:
    result = daily_production(
        raw, mapped, well_days, pi, FACILITIES, NETWORKS, calendar, labels or [DAY],
        mapped_units={"volume": unit}, units=UnitTable(), state=carry_state.NO_STATE, now=NOW,
    )  # fmt: skip
    TABLES["core__daily_production"].schema.validate(result.production)
    TABLES["core__quarantine"].schema.validate(result.quarantined)
    TABLES["core__carry_state"].schema.validate(result.state)
    return result


def row(result: Production, facility: str, network: str) -> dict[str, object]:
    found = result.production.filter(pl.col("facility_id") == facility, pl.col("network") == network)
    assert found.height == 1
    return found.row(0, named=True)


def test_production_when_neither_source_has_a_row_then_null_and_missing_for_every_applicable_network() -> None:
    result = run()
    assert result.production.select("facility_id", "network").rows() == [
        ("fs", "exportGas"),
        ("fs", "flaredGas"),
        ("fs", "oil"),
        ("tm", "flaredGas"),
        ("tm", "oil"),
    ]
    assert result.production["volume"].null_count() == 5
    assert set(result.production["quality"]) == {"missing"}
    assert set(result.production["coverage"]) == {0.0}


def test_streams_when_complete_then_summed_by_role_with_least_settled_status() -> None:
    result = run(
        streams(
            ("FS_OIL_1", 10.0, "A"),
            ("FS_OIL_2", 5.0, "V"),
            ("FS_SEP", 99.0, "P"),
            ("FS_FLARE", 7.0, None),
            ("TM_RECEIPT", 15.0, "P"),
            ("TM_EXPORT", 400.0, "P"),
        )
    )
    oil = row(result, "fs", "oil")
    assert (oil["volume"], oil["source"], oil["record_status"], oil["quality"]) == (15.0, "ec", "verified", "good")
    assert oil["coverage"] == 1.0
    assert oil["good_fraction"] is None
    assert oil["observed_at_utc"] == NOW
    assert row(result, "fs", "flaredGas")["volume"] == 7.0
    assert row(result, "tm", "oil")["volume"] == 15.0


def test_streams_when_unit_is_sm3_then_converted_by_the_stream_network() -> None:
    result = run(streams(("TM_RECEIPT", 1.0, "P"), ("FS_FLARE", 1.0, "P")), unit="Sm3")
    assert row(result, "tm", "oil")["volume"] == pytest.approx(6.289810770)
    assert row(result, "fs", "flaredGas")["volume"] == pytest.approx(35.314666721)


def test_pi_when_ec_volume_is_null_then_stands_in_as_estimated() -> None:
    result = run(
        streams(("FS_OIL_1", None, "P"), ("FS_OIL_2", None, "P")),
        pi=readings(reading("fs", "oil", "rate", 40.0, 0.7), reading("fs", "oil", "separator_rate", 99.0)),
    )
    oil = row(result, "fs", "oil")
    assert (oil["volume"], oil["source"], oil["record_status"]) == (40.0, "pi", "estimated")
    assert (oil["quality"], oil["good_fraction"]) == ("uncertain", 0.7)


def test_pi_when_day_has_25_hours_then_volume_is_rate_times_day() -> None:
    calendar = ProductionCalendar("Europe/Oslo", "00:00")
    label = date(2012, 10, 28)
    pi = readings(reading("fs", "oil", "rate", 24.0)).with_columns(pl.lit(label).alias("production_date"))
    oil = row(run(pi=pi, labels=[label], calendar=calendar), "fs", "oil")
    assert oil["volume"] == pytest.approx(25.0)
    assert oil["day_hours"] == 25.0


def test_pi_when_ec_is_complete_then_not_used() -> None:
    result = run(
        streams(("FS_OIL_1", 10.0, "P"), ("FS_OIL_2", 0.0, "P")), pi=readings(reading("fs", "oil", "rate", 40.0))
    )
    assert row(result, "fs", "oil")["volume"] == 10.0


@pytest.mark.parametrize(
    ("pi_mean", "volume", "source", "coverage"), [(40.0, 40.0, "pi", 1.0), (None, 10.0, "ec", 0.5)]
)
def test_streams_when_one_is_missing_then_pi_and_without_pi_the_part_as_uncertain(
    pi_mean: float | None, volume: float, source: str, coverage: float
) -> None:
    result = run(streams(("FS_OIL_1", 10.0, "P")), pi=readings(reading("fs", "oil", "rate", pi_mean)))
    oil = row(result, "fs", "oil")
    assert (oil["volume"], oil["source"], oil["coverage"]) == (volume, source, coverage)
    assert oil["quality"] == ("uncertain" if source == "ec" else "good")


def test_pi_when_meter_reads_below_zero_then_zero() -> None:
    result = run(pi=readings(reading("fs", "flaredGas", "flare_rate", -3.0), reading("tm", "oil", "receipt_rate", 5.0)))
    assert row(result, "fs", "flaredGas")["volume"] == 0.0
    assert row(result, "tm", "oil")["volume"] == 5.0


def test_wells_when_no_stream_is_mapped_then_summed_and_gas_to_the_only_sales_network() -> None:
    result = run(mapped=NO_STREAMS, well_days=wells(well("a", 3.0, 30.0), well("b", 4.0, 40.0)))
    oil, gas = row(result, "fs", "oil"), row(result, "fs", "exportGas")
    assert (oil["volume"], oil["source"], oil["quality"], oil["coverage"]) == (7.0, "ec", "good", 1.0)
    assert oil["record_status"] == "verified"
    assert gas["volume"] == 70.0


def test_wells_when_one_day_is_unknown_then_others_are_summed_with_coverage() -> None:
    result = run(mapped=NO_STREAMS, well_days=wells(well("a", 3.0, 1.0), well("b", None, None, is_absent=True)))
    oil = row(result, "fs", "oil")
    assert (oil["volume"], oil["coverage"], oil["quality"]) == (3.0, 0.5, "uncertain")


def test_wells_when_one_is_assumed_down_then_zero_counts_and_row_is_uncertain() -> None:
    result = run(mapped=NO_STREAMS, well_days=wells(well("a", 3.0, 1.0), well("b", 0.0, 0.0, is_absent=True)))
    oil = row(result, "fs", "oil")
    assert (oil["volume"], oil["coverage"], oil["quality"]) == (3.0, 1.0, "uncertain")


def test_wells_when_streams_are_mapped_then_wells_are_not_added() -> None:
    result = run(streams(), well_days=wells(well("a", 3.0, 1.0)))
    assert row(result, "fs", "oil")["volume"] is None
    assert row(result, "fs", "exportGas")["volume"] == 1.0


def test_quarantine_when_stream_unknown_negative_or_jumping_then_not_served() -> None:
    days = [DAY - timedelta(days=n) for n in range(8, 0, -1)]
    history = pl.concat([streams(("TM_RECEIPT", 100.0, "P"), label=d) for d in days])
    raw = pl.concat([history, streams(("TM_RECEIPT", 100_000.0, "P"), ("ELSE", 1.0, "P"), ("FS_FLARE", -1.0, "P"))])
    result = run(raw, labels=[*days, DAY])
    assert sorted(result.quarantined["rule"]) == ["range", "unit_jump", "unknown_id"]
    latest = result.production.filter(pl.col("production_date") == DAY)
    assert latest["volume"].null_count() == latest.height


def test_facility_when_not_in_force_then_no_row() -> None:
    facilities = FACILITIES.with_columns(pl.lit(DAY).alias("valid_to"))
    result = daily_production(
        None, STREAMS, None, None, facilities, NETWORKS, LAGOS, [DAY - timedelta(days=1), DAY],
        mapped_units={}, units=UnitTable(), state=carry_state.NO_STATE, now=NOW,
    )  # fmt: skip
    assert set(result.production["production_date"]) == {DAY - timedelta(days=1)}
