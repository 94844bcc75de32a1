"""A deadline that no server can stretch.

httpx limits each read, so a peer that drips one byte a second never times out. Here every read, write and connect of
the socket gets no more than what remains of the question's time, and a read looks up often enough to be cancelled.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

# How soon a waiting read notices that its question was cancelled.
GLANCE_SECONDS = 0.25


@dataclass(frozen=True)
class Deadline:
    """An instant of the monotonic clock, and events any of which brings it forward to now."""

    at: float
    events: tuple[threading.Event, ...] = ()

    @classmethod
    def after(cls, seconds: float, *events: threading.Event) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds, events)

    def with_event(self, event: threading.Event) -> Deadline:
        """The same deadline, which this event ends as well."""
        return self if event in self.events else Deadline(self.at, (*self.events, event))

    @property
    def is_cancelled(self) -> bool:
        """Whether one of the events has happened."""
        return any(event.is_set() for event in self.events)

    def remaining(self) -> float:
        """Seconds left, 0 when over or cancelled."""
        return 0.0 if self.is_cancelled else max(0.0, self.at - time.monotonic())

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the deadline."""
        ends_at = time.monotonic() + seconds
        while (left := min(ends_at - time.monotonic(), self.remaining())) > 0.0:
            time.sleep(min(left, GLANCE_SECONDS))


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextlib.contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Hold all socket work of this thread to `deadline`."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def _clip(timeout: float | None, over: type[Exception]) -> float | None:
    deadline = _current.get()
    if deadline is None:
        return timeout
    remaining = deadline.remaining()
    if remaining <= 0.0:
        raise over("the question's time is over")
    return remaining if timeout is None else min(timeout, remaining)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        ends_at = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _clip(None if ends_at is None else ends_at - time.monotonic(), httpcore.ReadTimeout)
            if left is not None and left <= 0.0:
                raise httpcore.ReadTimeout("the server was silent for too long")
            glance = GLANCE_SECONDS if left is None else min(left, GLANCE_SECONDS)
            with contextlib.suppress(httpcore.ReadTimeout):
                return self._inner.read(max_bytes, glance)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _clip(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _clip(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        limit = _clip(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, limit, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Body(httpx.SyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        yield from self._inner

    def close(self) -> None:
        self._inner.close()


class DeadlineTransport(httpx.BaseTransport):
    """HTTP/1.1 over sockets that keep the deadline. Raises httpcore's exceptions as they are."""

    def __init__(self, connections: int, verify: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30.0,
            network_backend=_Backend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the body is read by the caller, under the same deadline."""
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close the pool's connections."""
        self._pool.close()
