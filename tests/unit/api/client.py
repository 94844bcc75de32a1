"""Runs the application in process, without file events: its lifespan, and requests over ASGI as a caller sends them."""

import asyncio
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any
from unittest.mock import Mock, patch

import httpx

from api.app import create_app
from api.edge import Edge
from api.preparer import Preparer
from api.settings import Settings


class Api:
    """The application while it runs. `get` asks for one address; headers that httpx would add are left out."""

    def __init__(self, settings: Settings, *, prepares_apart: bool = False) -> None:
        # A process for each switch is for those tests alone that are about it, and beside other tests it must not give way.
        stand_in = partial(Preparer, gives_way=False) if prepares_apart else Mock(return_value=None)
        with patch("api.app.Preparer", stand_in):
            self.edge: Edge = create_app(settings)
        self._runner = asyncio.Runner()
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self._lifespan: Any = None
        self._http: httpx.AsyncClient | None = None

    def __enter__(self) -> "Api":
        # Tests say when the pointer is looked at; the follower has tests of its own.
        with patch("api.folder_events._open", return_value=-1):
            self._runner.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._stop())
        finally:
            self._runner.close()

    async def _start(self) -> None:
        self._lifespan = asyncio.create_task(self._live())
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait([self._lifespan, started], return_when=asyncio.FIRST_COMPLETED)
        if self._lifespan.done():
            started.cancel()
            self._lifespan.result()
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.edge, raise_app_exceptions=False),
            base_url="http://api.test",
            headers={"accept": "*/*", "accept-encoding": "identity"},
        )

    async def _live(self) -> None:
        """The lifespan protocol as a server speaks it: start-up, then shutdown when the client is left."""
        said = 0

        async def receive() -> Any:
            nonlocal said
            said += 1
            if said == 1:
                return {"type": "lifespan.startup"}
            await self._stopping.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._started.set()
            elif message["type"].endswith("failed"):
                raise RuntimeError(message["message"])

        await self.edge({"type": "lifespan", "state": {}}, receive, send)

    async def _stop(self) -> None:
        assert self._http is not None
        await self._http.aclose()
        self._stopping.set()
        await self._lifespan

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> httpx.Response:
        """One request of any method."""
        assert self._http is not None
        return self._runner.run(self._http.request(method, path, headers=dict(headers or {}), **more))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """GET with headers."""
        return self.request("GET", path, headers)

    def body(self, path: str) -> Any:
        """The body of a 200."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    def problem(self, path: str, status: int, code: str) -> dict[str, Any]:
        """The problem that a path answers with."""
        response = self.get(path)
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
        found: dict[str, Any] = response.json()
        assert found["code"] == code
        assert found["status"] == status
        return found

    def raw(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes = b""
    ) -> list[dict[str, Any]]:
        """What the application sends for a request as a server hands it on, whatever no client library would send."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "root_path": "",
            "query_string": query,
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        self._runner.run(self.edge(scope, receive, send))
        return sent

    def gather(self, *paths: str) -> list[httpx.Response]:
        """Several GETs at once."""

        async def all_of() -> list[httpx.Response]:
            assert self._http is not None
            return await asyncio.gather(*(self._http.get(path) for path in paths))

        return self._runner.run(all_of())
