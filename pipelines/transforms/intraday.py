"""The running production day of every facility and network from PI alone, as far as it has come.

Never mixed into production: Energy Components speaks of closed days only, and a day that is running cannot be compared with one.
"""

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl

from pipelines.transforms import quality
from pipelines.transforms.production import flows_of_readings
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.readings import judged_readings
from pipelines.transforms.units import UnitTable

SCHEMA = {
    "facility_id": pl.String(),
    "network": pl.String(),
    "production_date": pl.Date(),
    "from_utc": pl.Datetime("us", "UTC"),
    "to_utc": pl.Datetime("us", "UTC"),
    "rate": pl.Float64(),
    "percent_good": pl.Float64(),
    "observed_at_utc": pl.Datetime("us", "UTC"),
    "quality": pl.String(),
}


def running_day(
    samples: pl.DataFrame,
    tags: pl.DataFrame,
    calendar: ProductionCalendar,
    label: date,
    units: UnitTable,
    *,
    now: datetime,
    state: pl.DataFrame,
) -> pl.DataFrame:
    """One row a facility and network that PI has flow tags of, over the part of the running day `label` that was read.

    `samples`: raw_pi__recorded_value of the label; `state`: core__carry_state of the day before. `to_utc` is the newest
    sample of any tag, at most `now`, so that the same samples give the same rows whenever they are looked at; a day of which
    no sample has come has no rows. rate = Σ of the tags' time-weighted means, base units a day, null where one of them has
    none; percent_good (0 to 100) and quality are of the worst tag, observed_at_utc of the newest good value. Raises
    ReadingError as judged_readings.
    """
    until = newest(samples, now)
    if until is None or tags.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    readings = judged_readings(samples, tags, calendar, [label], units, now=now, state=state, until=until).readings
    flows = flows_of_readings(readings)
    means = pl.col("time_weighted_mean")
    rows = (
        flows.sort("facility_id", "network", "tag_id")
        .group_by("facility_id", "network", "production_date", maintain_order=True)
        .agg(
            # A meter that reads slightly below zero at rest is at zero.
            pl.when(means.is_not_null().all()).then(means.sum().clip(0.0)).alias("rate"),
            (pl.col("good_fraction").min() * 100.0).alias("percent_good"),
            pl.col("last_good_at_utc").max().alias("observed_at_utc"),
            quality.worst_of(pl.col("quality")).alias("quality"),
        )
        .join(_bounds(calendar, label, flows["facility_id"].unique().to_list()), on="facility_id", how="inner")
        .with_columns(pl.min_horizontal("to_utc", pl.lit(until).cast(SCHEMA["to_utc"])).alias("to_utc"))
    )
    return rows.select([pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()])


def newest(samples: pl.DataFrame, now: datetime) -> datetime | None:
    """Instant of the newest sample that a clock may have given by `now`; None where there is none."""
    known = samples["observed_at_utc"]
    found = known.filter(known <= now).max()
    return found if isinstance(found, datetime) else None


def _bounds(calendar: ProductionCalendar, label: date, facilities: Sequence[str]) -> pl.DataFrame:
    return calendar.frame([label], facilities).select("facility_id", "from_utc", "to_utc")
