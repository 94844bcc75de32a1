"""Errors as problem details (RFC 9457): one shape for every status, each `type` with a page that says what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, cast

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Meta, Struct

from api.telemetry import logger, trace_of
from warehouse.errors import QueryTimeout

MEDIA_TYPE = "application/problem+json"
PAGES = "/api/v1/problems/"
MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its page's words."""

    code: str
    status: int
    title: str
    page: str


KINDS = {
    kind.code: kind
    for kind in (
        Kind(
            "invalidParameter",
            400,
            "A parameter is unknown or has a value that is not allowed",
            "Every faulty parameter stands in `errors` with what came and what is allowed. Parameters that this endpoint "
            "does not know are refused, never ignored, so that a typing error cannot pass for an answer.",
        ),
        Kind(
            "unknownId",
            400,
            "A parameter names something that the release does not hold",
            "The identifier is not in the release, or lies outside what the caller may see: the answer is the same. "
            "/api/v1/assets and /api/v1/production-flow list the identifiers.",
        ),
        Kind("badRequest", 400, "The request cannot be read", "The request breaks HTTP or its body cannot be read."),
        Kind("unauthorized", 401, "A token is needed", "Send a valid bearer token."),
        Kind("forbidden", 403, "The role does not allow this", "Ask the operator for the role that the detail names."),
        Kind(
            "notFound",
            404,
            "Nothing stands at this path",
            "The path is none of the API's, or its identifier is not in the release (or outside what the caller may see). "
            "/api/v1/openapi.json lists the paths.",
        ),
        Kind("methodNotAllowed", 405, "The method is not allowed here", "`Allow` names the methods of this path."),
        Kind("notAcceptable", 406, "The answer is JSON only", "Send Accept: application/json, or none."),
        Kind(
            "releaseExpired",
            410,
            "The release is not kept",
            "The release was pruned, never was, or may not be served here. The detail names the nearest one that is kept.",
        ),
        Kind("contentTooLarge", 413, "The request body is too large", "No endpoint needs a large body."),
        Kind("uriTooLong", 414, "The address is too long", "Send fewer identifiers, or ask for an asset instead."),
        Kind("tooManyRequests", 429, "Too many requests", "Wait as long as Retry-After says."),
        Kind("internalError", 500, "The API failed", "Report the traceId: the log holds the cause under it."),
        Kind(
            "timeout",
            504,
            "The answer takes too long",
            "The query was ended at its time limit, or waited for its turn as long. Ask for a shorter window, fewer identifiers, "
            "or again later.",
        ),
        Kind(
            "stopping",
            503,
            "The server stops",
            "Only /readyz answers so, from the moment the server is told to stop: send requests to another replica.",
        ),
        Kind(
            "releaseComing",
            503,
            "The release is not on this replica yet",
            "Replicas copy an older release when it is asked for. Ask again in a few seconds; without `release` and `asKnownAt` "
            "the one in force answers at once.",
        ),
        Kind(
            "storageUnreachable",
            503,
            "The storage of the releases cannot be reached",
            "A decision on releases needs the storage that replicas share. Nothing changed: ask again when /readyz shows no "
            "fault. What is served does not depend on it.",
        ),
        Kind(
            "noRelease",
            503,
            "No release was ever published",
            "The pipelines have not published a release yet, or WAREHOUSE_DIR points elsewhere. A stale release is never "
            "a reason for this answer: it is served, and the header Data-Freshness says how old it is.",
        ),
    )
}
BY_STATUS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "notFound",
    405: "methodNotAllowed",
    406: "notAcceptable",
    410: "releaseExpired",
    413: "contentTooLarge",
    414: "uriTooLong",
    429: "tooManyRequests",
    503: "noRelease",
    504: "timeout",
}


class ParameterError(Struct, frozen=True, kw_only=True, rename="camel"):
    """One faulty parameter."""

    parameter: Annotated[str, Meta(description="Name of the parameter.")]
    detail: Annotated[str, Meta(description="What is wrong, and what is allowed.")]
    received: Annotated[str | None, Meta(description="What came; null when nothing did.")]


class ProblemBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """Problem details as of RFC 9457."""

    type: Annotated[str, Meta(description="Address of the page that explains this kind of problem.")]
    title: Annotated[str, Meta(description="The kind of problem in one line.")]
    status: Annotated[int, Meta(description="HTTP status.")]
    detail: Annotated[str, Meta(description="What went wrong with this request.")]
    instance: Annotated[str, Meta(description="Path of the request.")]
    code: Annotated[str, Meta(description="Stable code of the kind of problem.")]
    trace_id: Annotated[str, Meta(description="W3C trace id: the API's log holds the request under it.")]
    errors: Annotated[list[ParameterError], Meta(description="The faulty parameters; empty for other problems.")]


class Problem(Exception):
    """Raised anywhere under a route to answer with a problem."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[ParameterError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = KINDS[code]
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}


def render(problem: Problem, path: str, trace_id: str) -> bytes:
    """The body of a problem."""
    kind = problem.kind
    return msgspec.json.encode(
        ProblemBody(
            type=PAGES + kind.code,
            title=kind.title,
            status=kind.status,
            detail=problem.detail,
            instance=path,
            code=kind.code,
            trace_id=trace_id,
            errors=problem.errors,
        )
    )


def from_exception(error: Exception, method: str, path: str) -> Problem:
    """The problem for any exception; one that nobody expected becomes a 500 that gives nothing away."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, QueryTimeout):
        return Problem("timeout", "No answer within the time that one query may take; ask for fewer days.")
    if isinstance(error, HTTPException) and error.status_code < 500:
        code = BY_STATUS.get(error.status_code, "badRequest")
        headers = dict(error.headers or {})
        if code == "notFound":
            return nowhere(path)
        if code == "methodNotAllowed":
            allowed = with_head(headers.get("Allow") or headers.get("allow") or "GET, OPTIONS")
            return Problem(code, f"{method} is not allowed at {path}; allowed: {allowed}.", headers={"Allow": allowed})
        if code == "contentTooLarge":
            return Problem(code, f"At most {MAX_BODY_BYTES} bytes are read.")
        return Problem(code, str(error.detail), headers=headers)
    return Problem("internalError", "The API failed to answer; its log holds the cause under the traceId.")


def nowhere(path: str) -> Problem:
    """The problem for a path that is none of the API's."""
    return Problem("notFound", f"There is nothing at {path}; /api/v1/openapi.json lists the paths.")


def with_head(allowed: str) -> str:
    """Methods of an Allow header and HEAD, which answers wherever GET does; the router knows nothing of it."""
    methods = {method.strip() for method in allowed.split(",")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    problem = from_exception(error, request.method, request.scope["path"])
    trace = trace_of(cast(Mapping[str, Any], request.scope))
    if problem.kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Problem):
        logger.error("request failed", exc_info=error, extra={"fields": trace.fields()})
    return Response(
        content=render(problem, request.scope["path"], trace.trace_id),
        status_code=problem.kind.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )
