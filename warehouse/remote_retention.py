"""Housekeeping on object storage: which releases are kept, and what aborted uploads leave behind.

No lock spans machines, so a release goes in two steps: it is no longer kept at once, its files go after a grace in which
whoever had found it is done. Replicas serve their own copies: nothing that they read is ever taken from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from warehouse.release import second_of
from warehouse.release_files import LABEL, MANIFEST
from warehouse.remote import PRUNED, Remote, Stored
from warehouse.retention import Retention

# Longer than any copy or activation that began while the release was kept, and than the pause between an upload's parts.
GRACE = timedelta(hours=1)


@dataclass(frozen=True)
class Pruned:
    """What housekeeping did: releases no longer kept, and ids whose files are gone for good. Oldest first."""

    let_go: list[str]
    deleted: list[str]


def prune_remote(
    remote: Remote, policy: Retention | None = None, *, now: datetime | None = None, grace: timedelta = GRACE
) -> Pruned:
    """Let go of releases by the policy, and delete files of those let go and of uploads given up longer ago than `grace`.

    Never let go: the release in force, a labelled one, the last one of each month (unless the policy says so).
    """
    policy = policy or Retention()
    moment = now or datetime.now(UTC)
    stored = remote.stored()
    gone = [
        s.release_id for s in _leaving(remote, [s for s in stored if s.is_kept], policy, moment) if _let_go(remote, s)
    ]
    deleted = []
    for release in stored:
        if release.is_kept or moment - max(f.changed_at for f in release.files.values()) <= grace:
            continue
        # An upload may have ended, or begun anew, since the listing.
        if remote.is_kept(release.release_id) or remote.is_in_force(release.release_id):
            continue
        remote.objects.delete(f"{release.release_id}/{name}" for name in release.files)
        deleted.append(release.release_id)
    return Pruned(gone, deleted)


def _leaving(remote: Remote, kept: Sequence[Stored], policy: Retention, moment: datetime) -> list[Stored]:
    found = remote.pointer()
    in_force = found.pointer.release_id if found else None
    last_of_month = {release.release_id[:6]: release.release_id for release in kept}
    leaving = []
    for position, release in enumerate(kept):
        is_recent = len(kept) - position <= policy.count or moment - second_of(release.release_id) < policy.age
        is_month_end = policy.keep_last_of_month and last_of_month[release.release_id[:6]] == release.release_id
        if not (is_recent or is_month_end or LABEL in release.files or release.release_id == in_force):
            leaving.append(release)
    return leaving


def _let_go(remote: Remote, release: Stored) -> bool:
    """Take a release from those kept, unless someone put it in force or labelled it meanwhile."""
    release_id = release.release_id
    manifest = remote.objects.read(f"{release_id}/{MANIFEST}")
    if manifest is None:
        return False
    remote.objects.write(f"{release_id}/{PRUNED}", b"")
    remote.objects.delete([f"{release_id}/{MANIFEST}"])
    # Who activates or labels it looks again after the decision, as this does: one of the two sees the other.
    if remote.is_in_force(release_id) or remote.label(release_id):
        remote.objects.write(f"{release_id}/{MANIFEST}", manifest.content)
        remote.objects.delete([f"{release_id}/{PRUNED}"])
        return False
    return True
