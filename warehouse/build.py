"""Builds a release: a new DuckDB file from checked frames, verified by reopening, judged by gates, moved into place.

Nothing that a reader sees is touched; the pointer is moved elsewhere. A refused build is kept apart with its reasons.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import polars as pl

from warehouse import build_database as database
from warehouse import ddl, gates
from warehouse import release_files as files
from warehouse.errors import BuildFailed, BuildInputError, OperatorMismatch, WarehouseError
from warehouse.manifest import (
    FORMAT,
    SCHEMA_VERSION,
    DatabaseFile,
    GateResult,
    InputPartition,
    Manifest,
    Struct,
    Waiver,
    read_manifest,
    verify_database,
    write_manifest,
)
from warehouse.pointer import Pointer, read_pointer
from warehouse.release import newest_release, second_of
from warehouse.retention import sweep_building


@dataclass(frozen=True, kw_only=True)
class ReleaseRequest:
    """What is said of a release: whose it is, which files it is built from, and how new each source's data is.

    `as_of` is the newest source instant used; `high_water` holds one such instant a source. All instants carry a zone.
    """

    operator: str
    is_synthetic: bool
    code_version: str
    as_of: datetime
    zone: str
    inputs: Sequence[InputPartition]
    high_water: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What came of a build. `release_id` is None where nothing changed or a gate refused.

    `path` is the directory of the release, or of the refused build. `base_sequence` is the pointer's sequence that the
    build was compared with: publish expects it. `unchanged_release_id` is the kept release with the same content.
    """

    release_id: str | None
    path: Path
    content: str
    base_sequence: int
    refused: tuple[GateResult, ...] = ()
    checks: tuple[GateResult, ...] = ()
    unchanged_release_id: str | None = None


class Refusal(Struct, frozen=True, kw_only=True):
    """refusal.json: why a build was refused."""

    release_id: str
    operator: str
    built_at_utc: datetime
    reasons: list[GateResult]
    checks: list[GateResult]


@dataclass(frozen=True)
class _Base:
    """The release in force when the build began."""

    pointer: Pointer | None
    manifest: Manifest | None
    database: Path | None


def build_release(
    warehouse_dir: Path,
    tables: Mapping[str, pl.DataFrame | pl.LazyFrame],
    *,
    info: ReleaseRequest,
    progress: database.Progress | None = None,
    waivers: Sequence[Waiver] = (),
    built_at: datetime | None = None,
    lost: str | None = None,
) -> BuildResult:
    """Build a release from `tables` (catalogue name → rows at the catalogue's grain, in base units), not yet in force.

    `lost` is the release that was built of them before and lost its race: its id is not given a second time.

    Raises BuildInputError (all faults of the input at once), OperatorMismatch, BuildFailed (a full disk). A frame that
    breaks its schema and a failed gate do not raise: they refuse the build, which is then kept under `refused/`.
    """
    _check_input(tables, info, waivers)
    say = progress or (lambda _: None)
    content = content_of(info)
    base = _base(warehouse_dir, info.operator)
    kept = _kept_with(warehouse_dir, content, base)
    sequence = base.pointer.sequence if base.pointer else 0
    if kept is not None:
        in_force = base.pointer is not None and (base.pointer.is_held or base.pointer.release_id == kept.release_id)
        say(f"nothing changed since release {kept.release_id}")
        return BuildResult(
            release_id=None if in_force else kept.release_id,
            path=files.releases_dir(warehouse_dir) / kept.release_id,
            content=content,
            base_sequence=sequence,
            checks=tuple(kept.checks),
            unchanged_release_id=kept.release_id,
        )
    moment = _build_time(warehouse_dir, built_at, lost)
    release_id = f"{moment:%Y%m%dT%H%M%SZ}-{content[:8]}"
    sweep_building(warehouse_dir)
    work = files.building_dir(warehouse_dir) / f"{release_id}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with files.exclusive_lock(warehouse_dir / files.BUILDING_LOCK):
            work.mkdir(parents=True)
            lock = files.hold_shared(work)  # says "alive" to the sweeper; ends with this process
        try:
            return _build(warehouse_dir, work, release_id, moment, tables, info, base, content, sequence, waivers, say)
        finally:
            os.close(lock)
            shutil.rmtree(work, ignore_errors=True)
    except (OSError, duckdb.OperationalError, duckdb.FatalException) as fault:
        raise BuildFailed(
            f"release {release_id} could not be written in {warehouse_dir}: {fault}; readers keep the last one: "
            "make room or mend the disk, then run again"
        ) from fault


