"""When to ask again and when to stop asking.

Pure rules: which statuses are worth another attempt, how long Retry-After means, how long to wait between attempts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipelines.sources.circuit import FAILURES, REST_SECONDS

# 408, 429, 502, 503, 504 say "later" by definition; 423 is a file that someone is writing (sources.md B.4).
RETRIED_STATUSES = frozenset({408, 423, 429, 502, 503, 504})
# A 500 may be a flaw that comes back each time: one more try, no more (sources.md A.5, B.2).
RETRIED_ONCE_STATUSES = frozenset({500})


@dataclass(frozen=True, kw_only=True)
class HttpPolicy:
    """Time-outs and patience, in seconds. `overall_seconds` is one question with all its attempts and waits."""

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    overall_seconds: float = 300.0
    attempts: int = 4
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0
    # Graph has been seen to ask for 10 to 300 s; longer than this the caller gives its place up and comes back.
    longest_retry_after_seconds: float = 60.0
    # The circuit opens after so many questions given up in a row, and rests for so long.
    circuit_failures: int = FAILURES
    circuit_seconds: float = REST_SECONDS

    @classmethod
    def for_timeout(cls, timeout_seconds: float) -> HttpPolicy:
        """The policy of a site that states one time-out: each read may take that long, a question five times it."""
        return cls(
            connect_seconds=min(10.0, timeout_seconds),
            read_seconds=timeout_seconds,
            overall_seconds=5.0 * timeout_seconds,
        )


def is_retried(status: int, attempt: int) -> bool:
    """Whether an answer of this status, the `attempt`-th (1 = first), is worth asking again."""
    return status in RETRIED_STATUSES or (status in RETRIED_ONCE_STATUSES and attempt == 1)


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or an HTTP date; None when absent or unreadable."""
    if not header:
        return None
    text = header.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = (at - (now or datetime.now(UTC))).total_seconds()
    if seconds != seconds or seconds == float("inf"):
        return None
    return max(0.0, seconds)


def wait_seconds(policy: HttpPolicy, attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """The wait after the `attempt`-th failure: exponential, with full jitter above half of it."""
    ceiling = min(policy.longest_wait_seconds, policy.first_wait_seconds * 2.0 ** (attempt - 1))
    return uniform(ceiling / 2.0, ceiling)
