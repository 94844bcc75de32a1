"""Quality words and record statuses with their order, and the split of rows into accepted and quarantined ones.

A rejected row keeps its rule, its reason and its raw content; nothing is dropped silently. Rules that concern one dataset's
history (unit jumps) are in quality_jump.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import dataframely as dy
import polars as pl

from warehouse.catalog.columns import QUALITIES, RECORD_STATUSES
from warehouse.catalog.tables import TABLES

GOOD, UNCERTAIN, BAD, STALE, MISSING, NOT_APPLICABLE = QUALITIES
# From best to worst; a value that is not applicable takes no part in a parent's word.
QUALITY_ORDER = (NOT_APPLICABLE, GOOD, UNCERTAIN, BAD, STALE, MISSING)
STATUS_ORDER = RECORD_STATUSES
# PI's convention, fixed by the domain model: PercentGood ≥ 90 good, 50 to 90 uncertain, else bad.
GOOD_FRACTION = 0.90
UNCERTAIN_FRACTION = 0.50
STATUS_OF_LETTER = {"P": "provisional", "V": "verified", "A": "approved"}

QUARANTINE_SCHEMA = {
    "production_date": pl.Date(),
    "source": pl.String(),
    "dataset": pl.String(),
    "row_id": pl.String(),
    "rule": pl.String(),
    "reason": pl.String(),
    "raw": pl.String(),
    "rejected_at_utc": pl.Datetime("us", "UTC"),
}
NO_QUARANTINE = pl.DataFrame(schema=QUARANTINE_SCHEMA)
_ROW = "__row"
_OCCURRENCE = "__occurrence"


@dataclass(frozen=True, slots=True)
class Rule:
    """One statement that a row must satisfy: `broken` is true on rows that do not (null counts as satisfied)."""

    name: str
    reason: str
    broken: pl.Expr


@dataclass(frozen=True, slots=True)
class Split:
    """Accepted rows with the schema's columns and dtypes, and quarantined ones as rows of core__quarantine."""

    accepted: pl.DataFrame
    quarantined: pl.DataFrame


def _ranked(expression: pl.Expr, order: Sequence[str]) -> pl.Expr:
    return expression.replace_strict({w: i for i, w in enumerate(order)}, return_dtype=pl.Int64)


def _word(expression: pl.Expr, order: Sequence[str]) -> pl.Expr:
    return expression.replace_strict(dict(enumerate(order)), return_dtype=pl.String)


def worst_of(column: str | pl.Expr) -> pl.Expr:
    """Worst quality word of a group; nulls are skipped, an empty group gives null."""
    expression = pl.col(column) if isinstance(column, str) else column
    return _word(_ranked(expression, QUALITY_ORDER).max(), QUALITY_ORDER)


def worst(*columns: str | pl.Expr) -> pl.Expr:
    """Worst quality word of several columns, row by row; nulls are skipped."""
    expressions = [pl.col(c) if isinstance(c, str) else c for c in columns]
    return _word(pl.max_horizontal([_ranked(e, QUALITY_ORDER) for e in expressions]), QUALITY_ORDER)


def lowest_status_of(column: str | pl.Expr) -> pl.Expr:
    """Least settled record status of a group: estimated < provisional < verified < approved; nulls are skipped."""
    expression = pl.col(column) if isinstance(column, str) else column
    return _word(_ranked(expression, STATUS_ORDER).min(), STATUS_ORDER)


def of_good_fraction(column: str | pl.Expr) -> pl.Expr:
    """good from 0.90 on, uncertain from 0.50 on, bad below; null is missing."""
    fraction = pl.col(column) if isinstance(column, str) else column
    return (
        pl.when(fraction.is_null())
        .then(pl.lit(MISSING))
        .when(fraction >= GOOD_FRACTION)
        .then(pl.lit(GOOD))
        .when(fraction >= UNCERTAIN_FRACTION)
        .then(pl.lit(UNCERTAIN))
        .otherwise(pl.lit(BAD))
    )


