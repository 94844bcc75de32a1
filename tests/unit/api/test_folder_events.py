"""A wait ends when a file of interest changes, and otherwise after its time; a follower needs no poll to see a release."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from api import folder_events
from api.folder_events import FolderEvents
from api.follower import Follower

LONG = 60.0
told_by_the_kernel = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="events are Linux' own")


@pytest.fixture
def events(tmp_path: Path) -> Iterator[FolderEvents]:
    made = FolderEvents(tmp_path, ("current",))
    made.wait(0.0)
    yield made
    made.close()
    made.release()


def replace(folder: Path, name: str) -> None:
    (folder / ".new").write_text(name, encoding="utf-8")
    (folder / ".new").replace(folder / name)


def ended(events: FolderEvents, change: Callable[[], object]) -> bool:
    """Whether a change ends a wait that was begun before it, long before its time."""
    done = Event()
    Thread(target=lambda: (events.wait(LONG), done.set()), daemon=True).start()
    time.sleep(0.05)
    assert not done.is_set()
    change()
    return done.wait(20.0)


@told_by_the_kernel
def test_wait_when_the_file_is_replaced_then_it_ends(events: FolderEvents, tmp_path: Path) -> None:
    for _ in range(3):
        assert ended(events, lambda: replace(tmp_path, "current"))
    assert events.are_told


@told_by_the_kernel
def test_wait_when_another_file_changes_then_it_goes_on(events: FolderEvents, tmp_path: Path) -> None:
    done = Event()
    Thread(target=lambda: (events.wait(LONG), done.set()), daemon=True).start()
    for number in range(20):
        replace(tmp_path, f"other-{number}")
    assert not done.wait(0.2)
    replace(tmp_path, "current")
    assert done.wait(20.0)


@told_by_the_kernel
def test_wait_when_the_folder_is_made_later_or_anew_then_its_changes_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "warehouse"
    events = FolderEvents(folder, ("current",))
    assert events.wait(0.0)
    assert not events.are_told
    for _ in range(2):
        folder.mkdir()
        # The wait that finds it ends at once: what happened before was not told.
        started = time.monotonic()
        assert events.wait(LONG)
        assert time.monotonic() - started < LONG / 2
        assert ended(events, lambda: replace(folder, "current"))
        (folder / "current").unlink()
        folder.rmdir()
        while events.are_told:
            events.wait(0.1)
    events.close()
    events.release()


def test_wait_when_closed_then_it_ends_and_so_does_every_later_one(events: FolderEvents) -> None:
    assert ended(events, events.close)
    assert not events.wait(LONG)


def test_wait_when_the_system_has_no_events_then_it_lasts_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_events, "_open", lambda: -1)
    events = FolderEvents(tmp_path, ("current",))
    started = time.monotonic()
    assert events.wait(0.05)
    assert time.monotonic() - started >= 0.05
    assert not events.are_told
    assert ended(events, events.close)
    events.release()


@told_by_the_kernel
def test_follower_when_the_pointer_moves_then_it_looks_without_a_poll(tmp_path: Path) -> None:
    looked: list[str] = []
    seen = Event()

    def refresh() -> bool:
        found = (tmp_path / "current").read_text(encoding="utf-8") if (tmp_path / "current").exists() else ""
        looked.append(found)
        if found:
            seen.set()
        return True

    follower = Follower(refresh, tmp_path, seconds=3600.0)
    follower.start()
    replace(tmp_path, "current")
    assert seen.wait(20.0)
    follower.stop()
    assert len(looked) <= 4


def test_follower_when_no_event_comes_then_it_polls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_events, "_open", lambda: -1)
    looked: list[int] = []
    enough = Event()
    follower = Follower(lambda: bool(looked.append(1) or (len(looked) > 3 and enough.set())), tmp_path, seconds=0.01)
    follower.start()
    assert enough.wait(20.0)
    follower.stop()
