"""Recorded values as JSON text, made column by column: no object per value.

Numbers, digital states, system states and per-value errors take the shapes that the vendor gives them; timestamps
are UTC with as few fractional digits as they need, up to seven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.simulators.replay_pi import INTEGER_TYPES, SYSTEM_STATES, PiReplay, Point

ITEM_FIELDS = ("timestamp", "value", "unitsabbreviation", "good", "questionable", "substituted", "annotated", "errors")
VALUE_ERROR = '{"FieldName":"Value","Message":["The value could not be retrieved from the archive."]}'


@dataclass(frozen=True, slots=True)
class Run:
    """Values of one point as they will be written: times in microseconds and the value columns, in order."""

    point: Point
    times: npt.NDArray[np.int64]
    values: pl.DataFrame


def encode_runs(replay: PiReplay, runs: Sequence[Run], fields: frozenset[str] | None) -> list[bytes]:
    """For each run, its items as JSON objects parted by commas; ``fields`` (lower case) selects, null takes all.

    Runs of floating-point points are encoded together, which is what makes a wide answer fast.
    """
    wanted = frozenset(ITEM_FIELDS) if fields is None else fields
    texts: list[bytes] = [b""] * len(runs)
    numeric = [number for number, run in enumerate(runs) if _is_float(run.point)]
    groups = [numeric] if numeric else []
    groups += [[number] for number, run in enumerate(runs) if not _is_float(run.point)]
    for group in groups:
        chosen = [runs[number] for number in group if len(runs[number].times)]
        written = iter(_encode(replay, chosen, wanted) if chosen else [])
        for number in group:
            if len(runs[number].times):
                texts[number] = next(written)
    return texts


def timestamps(times: npt.NDArray[np.int64]) -> pl.Series:
    """Instants as text without the closing Z, trailing zeros dropped; a seventh digit where there are micros."""
    series = pl.Series("t", times).cast(pl.Datetime("us"))
    fraction = times % 1_000_000
    seconds = series.dt.strftime("%Y-%m-%dT%H:%M:%S")
    if not fraction.any():
        return seconds
    # The archive resolves 100 ns: the seventh digit is made from the micros, so that a reader has to cut it.
    ticks = np.where(fraction % 1000 > 0, fraction * 10 + fraction % 9 + 1, fraction * 10)
    digits = pl.Series("f", ticks).cast(pl.String).str.zfill(7).str.strip_chars_end("0")
    parts = pl.DataFrame({"seconds": seconds, "digits": digits})
    whole = pl.col("digits") == ""
    return parts.select(
        pl.when(whole).then(pl.col("seconds")).otherwise(pl.concat_str("seconds", pl.lit("."), "digits"))
    ).to_series()


def _is_float(point: Point) -> bool:
    return point.point_type not in INTEGER_TYPES and point.point_type != "Digital"


def _encode(replay: PiReplay, runs: Sequence[Run], wanted: frozenset[str]) -> list[bytes]:
    times = np.concatenate([run.times for run in runs])
    frame = pl.concat([run.values for run in runs], rechunk=True)
    sizes = [len(run.times) for run in runs]
    parts: list[pl.Expr] = []
    columns: list[pl.Series] = []
    if "timestamp" in wanted:
        columns.append(pl.Series("__time", timestamps(times)))
        parts += [pl.lit(',"Timestamp":"'), pl.col("__time"), pl.lit('Z"')]
    if "value" in wanted:
        parts += [pl.lit(',"Value":'), _value(replay, runs[0].point, frame)]
    if "unitsabbreviation" in wanted:
        units = [msgspec.json.encode(run.point.units).decode() for run in runs]
        owners = pl.Series("__run", np.repeat(np.arange(len(runs), dtype=np.uint32), sizes))
        columns.append(pl.Series("__unit", units).gather(owners).alias("__unit"))
        parts += [pl.lit(',"UnitsAbbreviation":'), pl.col("__unit")]
    parts.append(_flags(frame, wanted, is_alone=not parts))
    # Each field brings the comma before it; the first comma of an object is the one to drop.
    body = pl.concat_str(*parts).str.slice(1) if not parts[:-1] else pl.concat_str(_without_comma(parts[0]), *parts[1:])
    whole = frame.with_columns(columns).select(pl.concat_str(pl.lit("{"), body, pl.lit("},"))).to_series()
    return _split(whole, sizes)


def _without_comma(literal: pl.Expr) -> pl.Expr:
    return literal.str.strip_prefix(",")


def _value(replay: PiReplay, point: Point, frame: pl.DataFrame) -> pl.Expr:
    """The value as JSON: number, state object, or null."""
    if point.point_type == "Digital":
        names = replay.digital_sets.get(point.digital_set, {})
        objects = {code: _state(name, code, is_system=False) for code, name in names.items()}
        code = pl.col("Value").cast(pl.Int32)
        number = code.replace_strict(objects, default=code.cast(pl.String), return_dtype=pl.String) if objects else code
        text = number.cast(pl.String)
    elif point.point_type in INTEGER_TYPES:
        text = pl.col("Value").cast(pl.Int64).cast(pl.String)
    else:
        text = pl.col("Value").fill_nan(None).cast(pl.String)
    codes = frame["State"].drop_nulls().unique().to_list()
    if codes:
        states = {code: _state(SYSTEM_STATES.get(code, f"State {code}"), code, is_system=True) for code in codes}
        state = pl.col("State").replace_strict(states, default=None, return_dtype=pl.String)
        text = pl.when(pl.col("State").is_not_null()).then(state).otherwise(text)
    return text.fill_null("null")


def _state(name: str, code: int, *, is_system: bool) -> str:
    return msgspec.json.encode({"Name": name, "Value": code, "IsSystem": is_system}).decode()


def _flags(frame: pl.DataFrame, wanted: frozenset[str], *, is_alone: bool) -> pl.Expr:
    """Good, Questionable, Substituted, Annotated and Errors as one constant text per combination that occurs.

    Alone in the object, the text stands in a column, since a literal would not be repeated for each row.
    """
    error = pl.col("Value").is_null() & pl.col("State").is_null()
    keys = frame.select(
        (
            (pl.col("Good") & ~error).cast(pl.UInt8)
            + pl.col("Questionable").cast(pl.UInt8) * 2
            + pl.col("Substituted").cast(pl.UInt8) * 4
            + error.cast(pl.UInt8) * 8
        ).alias("key")
    ).to_series()
    texts = {key: _flag_text(key, wanted) for key in keys.unique().to_list()}
    if len(texts) == 1 and not is_alone:
        return pl.lit(next(iter(texts.values())))
    return pl.lit(keys.replace_strict(texts, return_dtype=pl.String))


def _flag_text(key: int, wanted: frozenset[str]) -> str:
    shown = {
        "good": f'"Good":{_boolean(key & 1)}',
        "questionable": f'"Questionable":{_boolean(key & 2)}',
        "substituted": f'"Substituted":{_boolean(key & 4)}',
        "annotated": '"Annotated":false',
    }
    texts = [text for name, text in shown.items() if name in wanted]
    if key & 8 and "errors" in wanted:
        texts.append(f'"Errors":[{VALUE_ERROR}]')
    return "".join(f",{text}" for text in texts)


def _boolean(bit: int) -> str:
    return "true" if bit else "false"


def _split(whole: pl.Series, sizes: Sequence[int]) -> list[bytes]:
    """The joined text of each run, cut from one contiguous buffer; the last comma of each is dropped."""
    array = whole.rechunk().to_arrow()
    buffers = array.buffers()
    offsets = np.frombuffer(buffers[1], dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    text = memoryview(buffers[2])
    ends = np.cumsum(sizes)
    return [
        bytes(text[int(offsets[end - size]) : int(offsets[end]) - 1]) for size, end in zip(sizes, ends, strict=True)
    ]
