"""Releases as a set: publish, roll back with a hold, resume, list, show, label, and which one was active when.

Light: msgspec and the standard library only, so that the API may use it.
"""

from datetime import UTC, datetime
from pathlib import Path

from warehouse.errors import BuildInputError, NoRelease, ReleaseCorrupt, ReleaseNotFound, WarehouseError
from warehouse.manifest import Manifest, Struct, read_manifest, verify_database
from warehouse.pointer import Pointer, history, read_pointer, swap_pointer
from warehouse.release_files import (
    LABEL,
    MANIFEST,
    database_path,
    releases_dir,
    write_durable,
)


class ReleaseSummary(Struct, frozen=True, kw_only=True):
    """One kept release in a listing; `fault` says why its manifest cannot be read, and the rest is then null."""

    release_id: str
    is_current: bool
    is_held: bool
    label: str | None
    operator: str | None
    is_synthetic: bool | None
    built_at_utc: datetime | None
    latest_production_date: str | None
    code_version: str | None
    bytes: int | None
    fault: str | None


def release_ids(warehouse_dir: Path) -> list[str]:
    """Ids of the kept releases, oldest first by the second of their build."""
    try:
        return sorted(d.name for d in releases_dir(warehouse_dir).iterdir() if (d / MANIFEST).exists())
    except FileNotFoundError:
        return []


def show_release(warehouse_dir: Path, release_id: str) -> Manifest:
    """The manifest of a kept release. Raises ReleaseNotFound (naming the nearest kept one) or ReleaseCorrupt."""
    ids = release_ids(warehouse_dir)
    if release_id not in ids:
        raise ReleaseNotFound(release_id, nearest_release(ids, release_id))
    return read_manifest(releases_dir(warehouse_dir) / release_id)


def nearest_release(ids: list[str], release_id: str) -> str | None:
    """Of `ids`, the one whose time stamp is nearest to that of `release_id`; the newest where that cannot be read."""
    if not ids:
        return None
    try:
        wanted = second_of(release_id)
        return min(ids, key=lambda kept: abs((second_of(kept) - wanted).total_seconds()))
    except ValueError:
        return max(ids)


def second_of(release_id: str) -> datetime:
    """The second of its build, as its id says. Raises ValueError for what is no release's id."""
    return datetime.strptime(release_id.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def newest_release(warehouse_dir: Path) -> Manifest | None:
    """Manifest of the release built last; several of one second are told apart by their exact time. Skips corrupt ones."""
    ids = release_ids(warehouse_dir)
    newest: Manifest | None = None
    for release_id in reversed(ids):
        if newest and release_id[:16] < newest.release_id[:16]:
            break
        try:
            manifest = read_manifest(releases_dir(warehouse_dir) / release_id)
        except ReleaseCorrupt:
            continue
        if newest is None or manifest.built_at_utc > newest.built_at_utc:
            newest = manifest
    return newest


def list_releases(warehouse_dir: Path) -> list[ReleaseSummary]:
    """Every kept release, newest first."""
    pointer = read_pointer(warehouse_dir)
    found = []
    for release_id in release_ids(warehouse_dir):
        directory = releases_dir(warehouse_dir) / release_id
        is_current = pointer is not None and pointer.release_id == release_id
        manifest: Manifest | None = None
        fault: str | None = None
        try:
            manifest = read_manifest(directory)
        except WarehouseError as error:
            fault = str(error)
        found.append(
            ReleaseSummary(
                release_id=release_id,
                is_current=is_current,
                is_held=is_current and pointer is not None and pointer.is_held,
                label=read_label(warehouse_dir, release_id),
                operator=manifest.operator if manifest else None,
                is_synthetic=manifest.is_synthetic if manifest else None,
                built_at_utc=manifest.built_at_utc if manifest else None,
                latest_production_date=manifest.latest_production_date.isoformat() if manifest else None,
                code_version=manifest.code_version if manifest else None,
                bytes=manifest.database.size if manifest else None,
                fault=fault,
            )
        )
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(found, key=lambda r: (r.release_id[:16], r.built_at_utc or oldest), reverse=True)


def release_path(warehouse_dir: Path, release_id: str | None = None) -> Path:
    """The DuckDB file of a release, by default of the one in force. Raises NoRelease or ReleaseNotFound."""
    if release_id is None:
        pointer = read_pointer(warehouse_dir)
        if pointer is None:
            raise NoRelease(f"nothing was published in {warehouse_dir} yet")
        release_id = pointer.release_id
    path = database_path(warehouse_dir, release_id)
    if not path.exists():
        raise ReleaseNotFound(release_id, nearest_release(release_ids(warehouse_dir), release_id))
    return path


def publish(
    warehouse_dir: Path, release_id: str, *, expected_sequence: int, now: datetime | None = None
) -> tuple[Pointer, bool]:
    """Make a built release the one in force, and say whether it is: a held pointer stays, and the release is kept.

    `expected_sequence` is the pointer's sequence that the build began from (0: none). Raises PointerMoved where another
    publisher moved it meanwhile.
    """
    show_release(warehouse_dir, release_id)
    pointer, _ = swap_pointer(
        warehouse_dir, release_id, expected_sequence=expected_sequence, respect_hold=True, now=now
    )
    return pointer, pointer.release_id == release_id


def activate(warehouse_dir: Path, release_id: str, *, by: str, reason: str, now: datetime | None = None) -> Pointer:
    """Put a kept release in force and hold it there: later builds are kept and not activated until `resume`.

    The file is verified first. Raises ReleaseNotFound, ReleaseCorrupt; BuildInputError without a name or a reason.
    """
    faults = [f"{name} must not be empty" for name, value in (("by", by), ("reason", reason)) if not value.strip()]
    if faults:
        raise BuildInputError(faults)
    manifest = show_release(warehouse_dir, release_id)
    verify_database(releases_dir(warehouse_dir) / release_id, manifest)
    pointer, _ = swap_pointer(warehouse_dir, release_id, held_by=by, held_reason=reason, now=now)
    return pointer


def resume(warehouse_dir: Path, *, now: datetime | None = None) -> Pointer:
    """End a hold and put the newest kept release in force. Raises NoRelease, ReleaseCorrupt."""
    manifest = newest_release(warehouse_dir)
    if manifest is None:
        raise NoRelease(f"no readable release is kept in {warehouse_dir}")
    verify_database(releases_dir(warehouse_dir) / manifest.release_id, manifest)
    pointer, _ = swap_pointer(warehouse_dir, manifest.release_id, now=now)
    return pointer


def active_at(warehouse_dir: Path, instant: datetime) -> str | None:
    """Id of the release that was in force at the instant, kept or not; None before the first."""
    active: str | None = None
    for pointer in history(warehouse_dir):
        if pointer.changed_at_utc > instant:
            break
        active = pointer.release_id
    return active


def read_label(warehouse_dir: Path, release_id: str) -> str | None:
    """The release's label, if it has one: a labelled release is never pruned."""
    try:
        return (releases_dir(warehouse_dir) / release_id / LABEL).read_text("utf-8").strip() or None
    except OSError:
        return None


def set_label(warehouse_dir: Path, release_id: str, label: str | None) -> None:
    """Label a kept release, or take its label away. Raises ReleaseNotFound."""
    show_release(warehouse_dir, release_id)
    path = releases_dir(warehouse_dir) / release_id / LABEL
    if label:
        write_durable(path, label.strip().encode() + b"\n")
    else:
        path.unlink(missing_ok=True)
