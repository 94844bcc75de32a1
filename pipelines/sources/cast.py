"""Received values to canonical columns, by the mapping's types; a row that does not parse is set aside, never dropped.

Columns of the right kind are cast whole; only a column that fails is parsed value by value. Empty texts are null, as
Oracle has it. Nothing is converted to other units here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite, isnan
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from pipelines.sources.extract import REJECTED_SCHEMA
from pipelines.sources.mapping import ColumnMapping, FieldType

Rows = Sequence[Mapping[str, Any]]
# Day 0 of Excel's 1900 system; its invented 29 February 1900 makes days before 61 ambiguous.
_EXCEL_DAY_0 = datetime(1899, 12, 30)
_EXCEL_FIRST, _EXCEL_LAST = 61.0, 2_958_466.0
_TRUE = frozenset({"y", "yes", "true", "t", "1", "1.0", "j", "ja"})
_FALSE = frozenset({"n", "no", "false", "f", "0", "0.0", "nei"})


class Cast(NamedTuple):
    """Rows in canonical columns, and the rows set aside (rule, reason, raw)."""

    frame: pl.DataFrame
    rejected: pl.DataFrame


def dtype_of(column: ColumnMapping) -> pl.DataType:
    """The column's dtype: an instant has a zone exactly when its name ends in `_at_utc`."""
    kind = column.type or "text"
    if kind == "datetime":
        return pl.Datetime("us", "UTC" if column.canonical.endswith("_at_utc") else None)
    plain: dict[str, pl.DataType] = {
        "text": pl.String(),
        "float": pl.Float64(),
        "int": pl.Int64(),
        "bool": pl.Boolean(),
        "date": pl.Date(),
    }
    return plain[kind]


def schema_of(columns: Sequence[ColumnMapping]) -> pl.Schema:
    """Canonical names and dtypes in the mapping's order."""
    return pl.Schema([(column.canonical, dtype_of(column)) for column in columns])


