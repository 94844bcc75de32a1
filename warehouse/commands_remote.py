"""What each command of `python -m warehouse --url` does: the copy is brought up to date first, decisions go to the storage.

Refused builds are listed where they were built: they are kept in the publisher's folder only.
"""

from collections.abc import Iterator

from warehouse import commands
from warehouse.manifest import Waiver
from warehouse.mirror import Mirror
from warehouse.release import show_release
from warehouse.remote_documents import give_waiver, pending_waivers
from warehouse.remote_release import activate_remote, label_remote, resume_remote
from warehouse.remote_retention import GRACE, prune_remote
from warehouse.retention import Retention, prune


def path(mirror: Mirror, release_id: str | None) -> Iterator[str]:
    """The local copy of a release's DuckDB file, copied where it was not here."""
    mirror.pull()
    if release_id is not None:
        show_release(mirror.warehouse_dir, release_id)
        mirror.fetch(release_id)
    yield from commands.path(mirror.warehouse_dir, release_id)


def listing(mirror: Mirror) -> Iterator[str]:
    """A line a kept release, newest first, then the hold and waivers, where there are any."""
    mirror.pull()
    yield from commands.listing(mirror.warehouse_dir)
    for waiver in pending_waivers(mirror.remote):
        yield f"waiver for the next release: {waiver.gate}, by {waiver.by}: {waiver.reason}"


def show(mirror: Mirror, release_id: str) -> Iterator[str]:
    """A release's manifest in words. Raises ReleaseNotFound, ReleaseCorrupt."""
    mirror.pull()
    yield from commands.show(mirror.warehouse_dir, release_id)


def activated(mirror: Mirror, release_id: str, *, by: str, reason: str) -> Iterator[str]:
    """Put a kept release in force everywhere and hold it."""
    yield commands.in_force(activate_remote(mirror, release_id, by=by, reason=reason))


def resumed(mirror: Mirror) -> Iterator[str]:
    """End the hold."""
    yield commands.in_force(resume_remote(mirror))


def labelled(mirror: Mirror, release_id: str, text: str) -> Iterator[str]:
    """Label a release, or take its label away."""
    label_remote(mirror, release_id, text.strip() or None)
    yield commands.label_given(release_id, text)


def pruned(mirror: Mirror, policy: Retention) -> Iterator[str]:
    """Let go of what the policy lets go, on the storage and in this copy, and delete what was let go before."""
    done = prune_remote(mirror.remote, policy)
    mirror.pull()
    prune(mirror.warehouse_dir, policy)
    yield from (f"no longer kept {release_id}" for release_id in done.let_go)
    yield from (f"deleted {release_id}" for release_id in done.deleted)
    kept = sum(stored.is_kept for stored in mirror.remote.stored())
    minutes = int(GRACE.total_seconds() // 60)
    yield f"{len(done.let_go)} let go (files go {minutes} minutes later), {len(done.deleted)} deleted, {kept} kept"


def waived(mirror: Mirror, gate: str, *, by: str, reason: str) -> Iterator[str]:
    """Let the next release break a gate, whichever machine builds it."""
    from warehouse import gates

    give_waiver(mirror.remote, Waiver(gate=gate, by=by, reason=reason), allowed=set(gates.names()) - gates.NEVER_WAIVED)
    yield f"the next release may break {gate}, once"
