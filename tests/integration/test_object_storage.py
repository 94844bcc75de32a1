"""Lake and releases on object storage, as Microsoft's emulator of Azure and Moto's of S3 speak it: races, aborts, end to end."""

import json
import os
import select
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Barrier, Timer
from typing import Any

import polars as pl
import pytest

from pipelines import settings
from pipelines.bootstrap import bootstrap
from pipelines.lake import Lake, LakeTableMissing, Provenance, empty
from pipelines.lake_store import LakeStore, LocalStore, ObjectLakeStore
from pipelines.simulators.launch import Running, start_simulators
from pipelines.stages.workspace import open_workspace
from tests.data.threew.build_slice import recordings, write_archive
from tests.integration.azurite import KEY, Azurite, Proxy, azurite
from tests.integration.releases_full_disk import litter
from tests.integration.releases_processes import Process
from tests.integration.s3 import S3, s3
from warehouse.__main__ import main as warehouse
from warehouse.errors import PointerMoved, StorageConflict, StorageFault, StorageSilent
from warehouse.manifest import read_manifest
from warehouse.mirror import LOCK, MARK, Mirror
from warehouse.object_store import BRISK, PATIENT, location, open_objects
from warehouse.pointer import history, read_pointer
from warehouse.release import release_ids, show_release
from warehouse.release_files import DATABASE, MANIFEST, releases_dir
from warehouse.remote import CLAIM, Remote, open_remote
from warehouse.remote_retention import prune_remote
from warehouse.retention import Retention, prune

DATA = Path(__file__).parents[1] / "data"
TABLE = "raw_energy_components__tank_day"
WHEN = Provenance(extracted_at_utc=datetime(2026, 11, 22, tzinfo=UTC), run_id="r1", request="x")
LATER = timedelta(hours=3)
ONE = Retention(count=1, age=timedelta(0), keep_last_of_month=False)
FEW = Retention(count=4, age=timedelta(0), keep_last_of_month=False)


