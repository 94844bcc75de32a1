"""Paths of a warehouse and the few durable file operations that everything else is made of.

`releases/<id>/`, `refused/<id>/`, `building/`, `current`, `history.jsonl`, `status.json`. Light: the standard library only.
"""

import fcntl
import hashlib
import os
import secrets
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DATABASE = "warehouse.duckdb"
MANIFEST = "manifest.json"
LABEL = "label"
REFUSAL = "refusal.json"
BUILDING_LOCK = ".building.lock"
# struct flock of Linux: type, whence, start, length, process.
_FLOCK = "hhlli"


def releases_dir(warehouse_dir: Path) -> Path:
    """Kept releases."""
    return warehouse_dir / "releases"


def refused_dir(warehouse_dir: Path) -> Path:
    """Builds that a gate refused, kept for inspection."""
    return warehouse_dir / "refused"


def building_dir(warehouse_dir: Path) -> Path:
    """Builds in progress, on the same file system as the releases."""
    return warehouse_dir / "building"


def database_path(warehouse_dir: Path, release_id: str) -> Path:
    """The DuckDB file of a kept release."""
    return releases_dir(warehouse_dir) / release_id / DATABASE


def sync_dir(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durable(path: Path, content: bytes) -> None:
    """Replace a file atomically: a reader sees the old content or the new, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_dir(path.parent)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an advisory lock on a lock file, between processes and between threads; ends with the process if it dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_exclusive(path: Path) -> int | None:
    """A descriptor that holds the lock on an existing file or directory, or None where someone else has it; close it to release."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_open_elsewhere(path: Path) -> bool:
    """Whether another process holds a lock on the file, as DuckDB does while it has a database open.

    False where the file is gone and where the system cannot say (anything but Linux).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Asks what would stand in the way of a writer; nothing is locked.
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        return bool(found[0] != fcntl.F_UNLCK)
    except OSError:
        return False  # a file system without such locks: DuckDB holds none there either
    finally:
        os.close(descriptor)


def hold_shared(path: Path) -> int:
    """A descriptor that holds a shared lock on an existing file or directory: says "in use" to housekeeping."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor
