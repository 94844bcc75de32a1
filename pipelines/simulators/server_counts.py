"""How much a simulated system has served: rows, values, items. For tests of what a client reads; safe between threads."""

from __future__ import annotations

import threading
from collections import Counter


class Counts:
    """Named counters that begin at nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, number: int) -> None:
        """Count ``number`` more."""
        with self._lock:
            self._counts[name] += number

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def all(self) -> dict[str, int]:
        """Every counter by name."""
        with self._lock:
            return dict(self._counts)

    def clear(self) -> None:
        """Begin again."""
        with self._lock:
            self._counts.clear()
