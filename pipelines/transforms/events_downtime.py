"""Downtime that wells report by their on-stream hours and no event explains: `ech:<well>:<date>`.

Hours have no clock time, so the loss is a uniform derate over the production day: rate = well potential × down ÷ day length.
Not here: potentials and hours of wells (core__daily_well), events of Energy Components (events).
"""

from __future__ import annotations

import polars as pl

_CONSTRAINT = "CONSTRAINT"


def downtime_events(
    *,
    wells: pl.DataFrame,
    well_names: pl.DataFrame,
    days: pl.DataFrame,
    booked: pl.DataFrame,
    absent_days: str,
) -> pl.DataFrame:
    """Rows like those of events, one a well, phase and label with down hours and without an event.

    `wells` is core__daily_well, `days` ProductionCalendar.frame, `booked` the day's EC events with production_date,
    facility_id, well_id, event_type. A well's downtime counts as booked where an event stands on the well, or one on its
    facility that is not a mere constraint. An absent day makes an event only where `absent_days` is `down`. A gas row
    stands where the well has a gas potential of its own; a well before its first potential loses 0.
    """
    names = well_names.sort("well_id", "valid_from").unique("well_id", keep="last", maintain_order=True)
    is_producer_down = pl.col("is_producer") & (pl.col("down_hours") > 0.0)
    down = wells.filter(is_producer_down & (~pl.col("is_absent") | pl.lit(absent_days == "down")))
    on_well = booked.filter(pl.col("well_id").is_not_null()).select("production_date", "well_id")
    is_stop = pl.col("event_type").fill_null("DOWN").str.to_uppercase() != _CONSTRAINT
    on_facility = booked.filter(pl.col("well_id").is_null() & is_stop).select("production_date", "facility_id")
    unexplained = (
        down.join(on_well, on=["production_date", "well_id"], how="anti")
        .join(on_facility, on=["production_date", "facility_id"], how="anti")
        .join(names.select("well_id", "well_ec_code", "name"), on="well_id", how="left")
        .join(days.drop("day_hours"), on=["production_date", "facility_id"], how="inner")
        .sort("production_date", "well_id")
    )
    derate = pl.col("down_hours") / pl.col("day_hours")
    parts = [
        unexplained.with_columns(phase=pl.lit("oil"), loss_rate=pl.col("oil_potential_bblpd").fill_null(0.0) * derate),
        unexplained.filter(pl.col("gas_potential_scfpd").is_not_null()).with_columns(
            phase=pl.lit("gas"), loss_rate=pl.col("gas_potential_scfpd") * derate
        ),
    ]
    no_text, no_number = pl.lit(None, pl.String), pl.lit(None, pl.Float64)
    label = pl.col("production_date").dt.strftime("%Y-%m-%d")
    return pl.concat(parts).select(
        "production_date",
        pl.concat_str(pl.lit("ech:"), "well_id", pl.lit(":"), label).alias("event_id"),
        "phase",
        "facility_id",
        pl.lit("source").alias("target_kind"),
        pl.col("facility_id").alias("target_id"),
        no_text.alias("network"),
        pl.col("well_id").alias("equipment_id"),
        pl.col("from_utc").alias("started_at_utc"),
        pl.col("to_utc").alias("ended_at_utc"),
        "from_utc",
        "to_utc",
        pl.col("down_hours").alias("hours"),
        pl.lit(True).alias("is_uniform"),
        "loss_rate",
        no_number.alias("remaining_rate"),
        no_text.alias("reason_code"),
        no_text.alias("source_code"),
        pl.lit("wells").alias("choke"),
        pl.lit(False).alias("is_planned"),
        pl.lit(False).alias("is_third_party"),
        pl.lit(False).alias("is_open"),
        pl.concat_str(
            pl.lit("Well "),
            pl.coalesce("name", "well_id"),
            pl.when(pl.col("is_absent")).then(pl.lit(" without a row")).otherwise(pl.lit(" down without an event")),
        ).alias("title"),
        pl.lit("ech").alias("source"),
        pl.col("is_absent").alias("is_doubtful"),
        no_number.alias("oil_loss_bbl"),
        no_number.alias("gas_loss_scf"),
        pl.concat_str(pl.lit("ec:WELL_DAY/"), pl.coalesce("well_ec_code", "well_id"), pl.lit("/"), label).alias(
            "evidence"
        ),
    )
