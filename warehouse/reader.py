"""Serves releases to one process: follows the pointer, verifies, attaches, warms, switches, and closes the old one last.

All releases are attached to one sealed in-memory DuckDB instance (attaching costs 1 ms, a new instance 16 ms).
Imports duckdb, msgspec and the standard library only.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType

from warehouse.errors import NoRelease, OperatorMismatch, SyntheticRefused, WarehouseError
from warehouse.manifest import Manifest, verify_database
from warehouse.pointer import POINTER, Pointer, read_pointer
from warehouse.queries import BOOK, QueryBook
from warehouse.reader_instance import Instance, Limits
from warehouse.reader_release import OpenRelease
from warehouse.release import show_release
from warehouse.release_files import releases_dir

OnOpen = Callable[[OpenRelease], None]
Vouch = Callable[[Manifest], bool]
Signature = tuple[int, int, int]
# Non-current releases kept open for `release` and `asKnownAt`.
OTHERS = 3


class ReleaseReader:
    """Follows one warehouse. Thread-safe: leases may be taken and returned by any thread.

    `operator` binds the reader to one operator's releases, `allow_synthetic=False` to real ones. `on_open` hooks run on
    a new release after it is warm and before it is switched to; one that raises keeps the old release. `vouch` is asked
    before a release is opened to be switched to: True where its file was verified and asked its first questions elsewhere.
    """

    def __init__(
        self,
        warehouse_dir: Path,
        *,
        operator: str | None = None,
        allow_synthetic: bool = True,
        on_open: Sequence[OnOpen] = (),
        vouch: Vouch = lambda manifest: False,
        limits: Limits | None = None,
        book: QueryBook = BOOK,
        retry_seconds: float = 5.0,
    ) -> None:
        self._warehouse_dir = warehouse_dir.resolve()
        self._operator = operator
        self._allow_synthetic = allow_synthetic
        self._on_open = list(on_open)
        self._vouch = vouch
        self._book = book
        self._retry_seconds = retry_seconds
        self._instance = Instance(releases_dir(self._warehouse_dir), limits or Limits())
        # _refreshing serialises opening; _attaching guards attach and detach; _state guards the counters below it.
        self._refreshing = Lock()
        self._attaching = Lock()
        self._state = Lock()
        self._attached: dict[str, OpenRelease] = {}
        self._current: OpenRelease | None = None
        self._others: list[OpenRelease] = []  # least recently used first
        self._pointer: Pointer | None = None
        self._signature: Signature | None = None
        self._fault: str | None = None
        self._retry_at = 0.0
        self._closed = False

    @property
    def release_id(self) -> str | None:
        """The release that is served; None before the first."""
        current = self._current
        return current.release_id if current else None

    @property
    def fault(self) -> str | None:
        """Why the release that the pointer names is not served, for readiness; None where all is well."""
        return self._fault

    def add_on_open(self, hook: OnOpen) -> None:
        """Add a hook; it runs from the next release on."""
        self._on_open.append(hook)

    def pointer(self) -> Pointer | None:
        """The pointer, parsed again only when the file changed (a stat of 2 µs otherwise). Raises PointerCorrupt."""
        signature = self._stat()
        if signature != self._signature:
            self._pointer = read_pointer(self._warehouse_dir)
            self._signature = signature
        return self._pointer

    def refresh(self) -> bool:
        """Switch to the release that the pointer names; True where another release is served afterwards.

        Never raises for a faulty release or pointer: the last good one stays, `fault` says why, and the faulty one is
        tried again after `retry_seconds` or when the pointer moves.
        """
        with self._refreshing:
            moved = self._stat() != self._signature
            if self._fault and not moved and time.monotonic() < self._retry_at:
                return False
            try:
                return self._follow()
            except (WarehouseError, OSError) as fault:
                self._fail(str(fault))
            except Exception as fault:  # noqa: BLE001 - DuckDB or a hook: the last good release must stay in service
                self._fail(f"the release could not be opened: {type(fault).__name__}: {fault}")
            return False

    @contextmanager
    def lease(self) -> Iterator[OpenRelease]:
        """The current release, kept open until the block ends whatever is published meanwhile. Raises NoRelease."""
        with self._state:
            release = self._current
            if release is None:
                reason = self._fault or f"nothing was published in {self._warehouse_dir} yet"
                raise NoRelease(f"no release is loaded: {reason}")
            release.leases += 1
        try:
            yield release
        finally:
            self._return(release)

    @contextmanager
    def open(self, release_id: str) -> Iterator[OpenRelease]:
        """Lease any kept release; up to three beside the current one stay open, the least recently used is closed first.

        Raises ReleaseNotFound (naming the nearest kept one), ReleaseCorrupt, OperatorMismatch, SyntheticRefused.
        """
        release = self._lease_attached(release_id)
        if release is None:
            with self._refreshing:
                release = self._lease_attached(release_id)
                if release is None:
                    release = self._open(self._admitted(release_id))
        evicted = None
        with self._state:
            if release is not self._current:
                if release in self._others:
                    self._others.remove(release)
                release.is_retired = False
                self._others.append(release)
                if len(self._others) > OTHERS:
                    evicted = self._others.pop(0)
                    evicted.is_retired = True
        try:
            if evicted:
                self._close_if_idle(evicted)
            yield release
        finally:
            self._return(release)

    def close(self) -> None:
        """Close everything; leases still out fail on their next query."""
        with self._refreshing, self._attaching, self._state:
            self._closed = True
            self._current = None
            self._others.clear()
            for release in self._attached.values():
                release.close()
            self._attached.clear()
            self._instance.close()

    def __enter__(self) -> "ReleaseReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stat(self) -> Signature | None:
        try:
            found = (self._warehouse_dir / POINTER).stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def _fail(self, reason: str) -> None:
        self._fault = reason
        self._retry_at = time.monotonic() + self._retry_seconds

    def _follow(self) -> bool:
        pointer = self.pointer()
        if pointer is None:
            if self._current is not None:
                self._fail(f"the pointer `{POINTER}` is gone from {self._warehouse_dir}")
            return False
        if self._current is not None and self._current.release_id == pointer.release_id:
            self._fault = None
            return False
        manifest = self._admitted(pointer.release_id)
        is_vouched_for = self._vouch(manifest)
        release = self._lease_attached(pointer.release_id) or self._open(manifest, is_verified=is_vouched_for)
        try:
            if not is_vouched_for:
                release.warm()
            for hook in self._on_open:
                hook(release)
            with self._state:
                old, self._current = self._current, release
                release.is_retired = False
                if release in self._others:
                    self._others.remove(release)
                if old is not None:
                    old.is_retired = True
            self._fault = None
        finally:
            self._return(release)
        if old is not None:
            self._close_if_idle(old)
        return True

    def _lease_attached(self, release_id: str) -> OpenRelease | None:
        with self._state:
            release = self._attached.get(release_id)
            if release is not None:
                release.leases += 1
            return release

    def _open(self, manifest: Manifest, *, is_verified: bool = False) -> OpenRelease:
        """Verify and attach a release, leased once and retired until someone keeps it. Callers hold _refreshing."""
        if self._closed:
            raise NoRelease("the reader is closed")
        release_id = manifest.release_id
        directory = releases_dir(self._warehouse_dir) / release_id
        try:
            path = directory / manifest.database.name if is_verified else verify_database(directory, manifest)
            with self._attaching:
                release = OpenRelease(self._instance, directory, path, manifest, self._book)
                with self._state:
                    release.leases = 1
                    release.is_retired = True
                    self._attached[release_id] = release
        except (WarehouseError, OSError):
            show_release(self._warehouse_dir, release_id)  # pruned since it was looked up: then that is what is wrong
            raise
        return release

    def _admitted(self, release_id: str) -> Manifest:
        """The manifest of a release that this reader may serve."""
        manifest = show_release(self._warehouse_dir, release_id)
        if self._operator is not None and manifest.operator != self._operator:
            raise OperatorMismatch(
                f"release {manifest.release_id} belongs to operator {manifest.operator}, this reader serves "
                f"{self._operator} only"
            )
        if manifest.is_synthetic and not self._allow_synthetic:
            raise SyntheticRefused(f"release {manifest.release_id} is synthetic: only real releases may be served here")
        return manifest

    def _return(self, release: OpenRelease) -> None:
        with self._state:
            release.leases -= 1
            is_last = release.leases == 0 and release.is_retired
        if is_last:
            self._close_if_idle(release)

    def _close_if_idle(self, release: OpenRelease) -> None:
        """Detach a retired release that nobody leases; whoever leases it meanwhile keeps it alive."""
        with self._attaching:
            with self._state:
                is_ours = self._attached.get(release.release_id) is release
                if not is_ours or release.leases or not release.is_retired:
                    return
                del self._attached[release.release_id]
            release.close()
