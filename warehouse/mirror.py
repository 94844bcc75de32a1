"""A local copy of the releases on object storage, laid out as any warehouse folder, so that every local reader works on it.

Followed by asking for the pointer's tag. Storage that cannot be reached changes nothing that is served: `fault` says so.
Light: msgspec and the standard library only, besides the storage driver.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from warehouse import mirror_files as local
from warehouse.errors import PointerCorrupt, ReleaseCorrupt, ReleaseNotFound, StorageFault, WarehouseError
from warehouse.manifest import Struct, read_manifest, verify_database
from warehouse.object_store import NotModified
from warehouse.pointer import POINTER, Pointer, history, read_pointer
from warehouse.release import newest_release, release_ids
from warehouse.release_files import exclusive_lock, releases_dir, write_durable
from warehouse.remote import Remote, Stored, Tagged
from warehouse.retention import discard_unpublished
from warehouse.status import STATUS

MARK = "mirror.json"
LOCK = ".mirror.lock"
# Kept releases change seldom beside the pointer; a listing is asked for this often, and after each move.
LISTING_SECONDS = 30.0
# A copy that does not match its manifest is fetched again this often, unless the pointer moves.
CORRUPT_SECONDS = 30.0
# Storage that failed is asked again this soon, so that replicas are back when it is: one that hangs costs a request for each
# of the driver's own patience anyway.
PAUSE_SECONDS = 0.5
# Small files fetched between two looks at the pointer.
BATCH = 50


class Mark(Struct, frozen=True, kw_only=True):
    """mirror.json: which place the folder is a copy of."""

    url: str


def copied_from(warehouse_dir: Path) -> str | None:
    """The place that the folder is a copy of; None for a folder whose releases are published on this machine."""
    try:
        return msgspec.json.decode((warehouse_dir / MARK).read_bytes(), type=Mark).url
    except (OSError, msgspec.DecodeError):
        return None


class Mirror:
    """Keeps a folder a copy of a Remote. One object serves one thread at a time; processes may share the folder."""

    def __init__(self, remote: Remote, warehouse_dir: Path, *, poll_seconds: float = 1.0) -> None:
        self.remote = remote
        self.warehouse_dir = warehouse_dir
        self.fault: str | None = None
        self._poll_seconds = poll_seconds
        self._pointer_tag: str | None = None
        self._status_tag: str | None = None
        self._label_tags: dict[str, str] = {}
        self._next_at = 0.0
        self._listing_at = 0.0
        self._corrupt_until = 0.0
        self._corrupt_tag: str | None = None
        self._oldest_known = 1

    # -- following -----------------------------------------------------------------------------------------------

    def sync(self) -> bool:
        """Take up what changed, at most every `poll_seconds`; True where the local pointer moved. Never raises for storage.

        A failure is told by `fault` and asked again soon; what stands locally stays as it is.
        """
        now = time.monotonic()
        if now < self._next_at:
            return False
        moved = False
        try:
            moved = self._follow()
            self._follow_status()
            if moved or now >= self._listing_at:
                self._follow_kept(BATCH)
            if now >= self._corrupt_until:
                self.fault = None
            self._next_at = time.monotonic() + self._poll_seconds
        except (WarehouseError, OSError) as fault:
            self.fault = str(fault)
            self._next_at = time.monotonic() + PAUSE_SECONDS
        return moved

    def distrust(self) -> None:
        """Check the copy of the release in force at the next look, and fetch it again if it is damaged."""
        try:
            pointer = read_pointer(self.warehouse_dir)
            if pointer is not None:
                directory = releases_dir(self.warehouse_dir) / pointer.release_id
                verify_database(directory, read_manifest(directory))
        except (ReleaseCorrupt, PointerCorrupt) as fault:
            if isinstance(fault, ReleaseCorrupt):
                local.forget(self.warehouse_dir, fault.release_id)
            self._pointer_tag = None
            self._next_at = 0.0

    def pull(self) -> Pointer | None:
        """Copy the pointer, its release, every kept manifest, label and the history now; the pointer. Raises as Remote."""
        return self._pull(is_for_build=False)

    def _pull(self, *, is_for_build: bool) -> Pointer | None:
        self._pointer_tag = None
        self._corrupt_until = 0.0
        self._follow(is_for_build=is_for_build)
        self._follow_status()
        self._follow_kept(None)
        self.fault = None
        return read_pointer(self.warehouse_dir)

    def fetch(self, release_id: str) -> Path:
        """The local directory of a kept release with its database, copied and checked where it is not there yet.

        Raises ReleaseNotFound, ReleaseCorrupt, StorageFault.
        """
        directory = releases_dir(self.warehouse_dir) / release_id
        if local.has_database(directory):
            local.touch(directory)
            return directory
        with self._writing():
            if not local.has_database(directory):
                local.bring(self.remote, self.warehouse_dir, release_id)
        return directory

    def before_build(self) -> None:
        """Bring what a build compares with: the release in force and the newest one, with their databases.

        One of them that is damaged does not stop the build that replaces it.
        """
        self._pull(is_for_build=True)
        newest = newest_release(self.warehouse_dir)
        with suppress(ReleaseCorrupt):
            if newest is not None and self.remote.is_kept(newest.release_id):
                self.fetch(newest.release_id)

    def accept(self, tagged: Tagged) -> None:
        """Take up a pointer that this process has just moved, without asking for it again."""
        with self._writing():
            self._write_pointer(tagged)

    def _follow(self, *, is_for_build: bool = False) -> bool:
        try:
            tagged = self.remote.pointer(unless=self._pointer_tag)
        except NotModified:
            return False
        if tagged is None:
            self._mark()
            if (self.warehouse_dir / POINTER).exists():
                raise StorageFault(f"the pointer is gone from {self.remote.place}; the last release copied stays")
            return False
        if time.monotonic() < self._corrupt_until and self._corrupt_tag == tagged.tag:
            return False
        with self._writing():
            try:
                local.bring(self.remote, self.warehouse_dir, tagged.pointer.release_id)
            except (ReleaseCorrupt, ReleaseNotFound):
                self._corrupt_tag = tagged.tag
                self._corrupt_until = time.monotonic() + CORRUPT_SECONDS
                if not is_for_build:
                    raise
            # Another process on this folder may have gone further meanwhile: what is in force now decides.
            latest = self.remote.pointer()
            if latest is None or latest.tag != tagged.tag:
                return False
            return self._write_pointer(tagged)

    def _write_pointer(self, tagged: Tagged) -> bool:
        try:
            here = read_pointer(self.warehouse_dir)
        except PointerCorrupt:
            here = None  # the copy is damaged, not the pointer
        moved = here != tagged.pointer
        if moved:
            if here is not None:
                local.remember(self.warehouse_dir, [here])
            write_durable(self.warehouse_dir / POINTER, msgspec.json.encode(tagged.pointer) + b"\n")
            self._listing_at = 0.0
        self._pointer_tag = tagged.tag
        return moved

    def _follow_status(self) -> None:
        try:
            blob = self.remote.objects.read(STATUS, unless=self._status_tag)
        except NotModified:
            return
        if blob is not None:
            self.warehouse_dir.mkdir(parents=True, exist_ok=True)
            path = self.warehouse_dir / STATUS
            if not path.exists() or path.read_bytes() != blob.content:
                write_durable(path, blob.content)
            self._status_tag = blob.tag

    # -- kept releases and history --------------------------------------------------------------------------------

    def _follow_kept(self, limit: int | None) -> None:
        """Take up manifests, labels and history that are not here yet, newest first and at most `limit` of each."""
        kept = {stored.release_id: stored for stored in self.remote.stored() if stored.is_kept}
        with self._writing():
            missing = sorted(set(kept) - set(release_ids(self.warehouse_dir)), reverse=True)
            for release_id in missing[:limit]:
                with suppress(ReleaseNotFound):
                    local.bring_manifest(self.remote, self.warehouse_dir, release_id)
            for stored in kept.values():
                self._follow_label(stored)
            for release_id in set(release_ids(self.warehouse_dir)) - set(kept):
                if local.is_settled(self.warehouse_dir, release_id):
                    local.write_label(self.warehouse_dir, release_id, None)
                    discard_unpublished(self.warehouse_dir, release_id)
            local.trim(self.warehouse_dir)
            is_complete = self._follow_history(limit) and (limit is None or len(missing) <= limit)
        self._listing_at = time.monotonic() + (LISTING_SECONDS if is_complete else 0.0)

    def _follow_label(self, stored: Stored) -> None:
        listed = stored.files.get("label")
        if self._label_tags.get(stored.release_id, "") == (listed.tag if listed else "") and not (
            listed is None and local.has_label(self.warehouse_dir, stored.release_id)
        ):
            return
        label = self.remote.label(stored.release_id) if listed else None
        local.write_label(self.warehouse_dir, stored.release_id, label)
        self._label_tags[stored.release_id] = listed.tag if listed else ""

    def _follow_history(self, limit: int | None) -> bool:
        """Earlier pointers that this folder does not know; True when none is left to ask for."""
        known = {pointer.sequence for pointer in history(self.warehouse_dir)}
        newest = max(known, default=0)
        missing = [n for n in range(newest - 1, 0, -1) if n not in known and n >= self._oldest_known]
        found: list[Pointer] = []
        for sequence in missing[:limit]:
            past = self.remote.past(sequence)
            if past is None:  # older ones were never kept either
                self._oldest_known = sequence + 1
                missing = []
                break
            found.append(past)
        local.remember(self.warehouse_dir, found)
        return limit is None or len(missing) <= limit

    # -- the folder ------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._mark()
        with exclusive_lock(self.warehouse_dir / LOCK):
            yield

    def _mark(self) -> None:
        """Say on disk what the folder is a copy of. Raises StorageFault where it is something else already."""
        url = copied_from(self.warehouse_dir)
        if url == self.remote.place:
            return
        if url is not None:
            raise StorageFault(
                f"{self.warehouse_dir} is a copy of {url}, not of {self.remote.place}: give each place its own folder"
            )
        if (self.warehouse_dir / POINTER).exists():
            raise StorageFault(
                f"{self.warehouse_dir} holds releases that were published on this machine, and would be replaced by those of "
                f"{self.remote.place}: set WAREHOUSE_DIR to an empty folder"
            )
        self.warehouse_dir.mkdir(parents=True, exist_ok=True)
        write_durable(self.warehouse_dir / MARK, msgspec.json.encode(Mark(url=self.remote.place)))


def refuse_local_change(warehouse_dir: Path) -> None:
    """Raises StorageFault where the folder is a copy: what is decided in it would be undone by the next look."""
    url = copied_from(warehouse_dir)
    if url is not None:
        raise StorageFault(f"{warehouse_dir} is a copy of {url}: name the place with --url, or set LAKE_URL")
