"""Which facts changed between two states of out__daily_production, and what their source did: the causes of everything else.

A fact is a number that no other number of a release makes: a facility's production, potential, target and capacity. Not here:
what hangs on them (revisions_causes).
"""

from collections.abc import Mapping

import polars as pl

PREFIX = "derived:"
FACILITY = "facility"
PRODUCTION, POTENTIAL, TARGET, CAPACITY, PRESENCE = "production", "potential", "target", "capacity", "presence"
FACT_OF: Mapping[str, str] = {
    "production": PRODUCTION,
    "production_volume": PRODUCTION,
    "potential": POTENTIAL,
    "potential_volume": POTENTIAL,
    "business_target": TARGET,
    "business_target_volume": TARGET,
    "max_capacity": CAPACITY,
}
# Words of a row that say where its numbers come from.
WORDS = ("hub_id", "asset_id", "counts_in_roll_up", "source", "potential_basis", "target_version")
# Methods of potential that no source states: what they are computed from.
_FROM_TARGET, _FROM_CAPACITY = ("target",), ("nameplate",)
_FROM_HISTORY = ("p75_full_days", "last_full_day", "month_average")
# The longest window that a potential looks back over.
REACH_DAYS = 90
# A sentence that names more facts than this is no longer read; the facts have rows of their own.
MOST_NAMED = 12
_KEY = ["production_date", "node_id", "network"]
_PLACE = (pl.col("node_id"), "/", pl.col("network"))


def changed_facts(
    changes: pl.DataFrame, steps: pl.DataFrame, earlier: pl.DataFrame, *, recomputed: str
) -> pl.DataFrame:
    """The changed facts: key, hub_id, asset_id, is_counted, kind, column, is_toggled, reason, cause; one row a column.

    `changes` are differences of out__daily_production with WORDS, `steps` is revisions.revision_steps of the same days,
    `earlier` has facility_id, production_date and cause of production facts before them, for potentials that look back;
    `recomputed` is the reason where no source moved. The cause names fact and reason: `ec:revision 2 of fs-akara/oil`. A
    potential that is computed from other facts has their cause and the reason `derived:<cause>`.
    """
    rows = changes.filter(pl.col("node_level") == FACILITY, pl.col("column").is_in(list(FACT_OF))).join(
        steps.rename({"facility_id": "node_id"}), on=_KEY, how="left"
    )
    kind = pl.col("column").replace_strict(FACT_OF, return_dtype=pl.String)
    rows = rows.with_columns(kind=kind).with_columns(
        reason=pl.when(pl.col("kind") == PRODUCTION)
        .then(_production_reason(recomputed))
        .when(pl.col("kind") == POTENTIAL)
        .then(_potential_reason())
        .when(pl.col("kind") == TARGET)
        .then(_step("target", "target_version", same=text("target:", pl.col("target_version"), " changed")))
        .otherwise(pl.lit("capacity:register"))
    )
    base = rows.filter(pl.col("reason").is_not_null()).with_columns(cause=text(pl.col("reason"), " of ", *_PLACE))
    computed = _computed_potentials(rows.filter(pl.col("reason").is_null()), base, earlier, recomputed)
    return pl.concat([base, computed], how="diagonal").select(
        *_KEY,
        pl.coalesce("hub_id", "hub_id_before").alias("hub_id"),
        pl.coalesce("asset_id", "asset_id_before").alias("asset_id"),
        (
            pl.col("counts_in_roll_up").fill_null(value=False)
            | pl.col("counts_in_roll_up_before").fill_null(value=False)
        ).alias("is_counted"),
        "kind",
        "column",
        ((pl.col("kind") == PRODUCTION) & (pl.col("old_value").is_null() != pl.col("new_value").is_null())).alias(
            "is_toggled"
        ),
        "reason",
        "cause",
        "known_at_utc",
    )


