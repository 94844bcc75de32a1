"""GET /api/v1/data-releases and one of them; POST activate (roll back, with a hold) and resume (forward again).

Answers of the moment, no function of a release: never cached. The pointer is moved only by those whom `_allow` lets.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from litestar import get, post
from litestar.params import FromPath

from api import parameters
from api.auth.local import is_local
from api.callers import MANAGE_RELEASES, caller_of
from api.contracts.data_releases import (
    Check,
    DataRelease,
    DataReleaseList,
    DataReleaseManifest,
    Decision,
    HighWater,
    InForce,
    InputTable,
    ReleaseWaiver,
    RowCount,
)
from api.dependencies import ApiRequest, Desk, desk_of
from api.negotiation import accepts, unacceptable
from api.operations import Operation, documented
from api.problems import Problem
from api.scoping import shown_listing, shown_manifest
from api.telemetry import logger
from warehouse.errors import BuildInputError, NoRelease, PointerCorrupt, ReleaseCorrupt, ReleaseNotFound
from warehouse.manifest import Manifest
from warehouse.pointer import Pointer, read_pointer
from warehouse.release import list_releases, read_label, show_release

PATH = "/api/v1/data-releases"
TAG = "releases"
# A decision is one line: whoever sends it slower holds a place that others need.
BODY_SECONDS = 10.0
Body = TypeVar("Body")
RELEASE_PATH = (("releaseId", "A kept release, as dataVersion of bodies."),)


def _listing(desk: Desk) -> DataReleaseList:
    folder = desk.settings.warehouse_dir
    pointer = read_pointer(folder)
    return DataReleaseList(
        data_version=desk.reader.release_id,
        fault=desk.fault,
        in_force=_in_force(pointer) if pointer else None,
        releases=[
            DataRelease(
                id=release.release_id,
                is_current=release.is_current,
                label=release.label,
                operator=release.operator,
                is_synthetic=release.is_synthetic,
                built_at=release.built_at_utc,
                latest_production_date=release.latest_production_date,
                code_version=release.code_version,
                bytes=release.bytes,
                fault=release.fault,
            )
            for release in list_releases(folder)
            if release.operator in (None, desk.settings.operator) or desk.settings.operator is None
        ],
    )


def _in_force(pointer: Pointer) -> InForce:
    return InForce(
        release_id=pointer.release_id,
        sequence=pointer.sequence,
        held_by=pointer.held_by,
        held_reason=pointer.held_reason,
        changed_at=pointer.changed_at_utc,
    )


def _admitted(desk: Desk, release_id: str) -> Manifest:
    """The manifest of a release that may be served here. Raises Problem notFound or releaseExpired."""
    if not parameters.RELEASE_ID.fullmatch(release_id):
        raise Problem("notFound", f"{release_id[:100]!r} is no release; {PATH} lists those that are kept.")
    manifest = show_release(desk.settings.warehouse_dir, release_id)
    if desk.settings.operator not in (None, manifest.operator):
        raise Problem("releaseExpired", f"Release {release_id} is another operator's and may not be served here.")
    if manifest.is_synthetic and not desk.settings.allow_synthetic:
        raise Problem("releaseExpired", f"Release {release_id} is synthetic and may not be served here.")
    return manifest


def _manifest(desk: Desk, release_id: str) -> DataReleaseManifest:
    manifest = _admitted(desk, release_id)
    pointer = read_pointer(desk.settings.warehouse_dir)
    inputs: dict[str, list[int]] = {}
    for partition in manifest.inputs:
        inputs.setdefault(partition.table, []).append(partition.rows)
    return DataReleaseManifest(
        id=manifest.release_id,
        is_current=pointer is not None and pointer.release_id == release_id,
        label=read_label(desk.settings.warehouse_dir, release_id),
        operator=manifest.operator,
        is_synthetic=manifest.is_synthetic,
        built_at=manifest.built_at_utc,
        as_of=manifest.as_of_utc,
        code_version=manifest.code_version,
        schema_version=manifest.schema_version,
        zone=manifest.zone,
        first_production_date=manifest.first_production_date,
        latest_production_date=manifest.latest_production_date,
        previous_release_id=manifest.previous_release_id,
        content=manifest.content,
        bytes=manifest.database.size,
        sha256=manifest.database.sha256,
        high_water=[HighWater(source=s, data_as_of=at) for s, at in sorted(manifest.high_water.items())],
        row_counts=[RowCount(table=table, rows=rows) for table, rows in sorted(manifest.row_counts.items())],
        inputs=[InputTable(table=t, partitions=len(rows), rows=sum(rows)) for t, rows in sorted(inputs.items())],
        checks=[
            Check(gate=c.gate, passed=c.passed, waived=c.waived, detail=c.detail, measured=c.measured)
            for c in manifest.checks
        ],
        waivers=[ReleaseWaiver(gate=w.gate, by=w.by, reason=w.reason) for w in manifest.waivers],
    )


async def _answer(request: ApiRequest, work: Callable[[Desk], Body]) -> Body:
    """Runs work on a query thread, with the warehouse's faults as problems. No query parameter is known here."""
    parameters.read(request.scope["query_string"], ())
    desk = desk_of(request)
    try:
        return await desk.run(lambda: work(desk))
    except (ReleaseNotFound, ReleaseCorrupt) as fault:
        raise Problem("releaseExpired", str(fault)[:1000]) from fault
    except (NoRelease, PointerCorrupt) as fault:
        raise Problem("noRelease", str(fault)[:1000]) from fault
    except PermissionError as fault:
        detail = "This process may not write in the warehouse: use `make release-activate` or `make release-resume`."
        raise Problem("forbidden", detail) from fault


