"""Wells by production day: volumes, hours on stream, downtime and potential, from Energy Components' daily well rows.

Hours have no clock time, so a day's loss is down_hours × potential ÷ 24. Potential methods and their carried state are in
wells_potential; what a facility produces or could produce is summed in production and potential.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import polars as pl

from pipelines.transforms import carry_state, quality, quality_jump, wells_potential
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitTable
from warehouse.catalog.columns import MAX_GAS_RATE_SCFPD, MAX_OIL_RATE_BBLPD

AbsentDays = Literal["unknown", "down"]
TABLE = "raw_energy_components__well_day"
SOURCE, DATASET = "energy_components", "well_day"

SCHEMA = {
    "production_date": pl.Date(),
    "well_id": pl.String(),
    "facility_id": pl.String(),
    "day_hours": pl.Float64(),
    "on_stream_hours": pl.Float64(),
    "down_hours": pl.Float64(),
    "is_producer": pl.Boolean(),
    "is_absent": pl.Boolean(),
    "oil_volume_bbl": pl.Float64(),
    "gas_volume_scf": pl.Float64(),
    "oil_potential_bblpd": pl.Float64(),
    "gas_potential_scfpd": pl.Float64(),
    "potential_basis": pl.String(),
    "record_status": pl.String(),
}
_FIRST_ROW = "well_first_production_row"
_JUMP = "well_oil_volume_window"


@dataclass(frozen=True, slots=True)
class WellDays:
    """core__daily_well, core__quarantine and core__carry_state rows; `observed` is the newest source instant a facility.

    `observed`: production_date, facility_id, observed_at_utc.
    """

    wells: pl.DataFrame
    quarantined: pl.DataFrame
    state: pl.DataFrame
    observed: pl.DataFrame


def daily_wells(
    raw: pl.DataFrame,
    wells: pl.DataFrame,
    calendar: ProductionCalendar,
    labels: Sequence[date],
    *,
    mapped_units: Mapping[str, str],
    units: UnitTable,
    absent_days: AbsentDays,
    methods: Sequence[str],
    state: pl.DataFrame,
    now: datetime,
    tests: pl.DataFrame | None = None,
) -> WellDays:
    """Rows of core__daily_well for a range of labels, one a well and label that has a row or lies in a gap.

    `raw`: canonical well_day rows; rows of later labels than the range may be in it and only tell that a well comes back,
    others are ignored. `wells`: well_ec_code, well_id, facility_id, valid_from, valid_to. `mapped_units`: unit by canonical
    column. `state`: carried state of the label before the range. `tests`: well tests, see wells_potential.
    Null hours are 0 on stream; hours are clipped to the day's length (23, 24 or 25 h). FLOW_KIND production, or empty unless
    the row only injects, makes a producer; an injector has neither oil, gas, downtime loss nor potential.
    A gap is a label between two production rows of a well: is_absent, hours null; with `absent_days` "down" its volumes are
    0 and the whole day is down, with "unknown" volumes and down hours are null. Before its first and after its last known
    row a well has no row. Quarantined: broken schema, unknown well, negative or impossible volume, hours below 0, unit jump.
    """
    wanted = sorted(set(labels))
    split = _accept(raw, wells, wanted, mapped_units, units, state, now)
    accepted = _identified(split.accepted, wells, mapped_units, units)
    in_range = accepted.filter(pl.col("production_date").is_in(wanted))
    present = _present(in_range, calendar, wanted)
    first, last = _production_span(accepted, state, wanted)
    absent = _absent(present, first, last, wells, calendar, wanted, absent_days)
    days = pl.concat([present, absent]).sort("production_date", "well_id")
    potentials = wells_potential.potentials(days, methods, wanted, state, tests)
    result = days.join(potentials.frame, on=["production_date", "well_id"], how="left").with_columns(
        [pl.when("is_producer").then(pl.col(c)) for c in wells_potential.COLUMNS]
    )
    observed = in_range.group_by("production_date", "facility_id").agg(
        pl.col("source_updated_at_utc").max().alias("observed_at_utc")
    )
    carried = carry_state.gather(potentials.state, _first_state(first, wanted), split.jumps)
    return WellDays(_shaped(result), split.quarantined, carried, observed.sort("production_date", "facility_id"))


@dataclass(frozen=True, slots=True)
class _Accepted:
    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    jumps: pl.DataFrame


def _accept(
    raw: pl.DataFrame,
    wells: pl.DataFrame,
    labels: Sequence[date],
    mapped_units: Mapping[str, str],
    units: UnitTable,
    state: pl.DataFrame,
    now: datetime,
) -> _Accepted:
    """Rows that hold. Rows after the range are needed for gaps only, so they are judged but not reported or carried."""
    frame = raw.with_columns(pl.col("flow_kind").fill_null(""))
    frame = frame.filter(pl.col("production_date").is_null() | (pl.col("production_date") >= labels[0]))
    oil = pl.col("oil_volume").cast(pl.Float64, strict=False) * units.mapped(
        mapped_units, "oil_volume", "liquid", "volume"
    )
    gas = pl.col("gas_volume").cast(pl.Float64, strict=False) * units.mapped(
        mapped_units, "gas_volume", "gas", "volume"
    )
    within_range = pl.col("production_date") <= labels[-1]
    judged = frame.with_columns(pl.when(within_range).then(oil).alias("judged_oil"))
    jumps = quality_jump.unit_jumps(
        judged, entity="well_ec_code", value="judged_oil", kind=_JUMP, labels=labels, state=state
    )
    rules = [
        quality.known("well_ec_code", wells["well_ec_code"].unique().to_list(), "wells.csv"),
        quality.within(oil, 0.0, MAX_OIL_RATE_BBLPD * 25 / 24, "oil_volume", "bbl"),
        quality.within(gas, 0.0, MAX_GAS_RATE_SCFPD * 25 / 24, "gas_volume", "scf"),
        quality.Rule("range", "on_stream_hours is below 0", pl.col("on_stream_hours") < 0),
        quality_jump.rule(jumps.mask, "oil_volume"),
    ]
    split = quality.split(frame, TABLE, SOURCE, DATASET, now, rules=rules, label=labels[-1])
    reported = split.quarantined.filter(pl.col("production_date") <= labels[-1])
    return _Accepted(split.accepted, reported, jumps.state)


def _identified(
    accepted: pl.DataFrame, wells: pl.DataFrame, mapped_units: Mapping[str, str], units: UnitTable
) -> pl.DataFrame:
    """Our identifiers and base units, one row a well and label; a production row wins over an injection row."""
    day = pl.col("production_date")
    valid = (day >= pl.col("valid_from").fill_null(date.min)) & (day < pl.col("valid_to").fill_null(date.max))
    kind = pl.col("flow_kind").str.to_lowercase().str.strip_chars()
    produces = (pl.col("oil_volume").fill_null(0) > 0) | (pl.col("gas_volume").fill_null(0) > 0)
    injects_only = (pl.col("injection_volume").fill_null(0) > 0) & ~produces
    hours_factor = _hours_factor(mapped_units.get("on_stream_hours", "h"))
    return (
        accepted.join(
            wells.select("well_ec_code", "well_id", "facility_id", "valid_from", "valid_to"),
            on="well_ec_code",
            how="inner",
        )
        .filter(valid)
        .with_columns(
            pl.when(kind == "").then(~injects_only).otherwise(kind == "production").alias("is_producer"),
            pl.col("on_stream_hours") * hours_factor,
            pl.col("oil_volume") * units.mapped(mapped_units, "oil_volume", "liquid", "volume"),
            pl.col("gas_volume") * units.mapped(mapped_units, "gas_volume", "gas", "volume"),
        )
        .sort("production_date", "well_id", "is_producer", "flow_kind")
        .unique(["production_date", "well_id"], keep="last", maintain_order=True)
    )


def _hours_factor(unit: str) -> float:
    factors = {"h": 1.0, "hr": 1.0, "hours": 1.0, "d": 24.0, "days": 24.0, "min": 1 / 60, "s": 1 / 3600}
    if unit.lower() not in factors:
        raise ValueError(f"on_stream_hours of {DATASET} has unit {unit!r}; known are {', '.join(factors)}")
    return factors[unit.lower()]


def _present(rows: pl.DataFrame, calendar: ProductionCalendar, labels: Sequence[date]) -> pl.DataFrame:
    days = calendar.frame(labels, rows["facility_id"].unique().to_list())
    producer = pl.col("is_producer")
    hours = pl.min_horizontal(pl.col("on_stream_hours").fill_null(0.0), "day_hours")
    return rows.join(days, on=["facility_id", "production_date"], how="inner").select(
        "production_date",
        "well_id",
        "facility_id",
        "day_hours",
        hours.alias("on_stream_hours"),
        (pl.col("day_hours") - hours).alias("down_hours"),
        "is_producer",
        pl.lit(False).alias("is_absent"),
        pl.when(producer).then(pl.col("oil_volume")).alias("oil_volume_bbl"),
        pl.when(producer).then(pl.col("gas_volume")).alias("gas_volume_scf"),
        quality.status_of_letter("record_status").alias("record_status"),
    )


def _production_span(
    accepted: pl.DataFrame, state: pl.DataFrame, labels: Sequence[date]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """First production row by well up to the range, and last one known, after the range included: well_id, day."""
    rows = accepted.filter("is_producer").select("well_id", pl.col("production_date").alias("day"))
    first_known = carry_state.of_kind(state, _FIRST_ROW).select(
        pl.col("entity_id").alias("well_id"), pl.col("as_of").alias("day")
    )
    first = (
        pl.concat([first_known, rows.filter(pl.col("day") <= labels[-1])]).group_by("well_id").agg(pl.col("day").min())
    )
    last = rows.group_by("well_id").agg(pl.col("day").max())
    return first.sort("well_id"), last.sort("well_id")


def _absent(
    present: pl.DataFrame,
    first: pl.DataFrame,
    last: pl.DataFrame,
    wells: pl.DataFrame,
    calendar: ProductionCalendar,
    labels: Sequence[date],
    absent_days: AbsentDays,
) -> pl.DataFrame:
    """Labels between two production rows of a well without any row of it."""
    days = pl.DataFrame({"production_date": labels}, schema={"production_date": pl.Date})
    day = pl.col("production_date")
    gaps = (
        first.join(last, on="well_id", suffix="_last")
        .join(days, how="cross")
        .filter((day > pl.col("day")) & (day < pl.col("day_last")))
        .join(present, on=["production_date", "well_id"], how="anti")
        .join(wells.select("well_id", "facility_id", "valid_from", "valid_to"), on="well_id", how="inner")
        .filter((day >= pl.col("valid_from").fill_null(date.min)) & (day < pl.col("valid_to").fill_null(date.max)))
        .unique(["production_date", "well_id"], keep="first", maintain_order=True)
    )
    lengths = calendar.frame(labels, gaps["facility_id"].unique().to_list())
    is_down = pl.lit(absent_days == "down")
    return gaps.join(lengths, on=["facility_id", "production_date"], how="inner").select(
        "production_date",
        "well_id",
        "facility_id",
        "day_hours",
        pl.lit(None, dtype=pl.Float64).alias("on_stream_hours"),
        pl.when(is_down).then(pl.col("day_hours")).alias("down_hours"),
        pl.lit(True).alias("is_producer"),
        pl.lit(True).alias("is_absent"),
        pl.when(is_down).then(pl.lit(0.0)).alias("oil_volume_bbl"),
        pl.when(is_down).then(pl.lit(0.0)).alias("gas_volume_scf"),
        pl.lit(None, dtype=pl.String).alias("record_status"),
    )


def _first_state(first: pl.DataFrame, labels: Sequence[date]) -> pl.DataFrame:
    points = first.select(
        pl.col("well_id").alias("entity_id"), pl.col("day").alias("production_date"), pl.lit(1.0).alias("value")
    )
    return carry_state.rows(carry_state.carried(points, carry_state.NO_STATE, _FIRST_ROW, labels), _FIRST_ROW)


def _shaped(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select([pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()]).sort("production_date", "well_id")