def content_of(info: ReleaseRequest) -> str:
    """Hash of what a release is made of: inputs, operator, zone and the catalogue. Equal content means nothing to publish."""
    parts = [ddl.fingerprint(), info.operator, str(info.is_synthetic), info.zone]
    parts += sorted(f"{i.table}/{i.partition}/{i.sha256}" for i in info.inputs)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _build(
    warehouse_dir: Path,
    work: Path,
    release_id: str,
    moment: datetime,
    tables: Mapping[str, pl.DataFrame | pl.LazyFrame],
    info: ReleaseRequest,
    base: _Base,
    content: str,
    sequence: int,
    waivers: Sequence[Waiver],
    say: database.Progress,
) -> BuildResult:
    path = work / files.DATABASE
    refused: list[GateResult] = []
    checks: list[GateResult] = []
    counts: dict[str, int] = {}
    span: tuple[date, date] | None = None
    try:
        counts, span = _write(path, release_id, moment, tables, info, say)
    except database.FramesUnfit as fault:
        refused = [GateResult(gate=gates.FITS_SCHEMA, passed=False, detail=str(fault))]
        path.unlink(missing_ok=True)
    if span is not None:
        files.sync_file(path)
        say("checking the built file")
        checks = _judge(path, counts, span, info, base, waivers)
        refused = [c for c in checks if not c.passed and not c.waived]
    common = {"content": content, "base_sequence": sequence, "checks": tuple(checks)}
    if refused or span is None:
        refusal = Refusal(
            release_id=release_id, operator=info.operator, built_at_utc=moment, reasons=refused, checks=checks
        )
        files.write_durable(work / files.REFUSAL, msgspec.json.format(msgspec.json.encode(refusal), indent=1))
        where = _keep_refused(warehouse_dir, work, release_id)
        say(f"refused release {release_id}: {'; '.join(r.gate for r in refused)}")
        return BuildResult(release_id=None, path=where, refused=tuple(refused), **common)  # type: ignore[arg-type]
    manifest = Manifest(
        format=FORMAT,
        release_id=release_id,
        content=content,
        schema_version=SCHEMA_VERSION,
        operator=info.operator,
        is_synthetic=info.is_synthetic,
        code_version=info.code_version,
        built_at_utc=moment,
        as_of_utc=info.as_of.astimezone(UTC),
        zone=info.zone,
        first_production_date=span[0],
        latest_production_date=span[1],
        previous_release_id=base.manifest.release_id if base.manifest else None,
        high_water={source: instant.astimezone(UTC) for source, instant in info.high_water.items()},
        row_counts=counts,
        inputs=sorted(info.inputs, key=lambda i: (i.table, i.partition)),
        database=DatabaseFile(name=path.name, size=path.stat().st_size, sha256=files.file_sha256(path)),
        checks=checks,
        waivers=[w for w in waivers if any(c.waived and c.gate == w.gate for c in checks)],
    )
    path.chmod(0o444)
    write_manifest(work, manifest)
    (work / files.MANIFEST).chmod(0o444)
    where = _keep(warehouse_dir, work, release_id)
    say(f"built release {release_id}")
    return BuildResult(release_id=release_id, path=where, **common)  # type: ignore[arg-type]


def _write(
    path: Path,
    release_id: str,
    moment: datetime,
    tables: Mapping[str, pl.DataFrame | pl.LazyFrame],
    info: ReleaseRequest,
    say: database.Progress,
) -> tuple[dict[str, int], tuple[date, date]]:
    with database.open_database(path) as connection:
        counts = database.write_tables(connection, tables, say)
        span = database.production_span(connection)
        if span is None:
            raise database.FramesUnfit(["out__daily_production: there is no row, hence no production day to publish"])
        counts["dictionary"] = database.write_views(connection)
        counts["release_info"] = 1
        database.write_release_info(
            connection,
            {
                "release_id": release_id,
                "operator": info.operator,
                "is_synthetic": info.is_synthetic,
                "built_at_utc": moment,
                "code_version": info.code_version,
                "schema_version": SCHEMA_VERSION,
                "first_production_date": span[0],
                "latest_production_date": span[1],
                "as_of_utc": info.as_of.astimezone(UTC),
                "zone": info.zone,
            },
        )
    return counts, span


