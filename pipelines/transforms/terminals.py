"""Terminals by production day: stock at its end, receipts and liftings, and the KPIs that follow from them.

Belongs here: core__daily_terminal from gauges, closing stocks, meters and cargoes; out__daily_terminal.
Not here: gauge readings themselves (readings), forecasts. Volumes in bbl, rates in bbl/d, endurance in d.
Stock is the gauges', or Energy Components' closing stock where that is newer or the only one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

import polars as pl

from pipelines.transforms.deferment import facility_days
from pipelines.transforms.quality import GOOD, MISSING, STALE, UNCERTAIN, worst
from pipelines.transforms.terminals_flows import liftings, receipts
from warehouse.catalog.core import CoreDailyTerminal
from warehouse.catalog.out import OutDailyTerminal

STOCK = "stock"
# Free water is taken from gauges that measure it as a volume; a level in mm says no volume without a tank table.
WATER = ("water_volume", "water_level")
# Labels before the first that the settling lag reaches back to; 30 h need two.
CONTEXT_DAYS = 4
_DAY = ["facility_id", "production_date"]


def daily_terminals(
    *,
    labels: Sequence[date],
    days: pl.DataFrame,
    terminals: pl.DataFrame,
    tags: pl.DataFrame,
    readings: pl.DataFrame,
    tank_days: pl.DataFrame,
    tank_factor: float,
    production: pl.DataFrame,
    stream_days: pl.DataFrame,
    streams: pl.DataFrame,
    stream_factor: float,
    cargoes: pl.DataFrame,
    edges: pl.DataFrame,
) -> pl.DataFrame:
    """core__daily_terminal: terminal × label, sorted by key.

    `days` is ProductionCalendar.frame of the terminals; `terminals`, `tags`, `streams`, `edges` are reference frames;
    `readings`, `production`, `cargoes` core__daily_reading, core__daily_production, core__cargo; `tank_days` and
    `stream_days` raw Energy Components with factors to bbl. A sum over tanks of which one has no value is null. Receipts
    are the terminal's own meter, else Σ of the stations whose oil line leads to it; lifted is its export meter, else the
    cargoes of the day. Nothing is carried to a later day.
    """
    wanted = sorted(set(labels))
    frame = (
        days.filter(pl.col("production_date").is_in(wanted))
        .join(terminals.select("facility_id", "storage_ec_code"), on="facility_id", how="inner")
        .sort("production_date", "facility_id")
    )
    rows = (
        frame.join(_gauged(readings, tags), on=_DAY, how="left")
        .join(_closing(tank_days, tags, terminals, tank_factor), on=_DAY, how="left")
        .join(receipts(frame, production, edges), on=_DAY, how="left")
        .join(liftings(frame, stream_days, streams, stream_factor, cargoes), on=_DAY, how="left")
    )
    # A closing stock is taken at the end of the day: it is newer than any gauge that last spoke before.
    gauge_is_newest = pl.col("closing_bbl").is_null() | (pl.col("gauge_at_utc") >= pl.col("to_utc"))
    gauge_is_current = pl.col("gauge_until_utc") >= pl.col("to_utc")
    has_gauge = pl.col("gauge_bbl").is_not_null()
    use_gauge = has_gauge & gauge_is_newest
    use_closing = ~use_gauge & pl.col("closing_bbl").is_not_null()
    stock_quality = (
        pl.when(use_gauge & ~gauge_is_current)
        .then(pl.lit(STALE))
        .when(use_gauge | use_closing)
        .then(pl.lit(GOOD))
        .otherwise(pl.lit(MISSING))
    )
    schema = CoreDailyTerminal.create_empty().schema
    return (
        rows.with_columns(
            gross_stock_bbl=pl.when(use_gauge).then("gauge_bbl").otherwise("closing_bbl"),
            stock_source=pl.when(use_gauge).then(pl.lit("pi")).when(use_closing).then(pl.lit("ec")),
            measured_at_utc=pl.when(use_gauge).then("gauge_at_utc").when(use_closing).then("to_utc"),
            water_bbl=pl.coalesce("closing_water_bbl", "gauge_water_bbl"),
            # Receipts that are not there make rate and endurance null; the stock itself is not missing for that.
            quality=worst(
                stock_quality,
                pl.when(pl.col("receipts_bbl").is_null()).then(pl.lit(UNCERTAIN)).otherwise("receipts_quality"),
            ),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        .sort(CoreDailyTerminal.primary_key())
    )


def _gauged(readings: pl.DataFrame, tags: pl.DataFrame) -> pl.DataFrame:
    """facility_id, production_date, gauge_bbl, gauge_water_bbl, gauge_at_utc (the oldest gauge's), gauge_until_utc (until
    when all of them hold)."""
    held = pl.duration(seconds=pl.col("hold_limit_seconds"))
    gauges = readings.drop("facility_id", "measurement").join(
        tags.filter(pl.col("measurement").is_in([STOCK, *WATER])).select(
            pl.col("tag_id").cast(pl.UInt32), "facility_id", "measurement", "hold_limit_seconds"
        ),
        on="tag_id",
        how="inner",
    )
    is_stock = pl.col("measurement") == STOCK
    expected = tags.filter(is_stock).group_by("facility_id").agg(gauge_count=pl.len())
    stock = (
        gauges.filter(is_stock, pl.col("last_value").is_not_null())
        .sort(*_DAY, "tag_id")
        .group_by(_DAY, maintain_order=True)
        .agg(
            gauge_bbl=pl.col("last_value").sum(),
            present=pl.len(),
            gauge_at_utc=pl.col("last_good_at_utc").min(),
            gauge_until_utc=(pl.col("last_good_at_utc") + held).min(),
        )
        .join(expected, on="facility_id", how="left")
        .filter(pl.col("present") == pl.col("gauge_count"))
    )
    water = (
        gauges.filter(~is_stock, pl.col("unit") == "bbl", pl.col("last_value").is_not_null())
        .sort(*_DAY, "tag_id")
        .group_by(_DAY, maintain_order=True)
        .agg(gauge_water_bbl=pl.col("last_value").sum())
    )
    return stock.drop("present", "gauge_count").join(water, on=_DAY, how="left")


def _closing(tank_days: pl.DataFrame, tags: pl.DataFrame, terminals: pl.DataFrame, factor: float) -> pl.DataFrame:
    """facility_id, production_date, closing_bbl, closing_water_bbl: the storage's own row, else Σ over its tanks."""
    storages = terminals.select(pl.col("storage_ec_code").alias("tank_ec_code"), "facility_id").drop_nulls()
    tanks = (
        tags.filter(pl.col("measurement") == STOCK, pl.col("object_id").is_not_null())
        .select(pl.col("object_id").alias("tank_ec_code"), "facility_id")
        .unique()
    )
    counts = tanks.group_by("facility_id").agg(tank_count=pl.len())
    known = tank_days.filter(pl.col("closing_volume").is_not_null())
    values = (
        (pl.col("closing_volume") * factor).alias("closing_bbl"),
        (pl.col("water_volume") * factor).alias("closing_water_bbl"),
    )
    whole = known.join(storages, on="tank_ec_code", how="inner").select(*_DAY, *values)
    summed = (
        known.join(tanks, on="tank_ec_code", how="inner")
        .sort(*_DAY, "tank_ec_code")
        .group_by(_DAY, maintain_order=True)
        .agg(
            closing_bbl=(pl.col("closing_volume") * factor).sum(),
            closing_water_bbl=pl.when(pl.col("water_volume").count() > 0).then((pl.col("water_volume") * factor).sum()),
            present=pl.len(),
        )
        .join(counts, on="facility_id", how="left")
        .filter(pl.col("present") == pl.col("tank_count"))
        .join(whole, on=_DAY, how="anti")
    )
    return pl.concat([whole, summed.select(whole.columns)])


