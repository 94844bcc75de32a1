"""Which production days of PI's samples are worked on together: as many as memory holds, of ten tags or ten thousand."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from pipelines.lake import Lake

# A day of a large site is some three million samples.
SAMPLES = 2_000_000
_MONTH_DAYS = 28


def together(lake: Lake, tables: Iterable[str], labels: Sequence[date]) -> Iterator[list[date]]:
    """The labels (ascending) in runs of days that hold at most SAMPLES rows of the tables, or of a single day that has more."""
    samples = Counter[str]()
    if labels:
        for table in tables:
            for part in lake.partitions(table, labels[0], labels[-1]):
                samples[part.partition] += part.entry.rows
    run: list[date] = []
    held = 0.0
    for label in labels:
        # A month's file holds its days in about equal parts.
        own = samples[f"{label}"] + samples[f"{label:%Y-%m}"] / _MONTH_DAYS
        if run and held + own > SAMPLES:
            yield run
            run, held = [], 0.0
        run.append(label)
        held += own
    if run:
        yield run
