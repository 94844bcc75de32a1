"""The outermost ASGI layer: ready bytes and 304 without the framework, and the headers of every answer.

It stands outside Litestar, so a cached answer costs a dictionary look-up; each answer gets its own list of headers.
"""

import asyncio
import re
import time
from dataclasses import replace
from datetime import date
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from api.caching import Encoded, Entry, Key, ReleaseCache, Stamp, validators
from api.callers import ANYONE, Caller
from api.cors import CrossOrigin, Header
from api.dependencies import Answered, Desk
from api.negotiation import ENCODINGS, IDENTITY, accepts_json, choose_encoding, held_tags
from api.problems import MEDIA_TYPE, PAGES, Problem, render
from api.telemetry import Trace, log_request, new_trace

PREFIX = "/api/v1"
MAX_ADDRESS_BYTES = 8192
MAX_BODY_BYTES = 1024 * 1024
# Queries whose release or day cannot be read off without parsing: answered the long way.
_PINNED = re.compile(rb"release|asKnownAt|%|productionDate=(?!\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])(&|$))")
_DAY = re.compile(rb"(?:^|&)productionDate=([^&]*)")


class _Exchange:
    """One request and its answer: what was asked in the headers that matter here, and what the log line will say."""

    __slots__ = ("accept", "accept_encoding", "caller", "content_length", "cors", "if_none_match", "is_head", "origin", "outcome",
                 "preflight", "release_id", "route", "scope", "send", "size", "started", "status", "trace")  # fmt: skip

    def __init__(self, scope: Any, send: Send, cross_origin: CrossOrigin) -> None:
        self.started = time.perf_counter()
        self.scope = scope
        self.send = send
        self.is_head = scope["method"] == "HEAD"
        self.caller: Caller = ANYONE
        self.accept: bytes | None = None
        self.accept_encoding: bytes | None = None
        self.content_length: bytes | None = None
        self.if_none_match: bytes | None = None
        self.origin: bytes | None = None
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


