"""The lake: Parquet by table and partition, content-addressed, with a `_current` entry that moves atomically.

A partition is a production day (`2026-11-21`), a closed month (`2026-10`, written by compaction or bootstrap) or `all`
(a snapshot). A day overrides its month. A file that was once current is never rewritten, so a release can refer to it.
"""

import hashlib
import io
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import dataframely as dy
import msgspec
import polars as pl

from pipelines.lake_store import CURRENT, LakeStore, LocalStore
from warehouse.catalog.tables import TABLES

SNAPSHOT = "all"
_DAY_LENGTH, _MONTH_LENGTH = len("2026-11-21"), len("2026-11")
# Row groups of this size keep a day of one-minute tags in a few groups and let readers skip by tag.
ROW_GROUP_ROWS = 131_072
# Ranges up to this length are asked for by name, longer ones by what the table holds.
_NAMED_DAYS = 10


class LakeTableMissing(LookupError):
    """The table was never written; the reader can run the stage that writes it."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a partition's content came from; kept beside the file, never in rows, so that equal content has equal hash."""

    extracted_at_utc: datetime
    run_id: str
    request: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What `_current` says of a partition."""

    file: str
    sha256: str
    rows: int


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """The provenance file beside a Parquet file."""

    sha256: str
    rows: int
    extracted_at_utc: datetime
    run_id: str
    request: str


@dataclass(frozen=True)
class Written:
    """Outcome of writing one partition; `changed` is False when the content was already current."""

    table: str
    partition: str
    entry: Entry
    changed: bool


@dataclass(frozen=True)
class Partition:
    """A current file of a table."""

    table: str
    partition: str
    entry: Entry

    @property
    def name(self) -> str:
        """The file's name in the lake."""
        return f"{self.table}/{self.partition}/{self.entry.file}"


