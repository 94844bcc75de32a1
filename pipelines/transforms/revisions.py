"""Versions of actuals: every value that a source ever gave us of a facility's day, with when we first saw it.

Here: what of a newly computed core__daily_production is a new version, and which revision its source calls it. Not here: what a
changed value means for the numbers that hang on it (revisions_restatement).
"""

from datetime import datetime, timedelta

import polars as pl

from pipelines.transforms.production import STREAM_ROLES

KEY = ["facility_id", "network", "production_date"]
# The source of a version that says that there is no value any more.
TAKEN_BACK = "none"
VERSION_SCHEMA = {
    "facility_id": pl.String(),
    "network": pl.String(),
    "production_date": pl.Date(),
    "source": pl.String(),
    "known_at_utc": pl.Datetime("us", "UTC"),
    "volume": pl.Float64(),
    "record_status": pl.String(),
    "revision": pl.Int64(),
    "source_updated_at_utc": pl.Datetime("us", "UTC"),
}
# A version differs from the one before in one of these; a source that only touches its row says nothing new.
_CONTENT = ("source", "volume", "record_status", "revision")


def stream_revisions(stream_days: pl.DataFrame, streams: pl.DataFrame) -> pl.DataFrame:
    """facility_id, network, production_date, revision of the streams that make a facility's production.

    `stream_days` is raw stream_day, `streams` the operator's map. Of several streams the revision of the row that was updated
    last. Facility-days without a row that has a volume and a revision are left out.
    """
    ranked = streams.filter(pl.col("role").is_in(list(STREAM_ROLES))).with_columns(
        rank=pl.col("role").replace_strict({r: i for i, r in enumerate(STREAM_ROLES)}, return_dtype=pl.Int64)
    )
    first = ranked.filter(pl.col("rank") == pl.col("rank").min().over("facility_id", "network"))
    return (
        stream_days.filter(pl.col("volume").is_not_null(), pl.col("rev_no").is_not_null())
        .join(first.select("stream_ec_code", "facility_id", "network"), on="stream_ec_code", how="inner")
        .sort(*KEY, "source_updated_at_utc", "rev_no", nulls_last=False)
        .unique(KEY, keep="last", maintain_order=True)
        .select(*KEY, pl.col("rev_no").cast(pl.Int64).alias("revision"))
    )


def actual_versions(
    known: pl.DataFrame, production: pl.DataFrame, revisions: pl.DataFrame, *, now: datetime
) -> pl.DataFrame:
    """core__actual of the days of `production`: the rows of `known` as they are, and a row for each value that is new.

    `known` is core__actual of those days, `production` core__daily_production, `revisions` as stream_revisions gives them. A
    value is new when volume, source, record status or revision differ from the newest version; one that is gone gets a version
    of source `none`. known_at is `now`, and always after the version before, whatever the clock does. Sorted by key.
    """
    before = newest(known).select(
        *KEY, pl.col("known_at_utc").alias("last_known"), *(pl.col(n).alias(f"{n}_before") for n in _CONTENT)
    )
    # A revision is Energy Components' word on its own value, not on PI's that stands in for it.
    own_revision = pl.when(pl.col("source") == "ec").then(pl.col("revision")).alias("revision")
    present = (
        production.filter(pl.col("volume").is_not_null(), pl.col("source").is_not_null())
        .join(revisions, on=KEY, how="left")
        .select(
            *KEY,
            "source",
            "volume",
            "record_status",
            own_revision,
            pl.col("observed_at_utc").alias("source_updated_at_utc"),
        )
    )
    gone = (
        before.filter(pl.col("source_before") != TAKEN_BACK)
        .join(present, on=KEY, how="anti")
        .join(production.select(pl.col("production_date").unique()), on="production_date", how="semi")
        .select(KEY)
        .with_columns(
            pl.lit(TAKEN_BACK).alias("source"),
            *(pl.lit(None, VERSION_SCHEMA[n]).alias(n) for n in present.columns if n not in (*KEY, "source")),
        )
    )
    differs = pl.any_horizontal(pl.col(n).ne_missing(pl.col(f"{n}_before")) for n in _CONTENT)
    after_last = pl.col("last_known") + timedelta(microseconds=1)
    fresh = (
        pl.concat([present, gone])
        .join(before, on=KEY, how="left")
        .filter(pl.col("last_known").is_null() | differs)
        .with_columns(
            pl.max_horizontal(pl.lit(now).cast(VERSION_SCHEMA["known_at_utc"]), after_last).alias("known_at_utc")
        )
    )
    columns = [pl.col(name).cast(dtype) for name, dtype in VERSION_SCHEMA.items()]
    return pl.concat([known.select(columns), fresh.select(columns)]).sort(*KEY, "known_at_utc")


def newest(versions: pl.DataFrame) -> pl.DataFrame:
    """The version in force of each facility, network and day."""
    return versions.sort(*KEY, "known_at_utc").unique(KEY, keep="last", maintain_order=True)


def as_known_at(versions: pl.DataFrame, instant: datetime) -> pl.DataFrame:
    """The actuals as they were known at an instant: one row a fact; a fact that was taken back or not yet seen has none."""
    seen = versions.filter(pl.col("known_at_utc") <= instant)
    return newest(seen).filter(pl.col("source") != TAKEN_BACK)


def revision_steps(versions: pl.DataFrame) -> pl.DataFrame:
    """The newest version of each fact beside the one before: KEY, revision and source_updated_at_utc, each also as
    `…_before`, and known_at_utc."""
    told = ("revision", "source_updated_at_utc")
    return (
        versions.sort(*KEY, "known_at_utc")
        .with_columns(pl.col(name).shift(1).over(KEY).alias(f"{name}_before") for name in told)
        .unique(KEY, keep="last", maintain_order=True)
        .select(*KEY, *(n for name in told for n in (name, f"{name}_before")), "known_at_utc")
    )
