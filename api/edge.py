"""The outermost ASGI layer: ready bytes and 304 without the framework, and the headers of every answer.

It stands outside Litestar, so a cached answer costs a dictionary look-up; each answer gets its own list of headers.
"""

import asyncio
import re
from dataclasses import replace
from datetime import date
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from api.auth.gate import Gate
from api.caching import Encoded, Entry, Key, PastCache, ReleaseCache, Stamp, validators
from api.cors import CrossOrigin, Header
from api.dependencies import Answered, Desk
from api.exchange import Exchange
from api.limits import RateLimits
from api.negotiation import (
    ENCODINGS,
    IDENTITY,
    STREAM,
    accepts,
    choose_encoding,
    chooses_itself,
    held_tags,
    unacceptable,
)
from api.observer import Observer
from api.problems import MAX_BODY_BYTES, MEDIA_TYPE, PAGES, Problem, nowhere, render, with_head

PREFIX = "/api/v1"
# Pages for people: no answers of a release.
HTML = (PAGES.rstrip("/"), f"{PREFIX}/docs")
MAX_ADDRESS_BYTES = 8192
# Queries whose release or day cannot be read off without parsing: answered the long way.
_PINNED = re.compile(rb"release|asKnownAt|%|productionDate=(?!\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])(&|$))")
_DAY = re.compile(rb"(?:^|&)productionDate=([^&]*)")


class Edge:
    """The application that the server runs."""

    def __init__(
        self, app: ASGIApp, desk: Desk, observer: Observer, gate: Gate, limits: RateLimits, cross_origin: CrossOrigin
    ) -> None:
        self.app = app
        self.limits = limits
        self.gate = gate
        self.desk = desk
        self.observer = observer
        self.cross_origin = cross_origin
        self.past = PastCache(desk.settings.cache_ttl_seconds, desk.settings.cache_bytes // 4)
        self._making: dict[Key, asyncio.Event] = {}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answers one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, send, self.cross_origin)
        try:
            await self._answer(exchange, receive)
        finally:
            self.observer.finished(exchange)

    async def _answer(self, exchange: Exchange, receive: Receive) -> None:
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
        try:
            exchange.caller = await self.gate.admit(scope, exchange.authorizations)
        except Problem as refusal:
            exchange.route = "refused"
            if not await self._is_over_limit(exchange):
                await self._refuse(exchange, refusal)
            return
        if await self._is_over_limit(exchange):
            return
        if ("//" in path or (path.endswith("/") and path != "/")) and not path.startswith(HTML):
            # The router takes other spellings of a path for the same; what is decided here by path would not.
            exchange.route = "unmatched"
            await self._refuse(exchange, nowhere(path))
            return
        if method not in ("GET", "HEAD") or not path.startswith(PREFIX) or path.startswith(HTML):
            await self._forward(exchange, receive, None)
            return
        if not accepts(exchange.accept, path):
            await self._refuse(exchange, unacceptable(exchange.accept, path))
            return
        if chooses_itself(path) or path == STREAM:
            await self._forward(exchange, receive, None)
            return
        await self._read(exchange, receive, (exchange.caller.scope.key, path, query))

    async def _is_over_limit(self, exchange: Exchange) -> bool:
        """Whether the caller sends more than its rate allows; it was then told so."""
        verdict = await self.limits.ask(exchange.scope, exchange.caller)
        if verdict is None:
            return False
        exchange.limits = verdict.headers
        if verdict.retry_seconds is None:
            return False
        exchange.route = "limited"
        headers = {"Retry-After": str(verdict.retry_seconds)}
        await self._refuse(exchange, Problem("tooManyRequests", verdict.detail, headers=headers))
        return True

    async def _read(self, exchange: Exchange, receive: Receive, key: Key) -> None:
        """Answers from the bytes of the release in force, or from the pointer alone, or makes the answer once."""
        cache = self.desk.current
        if cache is None:
            await self._forward(exchange, receive, None)
            return
        entry = cache.get(key) or self.past.get(key, cache.facts.release_id)
        if entry is None and await self._confirmed(exchange, cache, key):
            return
        if entry is None and (making := self._making.get(key)) is not None:
            # One caller makes the answer and the others wait for it: a release's switch is no stampede.
            await making.wait()
            entry = (self.desk.current or cache).get(key) or self.past.get(key, cache.facts.release_id)
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

    async def _confirmed(self, exchange: Exchange, cache: ReleaseCache, key: Key) -> bool:
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

    def _matching(self, exchange: Exchange, tag_base: str) -> str | None:
        if exchange.if_none_match is None:
            return None
        held = held_tags(exchange.if_none_match)
        return next((tag for e in (IDENTITY, *ENCODINGS) if (tag := f"{tag_base}.{e}") in held), None)

    def _freshness(self, stamp: Stamp) -> Header:
        return (b"data-freshness", self.desk.freshness.word(stamp.release_id, stamp.thresholds))

    async def _not_modified(self, exchange: Exchange, stamp: Stamp, tag: str) -> None:
        exchange.outcome = "confirmed"
        exchange.release_id = stamp.release_id
        headers = [*validators(stamp, tag), self._freshness(stamp), *exchange.common()]
        await exchange.start(304, headers)
        await exchange.finish(b"")

    async def _serve(self, exchange: Exchange, entry: Entry) -> None:
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

    async def _refuse(self, exchange: Exchange, problem: Problem) -> None:
        body = render(problem, exchange.scope["path"], exchange.trace.trace_id)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        headers += [(b"cache-control", b"no-store"), (b"vary", b"Origin"), *exchange.common()]
        headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
        exchange.outcome = problem.kind.code
        await exchange.start(problem.kind.status, headers)
        await exchange.finish(body)

    async def _forward(self, exchange: Exchange, receive: Receive, key: Key | None) -> None:
        """Lets Litestar answer. A release's answer is kept and served like a held one; any other passes with headers."""
        scope: Any = dict(exchange.scope)
        scope["state"] = {
            **scope.get("state", {}),
            "trace": exchange.trace,
            "caller": exchange.caller,
            "is_head": exchange.is_head,
        }
        if exchange.is_head:
            scope["method"] = "GET"
        collected: list[bytes] = []
        holding = False
        in_force = self.desk.current

        async def send(message: Message) -> None:
            nonlocal holding
            if message["type"] == "http.response.start":
                exchange.route = scope.get("path_template") or "unmatched"
                if message["status"] == 200 and "answered" in scope["state"]:
                    holding = True
                    return
                headers = [h for h in message["headers"] if h[0] not in (b"server-timing", b"traceparent")]
                names = {name for name, _ in headers}
                if b"allow" in names:
                    headers = [(n, with_head(v.decode()).encode() if n == b"allow" else v) for n, v in headers]
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
                    await self._serve(exchange, self._keep(exchange, scope, b"".join(collected), key, in_force))
            else:
                await exchange.send(message)

        await self.app(scope, receive, send)

    def _keep(
        self, exchange: Exchange, scope: Any, body: bytes, key: Key | None, in_force: ReleaseCache | None
    ) -> Entry:
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
        elif key is not None and not answered.is_current and in_force is not None:
            self.past.put(key, entry, in_force.facts.release_id)
        return entry


def _length(value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        return 0
