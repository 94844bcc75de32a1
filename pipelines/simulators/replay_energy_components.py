"""The views of a replayed Energy Components, as they stand at an instant of the server's clock.

``VISIBLE_FROM`` says from when on a row exists; of several visible rows with one key the highest REV_NO is served.
``views.toml`` may name each view's key, day column and end column.
"""

from __future__ import annotations

import bisect
import threading
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.simulators.replay import ReplayError, as_utc, read_table, tables

VISIBLE_FROM = "VISIBLE_FROM"
REVISION = "REV_NO"
DEFAULT_DAY_COLUMN = "DAYTIME"
UPDATED_COLUMNS = ("LAST_UPDATED_UTC", "LAST_UPDATED_DATE")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """What ``views.toml`` says of one view."""

    key: tuple[str, ...] = ()
    day_column: str | None = None
    end_column: str | None = None


class View:
    """One view: its rows of all times, and those that are visible at an instant."""

    def __init__(self, name: str, frame: pl.DataFrame, settings: ViewSettings, path: Path) -> None:
        self.name = name
        self.settings = settings
        missing = [
            column
            for column in (*settings.key, settings.day_column, settings.end_column)
            if column is not None and column not in frame.columns
        ]
        if missing:
            message = f"{path}: views.toml names columns that the file lacks: {', '.join(missing)}"
            raise ReplayError(message)
        if VISIBLE_FROM in frame.columns:
            frame = frame.with_columns(as_utc(frame[VISIBLE_FROM], path))
            self._changes: list[datetime] = frame[VISIBLE_FROM].drop_nulls().unique().sort().to_list()
        else:
            self._changes = []
        self._frame = frame
        self._lock = threading.Lock()
        self._cached: tuple[int, pl.DataFrame] | None = None
        self.day_column = settings.day_column or _day_column(frame)
        self.updated_column = next((name for name in UPDATED_COLUMNS if name in frame.columns), None)
        self._edits = 0

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """Names and types as served."""
        return {name: dtype for name, dtype in self._frame.schema.items() if name != VISIBLE_FROM}

    def version(self, now: datetime) -> int:
        """A number that changes when what is visible changes."""
        return bisect.bisect_right(self._changes, now) + (len(self._changes) + 1) * self._edits

    def put(self, *rows: Mapping[str, Any]) -> None:
        """Add rows, visible at once; columns that a row leaves out are null. One with a known key needs a higher REV_NO."""
        self._edit(pl.concat([self._frame, pl.DataFrame(list(rows), schema=self._frame.schema, orient="row")]))

    def remove(self, where: pl.Expr) -> None:
        """Delete rows of all times, as a person does: without a trace."""
        self._edit(self._frame.filter(~where))

    def _edit(self, frame: pl.DataFrame) -> None:
        with self._lock:
            self._frame, self._cached = frame, None
            self._edits += 1

    def updated_since(self, frame: pl.DataFrame, since: datetime) -> pl.DataFrame:
        """Of these rows those last updated at ``since`` or later; an instant without a zone is UTC."""
        if self.updated_column is None:
            return frame
        column = pl.col(self.updated_column)
        dtype = frame.schema[self.updated_column]
        if dtype == pl.String:
            column, dtype = column.str.to_datetime(time_zone="UTC", strict=False), pl.Datetime("us", "UTC")
        bound = since.astimezone(UTC)
        is_zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
        return frame.filter(column >= (bound if is_zoned else bound.replace(tzinfo=None)))

    def visible(self, now: datetime) -> pl.DataFrame:
        """The rows that exist at ``now``, in file order, without the column that said so."""
        version = self.version(now)
        with self._lock:
            if self._cached is None or self._cached[0] != version:
                self._cached = version, self._resolve(now)
            return self._cached[1]

    def between(self, now: datetime, first: date | None, end: date | None) -> pl.DataFrame:
        """Visible rows of the days from ``first`` up to, not including, ``end``.

        With an end column, rows that overlap those days, open ones (null) included. Without a day column, all rows.
        """
        frame = self.visible(now)
        if self.day_column is None:
            return frame
        column, finish = pl.col(self.day_column), self.settings.end_column
        dtype = frame.schema[self.day_column]
        if end is not None:
            frame = frame.filter(column < _bound(end, dtype))
        if first is not None and finish is not None:
            opened = pl.col(finish).is_null()
            last = pl.col(finish)
            # A day that is named as the end is part of the event; an instant is not.
            ends = frame.schema[finish]
            frame = frame.filter(opened | ((last >= first) if ends == pl.Date else (last > _bound(first, ends))))
        elif first is not None:
            frame = frame.filter(column >= _bound(first, dtype))
        return frame

    def _resolve(self, now: datetime) -> pl.DataFrame:
        frame = self._frame
        if VISIBLE_FROM in frame.columns:
            frame = frame.filter(pl.col(VISIBLE_FROM).is_null() | (pl.col(VISIBLE_FROM) <= now)).drop(VISIBLE_FROM)
        if self.settings.key and REVISION in frame.columns:
            frame = (
                frame.with_row_index("__row")
                .sort(REVISION, "__row", nulls_last=False)
                .unique(subset=list(self.settings.key), keep="last", maintain_order=True)
                .sort("__row")
                .drop("__row")
            )
        return frame


class EnergyComponentsReplay:
    """All views of a replay folder's ``energy_components``; an absent folder has none."""

    def __init__(self, folder: Path) -> None:
        described = _settings(folder / "views.toml")
        self.views: dict[str, View] = {}
        for path in tables(folder) if folder.is_dir() else []:
            name = path.stem.upper()
            frame = read_table(path)
            frame = frame.rename({column: column.upper() for column in frame.columns})
            self.views[name] = View(name, frame, described.pop(name, ViewSettings()), path)
        if described:
            message = f"{folder / 'views.toml'}: no file for the views {', '.join(sorted(described))}"
            raise ReplayError(message)

    def version(self, now: datetime) -> tuple[int, ...]:
        """Changes when the visible content of any view changes."""
        return tuple(view.version(now) for view in self.views.values())


def _settings(path: Path) -> dict[str, ViewSettings]:
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return {
            name.upper(): ViewSettings(
                key=_names(view.get("key", ())), day_column=view.get("day_column"), end_column=view.get("end_column")
            )
            for name, view in content.get("views", content).items()
        }
    except (tomllib.TOMLDecodeError, AttributeError) as error:
        message = f"{path}: {error}"
        raise ReplayError(message) from error


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.upper() for name in names)


def _day_column(frame: pl.DataFrame) -> str | None:
    """DAYTIME, else the first column that holds dates."""
    if DEFAULT_DAY_COLUMN in frame.columns:
        return DEFAULT_DAY_COLUMN
    dated = (name for name, dtype in frame.schema.items() if dtype == pl.Date)
    return next(dated, None)


def _bound(day: date, dtype: pl.DataType) -> pl.Expr:
    """``day`` at 00:00 as a literal of the column's type."""
    if isinstance(dtype, pl.Datetime):
        return (
            pl.lit(datetime(day.year, day.month, day.day)).cast(pl.Datetime("us")).dt.replace_time_zone(dtype.time_zone)
        )
    return pl.lit(day)


def days(first: date, end: date) -> list[date]:
    """The days from ``first`` up to, not including, ``end``."""
    return [first + timedelta(days=offset) for offset in range((end - first).days)]
