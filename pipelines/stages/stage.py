"""What a stage is: a named plain function over a range of labels, its tables, and what must stand before it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pipelines.lake import Written
from pipelines.stages.workspace import Workspace


@dataclass
class StageResult:
    """What a stage wrote, by table, and figures worth showing."""

    tables: dict[str, list[Written]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def row_count(self) -> int:
        """Rows in all partitions written or confirmed."""
        return sum(w.entry.rows for written in self.tables.values() for w in written)

    @property
    def changed_count(self) -> int:
        """Partitions whose content is new."""
        return sum(w.changed for written in self.tables.values() for w in written)


Run = Callable[[Workspace, Sequence[date]], StageResult]


@dataclass(frozen=True)
class Stage:
    """One stage. `is_partitioned` False: it ignores the labels' extent and renews a snapshot."""

    name: str
    run: Run
    tables: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    is_partitioned: bool = True
    source: str | None = None
    description: str = ""
