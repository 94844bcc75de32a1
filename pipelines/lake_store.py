"""Where a lake's files stand: a folder of this machine, or object storage. Names are relative, with slashes.

A store knows files only; tables, partitions and entries are the lake's.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Protocol, TypeVar

import polars as pl

from warehouse.object_store import Location, NotModified, Objects, open_objects
from warehouse.release_files import sync_dir, sync_file

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
CURRENT = "_current"
# Requests under way at the same time; each waits for the network, not for a core.
_REQUESTS = 16


class LakeStore(Protocol):
    """What the lake asks of the place of its files. Replacing a file is atomic on every store."""

    @property
    def place(self) -> str:
        """The place in words, for messages; never a credential."""

    def read(self, name: str) -> bytes | None:
        """A file's content, None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Create or replace a file: a reader sees the old content or the new, and a crash leaves one of them."""

    def settle(self) -> None:
        """Return when everything written is on the medium: after a power cut it is there."""

    def remove(self, name: str) -> None:
        """Delete a file; one that is not there is as good as deleted."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def has_folder(self, name: str) -> bool:
        """Whether anything was ever written below a folder."""

    def current(self, table: str, partition: str) -> bytes | None:
        """Content of a partition's `_current`, None where there is none; kept in memory while it is unchanged."""

    def currents(self, table: str, names: Sequence[str] | None = None) -> dict[str, bytes]:
        """`_current` of a table's partitions by name, in order: of all of them, or of those of `names` that there are."""

    def scan(self, names: Sequence[str]) -> pl.LazyFrame:
        """Rows of Parquet files; there must be one at least."""

    def each(self, work: Callable[[Item], Outcome], items: Iterable[Item]) -> list[Outcome]:
        """Outcomes of independent pieces of work, in order; side by side where waiting is what takes the time."""


class LocalStore:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # `_current` is read again when it changes; the cache saves opening thousands of small files.
        self._known: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._unsettled: set[Path] = set()

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root)

    def read(self, name: str) -> bytes | None:
        """As LakeStore."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """As LakeStore."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
        self._unsettled.add(path)

    def settle(self) -> None:
        """As LakeStore: files first, then the folders that name them."""
        written, self._unsettled = self._unsettled, set()
        for path in written:
            # A file may have been replaced, or removed, since.
            with suppress(FileNotFoundError):
                sync_file(path)
        for folder in {parent for path in written for parent in (path.parent, path.parent.parent)}:
            sync_dir(folder)

    def remove(self, name: str) -> None:
        """As LakeStore."""
        (self.root / name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """As LakeStore."""
        return (self.root / name).is_file()

    def has_folder(self, name: str) -> bool:
        """As LakeStore."""
        return (self.root / name).is_dir()

    def current(self, table: str, partition: str) -> bytes | None:
        """As LakeStore: a stat where nothing changed."""
        pointer = self.root / table / partition / CURRENT
        try:
            stamp = pointer.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        known = self._known.get((table, partition))
        if known is not None and known[0] == stamp:
            return known[1]
        content = pointer.read_bytes()
        self._known[table, partition] = (stamp, content)
        return content

    def currents(self, table: str, names: Sequence[str] | None = None) -> dict[str, bytes]:
        """As LakeStore."""
        if names is None:
            try:
                with os.scandir(self.root / table) as entries:
                    names = sorted(e.name for e in entries if e.is_dir())
            except FileNotFoundError:
                return {}
        found = ((name, self.current(table, name)) for name in names)
        return {name: content for name, content in found if content is not None}

    def scan(self, names: Sequence[str]) -> pl.LazyFrame:
        """As LakeStore."""
        return pl.scan_parquet([self.root / name for name in names], glob=False)

    def each(self, work: Callable[[Item], Outcome], items: Iterable[Item]) -> list[Outcome]:
        """As LakeStore, one after the other."""
        return [work(item) for item in items]


class ObjectLakeStore:
    """A prefix of a container or bucket. Files are written by obstore and scanned by Polars' own driver."""

    def __init__(self, location: Location, objects: Objects | None = None) -> None:
        self._location = location
        self._objects = objects or open_objects(location)
        self._known: dict[str, tuple[str, bytes]] = {}
        self._guard = Lock()
        self._pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="lake")

    @property
    def place(self) -> str:
        """The URL."""
        return self._location.url

    def read(self, name: str) -> bytes | None:
        """As LakeStore. Raises StorageFault, as every method here."""
        blob = self._objects.read(name)
        return None if blob is None else blob.content

    def write(self, name: str, content: bytes) -> None:
        """As LakeStore."""
        tag = self._objects.write(name, content)
        if name.endswith(f"/{CURRENT}"):
            with self._guard:
                self._known[name] = (tag, content)

    def settle(self) -> None:
        """As LakeStore: what object storage has confirmed is there."""

    def remove(self, name: str) -> None:
        """As LakeStore."""
        self._objects.delete([name])

    def has(self, name: str) -> bool:
        """As LakeStore."""
        return self._objects.exists(name)

    def has_folder(self, name: str) -> bool:
        """As LakeStore."""
        return bool(self._objects.list(name))

    def current(self, table: str, partition: str) -> bytes | None:
        """As LakeStore: a conditional request, answered without content where nothing changed."""
        name = f"{table}/{partition}/{CURRENT}"
        with self._guard:
            known = self._known.get(name)
        try:
            blob = self._objects.read(name, unless=known[0] if known else None)
        except NotModified:
            assert known is not None
            return known[1]
        if blob is None:
            return None
        with self._guard:
            self._known[name] = (blob.tag, blob.content)
        return blob.content

    def currents(self, table: str, names: Sequence[str] | None = None) -> dict[str, bytes]:
        """As LakeStore: one listing tells which entries changed, and those are read side by side."""
        if names is None:
            suffix = f"/{CURRENT}"
            listed = {b.name: b.tag for b in self._objects.list(table) if b.name.endswith(suffix)}
            with self._guard:
                fresh = {n: c for n, (tag, c) in self._known.items() if tag.strip('"') == listed.get(n)}
            wanted = [name.removeprefix(f"{table}/").removesuffix(suffix) for name in listed]
            stale = [p for p in wanted if f"{table}/{p}/{CURRENT}" not in fresh]
            read = dict(zip(stale, self.each(lambda p: self.current(table, p), stale), strict=True))
            found = [(p, fresh.get(f"{table}/{p}/{CURRENT}") or read.get(p)) for p in sorted(wanted)]
        else:
            found = list(zip(names, self.each(lambda p: self.current(table, p), names), strict=True))
        return {name: content for name, content in found if content is not None}

    def scan(self, names: Sequence[str]) -> pl.LazyFrame:
        """As LakeStore."""
        return pl.scan_parquet(
            [f"{self._location.url}/{name}" for name in names],
            glob=False,
            storage_options=self._location.polars_options(),
            # The driver's own credentials, those of the settings, and not what Polars would look for beside them.
            credential_provider=None,
        )

    def each(self, work: Callable[[Item], Outcome], items: Iterable[Item]) -> list[Outcome]:
        """As LakeStore, side by side. Work must not call `each` itself."""
        return list(self._pool.map(work, items))


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, and a crash leaves one of them."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
