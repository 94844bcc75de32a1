"""The archive of a replayed PI server: points, digital sets and the recorded values of each point in order of time.

Values of all points stand in one frame, sorted; a point is a range of it, so that a read is two binary searches
and a slice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.simulators.replay import ReplayError, as_utc, read_table, table, tables

# Code and display name of PI's system states; names of the rarer ones vary between releases.
SYSTEM_STATES: dict[int, str] = {
    210: "Access Denied",
    211: "No Sample",
    212: "No Result",
    213: "Unit Down",
    214: "Sample Bad",
    215: "Equip Fail",
    216: "No Lab Data",
    217: "Trace",
    233: "DCS failed",
    237: "Bad Output",
    238: "Scan Off",
    239: "Scan On",
    240: "Configure",
    241: "Failed",
    242: "Error",
    243: "Execute",
    244: "Filtered",
    245: "Calc Off",
    246: "I/O Timeout",
    247: "Set to Bad",
    248: "No Data",
    249: "Calc Failed",
    250: "Calc Overflow",
    251: "Under Range",
    252: "Over Range",
    253: "Pt Created",
    254: "Shutdown",
    255: "Bad Input",
    256: "Bad Total",
}

VALUE_COLUMNS: dict[str, Any] = {
    "Value": pl.Float64,
    "State": pl.Int16,
    "Good": pl.Boolean,
    "Questionable": pl.Boolean,
    "Substituted": pl.Boolean,
}
INTEGER_TYPES = frozenset({"Int16", "Int32"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Microseconds since 1970 in UTC."""
    return (instant - EPOCH) // MICROSECOND


def instant(microseconds: int) -> datetime:
    """The instant of microseconds since 1970 in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point and the range [start, stop) of the archive's rows that are its values."""

    point_id: int
    name: str
    descriptor: str
    units: str
    point_type: str
    digital_set: str
    step: bool
    span: float
    zero: float
    start: int
    stop: int


class PiReplay:
    """The archive of a replay folder's ``pi``; an absent folder has no points."""

    def __init__(self, folder: Path) -> None:
        listed = _points(folder)
        self.times, self.values, ranges = _archive(folder / "values", listed["Name"].to_list())
        self.points = [_point(row, ranges) for row in listed.iter_rows(named=True)]
        self.by_id = {point.point_id: point for point in self.points}
        self.by_name = {point.name.upper(): point for point in self.points}
        if len(self.by_id) != len(self.points) or len(self.by_name) != len(self.points):
            message = f"{folder}: a point id or a point name stands twice"
            raise ReplayError(message)
        self.digital_sets = _digital_sets(folder)

    def rows(self, point: Point, first: int, last: int) -> tuple[int, int]:
        """The row range [start, stop) of a point's values from ``first`` to ``last``, both included (microseconds)."""
        own = self.times[point.start : point.stop]
        start = int(np.searchsorted(own, first, side="left"))
        stop = int(np.searchsorted(own, last, side="right"))
        return point.start + start, point.start + max(start, stop)


def _points(folder: Path) -> pl.DataFrame:
    columns = {
        "Name": pl.String,
        "Id": pl.Int32,
        "Descriptor": pl.String,
        "EngineeringUnits": pl.String,
        "PointType": pl.String,
        "DigitalSetName": pl.String,
        "Step": pl.Boolean,
        "Span": pl.Float64,
        "Zero": pl.Float64,
    }
    listed = table(folder, "points") if folder.is_dir() else None
    if listed is None:
        return pl.DataFrame(schema=columns)
    if "Name" not in listed.columns:
        message = f"{folder}: points lacks the column Name"
        raise ReplayError(message)
    if "Id" not in listed.columns:
        listed = listed.with_row_index("Id", offset=1)
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in columns.items() if name not in listed.columns]
    flag = pl.col("Step").cast(pl.String).str.to_lowercase().is_in(["true", "1", "yes"])
    return (
        listed.with_columns(absent)
        .with_columns(flag.alias("Step"))
        .select(pl.col(name).cast(dtype) for name, dtype in columns.items())
    )


def _archive(folder: Path, names: list[str]) -> tuple[npt.NDArray[np.int64], pl.DataFrame, dict[str, tuple[int, int]]]:
    """Times and values of all points, sorted by point and time, and each point's row range."""
    numbers = pl.DataFrame(
        {"Name": names, "__point": range(len(names))}, schema={"Name": pl.String, "__point": pl.Int32}
    )
    read = [_values(path, numbers) for path in (tables(folder) if folder.is_dir() else [])]
    empty = pl.DataFrame(schema={"__point": pl.Int32, "__time": pl.Int64, **VALUE_COLUMNS})
    frame = pl.concat([empty, *read]).sort("__point", "__time", maintain_order=True)
    owners = frame["__point"].to_numpy()
    starts = np.searchsorted(owners, np.arange(len(names)), side="left")
    stops = np.searchsorted(owners, np.arange(len(names)), side="right")
    ranges = {name: (int(a), int(b)) for name, a, b in zip(names, starts, stops, strict=True)}
    times = np.ascontiguousarray(frame["__time"].to_numpy())
    return times, frame.drop("__point", "__time").rechunk(), ranges


def _values(path: Path, numbers: pl.DataFrame) -> pl.DataFrame:
    frame = read_table(path)
    missing = {"Name", "Timestamp", "Value"} - set(frame.columns)
    if missing:
        message = f"{path}: lacks the columns {', '.join(sorted(missing))}"
        raise ReplayError(message)
    defaults = {"State": None, "Good": None, "Questionable": False, "Substituted": False}
    absent = [pl.lit(value).alias(name) for name, value in defaults.items() if name not in frame.columns]
    frame = frame.with_columns(absent).with_columns(
        as_utc(frame["Timestamp"], path).dt.timestamp("us").alias("__time"), pl.col("Name").cast(pl.String)
    )
    frame = frame.with_columns(pl.col("Good").cast(pl.Boolean).fill_null(pl.col("State").is_null()))
    joined = frame.join(numbers, on="Name", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("__point").is_null())["Name"].unique().sort().to_list()
    if unknown:
        message = f"{path}: values of points that points does not list: {', '.join(map(str, unknown[:5]))}"
        raise ReplayError(message)
    return joined.select("__point", "__time", *(pl.col(name).cast(dtype) for name, dtype in VALUE_COLUMNS.items()))


def _point(row: dict[str, Any], ranges: dict[str, tuple[int, int]]) -> Point:
    start, stop = ranges[row["Name"]]
    return Point(
        point_id=row["Id"],
        name=row["Name"],
        descriptor=row["Descriptor"] or "",
        units=row["EngineeringUnits"] or "",
        point_type=row["PointType"] or "Float64",
        digital_set=row["DigitalSetName"] or "",
        step=bool(row["Step"]),
        span=100.0 if row["Span"] is None else row["Span"],
        zero=0.0 if row["Zero"] is None else row["Zero"],
        start=start,
        stop=stop,
    )


def _digital_sets(folder: Path) -> dict[str, dict[int, str]]:
    """Names of the states of each digital set, the system's own among them."""
    sets: dict[str, dict[int, str]] = {"System": dict(SYSTEM_STATES)}
    listed = table(folder, "digital_sets") if folder.is_dir() else None
    rows: Iterable[tuple[Any, ...]] = [] if listed is None else listed.select("set", "name", "value").iter_rows()
    for owner, name, value in rows:
        sets.setdefault(owner, {})[int(value)] = str(name)
    return sets
