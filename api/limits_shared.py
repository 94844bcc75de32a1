"""Counts shared by replicas in Redis. It is never waited for longer than a moment, and never a reason to refuse.

Out of reach, each process counts for itself and tries again later: a limit protects the service, it must not stop it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from limits.aio.storage import RedisStorage

from api.limits import Count, Rate
from api.telemetry import logger

PAUSE_SECONDS = 5.0
# A Redis that is silent for so long is out of reach, however long a request waits for it.
SILENT_SECONDS = 0.5
# Counts far from their limit are told in one go this often.
SETTLE_SECONDS = 0.05
PREFIX = "production-api"
# Under way at the same time; more would only queue in the client's own connections.
MAX_AT_ONCE = 64


class SharedCounts:
    """Keeps counts in Redis through the `limits` library; a request waits `wait_seconds` at most. All calls on one loop."""

    def __init__(self, url: str, wait_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        silent = max(SILENT_SECONDS, wait_seconds)
        self._storage = RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix=PREFIX,
            socket_timeout=silent,
            socket_connect_timeout=silent,
        )
        self._wait_seconds = wait_seconds
        self._now = now
        self._paused_until = 0.0
        self._is_down = False
        self._waiting: dict[tuple[str, str, int], tuple[Rate, Count]] = {}
        self._settler: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[int | None]] = set()

    async def settle(self, rate: Rate, caller: str, window: int, count: Count, *, wait: bool) -> int | None:
        """Tells Redis what is new of the count; with `wait` the whole right after it, None if it is not heard in time.

        Never raises.
        """
        if self._now() < self._paused_until:
            return None
        if wait:
            if len(self._under_way) >= MAX_AT_ONCE:
                return None
            task = self._begin(rate, caller, window, count)
            # What is late goes on: breaking it off would cost the connection, and the next request would wait for a new one.
            await asyncio.wait([task], timeout=self._wait_seconds)
            return task.result() if task.done() and not task.cancelled() else None
        self._waiting[(rate.name, caller, window)] = (rate, count)
        if self._settler is None or self._settler.done():
            self._settler = asyncio.get_running_loop().create_task(self._settle_soon())
        return None

    async def close(self) -> None:
        """Ends what is under way and closes the connections."""
        tasks = [task for task in (self._settler, *self._under_way) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):  # a connection that is broken already
            async with asyncio.timeout(SILENT_SECONDS):
                await cast(Any, self._storage.bridge).get_connection().aclose()

    def _begin(self, rate: Rate, caller: str, window: int, count: Count) -> asyncio.Task[int | None]:
        task = asyncio.get_running_loop().create_task(self._tell(rate, caller, window, count, _taken(count)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _settle_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(SETTLE_SECONDS)
            waiting, self._waiting = self._waiting, {}
            items = list(waiting.items())
            for first in range(0, len(items), MAX_AT_ONCE):
                if self._now() < self._paused_until:
                    return
                some = items[first : first + MAX_AT_ONCE]
                telling = (self._tell(rate, key[1], key[2], count, _taken(count)) for key, (rate, count) in some)
                await asyncio.gather(*telling)

    async def _tell(self, rate: Rate, caller: str, window: int, count: Count, told: int) -> int | None:
        try:
            key = f"{rate.name}:{caller}"
            if not count.is_read:
                previous = await self._storage.get(f"{key}:{window - 1}")
                count.previous, count.is_read = max(count.previous, previous), True
            whole: int = await self._storage.incr(f"{key}:{window}", 2 * rate.seconds, amount=told)
        except Exception as fault:  # noqa: BLE001 - whatever the store does, requests go on
            # It may have been counted nevertheless; a request counted twice is better than none.
            count.shared -= told
            count.own += told
            self._failed(fault)
            return None
        # Others of this process may have settled the same count meanwhile: a count only grows.
        count.shared = max(count.shared, whole) if told >= 0 else whole
        if self._is_down:
            self._is_down = False
            logger.warning("rate limits are shared again")
        return whole

    def _failed(self, fault: BaseException) -> None:
        self._paused_until = self._now() + PAUSE_SECONDS
        if not self._is_down:
            self._is_down = True
            fields = {"fault": f"{type(fault).__name__}: {fault}"[:300]}
            logger.warning(
                "rate limits are counted by each process alone: Redis does not answer", extra={"fields": fields}
            )


def _taken(count: Count) -> int:
    """What is new of the count, from now on taken for told: what comes at the same time is told by itself."""
    told = count.own
    count.own = 0
    count.shared += told
    return told
