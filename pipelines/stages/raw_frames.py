"""From what a client handed back to raw tables: canonical columns, labels, and the rows that do not fit set aside."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import polars as pl

from pipelines.lake import empty

REJECTED_COLUMNS = ("production_date", "dataset", "row_id", "rule", "reason", "raw")


def canonical(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The table's columns in order; those that the site does not map are null. Unknown columns are left out."""
    schema = empty(table).schema
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )


def rejected_rows(dataset: str, label: date | pl.Expr, rejected: pl.DataFrame) -> pl.DataFrame:
    """Rows of a `…__rejected_row` table from a client's rejected frame (rule, reason, raw)."""
    day = pl.lit(label) if isinstance(label, date) else label
    ids = pl.Series(
        "row_id",
        [row_id(rule, raw) for rule, raw in rejected.select("rule", "raw").iter_rows()],
        dtype=pl.String,
    )
    return (
        rejected.with_columns(day.alias("production_date"), pl.lit(dataset).alias("dataset"), ids)
        .select(REJECTED_COLUMNS)
        .unique(["production_date", "dataset", "row_id"], maintain_order=True)
    )


def row_id(rule: str, raw: str) -> str:
    """Identity of a rejected row: the same row rejected twice is one row."""
    return hashlib.sha256(f"{rule}\x00{raw}".encode()).hexdigest()[:16]


def set_aside(frame: pl.DataFrame, broken: pl.Expr, rule: str, reason: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split off rows that break a rule: (kept, rejected as rule, reason, raw)."""
    bad = frame.filter(broken)
    rejected = bad.select(
        pl.lit(rule).alias("rule"),
        pl.lit(reason).alias("reason"),
        pl.struct(pl.all().cast(pl.String)).struct.json_encode().alias("raw"),
    )
    return frame.filter(~broken), rejected


def in_labels(frame: pl.DataFrame, labels: Sequence[date]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of the labels asked for, and the others rejected: a source that answers more than was asked is not trusted."""
    first, last = min(labels), max(labels)
    outside = ~pl.col("production_date").is_between(first, last).fill_null(value=False)
    return set_aside(
        frame, outside, "production_day_asked", f"the production day is missing or outside {first} to {last}"
    )


def in_every_label(
    events: pl.DataFrame, labels: Sequence[date], day_starts: Sequence[time], start: str, end: str
) -> pl.DataFrame:
    """Events (naive local start and end, null end = open) repeated in each label that they can overlap.

    With facilities that begin their day at different times the widest reach is taken; the exact clip is core's.
    """
    earliest, latest = min(day_starts), max(day_starts)
    last_asked = max(labels)
    started_label = (pl.col(start) - _offset(latest)).dt.date()
    # An event that ends exactly at a day's start does not reach into that day.
    ended_label = (pl.col(end) - _offset(earliest) - timedelta(microseconds=1)).dt.date()
    reach = events.drop("production_date", strict=False).with_columns(
        pl.max_horizontal(started_label, pl.lit(min(labels))).alias("_first"),
        pl.min_horizontal(ended_label.fill_null(last_asked), pl.lit(last_asked)).alias("_last"),
    )
    return (
        reach.filter(pl.col("_first") <= pl.col("_last"))
        .with_columns(pl.date_ranges("_first", "_last").alias("production_date"))
        .explode("production_date")
        .drop("_first", "_last")
    )


def _offset(start: time) -> timedelta:
    return timedelta(hours=start.hour, minutes=start.minute)


def samples_by_label(samples: pl.DataFrame, bounds: Sequence[tuple[date, datetime, datetime]]) -> pl.DataFrame:
    """PI samples (sorted by tag and instant) with their label; each label also gets every tag's last sample before it.

    `bounds` are (label, from_utc, to_utc), ascending. A sample may stand in two labels when facilities' days overlap.
    """
    parts = []
    boundary = samples.clear()
    for label, start, end in bounds:
        before = samples.filter(pl.col("observed_at_utc") < start)
        boundary = before.unique("tag_id", keep="last", maintain_order=True)
        inside = samples.filter((pl.col("observed_at_utc") >= start) & (pl.col("observed_at_utc") < end))
        # A sample exactly at the start leaves nothing for the one before it to say, and clients do not send that one: without
        # this a day read alone would differ from the same day read in a range.
        at_start = inside.filter(pl.col("observed_at_utc") == start).select("tag_id")
        needed = boundary.join(at_start, on="tag_id", how="anti", maintain_order="left")
        parts.append(pl.concat([needed, inside]).with_columns(pl.lit(label).alias("production_date")))
        # What lies before this label's start is no longer needed but for the boundary itself.
        samples = pl.concat([boundary, samples.filter(pl.col("observed_at_utc") >= start)])
    return pl.concat(parts) if parts else samples.clear().with_columns(pl.lit(None, pl.Date).alias("production_date"))
