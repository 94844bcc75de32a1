"""A replayed SharePoint site: its lists with their columns, and the folder that stands for its document library.

``<list>.columns.toml`` gives, per display name, ``internal`` and ``kind``. Lists can be edited while they are served,
so that changes and deletions can be asked for.
"""

from __future__ import annotations

import threading
import tomllib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import polars as pl

from pipelines.simulators.replay import ReplayError, read_table, tables

ColumnKind = Literal["number", "text", "dateTime", "dateOnly", "choice", "boolean", "lookup"]
NAMESPACE = uuid.UUID("b4a0e1b4-8f0b-4c55-9d3f-5f8f3f1f2a10")
MODIFIED = "Modified"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list: what people see, what the interface calls it, what it holds."""

    display_name: str
    name: str
    kind: ColumnKind


@dataclass(slots=True)
class Item:
    """One item: values by display name, and the change at which it last moved."""

    item_id: int
    values: dict[str, Any]
    modified: datetime
    change: int = 0
    version: int = 1


class SharePointList:
    """One list; every edit gets the next change number."""

    def __init__(self, name: str, columns: list[Column], items: list[Item]) -> None:
        self.name = name
        self.columns = columns
        self.list_id = str(uuid.uuid5(NAMESPACE, f"list:{name}"))
        self._lock = threading.Lock()
        self._items = {item.item_id: item for item in items}
        self._deleted: dict[int, int] = {}
        self._change = 0
        # Changes before this one are forgotten: whoever asks from an earlier place has to begin anew.
        self.oldest = 0

    def items(self) -> list[Item]:
        """All items by id."""
        with self._lock:
            return sorted(self._items.values(), key=lambda item: item.item_id)

    def changes(self, since: int) -> tuple[list[Item], list[int], int]:
        """Items changed after ``since``, ids deleted after it, and the number of the last change."""
        with self._lock:
            changed = [item for item in self._items.values() if item.change > since]
            deleted = [item_id for item_id, change in self._deleted.items() if change > since]
            return sorted(changed, key=lambda item: item.change), deleted, self._change

    def forget_changes(self) -> None:
        """Forget what changed so far, as the service does with old places."""
        with self._lock:
            self._change += 1
            self.oldest = self._change

    def put(self, item_id: int, values: Mapping[str, Any], modified: datetime) -> None:
        """Add an item or replace its values (by display name)."""
        with self._lock:
            self._change += 1
            known = self._items.get(item_id)
            version = known.version + 1 if known else 1
            self._items[item_id] = Item(item_id, dict(values), modified, self._change, version)
            self._deleted.pop(item_id, None)

    def delete(self, item_id: int) -> None:
        """Delete an item."""
        with self._lock:
            self._change += 1
            del self._items[item_id]
            self._deleted[item_id] = self._change


class SharePointReplay:
    """The lists and the drive of a replay folder's ``sharepoint``; an absent folder has neither."""

    def __init__(self, folder: Path, *, zone: ZoneInfo) -> None:
        self.zone = zone
        self.drive = folder / "drive"
        self.lists: dict[str, SharePointList] = {}
        for path in tables(folder / "lists") if (folder / "lists").is_dir() else []:
            self.lists[path.stem] = _list(path)

    def find(self, name_or_id: str) -> SharePointList | None:
        """A list by id or display name, without regard to case."""
        wanted = name_or_id.lower()
        return next((each for each in self.lists.values() if wanted in (each.name.lower(), each.list_id)), None)


def _list(path: Path) -> SharePointList:
    frame = read_table(path)
    columns = _columns(path, frame)
    default = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
    items = []
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        modified = row.get(MODIFIED) or default
        if isinstance(modified, str):
            modified = datetime.fromisoformat(modified)
        if modified.tzinfo is None:
            modified = modified.replace(tzinfo=UTC)
        values = {column.display_name: row[column.display_name] for column in columns}
        items.append(Item(number, values, modified.astimezone(UTC)))
    return SharePointList(path.stem, columns, items)


def _columns(path: Path, frame: pl.DataFrame) -> list[Column]:
    beside = path.with_name(f"{path.stem}.columns.toml")
    try:
        described = tomllib.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    except tomllib.TOMLDecodeError as problem:
        message = f"{beside}: {problem}"
        raise ReplayError(message) from problem
    described = described.get("columns", described)
    unknown = sorted(set(described) - set(frame.columns))
    if unknown:
        message = f"{beside}: describes columns that the list lacks: {', '.join(unknown)}"
        raise ReplayError(message)
    columns = []
    names = [name for name in frame.columns if name != MODIFIED]
    for number, name in enumerate(names, start=1):
        about = described.get(name, {})
        internal = about.get("internal")
        kind = about.get("kind") or _kind(frame.schema[name])
        if kind not in get_args(ColumnKind):
            message = f"{beside}: column {name}: kind {kind!r} is none of {', '.join(get_args(ColumnKind))}"
            raise ReplayError(message)
        columns.append(Column(name, internal or ("Title" if name == "Title" else f"field_{number}"), kind))
    return columns


def _kind(dtype: pl.DataType) -> ColumnKind:
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype == pl.Date:
        return "dateOnly"
    return "dateTime" if isinstance(dtype, pl.Datetime) else "text"


def field_value(value: Any, kind: ColumnKind, zone: ZoneInfo) -> Any:
    """A value as the interface writes it: numbers as doubles, dates as UTC, a date alone as local midnight in UTC."""
    if kind == "number":
        return float(value)
    if kind == "boolean":
        return bool(value)
    if kind in ("dateOnly", "dateTime"):
        return _as_utc(value, zone, only_date=kind == "dateOnly").strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _as_utc(value: Any, zone: ZoneInfo, *, only_date: bool) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    local = value.replace(tzinfo=zone) if value.tzinfo is None else value.astimezone(zone)
    if only_date:
        local = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=zone)
    result: datetime = local.astimezone(UTC)
    return result
