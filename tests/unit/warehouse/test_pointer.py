"""The pointer: its JSON, compare-and-swap under a race, hold, history."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.errors import PointerCorrupt, PointerMoved, ReleaseNotFound
from warehouse.pointer import history, parse_pointer, read_pointer, swap_pointer
from warehouse.release import active_at

T0 = datetime(2026, 11, 22, 6, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A warehouse with the bare names of four releases."""
    for name in ("a", "b", "c", "d"):
        release = tmp_path / "releases" / name
        release.mkdir(parents=True)
        (release / "manifest.json").touch()
    return tmp_path


def test_pointer_when_written_then_is_the_contracts_json(folder: Path) -> None:
    swap_pointer(folder, "a", held_by="A. Engineer", held_reason="wrong totals", now=T0)
    assert json.loads((folder / "current").read_bytes()) == {
        "format": 1,
        "releaseId": "a",
        "sequence": 1,
        "heldBy": "A. Engineer",
        "heldReason": "wrong totals",
        "changedAtUtc": "2026-11-22T06:00:00Z",
    }


def test_pointer_when_nothing_was_published_then_none(tmp_path: Path) -> None:
    assert read_pointer(tmp_path) is None
    assert history(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"format":1}', b"[]", b"\xff\xfe"])
def test_pointer_when_it_is_no_pointer_then_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "current").write_bytes(content)
    with pytest.raises(PointerCorrupt, match="release-activate"):
        read_pointer(tmp_path)


def test_pointer_when_format_is_newer_then_refused() -> None:
    text = b'{"format":2,"releaseId":"a","sequence":1,"heldBy":null,"heldReason":null,"changedAtUtc":"2026-11-22T06:00:00Z"}'
    with pytest.raises(PointerCorrupt, match="format 2"):
        parse_pointer(text)


@given(st.binary(max_size=200))
def test_parse_when_content_is_anything_then_pointer_or_its_own_fault(content: bytes) -> None:
    try:
        assert parse_pointer(content).format == 1
    except PointerCorrupt as fault:
        assert "current" in str(fault)


def test_swap_when_sequence_is_not_the_expected_then_nothing_moves(folder: Path) -> None:
    swap_pointer(folder, "a", expected_sequence=0)
    with pytest.raises(PointerMoved) as raised:
        swap_pointer(folder, "b", expected_sequence=0)
    assert (raised.value.expected, raised.value.found) == (0, 1)
    pointer, moved = swap_pointer(folder, "b", expected_sequence=1)
    assert (pointer.release_id, pointer.sequence, moved) == ("b", 2, True)


def test_swap_when_release_is_not_kept_then_refused(folder: Path) -> None:
    with pytest.raises(ReleaseNotFound):
        swap_pointer(folder, "pruned")
    assert read_pointer(folder) is None


def test_swap_when_held_then_a_publisher_moves_nothing_and_an_engineer_does(folder: Path) -> None:
    swap_pointer(folder, "a", held_by="A. Engineer", held_reason="wrong totals")
    pointer, moved = swap_pointer(folder, "b", expected_sequence=1, respect_hold=True)
    assert (pointer.release_id, moved) == ("a", False)
    pointer, moved = swap_pointer(folder, "b")
    assert (pointer.release_id, pointer.is_held, moved) == ("b", False, True)


def test_swap_when_many_publishers_race_then_one_wins_each_round(folder: Path) -> None:
    racers, rounds = 4, 25
    for sequence in range(rounds):
        start = Barrier(racers)

        def race(name: str, sequence: int = sequence, start: Barrier = start) -> bool:
            start.wait()
            try:
                return swap_pointer(folder, name, expected_sequence=sequence)[1]
            except PointerMoved:
                return False

        # Names differ from the one in force, so that a win is always a move.
        names = [("a", "b"), ("c", "d")][sequence % 2]
        with ThreadPoolExecutor(racers) as pool:
            won = list(pool.map(race, names * (racers // 2)))
        assert sum(won) == 1
        pointer = read_pointer(folder)
        assert pointer is not None
        assert pointer.sequence == sequence + 1
    assert [p.sequence for p in history(folder)] == list(range(1, rounds + 1))


def test_history_when_pointer_moved_then_tells_what_was_active_when(folder: Path) -> None:
    for hour, name in enumerate(("a", "b", "c")):
        swap_pointer(folder, name, now=T0 + timedelta(hours=hour))
    assert active_at(folder, T0 - timedelta(seconds=1)) is None
    assert active_at(folder, T0) == "a"
    assert active_at(folder, T0 + timedelta(minutes=119)) == "b"
    assert active_at(folder, T0 + timedelta(days=9)) == "c"


def test_history_when_a_line_was_cut_short_then_the_rest_is_read(folder: Path) -> None:
    swap_pointer(folder, "a", now=T0)
    (folder / "history.jsonl").write_bytes(b'{"format":1,"relea')
    swap_pointer(folder, "b", now=T0 + timedelta(hours=1))
    assert [p.release_id for p in history(folder)] == ["a", "b"]


def test_swap_when_the_disk_takes_a_part_of_a_line_then_the_rest_is_written_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr("warehouse.pointer.os.write", lambda descriptor, line: real(descriptor, bytes(line[:40])))
    for name in ("a", "b", "c"):
        swap_pointer(folder, name)
    assert [p.release_id for p in history(folder)] == ["a", "b", "c"]


def test_swap_when_history_cannot_be_written_then_nothing_moves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swap_pointer(folder, "a")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("warehouse.pointer.os.write", full)
    with pytest.raises(OSError, match="No space left"):
        swap_pointer(folder, "b")
    pointer = read_pointer(folder)
    assert pointer is not None and pointer.release_id == "a"
