"""What differs between two states of a table: one row a changed number.

Here: the comparison and its tolerance. Not here: why a number changed (revisions_causes).
"""

from collections.abc import Sequence

import polars as pl

# Below this a difference is the noise of summing in another order: relative to the row's largest quantity, with a floor.
RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-6


def differences(
    old: pl.DataFrame,
    new: pl.DataFrame,
    *,
    key: Sequence[str],
    columns: Sequence[str],
    own_scale: Sequence[str] = (),
    words: Sequence[str] = (),
    absent: float | None = None,
) -> pl.DataFrame:
    """The key, `column`, `old_value`, `new_value` and every word of `words` (before as `<word>_before`) of changed numbers.

    `own_scale` names those of `columns` that are no quantity of the row's unit (shares, hours): their tolerance is their own.
    A row that stands in one state only has `absent` for its numbers in the other. Null against a number is a change.
    Sorted by key and column.
    """
    before = old.select(
        *key,
        pl.lit(value=True).alias("in_old"),
        *(pl.col(c).alias(f"{c}_before") for c in (*columns, *words)),
    )
    after = new.select(*key, *columns, *words, pl.lit(value=True).alias("in_new"))
    both = before.join(after, on=list(key), how="full", coalesce=True)
    if absent is not None:
        fill = pl.lit(absent)
        both = both.with_columns(
            *(pl.when("in_new").then(pl.col(c)).otherwise(fill).alias(c) for c in columns),
            *(pl.when("in_old").then(pl.col(f"{c}_before")).otherwise(fill).alias(f"{c}_before") for c in columns),
        )
    quantities = [c for c in columns if c not in own_scale]
    sizes = [pl.col(n).abs() for c in quantities for n in (c, f"{c}_before")]
    both = both.with_columns(pl.max_horizontal(*sizes, pl.lit(0.0)).alias("row_scale"))
    parts = []
    for column in columns:
        value, previous = pl.col(column), pl.col(f"{column}_before")
        scale = pl.max_horizontal(value.abs(), previous.abs()) if column in own_scale else pl.col("row_scale")
        tolerance = RELATIVE_TOLERANCE * scale + ABSOLUTE_TOLERANCE
        has_changed = (value.is_null() != previous.is_null()) | ((value - previous).abs() > tolerance).fill_null(
            value=False
        )
        parts.append(
            both.filter(has_changed).select(
                *key,
                pl.lit(column).alias("column"),
                previous.alias("old_value"),
                value.alias("new_value"),
                *(name for word in words for name in (word, f"{word}_before")),
            )
        )
    return pl.concat(parts).sort(*key, "column")