def _production_reason(recomputed: str) -> pl.Expr:
    is_same_row = (pl.col("source_updated_at_utc") == pl.col("source_updated_at_utc_before")).fill_null(value=False)
    same = (
        pl.when(pl.col("source") == "pi")
        .then(pl.lit("pi:re-read"))
        .when(pl.col("revision").ne_missing(pl.col("revision_before")) & pl.col("revision").is_not_null())
        .then(text("ec:revision ", pl.col("revision")))
        .when(pl.col("source").is_null() | is_same_row)
        .then(pl.lit(recomputed))
        .otherwise(text(pl.col("source"), ":updated"))
    )
    return _step("source", "source", same=same)


def _potential_reason() -> pl.Expr:
    """Null where the potential follows from other facts."""
    basis = pl.col("potential_basis")
    is_computed = basis.is_in([*_FROM_TARGET, *_FROM_CAPACITY, *_FROM_HISTORY])
    same = pl.when(~is_computed).then(text("ec:", basis.replace({"ec": "potential"})))
    return _step("potential", "potential_basis", same=same)


def _step(subject: str, word: str, *, same: pl.Expr) -> pl.Expr:
    """`subject:before→after` where the word changed."""
    before, after = pl.col(f"{word}_before").fill_null("none"), pl.col(word).fill_null("none")
    return pl.when(before != after).then(text(f"{subject}:", before, "→", after)).otherwise(same)


def _computed_potentials(
    rows: pl.DataFrame, base: pl.DataFrame, earlier: pl.DataFrame, recomputed: str
) -> pl.DataFrame:
    rows = rows.with_row_index("row")
    roots = []
    for methods, kind in ((_FROM_TARGET, TARGET), (_FROM_CAPACITY, CAPACITY)):
        facts = base.filter(pl.col("kind") == kind).select(*_KEY, "cause")
        roots.append(_of(rows, methods).join(facts, on=_KEY, how="inner").select("row", "cause"))
    produced = base.filter(pl.col("kind") == PRODUCTION)
    history = pl.concat(
        [
            earlier.select("facility_id", pl.col("production_date").alias("fact_date"), "cause"),
            produced.select(
                pl.col("node_id").alias("facility_id"), pl.col("production_date").alias("fact_date"), "cause"
            ),
        ]
    ).unique()
    days_back = (pl.col("production_date") - pl.col("fact_date")).dt.total_days()
    roots.append(
        _of(rows, _FROM_HISTORY)
        .join(history, left_on="node_id", right_on="facility_id", how="inner")
        .filter(days_back.is_between(0, REACH_DAYS))
        .select("row", text(pl.col("cause"), " on ", pl.col("fact_date")).alias("cause"))
    )
    named = pl.concat(roots).group_by("row").agg(listed())
    return (
        rows.join(named, on="row", how="left")
        .with_columns(
            reason=pl.when(pl.col("cause").is_null())
            .then(pl.lit(recomputed))
            .otherwise(pl.concat_str(pl.lit(PREFIX), "cause")),
            cause=pl.col("cause").fill_null(text(f"{recomputed} of ", *_PLACE)),
        )
        .drop("row")
    )


def _of(rows: pl.DataFrame, methods: tuple[str, ...]) -> pl.DataFrame:
    return rows.filter(pl.col("potential_basis").is_in(list(methods)))


def listed() -> pl.Expr:
    """The causes of a group in one text, each once, in order; beyond MOST_NAMED only how many."""
    known = pl.col("cause").drop_nulls().unique().sort()
    more = known.len().cast(pl.Int64) - MOST_NAMED
    rest = pl.when(more > 0).then(text("; and ", more, " more")).otherwise(pl.lit(""))
    return pl.concat_str(known.head(MOST_NAMED).str.join("; "), rest).alias("cause")


def text(*parts: str | pl.Expr) -> pl.Expr:
    """Parts joined, null where one is; words are taken as they are.

    Not pl.format: Polars 2.1 panics in it on a column with an empty chunk in its middle, which a concat can leave.
    """
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts])
