"""Releases on object storage, where replicas share them: this process's copy is followed, completed and decided through here.

Storage that cannot be reached changes nothing that is served; the fault is shown and logged once.
"""

from pathlib import Path
from threading import Lock

from api.problems import Problem
from api.telemetry import logger
from warehouse.errors import PointerMoved, ReleaseNotFound, StorageConflict, StorageFault
from warehouse.mirror import Mirror
from warehouse.object_store import BRISK, Location
from warehouse.pointer import Pointer
from warehouse.release import activate, release_ids, resume
from warehouse.release_files import DATABASE, releases_dir
from warehouse.remote import open_remote
from warehouse.remote_release import activate_remote, resume_remote


class SharedReleases:
    """The copy in `warehouse_dir` of the releases that belong to `lake`; without `lake` the folder itself decides."""

    def __init__(self, lake: Location | None, warehouse_dir: Path, poll_seconds: float) -> None:
        self._warehouse_dir = warehouse_dir
        self._follower: Mirror | None = None
        self._asker: Mirror | None = None
        if lake is not None:
            remote = open_remote(lake, BRISK)
            # One follows on the follower's thread; the other brings and decides what callers ask for.
            self._follower = Mirror(remote, warehouse_dir, poll_seconds=poll_seconds)
            self._asker = Mirror(remote, warehouse_dir)
        self._asking = Lock()
        self._was_faulty = False
        self._distrusted: str | None = None

    @property
    def fault(self) -> str | None:
        """Why the storage is not followed; None where all is well, and where there is none."""
        return self._follower.fault if self._follower else None

    def follow(self) -> None:
        """Take up what was published elsewhere. Never raises for the storage."""
        if self._follower is None:
            return
        self._follower.sync()
        if (self.fault is not None) != self._was_faulty:
            self._was_faulty = self.fault is not None
            if self._was_faulty:
                logger.warning("storage not followed", extra={"fields": {"fault": self.fault}})
            else:
                logger.info("storage followed again")

    def doubt(self, reader_fault: str | None) -> None:
        """A copy that the reader refuses is checked once, and fetched again where it is damaged."""
        if self._follower is not None and reader_fault != self._distrusted:
            self._distrusted = reader_fault
            if reader_fault is not None:
                self._follower.distrust()

    def bring(self, release_id: str) -> None:
        """Copy a kept release's file where it is not here yet. Raises Problem releaseComing where that cannot be done now."""
        if self._asker is None or (releases_dir(self._warehouse_dir) / release_id / DATABASE).exists():
            return
        if release_id not in release_ids(self._warehouse_dir):
            return  # not kept: the reader says so, and names the nearest
        # One thread at most waits for the storage; the others answer what needs no waiting.
        if self.fault is not None or not self._asking.acquire(blocking=False):
            raise Problem("releaseComing", f"Release {release_id} is kept, and this replica has no copy of it yet.")
        try:
            self._asker.fetch(release_id)
        except ReleaseNotFound:
            return
        except (StorageFault, OSError) as fault:
            raise Problem("releaseComing", f"Release {release_id} could not be copied: {fault}"[:1000]) from fault
        finally:
            self._asking.release()

    def activate(self, release_id: str, *, by: str, reason: str) -> Pointer:
        """Put a release in force and hold it, for every replica. Raises as `warehouse.release.activate`; Problem."""
        if self._asker is None:
            return activate(self._warehouse_dir, release_id, by=by, reason=reason)
        try:
            return activate_remote(self._asker, release_id, by=by, reason=reason)
        except (StorageFault, StorageConflict, PointerMoved) as fault:
            raise _undecided(fault) from fault

    def resume(self) -> Pointer:
        """End a hold, for every replica. Raises as `warehouse.release.resume`; Problem."""
        if self._asker is None:
            return resume(self._warehouse_dir)
        try:
            return resume_remote(self._asker)
        except (StorageFault, StorageConflict, PointerMoved) as fault:
            raise _undecided(fault) from fault


def _undecided(fault: Exception) -> Problem:
    return Problem("storageUnreachable", f"The decision did not reach the storage, and nothing changed: {fault}"[:1000])
