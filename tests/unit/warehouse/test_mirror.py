"""A replica's copy: what is brought, what is refused, and that storage which fails changes nothing that is served."""

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.warehouse.storage import Storage, copy_of, mirror, publish
from warehouse import mirror_files
from warehouse.mirror import CORRUPT_SECONDS, PAUSE_SECONDS, Mirror
from warehouse.pointer import history, read_pointer
from warehouse.reader import ReleaseReader
from warehouse.release import active_at, read_label, release_ids
from warehouse.release_files import DATABASE, MANIFEST, releases_dir
from warehouse.remote import Remote
from warehouse.remote_documents import share_status
from warehouse.remote_release import activate_remote
from warehouse.remote_retention import prune_remote
from warehouse.retention import Retention
from warehouse.status import SourceStatus, read_status

KEEP_ONE = Retention(count=1, age=timedelta(0), keep_last_of_month=False)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Storage, list[str]]:
    """Storage with three releases; read it only."""
    storage = Storage()
    one = mirror(storage, tmp_path_factory.mktemp("publisher"))
    made = [publish(one, 1, capacity=float(n)).release_id for n in range(3)]
    return storage, [release_id for release_id in made if release_id]


@pytest.fixture
def storage(published: tuple[Storage, list[str]]) -> Storage:
    return copy_of(published[0])


@pytest.fixture
def releases(published: tuple[Storage, list[str]]) -> list[str]:
    return published[1]


@pytest.fixture
def replica(storage: Storage, tmp_path: Path) -> Mirror:
    return mirror(storage, tmp_path / "replica")


def in_force(replica: Mirror) -> str | None:
    pointer = read_pointer(replica.warehouse_dir)
    return pointer.release_id if pointer else None


def test_sync_when_the_folder_is_fresh_then_the_release_in_force_is_served_from_it(
    replica: Mirror, releases: list[str]
) -> None:
    assert replica.sync()
    assert replica.fault is None
    with ReleaseReader(replica.warehouse_dir) as reader:
        assert reader.refresh(), reader.fault
        assert reader.release_id == releases[-1]
    assert not replica.sync()


def test_sync_when_nothing_changed_then_only_tags_are_asked_for(storage: Storage, replica: Mirror) -> None:
    replica.sync()
    storage.reads.clear()
    replica.sync()
    assert storage.reads == ["current", "status.json"]


def test_sync_when_called_again_at_once_then_asks_once_a_poll(storage: Storage, tmp_path: Path) -> None:
    patient = Mirror(Remote(storage), tmp_path / "patient", poll_seconds=60.0)
    patient.sync()
    storage.reads.clear()
    patient.sync()
    assert storage.reads == []