class Edge:
    """The application that the server runs."""

    def __init__(self, app: ASGIApp, desk: Desk, cross_origin: CrossOrigin) -> None:
        self.app = app
        self.desk = desk
        self.cross_origin = cross_origin
        self._making: dict[Key, asyncio.Event] = {}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answers one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self.cross_origin)
        try:
            await self._answer(exchange, receive)
        finally:
            log_request(exchange)

    async def _answer(self, exchange: _Exchange, receive: Receive) -> None:
        scope = exchange.scope
        path, query = scope["path"], scope["query_string"]
        if len(path) + len(query) > MAX_ADDRESS_BYTES:
            limit = f"The address has {len(path) + len(query)} bytes; at most {MAX_ADDRESS_BYTES} are read."
            await self._refuse(exchange, Problem("uriTooLong", limit))
            return
        if exchange.content_length and _length(exchange.content_length) > MAX_BODY_BYTES:
            await self._refuse(exchange, Problem("contentTooLarge", f"At most {MAX_BODY_BYTES} bytes are read."))
            return
        method = scope["method"]
        if method == "OPTIONS" and exchange.preflight:
            exchange.route = "preflight"
            headers = [*self.cross_origin.preflight(exchange.origin), (b"vary", b"Origin"), (b"content-length", b"0")]
            await exchange.start(204, headers)
            await exchange.finish(b"")
            return
        if method not in ("GET", "HEAD") or not path.startswith(PREFIX) or path.startswith(PAGES.rstrip("/")):
            await self._forward(exchange, receive, None)
            return
        if not accepts_json(exchange.accept):
            accept = (exchange.accept or b"").decode("latin-1")[:200]
            detail = f"Answers are application/json (problems: {MEDIA_TYPE}); Accept was {accept!r}."
            await self._refuse(exchange, Problem("notAcceptable", detail))
            return
        await self._read(exchange, receive, (exchange.caller.scope.key, path, query))

    async def _read(self, exchange: _Exchange, receive: Receive, key: Key) -> None:
        """Answers from the bytes of the release in force, or from the pointer alone, or makes the answer once."""
        cache = self.desk.current
        if cache is None:
            await self._forward(exchange, receive, None)
            return
        entry = cache.get(key)
        if entry is None and await self._confirmed(exchange, cache, key):
            return
        if entry is None and (making := self._making.get(key)) is not None:
            # One caller makes the answer and the others wait for it: a release's switch is no stampede.
            await making.wait()
            entry = (self.desk.current or cache).get(key)
            if entry is None:  # an error, or an answer that is not held
                await self._forward(exchange, receive, key)
                return
        if entry is not None:
            exchange.outcome = "held"
            await self._serve(exchange, entry)
            return
        made = self._making[key] = asyncio.Event()
        try:
            await self._forward(exchange, receive, key)
        finally:
            del self._making[key]
            made.set()

    async def _confirmed(self, exchange: _Exchange, cache: ReleaseCache, key: Key) -> bool:
        """304 for a tag of the release in force, from the pointer alone; not where the query names a release."""
        scope, path, query = key
        if exchange.if_none_match is None or _PINNED.search(query):
            return False
        day = _DAY.search(query)
        tag = self._matching(exchange, self.desk.tagger.base(cache.facts.release_id, path, query, scope))
        if tag is None:
            return False
        exchange.route = "confirmed"
        stamp = (
            cache.stamp if day is None else replace(cache.stamp, production_date=date.fromisoformat(day[1].decode()))
        )
        await self._not_modified(exchange, stamp, tag)
        return True

    def _matching(self, exchange: _Exchange, tag_base: str) -> str | None:
        if exchange.if_none_match is None:
            return None
        held = held_tags(exchange.if_none_match)
        return next((tag for e in (IDENTITY, *ENCODINGS) if (tag := f"{tag_base}.{e}") in held), None)

    def _freshness(self, stamp: Stamp) -> Header:
        return (b"data-freshness", self.desk.freshness.word(stamp.release_id, stamp.thresholds))

    async def _not_modified(self, exchange: _Exchange, stamp: Stamp, tag: str) -> None:
        exchange.outcome = "confirmed"
        exchange.release_id = stamp.release_id
        headers = [*validators(stamp, tag), self._freshness(stamp), *exchange.common()]
        await exchange.start(304, headers)
        await exchange.finish(b"")

    async def _serve(self, exchange: _Exchange, entry: Entry) -> None:
        exchange.route = entry.route
        tag = self._matching(exchange, entry.tag_base)
        if tag is None and exchange.if_none_match is not None and "*" in held_tags(exchange.if_none_match):
            tag = f"{entry.tag_base}.{choose_encoding(exchange.accept_encoding)}"
        if tag is not None:
            await self._not_modified(exchange, entry.stamp, tag)
            return
        encoded: Encoded = entry.encode(choose_encoding(exchange.accept_encoding))
        exchange.release_id = entry.stamp.release_id
        headers = [*encoded.headers, self._freshness(entry.stamp), *exchange.common()]
        await exchange.start(200, headers)
        await exchange.finish(encoded.body)

    async def _refuse(self, exchange: _Exchange, problem: Problem) -> None:
        body = render(problem, exchange.scope["path"], exchange.trace.trace_id)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        headers += [(b"cache-control", b"no-store"), (b"vary", b"Origin"), *exchange.common()]
        exchange.outcome = problem.kind.code
        await exchange.start(problem.kind.status, headers)
        await exchange.finish(body)

    async def _forward(self, exchange: _Exchange, receive: Receive, key: Key | None) -> None:
        """Lets Litestar answer. A release's answer is kept and served like a held one; any other passes with headers."""
        scope: Any = dict(exchange.scope)
        scope["state"] = {**scope.get("state", {}), "trace": exchange.trace, "caller": exchange.caller}
        if exchange.is_head:
            scope["method"] = "GET"
        collected: list[bytes] = []
        holding = False

        async def send(message: Message) -> None:
            nonlocal holding
            if message["type"] == "http.response.start":
                exchange.route = scope.get("path_template") or "unmatched"
                if message["status"] == 200 and "answered" in scope["state"]:
                    holding = True
                    return
                headers = [h for h in message["headers"] if h[0] not in (b"server-timing", b"traceparent")]
                names = {name for name, _ in headers}
                if b"cache-control" not in names:
                    headers.append((b"cache-control", b"no-store"))
                if b"vary" not in names:
                    headers.append((b"vary", b"Origin"))
                headers.extend(exchange.common())
                await exchange.start(message["status"], headers)
            elif message["type"] == "http.response.body":
                if not holding:
                    exchange.size += len(message.get("body", b""))
                    if exchange.is_head:
                        message = {**message, "body": b""}
                    await exchange.send(message)
                    return
                collected.append(message.get("body", b""))
                if not message.get("more_body", False):
                    await self._serve(exchange, self._keep(exchange, scope, b"".join(collected), key))
            else:
                await exchange.send(message)

        await self.app(scope, receive, send)

    def _keep(self, exchange: _Exchange, scope: Any, body: bytes, key: Key | None) -> Entry:
        answered: Answered = scope["state"]["answered"]
        path, query = exchange.scope["path"], exchange.scope["query_string"]
        release_id = answered.stamp.release_id
        entry = Entry(
            body,
            self.desk.tagger.base(release_id, path, query, exchange.caller.scope.key),
            answered.stamp,
            exchange.route,
        )
        cache = self.desk.current
        if key is not None and answered.is_current and cache is not None and cache.facts.release_id == release_id:
            cache.put(key, entry)
        return entry


def _length(value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        return 0
