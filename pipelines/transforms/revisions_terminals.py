"""Why a terminal's numbers changed: its stock and liftings are facts of their own, its receipts are oil that is metered
elsewhere, and the rest hangs on those, some of it days later."""

import polars as pl

from pipelines.transforms.revisions_facts import PREFIX, PRODUCTION, listed, text
from pipelines.transforms.terminals import CONTEXT_DAYS

_FACTS = ("gross_stock", "lifted")
_RECEIPTS = "production_rate"
# The safe fill is the operator's reference: no fact changes it.
_REFERENCE = "max_capacity"


def reasoned_terminals(changes: pl.DataFrame, facts: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """`changes` with `reason`, null where no fact explains the change.

    `changes` are differences of out__daily_terminal with the word `source`, `facts` as revisions_facts gives them, `earlier`
    restatements of the days before with their `cause`. Receipts change with the terminal's own oil, else with the oil of the
    stations, which may feed it; stocks, ready crude and endurance with what changed at the terminal within the settling lag.
    """
    rows = changes.with_row_index("row")
    column = pl.col("column")
    base = rows.filter(column.is_in(list(_FACTS))).with_columns(
        reason=pl.when(column == "gross_stock").then(_stock_reason()).otherwise(pl.lit("cargo:updated"))
    )
    received = _received(rows.filter(column == _RECEIPTS), facts)
    here = ["production_date", "terminal_id", "cause"]
    moved = pl.concat(
        [
            base.with_columns(cause=text(pl.col("reason"), " of ", pl.col("terminal_id"))).select(here),
            received.select(here),
            earlier.filter(pl.col("what").str.starts_with("terminal_daily."))
            .rename({"entity_id": "terminal_id"})
            .select(here),
        ]
    ).unique()
    hanging = rows.filter(~column.is_in([*_FACTS, _RECEIPTS, _REFERENCE]))
    days_back = (pl.col("production_date") - pl.col("fact_date")).dt.total_days()
    lagged = hanging.join(moved.rename({"production_date": "fact_date"}), on="terminal_id", how="inner").filter(
        days_back.is_between(0, CONTEXT_DAYS)
    )
    causes = pl.concat([received.select("row", "cause"), lagged.select("row", "cause")]).group_by("row").agg(listed())
    dependents = (
        rows.filter(~column.is_in(list(_FACTS)))
        .join(causes, on="row", how="left")
        .with_columns(reason=text(PREFIX, pl.col("cause")))
    )
    return pl.concat([base, dependents.select(base.columns)]).drop("row")


def _received(rows: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """The rows of receipts, once a cause, with `cause`."""
    oil = facts.filter((pl.col("network") == "oil") & (pl.col("kind") == PRODUCTION)).select(
        "production_date", pl.col("node_id").alias("terminal_id"), "cause"
    )
    own = rows.join(oil.unique(), on=["production_date", "terminal_id"], how="inner")
    fed = rows.join(own, on="row", how="anti").join(
        oil.select("production_date", "cause").unique(), on="production_date", how="inner"
    )
    return pl.concat([own, fed])


def _stock_reason() -> pl.Expr:
    before, after = pl.col("source_before").fill_null("none"), pl.col("source").fill_null("none")
    again = pl.when(after == "pi").then(pl.lit("pi:re-read")).otherwise(text(after, ":updated"))
    return pl.when(before != after).then(text("source:", before, "→", after)).otherwise(again)