class Lake:
    """A lake under one root folder, or in another store. Safe for one writer a partition and any number of readers."""

    def __init__(self, root: Path | LakeStore) -> None:
        self.store: LakeStore = LocalStore(root) if isinstance(root, Path) else root

    @property
    def root(self) -> Path:
        """The folder of a lake on this machine; asking it of another is an error of the caller."""
        if not isinstance(self.store, LocalStore):
            raise TypeError(f"the lake at {self.store.place} is no folder of this machine")
        return self.store.root

    # -- small files beside the tables ----------------------------------------------------------------------------

    def read_bytes(self, name: str) -> bytes | None:
        """Content of a small file of the lake, such as a watermark; None where there is none. `name` may hold slashes.

        Its last part begins with an underscore, so that none is taken for a table or a partition.
        """
        return self.store.read(name)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Create or replace such a file atomically: a reader sees the old content or the new. The last writer wins."""
        self.store.write(name, content)

    def settle(self) -> None:
        """Return when everything written is on the medium; before anything is noted that speaks of it."""
        self.store.settle()

    def remove_bytes(self, name: str) -> None:
        """Delete such a file, there or not."""
        self.store.remove(name)

    # -- writing -------------------------------------------------------------------------------------------------

    def write_days(
        self, table: str, frame: pl.DataFrame, labels: Sequence[date], *, provenance: Provenance
    ) -> list[Written]:
        """Replace the day partitions of `labels` by the rows of `frame`; a label without rows gets an empty file.

        Rows whose production_date is not among `labels` are an error of the caller and raise ValueError.
        """
        conformed = conform(table, frame)
        parts = self._split(conformed, labels)
        empty_day = conformed.clear()
        return self.store.each(
            lambda day: self._write(table, day.isoformat(), parts.get(day, empty_day), provenance), labels
        )

    def write_month(self, table: str, frame: pl.DataFrame, month: str, *, provenance: Provenance) -> Written:
        """Replace a closed month (`YYYY-MM`) as one file and drop the month's day entries, whose files stay."""
        written = self._write(table, month, conform(table, frame), provenance)
        for day in self.store.currents(table):
            if len(day) == _DAY_LENGTH and day.startswith(month):
                self.store.remove(f"{table}/{day}/{CURRENT}")
        return written

    def write_snapshot(self, table: str, frame: pl.DataFrame, *, provenance: Provenance) -> Written:
        """Replace the table's only partition."""
        return self._write(table, SNAPSHOT, conform(table, frame), provenance)

    def _split(self, frame: pl.DataFrame, labels: Sequence[date]) -> dict[date, pl.DataFrame]:
        parts: dict[date, pl.DataFrame] = {
            key[0]: part
            for key, part in frame.partition_by("production_date", as_dict=True, maintain_order=True).items()
        }
        strangers = sorted(set(parts) - set(labels))
        if strangers:
            raise ValueError(f"rows of production days outside the range written: {strangers[:5]}")
        return parts

    def _write(self, table: str, partition: str, frame: pl.DataFrame, provenance: Provenance) -> Written:
        current = self.current(table, partition)
        if current is None and (month := self._unchanged_in_month(table, partition, frame)) is not None:
            return Written(table, partition, month, changed=False)
        content = frame_bytes(frame) if frame.height else _empty_bytes(table)
        sha256 = hashlib.sha256(content).hexdigest()
        if current is not None and current.sha256 == sha256:
            return Written(table, partition, current, changed=False)
        folder = f"{table}/{partition}"
        entry = Entry(file=f"{sha256}.parquet", sha256=sha256, rows=frame.height)
        if not self.store.has(f"{folder}/{entry.file}"):
            self.store.write(f"{folder}/{entry.file}", content)
        sidecar = Sidecar(
            sha256=sha256,
            rows=frame.height,
            extracted_at_utc=provenance.extracted_at_utc,
            run_id=provenance.run_id,
            request=provenance.request,
        )
        self.store.write(f"{folder}/{sha256}.json", msgspec.json.encode(sidecar))
        # Last, so that whatever `_current` names is there.
        self.store.write(f"{folder}/{CURRENT}", msgspec.json.encode(entry))
        return Written(table, partition, entry, changed=True)

    def _unchanged_in_month(self, table: str, partition: str, frame: pl.DataFrame) -> Entry | None:
        """The month's entry when a day's rows stand in it unchanged: no day file is needed to say so."""
        if len(partition) != _DAY_LENGTH:
            return None
        month = partition[:_MONTH_LENGTH]
        entry = self.current(table, month)
        if entry is None:
            return None
        of_day = pl.col("production_date") == date.fromisoformat(partition)
        rows = self.store.scan([f"{table}/{month}/{entry.file}"]).filter(of_day).collect()
        return entry if rows.equals(frame) else None

    # -- reading -------------------------------------------------------------------------------------------------

    def current(self, table: str, partition: str) -> Entry | None:
        """What is current in a partition, None when it was never written."""
        content = self.store.current(table, partition)
        return None if content is None else _entry_decoder.decode(content)

    def sidecar(self, table: str, partition: str) -> Sidecar | None:
        """Provenance of what is current in a partition."""
        entry = self.current(table, partition)
        if entry is None:
            return None
        content = self.store.read(f"{table}/{partition}/{entry.sha256}.json")
        return None if content is None else msgspec.json.decode(content, type=Sidecar)

    def partitions(self, table: str, first: date | None = None, last: date | None = None) -> list[Partition]:
        """Current files of a table that can hold production days in [first, last]; snapshots when no range is given."""
        has_range = first is not None and last is not None
        names = _names(first, last) if first is not None and last is not None else None
        found = []
        for name, content in self.store.currents(table, names).items():
            if has_range and names is None:
                if name == SNAPSHOT:
                    continue
                low, high = f"{first}"[: len(name)], f"{last}"[: len(name)]
                if not low <= name <= high:
                    continue
            found.append(Partition(table, name, _entry_decoder.decode(content)))
        return found

    def has_file(self, table: str, partition: str, sha256: str) -> bool:
        """Whether a file that is current, or once was, is still kept."""
        return self.store.has(f"{table}/{partition}/{sha256}.parquet")

    def scan_file(self, table: str, partition: str, sha256: str) -> pl.LazyFrame:
        """Rows of a file that is current, or once was."""
        return self.store.scan([f"{table}/{partition}/{sha256}.parquet"])

    def scan_parts(self, parts: Sequence[Partition]) -> pl.LazyFrame:
        """Rows of current files of one table; there must be one at least."""
        return self.store.scan([part.name for part in parts])

    def labels(self, table: str) -> list[date]:
        """Production days that the table has a partition for; a month stands for each of its days, with rows or without."""
        days: set[date] = set()
        for part in self.partitions(table):
            if len(part.partition) == _DAY_LENGTH:
                days.add(date.fromisoformat(part.partition))
            elif len(part.partition) == _MONTH_LENGTH:
                first = date.fromisoformat(f"{part.partition}-01")
                days.update(first + timedelta(days=n) for n in range(monthrange(first.year, first.month)[1]))
        return sorted(days)

    def scan(self, table: str, first: date, last: date) -> pl.LazyFrame:
        """Rows of the production days in [first, last], day files before months. Raises LakeTableMissing."""
        parts = self.partitions(table, first, last)
        if not parts and not self.store.has_folder(table):
            raise LakeTableMissing(f"{table} was never written under {self.store.place}: run the stage that writes it")
        days = [p for p in parts if len(p.partition) == _DAY_LENGTH]
        months = [p for p in parts if len(p.partition) == _MONTH_LENGTH]
        frames = []
        if days:
            frames.append(self.scan_parts(days))
        overridden = [date.fromisoformat(p.partition) for p in days]
        for part in months:
            # Rows are stored day first, so the range is cut by row-group statistics.
            in_range = pl.col("production_date").is_between(first, last)
            own = ~pl.col("production_date").is_in(overridden) if overridden else pl.lit(value=True)
            frames.append(self.scan_parts([part]).filter(in_range & own))
        if not frames:
            return empty(table).lazy()
        return pl.concat(frames) if len(frames) > 1 else frames[0]

    def read(self, table: str, first: date, last: date) -> pl.DataFrame:
        """Collected rows of [first, last] in key order; empty with the right columns when the table was never written."""
        try:
            return self.scan(table, first, last).collect().sort(TABLES[table].key)
        except LakeTableMissing:
            return empty(table)

    def read_snapshot(self, table: str) -> pl.DataFrame:
        """The snapshot of an unpartitioned table; empty with the right columns when it was never written."""
        entry = self.current(table, SNAPSHOT)
        if entry is None:
            return empty(table)
        return self.scan_file(table, SNAPSHOT, entry.sha256).collect()


