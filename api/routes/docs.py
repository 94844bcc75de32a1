"""GET /api/v1/docs: the API page. Every byte comes from this server, so that it works where no foreign host can be reached."""

import mimetypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from litestar import MediaType, Response, get
from litestar.params import FromPath

from api.problems import Problem

PATH = "/api/v1/docs"
ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
# The page may load from this server only; Swagger UI writes styles into elements, so inline styles are let through.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Production Gap &amp; Cargo Forecast: API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/api/v1/docs/favicon-32x32.png">
<link rel="stylesheet" href="/api/v1/docs/swagger-ui.css"></head>
<body><div id="page"></div>
<noscript><p>This page needs scripts; the document itself is <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p></noscript>
<script src="/api/v1/docs/swagger-ui-bundle.js"></script><script src="/api/v1/docs/start.js"></script></body></html>
"""
_START = """SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""


@cache
def _asset(name: str) -> bytes:
    # Found without importing the package: it brings a template engine that nothing here needs.
    spec = find_spec("swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise Problem("notFound", "The API page's files are not installed; the document is /api/v1/openapi.json.")
    return (Path(spec.submodule_search_locations[0]) / "static" / name).read_bytes()


def _headers(seconds: int) -> dict[str, str]:
    return {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": f"max-age={seconds}" if seconds else "no-cache",
    }


@get(PATH, media_type=MediaType.HTML, sync_to_thread=False)
def get_docs() -> Response[str]:
    """Answers with the page."""
    return Response(_PAGE, media_type=MediaType.HTML, headers=_headers(0))


@get(PATH + "/{name:str}", sync_to_thread=True)
def get_docs_file(name: FromPath[str]) -> Response[bytes]:
    """Answers with one of the page's files."""
    if name == "start.js":
        return Response(_START.encode(), media_type="text/javascript; charset=utf-8", headers=_headers(0))
    if name not in ASSETS:
        raise Problem("notFound", f"There is nothing at {PATH}/{name[:100]}.")
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(_asset(name), media_type=media_type, headers=_headers(86_400))
