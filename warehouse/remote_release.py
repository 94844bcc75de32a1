"""Decisions on releases that stand on object storage: publish, activate, resume, label. The twin of `warehouse.release`.

Each acts on the storage and then takes the result into the local copy. Light, as the mirror.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from warehouse.errors import BuildInputError, NoRelease, PointerMoved, ReleaseNotFound
from warehouse.manifest import Manifest, verify_database
from warehouse.mirror import Mirror
from warehouse.pointer import Pointer
from warehouse.release import newest_release, show_release
from warehouse.release_files import hold_shared, releases_dir

# Others move the pointer seldom: losing this often in a row means something else is wrong.
ATTEMPTS = 20


def publish_remote(
    mirror: Mirror, release_id: str, *, expected_sequence: int, now: datetime | None = None
) -> tuple[Pointer, bool]:
    """Send a built release and put it in force; says whether it is: a held pointer stays, and the release is kept.

    `expected_sequence` is the pointer's sequence that the build began from (0: none). Raises PointerMoved where another
    publisher moved it meanwhile, ReleaseTaken where one sends a release of the same id.
    """
    directory, manifest = _here(mirror, release_id)
    with _in_use(directory):
        mirror.remote.upload(directory, manifest)
        found = mirror.remote.pointer()
        if found and found.pointer.release_id == release_id:
            mirror.accept(found)
            return found.pointer, True
        if found and found.pointer.is_held:
            return found.pointer, False
        sequence = found.pointer.sequence if found else 0
        if sequence != expected_sequence:
            raise PointerMoved(expected_sequence, sequence)
        tagged = mirror.remote.swap(release_id, found, now=now)
        _keep(mirror, directory, manifest)
        mirror.accept(tagged)
    return tagged.pointer, True


def activate_remote(mirror: Mirror, release_id: str, *, by: str, reason: str, now: datetime | None = None) -> Pointer:
    """Put a kept release in force everywhere and hold it there until `resume_remote`.

    The file is copied here and verified first. Raises ReleaseNotFound, ReleaseCorrupt, StorageFault, PointerMoved;
    BuildInputError without a name or a reason.
    """
    faults = [f"{name} must not be empty" for name, value in (("by", by), ("reason", reason)) if not value.strip()]
    if faults:
        raise BuildInputError(faults)
    mirror.pull()
    show_release(mirror.warehouse_dir, release_id)
    mirror.fetch(release_id)
    return _put_in_force(mirror, release_id, by, reason, now)


def resume_remote(mirror: Mirror, *, now: datetime | None = None) -> Pointer:
    """End a hold and put the newest kept release in force everywhere. Raises NoRelease, ReleaseCorrupt, StorageFault."""
    mirror.pull()
    manifest = newest_release(mirror.warehouse_dir)
    if manifest is None:
        raise NoRelease(f"no readable release is kept at {mirror.remote.place}")
    mirror.fetch(manifest.release_id)
    return _put_in_force(mirror, manifest.release_id, None, None, now)


def label_remote(mirror: Mirror, release_id: str, label: str | None) -> None:
    """Label a kept release, or take its label away. Raises ReleaseNotFound."""
    mirror.pull()
    show_release(mirror.warehouse_dir, release_id)
    mirror.remote.set_label(release_id, label)
    mirror.pull()


def discard_remote(mirror: Mirror, release_id: str) -> None:
    """Delete a release that lost its race from the storage, unless someone made use of it."""
    directory, manifest = _here(mirror, release_id)
    mirror.remote.discard(directory, manifest)


def _put_in_force(mirror: Mirror, release_id: str, by: str | None, reason: str | None, now: datetime | None) -> Pointer:
    directory, manifest = _here(mirror, release_id)
    if not mirror.remote.is_kept(release_id):
        raise ReleaseNotFound(release_id, None)
    with _in_use(directory):
        verify_database(directory, manifest)
        lost: PointerMoved | None = None
        for _ in range(ATTEMPTS):
            found = mirror.remote.pointer()
            said = (found.pointer.release_id, found.pointer.held_by, found.pointer.held_reason) if found else None
            if found and said == (release_id, by, reason):
                return found.pointer
            try:
                tagged = mirror.remote.swap(release_id, found, held_by=by, held_reason=reason, now=now)
            except PointerMoved as moved:
                lost = moved  # a publisher was faster; the decision stands
                continue
            _keep(mirror, directory, manifest)
            mirror.accept(tagged)
            return tagged.pointer
    assert lost is not None
    raise lost


@contextmanager
def _in_use(directory: Path) -> Iterator[None]:
    """Tell housekeeping of this folder that the release is in use."""
    lock = hold_shared(directory)
    try:
        yield
    finally:
        os.close(lock)


def _keep(mirror: Mirror, directory: Path, manifest: Manifest) -> None:
    """Take back what housekeeping let go while it was being put in force."""
    if not mirror.remote.is_kept(manifest.release_id):
        mirror.remote.restore(directory, manifest)


def _here(mirror: Mirror, release_id: str) -> tuple[Path, Manifest]:
    return releases_dir(mirror.warehouse_dir) / release_id, show_release(mirror.warehouse_dir, release_id)
