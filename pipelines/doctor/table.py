"""The table that a person reads: source, check, result, what to do. Pure: rows in, text out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pipelines.doctor.examination import Row

_HEADERS = ("source", "check", "result", "what to do")
_BAR = " | "
_NARROWEST = 24


def cells(row: Row) -> tuple[str, str, str, str]:
    """A row's four columns; the outcome opens the result, in capitals where a person must act."""
    opening = {"ok": "ok", "warning": "WARNING", "failed": "FAILED", "not tried": "not tried"}[row.outcome]
    return row.source, row.check, f"{opening}: {row.result}", row.advice or "–"


def table(rows: Sequence[Row], width: int = 160) -> str:
    """The rows under their headers, each cell wrapped so that a line has at most about `width` characters."""
    content = [cells(row) for row in rows]
    first, second = (max(len(line[column]) for line in (_HEADERS, *content)) for column in (0, 1))
    left = max(2 * _NARROWEST, width - first - second - 3 * len(_BAR))
    widths = (first, second, left // 2, left - left // 2)
    lines = [_line(_HEADERS, widths), "-+-".join("-" * each for each in widths)]
    for line in content:
        wrapped = [textwrap.wrap(text, each) or [""] for text, each in zip(line, widths, strict=True)]
        lines += [
            _line([each[number] if number < len(each) else "" for each in wrapped], widths)
            for number in range(max(len(each) for each in wrapped))
        ]
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    """How many checks came out how, in one sentence."""
    counts = {
        outcome: sum(row.outcome == outcome for row in rows) for outcome in ("ok", "warning", "failed", "not tried")
    }
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    return f"{len(rows)} checks: {told or 'none'}"


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    return _BAR.join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()