def _judge(
    path: Path,
    counts: Mapping[str, int],
    span: tuple[date, date],
    info: ReleaseRequest,
    base: _Base,
    waivers: Sequence[Waiver],
) -> list[GateResult]:
    """Reopen the file read-only, as a reader would, and ask every gate."""
    with duckdb.connect(config={"temp_directory": str(path.parent / "spill")}) as connection:
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute(f"ATTACH {ddl.literal(str(path))} AS candidate (READ_ONLY)")
        if base.database is not None:
            connection.execute(f"ATTACH {ddl.literal(str(base.database))} AS base (READ_ONLY)")
        connection.execute("USE candidate")
        context = gates.Context(
            row_counts=counts,
            high_water=info.high_water,
            latest=span[1],
            base=base.manifest if base.database is not None else None,
        )
        results = gates.run_gates(connection, context)
    waived = {w.gate for w in waivers}
    return [
        msgspec.structs.replace(r, waived=True)
        if not r.passed and r.gate in waived and r.gate not in gates.NEVER_WAIVED
        else r
        for r in results
    ]


def _check_input(tables: Mapping[str, object], info: ReleaseRequest, waivers: Sequence[Waiver]) -> None:
    faults = database.input_faults(tables)
    faults += [f"{name} must not be empty" for name in ("operator", "code_version", "zone") if not getattr(info, name)]
    if not info.inputs:
        faults.append("inputs must name the files that the release is built from")
    instants = {"as_of": info.as_of} | {f"high_water[{s}]": t for s, t in info.high_water.items()}
    faults += [f"{name} must carry a time zone" for name, instant in instants.items() if instant.tzinfo is None]
    known = set(gates.names()) - gates.NEVER_WAIVED
    faults += [
        f"waiver for {w.gate}: no such gate can be waived; {sorted(known)}" for w in waivers if w.gate not in known
    ]
    faults += [f"waiver for {w.gate} needs a name and a reason" for w in waivers if not (w.by and w.reason)]
    if faults:
        raise BuildInputError(faults)


def _base(warehouse_dir: Path, operator: str) -> _Base:
    pointer = read_pointer(warehouse_dir)
    if pointer is None:
        return _Base(None, None, None)
    directory = files.releases_dir(warehouse_dir) / pointer.release_id
    try:
        manifest = read_manifest(directory)
    except WarehouseError:
        return _Base(pointer, None, None)  # a damaged release must not stop the one that replaces it
    if manifest.operator != operator:
        raise OperatorMismatch(
            f"{warehouse_dir} serves operator {manifest.operator}, this build is for {operator}: "
            "give each operator its own WAREHOUSE_DIR"
        )
    try:
        return _Base(pointer, manifest, verify_database(directory, manifest))
    except WarehouseError:
        return _Base(pointer, manifest, None)


def _kept_with(warehouse_dir: Path, content: str, base: _Base) -> Manifest | None:
    """The newest kept release if it has this content and can be served as it is."""
    newest = newest_release(warehouse_dir)
    if newest is None or newest.content != content:
        return None
    in_force = base.pointer.release_id if base.pointer else None
    is_held = base.pointer is not None and base.pointer.is_held
    # Built, then its publisher died: still valid only while the release that it was compared with is in force.
    if newest.release_id != in_force and not is_held and newest.previous_release_id != in_force:
        return None
    try:
        verify_database(files.releases_dir(warehouse_dir) / newest.release_id, newest)
    except WarehouseError:
        return None
    return newest


def _build_time(warehouse_dir: Path, built_at: datetime | None, lost: str | None) -> datetime:
    """Now, but always after the newest kept release, so that order of building is order of time whatever the clock does.

    Of equal content, what tells ids apart is the second: the one after a lost release's is the first that is free.
    """
    moment = (built_at or datetime.now(UTC)).astimezone(UTC)
    if lost is not None:
        moment = max(moment, second_of(lost) + timedelta(seconds=1))
    newest = newest_release(warehouse_dir)
    return max(moment, newest.built_at_utc + timedelta(microseconds=1)) if newest else moment


def _keep(warehouse_dir: Path, work: Path, release_id: str) -> Path:
    target = files.releases_dir(warehouse_dir) / release_id
    target.parent.mkdir(exist_ok=True)
    shutil.rmtree(work / "spill", ignore_errors=True)
    files.sync_dir(work)
    try:
        work.rename(target)
    except OSError as fault:
        if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Another publisher built the same content within the same second: its release is as good as this one.
        read_manifest(target)
    files.sync_dir(target.parent)
    return target


def _keep_refused(warehouse_dir: Path, work: Path, release_id: str) -> Path:
    """Move a refused build aside; an earlier refusal of the same content gives way, so that retries leave no litter."""
    folder = files.refused_dir(warehouse_dir)
    folder.mkdir(exist_ok=True)
    for earlier in folder.glob(f"*-{release_id.rsplit('-', 1)[1]}"):
        shutil.rmtree(earlier, ignore_errors=True)
    shutil.rmtree(work / "spill", ignore_errors=True)
    files.sync_dir(work)
    target = folder / release_id
    work.rename(target)
    files.sync_dir(folder)
    return target
