"""One client of the event stream: sends what it has missed, then what comes, and a sign of life in between.

It ends when the client leaves or does not read, when its token expires, and at once when the server stops.
"""

import asyncio
import random
import time
from contextlib import suppress
from typing import Any, cast

from litestar.types import Receive, Scope, Send

from api.callers import Caller, caller_of
from api.stream import StreamHub
from api.stream_log import FOREIGN, Position, parse_position
from api.telemetry import logger, trace_of

MEDIA_TYPE = "text/event-stream"
# A client that takes nothing for so long is dropped; it resumes by the id of the last event that it read.
SEND_SECONDS = 20.0
# How long a client that knows of a later move waits for this process to follow, before it is told to fetch all anew.
BEHIND_SECONDS = 30.0
# Clients that lose a server at once shall not all come back at once.
RETRY_MILLISECONDS = (1000, 3000)
EVENTS_A_CHUNK = 50


class EventStream:
    """The answer to one client, an ASGI application."""

    def __init__(self, hub: StreamHub, last_event_id: str | None) -> None:
        self._hub = hub
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events. Raises Problem tooManyRequests before anything is sent."""
        state = cast(Any, scope)["state"]
        with self._hub.entered(caller_of(scope)) as wake:
            headers = [
                (b"content-type", MEDIA_TYPE.encode()),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if not state.get("is_head"):
                try:
                    await self._tell(state["caller"], wake, receive, send)
                except TimeoutError:
                    logger.warning(
                        "stream dropped: the client does not read", extra={"fields": trace_of(scope).fields()}
                    )
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, caller: Caller, wake: asyncio.Event, receive: Receive, send: Send) -> None:
        hub = self._hub
        gone = asyncio.ensure_future(_left(receive))
        gone.add_done_callback(lambda _: wake.set())
        # The first bytes go out at once: a client knows that it is connected.
        pending = [b"retry: %d\n\n" % random.randint(*RETRY_MILLISECONDS)]
        position = self._begin()
        behind_until = time.monotonic() + BEHIND_SECONDS
        try:
            while not hub.is_stopping and not gone.done():
                wake.clear()
                found, position = hub.missed(position, caller.scope)
                pending += found
                if hub.state.is_behind(position) and time.monotonic() >= behind_until:
                    position = hub.state.position
                    pending.append(hub.reset())
                for first in range(0, len(pending), EVENTS_A_CHUNK):
                    body = b"".join(pending[first : first + EVENTS_A_CHUNK])
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                left = hub.heartbeat_seconds
                if caller.expires_at is not None:
                    left = min(left, caller.expires_at - time.time())
                if left <= 0:
                    return
                pending = [] if await _woken(wake, left) else [b": heartbeat\n\n"]
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    def _begin(self) -> Position | None:
        """Where the client was; an id that is none of ours is as good as one that is too old."""
        if self._last_event_id is None:
            return None
        return parse_position(self._last_event_id) or Position(0, FOREIGN, {})


async def _woken(wake: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return False
    return True


async def _left(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
