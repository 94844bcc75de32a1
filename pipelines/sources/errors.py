"""How a source fails, in three kinds that callers treat differently.

Broken: a person must act, asking again is useless. Not ready: the source is well, the data is not there yet.
Unavailable: transient trouble that outlasted the retries. Each message says who was asked what, what came, what next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.sources.http_words import redacted


@dataclass(frozen=True)
class Asking:
    """Who is asked for what: the words with which every error and log line of a read begins."""

    source: str
    dataset: str
    labels: str = ""

    def __str__(self) -> str:
        return f"{self.source}, {self.dataset}, {self.labels}" if self.labels else f"{self.source}, {self.dataset}"


class SourceError(Exception):
    """A source did not give what was asked. Whatever a source echoed, the texts are free of every secret of this process."""

    what_next = ""

    def __init__(
        self,
        asking: Asking,
        *,
        asked: str,
        came: str,
        what_next: str = "",
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.asking = asking
        self.asked = redacted(asked)
        self.came = redacted(came)
        self.next_step = what_next or self.what_next
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{asking}: asked {self.asked}; came {self.came}; {self.next_step}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Executors move an error between processes; keyword arguments do not survive the default.
        return _rebuild, (
            type(self),
            self.asking,
            {
                "asked": self.asked,
                "came": self.came,
                "what_next": self.next_step,
                "status": self.status,
                "retry_after_seconds": self.retry_after_seconds,
            },
        )


class SourceBroken(SourceError):
    """A wrong credential, address, permission, mapping or answer: not retried."""

    what_next = "not retried: a person must correct the configuration or the source"


class SourceNotReady(SourceError):
    """The source works and cannot give this yet (locked, being written, throttled for long): retried later."""

    what_next = "asked again later"


class SourceUnavailable(SourceError):
    """Transient trouble that outlasted the retries; the next scheduled run asks again."""

    what_next = "retries are used up: the next run asks again, the last release stays served"


def _rebuild(kind: type[SourceError], asking: Asking, words: dict[str, Any]) -> SourceError:
    return kind(asking, **words)