Storage = Azurite | S3
STARTS: dict[str, Callable[[Path], AbstractContextManager[Storage]]] = {"az": azurite, "s3": s3}
only_azure = pytest.mark.parametrize("storage", ["az"], indirect=True)
# What hardly depends on who keeps the bytes.
azure_first = pytest.mark.parametrize("storage", ["az", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture(scope="module", params=list(STARTS))
def storage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with STARTS[request.param](tmp_path_factory.mktemp(request.param) / "log") as running:
        yield running


class Publisher(Process):
    """tests/integration/storage_publisher.py."""

    storage: Storage

    def __init__(self) -> None:
        super().__init__("-m", "tests.integration.storage_publisher")
        self.answer()

    def ask(self, do: str, n: int, url: str, warehouse_dir: Path, port: int | None = None) -> None:
        environment = self.storage.environment(port)
        told = {"do": do, "n": n, "url": url, "warehouse": str(warehouse_dir), "environment": environment}
        self.send(json.dumps(told))

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.line())
        return found

    def has_answered(self, seconds: float) -> bool:
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def publish(self, n: int, url: str, warehouse_dir: Path, port: int | None = None) -> dict[str, Any]:
        self.ask("publish", n, url, warehouse_dir, port)
        return self.answer()


@pytest.fixture(scope="module")
def processes() -> Iterator[tuple[Publisher, Publisher]]:
    with Publisher() as one, Publisher() as other:
        yield one, other


@pytest.fixture
def publishers(processes: tuple[Publisher, Publisher], storage: Storage) -> tuple[Publisher, Publisher]:
    for process in processes:
        process.storage = storage
    return processes


def replica(storage: Storage, url: str, folder: Path) -> Mirror:
    return Mirror(open_remote(storage.place(url)), folder, poll_seconds=0.0)


def tanks(*days: date, volume: float = 1.0) -> pl.DataFrame:
    rows = [
        dict.fromkeys(empty(TABLE).columns) | {"production_date": d, "tank_ec_code": "T1", "closing_volume": volume}
        for d in days
    ]
    return pl.DataFrame(rows, schema=empty(TABLE).schema)


# -- the lake ----------------------------------------------------------------------------------------------------------


def story(store: LakeStore) -> list[object]:
    """What a lake answers while days, months and corrections are written to it; no path and no clock in it."""
    lake = Lake(store)
    days = [date(2026, 10, d) for d in range(1, 32)]
    told: list[object] = [lake.read(TABLE, days[0], days[-1]).height, lake.labels(TABLE)]
    with pytest.raises(LakeTableMissing, match="never written"):
        lake.scan(TABLE, days[0], days[-1])
    told += [lake.write_days(TABLE, tanks(*days[:3]), days[:4], provenance=WHEN)]
    told += [lake.write_days(TABLE, tanks(*days[:3]), days[:4], provenance=WHEN)]
    told += [lake.write_month(TABLE, tanks(*days), "2026-10", provenance=WHEN)]
    told += [lake.write_days(TABLE, tanks(days[4], volume=9.0), [days[4]], provenance=WHEN)]
    told += [lake.write_days(TABLE, tanks(days[5]), [days[5]], provenance=WHEN)]
    told += [lake.read(TABLE, days[0], days[-1]).rows(), lake.read(TABLE, days[3], days[5]).rows()]
    told += [lake.labels(TABLE), lake.partitions(TABLE), lake.partitions(TABLE, days[4], days[4])]
    told += [lake.scan(TABLE, date(2025, 1, 1), date(2025, 1, 2)).collect().rows()]
    told += [lake.sidecar(TABLE, "2026-10"), lake.current(TABLE, "2026-09")]
    first = lake.write_snapshot("core__target", empty("core__target"), provenance=WHEN)
    told += [first, lake.read_snapshot("core__target").rows(), lake.read_snapshot("core__cargo").rows()]
    told += [lake.has_file(TABLE, "2026-10-01", "0" * 64), lake.has_file("core__target", "all", first.entry.sha256)]
    told += [lake.read_bytes("_mark"), lake.write_bytes("_mark", b"1"), lake.read_bytes("_mark")]
    told += [lake.write_bytes(f"{TABLE}/_watermark.json", b"{}"), lake.labels(TABLE)]
    # Another process sees the same without having written it.
    again = Lake(LocalStore(store.root) if isinstance(store, LocalStore) else store)
    return [*told, again.read(TABLE, days[0], days[-1]).rows(), again.remove_bytes("_mark"), again.read_bytes("_mark")]


def test_lake_when_it_stands_on_object_storage_then_it_answers_as_on_disk(storage: Storage, tmp_path: Path) -> None:
    place = storage.place(storage.lake_url())
    assert story(ObjectLakeStore(place.child("tiny"))) == story(LocalStore(tmp_path))
    fresh = Lake(ObjectLakeStore(place.child("tiny")))
    assert fresh.read(TABLE, date(2026, 10, 1), date(2026, 10, 31)).height == 31


def test_lake_when_another_process_writes_then_the_change_is_seen(storage: Storage) -> None:
    place = storage.place(storage.lake_url())
    day = date(2026, 10, 1)
    writer, reader = Lake(ObjectLakeStore(place)), Lake(ObjectLakeStore(place))
    writer.write_days(TABLE, tanks(day), [day], provenance=WHEN)
    assert reader.read(TABLE, day, day)["closing_volume"].to_list() == [1.0]
    writer.write_days(TABLE, tanks(day, volume=2.0), [day], provenance=WHEN)
    assert reader.read(TABLE, day, day)["closing_volume"].to_list() == [2.0]
    assert reader.read(TABLE, date(2026, 1, 1), date(2026, 12, 1))["closing_volume"].to_list() == [2.0]


@only_azure
def test_storage_when_the_key_is_wrong_then_says_so_without_the_key(storage: Azurite) -> None:
    wrong = storage.environment() | {"AZURE_STORAGE_ACCOUNT_KEY": "bm90IHRoZSBrZXkgb2YgdGhlIGFjY291bnQ="}
    url = storage.lake_url()
    with pytest.raises(StorageFault, match="403 Forbidden") as refused:
        open_objects(location(url, wrong), BRISK).read("x")
    signed = storage.environment() | {"AZURE_STORAGE_SAS_TOKEN": "?sv=2021-08-06&sp=r&sig=c2VjcmV0"}
    del signed["AZURE_STORAGE_ACCOUNT_KEY"]
    place = location(url, signed)
    with pytest.raises(StorageFault) as unsigned:
        open_objects(place, BRISK).read("x")
    with pytest.raises(OSError) as scanned:
        ObjectLakeStore(place).scan(["a/b.parquet"]).collect()
    said = "".join(f"{fault.value!r}{fault.value}" for fault in (refused, unsigned, scanned)) + repr(place)
    assert not [secret for secret in (KEY, wrong["AZURE_STORAGE_ACCOUNT_KEY"], "c2VjcmV0") if secret in said]


def test_storage_when_the_container_is_not_there_then_says_what_to_do(storage: Storage) -> None:
    scheme = storage.lake_url().partition("://")[0]
    objects = open_objects(storage.place(f"{scheme}://nothing-here/x"), BRISK)
    with pytest.raises(StorageFault, match=f"^{scheme}://nothing-here/x does not exist: create the container first$"):
        objects.write("x", b"")
    with pytest.raises(StorageFault, match="create the container first"):
        objects.list()


# -- releases ----------------------------------------------------------------------------------------------------------


def test_release_when_published_then_every_replica_has_it_and_the_commands_work_from_any_machine(
    storage: Storage,
    publishers: tuple[Publisher, Publisher],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, folder = storage.lake_url(), tmp_path / "publisher"
    made = [publishers[0].publish(n, url, folder)["release"] for n in range(2)]
    for name, value in storage.environment().items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> str:
        code = warehouse([arguments[0], "--warehouse", str(tmp_path / "far"), "--url", url, *arguments[1:]])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    assert f"* {made[1]}" in command("list")
    assert "SHA-256" in command("show", made[0])
    path = Path(command("path", made[0]).strip())
    assert path.is_relative_to(tmp_path / "far") and path.stat().st_size > 0
    command("label", made[0], "audited")
    assert "held by me" in command("activate", made[0], "--by", "me", "--reason", "wrong totals")
    command("waive", "no_production_jumps_by_a_unit", "--by", "me", "--reason", "a plant was sold")
    assert "waiver for the next release: no_production_jumps_by_a_unit" in command("list")
    held = publishers[0].publish(2, url, folder)
    assert not held["active"]
    assert held["release"] in command("resume")
    assert "waiver" not in command("list")
    pruned = command("prune", "--keep", "1", "--days", "0", "--drop-month-ends")
    assert f"no longer kept {made[1]}" in pruned and "2 kept" in pruned
    here = replica(storage, url, tmp_path / "replica")
    assert here.sync()
    pointer = read_pointer(tmp_path / "replica")
    assert pointer is not None and (pointer.release_id, pointer.sequence) == (held["release"], 4)
    # A folder that is a copy is not decided upon without its storage.
    assert warehouse(["resume", "--warehouse", str(tmp_path / "far")]) == 1
    assert "--url" in capsys.readouterr().err


def test_pointer_when_two_swap_at_the_same_time_then_one_wins_each_time(storage: Storage) -> None:
    url = storage.lake_url()
    remotes = [Remote(open_objects(storage.place(url).child("_releases"), BRISK)) for _ in range(2)]
    rounds, barrier = 50, Barrier(2)
    ids = [f"20260101T0000{side:02d}Z-0000000{side}" for side in range(2)]

    def swap(side: int) -> list[bool]:
        won = []
        for _ in range(rounds):
            barrier.wait()
            found = remotes[side].pointer()
            barrier.wait()
            try:
                remotes[side].swap(ids[side], found)
                won.append(True)
            except PointerMoved:
                won.append(False)
            barrier.wait()
        return won

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(swap, range(2))
    assert [a + b for a, b in zip(one, other, strict=True)] == [1] * rounds
    found = remotes[0].pointer()
    assert found is not None and found.pointer.sequence == rounds
    past = [remotes[0].past(sequence) for sequence in range(1, rounds)]
    assert [p.release_id if p else None for p in (*past, found.pointer)] == [ids[0] if won else ids[1] for won in one]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rounds", [pytest.param(200, marks=pytest.mark.slow)])
def test_publishers_when_two_race_then_one_wins_each_time_and_both_releases_are_published(
    storage: Storage, publishers: tuple[Publisher, Publisher], tmp_path: Path, rounds: int
) -> None:
    url = storage.lake_url()
    watching = replica(storage, url, tmp_path / "replica")
    folders = [tmp_path / "one", tmp_path / "other"]
    publishers[0].publish(0, url, folders[0])
    for n in range(1, rounds + 1):
        before = watching.pull()
        assert before is not None
        for side, racer in enumerate(publishers):
            racer.ask("race", 2 * n + side, url, folders[side])
        built = [racer.answer()["built"] for racer in publishers]
        bases = {read_manifest(releases_dir(f) / b).previous_release_id for f, b in zip(folders, built, strict=True)}
        assert bases == {before.release_id}  # both were built from the release in force
        for racer in publishers if n % 2 else publishers[::-1]:
            racer.send()
        ended = [racer.answer() for racer in publishers]
        assert [result.get("fault") for result in ended] == [None, None]
        first, second = sorted(ended, key=lambda result: len(result["built"]))
        # Exactly one published what it built first; the other built again from that one.
        assert (len(first["built"]), len(second["built"])) == (1, 2)
        assert first["active"] and second["active"]
        after = watching.pull()
        assert after is not None
        assert (after.sequence, after.release_id) == (before.sequence + 2, second["release"])
        kept = release_ids(tmp_path / "replica")
        assert first["release"] in kept and second["built"][0] not in kept
        manifest = read_manifest(releases_dir(tmp_path / "replica") / second["release"])
        assert manifest.previous_release_id == first["release"]
        if n % 10 == 0:
            prune_remote(watching.remote, FEW, now=datetime.now(UTC) + LATER)
            for folder in (*folders, tmp_path / "replica"):
                prune(folder, FEW, now=datetime.now(UTC) + LATER)
    assert [p.sequence for p in history(tmp_path / "replica")] == list(range(1, 2 * rounds + 2))
    assert [left_in(folder) for folder in (*folders, tmp_path / "replica")] == [[], [], []]


def left_in(folder: Path) -> list[str]:
    """What has no business in the folder."""
    return [name for name in litter(folder) if name not in (MARK, LOCK)]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("points", [pytest.param(50, marks=pytest.mark.slow)])
def test_publisher_when_killed_while_it_sends_then_the_pointer_is_valid_and_housekeeping_leaves_nothing(
    storage: Storage, publishers: tuple[Publisher, Publisher], tmp_path: Path, points: int
) -> None:
    url, folder = storage.lake_url(), tmp_path / "one"
    watching = replica(storage, url, tmp_path / "replica")
    with Proxy(storage.port) as proxy:
        result = publishers[0].publish(0, url, folder, proxy.port)
        whole = proxy.passed
        for n in range(1, points + 1):
            before = watching.pull()
            with Publisher() as doomed:
                doomed.storage = storage
                proxy.break_after(whole * n // (points + 1))
                doomed.ask("publish", n, url, folder, proxy.port)
                while proxy.is_whole and not doomed.has_answered(0.01):
                    continue
                os.kill(doomed.process.pid, signal.SIGKILL)
            proxy.mend()
            after = watching.pull()
            assert after is not None and before is not None
            assert after.sequence - before.sequence in (0, 1)  # killed before the move, or after it
            assert show_release(tmp_path / "replica", after.release_id)
            result = publishers[0].publish(n, url, folder)
            assert result["active"], result
            there = watching.pull()
            assert there is not None and there.release_id == result["release"]
    for _ in range(2):
        prune_remote(watching.remote, ONE, now=datetime.now(UTC) + LATER)
    left = {blob.name for blob in watching.remote.objects.list() if not blob.name.startswith("history/")}
    assert left == {"current", *(f"{result['release']}/{name}" for name in (DATABASE, MANIFEST, CLAIM))}
    prune(folder, ONE, now=datetime.now(UTC) + LATER)
    assert left_in(folder) == []


@azure_first
def test_upload_when_the_line_breaks_midway_then_a_fault_names_it_and_the_next_run_publishes(
    storage: Storage, publishers: tuple[Publisher, Publisher], tmp_path: Path
) -> None:
    url, folder = storage.lake_url(), tmp_path / "one"
    with Proxy(storage.port) as proxy:
        first = publishers[0].publish(0, url, folder, proxy.port)
        proxy.break_after(100_000)
        broken = publishers[0].publish(1, url, folder, proxy.port)
        assert broken["kind"] == "StorageSilent" and url in broken["fault"]
        proxy.mend()
        pointer = replica(storage, url, tmp_path / "replica").pull()
        assert pointer is not None and pointer.release_id == first["release"]
        assert publishers[0].publish(1, url, folder, proxy.port)["active"]


def test_request_when_its_connection_is_closed_without_an_answer_then_asked_again_where_twice_is_as_good_as_once(
    storage: Storage,
) -> None:
    url = storage.lake_url()
    with Proxy(storage.port) as proxy:
        patient, brisk = (open_objects(storage.place(url, proxy.port), patience) for patience in (PATIENT, BRISK))
        patient.write("x", b"1")
        proxy.break_after(0)
        with pytest.raises(StorageSilent, match="no answer"):
            brisk.delete(["x"])
        for work in (lambda: patient.write("x", b"2"), lambda: patient.delete(["x"])):
            proxy.break_after(0)
            mending = Timer(0.3, proxy.mend)
            mending.start()
            work()
            mending.join()
        assert patient.read("x") is None


@azure_first
def test_replica_when_the_blob_is_damaged_then_refused_and_the_last_good_one_stays(
    storage: Storage, publishers: tuple[Publisher, Publisher], tmp_path: Path
) -> None:
    url, folder = storage.lake_url(), tmp_path / "one"
    here = replica(storage, url, tmp_path / "replica")
    first = publishers[0].publish(0, url, folder)["release"]
    here.sync()
    name = f"{publishers[0].publish(1, url, folder)['release']}/{DATABASE}"
    blob = here.remote.objects.read(name)
    assert blob is not None
    bent = bytearray(blob.content)
    bent[len(bent) // 3] ^= 1
    here.remote.objects.write(name, bytes(bent))
    here.sync()
    assert here.fault is not None and "SHA-256" in here.fault
    pointer = read_pointer(tmp_path / "replica")
    assert pointer is not None and pointer.release_id == first


def test_upload_when_a_blob_changes_under_the_tag_then_a_conditional_write_loses(storage: Storage) -> None:
    objects = open_objects(storage.place(storage.lake_url()), BRISK)
    tag = objects.create("x", b"1")
    with pytest.raises(StorageConflict):
        objects.create("x", b"1")
    newer = objects.replace("x", b"2", tag)
    with pytest.raises(StorageConflict):
        objects.replace("x", b"3", tag)
    blob = objects.read("x")
    assert blob is not None and (blob.content, blob.tag) == (b"2", newer)


# -- end to end --------------------------------------------------------------------------------------------------------


Inputs = dict[tuple[str, str], tuple[str, int]]


def inputs(folder: Path, release_id: str) -> Inputs:
    """SHA-256 and rows of every file of the lake that a release is built from. Rejected rows carry the instant of the run."""
    found = show_release(folder, release_id).inputs
    return {(i.table, i.partition): ("" if i.table == "core__quarantine" else i.sha256, i.rows) for i in found}


def loaded_into(running: Running, storage: Storage, operator: str, lake: str, folder: Path, days: int) -> Inputs:
    """Load the operator into a lake; what its release is built from."""
    environment = running.environment() | storage.environment()
    environment |= {"OPERATOR": operator, "LAKE_URL": lake, "WAREHOUSE_DIR": str(folder)}
    loaded = settings.load(environment | {"HISTORY_DAYS": f"{days}", "PI_DAYS": "3"})
    workspace = open_workspace(loaded, report=lambda _: None, is_bootstrap=True)
    release_id = bootstrap(workspace, loaded)
    assert bootstrap(workspace, loaded) == release_id  # nothing changed, nothing is published
    return inputs(folder, release_id)


@pytest.mark.slow
def test_pipeline_when_three_days_of_wells_are_loaded_onto_object_storage_then_the_release_is_that_of_a_disk(
    storage: Storage, tmp_path: Path
) -> None:
    operator = tmp_path / "operator"
    shutil.copytree(DATA / "operators" / "threew", operator)
    write_archive(recordings(DATA / "threew", ("WELL-00001_20140124213136",)), tmp_path / "data" / "pi")
    with start_simulators(str(operator), data_root=tmp_path / "sim", history_days=3, pi_days=3) as running:
        on_disk = loaded_into(running, storage, str(operator), str(tmp_path / "lake"), tmp_path / "disk", 3)
        url = storage.lake_url()
        assert loaded_into(running, storage, str(operator), url, tmp_path / "publisher", 3) == on_disk
    here = replica(storage, url, tmp_path / "replica")
    pointer = here.pull()
    assert pointer is not None and inputs(tmp_path / "replica", pointer.release_id) == on_disk
    assert "pi" in json.loads((tmp_path / "replica" / "status.json").read_text())["sources"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_pipeline_when_the_sandbox_is_loaded_onto_object_storage_then_the_release_is_that_of_a_disk(
    storage: Storage, tmp_path: Path
) -> None:
    with start_simulators("sandbox", data_root=tmp_path / "sim", history_days=40, pi_days=3) as running:
        url = storage.lake_url()
        far = loaded_into(running, storage, "sandbox", url, tmp_path / "publisher", 40)
        assert far == loaded_into(running, storage, "sandbox", str(tmp_path / "lake"), tmp_path / "disk", 40)
