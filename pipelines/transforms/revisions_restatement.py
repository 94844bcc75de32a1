"""Restatements: every published number of a production day that is no longer what it was, with the fact behind it.

Facts carry what their source did (`ec:revision 2`, `source:pi→ec`, `target:v1→v2`), dependents `derived:<that> of <fact>`.
Statistics over windows of days (hub_trend) are not restated: they follow from the days that are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from pipelines.transforms.revisions import revision_steps
from pipelines.transforms.revisions_causes import (
    causes_of_drivers,
    causes_of_kpis,
    node_facts,
)
from pipelines.transforms.revisions_differences import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, differences
from pipelines.transforms.revisions_events import changed_events
from pipelines.transforms.revisions_facts import (
    FACILITY,
    FACT_OF,
    PREFIX,
    PRODUCTION,
    REACH_DAYS,
    WORDS,
    changed_facts,
    text,
)
from pipelines.transforms.revisions_terminals import reasoned_terminals
from pipelines.transforms.terminals import CONTEXT_DAYS
from warehouse.catalog.out import OutDailyGapDriver, OutDailyProduction, OutDailyTerminal
from warehouse.catalog.release import Restatement

PRODUCTIONS, DRIVERS, EVENTS, TERMINALS = (
    "out__daily_production",
    "out__daily_gap_driver",
    "core__daily_event",
    "out__daily_terminal",
)
# Tables whose two states are compared; core__daily_event is published by no view and only tells causes.
TABLES = (PRODUCTIONS, DRIVERS, EVENTS, TERMINALS)
# How many days before the ones compared a cause can lie.
EARLIER_DAYS = max(REACH_DAYS, CONTEXT_DAYS)
KPIS = [n for n, c in OutDailyProduction.columns().items() if c.dtype == pl.Float64]
_KPIS_OF_OWN_SCALE = [n for n in KPIS if n in ("coverage", "good_fraction", "day_hours")]
_TERMINAL_KPIS = [n for n, c in OutDailyTerminal.columns().items() if c.dtype == pl.Float64]
_NODE = ["production_date", "node_level", "node_id", "network"]
_SCHEMA = Restatement.create_empty().schema
_ASSEMBLED = ["what", "entity_id", "production_date", "old_value", "new_value", "reason"]
State = Mapping[str, pl.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known beside the two states. `versions`: core__actual of the days; `restated`: their restatements so far;
    `earlier`: restatements of the EARLIER_DAYS before them that this same run found; `now`: when the new state was seen."""

    versions: pl.DataFrame
    restated: pl.DataFrame
    earlier: pl.DataFrame
    now: datetime
    code_version: str


def restatements(old: State, new: State, known: Known) -> pl.DataFrame:
    """Rows of the table `restatement` that the new state of some production days adds; empty where nothing changed.

    `old` and `new` hold TABLES for the same days. known_at is when the changed actual of the day was first seen, `now` where
    none changed; later than any restatement of the day before it. Found twice, a change is told once. Sorted by key.
    """
    recomputed = f"recomputed:{known.code_version}"
    kpis = differences(
        old[PRODUCTIONS],
        new[PRODUCTIONS],
        key=_NODE,
        columns=KPIS,
        own_scale=_KPIS_OF_OWN_SCALE,
        words=WORDS,
    )
    shares = differences(
        old[DRIVERS], new[DRIVERS], key=OutDailyGapDriver.primary_key(), columns=["volume"], absent=0.0
    )
    terminals = differences(
        old[TERMINALS],
        new[TERMINALS],
        key=OutDailyTerminal.primary_key(),
        columns=_TERMINAL_KPIS,
        words=("source",),
    )
    if not kpis.height + shares.height + terminals.height:
        return pl.DataFrame(schema=_SCHEMA)
    earlier = _told_before(known.earlier)
    facts = changed_facts(kpis, revision_steps(known.versions), _production(earlier), recomputed=recomputed)
    events = changed_events(old[EVENTS], new[EVENTS])
    rows = pl.concat(
        [
            _restated_kpis(kpis, facts),
            _restated_shares(shares, facts, events),
            _restated_terminals(terminals, facts, earlier),
        ]
    ).with_columns(pl.col("reason").fill_null(recomputed))
    return _dated(_not_yet_told(rows, known.restated), facts, known)