def status_of_letter(column: str | pl.Expr) -> pl.Expr:
    """provisional, verified, approved from P, V, A; a row without a letter is provisional."""
    letter = pl.col(column) if isinstance(column, str) else column
    return letter.str.to_uppercase().replace_strict(
        STATUS_OF_LETTER, default=STATUS_OF_LETTER["P"], return_dtype=pl.String
    )


def known(column: str, ids: Collection[str], what: str) -> Rule:
    """The column's value is one of `ids`; null is left to the schema."""
    return Rule(
        "unknown_id",
        f"{column} stands in no row of {what}: add it there, or correct the source",
        ~pl.col(column).is_in(sorted(ids)),
    )


def within(value: pl.Expr, low: float, high: float, what: str, unit: str) -> Rule:
    """`low` ≤ value ≤ `high` in base units; null passes."""
    return Rule("range", f"{what} is outside {low:g} to {high:g} {unit}", (value < low) | (value > high))


def split(
    frame: pl.DataFrame,
    table: str,
    source: str,
    dataset: str,
    now: datetime,
    *,
    rules: Sequence[Rule] = (),
    label: date | None = None,
    newest_by: Sequence[str] = ("rev_no", "source_updated_at_utc"),
) -> Split:
    """Rows that satisfy the table's schema and `rules`, and the others as rows of core__quarantine.

    Tested in this order, the first broken rule names the row: dtype (text where a number belongs), null and bounds of the
    schema, `rules`, duplicate key. Of rows with one key the newest by `newest_by` is accepted, the last on a tie.
    A nullable column that is not there is null; a missing other column raises ValueError. `label` dates quarantined rows
    that have no production_date of their own (snapshots).
    """
    schema = TABLES[table].schema
    columns = schema.columns()
    missing = [name for name, column in columns.items() if name not in frame.columns and not column.nullable]
    if missing:
        raise ValueError(f"{source} {dataset} came without {', '.join(missing)}: check the site's mapping of {dataset}")
    raw = frame.with_row_index(_ROW)
    typed = raw.select(_ROW, *(_cast(name, column, frame) for name, column in columns.items()))
    faults = [
        Rule("type", f"{name} is no {column.dtype}", pl.lit(raw[name].is_not_null() & typed[name].is_null()))
        for name, column in columns.items()
        if name in frame.columns and frame.schema[name] != column.dtype
    ]
    verdicts = [_verdict(typed, rule) for rule in faults]
    verdicts += _schema_verdicts(typed, schema, [c for c in columns if columns[c].primary_key])
    verdicts += [_verdict(typed, rule) for rule in rules]
    rejected = _first_verdicts(verdicts)
    accepted = typed.join(rejected, on=_ROW, how="anti", maintain_order="left")
    duplicates = _duplicates(accepted, schema.primary_key(), newest_by)
    if not duplicates.is_empty():
        rejected = pl.concat([rejected, duplicates])
        accepted = accepted.join(duplicates, on=_ROW, how="anti", maintain_order="left")
    return Split(accepted.drop(_ROW), _quarantine(raw, typed, rejected, source, dataset, now, label))


def _cast(name: str, column: dy.Column, frame: pl.DataFrame) -> pl.Expr:
    dtype = column.dtype
    if name not in frame.columns:
        return pl.lit(None, dtype=dtype).alias(name)
    have = frame.schema[name]
    if have == dtype:
        return pl.col(name)
    if have == pl.String and dtype == pl.Date:
        return pl.col(name).str.to_date("%Y-%m-%d", strict=False)
    if have == pl.String and isinstance(dtype, pl.Datetime):
        return pl.col(name).str.to_datetime(time_unit="us", time_zone=dtype.time_zone, strict=False)
    if have == pl.Null:
        return pl.lit(None, dtype=dtype).alias(name)
    return pl.col(name).cast(dtype, strict=False)


def _verdict(typed: pl.DataFrame, rule: Rule | tuple[str, str, pl.Series]) -> pl.DataFrame:
    name, reason, broken = (rule.name, rule.reason, rule.broken) if isinstance(rule, Rule) else rule
    return typed.filter(broken).select(
        _ROW, pl.lit(name).alias("rule"), pl.lit(reason, dtype=pl.String).alias("reason")
    )