def unknown_tanks(tank_days: pl.DataFrame, tags: pl.DataFrame, terminals: pl.DataFrame) -> list[str]:
    """Codes of `tank_days` that are neither a terminal's storage nor a gauged tank, sorted: rows for quarantine."""
    known = set(terminals["storage_ec_code"].drop_nulls()) | set(tags["object_id"].drop_nulls())
    return sorted(set(tank_days["tank_ec_code"]) - known)


def terminal_kpis(
    *,
    labels: Sequence[date],
    days: pl.DataFrame,
    daily: pl.DataFrame,
    terminals: pl.DataFrame,
    facilities: pl.DataFrame,
) -> pl.DataFrame:
    """out__daily_terminal: terminal × label, sorted by key.

    `daily` is core__daily_terminal and `days` ProductionCalendar.frame, both from CONTEXT_DAYS labels before the first
    (what reaches further back than they do is null). Endurance is ullage ÷ receipts: 0 at or above safe fill, null where
    nothing is received.
    """
    wanted = sorted(set(labels))
    settled = _settling(daily, days, terminals)
    assets = facility_days(facilities, wanted).select(*_DAY, "asset_id")
    rate = pl.col("receipts_bbl") / (pl.col("day_hours") / 24.0)
    ready = pl.col("gross_stock_bbl") - pl.col("dead_stock_bbl").fill_null(0.0) - pl.col("unsettled_bbl")
    rows = (
        daily.filter(pl.col("production_date").is_in(wanted))
        .join(terminals.drop("storage_ec_code"), on="facility_id", how="inner")
        .join(settled, on=_DAY, how="left")
        .join(assets, on=_DAY, how="left")
        .with_columns(
            max_capacity=pl.col("safe_fill_bbl"),
            ullage=(pl.col("safe_fill_bbl") - pl.col("gross_stock_bbl")).clip(0.0),
            production_rate=rate,
            ready_crude=pl.col("settled_rate")
            * (1.0 - pl.col("bsw_fraction").fill_null(0.0))
            * (1.0 - pl.col("shrinkage_fraction").fill_null(0.0)),
            ready_stock=(ready - pl.col("water_bbl").fill_null(0.0)).clip(0.0),
        )
    )
    flows = pl.col("production_rate") > 0.0
    schema = OutDailyTerminal.create_empty().schema
    return (
        rows.with_columns(
            terminal_id=pl.col("facility_id"),
            gross_stock=pl.col("gross_stock_bbl"),
            endurance=pl.when(pl.col("ullage") == 0.0)
            .then(0.0)
            .when(flows)
            .then(pl.col("ullage") / pl.col("production_rate")),
            stock_cover=pl.when(flows).then(pl.col("ready_stock") / pl.col("production_rate")),
            lifted=pl.col("lifted_bbl"),
            source=pl.col("stock_source"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        .sort(OutDailyTerminal.primary_key())
    )


def _settling(daily: pl.DataFrame, days: pl.DataFrame, terminals: pl.DataFrame) -> pl.DataFrame:
    """facility_id, production_date, settled_rate (mean receipts over the day shifted back by the lag, bbl/d) and
    unsettled_bbl (receipts of the lag before the day's end); null where a day that they need has no receipts.

    Receipts are spread evenly over their own day.
    """
    lags = terminals.select("facility_id", pl.col("settling_hours").fill_null(0.0).alias("lag"))
    intervals = days.select("facility_id", "production_date", "from_utc", "to_utc")
    placed = daily.select(*_DAY, "day_hours", "receipts_bbl").join(intervals, on=_DAY, how="inner")
    hour = 3_600_000_000
    back = pl.duration(microseconds=(pl.col("lag") * hour).cast(pl.Int64))
    windows = placed.join(lags, on="facility_id", how="inner").select(
        *_DAY,
        "lag",
        pl.col("day_hours").alias("window_hours"),
        (pl.col("from_utc") - back).alias("shifted_from"),
        (pl.col("to_utc") - back).alias("shifted_to"),
        pl.col("to_utc").alias("day_end"),
    )
    given = placed.filter(pl.col("receipts_bbl").is_not_null()).select(
        "facility_id",
        pl.col("production_date").alias("given_date"),
        "from_utc",
        "to_utc",
        (pl.col("receipts_bbl") / pl.col("day_hours")).alias("per_hour"),
    )
    # The shortest day has 23 h, so this many labels back cover the lag and the day itself.
    longest = max(lags["lag"].to_list(), default=0.0)
    reach = math.ceil(longest / 23.0) + 1
    pairs = (
        windows.join(pl.DataFrame({"back": range(reach + 1)}, schema={"back": pl.Int64}), how="cross")
        .with_columns(given_date=pl.col("production_date") - pl.duration(days="back"))
        .join(given, on=["facility_id", "given_date"], how="inner")
    )

    def overlap(low: str, high: str) -> pl.Expr:
        span = pl.min_horizontal("to_utc", high) - pl.max_horizontal("from_utc", low)
        return (span.dt.total_microseconds() / hour).clip(0.0)

    settled, unsettled = overlap("shifted_from", "shifted_to"), overlap("shifted_to", "day_end")
    sums = (
        pairs.sort(*_DAY, "given_date")
        .group_by(_DAY, maintain_order=True)
        .agg(
            window_hours=pl.col("window_hours").first(),
            lag=pl.col("lag").first(),
            settled_hours=settled.sum(),
            settled_bbl=(settled * pl.col("per_hour")).sum(),
            unsettled_hours=unsettled.sum(),
            unsettled_bbl=(unsettled * pl.col("per_hour")).sum(),
        )
    )
    whole = pl.col("settled_hours") >= pl.col("window_hours") - 1e-9
    return sums.select(
        *_DAY,
        settled_rate=pl.when(whole).then(pl.col("settled_bbl") / pl.col("window_hours") * 24.0),
        unsettled_bbl=pl.when(pl.col("unsettled_hours") >= pl.col("lag") - 1e-9).then(pl.col("unsettled_bbl")),
    )
