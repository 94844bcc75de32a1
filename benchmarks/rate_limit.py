"""What counting a request costs: our sliding window beside the strategies of the library `limits`, in memory, one caller."""

import asyncio
import sys
import time
from collections.abc import Callable

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

from api.limits import Limiter, Rate

REQUESTS = 20_000
ROUNDS = 5


def best(work: Callable[[], None]) -> float:
    """Microseconds a request in the best of some rounds."""
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found) / REQUESTS * 1e6


def ours() -> None:
    """Counting and the headers' numbers."""
    limiter = Limiter(Rate("default", 10_000_000, 60))

    async def run() -> None:
        for _ in range(REQUESTS):
            await limiter.ask("caller")

    asyncio.run(run())


def library(strategy: type[SlidingWindowCounterRateLimiter] | type[MovingWindowRateLimiter]) -> None:
    """Counting and the headers' numbers."""
    item = parse("10000000/minute")
    limiter = strategy(MemoryStorage())
    for _ in range(REQUESTS):
        limiter.hit(item, "caller")
        limiter.get_window_stats(item, "caller")


def main() -> None:
    """Prints microseconds a request and the ratio to ours."""
    own = best(ours)
    sys.stdout.write(f"ours                    {own:6.2f} µs\n")
    for strategy in (SlidingWindowCounterRateLimiter, MovingWindowRateLimiter):
        cost = best(lambda strategy=strategy: library(strategy))  # type: ignore[misc]
        sys.stdout.write(f"{strategy.__name__:<24}{cost:6.2f} µs  {cost / own:.1f} times ours\n")


if __name__ == "__main__":
    main()
