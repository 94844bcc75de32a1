"""Releases on object storage: publish, race, lost answers, abort, roll back, label, shared files."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tests.unit.warehouse.frames import publish_tiny, request_for, tiny_release_tables
from tests.unit.warehouse.storage import Storage, copy_of, mirror, publish
from warehouse.build import build_release
from warehouse.errors import (
    BuildInputError,
    PointerMoved,
    ReleaseCorrupt,
    ReleaseNotFound,
    StorageConflict,
    StorageFault,
)
from warehouse.manifest import Waiver, read_manifest
from warehouse.mirror import Mirror
from warehouse.pointer import history, read_pointer
from warehouse.release import active_at, list_releases, read_label, release_ids
from warehouse.release_files import DATABASE, MANIFEST, releases_dir
from warehouse.remote import CLAIM, ReleaseTaken, Remote
from warehouse.remote_documents import give_waiver, pending_waivers, share_status, shared_status, spend_waivers
from warehouse.remote_release import activate_remote, discard_remote, label_remote, publish_remote, resume_remote
from warehouse.remote_retention import prune_remote
from warehouse.retention import Retention
from warehouse.status import SourceStatus

KEEP_ONE = Retention(count=1, age=timedelta(0), keep_last_of_month=False)
LATER = datetime(2036, 6, 1, tzinfo=UTC)


@pytest.fixture
def storage() -> Storage:
    """Empty storage."""
    return Storage()


@dataclass
class Site:
    """Three published releases, oldest first, with the publisher's folder."""

    storage: Storage
    one: Mirror
    releases: list[str]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Storage, Path, list[str]]:
    storage, folder = Storage(), tmp_path_factory.mktemp("three")
    one = mirror(storage, folder)
    made = [publish(one, 1, capacity=float(n)).release_id for n in range(3)]
    return storage, folder, [release_id for release_id in made if release_id]


@pytest.fixture
def site(three: tuple[Storage, Path, list[str]], tmp_path: Path) -> Site:
    """A site of the test's own."""
    storage, folder, releases = three
    own = copy_of(storage)
    return Site(own, mirror(own, Path(shutil.copytree(folder, tmp_path / "one"))), releases)


def names(storage: Storage) -> list[str]:
    return [blob.name for blob in storage.list()]


def test_publish_when_nothing_was_there_then_the_release_stands_on_storage_and_here(
    storage: Storage, tmp_path: Path
) -> None:
    one = mirror(storage, tmp_path)
    result = publish(one, 1)
    assert result.is_active and result.release_id
    assert set(names(storage)) == {
        "current",
        *(f"{result.release_id}/{name}" for name in (CLAIM, DATABASE, MANIFEST)),
    }
    found = one.remote.pointer()
    assert found is not None
    assert found.pointer == read_pointer(tmp_path)
    assert storage.sha256(f"{result.release_id}/{DATABASE}") == read_manifest(result.path).database.sha256


def test_publish_when_nothing_changed_then_no_move(site: Site) -> None:
    again = publish(site.one, 1, capacity=2.0)
    assert again.is_unchanged and again.is_active and again.release_id == site.releases[-1]
    pointer = read_pointer(site.one.warehouse_dir)
    assert pointer is not None and pointer.sequence == 3


def test_publish_when_two_built_from_the_same_release_then_one_wins_and_the_other_builds_again(
    site: Site, tmp_path: Path
) -> None:
    other = mirror(site.storage, tmp_path / "other")
    other.before_build()
    stale = other.remote.pointer()
    won = publish(site.one, 1, capacity=11.0)
    lost = build_only(other, 12.0)
    with pytest.raises(PointerMoved):
        publish_remote(other, lost, expected_sequence=3)
    with pytest.raises(PointerMoved):
        other.remote.swap(lost, stale)  # the tag it knows is no longer there
    discard_remote(other, lost)
    assert not [name for name in names(site.storage) if name.startswith(lost)]
    second = publish(other, 1, capacity=13.0)
    site.one.pull()
    assert [p.release_id for p in history(site.one.warehouse_dir)][3:] == [won.release_id, second.release_id]
    assert read_manifest(second.path).previous_release_id == won.release_id