_entry_decoder = msgspec.json.Decoder(Entry)


def _names(first: date, last: date) -> list[str] | None:
    """Partitions that can hold the days of a short range, in order; None for a long one."""
    count = (last - first).days + 1
    if count > _NAMED_DAYS:
        return None
    days = [(first + timedelta(days=n)).isoformat() for n in range(count)]
    return sorted({*days, *(day[:_MONTH_LENGTH] for day in days)})


def empty(table: str) -> pl.DataFrame:
    """A frame of the table's columns and types without rows."""
    return pl.DataFrame(schema=_dtypes(TABLES[table].schema))


def conform(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Columns in catalogue order and dtype, sorted by key; NaN becomes null. A missing or unknown column raises ValueError."""
    dtypes = _dtypes(TABLES[table].schema)
    unknown, missing = sorted(set(frame.columns) - set(dtypes)), sorted(set(dtypes) - set(frame.columns))
    if unknown or missing:
        raise ValueError(f"{table}: columns unknown to the catalogue {unknown}, columns missing {missing}")
    columns: Iterable[pl.Expr] = (
        pl.col(name).cast(dtype).fill_nan(None) if dtype.is_float() else pl.col(name).cast(dtype)
        for name, dtype in dtypes.items()
    )
    # Rechunked and fully sorted, so that equal rows give equal bytes whatever their order was.
    return frame.select(columns).sort(list(TABLES[table].key), maintain_order=True).rechunk()


def _dtypes(schema: type[dy.Schema]) -> Mapping[str, pl.DataType]:
    return {name: column.dtype for name, column in schema.columns().items()}


def frame_bytes(frame: pl.DataFrame) -> bytes:
    """Parquet bytes of a frame, deterministic for equal rows in equal order."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS)
    return buffer.getvalue()


@lru_cache
def _empty_bytes(table: str) -> bytes:
    # Most days of most tables of exceptions are empty.
    return frame_bytes(conform(table, empty(table)))


def as_metadata(written: Sequence[Written]) -> dict[str, Any]:
    """Summary of a write for logs and Dagster metadata."""
    return {
        "dagster/row_count": sum(w.entry.rows for w in written),
        "partitions": len(written),
        "changed": sum(w.changed for w in written),
    }