def _allow(request: ApiRequest) -> None:
    """Refuses who may not move the pointer: an authenticated caller without the right, else everyone but a caller on this
    machine itself. Who could not read the answer moves nothing either."""
    path, accept = request.scope["path"], request.headers.get("accept")
    if accept is not None and not accepts(accept.encode("latin-1"), path):
        raise unacceptable(accept.encode("latin-1"), path)
    caller = caller_of(request.scope)
    if caller.is_authenticated:
        request.app.state.gate.demand(caller, MANAGE_RELEASES)
    elif not is_local(request.scope):
        raise Problem(
            "forbidden",
            "Callers are not authenticated here (AUTH_MODE=none), so a release is activated or resumed only from the API's "
            "own machine over loopback, past any proxy; or by `make release-activate` and `make release-resume`.",
        )


@dataclass(frozen=True)
class _Signed:
    """A decision with its author: `by` is kept with the pointer, `logged_by` stands in the log."""

    by: str
    reason: str
    logged_by: str


async def _decision(request: ApiRequest) -> _Signed:
    """Who decides and why. An authenticated caller signs with the name in its token, whatever the body says.

    Raises Problem badRequest.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem("badRequest", f"Send the decision as application/json; Content-Type was {kind[:100]!r}.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
        decision = msgspec.json.decode(body, type=Decision)
    except TimeoutError:
        raise Problem("badRequest", f"The body did not come within {BODY_SECONDS:g} s.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Problem("badRequest", f'Send {{"by": name, "reason": text}}: {fault}.'[:500]) from fault
    caller = caller_of(request.scope)
    by = (caller.name or caller.subject) if caller.is_authenticated else (decision.by or "")
    if not (by.strip() and decision.reason.strip()):
        raise Problem("badRequest", "by and reason must not be blank.")
    return _Signed(by, decision.reason, caller.subject if caller.is_authenticated else by)


def _activate(desk: Desk, release_id: str, decision: _Signed) -> InForce:
    _admitted(desk, release_id)
    try:
        pointer = desk.shared.activate(release_id, by=decision.by, reason=decision.reason)
    except BuildInputError as fault:
        raise Problem("badRequest", str(fault)[:500]) from fault
    _note("release activated", pointer, decision)
    return _in_force(pointer)


def _resume(desk: Desk, decision: _Signed) -> InForce:
    pointer = desk.shared.resume()
    _note("hold ended", pointer, decision)
    return _in_force(pointer)


def _note(what: str, pointer: Pointer, decision: _Signed) -> None:
    fields = {"releaseId": pointer.release_id, "by": decision.logged_by, "reason": decision.reason}
    logger.warning(what, extra={"fields": fields})


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="listDataReleases",
            summary="Kept releases and the one in force",
            description="Newest first. Any of them answers under the parameter `release`.",
            tag=TAG,
            answer=DataReleaseList,
            problems=(400, 405, 406, 500, 503),
            is_of_release=False,
        )
    ),
)
async def list_data_releases(request: ApiRequest) -> DataReleaseList:
    """Answers with the kept releases."""
    scope = caller_of(request.scope).scope
    return await _answer(request, lambda desk: shown_listing(_listing(desk), scope))


@get(
    PATH + "/{release_id:str}",
    opt=documented(
        Operation(
            operation_id="getDataRelease",
            summary="What a release is made of and what was checked",
            description="Row counts, high-water marks, gates with what they measured, and waivers. 410 names the nearest "
            "kept release where this one was pruned.",
            tag=TAG,
            answer=DataReleaseManifest,
            path_parameters=RELEASE_PATH,
            problems=(400, 404, 405, 406, 410, 500, 503),
            is_of_release=False,
        )
    ),
)
async def get_data_release(request: ApiRequest, release_id: FromPath[str]) -> DataReleaseManifest:
    """Answers with the manifest."""
    scope = caller_of(request.scope).scope
    return await _answer(request, lambda desk: shown_manifest(_manifest(desk, release_id), scope))


@post(
    PATH + "/{release_id:str}/activate",
    status_code=200,
    opt=documented(
        Operation(
            operation_id="activateDataRelease",
            summary="Put a kept release in force and hold it",
            description="Its file is verified first. Later builds are kept and not activated until resume. Every process "
            "serves it within its polling interval. Needs the right to manage releases; where callers are not "
            "authenticated (AUTH_MODE=none), a caller on the API's own machine, over loopback and past any proxy.",
            tag=TAG,
            answer=InForce,
            path_parameters=RELEASE_PATH,
            problems=(400, 403, 404, 405, 410, 413, 500, 503),
            method="post",
            body=Decision,
            is_of_release=False,
        )
    ),
)
async def activate_data_release(request: ApiRequest, release_id: FromPath[str]) -> InForce:
    """Answers with the pointer after the move."""
    _allow(request)
    decision = await _decision(request)
    return await _answer(request, lambda desk: _activate(desk, release_id, decision))


@post(
    PATH + "/resume",
    status_code=200,
    opt=documented(
        Operation(
            operation_id="resumeDataReleases",
            summary="End the hold and put the newest release in force",
            description="The newest kept release is verified first. Who may call is as for activate.",
            tag=TAG,
            answer=InForce,
            problems=(400, 403, 405, 413, 500, 503),
            method="post",
            body=Decision,
            is_of_release=False,
        )
    ),
)
async def resume_data_releases(request: ApiRequest) -> InForce:
    """Answers with the pointer after the move."""
    _allow(request)
    decision = await _decision(request)
    return await _answer(request, lambda desk: _resume(desk, decision))
