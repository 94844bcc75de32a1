"""A tiny operator made from the catalogue: two assets, two hubs, four facilities with a terminal, some days.

Its numbers obey the domain's rules, computed by hand-sized Python and shared with no transform: parents sum the cut,
drivers and the residual close, one missing facility-day lowers coverage. Day 0 is the latest one.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from tests.unit.warehouse import frames_facts, frames_reference
from warehouse.build import ReleaseRequest
from warehouse.build_publish import build_and_publish
from warehouse.catalog.tables import TABLES, published
from warehouse.manifest import InputPartition
from warehouse.release import release_ids

LATEST = date(2026, 11, 21)
OPERATOR = "tiny"


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The rows as a frame of the catalogue's columns and dtypes; a column that a row does not name is null."""
    dtypes = {column: kind.dtype for column, kind in TABLES[name].schema.columns().items()}
    unknown = {key for row in rows for key in row} - set(dtypes)
    if unknown:
        raise KeyError(f"{name} has no column {sorted(unknown)}")
    return pl.DataFrame([{c: row.get(c) for c in dtypes} for row in rows], schema=dtypes, orient="row")


def tiny_release_tables(days: int = 5, *, latest: date = LATEST) -> dict[str, pl.DataFrame]:
    """Every table that a release publishes but `dictionary` and `release_info`, for `days` labels ending with `latest`.

    Nodes: assets east, west; hubs hub-alder (east), hub-birch (west); facilities fs-alder, gp-alder (hub-alder),
    fs-birch (hub-birch), tm-east (terminal under east). On the latest day fs-alder has potential 38,000 and production
    21,700 bbl/d. From four days on, fs-birch has no oil value three days before the latest (quality missing).
    """
    labels = [latest - timedelta(days=back) for back in range(days - 1, -1, -1)]
    rows = frames_reference.rows(labels)
    rows.update(frames_facts.rows(labels))
    return {
        t.name: table(t.name, rows.get(t.name, ())) for t in published() if t.name not in ("dictionary", "release_info")
    }


def inputs_of(tables: Mapping[str, pl.DataFrame]) -> list[InputPartition]:
    """One input a table, named by a hash of its rows: equal frames make equal release content."""
    return [
        InputPartition(
            table=name,
            partition="all",
            sha256=hashlib.sha256(frame.write_json().encode()).hexdigest(),
            rows=frame.height,
        )
        for name, frame in sorted(tables.items())
    ]


def request_for(tables: Mapping[str, pl.DataFrame], **changes: Any) -> ReleaseRequest:
    """What is said of the release; `changes` replace fields of the request."""
    latest = tables["out__daily_production"]["production_date"].max()
    assert isinstance(latest, date)
    as_of = datetime(latest.year, latest.month, latest.day, 5, tzinfo=UTC) + timedelta(days=1)
    fields: dict[str, Any] = {
        "operator": OPERATOR,
        "is_synthetic": True,
        "code_version": "0.1.0+test",
        "as_of": as_of,
        "zone": "Africa/Lagos",
        "inputs": inputs_of(tables),
        "high_water": {"energy_components": as_of, "pi": as_of},
    }
    return ReleaseRequest(**(fields | changes))


def publish_tiny(
    warehouse_dir: Path,
    *,
    days: int = 5,
    latest: date = LATEST,
    tables: Mapping[str, pl.DataFrame] | None = None,
    built_at: datetime | None = None,
    **changes: Any,
) -> str:
    """Build and publish the tiny operator; its release id (of the kept release where nothing changed).

    `tables` replaces the frames (start from `tiny_release_tables`), `changes` fields of the request.
    """
    if (
        tables is None
        and built_at is None
        and not changes
        and not (warehouse_dir.exists() and any(warehouse_dir.iterdir()))
    ):
        shutil.copytree(_built(days, latest).name, warehouse_dir, dirs_exist_ok=True)
        return release_ids(warehouse_dir)[-1]
    frames = dict(tables) if tables is not None else tiny_release_tables(days, latest=latest)
    return _publish(warehouse_dir, frames, built_at=built_at, **changes)


@cache
def _built(days: int, latest: date) -> tempfile.TemporaryDirectory[str]:
    """A warehouse with the tiny operator's first release: to build one costs a second, to copy it nothing."""
    folder = tempfile.TemporaryDirectory(prefix="tiny-")
    _publish(Path(folder.name), tiny_release_tables(days, latest=latest))
    return folder


def _publish(
    warehouse_dir: Path, frames: dict[str, pl.DataFrame], *, built_at: datetime | None = None, **changes: Any
) -> str:
    result = build_and_publish(warehouse_dir, frames, info=request_for(frames, **changes), built_at=built_at)
    if result.release_id is None:
        raise AssertionError(f"refused: {[(r.gate, r.detail) for r in result.refused]}")
    return result.release_id
