"""Exports on their way: threads of their own, the release leased until the last piece, and nothing made for who has gone.

Pieces are made one at a time as the client takes them, so memory is bounded by a batch whatever the size of the file.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Lock
from typing import TypeVar

from litestar.types import Receive, Scope, Send

from api.cors import Header
from api.problems import Problem
from api.telemetry import logger

Made = TypeVar("Made")
# Exports under way; beyond it callers are told to come back.
MAX_EXPORTS = 16
THREADS = 2
RETRY_SECONDS = 5


class Exporter:
    """The threads and the places of all exports of the process: what they do never waits in the queue of the queries."""

    def __init__(self, threads: int = THREADS, places: int = MAX_EXPORTS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="export")
        self._places = places
        self._guard = Lock()
        self.under_way = 0

    async def run(self, work: Callable[[], Made]) -> Made:
        """Runs a piece of work on one of the threads; it is waited for even when the caller is cancelled."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # Two threads must never be in one generator: whoever cleans up comes after the piece being made.
            await asyncio.wait([future])
            raise

    def enter(self) -> None:
        """Takes a place. Raises Problem tooManyRequests where none is free."""
        with self._guard:
            is_full = self.under_way >= self._places
            self.under_way += 0 if is_full else 1
        if is_full:
            raise Problem(
                "tooManyRequests",
                f"{self._places} exports are under way; ask again in {RETRY_SECONDS} s.",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )

    def leave(self) -> None:
        """Gives the place back."""
        with self._guard:
            self.under_way -= 1

    def close(self) -> None:
        """Ends the threads when the piece that each is making is made."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class HeadersOnly:
    """An answer without a body: 304, or what HEAD asks for."""

    def __init__(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Streamed:
    """An export as an answer: takes piece after piece, and stops where the client goes away.

    `held` is closed when the export has ended in whatever way: it holds the lease and the place.
    """

    def __init__(self, exporter: Exporter, pieces: Iterator[bytes], headers: list[Header], held: ExitStack) -> None:
        self.exporter = exporter
        self.pieces = pieces
        self.headers = headers
        self.held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the export. What fails after the first byte breaks the connection: a part must never pass for the whole."""
        gone = asyncio.create_task(_disconnected(receive))
        sending = asyncio.create_task(self._send(send))
        try:
            await asyncio.wait((gone, sending), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            else:
                logger.info("export left by its client", extra={"fields": {"path": str(scope["path"])[:300]}})
        except Exception as fault:
            logger.error("export broken off", exc_info=fault, extra={"fields": {"path": str(scope["path"])[:300]}})
            raise
        finally:
            for task in (gone, sending):
                task.cancel()
            await asyncio.wait((gone, sending))
            await self._end()

    async def _send(self, send: Send) -> None:
        # The first piece before the status: what fails in the making of it is still an ordinary problem.
        first = await self.exporter.run(self._next)
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        piece = first
        while piece is not None:
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await self.exporter.run(self._next)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _next(self) -> bytes | None:
        return next(self.pieces, None)

    async def _end(self) -> None:
        try:
            await self.exporter.run(self._close)
        except RuntimeError:  # the threads have ended: the process is stopping
            self._close()

    def _close(self) -> None:
        try:
            close: Callable[[], None] | None = getattr(self.pieces, "close", None)
            if close is not None:
                close()
        finally:
            self.held.close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