def _restated_kpis(changes: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    numbered = changes.with_row_index("row")
    is_own = (pl.col("node_level") == FACILITY) & pl.col("column").is_in(list(FACT_OF))
    own = facts.select(
        "production_date", pl.lit(FACILITY).alias("node_level"), "node_id", "network", "column", "reason"
    )
    base = numbered.filter(is_own).join(own, on=[*_NODE, "column"], how="left")
    rest = numbered.filter(~is_own)
    causes = causes_of_kpis(rest, node_facts(facts))
    published = pl.when(pl.col("column") == "published_target").then(pl.lit("target:published"))
    dependents = rest.join(causes, on="row", how="left").with_columns(reason=pl.coalesce(published, _derived()))
    return pl.concat([base, dependents.select(base.columns)]).select(
        _what("production_daily"),
        pl.concat_str("node_id", "network", separator="/").alias("entity_id"),
        *_ASSEMBLED[2:],
    )


def _restated_shares(changes: pl.DataFrame, facts: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    numbered = changes.with_row_index("row")
    causes = causes_of_drivers(numbered, facts, events)
    return (
        numbered.join(causes, on="row", how="left")
        .with_columns(reason=_derived())
        .select(
            _what("gap_driver_daily"),
            pl.concat_str("event_id", "facility_id", "network", separator="/").alias("entity_id"),
            *_ASSEMBLED[2:],
        )
    )


def _restated_terminals(changes: pl.DataFrame, facts: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    return reasoned_terminals(changes, facts, earlier).select(
        _what("terminal_daily"), pl.col("terminal_id").alias("entity_id"), *_ASSEMBLED[2:]
    )


def _what(view: str) -> pl.Expr:
    return text(f"{view}.", pl.col("column")).alias("what")


def _derived() -> pl.Expr:
    """`derived:<cause>`, null without one."""
    return text(PREFIX, pl.col("cause"))


def _told_before(restated: pl.DataFrame) -> pl.DataFrame:
    """Restatements with the cause that a number which hangs on them would name."""
    reason = pl.col("reason")
    cause = (
        pl.when(reason.str.starts_with(PREFIX))
        .then(reason.str.strip_prefix(PREFIX))
        .otherwise(text(reason, " of ", pl.col("entity_id")))
    )
    return restated.with_columns(cause=cause)


def _production(earlier: pl.DataFrame) -> pl.DataFrame:
    """Restated production of facilities: parents' rows are derived, a fact's never is."""
    is_fact = (pl.col("what") == "production_daily.production") & ~pl.col("reason").str.starts_with(PREFIX)
    return earlier.filter(is_fact).select(
        pl.col("entity_id").str.split("/").list.first().alias("facility_id"), "production_date", "cause"
    )


def _not_yet_told(rows: pl.DataFrame, restated: pl.DataFrame) -> pl.DataFrame:
    """Without the rows that an interrupted run has told already: their newest restatement ends where they end."""
    key = ["what", "entity_id", "production_date"]
    last = (
        restated.sort(*key, "known_at_utc")
        .unique(key, keep="last", maintain_order=True)
        .select(*key, pl.lit(value=True).alias("is_told"), pl.col("new_value").alias("told"))
    )
    value, told = pl.col("new_value"), pl.col("told")
    is_same = ((value - told).abs() <= RELATIVE_TOLERANCE * value.abs() + ABSOLUTE_TOLERANCE).fill_null(value=False) | (
        value.is_null() & told.is_null()
    )
    return rows.join(last, on=key, how="left").filter(pl.col("is_told").is_null() | ~is_same).drop("is_told", "told")


def _dated(rows: pl.DataFrame, facts: pl.DataFrame, known: Known) -> pl.DataFrame:
    instant = _SCHEMA["known_at_utc"]
    told = known.restated.group_by("production_date").agg(pl.col("known_at_utc").max().alias("last_told"))
    seen = (
        facts.filter(pl.col("kind") == PRODUCTION)
        .group_by("production_date")
        .agg(pl.col("known_at_utc").max().alias("seen"))
    )
    is_new = pl.col("last_told").is_null() | (pl.col("seen") > pl.col("last_told"))
    known_at = pl.max_horizontal(
        pl.when(is_new & pl.col("seen").is_not_null()).then("seen").otherwise(pl.lit(known.now).cast(instant)),
        pl.col("last_told") + timedelta(microseconds=1),
    )
    return (
        rows.join(told, on="production_date", how="left")
        .join(seen, on="production_date", how="left")
        .with_columns(known_at_utc=known_at, delta=pl.col("new_value") - pl.col("old_value"))
        .select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
        .sort(Restatement.primary_key())
    )


def days_of(rows: pl.DataFrame) -> Sequence[date]:
    """The production days of some rows, in order."""
    return sorted(rows["production_date"].unique())
