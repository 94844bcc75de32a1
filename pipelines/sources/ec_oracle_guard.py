"""Runs what the Oracle driver does under a deadline that it cannot exceed.

Its call time-out is renewed by every packet and its login has none, so a server that drips or stays silent could hold a
caller for ever. Here the work runs in a thread of its own, which is left behind when its time is over.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from pipelines.sources.http_deadline import GLANCE_SECONDS, Deadline

T = TypeVar("T")


class GarbledWire(Exception):
    """Bytes came that are no answer of Oracle's; another attempt may get one."""


@contextlib.contextmanager
def decoding() -> Iterator[None]:
    """Around calls of the driver: what garbled bytes make it stumble over, as GarbledWire. Its own errors pass."""
    try:
        yield
    except (ArithmeticError, AttributeError, BufferError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise GarbledWire(f"an answer that does not decode ({type(error).__name__}: {error})") from None


class _Outcome(Generic[T]):
    """What came of the work: a value or an error."""

    def __init__(self, value: T | None = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error


def guarded(work: Callable[[], T], deadline: Deadline, name: str = "oracle") -> T:
    """What `work` gives or raises. Raises TimeoutError once the deadline has come, or was brought forward, before it."""
    outcomes: SimpleQueue[_Outcome[T]] = SimpleQueue()

    def run() -> None:
        try:
            outcomes.put(_Outcome(work()))
        except BaseException as error:  # noqa: BLE001 - handed to the caller whole
            outcomes.put(_Outcome(error=error))

    threading.Thread(target=run, daemon=True, name=name).start()
    while True:
        try:
            outcome = outcomes.get(timeout=min(GLANCE_SECONDS, deadline.remaining()))
        except Empty:
            if deadline.remaining() <= 0.0:
                raise TimeoutError from None
            continue
        if outcome.error is not None:
            raise outcome.error
        return outcome.value  # type: ignore[return-value] # a value where there is no error
