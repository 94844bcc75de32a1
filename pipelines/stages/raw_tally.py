"""What a refresh read and what it left alone: figures for the run, a sentence for its log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from pipelines.lake import Entry, Written
from pipelines.sources.extract import Extract
from pipelines.stages.workspace import Workspace


@dataclass
class Tally:
    """Counts of one source in one run. `parts` are days of a table, or snapshots; `unchanged` ones were not read."""

    rows: int = 0
    pages: int = 0
    bytes: int = 0
    parts: int = 0
    unchanged: int = 0
    reasons: dict[str, None] = field(default_factory=dict)

    def leave(self, parts: int, reason: str) -> None:
        """Count parts that were not read, and why."""
        if parts:
            self.unchanged += parts
            self.reasons[reason] = None

    def add(self, extract: Extract) -> None:
        """Count what an answer held."""
        self.rows += extract.frame.height + extract.rejected.height
        self.pages += extract.pages
        self.bytes += extract.bytes

    def figures(self, unit: str) -> dict[str, int | str]:
        """Figures by name; `unit` is what a part is called."""
        why: dict[str, int | str] = {"skipped because": "; ".join(self.reasons)} if self.reasons else {}
        return why | {
            "rows read": self.rows,
            "pages read": self.pages,
            "bytes read": self.bytes,
            f"{unit} read": self.parts,
            f"{unit} skipped unchanged": self.unchanged,
        }


def span(labels: Sequence[date]) -> str:
    """Production days in words."""
    if not labels:
        return "no day"
    return f"{labels[0]}" if len(labels) == 1 else f"{len(labels)} days, {labels[0]} to {labels[-1]}"


def runs(labels: Sequence[date]) -> list[list[date]]:
    """Labels, ascending, as runs of consecutive days."""
    found: list[list[date]] = []
    for label in labels:
        if found and label - found[-1][-1] == timedelta(days=1):
            found[-1].append(label)
        else:
            found.append([label])
    return found


def entries(ws: Workspace, table: str, labels: Sequence[date]) -> dict[date, Entry]:
    """What the lake holds of each label: its own file, or the closed month that it stands in."""
    if not labels:
        return {}
    held = {part.partition: part.entry for part in ws.lake.partitions(table, labels[0], labels[-1])}
    found = {label: held.get(label.isoformat()) or held.get(f"{label:%Y-%m}") for label in labels}
    return {label: entry for label, entry in found.items() if entry is not None}


def standing(ws: Workspace, table: str, labels: Sequence[date]) -> list[Written]:
    """The labels that were left as they are, in the words of a write that changes nothing."""
    return [Written(table, d.isoformat(), entry, changed=False) for d, entry in entries(ws, table, labels).items()]
