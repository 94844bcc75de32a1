"""Housekeeping: which releases are kept, and what crashed or refused builds leave behind.

Never deleted: the release in force, one that a reader or an analyst's DuckDB holds open, a labelled one, the last one of
each month.
"""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from warehouse import release_files as files
from warehouse.pointer import LOCK, POINTER, read_pointer
from warehouse.release import ReleaseSummary, list_releases, read_label, release_ids, second_of
from warehouse.status import STATUS
from warehouse.waivers import WAIVERS

# A replace takes milliseconds: what is this old has no writer any more.
HALF_WRITTEN_AGE = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """A release goes when it is neither among the newest `count` nor younger than `age`. Refused builds go by the same."""

    count: int = 14
    age: timedelta = timedelta(days=14)
    keep_last_of_month: bool = True


def prune(warehouse_dir: Path, policy: Retention | None = None, *, now: datetime | None = None) -> list[str]:
    """Delete releases and refused builds that the policy lets go; ids of the deleted releases, oldest first."""
    policy = policy or Retention()
    moment = now or datetime.now(UTC)
    sweep_building(warehouse_dir)
    _sweep_half_written(warehouse_dir, moment)
    _prune_refused(warehouse_dir, policy, moment)
    kept = list_releases(warehouse_dir)
    last_of_month: dict[str, str] = {}
    for release in kept:
        last_of_month.setdefault(release.release_id[:6], release.release_id)
    gone = []
    for position, release in enumerate(reversed(kept)):
        is_recent = len(kept) - position <= policy.count or moment - _built(release) < policy.age
        is_month_end = policy.keep_last_of_month and last_of_month[release.release_id[:6]] == release.release_id
        if is_recent or is_month_end or release.label or release.is_current:
            continue
        if _delete(warehouse_dir, release.release_id):
            gone.append(release.release_id)
    return gone


def _built(release: ReleaseSummary) -> datetime:
    if release.built_at_utc is not None:
        return release.built_at_utc
    return second_of(release.release_id)


def discard_unpublished(warehouse_dir: Path, release_id: str) -> bool:
    """Delete a release that lost its race, unless someone made it the one in force, labelled it or reads it."""
    return _delete(warehouse_dir, release_id)


def sweep_building(warehouse_dir: Path) -> list[str]:
    """Delete what dead builders left in `building/`; names of what went. A living builder's lock protects its folder."""
    gone = []
    folder = files.building_dir(warehouse_dir)
    with files.exclusive_lock(warehouse_dir / files.BUILDING_LOCK):
        for work in sorted(folder.iterdir()) if folder.exists() else ():
            lock = files.try_exclusive(work)
            if lock is None:
                continue
            shutil.rmtree(work, ignore_errors=True)
            os.close(lock)
            gone.append(work.name)
    return gone


def _delete(warehouse_dir: Path, release_id: str) -> bool:
    """Move a release out of sight, then delete it: a crash in between leaves litter for the sweeper, not half a release."""
    directory = files.releases_dir(warehouse_dir) / release_id
    with files.exclusive_lock(warehouse_dir / LOCK):
        pointer = read_pointer(warehouse_dir)
        if (pointer and pointer.release_id == release_id) or read_label(warehouse_dir, release_id):
            return False
        try:
            lock = files.try_exclusive(directory)
        except FileNotFoundError:
            return False
        if lock is None:
            return False
        if files.is_open_elsewhere(directory / files.DATABASE):
            os.close(lock)
            return False
        doomed = files.building_dir(warehouse_dir) / f"pruned-{release_id}"
        doomed.parent.mkdir(exist_ok=True)
        directory.rename(doomed)
        files.sync_dir(directory.parent)
    shutil.rmtree(doomed, ignore_errors=True)
    os.close(lock)
    return True


def _sweep_half_written(warehouse_dir: Path, moment: datetime) -> None:
    """Delete what a process killed inside an atomic replace left beside the pointer, status, waivers and labels."""
    places = [(warehouse_dir, name) for name in (POINTER, STATUS, WAIVERS)]
    places += [(files.releases_dir(warehouse_dir) / kept, files.LABEL) for kept in release_ids(warehouse_dir)]
    for path in (p for folder, name in places for p in folder.glob(f".{name}.*-*")):
        if moment - datetime.fromtimestamp(path.stat().st_mtime, UTC) > HALF_WRITTEN_AGE:
            path.unlink(missing_ok=True)


def _prune_refused(warehouse_dir: Path, policy: Retention, moment: datetime) -> None:
    folder = files.refused_dir(warehouse_dir)
    refused = sorted((d for d in folder.iterdir() if d.is_dir()), reverse=True) if folder.exists() else []
    for position, directory in enumerate(refused):
        age = moment - datetime.fromtimestamp(directory.stat().st_mtime, UTC)
        if position >= policy.count and age >= policy.age:
            shutil.rmtree(directory, ignore_errors=True)
