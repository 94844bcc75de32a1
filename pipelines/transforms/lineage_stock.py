"""Lineage of stocks: the gauge readings or closing rows behind a terminal's stock and water at the end of a day.

Belongs here: rows of the release table source_row for stock and water. How a stock is chosen is terminals' question; which
source spoke is read off the fact.
"""

import polars as pl

from pipelines.transforms.lineage import READING, Units, sample_tables, shaped, text
from pipelines.transforms.terminals import STOCK, WATER
from pipelines.transforms.units import UnitTable

TANK_DAY = "raw_energy_components__tank_day"


def stock_rows(
    daily: pl.DataFrame,
    readings: pl.DataFrame,
    tags: pl.DataFrame,
    tank_days: pl.DataFrame,
    terminals: pl.DataFrame,
    mapped_units: Units,
    units: UnitTable,
) -> pl.DataFrame:
    """Stock and water of terminals: the gauges' last readings, or the closing rows of Energy Components, as the day used them.

    `daily` is core__daily_terminal, `readings` core__daily_reading, `tank_days` raw tank_day.
    """
    day = ["production_date", "facility_id"]
    facts = daily.select(*day, "stock_source")
    gauges = (
        readings.drop("facility_id", "measurement")
        .join(tags.select(pl.col("tag_id").cast(pl.UInt32), "facility_id", "measurement"), on="tag_id", how="inner")
        .join(sample_tables(tags), on="tag_id", how="left")
    )
    gauged = _gauge(gauges.filter(pl.col("measurement") == STOCK), "stock")
    gauged_water = _gauge(gauges.filter(pl.col("measurement").is_in(WATER), pl.col("unit") == "bbl"), "water")
    closing = _tanks(tank_days, tags, terminals)
    stated, stated_water = (
        shaped(
            closing.with_columns(
                text("network", "oil"),
                text("quantity", quantity),
                text("lake_table", TANK_DAY),
                pl.col("tank_ec_code").alias("source_key"),
                pl.col("production_date").alias("source_date"),
                text("column_name", column),
                pl.col(column).alias("value"),
                pl.lit(mapped_units.get(column) or "bbl").alias("unit"),
                # One factor for the row: the stage takes the storage's own unit for both columns.
                pl.lit(units.mapped(mapped_units, "closing_volume", "liquid", "volume")).alias("factor"),
            )
        ).filter(pl.col("value").is_not_null())
        for column, quantity in (("closing_volume", "stock"), ("water_volume", "water"))
    )
    return pl.concat(
        [
            gauged.join(facts.filter(pl.col("stock_source") == "pi"), on=day, how="semi"),
            stated.join(facts.filter(pl.col("stock_source") == "ec"), on=day, how="semi"),
            stated_water.join(facts, on=day, how="semi"),
            gauged_water.join(facts, on=day, how="semi").join(stated_water, on=day, how="anti"),
        ]
    )


def _gauge(readings: pl.DataFrame, quantity: str) -> pl.DataFrame:
    return shaped(
        readings.filter(pl.col("last_value").is_not_null()).with_columns(
            text("network", "oil"),
            text("quantity", quantity),
            text("lake_table", READING),
            pl.col("tag_name").alias("source_key"),
            pl.col("production_date").alias("source_date"),
            text("column_name", "last_value"),
            pl.col("last_value").alias("value"),
            pl.col("unit").fill_null("bbl"),
            pl.lit(1.0).alias("factor"),
            pl.col("last_good_at_utc").alias("source_updated_at_utc"),
        )
    )


def _tanks(tank_days: pl.DataFrame, tags: pl.DataFrame, terminals: pl.DataFrame) -> pl.DataFrame:
    """Closing rows with their terminal: the storage's own, else those of its tanks where all of them have one."""
    known = tank_days.filter(pl.col("closing_volume").is_not_null())
    storages = terminals.select(pl.col("storage_ec_code").alias("tank_ec_code"), "facility_id").drop_nulls()
    tanks = (
        tags.filter(pl.col("measurement") == STOCK, pl.col("object_id").is_not_null())
        .select(pl.col("object_id").alias("tank_ec_code"), "facility_id")
        .unique()
        .with_columns(pl.len().over("facility_id").alias("tank_count"))
    )
    day = ["production_date", "facility_id"]
    whole = known.join(storages, on="tank_ec_code", how="inner")
    parts = (
        known.join(tanks, on="tank_ec_code", how="inner")
        .filter(pl.len().over(day) == pl.col("tank_count"))
        .join(whole, on=day, how="anti")
    )
    return pl.concat([whole, parts.select(whole.columns)])
