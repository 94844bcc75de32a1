"""Samples that cannot be used, taken out before anything is computed, and reported as rows of core__quarantine.

A stuck or misconfigured tag can break a rule every second, so one quarantined row stands for a tag, a production day and a rule:
its raw content counts the samples and gives their span, lowest and highest value. The samples themselves stay in raw.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import polars as pl

from pipelines.transforms.quality import QUARANTINE_SCHEMA

SOURCE = "pi"
IMPOSSIBLE, DUPLICATE, FUTURE = "impossible_value", "duplicate_sample", "future_sample"
# Clocks of one domain differ by less: Kerberos refuses to log on beyond five minutes.
CLOCK_TOLERANCE = timedelta(minutes=5)
NOTHING = pl.DataFrame(
    schema={
        "key": pl.Int64,
        "rule": pl.String,
        "samples": pl.Int64,
        "first_at": pl.Int64,
        "last_at": pl.Int64,
        "lowest": pl.Float64,
        "highest": pl.Float64,
    }
)
_REASONS = {
    DUPLICATE: "several samples at one instant: the last row counts; correct the interface that writes twice",
    FUTURE: f"stamped over {CLOCK_TOLERANCE.seconds // 60} minutes after the time of reading: correct the interface's clock",
}


def set_aside(frame: pl.DataFrame, now: datetime | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Samples that count, and what was set aside by key and rule (columns of NOTHING).

    `frame` is sorted by key and at (µs), with value, from, to, low, high. Without `now` no sample is too late. Impossible
    values stay as samples without a value; only samples within the key's own day are reported, since the boundary sample
    before it is the day before's.
    """
    found = [NOTHING]
    if now is not None:
        limit = int(
            (now.astimezone(UTC) + CLOCK_TOLERANCE - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)
        )
        is_late = pl.col("at") > limit
        if frame.select(is_late.any()).item():
            found.append(_counted(frame.filter(is_late), FUTURE))
            frame = frame.filter(~is_late)
    repeated = ((pl.col("key") == pl.col("key").shift(-1)) & (pl.col("at") == pl.col("at").shift(-1))).fill_null(False)
    if frame.select(repeated.any()).item():
        found.append(_counted(frame.filter(repeated), DUPLICATE))
        frame = frame.filter(~repeated)
    is_possible = (pl.col("value") >= pl.col("low")) & (pl.col("value") <= pl.col("high"))
    if not frame.select(is_possible.all()).item():
        found.append(_counted(frame.filter(~is_possible), IMPOSSIBLE))
        frame = frame.with_columns(pl.when(is_possible).then("value").alias("value"))
    return frame, pl.concat(found)


def _counted(frame: pl.DataFrame, rule: str) -> pl.DataFrame:
    inside = frame.filter(pl.col("at") >= pl.col("from"), pl.col("at") < pl.col("to"))
    return inside.group_by("key", maintain_order=True).agg(
        pl.lit(rule).alias("rule"),
        pl.len().cast(pl.Int64).alias("samples"),
        pl.col("at").min().alias("first_at"),
        pl.col("at").max().alias("last_at"),
        pl.col("value").min().alias("lowest"),
        pl.col("value").max().alias("highest"),
    )


def quarantined(found: pl.DataFrame, wanted: pl.DataFrame, dataset: str, now: datetime | None) -> pl.DataFrame:
    """Rows of core__quarantine, one a tag, label and rule, sorted by label, tag and rule.

    `found` as set_aside gives it; `wanted` has key, production_date, tag_name, own_unit, impossible (the reason), to_utc, which
    is when a row counts as rejected where there is no `now`.
    """
    rows = found.join(wanted, on="key", how="inner").sort("production_date", "tag_id", "rule")
    made = []
    for row in rows.iter_rows(named=True):
        rule = row["rule"]
        raw = json.dumps(
            {
                "tag_name": row["tag_name"],
                "samples": row["samples"],
                "first_at_utc": _text(row["first_at"]),
                "last_at_utc": _text(row["last_at"]),
                "lowest": row["lowest"],
                "highest": row["highest"],
                "unit": row["own_unit"],
            },
            ensure_ascii=False,
        )
        reason = _REASONS.get(rule) or f"{row['impossible']}: check the transmitter, or the unit in the tag map"
        identity = hashlib.sha256(f"{rule}\n{raw}".encode()).hexdigest()[:32]
        made.append((row["production_date"], SOURCE, dataset, identity, rule, reason, raw, now or row["to_utc"]))
    return pl.DataFrame(made, schema=QUARANTINE_SCHEMA, orient="row")


def _text(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat()
