"""Watermarks: what is written comes back, what cannot be read is refused aloud, what was asked otherwise says nothing."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import lake_store
from pipelines.lake import Lake, Provenance, empty
from pipelines.watermark import (
    NAME,
    SWEEP,
    DayMark,
    DaysRead,
    SnapshotRead,
    basis_of,
    is_recent,
    owe,
    owed_from,
    read_watermark,
    spans_of,
    write_watermark,
)

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
TABLE = "raw_energy_components__stream_day"
MARKS = [
    DayMark(read_at=NOW),
    DayMark(read_at=NOW, seen_to=NOW - timedelta(hours=1)),
    DayMark(read_at=NOW, read_to=NOW, suspects=(3, 7), missing=("A",)),
]


@given(st.dictionaries(st.dates(date(2026, 1, 1), date(2026, 2, 10)), st.sampled_from(MARKS)))
def test_spans_when_marks_are_kept_as_runs_then_every_day_has_its_own_mark(days: dict[date, DayMark]) -> None:
    spans = spans_of(days)
    assert DaysRead(basis="x", spans=spans).days() == days
    assert all(a.last < b.first for a, b in pairwise(spans))
    assert len(spans) <= len(days)


def test_watermark_when_written_then_it_is_read_again_beside_its_table(tmp_path: Path) -> None:
    lake, warnings = Lake(tmp_path), list[str]()
    assert read_watermark(lake, TABLE, DaysRead, basis="b", warn=warnings.append) is None
    days = DaysRead(basis="b", spans=spans_of({date(2026, 11, 21): MARKS[1]}))
    snapshot = SnapshotRead(basis="b", sha256="s", read_at=NOW, link="https://x/delta?token=1%2f")
    write_watermark(lake, TABLE, days)
    write_watermark(lake, "raw_sharepoint__business_target", snapshot)
    assert (tmp_path / TABLE / NAME).is_file()
    assert read_watermark(lake, TABLE, DaysRead, basis="b", warn=warnings.append) == days
    found = read_watermark(lake, "raw_sharepoint__business_target", SnapshotRead, basis="b", warn=warnings.append)
    assert (found, warnings) == (snapshot, [])
    # A folder with nothing but a watermark is no partition.
    assert lake.labels(TABLE) == []


def test_watermark_when_the_question_was_another_then_it_says_nothing(tmp_path: Path) -> None:
    lake, warnings = Lake(tmp_path), list[str]()
    write_watermark(lake, TABLE, DaysRead(basis=basis_of("http://one", {"a": 1})))
    other = basis_of("http://two", {"a": 1})
    assert read_watermark(lake, TABLE, DaysRead, basis=other, warn=warnings.append) is None
    assert warnings == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"basis":"b","spans":[{"first":1}]}', b"[]"])
def test_watermark_when_it_is_corrupt_then_it_is_refused_with_a_warning(tmp_path: Path, content: bytes) -> None:
    lake, warnings = Lake(tmp_path), list[str]()
    lake.write_bytes(f"{TABLE}/{NAME}", content)
    assert read_watermark(lake, TABLE, DaysRead, basis="b", warn=warnings.append) is None
    assert len(warnings) == 1
    assert f"{TABLE}/{NAME}" in warnings[0] and "read in full" in warnings[0]


def test_whole_read_when_it_is_a_day_old_or_of_the_future_then_it_does_not_count() -> None:
    assert is_recent(NOW, NOW)
    assert is_recent(NOW - SWEEP + timedelta(seconds=1), NOW)
    assert not is_recent(NOW - SWEEP, NOW)
    assert not is_recent(NOW + timedelta(seconds=1), NOW)


def test_owed_days_when_noted_then_known_until_they_are_paid(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert owed_from(lake) is None
    owe(lake, date(2026, 11, 3))
    assert owed_from(lake) == date(2026, 11, 3)
    lake.write_bytes("_uncomputed_from", b"?")
    assert owed_from(lake) == date.min
    owe(lake, None)
    assert owed_from(lake) is None


def test_power_cut_when_a_watermark_is_on_the_disk_then_so_is_the_data_that_it_speaks_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not synced when the mark was written is what a power cut may take."""
    synced: list[str] = []

    def watched(real: Callable[[Path], None]) -> Callable[[Path], None]:
        def sync(path: Path) -> None:
            assert not (tmp_path / TABLE / NAME).exists()
            synced.append(path.relative_to(tmp_path).as_posix())
            real(path)

        return sync

    for name in ("sync_file", "sync_dir"):
        monkeypatch.setattr(lake_store, name, watched(getattr(lake_store, name)))
    lake = Lake(tmp_path)
    day = date(2026, 11, 20)
    provenance = Provenance(extracted_at_utc=NOW, run_id="test", request="")
    [written] = lake.write_days(TABLE, empty(TABLE), [day], provenance=provenance)
    write_watermark(lake, TABLE, DaysRead(basis="x", spans=spans_of({day: DayMark(read_at=NOW)})))
    folder = f"{TABLE}/{day}"
    assert {f"{folder}/{written.entry.file}", f"{folder}/_current", folder, TABLE} <= set(synced)
    # Files before the folders that name them.
    assert synced.index(f"{folder}/_current") < synced.index(folder)
    assert (tmp_path / TABLE / NAME).exists()
