"""Publishing that is killed, a disk that fills up, a file that rots: readers keep the last good release, nobody repairs."""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from api.preparer import Patience
from api.settings import Settings
from tests.integration.releases_full_disk import litter
from tests.integration.releases_marked import marked_request, marked_tables, marks_of
from tests.integration.releases_processes import ROOT, Publisher
from tests.unit.api.client import Api
from warehouse.build_publish import build_and_publish
from warehouse.manifest import read_manifest, verify_database
from warehouse.pointer import Pointer, read_pointer, swap_pointer
from warehouse.release import release_path
from warehouse.retention import Retention, prune

# The full counts take ten minutes: they belong to make test-all.
ALL = pytest.param(200, marks=pytest.mark.slow)


def publish_here(warehouse: Path, n: int) -> str:
    tables = marked_tables(n)
    release_id = build_and_publish(warehouse, tables, info=marked_request(tables)).release_id
    assert release_id is not None
    return release_id


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    with Publisher() as running:
        yield running


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with releases 0 and 1; 1 is in force."""
    warehouse = tmp_path_factory.mktemp("published")
    for n in range(2):
        publish_here(warehouse, n)
    return warehouse


@pytest.fixture
def warehouse(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "warehouse"))


def in_force(warehouse: Path) -> Pointer:
    """The pointer, after everything that it promises was checked."""
    pointer = read_pointer(warehouse)
    assert pointer is not None
    directory = warehouse / "releases" / pointer.release_id
    verify_database(directory, read_manifest(directory))
    with duckdb.connect(release_path(warehouse), read_only=True) as connection:
        assert connection.execute("SELECT release_id FROM release_info").fetchall() == [(pointer.release_id,)]
    return pointer


def house_kept(warehouse: Path) -> list[str]:
    """What lies about that belongs to no release, after housekeeping some hours later."""
    prune(
        warehouse,
        Retention(count=3, age=timedelta(0), keep_last_of_month=False),
        now=datetime.now(UTC) + timedelta(hours=3),
    )
    for release in (warehouse / "releases").iterdir():
        verify_database(release, read_manifest(release))
    return litter(warehouse)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [3, ALL])
def test_publisher_when_killed_at_random_points_then_nothing_is_lost_and_the_next_run_succeeds(
    publisher: Publisher, warehouse: Path, kills: int
) -> None:
    chooser = random.Random(20261122)
    begun = time.monotonic()
    whole = unharmed(publisher, warehouse, 2)
    lasts = time.monotonic() - begun
    died = 0
    for n in range(3, 3 + kills):
        before = in_force(warehouse)
        # Half die at a step on files, half at a moment, also inside DuckDB and Polars.
        kill_at = chooser.randint(1, whole["steps"]) if n % 2 else None
        delay = 60.0 if kill_at else chooser.uniform(0, lasts)
        publisher.ask(do="fork", warehouse=warehouse, n=n, kill_at=kill_at)
        child = publisher.answer()["child"]
        if not select.select([publisher.process.stdout], [], [], delay)[0]:
            with suppress(ProcessLookupError):  # it ended on its own in this very moment
                os.kill(child, signal.SIGKILL)
        ended = publisher.answer()
        died += ended["killed"]
        after = in_force(warehouse)
        assert after == before or after.sequence == before.sequence + 1
        assert after == before or ended["killed"] is False or after.release_id != before.release_id
        # The full proof repairs nothing and publishes after every kill, the quick one after every fifth.
        if kills > 50 or n % 5 == 0:
            result = unharmed(publisher, warehouse, n)
            assert result["active"] and not result["refused"]
            assert in_force(warehouse).release_id == result["release"]
            assert house_kept(warehouse) == []
    assert died > kills // 2
    assert unharmed(publisher, warehouse, 10_000)["active"]
    assert house_kept(warehouse) == []


def unharmed(publisher: Publisher, warehouse: Path, n: int) -> dict[str, Any]:
    """Publish in a child that nobody kills. Never in the publisher itself: its threads would not survive the next fork."""
    publisher.ask(do="fork", warehouse=warehouse, n=n, kill_at=None)
    publisher.answer()
    return publisher.answer()


def namespace_for_mounts() -> list[str] | None:
    """The command that gives a process mounts of its own, where this machine allows it."""
    command = ["unshare", "--map-root-user", "--mount"]
    try:
        probe = [*command, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
        done = subprocess.run(probe, capture_output=True, timeout=30)
    except OSError:
        return None
    return command if done.returncode == 0 else None


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_publisher_when_the_disk_is_full_then_readers_keep_theirs_and_room_is_all_it_takes(
    tmp_path: Path, cases: int
) -> None:
    prefix = namespace_for_mounts()
    kind = "limit" if prefix is None else "mount"
    command = [
        *(prefix or []),
        sys.executable,
        "-m",
        "tests.integration.releases_full_disk",
        kind,
        str(tmp_path),
        str(cases),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == cases
    full = 0
    for case, healed in ((line["case"], line["healed"]) for line in lines):
        assert case["serves"] and case["litter"] == [], case
        assert case["stayed"] == (case["fault"] is not None), case
        full += case["fault"] is not None
        # What was lacking was room only; a case that had enough of it has nothing left to publish.
        assert healed["fault"] is None and healed["serves"] and healed["litter"] == [], healed
        assert healed["stayed"] != case["stayed"]
    assert full >= cases // 2
    assert all("readers keep the last one" in c["case"]["fault"] for c in lines if c["case"]["fault"])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flips", [10, ALL])
def test_api_when_any_byte_of_a_new_release_is_flipped_then_the_last_good_one_serves_and_readiness_says_so(
    warehouse: Path, flips: int, caplog: pytest.LogCaptureFixture
) -> None:
    new = read_pointer(warehouse)
    assert new is not None
    old = read_manifest(warehouse / "releases" / new.release_id).previous_release_id
    assert old is not None
    swap_pointer(warehouse, old)
    files = [warehouse / "releases" / new.release_id / name for name in ("warehouse.duckdb", "manifest.json")]
    chooser = random.Random(7)
    with Api(Settings(warehouse_dir=warehouse, release_poll_seconds=3600.0), prepares_apart=True) as api:
        # As in service: the second process looks at the file first. It is waited for however busy the machine is.
        api.edge.desk.patience = Patience(60, 60, 60)
        for n in range(flips):
            path = files[n % 10 == 9]
            path.chmod(0o644)
            good = path.read_bytes()
            # A digit of the manifest; blanks between its tokens mean nothing.
            places = (
                [i for i, byte in enumerate(good) if chr(byte).isalnum()]
                if path.suffix == ".json"
                else range(len(good))
            )
            place = chooser.choice(places)
            with path.open("r+b") as stream:
                stream.seek(place)
                stream.write(bytes([good[place] ^ 1 << chooser.randrange(8)]))
            swap_pointer(warehouse, new.release_id)
            assert api.edge.desk.refresh() is False, f"{path.name} at {place}"
            ready = api.body("/readyz")
            assert (ready["status"], ready["dataVersion"]) == ("ready", old)
            assert new.release_id in ready["fault"] and "corrupt" in ready["fault"], ready["fault"]
            body = api.body("/api/v1/summary")
            assert (body["dataVersion"], marks_of(body)) == (old, {0})
            api.problem(f"/api/v1/summary?release={new.release_id}", 410, "releaseExpired")
            path.write_bytes(good)
            swap_pointer(warehouse, old)
            assert api.edge.desk.refresh() is False
            assert api.body("/readyz")["fault"] is None
        swap_pointer(warehouse, new.release_id)
        assert api.edge.desk.refresh() is True
        assert marks_of(api.body("/api/v1/summary")) == {1}
    # A manifest is refused before anybody opens the file.
    apart = [r.__dict__["fields"]["fault"] for r in caplog.records if r.message == "answers prepared beside requests"]
    assert len(apart) == flips - flips // 10
    assert all(fault.startswith("ReleaseCorrupt") for fault in apart), apart
