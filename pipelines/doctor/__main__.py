"""Prints the table: `python -m pipelines.doctor [--source NAME]… [--seconds N]`. Exits 1 when a check failed."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence

from pipelines.doctor.examination import CHECK_SECONDS, READ_SECONDS
from pipelines.doctor.examine import examine, examine_environment
from pipelines.doctor.table import summary, table
from pipelines.site_settings import SOURCES

# A pipe or a file has no width of its own.
_WIDTH_OF_A_FILE = 180


def main(arguments: Sequence[str]) -> int:
    """0 when no check failed, 1 otherwise; progress goes to standard error, the table to standard output."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.doctor", description=__doc__)
    parser.add_argument("--source", action="append", choices=SOURCES, help="examine only this one (repeatable)")
    parser.add_argument("--seconds", type=float, default=CHECK_SECONDS, help="deadline of one check")
    options = parser.parse_args(arguments)
    settings, rows = examine_environment()
    if settings is not None:
        exam = examine(
            settings,
            sources=options.source or SOURCES,
            seconds=options.seconds,
            read_seconds=options.seconds * READ_SECONDS / CHECK_SECONDS,
            begun=lambda source, check: _say(f"{source}: {check} …"),
        )
        rows += exam.rows
    width = shutil.get_terminal_size((_WIDTH_OF_A_FILE, 24)).columns if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    sys.stdout.write(f"{table(rows, width)}\n\n{summary(rows)}\n")
    return 1 if any(row.outcome == "failed" for row in rows) else 0


def _say(text: str) -> None:
    # Overwritten by the next: the table is what stays.
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
