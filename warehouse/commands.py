"""What each command of `python -m warehouse` does, as lines of text. Light: only `waive` loads DuckDB and Polars."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from warehouse import release as releases
from warehouse import release_files as files
from warehouse.errors import ReleaseNotFound
from warehouse.manifest import GateResult, Manifest, Struct, Waiver
from warehouse.pointer import Pointer, read_pointer
from warehouse.retention import Retention, prune
from warehouse.waivers import give, pending


class Refused(Struct, frozen=True, kw_only=True):
    """What is read of refusal.json."""

    release_id: str
    built_at_utc: datetime
    reasons: list[GateResult]


def path(warehouse_dir: Path, release_id: str | None) -> Iterator[str]:
    """The DuckDB file of a release, by default of the one in force."""
    yield str(releases.release_path(warehouse_dir, release_id).resolve())


def listing(warehouse_dir: Path) -> Iterator[str]:
    """A line a kept release, newest first, then the hold, refused builds and waivers, where there are any."""
    found = releases.list_releases(warehouse_dir)
    if not found:
        yield f"no release is kept in {warehouse_dir}"
    for release in found:
        mark = "*" if release.is_current else " "
        facts = (
            release.fault
            if release.fault
            else f"{_instant(release.built_at_utc)}  to {release.latest_production_date}  "
            f"{(release.bytes or 0) / 1e6:8.1f} MB  {release.operator}  {release.code_version}"
        )
        yield f"{mark} {release.release_id}  {facts}{f'  [{release.label}]' if release.label else ''}"
    pointer = read_pointer(warehouse_dir)
    if pointer is not None:
        yield in_force(pointer)
    for refused in _refused(warehouse_dir):
        yield f"refused {refused.release_id}  {', '.join(r.gate for r in refused.reasons)}"
    for waiver in pending(warehouse_dir):
        yield f"waiver for the next release: {waiver.gate}, by {waiver.by}: {waiver.reason}"


def show(warehouse_dir: Path, release_id: str) -> Iterator[str]:
    """A release's manifest in words, or the reasons of a refused build. Raises ReleaseNotFound, ReleaseCorrupt."""
    try:
        manifest = releases.show_release(warehouse_dir, release_id)
    except ReleaseNotFound:
        refused = next((r for r in _refused(warehouse_dir) if r.release_id == release_id), None)
        if refused is None:
            raise
        yield f"refused build  {refused.release_id}  {_instant(refused.built_at_utc)}"
        yield f"file           {files.refused_dir(warehouse_dir) / release_id}"
        for reason in refused.reasons:
            yield f"  failed {reason.gate}: {reason.detail}"
        return
    yield from _manifest(manifest, releases.read_label(warehouse_dir, release_id))


def activated(warehouse_dir: Path, release_id: str, *, by: str, reason: str) -> Iterator[str]:
    """Put a kept release in force and hold it."""
    yield in_force(releases.activate(warehouse_dir, release_id, by=by, reason=reason))


def resumed(warehouse_dir: Path) -> Iterator[str]:
    """End the hold."""
    yield in_force(releases.resume(warehouse_dir))


def labelled(warehouse_dir: Path, release_id: str, text: str) -> Iterator[str]:
    """Label a release, or take its label away."""
    releases.set_label(warehouse_dir, release_id, text.strip() or None)
    yield label_given(release_id, text)


def label_given(release_id: str, text: str) -> str:
    """What came of a label, as a line."""
    return f"{release_id} is {f'labelled {text.strip()!r} and kept' if text.strip() else 'no longer labelled'}"


def pruned(warehouse_dir: Path, policy: Retention) -> Iterator[str]:
    """Delete what the policy lets go; ids of the deleted releases."""
    gone = prune(warehouse_dir, policy)
    yield from (f"deleted {release_id}" for release_id in gone)
    yield f"{len(gone)} deleted, {len(releases.release_ids(warehouse_dir))} kept"


def waived(warehouse_dir: Path, gate: str, *, by: str, reason: str) -> Iterator[str]:
    """Let the next release break a gate."""
    from warehouse import gates

    give(warehouse_dir, Waiver(gate=gate, by=by, reason=reason), allowed=set(gates.names()) - gates.NEVER_WAIVED)
    yield f"the next release may break {gate}, once"


def _manifest(manifest: Manifest, label: str | None) -> Iterator[str]:
    yield f"release        {manifest.release_id}{f'  [{label}]' if label else ''}"
    yield f"operator       {manifest.operator}{' (synthetic)' if manifest.is_synthetic else ''}"
    yield f"built          {_instant(manifest.built_at_utc)} by {manifest.code_version}, schema {manifest.schema_version}"
    yield f"production     {manifest.first_production_date} to {manifest.latest_production_date}, {manifest.zone}"
    yield f"follows        {manifest.previous_release_id or 'none'}"
    yield f"file           {manifest.database.size:,} bytes, SHA-256 {manifest.database.sha256}"
    yield f"inputs         {len(manifest.inputs):,} partitions, content {manifest.content}"
    for source, instant in sorted(manifest.high_water.items()):
        yield f"  newest of {source}: {_instant(instant)}"
    for table, rows in sorted(manifest.row_counts.items()):
        yield f"  {rows:>12,} rows {table}"
    for check in manifest.checks:
        word = "passed" if check.passed else "waived" if check.waived else "failed"
        yield f"  {word} {check.gate}: {check.detail}"
    for waiver in manifest.waivers:
        yield f"  waiver {waiver.gate}, by {waiver.by}: {waiver.reason}"


def _refused(warehouse_dir: Path) -> list[Refused]:
    """Refused builds, newest first; one whose reasons cannot be read is left out."""
    found = []
    for path in sorted(files.refused_dir(warehouse_dir).glob(f"*/{files.REFUSAL}"), reverse=True):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Refused))
        except (OSError, msgspec.DecodeError):
            continue
    return found


def in_force(pointer: Pointer) -> str:
    """The release in force, since when, and who holds it, as a line."""
    hold = f", held by {pointer.held_by}: {pointer.held_reason}" if pointer.is_held else ""
    return f"in force: {pointer.release_id} since {_instant(pointer.changed_at_utc)}{hold}"


def _instant(moment: datetime | None) -> str:
    return "unknown" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