def _schema_verdicts(typed: pl.DataFrame, schema: type[dy.Schema], key: Sequence[str]) -> list[pl.DataFrame]:
    """What dataframely's filter rejects. It also wants unique keys, so the n-th rows of each key are tested together."""
    occurrence = pl.int_range(pl.len()).over(key) if key else pl.lit(0)
    verdicts = []
    for part in typed.with_columns(occurrence.alias(_OCCURRENCE)).partition_by(_OCCURRENCE, maintain_order=True):
        _, failure = schema.filter(part.drop(_ROW, _OCCURRENCE))
        if len(failure) == 0:
            continue
        details = failure.details().join(part.select(_ROW, *key), on=list(key), how="left", nulls_equal=True)
        for rule in failure.counts():
            name, reason = _explain(rule)
            verdicts.append(_verdict(details, (name, reason, details[rule] == "invalid")))
    return verdicts


def _explain(rule: str) -> tuple[str, str]:
    column, _, check = rule.partition("|")
    words = {
        "nullability": ("null", f"{column} is empty"),
        "min": ("range", f"{column} is below its lower bound"),
        "max": ("range", f"{column} is above its upper bound"),
        "min_length": ("null", f"{column} is empty"),
        "regex": ("vocabulary", f"{column} is none of the allowed words"),
        "nan": ("type", f"{column} is not a number"),
        "inf": ("range", f"{column} is infinite"),
    }
    return words.get(check, (check or rule, f"{column} breaks {check or rule}"))


def _first_verdicts(verdicts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    empty = pl.DataFrame(schema={_ROW: pl.UInt32, "rule": pl.String, "reason": pl.String})
    found = pl.concat([empty, *(v.cast({_ROW: pl.UInt32}) for v in verdicts)])
    return found.unique(_ROW, keep="first", maintain_order=True)


def _duplicates(accepted: pl.DataFrame, key: Sequence[str], newest_by: Sequence[str]) -> pl.DataFrame:
    order = [c for c in newest_by if c in accepted.columns]
    newest = accepted.sort([*order, _ROW], nulls_last=False).unique(list(key), keep="last", maintain_order=True)
    reason = f"another row of the same {', '.join(key)} is newer or stands later"
    return accepted.join(newest.select(_ROW), on=_ROW, how="anti", maintain_order="left").select(
        pl.col(_ROW).cast(pl.UInt32), pl.lit("duplicate_key").alias("rule"), pl.lit(reason).alias("reason")
    )


def _quarantine(
    raw: pl.DataFrame,
    typed: pl.DataFrame,
    rejected: pl.DataFrame,
    source: str,
    dataset: str,
    now: datetime,
    label: date | None,
) -> pl.DataFrame:
    if rejected.is_empty():
        return NO_QUARANTINE
    day = pl.col("production_date") if "production_date" in typed.columns else pl.lit(None, dtype=pl.Date)
    content = raw.select(_ROW, pl.struct(pl.exclude(_ROW)).struct.json_encode().alias("raw"))
    found = (
        rejected.join(content, on=_ROW, how="left")
        .join(typed.select(_ROW, day.alias("production_date")), on=_ROW, how="left")
        .with_columns(pl.col("production_date").fill_null(label or now.date()))
        .sort(_ROW)
    )
    seen: dict[str, int] = {}
    ids = []
    for rule, content_text in found.select("rule", "raw").iter_rows():
        text = f"{rule}\n{content_text}"
        # The same row twice is two rejected rows: its ordinal keeps them apart.
        ordinal = seen[text] = seen.get(text, -1) + 1
        ids.append(hashlib.sha256(f"{text}\n{ordinal}".encode()).hexdigest()[:32])
    return found.with_columns(
        pl.Series("row_id", ids, dtype=pl.String),
        pl.lit(source).alias("source"),
        pl.lit(dataset).alias("dataset"),
        pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("rejected_at_utc"),
    ).select([pl.col(name).cast(dtype) for name, dtype in QUARANTINE_SCHEMA.items()])
