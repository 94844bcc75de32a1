"""Bootstrap's arithmetic: which labels go together, and when everything is computed anew."""

from datetime import date, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipelines.bootstrap import CHUNK_LABELS, MOST_LABELS, chunks
from pipelines.fingerprint import fingerprint, is_computed_by, set_computed_by
from pipelines.lake import Lake
from pipelines.stages.workspace import label_range


@given(st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.integers(0, 900), st.integers(CHUNK_LABELS, MOST_LABELS))
def test_chunks_when_any_range_then_every_label_once_in_order_and_months_whole(
    first: date, days: int, size: int
) -> None:
    labels = label_range(first, first + timedelta(days=days))
    parts = list(chunks(labels, size))
    assert [label for part in parts for label in part] == labels
    assert all(len(part) <= size + 31 for part in parts)
    assert all((part[-1] + timedelta(days=1)).day == 1 for part in parts[:-1])


def test_fingerprint_when_a_reference_file_changes_then_it_differs(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("a\n1\n", encoding="utf-8")
    before = fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("prose is no input", encoding="utf-8")
    assert fingerprint(tmp_path) == before
    (tmp_path / "tags.csv").write_text("a\n2\n", encoding="utf-8")
    assert fingerprint(tmp_path) != before


def test_computed_by_when_marked_then_only_that_mark_counts(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert not is_computed_by(lake, "one")
    set_computed_by(lake, "one")
    assert is_computed_by(lake, "one")
    assert not is_computed_by(lake, "two")
