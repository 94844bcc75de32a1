"""State that crosses production days, as rows of core__carry_state: what a range of labels needs of the day before it.

Here: picking a kind out of the state, and laying values or trailing windows out as one state a label. Not here: what is carried.
A state passed into a transform is that of the label before its range; a state given back has rows for every label of the range.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

SCHEMA = {
    "production_date": pl.Date(),
    "kind": pl.String(),
    "entity_id": pl.String(),
    "slot": pl.Int64(),
    "value": pl.Float64(),
    "as_of": pl.Date(),
}
KEY = ["production_date", "kind", "entity_id", "slot"]
NO_STATE = pl.DataFrame(schema=SCHEMA)
_SEPARATOR = "|"


def before(state: pl.DataFrame, first: date) -> pl.DataFrame:
    """Rows of the label before `first`; empty when nothing was carried."""
    return state.filter(pl.col("production_date") == first - timedelta(days=1))


def at(state: pl.DataFrame, label: date) -> pl.DataFrame:
    """Rows of one label."""
    return state.filter(pl.col("production_date") == label)


def of_kind(state: pl.DataFrame, kind: str) -> pl.DataFrame:
    """entity_id, slot, value, as_of of one kind, newest (slot 0) first within an entity."""
    return state.filter(pl.col("kind") == kind).select("entity_id", "slot", "value", "as_of").sort("entity_id", "slot")


def entity(*parts: str) -> pl.Expr:
    """Identifier of a compound entity, for example facility and network: its column values joined by "|"."""
    return pl.concat_str([pl.col(p) for p in parts], separator=_SEPARATOR)


def split_entity(*names: str) -> list[pl.Expr]:
    """The columns that `entity` joined; the last part is the one after the last separator."""
    pieces = pl.col("entity_id").str.splitn(_SEPARATOR, len(names))
    return [pieces.struct.field(f"field_{i}").alias(name) for i, name in enumerate(names)]


def grid(labels: Sequence[date], entities: pl.Series) -> pl.DataFrame:
    """entity_id × production_date, sorted by both."""
    days = pl.DataFrame({"production_date": sorted(set(labels))}, schema={"production_date": pl.Date})
    names = pl.DataFrame({"entity_id": entities.unique().sort()}, schema={"entity_id": pl.String})
    return names.join(days, how="cross").sort("entity_id", "production_date")


def carried(points: pl.DataFrame, state: pl.DataFrame, kind: str, labels: Sequence[date]) -> pl.DataFrame:
    """Last value known at each label: entity_id, production_date, value, as_of; sorted by entity and label.

    `points` has entity_id, production_date, value within the range; null values are no points. The state before the range
    gives what is known at its start. An entity stands from its first value on: no row before, hence no null.
    """
    seeds = of_kind(state, kind).select("entity_id", pl.col("as_of").alias("production_date"), "value")
    known = (
        pl.concat([seeds, points.select("entity_id", "production_date", pl.col("value").cast(pl.Float64))])
        .drop_nulls()
        .unique(["entity_id", "production_date"], keep="last", maintain_order=True)
        .with_columns(pl.col("production_date").alias("as_of"))
        .sort("production_date")
    )
    days = grid(labels, known["entity_id"]).sort("production_date")
    return (
        days.join_asof(known, on="production_date", by="entity_id", strategy="backward", check_sortedness=False)
        .filter(pl.col("as_of").is_not_null())
        .select("entity_id", "production_date", "value", "as_of")
        .sort("entity_id", "production_date")
    )


def rows(values: pl.DataFrame, kind: str) -> pl.DataFrame:
    """State rows of one value an entity and label, from the columns that `carried` gives."""
    return values.select(
        "production_date",
        pl.lit(kind).alias("kind"),
        "entity_id",
        pl.lit(0, dtype=pl.Int64).alias("slot"),
        pl.col("value").cast(pl.Float64),
        "as_of",
    )


def window_points(points: pl.DataFrame, state: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The carried window followed by the range's points, numbered: entity_id, production_date, value, position (from 0)."""
    seeds = of_kind(state, kind).select("entity_id", pl.col("as_of").alias("production_date"), "value")
    return (
        pl.concat([seeds, points.select("entity_id", "production_date", pl.col("value").cast(pl.Float64))])
        .drop_nulls()
        .unique(["entity_id", "production_date"], keep="last", maintain_order=True)
        .sort("entity_id", "production_date")
        .with_columns(pl.int_range(pl.len()).over("entity_id").cast(pl.Int64).alias("position"))
    )


def window_rows(numbered: pl.DataFrame, kind: str, labels: Sequence[date], size: int) -> pl.DataFrame:
    """State rows of the last `size` points known at each label; slot 0 is the newest. `numbered` as window_points gives it."""
    if numbered.is_empty():
        return NO_STATE
    newest = (
        grid(labels, numbered["entity_id"])
        .sort("production_date")
        .join_asof(
            numbered.select("entity_id", "production_date", "position").sort("production_date"),
            on="production_date",
            by="entity_id",
            strategy="backward",
            check_sortedness=False,
        )
        .drop_nulls("position")
    )
    slots = pl.DataFrame({"slot": range(size)}, schema={"slot": pl.Int64})
    return (
        newest.join(slots, how="cross")
        .with_columns((pl.col("position") - pl.col("slot")).alias("position"))
        .join(numbered.rename({"production_date": "as_of"}), on=["entity_id", "position"], how="inner")
        .select(
            "production_date",
            pl.lit(kind).alias("kind"),
            "entity_id",
            "slot",
            pl.col("value").cast(pl.Float64),
            "as_of",
        )
        .sort(KEY)
    )


def gather(*states: pl.DataFrame) -> pl.DataFrame:
    """One state of several parts, in key order."""
    return pl.concat([NO_STATE, *(s.select(list(SCHEMA)) for s in states)]).sort(KEY)
