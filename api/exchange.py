"""One request and its answer: the headers that matter at the edge, and what the log line will say."""

import time
from typing import Any

from litestar.types import Send

from api.callers import ANYONE, Caller
from api.cors import CrossOrigin, Header
from api.telemetry import Trace, new_trace


class Exchange:
    """What was asked, who asks, and what was answered."""

    __slots__ = ("accept", "accept_encoding", "authorizations", "caller", "content_length", "cors", "if_none_match",
                 "is_head", "limits", "origin", "outcome", "preflight", "release_id", "route", "scope", "send", "size", "started",
                 "status", "trace")  # fmt: skip

    def __init__(self, scope: Any, send: Send, cross_origin: CrossOrigin) -> None:
        self.started = time.perf_counter()
        self.scope = scope
        self.send = send
        self.is_head = scope["method"] == "HEAD"
        self.caller: Caller = ANYONE
        self.accept: bytes | None = None
        self.accept_encoding: bytes | None = None
        # Every one that came: two are refused, for no two readers agree on which counts.
        self.authorizations: tuple[bytes, ...] = ()
        self.content_length: bytes | None = None
        self.if_none_match: bytes | None = None
        self.origin: bytes | None = None
        self.limits: list[Header] = []
        self.preflight = False
        traceparent: bytes | None = None
        request_id: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                self.accept_encoding = value
            elif name == b"if-none-match":
                self.if_none_match = value
            elif name == b"accept":
                self.accept = value if self.accept is None else self.accept + b"," + value
            elif name == b"origin":
                self.origin = value
            elif name == b"traceparent":
                traceparent = value
            elif name == b"x-request-id":
                request_id = value
            elif name == b"authorization":
                self.authorizations += (value,)
            elif name == b"content-length":
                self.content_length = value
            elif name == b"access-control-request-method":
                self.preflight = True
        self.trace: Trace = new_trace(traceparent, request_id)
        self.cors = cross_origin.headers(self.origin)
        self.route = ""
        self.release_id: str | None = None
        self.outcome = "made"
        self.status = 0
        self.size = 0

    def common(self) -> list[Header]:
        """Headers of every answer, whatever its status."""
        return [
            (b"traceparent", self.trace.traceparent()),
            (b"x-request-id", self.trace.request_id.encode()),
            (b"server-timing", b"total;dur=%.2f" % ((time.perf_counter() - self.started) * 1000)),
            *self.limits,
            *self.cors,
        ]

    async def start(self, status: int, headers: list[Header]) -> None:
        """Sends status and headers."""
        self.status = status
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def finish(self, body: bytes) -> None:
        """Sends the whole body; none for HEAD."""
        self.size = 0 if self.is_head else len(body)
        await self.send({"type": "http.response.body", "body": b"" if self.is_head else body, "more_body": False})
