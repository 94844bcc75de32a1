"""How many requests a caller may send: a sliding window counted in this process, and shared by replicas where Redis is set.

The window slides by weighting the count of the window before: what is counted costs microseconds and two numbers a caller.
"""

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from limits import RateLimitItem, parse

from api.callers import Caller
from api.cors import Header

PREFIX = "/api/v1"
EXPORTS = "/api/v1/exports/"
# Callers counted apart; more than these share one count, so that made-up addresses cannot fill the memory.
MAX_CALLERS = 100_000
CROWD = "\0crowd"
# A burst of a few milliseconds can use up a rate as small as this.
SMALL = 100


@dataclass(frozen=True)
class Rate:
    """So many requests in so many seconds; `name` stands in the headers."""

    name: str
    amount: int
    seconds: int

    @property
    def policy(self) -> bytes:
        """Value of RateLimit-Policy."""
        return b'"%s";q=%d;w=%d' % (self.name.encode(), self.amount, self.seconds)


def parse_rate(name: str, text: str) -> Rate | None:
    """The rate in words such as 600/minute or 10 per 5 seconds; None for off. Raises ValueError that says what is allowed."""
    if text.strip().lower() == "off":
        return None
    try:
        item: RateLimitItem = parse(text)
    except ValueError:
        raise ValueError("must be a rate such as 600/minute or 30 per 10 seconds, or off") from None
    if not 1 <= item.amount <= 10_000_000 or item.get_expiry() > 86_400:
        raise ValueError("must allow 1 to 10000000 requests in at most a day, or be off")
    return Rate(name, item.amount, item.get_expiry())


@dataclass
class Count:
    """One caller in one window: `shared` as last read from the replicas' store, `own` not yet told to it."""

    previous: int = 0
    shared: int = 0
    own: int = 0
    is_read: bool = False  # the store was asked about this window

    @property
    def current(self) -> int:
        """Requests of this window."""
        return self.shared + self.own


class Store(Protocol):
    """Where replicas count together."""

    async def settle(self, rate: Rate, caller: str, window: int, count: Count, *, wait: bool) -> int | None:
        """Tells the store what is new and reads what the others counted, without `wait` at some time soon.

        With `wait`, the whole count right after what was told; None where the store does not answer.
        """
        ...

    async def close(self) -> None:
        """No more is told."""
        ...


@dataclass(frozen=True)
class Verdict:
    """Whether a request may go on, and what its headers say."""

    rate: Rate
    remaining: int
    reset_seconds: int
    retry_seconds: int | None

    @property
    def headers(self) -> list[Header]:
        """RateLimit and RateLimit-Policy as the IETF draft has them."""
        state = b'"%s";r=%d;t=%d' % (self.rate.name.encode(), self.remaining, self.reset_seconds)
        return [(b"ratelimit", state), (b"ratelimit-policy", self.rate.policy)]

    @property
    def detail(self) -> str:
        """What a refused caller is told."""
        return (
            f"At most {self.rate.amount} requests in {self.rate.seconds} s are answered; "
            f"try again in {self.retry_seconds} s."
        )


class Limiter:
    """Counts the requests of each caller against one rate."""

    def __init__(self, rate: Rate, store: Store | None = None, now: Callable[[], float] = time.time) -> None:
        self.rate = rate
        self._store = store
        self._now = now
        self._window = 0
        self._counts: dict[str, Count] = {}
        self._before: dict[str, Count] = {}

    async def ask(self, caller: str) -> Verdict:
        """Counts one request. A refused one is not counted: a caller that waits as told is answered."""
        now = self._now()
        window = int(now // self.rate.seconds)
        if window != self._window:
            self._turn(window)
        count = self._counts.get(caller)
        if count is None:
            caller, count = self._new(caller)
        passed = now / self.rate.seconds - window
        limit = self.rate.amount
        if self._used(count, passed) + 1 > limit:
            return self._refusal(count, passed)
        count.own += 1
        if self._store is not None:
            # Far from a large limit the replicas' counts may be some milliseconds old; near it they decide.
            is_near = limit <= SMALL or 2 * self._used(count, passed) > limit
            whole = await self._store.settle(self.rate, caller, window, count, wait=is_near)
            # Its own place in the count decides: by what came at the same time and was counted after it, all would be refused.
            if is_near and self._used(count, passed, whole) > limit:
                count.own -= 1
                await self._store.settle(self.rate, caller, window, count, wait=False)
                return self._refusal(count, passed)
        remaining = max(0, limit - self._used(count, passed))
        return Verdict(self.rate, remaining, self._left(passed), None)

    def _used(self, count: Count, passed: float, current: int | None = None) -> int:
        of_before = math.floor(min(count.previous, self.rate.amount) * (1 - passed))
        return of_before + (count.current if current is None else current)

    def _left(self, passed: float) -> int:
        return math.ceil((1 - passed) * self.rate.seconds)

    def _refusal(self, count: Count, passed: float) -> Verdict:
        """When the next request fits: later in this window, or in the next, when this one weighs less."""
        limit, seconds = self.rate.amount, self.rate.seconds
        room = limit - 1 - count.current  # of this window, for what is left of the one before
        if room >= 0:
            wait = 1 - (room + 1) / max(min(count.previous, limit), 1) - passed
        else:
            wait = 1 - passed + max(0.0, 1 - limit / max(min(count.current, limit), 1))
        return Verdict(self.rate, 0, self._left(passed), max(1, math.ceil(wait * seconds)))

    def _new(self, caller: str) -> tuple[str, Count]:
        if len(self._counts) >= MAX_CALLERS:
            caller = CROWD
        count = self._counts.get(caller)
        if count is None:
            before = self._before.get(caller)
            count = self._counts[caller] = Count(before.current if before is not None else 0)
        return caller, count

    def _turn(self, window: int) -> None:
        self._before = self._counts if window == self._window + 1 else {}
        self._counts = {}
        self._window = window


@lru_cache(maxsize=4096)
def address_key(host: str) -> str:
    """The name of a caller that is known by its address only: an IPv6 site has a whole /64 to call from."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:100]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


class RateLimits:
    """The rates of the service: one for everything under the API, and one of their own for exports, each where it is set."""

    def __init__(self, rate: Rate | None, exports: Rate | None, store: Store | None = None) -> None:
        self._all = Limiter(rate, store) if rate is not None else None
        self._exports = Limiter(exports, store) if exports is not None else None
        self._store = store

    async def ask(self, scope: Any, caller: Caller) -> Verdict | None:
        """Counts the request of the caller, who is known by token or else by address; None where no rate holds."""
        path: str = scope["path"]
        if not path.startswith(PREFIX):
            return None
        limiter = self._exports if path.startswith(EXPORTS) else self._all
        if limiter is None:
            return None
        if caller.is_authenticated:
            return await limiter.ask(caller.subject)
        client = scope.get("client")
        return await limiter.ask(address_key(client[0]) if client else "unknown")

    async def close(self) -> None:
        """Lets go of the store."""
        if self._store is not None:
            await self._store.close()
