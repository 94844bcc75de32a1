"""The pointer `current`: which release is served. It moves by compare-and-swap on its sequence, under a file lock.

Every move is also a line of `history.jsonl`, so that "active at T" can be answered. Light: msgspec and the standard library.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from warehouse.errors import PointerCorrupt, PointerMoved, ReleaseNotFound
from warehouse.manifest import Struct
from warehouse.release_files import MANIFEST, exclusive_lock, releases_dir, write_durable

FORMAT = 1
POINTER = "current"
HISTORY = "history.jsonl"
LOCK = ".pointer.lock"


class Pointer(Struct, frozen=True, kw_only=True):
    """The release in force; `held_by` and `held_reason` are set while later builds are kept and not activated."""

    format: int
    release_id: str
    sequence: int
    held_by: str | None
    held_reason: str | None
    changed_at_utc: datetime

    @property
    def is_held(self) -> bool:
        """Later builds are not activated."""
        return self.held_by is not None


_decoder = msgspec.json.Decoder(Pointer)


def parse_pointer(content: bytes) -> Pointer:
    """The pointer in `content`. Raises PointerCorrupt."""
    try:
        pointer = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise PointerCorrupt(f"`{POINTER}` is no pointer ({fault}); restore it with release-activate") from fault
    if pointer.format != FORMAT:
        raise PointerCorrupt(f"`{POINTER}` has format {pointer.format}, this version reads {FORMAT}")
    return pointer


def read_pointer(warehouse_dir: Path) -> Pointer | None:
    """The pointer, or None where nothing was ever published. Raises PointerCorrupt."""
    try:
        return parse_pointer((warehouse_dir / POINTER).read_bytes())
    except FileNotFoundError:
        return None


def swap_pointer(
    warehouse_dir: Path,
    release_id: str,
    *,
    expected_sequence: int | None = None,
    held_by: str | None = None,
    held_reason: str | None = None,
    respect_hold: bool = False,
    now: datetime | None = None,
) -> tuple[Pointer, bool]:
    """Move the pointer to `release_id` and say whether it moved.

    With `expected_sequence` (0 = no pointer yet) the move happens only from that sequence, else PointerMoved is raised.
    With `respect_hold` a held pointer stays as it is. A pointer that already says all this is not rewritten.
    """
    with exclusive_lock(warehouse_dir / LOCK):
        found = read_pointer(warehouse_dir)
        sequence = found.sequence if found else 0
        if found and found.is_held and respect_hold:
            return found, False
        if found and (found.release_id, found.held_by, found.held_reason) == (release_id, held_by, held_reason):
            return found, False
        if not (releases_dir(warehouse_dir) / release_id / MANIFEST).exists():
            raise ReleaseNotFound(release_id, None)  # pruned since the caller looked
        if expected_sequence is not None and expected_sequence != sequence:
            raise PointerMoved(expected_sequence, sequence)
        pointer = Pointer(
            format=FORMAT,
            release_id=release_id,
            sequence=sequence + 1,
            held_by=held_by,
            held_reason=held_reason,
            changed_at_utc=now or datetime.now(UTC),
        )
        if found:
            _log(warehouse_dir, found)
        write_durable(warehouse_dir / POINTER, msgspec.json.encode(pointer) + b"\n")
        return pointer, True


def history(warehouse_dir: Path) -> list[Pointer]:
    """Every pointer there was, oldest first, the one in force last."""
    try:
        lines = (warehouse_dir / HISTORY).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    past: dict[int, Pointer] = {}
    for line in lines:
        try:
            entry = parse_pointer(line)
        except PointerCorrupt:
            continue  # a line cut short by a crash; the move it belonged to was logged again
        past[entry.sequence] = entry
    current = read_pointer(warehouse_dir)
    if current:
        past[current.sequence] = current
    return [past[sequence] for sequence in sorted(past)]


def _log(warehouse_dir: Path, pointer: Pointer) -> None:
    """Append the pointer that is about to be replaced: before the move, so that a crash can only log it twice."""
    descriptor = os.open(warehouse_dir / HISTORY, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        line = b"\n" + msgspec.json.encode(pointer) + b"\n"
        # A disk that fills up takes a part of the line without complaint; the next write then says what is wrong.
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
