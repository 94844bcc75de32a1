"""The ASGI side of a simulated system: faults, admin routes, gzip, Date by the system's own clock.

Handlers run in worker threads, so a slow one delays nobody else; a cancelled request leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import gzip
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from pipelines.simulators.faults import Fault, Faults
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_counts import Counts
from pipelines.simulators.server_http import TEXT, Refusal, Reply, Request, Routes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ADMIN = "/__simulator/"
SMALLEST_GZIP = 512
DRIP_PIECES = 16


class ClockSetting(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``PUT /__simulator/clock``: an instant, or seconds to move on by, or a skew in seconds."""

    now: datetime | None = None
    advance_seconds: float | None = None
    skew_seconds: float | None = None


class System:
    """One simulated system as an ASGI application; subclasses add routes and the vendor's error bodies."""

    name = "system"
    longest_target = 1 << 20

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None, ignore_case: bool = False) -> None:
        self.clock = clock or Clock()
        self.faults = faults or Faults()
        self.routes = Routes(ignore_case=ignore_case)
        self.requests: deque[tuple[str, str, int]] = deque(maxlen=10_000)
        self.counts = Counts()

    def error(self, status: int, message: str = "") -> Reply:
        """The vendor's own body for ``status``."""
        return Reply(status=status, body=(message or f"status {status}").encode(), content_type=TEXT)

    def too_long(self) -> Reply:
        """The answer to a target longer than ``longest_target``."""
        return self.error(414, "Request-URI Too Long")

    def admit(self, request: Request) -> None:
        """Raise ``Refusal`` unless the caller may ask; the default lets everyone in."""

    def answer(self, request: Request) -> Reply:
        """The reply to a request without faults: route, authorise, handle."""
        if len(request.target) > self.longest_target:
            return self.too_long()
        try:
            self.admit(request)
            found = self.routes.find(request.method, request.path)
            if isinstance(found, set):
                return self.error(405 if found else 404, f"No resource was found at {request.path}")
            handler, parameters = found
            return handler(request, parameters)
        except Refusal as refusal:
            return refusal.reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        request = await _request(scope, receive)
        if request.path.startswith(ADMIN):
            await _send(send, self._admin(request), self._headers())
            return
        fault = self.faults.transport(request.method, request.target)
        if fault is not None and fault.kind in ("hang", "slow"):
            await asyncio.sleep(fault.seconds)
        if fault is not None and fault.kind == "status":
            reply = self._failure(fault)
        else:
            reply = await asyncio.to_thread(self.answer, request)
        self.requests.append((request.method, request.target, reply.status))
        if fault is not None and fault.kind == "garbage":
            reply = Reply(status=reply.status, body=b"\x00\xff<<garbage>>\x1b" * 20, headers=reply.headers)
        if fault is not None and fault.kind == "cut":
            reply.body = _kept(reply.body, fault)
        if "gzip" in request.headers.get("accept-encoding", "") and len(reply.body) >= SMALLEST_GZIP:
            reply.body = await asyncio.to_thread(gzip.compress, reply.body, 1)
            reply.headers = [*reply.headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
        await _send(send, reply, self._headers(), fault)

    def _headers(self) -> list[tuple[str, str]]:
        return [("Date", format_datetime(self.clock.now(), usegmt=True))]

    def _failure(self, fault: Fault) -> Reply:
        reply = self.error(fault.status)
        if fault.body is not None:
            reply = Reply(status=fault.status, body=fault.body.encode(), content_type=TEXT)
        if fault.retry_after is not None:
            reply.headers.append(("Retry-After", fault.retry_after))
        return reply

    def _admin(self, request: Request) -> Reply:
        """``faults`` (GET, POST one or a list, DELETE), ``clock`` (GET, PUT), ``requests`` and ``counts`` (GET, DELETE)."""
        subject = request.path.removeprefix(ADMIN)
        try:
            if subject == "faults" and request.method == "POST":
                posted = msgspec.json.decode(request.body, type=Fault | list[Fault])
                self.faults.add(*(posted if isinstance(posted, list) else [posted]))
            elif subject == "faults" and request.method == "DELETE":
                self.faults.clear()
            elif subject == "requests" and request.method == "DELETE":
                self.requests.clear()
            elif subject == "counts" and request.method == "DELETE":
                self.counts.clear()
            elif subject == "clock" and request.method == "PUT":
                self._set_clock(msgspec.json.decode(request.body, type=ClockSetting))
            elif request.method != "GET" or subject not in ("faults", "clock", "requests", "counts"):
                return Reply.json({"error": f"no such admin route: {request.method} {request.path}"}, 404)
        except (msgspec.MsgspecError, ValueError) as error:
            return Reply.json({"error": str(error)}, 400)
        content = {
            "faults": self.faults.armed(),
            "clock": self.clock.now(),
            "requests": list(self.requests),
            "counts": self.counts.all(),
        }
        return Reply.json({subject: content[subject]})

    def _set_clock(self, setting: ClockSetting) -> None:
        if setting.now is not None:
            self.clock.set(setting.now)
        if setting.advance_seconds is not None:
            self.clock.advance(timedelta(seconds=setting.advance_seconds))
        if setting.skew_seconds is not None:
            self.clock.skew(timedelta(seconds=setting.skew_seconds))


async def _request(scope: Scope, receive: Receive) -> Request:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    raw_path = scope.get("raw_path", b"").decode("latin-1").partition("?")[0] or scope["path"]
    return Request(
        method=scope["method"],
        path=scope["path"],
        target=raw_path + (f"?{query}" if query else ""),
        query=parse_qsl(query, keep_blank_values=True),
        headers=headers,
        body=b"".join(pieces),
        host=headers.get("host", "127.0.0.1"),
    )


async def _send(send: Send, reply: Reply, headers: list[tuple[str, str]], fault: Fault | None = None) -> None:
    """Send a reply; a truncating fault announces the whole length and stops early, so the connection drops."""
    body = reply.body
    fields = [*headers, *reply.headers, ("Content-Length", str(len(body)))]
    if body:
        fields.append(("Content-Type", reply.content_type))
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    if fault is not None and fault.kind == "truncated":
        await send({"type": "http.response.body", "body": _kept(body, fault), "more_body": True})
        return
    if fault is not None and fault.kind == "drip":
        size = max(1, -(-len(body) // DRIP_PIECES))
        for start in range(0, len(body), size):
            await send({"type": "http.response.body", "body": body[start : start + size], "more_body": True})
            await asyncio.sleep(fault.seconds)
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": body})


def _kept(body: bytes, fault: Fault) -> bytes:
    keep = len(body) // 2 if fault.keep is None else fault.keep
    return body[: min(keep, max(0, len(body) - 1))]
