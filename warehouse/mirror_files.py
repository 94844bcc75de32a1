"""The files of a local copy: brought into `building/`, checked there, and renamed into place, as a build does it.

A kept release stands here with its manifest; its database is copied when it is needed. Light, as the mirror.
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from warehouse import release_files as files
from warehouse.errors import ReleaseCorrupt
from warehouse.manifest import read_manifest
from warehouse.pointer import HISTORY, Pointer, read_pointer
from warehouse.release import release_ids
from warehouse.remote import Remote
from warehouse.retention import sweep_building

# Databases of releases that are not in force, kept for who asks for them again.
SPARE_DATABASES = 5
# A release stands this long before a copy that storage does not know is deleted: its publisher may be sending it.
SETTLED_SECONDS = 600.0


def has_database(directory: Path) -> bool:
    """Whether the copy holds manifest and database."""
    return (directory / files.MANIFEST).exists() and (directory / files.DATABASE).exists()


def bring(remote: Remote, warehouse_dir: Path, release_id: str) -> None:
    """Copy a release whole where it is not here: size and SHA-256 are checked before it is renamed into place.

    Raises ReleaseNotFound, ReleaseCorrupt, StorageFault; then nothing changed.
    """
    target = files.releases_dir(warehouse_dir) / release_id
    if has_database(target):
        return
    with _workplace(warehouse_dir, release_id) as work:
        (work / files.MANIFEST).write_bytes(remote.manifest(release_id))
        manifest = read_manifest(work)
        path = work / files.DATABASE
        found = remote.download(release_id, path)
        size = path.stat().st_size
        if size != manifest.database.size:
            raise ReleaseCorrupt(release_id, f"{path.name} came with {size} bytes, not {manifest.database.size}")
        if found != manifest.database.sha256:
            raise ReleaseCorrupt(release_id, f"{path.name} came with SHA-256 {found}, not {manifest.database.sha256}")
        path.chmod(0o444)
        (work / files.MANIFEST).chmod(0o444)
        files.sync_dir(work)
        if (target / files.MANIFEST).exists():
            (work / files.MANIFEST).replace(target / files.MANIFEST)
            path.replace(target / files.DATABASE)
            files.sync_dir(target)
        else:
            _place(work, target)


def bring_manifest(remote: Remote, warehouse_dir: Path, release_id: str) -> None:
    """Copy a release's manifest. Raises ReleaseNotFound, ReleaseCorrupt, StorageFault; then nothing changed."""
    content = remote.manifest(release_id)
    with _workplace(warehouse_dir, release_id) as work:
        (work / files.MANIFEST).write_bytes(content)
        (work / files.MANIFEST).chmod(0o444)
        _place(work, files.releases_dir(warehouse_dir) / release_id)


def _place(work: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    with suppress(OSError):
        target.rmdir()  # an empty folder would stand in the way of nothing but the rename
    files.sync_dir(work)
    work.rename(target)
    files.sync_dir(target.parent)


@contextmanager
def _workplace(warehouse_dir: Path, release_id: str) -> Iterator[Path]:
    """A folder named like the release inside one of `building/`, locked against the sweeper and gone afterwards."""
    sweep_building(warehouse_dir)
    outer = files.building_dir(warehouse_dir) / f"{release_id}.{os.getpid()}-{secrets.token_hex(4)}"
    with files.exclusive_lock(warehouse_dir / files.BUILDING_LOCK):
        inner = outer / release_id
        inner.mkdir(parents=True)
        lock = files.hold_shared(outer)
    try:
        yield inner
    finally:
        os.close(lock)
        shutil.rmtree(outer, ignore_errors=True)


def forget(warehouse_dir: Path, release_id: str) -> None:
    """Drop a damaged copy's files, so that they are brought again; whoever has them open goes on reading them."""
    directory = files.releases_dir(warehouse_dir) / release_id
    for name in (files.DATABASE, files.MANIFEST):
        (directory / name).unlink(missing_ok=True)


def touch(directory: Path) -> None:
    """Note that the database was asked for: the least recently used go first."""
    with suppress(OSError):
        os.utime(directory)


def is_settled(warehouse_dir: Path, release_id: str) -> bool:
    """Whether the release stands here long enough to be deleted where storage does not know it."""
    try:
        changed = (files.releases_dir(warehouse_dir) / release_id / files.MANIFEST).stat().st_ctime
    except FileNotFoundError:
        return False
    return time.time() - changed > SETTLED_SECONDS


def trim(warehouse_dir: Path) -> None:
    """Drop databases that are neither in force, nor in use, nor among the last few asked for; their manifests stay."""
    pointer = read_pointer(warehouse_dir)
    in_force = pointer.release_id if pointer else None
    folder = files.releases_dir(warehouse_dir)
    spare = [folder / i for i in release_ids(warehouse_dir) if i != in_force and has_database(folder / i)]
    spare.sort(key=lambda directory: directory.stat().st_mtime, reverse=True)
    for directory in spare[SPARE_DATABASES:]:
        lock = files.try_exclusive(directory)
        if lock is None:
            continue
        try:
            if not files.is_open_elsewhere(directory / files.DATABASE):
                (directory / files.DATABASE).unlink(missing_ok=True)
        finally:
            os.close(lock)


def has_label(warehouse_dir: Path, release_id: str) -> bool:
    """Whether the copy is labelled."""
    return (files.releases_dir(warehouse_dir) / release_id / files.LABEL).exists()


def write_label(warehouse_dir: Path, release_id: str, label: str | None) -> None:
    """Give the copy the label that storage has; a release that is not here has none to give."""
    directory = files.releases_dir(warehouse_dir) / release_id
    if label and directory.is_dir():
        files.write_durable(directory / files.LABEL, label.encode() + b"\n")
    else:
        (directory / files.LABEL).unlink(missing_ok=True)


def remember(warehouse_dir: Path, pointers: Sequence[Pointer]) -> None:
    """Add earlier pointers to `history.jsonl`; the order of its lines means nothing."""
    if not pointers:
        return
    lines = b"".join(b"\n" + msgspec.json.encode(pointer) + b"\n" for pointer in pointers)
    with (warehouse_dir / HISTORY).open("ab") as stream:
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())
