"""A replay folder: the files that the simulated systems serve, one subfolder for each system.

Tables may be Parquet or CSV. The folder ``truth`` beside them belongs to the tests and is never opened here.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

TABLE_SUFFIXES = (".parquet", ".csv")


class ReplayError(ValueError):
    """A replay folder cannot be served: which file, what is wrong with it."""


def tables(folder: Path) -> list[Path]:
    """The table files of a folder, by name; two files of one name and different suffix are a fault."""
    found = sorted(path for path in folder.glob("*") if path.suffix in TABLE_SUFFIXES)
    names = [path.stem for path in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f"{folder}: these tables stand twice, as Parquet and as CSV: {', '.join(twice)}"
        raise ReplayError(message)
    return found


def table(folder: Path, name: str) -> pl.DataFrame | None:
    """The table ``name`` of a folder as a frame, or none when there is no such file."""
    path = next(
        (folder / f"{name}{suffix}" for suffix in TABLE_SUFFIXES if (folder / f"{name}{suffix}").exists()), None
    )
    return None if path is None else read_table(path)


def read_table(path: Path) -> pl.DataFrame:
    """One table; CSV types are inferred from the whole file, dates and instants included. Empty cells are null."""
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        message = f"{path}: not readable as {path.suffix[1:]}: {error}"
        raise ReplayError(message) from error


def as_utc(column: pl.Series, path: Path) -> pl.Series:
    """An instant column as microseconds in UTC; naive values are UTC already, text is ISO 8601."""
    if column.dtype == pl.String:
        column = column.str.to_datetime(time_unit="us", time_zone="UTC", strict=True)
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime):
        message = f"{path}: column {column.name} holds {column.dtype}, not instants"
        raise ReplayError(message)
    column = column.dt.cast_time_unit("us")
    if getattr(column.dtype, "time_zone", None) is None:
        return column.dt.replace_time_zone("UTC")
    return column.dt.convert_time_zone("UTC")
