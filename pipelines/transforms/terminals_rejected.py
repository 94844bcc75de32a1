"""Closing stocks that no terminal has: rows of Energy Components that are set aside with their reason.

Here: which rows of tank_day are rejected. Not here: the stock of a terminal (terminals), which takes known tanks alone.
"""

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl

from pipelines.transforms import quality
from pipelines.transforms.terminals import unknown_tanks

TABLE = "raw_energy_components__tank_day"
SOURCE, DATASET = "energy_components", "tank_day"


def rejected_tank_days(
    tank_days: pl.DataFrame, tags: pl.DataFrame, terminals: pl.DataFrame, labels: Sequence[date], now: datetime
) -> pl.DataFrame:
    """core__quarantine rows of raw tank_day over the labels: rows that break the schema, and rows of a code that is neither
    a terminal's storage nor a gauged tank; of rows with one key all but the newest."""
    wanted = sorted(set(labels))
    rows = tank_days.filter(pl.col("production_date").is_null() | pl.col("production_date").is_in(wanted))
    strangers = unknown_tanks(rows.filter(pl.col("tank_ec_code").is_not_null()), tags, terminals)
    rule = quality.Rule(
        "unknown_id",
        "tank_ec_code is no storage of terminals.csv and no object of a stock gauge in tags.csv: add it, or correct EC",
        pl.col("tank_ec_code").is_in(strangers),
    )
    return quality.split(rows, TABLE, SOURCE, DATASET, now, rules=[rule], label=wanted[-1]).quarantined
