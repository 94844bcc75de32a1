"""Confidence of an event's evidence: s × k (domain model, Reasons).

s = 0.9 EC with a code, 0.7 EC without, 0.6 PI, 0.5 downtime from on-stream hours, 1.0 tank-top.
k = product of 0.7 if open, 0.9 if overlapped, 0.8 if quality is below good.
"""

from __future__ import annotations

import polars as pl

from pipelines.transforms.network import GAS_NETWORKS, OIL
from pipelines.transforms.quality import GOOD, NOT_APPLICABLE

EC_CODED, EC_UNCODED, PI, ON_STREAM_HOURS, TANK_TOP = 0.9, 0.7, 0.6, 0.5, 1.0
OPEN, OVERLAPPED, BELOW_GOOD = 0.7, 0.9, 0.8
_PLACE = ["production_date", "facility_id", "phase"]


def with_confidence(rows: pl.DataFrame, production: pl.DataFrame) -> pl.DataFrame:
    """`rows` of core__daily_event with `confidence`. Below good is an event that says so itself (`is_doubtful`) or whose
    facility has a production of that phase and day below good; `production` is core__daily_production."""
    rows = rows.with_row_index("row")
    strength = (
        pl.when(pl.col("source") == "ec")
        .then(pl.when(pl.col("reason_code").is_not_null()).then(EC_CODED).otherwise(EC_UNCODED))
        .when(pl.col("source") == "pi")
        .then(PI)
        .when(pl.col("source") == "ech")
        .then(ON_STREAM_HOURS)
        .otherwise(TANK_TOP)
    )
    doubtful = (
        production.filter(
            pl.col("network").is_in([OIL, *GAS_NETWORKS]), ~pl.col("quality").is_in([GOOD, NOT_APPLICABLE])
        )
        .select(
            "production_date",
            "facility_id",
            pl.when(pl.col("network") == OIL).then(pl.lit("oil")).otherwise(pl.lit("gas")).alias("phase"),
            pl.lit(True).alias("is_below_good"),
        )
        .unique()
    )
    is_below_good = pl.col("is_doubtful") | pl.col("is_below_good").fill_null(False)
    return (
        rows.join(doubtful, on=_PLACE, how="left", maintain_order="left")
        .join(_overlapped(rows), on="row", how="left", maintain_order="left")
        .with_columns(
            confidence=(
                strength
                * pl.when("is_open").then(OPEN).otherwise(1.0)
                * pl.when(pl.col("is_overlapped").fill_null(False)).then(OVERLAPPED).otherwise(1.0)
                * pl.when(is_below_good).then(BELOW_GOOD).otherwise(1.0)
            ).round(6)
        )
        .drop("row", "is_below_good", "is_overlapped")
    )


def _overlapped(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that share hours, facility and phase with another event. Uniform derates of several wells stand side by side
    and do not make each other doubtful."""
    interval = rows.select(*_PLACE, "row", "from_utc", "to_utc", "is_uniform")
    return (
        interval.join(interval, on=_PLACE, suffix="_other")
        .filter(
            pl.col("row") != pl.col("row_other"),
            pl.col("from_utc") < pl.col("to_utc_other"),
            pl.col("from_utc_other") < pl.col("to_utc"),
            ~(pl.col("is_uniform") & pl.col("is_uniform_other")),
        )
        .select("row", pl.lit(True).alias("is_overlapped"))
        .unique()
    )