def build_only(one: Mirror, capacity: float) -> str:
    tables = tiny_release_tables(1)
    name = "out__daily_production"
    tables[name] = tables[name].with_columns(max_capacity=tables[name]["max_capacity"] + capacity)
    built = build_release(one.warehouse_dir, tables, info=request_for(tables))
    assert built.release_id is not None
    return built.release_id


def test_swap_when_the_answer_is_lost_then_the_move_counts(site: Site) -> None:
    site.storage.lost = {"current"}
    found = site.one.remote.pointer()
    moved = site.one.remote.swap(site.releases[0], found)
    assert site.one.remote.pointer() == moved
    assert moved.pointer.sequence == 4


def test_upload_when_another_file_arrives_then_refused_and_no_manifest(storage: Storage, tmp_path: Path) -> None:
    class Bent(Storage):
        def upload(self, name: str, path: Path) -> None:
            self.write(name, path.read_bytes()[:-1] + b"\xff")

    bent = Bent()
    with pytest.raises(ReleaseCorrupt, match="arrived"):
        publish(mirror(bent, tmp_path), 1)
    assert {name.rpartition("/")[2] for name in names(bent)} == {CLAIM}


def test_upload_when_it_broke_off_then_the_next_run_goes_on_with_the_same_file(site: Site) -> None:
    def down(*_: object) -> None:
        raise StorageFault("could not upload: no answer")

    upload = site.storage.upload
    site.storage.upload = down  # type: ignore[method-assign]
    with pytest.raises(StorageFault):
        publish(site.one, 1, capacity=11.0)
    found = site.one.remote.pointer()
    assert found is not None and found.pointer.release_id == site.releases[-1]
    site.storage.upload = upload  # type: ignore[method-assign]
    built = release_ids(site.one.warehouse_dir)[-1]
    result = publish(site.one, 1, capacity=11.0)
    assert result.is_active and result.release_id == built  # what was built already is sent


def test_upload_when_the_id_is_taken_then_neither_mixes_with_the_other(site: Site) -> None:
    release_id = build_only(site.one, 11.0)
    claim = {"host": "x", "process": 1, "sha256": "0" * 64, "startedAtUtc": LATER}
    site.storage.write(f"{release_id}/{CLAIM}", msgspec.json.encode(claim))
    with pytest.raises(ReleaseTaken):
        publish_remote(site.one, release_id, expected_sequence=3)
    assert [name for name in names(site.storage) if name.startswith(release_id)] == [f"{release_id}/{CLAIM}"]
    result = publish(site.one, 1, capacity=11.0)  # another second, another id
    assert result.is_active and result.release_id != release_id


def test_activate_when_a_release_is_chosen_then_in_force_and_held_until_resume(site: Site, tmp_path: Path) -> None:
    far = mirror(site.storage, tmp_path / "far")
    first = site.releases[0]
    activate_remote(far, first, by="A. Engineer", reason="wrong totals")
    held = publish(site.one, 1, capacity=11.0)
    assert held.is_held and not held.is_active
    site.one.sync()
    pointer = read_pointer(site.one.warehouse_dir)
    assert pointer is not None and (pointer.release_id, pointer.held_by) == (first, "A. Engineer")
    assert resume_remote(far).release_id == held.release_id
    with pytest.raises(BuildInputError):
        activate_remote(far, first, by=" ", reason="")
    with pytest.raises(ReleaseNotFound, match="nearest"):
        activate_remote(far, "20200101T000000Z-00000000", by="x", reason="y")


def test_pull_when_a_folder_is_fresh_then_releases_labels_and_history_are_those_of_the_publisher(
    site: Site, tmp_path: Path
) -> None:
    far, folder = mirror(site.storage, tmp_path / "far"), tmp_path / "far"
    oldest = site.releases[0]
    label_remote(site.one, oldest, "audited")
    far.pull()
    assert list_releases(folder) == list_releases(site.one.warehouse_dir)
    assert history(folder) == history(site.one.warehouse_dir)
    assert active_at(folder, history(folder)[1].changed_at_utc) == site.releases[1]
    assert read_label(folder, oldest) == "audited"
    assert not (releases_dir(folder) / oldest / DATABASE).exists()
    assert (far.fetch(oldest) / DATABASE).stat().st_mode & 0o222 == 0
    label_remote(site.one, oldest, None)
    far.pull()
    assert read_label(folder, oldest) is None


