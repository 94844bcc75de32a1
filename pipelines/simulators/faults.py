"""Faults that can be switched on and off while a simulated system runs.

Transport faults (status, slow, drip, hang, truncated, cut, garbage) act on any request that they match; data
faults (pages, units, schema, history) are asked for by the server that serves the data.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

Kind = Literal[
    "status",
    "slow",
    "drip",
    "hang",
    "truncated",
    "cut",
    "garbage",
    "duplicated_page",
    "missing_page",
    "wrong_unit",
    "schema_drift",
    "edited_history",
]

TRANSPORT: frozenset[str] = frozenset({"status", "slow", "drip", "hang", "truncated", "cut", "garbage"})


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault.

    * ``path``: regular expression searched in the path with its query; empty matches all.
    * ``times``: how many matching requests it hits, null for all; ``skip``: how many it lets pass first.
    * ``status``, ``retry_after``, ``body``: of kind ``status``; without ``body`` the server writes its vendor's own.
    * ``seconds``: delay of ``slow`` before the reply, of ``drip`` between pieces, limit of ``hang``.
    * ``keep``: bytes sent by ``truncated`` (framing announces more) and ``cut`` (framing agrees); null: one half.
    * ``column``, ``factor``: of ``wrong_unit``, ``schema_drift`` and ``edited_history``: which column, times what.
    """

    kind: Kind
    path: str = ""
    method: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    skip: Annotated[int, msgspec.Meta(ge=0)] = 0
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 500
    retry_after: str | None = None
    body: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    keep: Annotated[int, msgspec.Meta(ge=0)] | None = None
    column: str | None = None
    factor: float = 1000.0


class _Armed:
    """A fault with what remains of it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.pattern = re.compile(fault.path)
        self.skip = fault.skip
        self.left = fault.times

    def hits(self, method: str, target: str) -> bool:
        """Whether this request is hit; counts it."""
        if self.fault.method is not None and self.fault.method != method:
            return False
        if not self.pattern.search(target):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    """The faults armed on one server; safe to change from another thread while it serves."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._armed = [_Armed(fault) for fault in faults]

    def add(self, *faults: Fault) -> None:
        """Arm faults; the earliest armed that matches a request hits it."""
        with self._lock:
            self._armed.extend(_Armed(fault) for fault in faults)

    def clear(self) -> None:
        """Disarm all."""
        with self._lock:
            self._armed.clear()

    def armed(self) -> list[Fault]:
        """The faults still armed."""
        with self._lock:
            return [armed.fault for armed in self._armed]

    def transport(self, method: str, target: str) -> Fault | None:
        """The transport fault that hits this request, used up by one, or none."""
        return self._take(TRANSPORT, method, target)

    def data(self, kind: Kind, method: str, target: str) -> Fault | None:
        """The data fault of ``kind`` that hits this request, used up by one, or none."""
        return self._take(frozenset({kind}), method, target)

    def _take(self, kinds: frozenset[str], method: str, target: str) -> Fault | None:
        with self._lock:
            hit = next((a for a in self._armed if a.fault.kind in kinds and a.hits(method, target)), None)
            self._armed = [armed for armed in self._armed if armed.left is None or armed.left > 0]
            return hit.fault if hit else None


def too_many_requests(retry_after: str | None = "1", *, times: int | None = 1, path: str = "", skip: int = 0) -> Fault:
    """A 429, with ``Retry-After`` unless null."""
    return Fault(kind="status", status=429, retry_after=retry_after, times=times, path=path, skip=skip)
