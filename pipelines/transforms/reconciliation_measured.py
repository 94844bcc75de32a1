"""What meters measured over a production day, in base units: Energy Components, else the meter's PI tag, and tank stocks."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from pipelines.transforms.quality import GOOD_FRACTION
from pipelines.transforms.reconciliation_network import STOCK, Meter
from pipelines.transforms.units import UnitTable, phase_of

SCHEMA = {
    "production_date": pl.Date(),
    "meter_id": pl.String(),
    "volume": pl.Float64(),
    # What a declared fraction of σ refers to: the volume, or both stocks of a change in quadrature.
    "scale": pl.Float64(),
    "source": pl.String(),
}
# Two stocks further apart than the day by more than this hold receipts or cargo that the day's meters do not.
STOCK_TOLERANCE_HOURS = 1.0
_RULE_OF_REPEATS = "duplicate_key"


def accepted_streams(raw: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """Rows of raw_energy_components__stream_day without those in quarantine; of repeated keys the newest."""
    rejected = (
        quarantine.filter(pl.col("dataset") == "stream_day", pl.col("rule") != _RULE_OF_REPEATS)
        .select(
            "production_date",
            pl.col("raw").str.json_path_match("$.stream_ec_code").alias("stream_ec_code"),
            pl.col("raw").str.json_path_match("$.volume").cast(pl.Float64, strict=False).alias("volume"),
        )
        .unique()
    )
    return (
        raw.filter(pl.col("volume").is_not_null())
        .join(rejected, on=["production_date", "stream_ec_code", "volume"], how="anti")
        .sort("production_date", "stream_ec_code", "rev_no", "source_updated_at_utc", nulls_last=False)
        .unique(["production_date", "stream_ec_code"], keep="last", maintain_order=True)
    )


def measured_volumes(
    meters: Sequence[Meter],
    *,
    streams: pl.DataFrame,
    readings: pl.DataFrame,
    terminal_days: pl.DataFrame,
    terminals: pl.DataFrame,
    days: pl.DataFrame,
    mapped_units: Mapping[str, str],
    units: UnitTable,
) -> pl.DataFrame:
    """production_date, meter_id, volume, scale, source: a row for each meter-day with a value, sorted.

    `streams`: rows of accepted_streams; `readings`, `terminal_days`: core__daily_reading, core__daily_terminal, the latter
    from the day before the first; `days`: ProductionCalendar.frame. A PI mean counts from PercentGood 90 on. A change of
    stock needs the stocks of two days in a row, taken at about the same time before the end of their days.
    """
    of_stream = {m.stream_ec_code: m for m in meters if m.stream_ec_code is not None}
    factors = {n: units.mapped(mapped_units, "volume", phase_of(n), "volume") for n in {m.network for m in meters} if n}
    by_code = {code: factors[m.network] for code, m in of_stream.items() if m.network is not None}
    name = pl.col("stream_ec_code")
    booked = streams.filter(name.is_in(list(by_code)), pl.col("volume") >= 0.0).select(
        "production_date",
        name.alias("meter_id"),
        (pl.col("volume") * name.replace_strict(by_code, default=None, return_dtype=pl.Float64)).alias("volume"),
        pl.lit("ec").alias("source"),
    )
    of_tag = {m.tag_id: m.meter_id for m in meters if m.tag_id is not None}
    tag = pl.col("tag_id").cast(pl.Int64)
    read = (
        readings.filter(
            tag.is_in(list(of_tag)),
            pl.col("time_weighted_mean").is_not_null(),
            pl.col("good_fraction") >= GOOD_FRACTION,
        )
        .join(days.select("facility_id", "production_date", "day_hours"), on=["facility_id", "production_date"])
        .select(
            "production_date",
            tag.replace_strict(of_tag, default=None, return_dtype=pl.String).alias("meter_id"),
            # A meter that reads slightly below zero at rest is at zero.
            (pl.col("time_weighted_mean") * pl.col("day_hours") / 24.0).clip(0.0).alias("volume"),
            pl.lit("pi").alias("source"),
        )
        if of_tag
        else booked.clear()
    )
    flows = pl.concat([booked, read.join(booked, on=["production_date", "meter_id"], how="anti")])
    stocks = _stock_changes(terminal_days, terminals, days)
    found = pl.concat([flows.with_columns(scale=pl.col("volume")).select(list(SCHEMA)), stocks])
    return found.select(pl.col(n).cast(t) for n, t in SCHEMA.items()).sort("production_date", "meter_id")


def _stock_changes(terminal_days: pl.DataFrame, terminals: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    known = terminal_days.filter(pl.col("gross_stock_bbl").is_not_null()).select(
        "facility_id", "production_date", "gross_stock_bbl", "measured_at_utc", "stock_source"
    )
    before = known.select(
        "facility_id",
        pl.col("production_date").dt.offset_by("1d"),
        pl.col("gross_stock_bbl").alias("opening"),
        pl.col("measured_at_utc").alias("opened_at"),
    )
    apart = (pl.col("measured_at_utc") - pl.col("opened_at")).dt.total_seconds() / 3600.0
    names = terminals.select("facility_id", pl.coalesce("storage_ec_code", "facility_id").alias("storage"))
    return (
        known.join(before, on=["facility_id", "production_date"], how="inner")
        .join(days.select("facility_id", "production_date", "day_hours"), on=["facility_id", "production_date"])
        .filter((apart - pl.col("day_hours")).abs() <= STOCK_TOLERANCE_HOURS)
        .join(names, on="facility_id", how="inner")
        .select(
            "production_date",
            (pl.col("storage") + f"/{STOCK}").alias("meter_id"),
            (pl.col("gross_stock_bbl") - pl.col("opening")).alias("volume"),
            (pl.col("gross_stock_bbl") ** 2 + pl.col("opening") ** 2).sqrt().alias("scale"),
            pl.col("stock_source").alias("source"),
        )
    )


def values_by_day(measured: pl.DataFrame) -> dict[date, dict[str, tuple[float, float, str]]]:
    """(volume, scale, source) by production day and meter."""
    found: dict[date, dict[str, tuple[float, float, str]]] = {}
    for label, meter_id, volume, scale, source in measured.select(list(SCHEMA)).iter_rows():
        found.setdefault(label, {})[meter_id] = (volume, scale, source)
    return found
