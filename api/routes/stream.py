"""GET /api/v1/stream: server-sent events, read by fetch with a bearer token, resumed by Last-Event-ID."""

from litestar import get
from litestar.types import ASGIApp

from api import parameters
from api.dependencies import ApiRequest
from api.operations import Operation, documented
from api.stream import StreamHub
from api.stream_connection import MEDIA_TYPE, EventStream

PATH = "/api/v1/stream"


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="followEvents",
            summary="Server-sent events: a release was put in force, a source's freshness changed",
            description="`stream.opened` comes first on a new stream and names the release in force; then `release.published` "
            "(releaseId, previousReleaseId, sequence, productionDate, changedResources: the paths to fetch again, each with "
            "any query and all below it) and `freshness.changed` (sources with status and previousStatus). Every event has an "
            "id: send the last one in the header Last-Event-ID when you connect again, to any server, and everything missed "
            "comes first; `reset` comes where that cannot be told any more: fetch everything again. A comment comes every "
            "15 seconds. The stream ends when the token expires or the server stops; connect again after `retry`.",
            tag="releases",
            answer=None,
            problems=(400, 405, 406, 429, 500),
            is_of_release=False,
            media_types=(MEDIA_TYPE,),
        )
    ),
)
async def follow_events(request: ApiRequest) -> ASGIApp:
    """Answers with the stream."""
    parameters.read(request.scope["query_string"], ())
    hub: StreamHub = request.app.state.stream
    return EventStream(hub, request.headers.get("last-event-id") or None)
