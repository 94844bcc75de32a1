"""What the pipeline needs of Energy Components, whichever way it is reached; and what both ways share.

Two transports: REST (`ec_rest`) and Oracle (`ec_oracle`). Both read datasets of the site's mapping and give the same
canonical columns, so that the rest of the pipeline does not know which one answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from pipelines.sources.circuit import CircuitStatus
from pipelines.sources.errors import Asking, SourceBroken
from pipelines.sources.extract import Extract
from pipelines.sources.mapping import DatasetMapping

SOURCE = "Energy Components"


class EnergyComponents(Protocol):
    """Reads of one Energy Components installation."""

    def read(self, dataset: str, first: date, last: date) -> Extract:
        """The dataset's rows for the production days `first` to `last`, both included, in canonical columns.

        A dataset without rows gives an empty frame of the right schema. Raises SourceBroken (also for a dataset that
        the mapping lacks), SourceNotReady, SourceUnavailable.
        """

    def tells_changes(self, dataset: str) -> bool:
        """Whether the site's mapping says how to ask this dataset for what has changed."""

    def changes(self, dataset: str, since: datetime, first: date, last: date) -> Extract:
        """Rows as of `read` that the source stamped at or after `since`, whatever it deleted since then.

        The mapping decides whether the days are asked too; rows of other days are left out where the dataset has days.
        Raises as `read`, and SourceBroken for a dataset that cannot be asked so.
        """

    def preflight(self) -> list[str]:
        """What stands in the way of reading, one sentence each with what to do; empty when nothing does."""

    def close(self) -> None:
        """Give the connections back."""

    def cancel(self) -> None:
        """Make every read of this client end soon with SourceUnavailable; nothing of them is kept."""

    @property
    def circuit(self) -> CircuitStatus:
        """How this source's circuit stands in this process."""


def asking_for(dataset: str, first: date, last: date) -> Asking:
    """The opening words of this read's messages."""
    return Asking(SOURCE, dataset, str(first) if first == last else f"{first} to {last}")


def mapped(datasets: Mapping[str, DatasetMapping], dataset: str, first: date, last: date) -> DatasetMapping:
    """The dataset's mapping. Raises SourceBroken for one that the site does not map, ValueError for an inverted range."""
    if last < first:
        raise ValueError(f"the last day {last} lies before the first {first}")
    if dataset not in datasets:
        raise SourceBroken(
            asking_for(dataset, first, last),
            asked=f"dataset {dataset}",
            came=f"a mapping of {', '.join(sorted(datasets)) or 'nothing'}",
            what_next="not retried: add the dataset to energy_components.toml",
        )
    return datasets[dataset]


def no_changes(mapping: DatasetMapping, asking: Asking) -> SourceBroken:
    """The refusal to ask a dataset for its changes where the mapping does not say how."""
    return SourceBroken(
        asking,
        asked=f"what has changed in dataset {mapping.name}",
        came="a mapping without oracle_changes_sql or rest.changes_params",
        what_next=f"not retried: add it to [datasets.{mapping.name}] in energy_components.toml, or read whole days",
    )


def stamp_of(mapping: DatasetMapping, since: datetime, zone: str) -> datetime:
    """`since` as the stamp's column holds it: naive, in the column's zone, the reader's where it names none.

    An hour earlier where that zone changes its clocks, for an hour that the clock shows twice is stamped alike.
    """
    column = mapping.stamp()
    info = ZoneInfo(column.zone if column is not None and column.zone else zone)
    near = (since - timedelta(hours=2), since + timedelta(hours=2))
    is_steady = len({instant.astimezone(info).utcoffset() for instant in near}) == 1
    asked = since if is_steady else since - timedelta(hours=1)
    return asked.astimezone(UTC).astimezone(info).replace(tzinfo=None)


def _has_unlike_keys(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether all keys certainly differ. Equal ones have equal hashes; where two hashes meet, the keys need a look."""
    hashes = np.sort(frame.select(key).hash_rows().to_numpy())
    return bool((hashes[1:] != hashes[:-1]).all())


def tidy(mapping: DatasetMapping, frame: pl.DataFrame, first: date, last: date) -> tuple[pl.DataFrame, list[str]]:
    """Rows of the asked days, one a key, and sentences about what was left out.

    A row of another production day was not asked for; of several rows with one key the highest rev_no stands, else the
    last received (a page that shifted while it was read gives a row twice).
    """
    warnings: list[str] = []
    if "production_date" in frame.columns:
        inside = frame["production_date"].is_between(first, last).fill_null(value=True)
        if not inside.all():
            warnings.append(f"{mapping.name}: {frame.height - inside.sum()} rows of days that were not asked for")
            frame = frame.filter(inside)
    if mapping.key and not _has_unlike_keys(frame, mapping.key):
        key = list(mapping.key)
        revision = ["rev_no"] if "rev_no" in frame.columns else []
        ordered = frame.sort(*key, *revision, nulls_last=False, maintain_order=True)
        # Neighbours tell: much cheaper than hashing every key.
        is_last = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(-1)) for name in key)
        single = ordered.filter(is_last | (pl.int_range(pl.len()) == pl.len() - 1))
        if single.height < frame.height:
            warnings.append(f"{mapping.name}: {frame.height - single.height} repeated rows")
        frame = single
    return frame, warnings
