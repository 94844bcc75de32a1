"""Which events changed between two states of core__daily_event, in words that name the event and its revision."""

import polars as pl

_KEY = ["production_date", "event_id", "phase"]
# What attribution takes of an event; a new title changes no number.
_WEIGHED = (
    "target_kind",
    "target_id",
    "network",
    "equipment_id",
    "from_utc",
    "to_utc",
    "hours",
    "is_uniform",
    "loss_rate",
    "remaining_rate",
)


def changed_events(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """production_date, event_id, cause of the events that act otherwise than before; both frames are core__daily_event.

    The cause is the event, its revision after `@` where its source has one, and `entered` or `withdrawn` where it stands in
    one state only: `ec:48213@3`, `ec:48214@1 entered`. One row an event and day, sorted by both.
    """
    columns = [*_WEIGHED, "evidence"]
    before = old.select(*_KEY, *(pl.col(c).alias(f"{c}_before") for c in columns), pl.lit(1).alias("in_old"))
    both = before.join(new.select(*_KEY, *columns, pl.lit(1).alias("in_new")), on=_KEY, how="full", coalesce=True)
    differs = pl.any_horizontal(pl.col(c).ne_missing(pl.col(f"{c}_before")) for c in _WEIGHED)
    revision = pl.coalesce("evidence", "evidence_before").str.extract(r"/\d+(@\d+)").fill_null("")
    return (
        both.filter(differs | pl.col("in_old").is_null() | pl.col("in_new").is_null())
        .group_by("production_date", "event_id", maintain_order=True)
        .agg(
            # An event that gains or loses one phase is still the same event.
            pl.col("in_old").is_not_null().any().alias("was"),
            pl.col("in_new").is_not_null().any().alias("is"),
            revision.sort().last().alias("revision"),
        )
        .with_columns(
            word=pl.when(~pl.col("was"))
            .then(pl.lit(" entered"))
            .when(~pl.col("is"))
            .then(pl.lit(" withdrawn"))
            .otherwise(pl.lit(""))
        )
        .select("production_date", "event_id", pl.concat_str("event_id", "revision", "word").alias("cause"))
        .sort("production_date", "event_id")
    )