def test_prune_when_the_policy_lets_go_then_in_two_steps_and_never_what_is_in_force_or_labelled(site: Site) -> None:
    labelled, doomed, newest = site.releases
    label_remote(site.one, labelled, "audited")
    step = prune_remote(site.one.remote, KEEP_ONE)
    assert (step.let_go, step.deleted) == ([doomed], [])
    assert f"{doomed}/{DATABASE}" in names(site.storage)  # who found it a moment ago can still copy it
    with pytest.raises(ReleaseNotFound):
        activate_remote(site.one, doomed, by="x", reason="y")
    assert prune_remote(site.one.remote, KEEP_ONE, now=LATER).deleted == [doomed]
    activate_remote(site.one, labelled, by="x", reason="y")
    label_remote(site.one, labelled, None)
    assert prune_remote(site.one.remote, KEEP_ONE).let_go == []  # in force, and the newest
    folders = {name.partition("/")[0] for name in names(site.storage)}
    assert folders == {labelled, newest, "current", "history"}


def test_prune_when_an_upload_was_given_up_then_its_litter_goes_after_the_grace(site: Site) -> None:
    litter = "20260101T000000Z-abcdef00"
    site.storage.write(f"{litter}/upload.json", b"{}")
    site.storage.write(f"{litter}/warehouse.duckdb", b"half")
    assert prune_remote(site.one.remote).deleted == []
    assert prune_remote(site.one.remote, now=datetime.now(UTC) + timedelta(hours=2)).deleted == [litter]


def test_prune_when_it_is_activated_meanwhile_then_it_is_kept(site: Site) -> None:
    doomed = site.releases[1]
    delete = site.storage.delete

    def activated_first(blobs: Iterable[str]) -> None:
        site.storage.delete = delete  # type: ignore[method-assign]
        activate_remote(site.one, doomed, by="x", reason="y")
        delete(blobs)

    label_remote(site.one, site.releases[0], "audited")
    site.storage.delete = activated_first  # type: ignore[method-assign]
    assert prune_remote(site.one.remote, KEEP_ONE).let_go == []
    assert site.one.remote.is_kept(doomed)
    assert prune_remote(site.one.remote, KEEP_ONE, now=LATER).deleted == []


def test_folder_when_it_holds_releases_of_its_own_then_it_is_not_made_a_copy(
    site: Site, tiny: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(tiny, tmp_path / "own"))
    before = read_pointer(own)
    with pytest.raises(StorageFault, match="WAREHOUSE_DIR"):
        publish(mirror(site.storage, own), 1)
    assert read_pointer(own) == before


def test_folder_when_it_is_a_copy_then_nothing_is_published_in_it_alone(site: Site) -> None:
    with pytest.raises(StorageFault, match="LAKE_URL"):
        publish_tiny(site.one.warehouse_dir, days=1)


def test_status_when_two_machines_write_then_neither_loses_its_source(storage: Storage) -> None:
    remote = Remote(storage)
    share_status(remote, SourceStatus(source="pi", sla_seconds=1))
    stale = storage.read("status.json")
    share_status(remote, SourceStatus(source="energy_components", sla_seconds=2))
    assert stale is not None
    with pytest.raises(StorageConflict):
        storage.replace("status.json", b"{}", stale.tag)
    assert sorted(shared_status(remote).sources) == ["energy_components", "pi"]


def test_waivers_when_given_and_spent_then_shared(storage: Storage) -> None:
    remote = Remote(storage)
    waiver = Waiver(gate="row_counts_hold", by="x", reason="y")
    give_waiver(remote, waiver, allowed=["row_counts_hold"])
    assert pending_waivers(remote) == [waiver]
    spend_waivers(remote, [waiver])
    assert pending_waivers(remote) == []
    with pytest.raises(BuildInputError, match="no gate"):
        give_waiver(remote, waiver, allowed=[])
