"""Days that are worked on together: all of them, once, in order, and never more samples than are wanted in memory."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.lake import Lake, Provenance, empty
from pipelines.stages import sample_days

TABLE = "raw_pi__tank_gauge"
FIRST = date(2026, 10, 20)
WHEN = Provenance(extracted_at_utc=datetime(2026, 11, 22, tzinfo=UTC), run_id="test", request="")


def samples(day: date, count: int) -> pl.DataFrame:
    begin = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
    rows = [
        dict.fromkeys(empty(TABLE).columns)
        | {"production_date": day, "tag_id": 1, "observed_at_utc": begin + timedelta(seconds=n), "value": 1.0}
        | {"is_good": True, "is_questionable": False}
        for n in range(count)
    ]
    return pl.DataFrame(rows, schema=empty(TABLE).schema)


@given(st.lists(st.integers(0, 9), min_size=0, max_size=20))
def test_days_for_any_counts_then_each_once_in_order_and_no_run_too_large(counts: list[int]) -> None:
    labels = [FIRST + timedelta(days=n) for n in range(len(counts))]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_days, "SAMPLES", 10)
        lake = Lake(Path(folder))
        for label, count in zip(labels, counts, strict=True):
            lake.write_days(TABLE, samples(label, count), [label], provenance=WHEN)
        runs = list(sample_days.together(lake, [TABLE], labels))
    assert [label for run in runs for label in run] == labels
    held = dict(zip(labels, counts, strict=True))
    assert all(len(run) == 1 or sum(held[label] for label in run) <= 10 for run in runs)
    # No run could have taken the day after it.
    assert all(sum(held[label] for label in run) + held[after[0]] > 10 for run, after in pairwise(runs))


def test_days_when_a_month_is_one_file_then_its_samples_are_spread_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_days, "SAMPLES", 10)
    lake = Lake(tmp_path)
    days = [date(2026, 9, day) for day in range(1, 31)]
    lake.write_month(TABLE, pl.concat([samples(day, 4) for day in days]), "2026-09", provenance=WHEN)
    runs = list(sample_days.together(lake, [TABLE], days))
    assert [label for run in runs for label in run] == days
    assert {len(run) for run in runs} == {2}
