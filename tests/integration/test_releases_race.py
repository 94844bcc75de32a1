"""Publishers that race each other, and an analyst who reads one release while others are published."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.releases_full_disk import litter
from tests.integration.releases_processes import Publisher, analyst
from warehouse.manifest import read_manifest
from warehouse.pointer import history, read_pointer
from warehouse.release import release_ids, release_path
from warehouse.retention import Retention, prune

KEEP_ONE = Retention(count=1, age=timedelta(0), keep_last_of_month=False)
LATER = datetime(2030, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def racers() -> Iterator[tuple[Publisher, Publisher]]:
    with Publisher() as one, Publisher() as other:
        yield one, other


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rounds", [2, pytest.param(200, marks=pytest.mark.slow)])
def test_publishers_when_two_race_then_one_wins_each_time_and_both_releases_are_published(
    racers: tuple[Publisher, Publisher], tmp_path: Path, rounds: int
) -> None:
    racers[0].publish(tmp_path, 0)
    wins = [0, 0]
    for n in range(1, rounds + 1):
        before = read_pointer(tmp_path)
        assert before is not None
        for side, racer in enumerate(racers):
            racer.ask(do="race", warehouse=tmp_path, n=2 * n + side)
        built = [racer.answer()["built"] for racer in racers]
        assert read_pointer(tmp_path) == before
        bases = {read_manifest(tmp_path / "releases" / release_id).previous_release_id for release_id in built}
        assert bases == {before.release_id}  # both were built from the release in force
        for racer in racers if n % 2 else racers[::-1]:
            racer.send()
        ended = [racer.answer() for racer in racers]
        winner = [len(result["built"]) == 1 for result in ended]
        assert sorted(winner) == [False, True], ended  # exactly one published what it built first
        first, second = sorted(ended, key=lambda result: len(result["built"]))
        wins[winner.index(True)] += 1
        after = read_pointer(tmp_path)
        assert after is not None
        assert (after.sequence, after.release_id) == (before.sequence + 2, second["release"])
        assert first["active"] and second["active"] and second["built"][0] not in release_ids(tmp_path)
        assert read_manifest(tmp_path / "releases" / second["release"]).previous_release_id == first["release"]
        assert [p.release_id for p in history(tmp_path)[-2:]] == [first["release"], second["release"]]
        if n % 10 == 0:
            prune(tmp_path, Retention(count=4, age=timedelta(0), keep_last_of_month=False), now=LATER)
    assert sum(wins) == rounds
    assert [p.sequence for p in history(tmp_path)] == list(range(1, 2 * rounds + 2))
    assert litter(tmp_path) == []


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("publishes", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_publishing_when_an_analyst_holds_a_release_open_then_both_go_on_and_he_reads_the_same(
    racers: tuple[Publisher, Publisher], tmp_path: Path, publishes: int
) -> None:
    publisher = racers[0]
    held = publisher.publish(tmp_path, 0)["release"]
    with analyst(release_path(tmp_path)) as reading:
        reading.send()
        first = reading.line()
        assert held in first
        for n in range(1, publishes + 1):
            result = publisher.publish(tmp_path, n)
            assert result["active"] and result["sequence"] == n + 1
            # Housekeeping deletes everything that is in nobody's use, and his release is in his.
            prune(tmp_path, KEEP_ONE, now=LATER)
            assert sorted(release_ids(tmp_path)) == sorted([held, result["release"]])
            if n % 5 == 0 or n == publishes:
                reading.send()
                assert reading.line() == first
    assert prune(tmp_path, KEEP_ONE, now=LATER) == [held]


def test_housekeeping_when_a_process_died_with_a_release_open_then_it_may_go(
    racers: tuple[Publisher, Publisher], tmp_path: Path
) -> None:
    held = racers[1].publish(tmp_path, 0)["release"]
    with analyst(release_path(tmp_path)) as reading:
        reading.send()
        reading.line()
        racers[1].publish(tmp_path, 1)
        assert prune(tmp_path, KEEP_ONE, now=LATER) == []
        os.kill(reading.process.pid, 9)
        reading.process.wait(30)
    assert prune(tmp_path, KEEP_ONE, now=LATER) == [held]
