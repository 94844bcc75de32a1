"""Asks an application everything that its OpenAPI document offers, as callers of several scopes, and looks for what leaks."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from api.callers import READ, Caller, Scope
from api.edge import Edge
from api.problems import Problem
from tests.integration.scope_questions import UNKNOWN, Asked, Ground
from tests.integration.scope_secrets import MOMENT, SAID_BY_ALL, Answer, Secrets, content_of, text_of
from tests.unit.api.client import Api

STREAM = b"text/event-stream"


class RoleGate:
    """Takes `Authorization: Bearer <role>` at its word."""

    mode = "test"

    def __init__(self, scopes: dict[str, Scope]) -> None:
        self.scopes = scopes
        self._numbers = itertools.count()

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def admit(self, scope: Any, credentials: Sequence[bytes]) -> Caller:
        """The caller of the role; a subject of its own each time, so that no limit of requests is met."""
        role = credentials[0].removeprefix(b"Bearer ").decode()
        subject = f"{role}-{next(self._numbers)}"
        return Caller(subject, None, frozenset({role}), frozenset({READ}), self.scopes[role], is_authenticated=True)

    def demand(self, caller: Caller, permission: str) -> None:
        """Nobody may move releases here."""
        if permission not in caller.permissions:
            raise Problem("forbidden", f"This needs the permission {permission}.")


def behind(api: Api, gate: RoleGate) -> Edge:
    """The running application, with callers told by role."""
    api.edge.gate = gate
    api.edge.app.state.gate = gate  # type: ignore[attr-defined]
    return api.edge


async def ask(edge: Any, role: str, request: Asked, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """One request over ASGI. A stream is left a moment after it began."""
    started: dict[str, Any] = {}
    chunks: list[bytes] = []
    left = asyncio.Event()
    first = True

    async def receive() -> Any:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"{}" if request.method == "POST" else b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
            if dict(message["headers"]).get(b"content-type", b"").startswith(STREAM):
                asyncio.get_running_loop().call_later(0.2, left.set)
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                left.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": request.query.encode(),
        "headers": [
            (b"host", b"api.test"),
            (b"authorization", f"Bearer {role}".encode()),
            (b"accept-encoding", b"identity"),
            (b"content-type", b"application/json"),
            *headers,
        ],
        "client": ("192.0.2.7", 4711),
        "server": ("api.test", 80),
        "state": {},
        "extensions": {},
    }
    await edge(scope, receive, send)
    return Answer(started["status"], tuple(started["headers"]), b"".join(chunks))


@dataclass
class Report:
    """What was asked and what leaked."""

    asked: int = 0
    operations: set[str] = field(default_factory=set)
    formats: set[str] = field(default_factory=set)
    leaks: list[str] = field(default_factory=list)
    found_by_all: int = 0


async def audit(
    edge: Any,
    scopes: Mapping[str, Scope],
    secrets: Mapping[str, Secrets],
    ground: Ground,
    requests: Iterable[Asked],
    *,
    until_first: bool = False,
) -> Report:
    """Asks every request as every role, in turn from the first role and from the last, so that each order meets the cache.

    A leak: a secret in an answer; an identifier out of scope told from one that does not exist; an answer or a 304 that was
    another scope's; a fault of the server.
    """
    report = Report()
    roles = list(scopes)
    for number, request in enumerate(requests):
        report.operations.add(request.operation)
        answers: dict[str, Answer] = {}
        question = unquote(str(request))
        order = roles if number % 2 else roles[::-1]
        for role in order:
            answer = answers[role] = await ask(edge, role, request)
            report.asked += 1
            report.formats.add(answer.header(b"content-type").split(b";")[0].decode())
            text = text_of(answer)
            found = secrets[role].found(text, question)
            if found:
                report.leaks.append(f"{role}: {request} tells {sorted(found)[:5]}")
            if answer.status >= 500:
                report.leaks.append(f"{role}: {request} answers {answer.status}")
            if scopes[role].assets is None:
                report.found_by_all += any(s.found(text, question) for s in secrets.values())
            hidden = ground.hidden(scopes[role])
            if request.names & hidden:
                other = await ask(edge, role, request.of_nothing(hidden))
                if _told_apart(answer, other, request, hidden):
                    report.leaks.append(f"{role}: {request} differs from an unknown identifier: {answer.body[:300]!r}")
        report.leaks += await _mixed_up(edge, request, order[0], answers)
        if until_first and report.leaks:
            break
    return report


def _told_apart(answer: Answer, other: Answer, request: Asked, hidden: frozenset[str]) -> bool:
    body, unknown = MOMENT.sub(b"", answer.body), MOMENT.sub(b"", other.body)
    for number, name in enumerate(sorted(request.names & hidden)):
        body = body.replace(name.encode(), UNKNOWN.format(number).encode())
    skipped = (*SAID_BY_ALL, b"content-length", b"etag")
    kept = [[(k, v) for k, v in a.headers if k not in skipped and b"ratelimit" not in k] for a in (answer, other)]
    for pair in kept[0]:
        for number, name in enumerate(sorted(request.names & hidden)):
            if name.encode() in pair[1]:
                kept[0][kept[0].index(pair)] = (
                    pair[0],
                    pair[1].replace(name.encode(), UNKNOWN.format(number).encode()),
                )
                break
    return (answer.status, body, kept[0]) != (other.status, unknown, kept[1])


async def _mixed_up(edge: Any, request: Asked, first: str, answers: Mapping[str, Answer]) -> list[str]:
    """Answers of one scope that another was given: by the cache, by equal tags, or confirmed by 304."""
    if STREAM in answers[first].header(b"content-type"):
        return []
    leaks = []
    again = await ask(edge, first, request)
    if (again.status, content_of(again)) != (answers[first].status, content_of(answers[first])):
        leaks.append(f"{first}: {request} answers otherwise after others asked")
    tags: dict[bytes, str] = {}
    for role, answer in answers.items():
        tag = answer.header(b"etag")
        if tag and answer.status == 200 and tag in tags:
            leaks.append(f"{role}: {request} has the tag of {tags[tag]}")
        tags[tag] = role
    held = answers[first].header(b"etag")
    other = next((role for role in answers if role != first), None)
    if held and other is not None and (await ask(edge, other, request, [(b"if-none-match", held)])).status == 304:
        leaks.append(f"{other}: {request} is confirmed by the tag of {first}")
    return leaks
