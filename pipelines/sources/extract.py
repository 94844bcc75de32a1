"""What a client hands back: the rows, what it had to set aside, and how it asked.

Belongs here: the shape shared by all sources, and the progress they report on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

REJECTED_SCHEMA = pl.Schema({"rule": pl.String, "reason": pl.String, "raw": pl.String})


def no_rejects() -> pl.DataFrame:
    """An empty frame of rejected rows: rule, reason, raw (the row as JSON)."""
    return pl.DataFrame(schema=REJECTED_SCHEMA)


@dataclass(frozen=True)
class Extract:
    """One read. `frame` has the canonical columns; a row that does not parse stands whole in `rejected`, never in both.

    `request` says what was asked, free of secrets; `bytes` are those received (0 where the driver does not say);
    `warnings` are sentences for the log; `missing` names what was asked for and could not be had (tags) while the rest
    could; `version` is the source's own mark of this content, where it has one.
    """

    frame: pl.DataFrame
    rejected: pl.DataFrame = field(default_factory=no_rejects)
    request: str = ""
    pages: int = 0
    bytes: int = 0
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True)
class Progress:
    """Counts since the read began: rows decoded, pages (or batches) received, bytes received."""

    source: str
    dataset: str
    rows: int
    pages: int
    bytes: int


OnProgress = Callable[[Progress], None]


def no_progress(progress: Progress) -> None:
    """Report nothing."""
