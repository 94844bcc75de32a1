"""Requests, replies and routes of the simulated systems, as plain values.

A handler is a function from a request to a reply; it never sees ASGI. Routes are regular expressions over the
decoded path, because the imitated interfaces put colons and whole paths inside theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=us-ascii"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as received: decoded path, query pairs in order, header names in lower case."""

    method: str
    path: str
    target: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    host: str = "127.0.0.1"

    def first(self, name: str, default: str | None = None) -> str | None:
        """The first value of a query parameter; its name is compared without regard to case."""
        return next((value for key, value in self.query if key.lower() == name.lower()), default)

    def all(self, name: str) -> list[str]:
        """Every value of a repeatable query parameter, in order."""
        return [value for key, value in self.query if key.lower() == name.lower()]

    def form(self) -> dict[str, str]:
        """The body read as a posted form."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def origin(self) -> str:
        """Scheme and host as the caller addressed them, for links in bodies."""
        return f"http://{self.host}"


@dataclass(slots=True, kw_only=True)
class Reply:
    """One reply: status, body in one or several pieces, headers in order."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def json(cls, content: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Reply:
        """A reply whose body is ``content`` as JSON."""
        return cls(status=status, body=msgspec.json.encode(content), headers=list(headers))


class Refusal(Exception):
    """Raised inside a handler to answer with ``reply`` instead of a result."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"status {reply.status}")
        self.reply = reply


Handler = Callable[[Request, Mapping[str, str]], Reply]


class Routes:
    """Routes in order of declaration; the first whose pattern matches the whole path wins."""

    def __init__(self, *, ignore_case: bool = False) -> None:
        self._flags = re.IGNORECASE if ignore_case else 0
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """Serve ``method`` on paths that match ``pattern`` whole; named groups reach the handler decoded."""
        self._routes.append((method, re.compile(pattern, self._flags), handler))

    def find(self, method: str, path: str) -> tuple[Handler, Mapping[str, str]] | set[str]:
        """The handler and its path parameters, or else the methods that the path does serve."""
        methods: set[str] = set()
        for served, pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if served == method:
                return handler, {name: text or "" for name, text in match.groupdict().items()}
            methods.add(served)
        return methods
