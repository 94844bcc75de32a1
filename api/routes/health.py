"""GET /healthz and /readyz: outside the API's versions, never cached. Stale data and failed sources stay ready."""

from typing import Annotated

from litestar import get
from msgspec import Struct

from api.contracts.common import doc
from api.dependencies import ApiRequest, desk_of
from api.problems import Problem


class Health(Struct, frozen=True, kw_only=True, rename="camel"):
    """The process runs."""

    status: Annotated[str, doc("ok.")]


class Readiness(Struct, frozen=True, kw_only=True, rename="camel"):
    """A release is loaded and answers."""

    status: Annotated[str, doc("ready.")]
    data_version: Annotated[str, doc("Release in force.")]
    fault: Annotated[str | None, doc("Why a newer release is not served; null where all is well.")]


@get("/healthz", sync_to_thread=False)
def healthz() -> Health:
    """Answers while the process runs."""
    return Health(status="ok")


@get("/readyz")
async def readyz(request: ApiRequest) -> Readiness:
    """Runs a warm query on the release in force; 503 where none was ever loaded, and once the server stops."""
    if request.app.state.stopping.is_set:
        raise Problem("stopping", "The server was told to stop; it still answers what it has begun.")
    desk = desk_of(request)
    release_id = await desk.run(desk.warm_query)
    return Readiness(status="ready", data_version=release_id, fault=desk.fault)
