"""One circuit for each source and process: it stops asking a source that fails, and bounds how many ask it at once.

Clients are short-lived, a run makes new ones; what is known of a source outlives them here. It counts questions whose
retries are used up, not attempts: one bad page of a busy server opens nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

CircuitState = Literal["closed", "open", "halfOpen"]
# Questions to one source side by side, whichever clients ask them: a source that hangs holds no more threads than these.
MOST_IN_FLIGHT = 8
FAILURES = 3
REST_SECONDS = 30.0
# How soon a waiting caller notices that it was cancelled.
_GLANCE_SECONDS = 0.25


@dataclass(frozen=True)
class CircuitStatus:
    """A circuit as it stands: `open` asks nothing for `rest_seconds` more, `halfOpen` waits for what its probe finds.

    `failures` counts questions given up in a row; `last_failure` is the last one's message, free of secrets.
    """

    source: str
    state: CircuitState
    failures: int
    rest_seconds: float
    in_flight: int
    last_failure: str = ""


class Circuit:
    """The circuit and the bulkhead of one source. Thread-safe."""

    def __init__(
        self,
        source: str,
        *,
        failures: int = FAILURES,
        seconds: float = REST_SECONDS,
        most_in_flight: int = MOST_IN_FLIGHT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.failure_limit = failures
        self._seconds = seconds
        self._most = most_in_flight
        self._clock = clock
        self._changed = threading.Condition()
        self._failures = 0
        self._open_until = 0.0
        self._probing = False
        self._in_flight = 0
        self._last_failure = ""

    def seconds_to_rest(self) -> float:
        """Seconds until the next question is let through; 0 lets this one through, as the probe of an open circuit."""
        with self._changed:
            if self._failures < self.failure_limit:
                return 0.0
            left = self._open_until - self._clock()
            if left > 0.0:
                return left
            # This caller is the probe; the others wait for what it finds, or until it must have been lost.
            self._open_until = self._clock() + self._seconds
            self._probing = True
            return 0.0

    @contextlib.contextmanager
    def place(self, remaining: Callable[[], float]) -> Iterator[None]:
        """Hold one of the places among the questions in flight. Raises TimeoutError when none comes free in time."""
        with self._changed:
            while self._in_flight >= self._most:
                left = remaining()
                if left <= 0.0:
                    raise TimeoutError(f"{self._in_flight} questions to this source are in flight already")
                self._changed.wait(min(left, _GLANCE_SECONDS))
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify()

    def succeeded(self) -> None:
        """The source answered."""
        with self._changed:
            self._failures = 0
            self._probing = False
            self._last_failure = ""

    def failed(self, message: str = "") -> None:
        """A question was given up for a transient reason."""
        with self._changed:
            self._failures += 1
            self._probing = False
            self._last_failure = message
            self._open_until = self._clock() + self._seconds

    def abandoned(self) -> None:
        """The caller left before an answer: nothing was learnt, and a probe may be made again at once."""
        with self._changed:
            if self._probing:
                self._probing = False
                self._open_until = self._clock()

    def status(self) -> CircuitStatus:
        """How it stands now."""
        with self._changed:
            is_open = self._failures >= self.failure_limit
            left = max(0.0, self._open_until - self._clock()) if is_open and not self._probing else 0.0
            state: CircuitState = "closed" if not is_open else "open" if left > 0.0 else "halfOpen"
            return CircuitStatus(self.source, state, self._failures, left, self._in_flight, self._last_failure)


_lock = threading.Lock()
_circuits: dict[tuple[str, str], Circuit] = {}


def circuit_of(
    source: str, address: str, *, failures: int = FAILURES, seconds: float = REST_SECONDS, most: int = MOST_IN_FLIGHT
) -> Circuit:
    """This process's circuit of a source at an address (scheme, host and port); the first to ask sets its limits."""
    with _lock:
        key = (source, address)
        if key not in _circuits:
            _circuits[key] = Circuit(source, failures=failures, seconds=seconds, most_in_flight=most)
        return _circuits[key]


def statuses(addresses: Collection[str] | None = None) -> list[CircuitStatus]:
    """Every circuit of this process, by source; only those of `addresses` when given."""
    with _lock:
        known = sorted(_circuits.items())
    return [circuit.status() for (_, address), circuit in known if addresses is None or address in addresses]


def forget_circuits() -> None:
    """Begin anew, as a new process would: clients made from now on get circuits that know nothing."""
    with _lock:
        _circuits.clear()
