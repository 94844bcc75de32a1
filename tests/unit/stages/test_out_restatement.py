"""The stage that compares a day with what it was: which files it reads, what it writes, what it survives."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines import site as sites
from pipelines.lake import Lake, empty
from pipelines.stages.out_restatement import COMPARED, RESTATEMENT, STAGE
from pipelines.stages.workspace import Workspace, label_range

PRODUCTION = "out__daily_production"
TABLES = (PRODUCTION, "out__daily_gap_driver", "core__daily_event", "out__daily_terminal")
NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
LABELS = label_range(date(2026, 8, 1), date(2026, 8, 31))


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(
        site=sites.load("sandbox"),
        lake=Lake(tmp_path / "lake"),
        warehouse_dir=tmp_path / "warehouse",
        now=lambda: NOW,
        report=lambda _: None,
    )


def rows(values: dict[date, float]) -> pl.DataFrame:
    """Production of one facility by day."""
    schema = empty(PRODUCTION).schema
    return pl.DataFrame(
        [
            dict.fromkeys(schema)
            | {
                "production_date": day,
                "node_level": "facility",
                "node_id": "fs-a",
                "network": "oil",
                "hub_id": "hub-1",
                "asset_id": "east",
                "counts_in_roll_up": True,
                "source": "ec",
                "production_volume": value,
            }
            for day, value in values.items()
        ],
        schema=schema,
    )


def load(ws: Workspace, values: dict[date, float]) -> dict[str, Any]:
    """Write the days as the stages before would, then compare; gives the stage's figures."""
    labels = sorted(values)
    ws.write(PRODUCTION, rows(values), labels)
    for table in TABLES[1:]:
        ws.write(table, empty(table), labels)
    return STAGE.run(ws, labels).figures


def told(ws: Workspace) -> list[tuple[date, float, float]]:
    return ws.lake.read(RESTATEMENT, LABELS[0], LABELS[-1]).select("production_date", "old_value", "new_value").rows()


def test_stage_when_days_are_loaded_first_then_it_only_remembers_them(ws: Workspace) -> None:
    assert load(ws, dict.fromkeys(LABELS, 10.0)) == {"days compared": 0, "numbers restated": 0}
    assert told(ws) == []
    assert ws.lake.read(COMPARED, LABELS[0], LABELS[-1]).height == len(LABELS) * len(TABLES)


def test_stage_when_one_day_changed_then_only_that_day_is_read_and_written(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(ws, dict.fromkeys(LABELS, 10.0))
    opened: list[str] = []
    scan: Callable[..., pl.LazyFrame] = pl.scan_parquet

    def noted(source: Any, **more: Any) -> pl.LazyFrame:
        paths = source if isinstance(source, list) else [source]
        opened.extend(str(p) for p in paths if PRODUCTION in str(p))
        return scan(source, **more)

    monkeypatch.setattr(pl, "scan_parquet", noted)
    assert load(ws, dict.fromkeys(LABELS, 10.0) | {LABELS[7]: 11.0})["days compared"] == 1
    assert {Path(p).parent.name for p in opened} == {LABELS[7].isoformat()}
    assert told(ws) == [(LABELS[7], 10.0, 11.0)]
    assert ws.lake.labels(RESTATEMENT) == [LABELS[7]]


def test_stage_when_run_again_then_nothing_is_added_and_no_file_changes(ws: Workspace) -> None:
    load(ws, dict.fromkeys(LABELS, 10.0))
    load(ws, {LABELS[7]: 11.0})
    before = [(p.table, p.partition, p.entry.sha256) for t in (RESTATEMENT, COMPARED) for p in ws.lake.partitions(t)]
    later = replace(ws, now=lambda: NOW + timedelta(days=1))
    assert load(later, dict.fromkeys(LABELS, 10.0) | {LABELS[7]: 11.0})["numbers restated"] == 0
    after = [(p.table, p.partition, p.entry.sha256) for t in (RESTATEMENT, COMPARED) for p in ws.lake.partitions(t)]
    assert after == before


def test_stage_when_corrected_twice_then_both_steps_stand_and_the_second_begins_where_the_first_ended(
    ws: Workspace,
) -> None:
    for value in (10.0, 11.0, 10.5):
        load(ws, {LABELS[0]: value})
    assert sorted(told(ws)) == [(LABELS[0], 10.0, 11.0), (LABELS[0], 11.0, 10.5)]


def test_stage_when_a_closed_month_is_one_file_then_its_days_are_compared_all_the_same(ws: Workspace) -> None:
    load(ws, dict.fromkeys(LABELS, 10.0))
    whole = replace(ws, is_bootstrap=True)
    # The same rows in a month's file are no change.
    assert load(whole, dict.fromkeys(LABELS, 10.0))["numbers restated"] == 0
    assert [p.partition for p in ws.lake.partitions(PRODUCTION)] == ["2026-08"]
    load(whole, dict.fromkeys(LABELS, 10.0) | {LABELS[3]: 12.0})
    load(ws, {LABELS[4]: 13.0})
    assert sorted(told(ws)) == [(LABELS[3], 10.0, 12.0), (LABELS[4], 10.0, 13.0)]


def test_stage_when_it_died_after_telling_then_the_next_run_does_not_tell_again(ws: Workspace) -> None:
    load(ws, {LABELS[0]: 10.0})
    compared = ws.lake.read(COMPARED, LABELS[0], LABELS[0])
    load(ws, {LABELS[0]: 11.0})
    # As it stands when the restatement is written and what was compared is not.
    ws.write(COMPARED, compared, LABELS[:1])
    assert load(replace(ws, now=lambda: NOW + timedelta(days=1)), {LABELS[0]: 11.0})["numbers restated"] == 0
    assert told(ws) == [(LABELS[0], 10.0, 11.0)]


def test_stage_when_the_old_file_is_gone_then_it_says_so_and_begins_anew(ws: Workspace) -> None:
    reports: list[str] = []
    load(ws, {LABELS[0]: 10.0})
    for path in (ws.lake.root / PRODUCTION / LABELS[0].isoformat()).glob("*.parquet"):
        path.unlink()
    noisy = replace(ws, report=reports.append)
    load(noisy, {LABELS[0]: 11.0})
    assert told(ws) == []
    assert reports == [f"1 days cannot be compared, the files of their old state are gone: {LABELS[0]} to {LABELS[0]}"]
    load(noisy, {LABELS[0]: 12.0})
    assert told(ws) == [(LABELS[0], 11.0, 12.0)]
