"""A TCP proxy that makes the faults of a network: refuse, hang after accept, drop, stall or garble mid-stream, slow.

It stands in front of a server whose protocol cannot be bent from within, such as Oracle's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal

import msgspec

TcpKind = Literal["refuse", "hang", "drop", "stall", "garble", "slow"]
HOST = "127.0.0.1"
PIECE = 4096
WAIT_SECONDS = 10.0
GARBAGE = b"\xa5\x5a" * PIECE


class TcpFault(msgspec.Struct, frozen=True, kw_only=True):
    """One network fault, in force for every connection until it is cleared.

    * ``refuse``: nobody listens. ``hang``: accepted, then silence.
    * ``drop``, ``stall``, ``garble``: after ``after_bytes`` from the server the connection breaks, stays open and silent,
      or carries other bytes. ``once``: counted over all connections from when the fault was set, and then cleared.
    * ``slow``: ``seconds`` between pieces of at most ``piece_bytes`` from the server.
    """

    kind: TcpKind
    after_bytes: int = 0
    seconds: float = 0.05
    piece_bytes: int = PIECE
    once: bool = False


class TcpFaultProxy:
    """Listens on a loopback port and forwards to ``target_port``, under a fault or faithfully. A context manager.

    A new fault holds for connections that are open as well, from the next piece on. ``passed`` counts the bytes from
    the server, on all connections, since the last ``set``; ``turns`` says how many had passed when a client wrote.
    """

    host = HOST

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self.port = port
        self._target_port = target_port
        self._fault: TcpFault | None = None
        self.passed = 0
        self.turns: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> TcpFaultProxy:
        """Listen; returns itself."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator-tcp-faults", daemon=True)
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        """Close every connection and free the port."""
        if self._thread is None:
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()
        self._thread = None

    def set(self, fault: TcpFault | None) -> None:
        """Put a fault in force, or none."""
        self._fault, self.passed, self.turns = fault, 0, []
        refuses = fault is not None and fault.kind == "refuse"
        self._run(self._unlisten() if refuses else self._listen())

    @property
    def fault(self) -> TcpFault | None:
        """The fault in force; one that comes ``once`` is gone when it has come."""
        return self._fault

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._unlisten()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            if self._fault is not None and self._fault.kind == "hang":
                await reader.read()
                return
            await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            await _closed(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self.host, self._target_port)
        upward = asyncio.create_task(self._up(reader, far_writer))
        downward = asyncio.create_task(self._down(far_reader, writer))
        try:
            await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (upward, downward):
                task.cancel()
            await asyncio.gather(upward, downward, return_exceptions=True)
            await _closed(far_writer)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE):
            self.turns.append(self.passed)
            writer.write(piece)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the server to the client, as the fault in force has it."""
        sent, is_stalled = 0, False
        while piece := await reader.read(PIECE):
            fault, before = self._fault, sent
            sent += len(piece)
            if is_stalled:
                continue
            if fault is not None and fault.kind == "slow":
                await self._dripped(piece, fault, writer)
                continue
            if fault is not None and fault.once:
                before = self.passed
            self.passed += len(piece)
            reached = fault is not None and before + len(piece) >= fault.after_bytes
            if fault is None or fault.kind not in ("drop", "stall", "garble") or not reached:
                writer.write(piece)
                await writer.drain()
                continue
            if fault.once:
                self._fault = None
            kept = piece[: max(0, fault.after_bytes - before)]
            writer.write(kept + GARBAGE[: len(piece) - len(kept)] if fault.kind == "garble" else kept)
            await writer.drain()
            is_stalled = fault.kind == "stall"
            if fault.kind == "drop":
                writer.transport.abort()
                return

    async def _dripped(self, piece: bytes, fault: TcpFault, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(piece), fault.piece_bytes):
            await asyncio.sleep(fault.seconds)
            writer.write(piece[start : start + fault.piece_bytes])
            await writer.drain()
            self.passed += len(piece[start : start + fault.piece_bytes])

    def __enter__(self) -> TcpFaultProxy:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