def test_sync_when_the_storage_is_down_then_the_copy_stays_and_is_followed_again_afterwards(
    storage: Storage, replica: Mirror, releases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.sync()
    storage.is_down = True
    assert not replica.sync()
    assert replica.fault is not None and "no answer" in replica.fault
    assert in_force(replica) == releases[-1]
    storage.is_down = False
    activate_remote(mirror(storage, replica.warehouse_dir.parent / "far"), releases[0], by="x", reason="y")
    later = time.monotonic() + PAUSE_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert replica.sync()
    assert replica.fault is None
    assert in_force(replica) == releases[0]


@pytest.mark.parametrize("name", [DATABASE, MANIFEST])
def test_sync_when_a_byte_of_the_release_is_flipped_on_storage_then_refused_and_the_last_one_stays(
    storage: Storage, replica: Mirror, releases: list[str], tmp_path: Path, name: str
) -> None:
    far = mirror(storage, tmp_path / "far")
    activate_remote(far, releases[0], by="x", reason="y")
    replica.sync()
    blob = storage.read(f"{releases[1]}/{name}")
    bent = bytearray(blob.content)
    bent[len(bent) // 2] ^= 1
    storage.write(f"{releases[1]}/{name}", bytes(bent))
    shutil.rmtree(releases_dir(replica.warehouse_dir) / releases[1])  # what stands here already needs no copy
    found = far.remote.pointer()
    far.remote.swap(releases[1], found)
    assert not replica.sync()
    assert replica.fault is not None and "corrupt" in replica.fault
    assert in_force(replica) == releases[0]
    assert not (releases_dir(replica.warehouse_dir) / releases[1] / DATABASE).exists()
    assert list((replica.warehouse_dir / "building").iterdir()) == []
    assert (name == MANIFEST) != (f"{releases[1]}/{DATABASE}" in storage.reads)
    storage.reads.clear()
    replica.sync()
    assert f"{releases[1]}/{DATABASE}" not in storage.reads  # not fetched again at every look
    assert replica.fault is not None


def test_sync_when_the_storage_is_mended_then_the_release_is_taken_up(
    storage: Storage, replica: Mirror, releases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = storage.read(f"{releases[-1]}/{DATABASE}").content
    storage.write(f"{releases[-1]}/{DATABASE}", good[:-10])
    replica.sync()
    assert in_force(replica) is None
    storage.write(f"{releases[-1]}/{DATABASE}", good)
    later = time.monotonic() + CORRUPT_SECONDS + PAUSE_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert replica.sync()
    assert (in_force(replica), replica.fault) == (releases[-1], None)


def test_distrust_when_the_local_file_is_damaged_then_it_is_fetched_again(replica: Mirror, releases: list[str]) -> None:
    replica.sync()
    path = releases_dir(replica.warehouse_dir) / releases[-1] / DATABASE
    path.chmod(0o644)
    bent = bytearray(path.read_bytes())
    bent[5000] ^= 1
    path.write_bytes(bytes(bent))
    with ReleaseReader(replica.warehouse_dir, retry_seconds=0.0) as reader:
        assert not reader.refresh()
        assert reader.fault is not None
        replica.distrust()
        replica.sync()
        assert reader.refresh(), reader.fault


def test_sync_when_the_pointer_is_gone_then_the_copy_stays(
    storage: Storage, replica: Mirror, releases: list[str]
) -> None:
    replica.sync()
    storage.delete(["current"])
    replica.sync()
    assert replica.fault is not None and "gone" in replica.fault
    assert in_force(replica) == releases[-1]


def test_sync_when_history_is_long_then_every_earlier_pointer_comes_in_the_end(
    storage: Storage, replica: Mirror, releases: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = mirror(storage, tmp_path / "far")
    far.pull()
    for n in range(7):
        found = far.remote.pointer()
        far.remote.swap(releases[n % 3], found, now=datetime(2030, 1, 1 + n, tzinfo=UTC))
    monkeypatch.setattr("warehouse.mirror.BATCH", 4)
    for _ in range(6):
        replica.sync()
    assert [pointer.sequence for pointer in history(replica.warehouse_dir)] == list(range(1, 11))
    assert active_at(replica.warehouse_dir, datetime(2030, 1, 2, 12, tzinfo=UTC)) == releases[1]
    assert sorted(release_ids(replica.warehouse_dir)) == sorted(releases)


def test_sync_when_a_release_is_let_go_then_the_copy_goes_too_but_not_one_in_use(
    storage: Storage, replica: Mirror, releases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.pull()
    monkeypatch.setattr(mirror_files, "SETTLED_SECONDS", -1.0)
    with ReleaseReader(replica.warehouse_dir) as reader:
        reader.refresh()
        replica.fetch(releases[1])
        with reader.open(releases[1]) as held:
            assert prune_remote(replica.remote, KEEP_ONE).let_go == releases[:2]
            replica.pull()
            assert release_ids(replica.warehouse_dir) == releases[1:]
            assert held.release_id == releases[1]
    replica.pull()
    assert release_ids(replica.warehouse_dir) == releases[2:]


def test_trim_when_many_databases_were_asked_for_then_the_least_recent_go_and_manifests_stay(
    replica: Mirror, releases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.pull()
    for age, release_id in enumerate(releases[:2]):
        directory = replica.fetch(release_id)
        os.utime(directory, (1000.0 + age, 1000.0 + age))
    monkeypatch.setattr(mirror_files, "SPARE_DATABASES", 1)
    mirror_files.trim(replica.warehouse_dir)
    folder = releases_dir(replica.warehouse_dir)
    assert [(folder / i / DATABASE).exists() for i in releases] == [False, True, True]
    assert release_ids(replica.warehouse_dir) == releases


def test_sync_when_status_and_labels_change_then_they_are_here(
    storage: Storage, replica: Mirror, releases: list[str]
) -> None:
    remote = Remote(storage)
    remote.set_label(releases[0], "audited")
    share_status(remote, SourceStatus(source="pi", sla_seconds=7))
    replica.pull()
    assert read_label(replica.warehouse_dir, releases[0]) == "audited"
    assert read_status(replica.warehouse_dir).sources["pi"].sla_seconds == 7


def test_sync_when_two_processes_share_the_folder_then_neither_undoes_the_other(
    storage: Storage, replica: Mirror, releases: list[str]
) -> None:
    other = mirror(storage, replica.warehouse_dir)
    replica.sync()
    activate_remote(other, releases[0], by="x", reason="y")
    stale = replica.remote.pointer

    def older(*, unless: str | None = None) -> object:
        replica.remote.pointer = stale  # type: ignore[method-assign]
        found = stale(unless=unless)
        activate_remote(other, releases[1], by="x", reason="y")
        return found

    replica.remote.pointer = older  # type: ignore[assignment, method-assign]
    replica.sync()
    assert in_force(replica) == releases[1]
