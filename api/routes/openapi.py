"""GET /api/v1/openapi.json: the OpenAPI 3.1 document, built when it is first asked for."""

from functools import lru_cache

import msgspec
from litestar import Litestar, Response, get

from api.caching import build_id
from api.dependencies import ApiRequest
from api.openapi import document


@lru_cache(maxsize=2)
def _encoded(application: Litestar) -> bytes:
    return msgspec.json.encode(document(application))


@get("/api/v1/openapi.json", sync_to_thread=False)
def get_openapi(request: ApiRequest) -> Response[bytes]:
    """Answers with the document; a build of the API has one."""
    tag = f'"openapi.{build_id()}"'
    headers = {"etag": tag, "cache-control": "no-cache", "vary": "Origin"}
    if tag in (request.headers.get("if-none-match") or ""):
        return Response(b"", status_code=304, headers=headers)
    return Response(_encoded(request.app), media_type="application/json", headers=headers)
