"""Releases on object storage: `current`, `history/<sequence>.json`, `<release id>/…`, `status.json`, `waivers.json`.

The pointer moves by a conditional write on its tag. A release's manifest is written last: without one it is not kept.
Light: msgspec and the standard library only, besides the storage driver.
"""

import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from warehouse.errors import PointerMoved, ReleaseCorrupt, ReleaseNotFound, StorageConflict, StorageFault
from warehouse.manifest import Manifest, Struct
from warehouse.object_store import PATIENT, Listed, Location, Objects, Patience, open_objects
from warehouse.pointer import FORMAT, POINTER, Pointer, parse_pointer
from warehouse.release_files import DATABASE, LABEL, MANIFEST

FOLDER = "_releases"
# Names an upload in progress, so that two publishers of the same second and content do not mix their files.
CLAIM = "upload.json"
# Says that housekeeping let a release go; its files follow when nobody can be reading them any more.
PRUNED = "pruned"
_RELEASE_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
# Every release id sorts before this, every other name behind it.
_AFTER_RELEASES = ":"


class ReleaseTaken(StorageConflict):
    """Another publisher sent, or is sending, a release under the same id; build again."""


class Claim(Struct, frozen=True, kw_only=True):
    """upload.json: who sends a release, and which file."""

    host: str
    process: int
    sha256: str
    started_at_utc: datetime


@dataclass(frozen=True)
class Tagged:
    """The pointer, and the tag that a conditional write names it by."""

    pointer: Pointer
    tag: str


@dataclass(frozen=True)
class Stored:
    """What is stored of one release, by name of the file."""

    release_id: str
    files: dict[str, Listed]

    @property
    def is_kept(self) -> bool:
        """It was sent completely and not let go."""
        return MANIFEST in self.files


class Remote:
    """The releases of one operator at one place. Raises StorageFault where the storage cannot be asked."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    @property
    def place(self) -> str:
        """The URL; never a credential."""
        return self.objects.place

    # -- the pointer ---------------------------------------------------------------------------------------------

    def pointer(self, *, unless: str | None = None) -> Tagged | None:
        """The pointer, None before the first publish. Raises NotModified (tag `unless`), PointerCorrupt."""
        blob = self.objects.read(POINTER, unless=unless)
        return None if blob is None else Tagged(parse_pointer(blob.content), blob.tag)

    def swap(
        self,
        release_id: str,
        found: Tagged | None,
        *,
        held_by: str | None = None,
        held_reason: str | None = None,
        now: datetime | None = None,
    ) -> Tagged:
        """Move the pointer from what was `found` to a release. Raises PointerMoved where it is another meanwhile."""
        sequence = found.pointer.sequence if found else 0
        pointer = Pointer(
            format=FORMAT,
            release_id=release_id,
            sequence=sequence + 1,
            held_by=held_by,
            held_reason=held_reason,
            changed_at_utc=now or datetime.now(UTC),
        )
        content = msgspec.json.encode(pointer) + b"\n"
        if found is not None:
            # Before the move, so that no move is ever missing; who loses the race writes the same content.
            self.objects.write(history_name(sequence), msgspec.json.encode(found.pointer) + b"\n")
        try:
            tag = self.objects.replace(POINTER, content, found.tag) if found else self.objects.create(POINTER, content)
        except (StorageConflict, StorageFault) as fault:
            # An answer that was lost looks like a fault, and its retry like a lost race: what stands there decides.
            there = self.objects.read(POINTER)
            if there is not None and there.content == content:
                return Tagged(pointer, there.tag)
            if isinstance(fault, StorageFault):
                raise
            raise PointerMoved(sequence, parse_pointer(there.content).sequence if there else 0) from None
        return Tagged(pointer, tag)

    def past(self, sequence: int) -> Pointer | None:
        """The pointer of an earlier sequence; None where it is not kept."""
        blob = self.objects.read(history_name(sequence))
        return None if blob is None else parse_pointer(blob.content)

    # -- releases ------------------------------------------------------------------------------------------------

    def stored(self) -> list[Stored]:
        """Everything stored of releases, kept ones and litter, oldest first."""
        found: dict[str, dict[str, Listed]] = {}
        for blob in self.objects.list(before=_AFTER_RELEASES):
            release_id, _, name = blob.name.partition("/")
            if _RELEASE_ID.fullmatch(release_id):
                found.setdefault(release_id, {})[name] = blob
        return [Stored(release_id, files) for release_id, files in sorted(found.items())]

    def is_kept(self, release_id: str) -> bool:
        """Whether the release was sent completely and not let go."""
        return self.objects.exists(f"{release_id}/{MANIFEST}")

    def manifest(self, release_id: str) -> bytes:
        """The manifest's bytes, unchecked. Raises ReleaseNotFound."""
        blob = self.objects.read(f"{release_id}/{MANIFEST}")
        if blob is None:
            raise ReleaseNotFound(release_id, None)
        return blob.content

    def download(self, release_id: str, target: Path) -> str:
        """Copy a release's database into a new file; its SHA-256. Raises ReleaseNotFound."""
        try:
            return self.objects.download(f"{release_id}/{DATABASE}", target)
        except FileNotFoundError:
            if not self.is_kept(release_id):
                raise ReleaseNotFound(release_id, None) from None
            raise ReleaseCorrupt(release_id, f"{self.place} holds its {MANIFEST} without its {DATABASE}") from None

    def upload(self, directory: Path, manifest: Manifest) -> None:
        """Send a built release: the claim, the database, which is read back and checked, and the manifest last.

        One that is kept already is left as it is. Raises ReleaseTaken also for one that was let go; ReleaseCorrupt.
        """
        release_id = manifest.release_id
        content = (directory / MANIFEST).read_bytes()
        there = self.objects.read(f"{release_id}/{MANIFEST}")
        if there is not None:
            if there.content != content:
                raise ReleaseTaken(f"{self.place} keeps another release {release_id}")
            return
        if self.objects.exists(f"{release_id}/{PRUNED}"):
            raise ReleaseTaken(f"{self.place} lets go of release {release_id}, its files are being deleted")
        self._claim(manifest)
        name = f"{release_id}/{DATABASE}"
        self.objects.upload(name, directory / DATABASE)
        found = self.objects.sha256(name)
        if found != manifest.database.sha256:
            self.objects.delete([name])
            raise ReleaseCorrupt(release_id, f"SHA-256 {found} arrived at {self.place}, not {manifest.database.sha256}")
        self.objects.write(f"{release_id}/{MANIFEST}", content)

    def _claim(self, manifest: Manifest) -> None:
        name = f"{manifest.release_id}/{CLAIM}"
        claim = Claim(
            host=socket.gethostname(),
            process=os.getpid(),
            sha256=manifest.database.sha256,
            started_at_utc=datetime.now(UTC),
        )
        try:
            self.objects.create(name, msgspec.json.encode(claim))
        except StorageConflict:
            there = self.objects.read(name)
            # The same file, begun before by a publisher that died: go on. Its lost answer looks the same.
            if there is None or msgspec.json.decode(there.content, type=Claim).sha256 != claim.sha256:
                raise ReleaseTaken(
                    f"{manifest.release_id} is being sent to {self.place} by another publisher"
                ) from None

    def restore(self, directory: Path, manifest: Manifest) -> None:
        """Keep a release again that housekeeping let go a moment ago, whose files therefore still stand."""
        self.objects.write(f"{manifest.release_id}/{MANIFEST}", (directory / MANIFEST).read_bytes())
        self.objects.delete([f"{manifest.release_id}/{PRUNED}"])

    def discard(self, directory: Path, manifest: Manifest) -> bool:
        """Delete a release that lost its race, manifest first, unless someone put it in force or labelled it."""
        release_id = manifest.release_id
        if self.is_in_force(release_id) or self.label(release_id):
            return False
        self.objects.delete(f"{release_id}/{name}" for name in (MANIFEST, LABEL, DATABASE, CLAIM, PRUNED))
        if self.is_in_force(release_id):  # put in force between the two looks: it comes back
            self.upload(directory, manifest)
            return False
        return True

    def is_in_force(self, release_id: str) -> bool:
        """Whether the pointer names the release."""
        found = self.pointer()
        return found is not None and found.pointer.release_id == release_id

    def label(self, release_id: str) -> str | None:
        """The release's label, if it has one."""
        blob = self.objects.read(f"{release_id}/{LABEL}")
        return None if blob is None else blob.content.decode("utf-8", "replace").strip() or None

    def set_label(self, release_id: str, label: str | None) -> None:
        """Label a kept release, or take its label away. Raises ReleaseNotFound."""
        if not self.is_kept(release_id):
            raise ReleaseNotFound(release_id, None)
        name = f"{release_id}/{LABEL}"
        if not label:
            self.objects.delete([name])
            return
        self.objects.write(name, label.strip().encode() + b"\n")
        if not self.is_kept(release_id):  # let go between the two looks: nothing to keep a label on
            self.objects.delete([name])
            raise ReleaseNotFound(release_id, None)


def history_name(sequence: int) -> str:
    """Name of the blob that an earlier pointer is kept in."""
    return f"history/{sequence:012d}.json"


def open_remote(lake: Location, patience: Patience = PATIENT) -> Remote:
    """The releases that belong to a lake on object storage. Nothing is asked of it yet."""
    return Remote(open_objects(lake.child(FOLDER), patience))
