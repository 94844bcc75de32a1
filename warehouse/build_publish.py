"""Build and publish as one act: the loser of a race builds again from the winner, a hold keeps the release aside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from warehouse.build import ReleaseRequest, build_release
from warehouse.build_database import Progress
from warehouse.errors import PointerMoved
from warehouse.manifest import GateResult, Waiver
from warehouse.mirror import Mirror, refuse_local_change
from warehouse.release import publish
from warehouse.remote import ReleaseTaken
from warehouse.remote_documents import pending_waivers, spend_waivers
from warehouse.remote_release import discard_remote, publish_remote
from warehouse.retention import discard_unpublished
from warehouse.waivers import pending, spend

# Publishers are few and a build takes seconds: losing this often in a row means something else is wrong.
ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True)
class PublishResult:
    """What came of it. `release_id` is the release with this content, new or kept already; None where a gate refused.

    `is_active` says that it is in force now; `is_unchanged` that no release had to be built; `is_held` that a hold
    keeps another one in force.
    """

    release_id: str | None
    path: Path
    is_active: bool
    is_unchanged: bool = False
    is_held: bool = False
    refused: tuple[GateResult, ...] = ()
    checks: tuple[GateResult, ...] = ()


def build_and_publish(
    warehouse_dir: Path,
    tables: Mapping[str, pl.DataFrame | pl.LazyFrame],
    *,
    info: ReleaseRequest,
    progress: Progress | None = None,
    waivers: Sequence[Waiver] = (),
    built_at: datetime | None = None,
    mirror: Mirror | None = None,
) -> PublishResult:
    """Build a release and put it in force; a new one spends the waivers that were given for it.

    With `mirror`, of the same folder, the release is built here, sent to the mirror's storage and put in force there.
    Raises as build_release; PointerMoved after losing too many races; StorageFault, and for a folder that is a copy.
    """
    if mirror is None:
        refuse_local_change(warehouse_dir)
    lost: PointerMoved | ReleaseTaken | None = None
    lost_id: str | None = None
    given = pending(warehouse_dir) if mirror is None else pending_waivers(mirror.remote)
    for _ in range(ATTEMPTS):
        if mirror is not None:
            mirror.before_build()
        built = build_release(
            warehouse_dir,
            tables,
            info=info,
            progress=progress,
            waivers=[*waivers, *given],
            built_at=built_at,
            lost=lost_id,
        )
        if built.refused:
            return PublishResult(
                release_id=None, path=built.path, is_active=False, refused=built.refused, checks=built.checks
            )
        release_id = built.release_id or built.unchanged_release_id
        assert release_id is not None
        try:
            if mirror is None:
                pointer, is_active = publish(warehouse_dir, release_id, expected_sequence=built.base_sequence)
            else:
                pointer, is_active = publish_remote(mirror, release_id, expected_sequence=built.base_sequence)
        except (PointerMoved, ReleaseTaken) as moved:
            lost, lost_id = moved, release_id
            is_taken = isinstance(moved, ReleaseTaken)
            if built.unchanged_release_id is None or is_taken:
                if mirror is not None and not is_taken:
                    discard_remote(mirror, release_id)
                discard_unpublished(warehouse_dir, release_id)
            continue
        if built.unchanged_release_id is None:
            if mirror is None:
                spend(warehouse_dir, given)
            else:
                spend_waivers(mirror.remote, given)
        return PublishResult(
            release_id=release_id,
            path=built.path,
            is_active=is_active,
            is_unchanged=built.unchanged_release_id is not None,
            is_held=pointer.is_held,
            checks=built.checks,
        )
    assert lost is not None
    raise lost
