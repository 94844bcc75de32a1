"""Frozen tags: runs of identical samples longer than the tag's own history explains.

A run is a stretch of good samples of one value. A tag's norm is the mean length of its runs that began and ended within a day,
so that a stuck tag, whose run never ends, teaches nothing; the norm of a label is the median over the days before it, carried
as state. Not here: what a sample is worth, which is decided before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from pipelines.transforms import carry_state

# Below this no run is frozen: half an hour at one sample a minute, half a minute at one a second.
FROZEN_SAMPLES = 30
# Runs of a live, coarsely digitised signal are spread like waiting times: one in e^10, about 22,000, is ten times the mean.
FROZEN_RATIO = 10.0
# A mean of fewer runs is too loose to be a norm: its error is over a fifth.
NORM_RUNS = 20
# As the windows of unit jumps: a median over nine days that four odd ones cannot move.
NORM_DAYS = 9
NORM_DAYS_MINIMUM = 5
STATE = "tag_run_length"


@dataclass(frozen=True, slots=True)
class Runs:
    """Of one or more labels: `long` has key, length, held (µs) of runs of FROZEN_SAMPLES or more; `learnt` has key, length:
    the mean of completed runs, for keys with NORM_RUNS of them."""

    long: pl.DataFrame
    learnt: pl.DataFrame


_RUNS = {"key": pl.Int64, "length": pl.Int64, "held": pl.Int64}
NO_RUNS = Runs(pl.DataFrame(schema=_RUNS), pl.DataFrame(schema={"key": pl.Int64, "length": pl.Float64}))


def runs_of(frame: pl.DataFrame) -> Runs:
    """Runs in a frame sorted by key and time, with key, value (null where not good), held, is_step and rests.

    Samples that are not good are skipped, not ends of runs. Step tags have no runs, and zero is rest where `rests` is true.
    """
    live = frame.filter(
        pl.col("value").is_not_null(), ~pl.col("is_step"), ~(pl.col("rests") & (pl.col("value") == 0.0))
    ).select("key", "value", pl.col("held").fill_null(0).cum_sum().alias("held_to"))
    ends = (pl.col("key") != pl.col("key").shift(-1)) | (pl.col("value") != pl.col("value").shift(-1))
    last = live.with_row_index("row").filter(ends.fill_null(True))
    row = pl.col("row").cast(pl.Int64)
    begins_in_key, ends_in_key = (pl.col("key") == pl.col("key").shift(places) for places in (1, -1))
    runs = last.select(
        "key",
        (row - row.shift(1).fill_null(-1)).alias("length"),
        (pl.col("held_to") - pl.col("held_to").shift(1).fill_null(0)).alias("held"),
        (begins_in_key & ends_in_key).fill_null(False).alias("is_complete"),
    )
    learnt = (
        runs.filter("is_complete")
        .group_by("key", maintain_order=True)
        .agg(pl.len().alias("count"), pl.col("length").mean())
        .filter(pl.col("count") >= NORM_RUNS)
        .select("key", "length")
    )
    return Runs(runs.filter(pl.col("length") >= FROZEN_SAMPLES).select("key", "length", "held"), learnt)


def gather(parts: Sequence[Runs]) -> Runs:
    """The runs of several parts with different keys."""
    return Runs(pl.concat([p.long for p in parts]), pl.concat([p.learnt for p in parts]))


def frozen_time(
    runs: Runs, keys: pl.DataFrame, labels: Sequence[date], state: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Frozen time by key (key, frozen in µs; keys without any are left out), and carried state of every label.

    A run is frozen from FROZEN_SAMPLES on, and from FROZEN_RATIO × norm on. The norm is the median of the last NORM_DAYS days
    before the label that taught one; before NORM_DAYS_MINIMUM of them, the label's own, or none. `keys` has key,
    production_date, tag_id; what is carried of other tags is left out.
    """
    named = keys.select("key", "production_date", pl.col("tag_id").cast(pl.String).alias("entity_id"))
    points = runs.learnt.join(named, on="key", how="inner").select(
        "entity_id", "production_date", pl.col("length").alias("value")
    )
    own_state = state.filter(pl.col("entity_id").is_in(named["entity_id"].unique().to_list()))
    numbered = carry_state.window_points(points, own_state, STATE)
    known = (
        numbered.with_columns(
            pl.col("value")
            .rolling_median(window_size=NORM_DAYS, min_samples=NORM_DAYS_MINIMUM)
            .over("entity_id")
            .alias("norm")
        )
        .drop_nulls("norm")
        .select("entity_id", "production_date", "norm")
        .sort("production_date")
    )
    norms = (
        named.sort("production_date")
        .join_asof(
            known,
            on="production_date",
            by="entity_id",
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .join(runs.learnt.rename({"length": "own"}), on="key", how="left")
        .select("key", (pl.coalesce("norm", "own", pl.lit(1.0)) * FROZEN_RATIO).alias("limit"))
    )
    frozen = (
        runs.long.join(norms, on="key", how="inner")
        .filter(pl.col("length") >= pl.col("limit"))
        .group_by("key", maintain_order=True)
        .agg(pl.col("held").sum().cast(pl.Float64).alias("frozen"))
    )
    return frozen, carry_state.window_rows(numbered, STATE, labels, NORM_DAYS)