def cast_to_canonical(
    table: pl.DataFrame | Rows, columns: Sequence[ColumnMapping], *, zone: str = "UTC", excel: bool = False
) -> Cast:
    """Cast a frame or rows of the source to canonical columns.

    `zone` is that of instants without an offset and of the days that instants fall on, where a column names no other.
    With `excel`, numbers where a date is due are serial dates. A row with at least one value that does not parse
    stands in `rejected` with its first such column as rule, every reason, and the whole row as JSON.
    """
    count = len(table)
    faults: dict[int, list[tuple[str, str]]] = {}
    series = []
    for column in columns:
        if column.source:
            values = _received(table, column)
            cast, failed = _cast_column(values, column, ZoneInfo(column.zone or zone), excel)
        else:
            value, _ = _cast_column([column.constant], column, ZoneInfo(column.zone or zone), excel)
            cast, failed = value.new_from_index(0, count) if count else value.clear(), {}
        series.append(cast.alias(column.canonical))
        for position, reason in failed.items():
            faults.setdefault(position, []).append((f"{column.canonical}_is_{column.type or 'text'}", reason))
    frame = pl.DataFrame(series) if series else pl.DataFrame()
    if not faults:
        return Cast(frame, REJECTED_SCHEMA.to_frame())
    rejected = pl.DataFrame(
        {
            "rule": [found[0][0] for found in faults.values()],
            "reason": ["; ".join(reason for _, reason in found) for found in faults.values()],
            "raw": [_row_json(table, position) for position in faults],
        },
        schema=REJECTED_SCHEMA,
    )
    kept = pl.Series("kept", [position not in faults for position in range(count)], dtype=pl.Boolean)
    return Cast(frame.filter(kept), rejected)


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON pointer names; None where there is nothing."""
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _received(table: pl.DataFrame | Rows, column: ColumnMapping) -> pl.Series | list[Any]:
    name = column.source
    if isinstance(table, pl.DataFrame):
        return table[name] if name in table.columns else pl.repeat(None, table.height, dtype=pl.Null, eager=True)
    if name.startswith("/"):
        return [pointed(row, name) for row in table]
    return [row.get(name) for row in table]


def _row_json(table: pl.DataFrame | Rows, position: int) -> str:
    row = table.row(position, named=True) if isinstance(table, pl.DataFrame) else table[position]
    return msgspec.json.encode(row, enc_hook=str, order="sorted").decode()


def _cast_column(
    values: pl.Series | list[Any], column: ColumnMapping, zone: ZoneInfo, excel: bool
) -> tuple[pl.Series, dict[int, str]]:
    kind: FieldType = column.type or "text"
    dtype = dtype_of(column)
    whole = _whole(values, kind, dtype, zone)
    if whole is not None:
        return whole, {}
    parsed: list[Any] = []
    failed: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            parsed.append(parse_value(value, kind, zone=zone, to_utc=dtype == _UTC, excel=excel))
        except (ValueError, OverflowError):
            parsed.append(None)
            shown = repr(value)
            failed[position] = f"{column.canonical}: {shown if len(shown) <= 80 else shown[:79] + '…'} is no {kind}"
    return pl.Series(column.canonical, parsed, dtype=dtype), failed


_UTC = pl.Datetime("us", "UTC")
# A truth value would pass for 0 or 1.
_NUMBERS = frozenset({float, int, type(None)})


def _whole(values: pl.Series | list[Any], kind: FieldType, dtype: pl.DataType, zone: ZoneInfo) -> pl.Series | None:
    """The column cast at once, or None when some value needs a closer look."""
    if isinstance(values, pl.Series):
        series = values
    else:
        kinds = {value.__class__ for value in values}
        if kind == "float" and not kinds <= _NUMBERS:
            return None
        try:
            series = pl.Series(values, dtype=pl.Float64() if kind == "float" else None, strict=True)
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            return None
    given = series.dtype
    if given == pl.Null:
        return series.cast(dtype)
    if kind == "text" and given == pl.String:
        stripped = series.str.strip_chars()
        return stripped.set(stripped == "", None)
    if kind == "float" and (given.is_float() or given.is_integer()):
        numbers = series.cast(pl.Float64).fill_nan(None)
        return None if numbers.is_infinite().any() else numbers
    if kind == "int" and given.is_integer():
        whole = series.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == series.null_count() else None
    if kind == "bool" and given == pl.Boolean:
        return series
    if kind == "date" and given == pl.Date:
        return series
    if kind in ("date", "datetime") and isinstance(given, pl.Datetime):
        return _instants(series.cast(pl.Datetime("us", given.time_zone)), given.time_zone, kind, dtype, zone)
    if kind == "date" and given == pl.String:
        days = series.str.to_date("%Y-%m-%d", strict=False)
        if days.null_count() == series.null_count():
            return days
    if kind in ("date", "datetime") and given == pl.String:
        return _iso_instants(series, kind, dtype, zone)
    return None


def _iso_instants(series: pl.Series, kind: FieldType, dtype: pl.DataType, zone: ZoneInfo) -> pl.Series | None:
    """ISO texts that all end in Z, or all have no offset; None for any other mix."""
    for form, given in (("%Y-%m-%dT%H:%M:%S%.fZ", "UTC"), ("%Y-%m-%dT%H:%M:%S%.f", None)):
        parsed = series.str.to_datetime(form, time_unit="us", strict=False)
        if parsed.null_count() == series.null_count():
            placed = parsed if given is None else parsed.dt.replace_time_zone(given)
            return _instants(placed, given, kind, dtype, zone)
    return None


def _instants(series: pl.Series, given: str | None, kind: FieldType, dtype: pl.DataType, zone: ZoneInfo) -> pl.Series:
    if given is not None:
        local = series.dt.convert_time_zone(zone.key).dt.replace_time_zone(None)
        if kind == "date":
            return local.dt.date()
        return series.dt.convert_time_zone("UTC") if dtype == _UTC else local
    if kind == "date":
        return series.dt.date()
    if dtype != _UTC:
        return series
    # An hour that the clock shows twice is taken as its first; one that it skips cannot have been stamped honestly.
    placed = series.dt.replace_time_zone(zone.key, ambiguous="earliest", non_existent="null")
    if placed.null_count() != series.null_count():
        placed = placed.fill_null(
            (series + timedelta(hours=1)).dt.replace_time_zone(zone.key, ambiguous="earliest", non_existent="null")
        )
    return placed.dt.convert_time_zone("UTC")


def parse_value(value: Any, kind: FieldType, *, zone: ZoneInfo, to_utc: bool = False, excel: bool = False) -> Any:
    """One value as `kind`; None for None, an empty text and NaN. Raises ValueError for what is none."""
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "" or (isinstance(value, float) and isnan(value)):
        return None
    if kind == "text":
        return _text(value)
    if kind == "float":
        return _float(value)
    if kind == "int":
        number = value if isinstance(value, int) and not isinstance(value, bool) else _whole_number(value)
        if not -(2**63) <= number < 2**63:
            raise ValueError(value)
        return number
    if kind == "bool":
        return _bool(value)
    at = _instant(value, excel)
    if kind == "date":
        return at if not isinstance(at, datetime) else (at.astimezone(zone) if at.tzinfo else at).date()
    if not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day)
    if to_utc:
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    return at.astimezone(zone).replace(tzinfo=None) if at.tzinfo else at


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        # A code that the source keeps as a number: 17, not 17.0.
        return str(int(value))
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return ";".join(_text(each) for each in value)
    if isinstance(value, Mapping):
        # SharePoint's lookup, person and hyperlink values.
        shown = next((value[name] for name in ("LookupValue", "Url", "Description") if value.get(name)), None)
        if shown is None:
            raise ValueError(value)
        return _text(shown)
    return str(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError(value)
    number = float(value)
    # A text "NaN" is a word, not a missing value; a thousands comma could be a decimal one.
    if not isfinite(number):
        raise ValueError(value)
    return number


def _whole_number(value: Any) -> int:
    if isinstance(value, str) and value.lstrip("+-").isdecimal():
        return int(value)
    number = _float(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def _bool(value: Any) -> bool:
    word = str(value).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(value)


def _instant(value: Any, excel: bool) -> datetime | date:
    if isinstance(value, (datetime, date)):
        return value
    if excel and not isinstance(value, bool):
        serial = _serial(value)
        if serial is not None:
            if not _EXCEL_FIRST <= serial < _EXCEL_LAST:
                raise ValueError(value)
            # Serials carry binary fractions of a day: to the second is what a cell shows.
            return _EXCEL_DAY_0 + timedelta(seconds=round(serial * 86_400))
    if not isinstance(value, str):
        raise ValueError(value)
    if len(value) == 10:
        return date.fromisoformat(value)
    return datetime.fromisoformat(value)


def _serial(value: Any) -> float | None:
    try:
        return _float(value)
    except ValueError:
        return None
