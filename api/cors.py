"""Cross-origin rules, as header lists made anew for each answer: a list that is shared leaks one caller's origin to the next."""

from collections.abc import Sequence

Header = tuple[bytes, bytes]

EXPOSED = (
    "ETag, Last-Modified, Data-Version, Production-Date, Data-Freshness, Server-Timing, traceparent, X-Request-Id, "
    "Retry-After, RateLimit, RateLimit-Policy, Deprecation, Sunset, WWW-Authenticate, Content-Disposition"
)
ALLOWED_METHODS = "GET, HEAD, OPTIONS"
ALLOWED_HEADERS = (
    "Accept, Authorization, Content-Type, If-None-Match, Last-Event-ID, traceparent, tracestate, X-Request-Id"
)
MAX_AGE_SECONDS = 600


class CrossOrigin:
    """Answers which headers an origin gets: none unless it is allowed. Callers carry tokens, so no credentials mode."""

    def __init__(self, allowed_origins: Sequence[str]) -> None:
        self._any = "*" in allowed_origins
        self._allowed = {origin.encode("latin-1") for origin in allowed_origins if origin != "*"}

    def _origin(self, origin: bytes | None) -> bytes | None:
        if origin is None:
            return None
        if self._any:
            return b"*"
        return origin if origin in self._allowed else None

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """Headers of an ordinary answer to the origin."""
        allowed = self._origin(origin)
        if allowed is None:
            return ()
        return (
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", EXPOSED.encode()),
        )

    def preflight(self, origin: bytes | None) -> tuple[Header, ...]:
        """Headers of the answer to a preflight; an origin that is not allowed gets none and its browser stops there."""
        allowed = self._origin(origin)
        if allowed is None:
            return ()
        return (
            (b"access-control-allow-origin", allowed),
            (b"access-control-allow-methods", ALLOWED_METHODS.encode()),
            (b"access-control-allow-headers", ALLOWED_HEADERS.encode()),
            (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
        )
