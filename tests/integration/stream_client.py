"""A client of the event stream as a careless network leaves it: cut off at any byte, it comes back with the last whole event."""

import asyncio
import json
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Event:
    """One event."""

    id: str
    name: str
    data: dict[str, Any]


@dataclass
class StreamClient:
    """Reads events over plain HTTP/1.1. A part of an event that was cut off counts for nothing."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    last_id: str | None = None
    status: int = 0
    answer: dict[str, str] = field(default_factory=dict)
    heartbeats: int = 0

    def releases(self) -> list[int]:
        """Sequences of the releases that were told, in the order of their coming."""
        return [event.data["sequence"] for event in self.events if event.name == "release.published"]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Sends the request and reads the head of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        headers = {"host": "127.0.0.1", "accept": "text/event-stream"} | self.headers
        if self.last_id is not None:
            headers["last-event-id"] = self.last_id
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"GET /api/v1/stream HTTP/1.1\r\n{lines}\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (OSError, EOFError):
            await close(writer)
            raise
        self.status = int(head.split()[1])
        pairs = (line.partition(": ") for line in head.split("\r\n")[1:] if line)
        self.answer = {name.lower(): value for name, _, value in pairs}
        return reader, writer

    async def read(self, *, until: Any, cut_after: int | None = None) -> bool:
        """Reads until `until()` or the stream's end; with `cut_after` the connection is reset after so many bytes of events.

        True where the server ended the stream.
        """
        reader, writer = await self.connect()
        assert self.status == 200, self.status
        buffer, count, ended = b"", 0, False
        try:
            while not until():
                size = int((await reader.readline()).strip() or b"0", 16)
                if size == 0:
                    ended = True
                    break
                left = size if cut_after is None else min(size, cut_after - count)
                buffer += await reader.readexactly(left)
                count += left
                *blocks, buffer = buffer.split(b"\n\n")
                for block in blocks:
                    self._take(block.decode())
                if cut_after is not None and count >= cut_after:
                    # A reset, not a farewell: what the server still sends is lost.
                    raw: socket.socket = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                await reader.readexactly(2)
        finally:
            await close(writer)
        return ended

    def _take(self, block: str) -> None:
        fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
        if "" in fields:
            self.heartbeats += 1
        if "event" in fields:
            self.last_id = fields["id"]
            self.events.append(Event(fields["id"], fields["event"], json.loads(fields["data"])))


async def close(writer: asyncio.StreamWriter) -> None:
    """Closes a connection, whatever became of it."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
