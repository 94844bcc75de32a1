"""Answers made in a process of its own: the same bytes, at nobody's expense, and never a reason not to serve a release."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import api.preparer as preparer_module
from api.caching import Entry, Key, ReleaseCache, Stamp
from api.callers import Scope
from api.facts import ReleaseFacts
from api.negotiation import MIN_BYTES
from api.preparer import Patience, Preparer, PreparerFault, PreparerLate
from api.preparer_messages import Answer, Made, PartDone
from api.preparer_work import frames
from api.preparing import Preparation
from api.scoping import facts_of
from api.settings import Settings
from api.subjects import SUBJECTS
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny
from tests.unit.warehouse.test_release import flip_byte
from warehouse.manifest import Manifest, verify_database
from warehouse.reader import ReleaseReader
from warehouse.reader_release import OpenRelease
from warehouse.release import release_path

EAST = Scope(frozenset({"east"}))
ASKED: list[Key] = [
    ("", "/api/v1/summary", b"network=oil&units=display"),
    ("", "/api/v1/hubs/hub-alder/performance", b"window=30d&network=oil"),
    (EAST.key, "/api/v1/gap-drivers", b"network=oil"),
]
NEVER: list[Key] = [
    ("", "/api/v1/summary", b"network=steam"),
    ("", "/api/v1/nothing", b""),
    ("assets:west", "/api/v1/summary", b"network=oil"),
    ("", "/api/v1/hubs/hub-gone/performance", b""),
    ("", "/api/v1/summary", b"productionDate=1999-01-01"),
]
LONG = Patience(60, 60, 60)
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    publish_tiny(folder, days=3)
    return folder


@pytest.fixture(scope="module")
def release(warehouse: Path) -> Iterator[OpenRelease]:
    with ReleaseReader(warehouse) as reader:
        reader.refresh()
        with reader.lease() as found:
            yield found


@pytest.fixture(scope="module")
def settings(warehouse: Path) -> Settings:
    return Settings(warehouse_dir=warehouse)


@pytest.fixture(scope="module")
def preparation() -> Preparation:
    return Preparation(SUBJECTS, [EAST], "base")


@contextmanager
def busy(settings: Settings, preparation: Preparation) -> Iterator[Preparer]:
    """A preparer that does not give way: the machine is busy with other tests, and it would not be done."""
    made = Preparer(settings, preparation, gives_way=False)
    try:
        yield made
    finally:
        made.close()
    assert made.process_id is None


@pytest.fixture
def scoped(settings: Settings, preparation: Preparation) -> Iterator[Preparer]:
    with busy(settings, preparation) as made:
        yield made


@pytest.fixture
def preparer(settings: Settings) -> Iterator[Preparer]:
    """For tests of the process rather than of what it makes."""
    with busy(settings, Preparation(SUBJECTS, [], "base")) as made:
        yield made


def empty(release: OpenRelease, max_bytes: int = 64 * 1024 * 1024) -> ReleaseCache:
    return ReleaseCache(facts_of(release), max_bytes)


def apart(
    preparer: Preparer,
    release: OpenRelease,
    asked: Sequence[Key] = (),
    patience: Patience = LONG,
    max_bytes: int = 64 * 1024 * 1024,
) -> ReleaseCache:
    """The cache that the preparer's process filled."""
    made: list[ReleaseCache] = []

    def opened(facts: ReleaseFacts) -> ReleaseCache:
        made.append(ReleaseCache(facts, max_bytes))
        return made[0]

    preparer.fill(release.release_id, asked, patience, opened)
    return made[0]


def filled(preparer: Preparer, release: OpenRelease) -> int:
    """The process that filled a cache."""
    apart(preparer, release)
    assert preparer.process_id is not None
    return preparer.process_id


def has_ended(process_id: int) -> bool:
    """Whether a process is gone, or dead and not yet collected by whoever has to."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_ended(process_id: int) -> bool:
    deadline = time.monotonic() + 20
    while not has_ended(process_id) and time.monotonic() < deadline:
        time.sleep(0.02)
    return has_ended(process_id)


def test_answers_when_made_apart_then_are_those_made_here_in_every_byte(
    release: OpenRelease, preparation: Preparation, scoped: Preparer
) -> None:
    here = empty(release)
    preparation.fill(here, release, [*NEVER, *ASKED])
    there = apart(scoped, release, [*NEVER, *ASKED])
    assert there.facts == here.facts
    assert there.facts.assets["hub-alder"] == "east"
    first, second = dict(here.prepared()), dict(there.prepared())
    assert len(first) > 30
    assert {scope for scope, _, _ in first} == {"", EAST.key}
    assert first == second  # tags, stamps, bodies and headers in every encoding
    assert {frozenset(entry.encoded) for entry in second.values() if len(entry.identity) >= MIN_BYTES} == {
        frozenset({"identity", "br", "zstd", "gzip"})
    }
    assert [entry.content for entry in first.values()] == [entry.content for entry in second.values()]
    assert there.size == here.size
    for key in ASKED:
        one, other = here.get(key), there.get(key)
        assert one is not None and other is not None, key
        assert (one.identity, one.tag_base, one.stamp, one.route) == (
            other.identity,
            other.tag_base,
            other.stamp,
            other.route,
        )
    assert [key for key in NEVER if here.get(key) or there.get(key)] == []


def test_answers_when_they_do_not_fit_then_the_same_scopes_are_incomplete(
    release: OpenRelease, preparation: Preparation, scoped: Preparer
) -> None:
    here = empty(release, 300_000)
    preparation.fill(here, release, ASKED)
    there = apart(scoped, release, ASKED, max_bytes=300_000)
    assert there.incomplete == here.incomplete != set()
    assert dict(there.prepared()) == dict(here.prepared())
    assert apart(scoped, release, ASKED).incomplete == set()  # what did not fit was not left for the next


@linux
def test_process_when_started_then_gives_way_and_knows_no_secret(
    settings: Settings, preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0", "REDIS_URL": "redis://:hunter2@127.0.0.1", "EC_PASSWORD": "x"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    preparer = Preparer(settings, preparation)
    try:
        process, _, _ = preparer._running()
        deadline = time.monotonic() + 20
        while os.sched_getscheduler(process.pid) != os.SCHED_IDLE and time.monotonic() < deadline:
            time.sleep(0.02)
        assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
        given = Path(f"/proc/{process.pid}/environ").read_bytes().decode()
        assert "PATH=" in given
        assert [name for name in secrets if name in given] == []
    finally:
        preparer.close()


def test_process_when_asked_again_then_is_the_same_and_rests_only_after_a_while(
    release: OpenRelease, preparer: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = filled(preparer, release)
    preparer.rest()
    assert filled(preparer, release) == first
    monkeypatch.setattr("api.preparer.LINGER_SECONDS", -1.0)
    preparer.rest()
    assert preparer.process_id is None
    assert has_ended(first)
    assert filled(preparer, release) != first


def test_process_when_it_is_killed_meanwhile_then_that_is_said_and_the_next_is_well(
    release: OpenRelease, preparer: Preparer
) -> None:
    first = filled(preparer, release)
    os.kill(first, signal.SIGSTOP)
    killer = threading.Timer(0.3, os.kill, (first, signal.SIGKILL))
    killer.start()
    with pytest.raises(PreparerFault, match="ended with -9"):
        apart(preparer, release)
    assert preparer.process_id is None
    assert has_ended(first)
    assert filled(preparer, release) != first


@pytest.mark.parametrize(
    "patience", [Patience(60, 0.3, 60), pytest.param(Patience(60, 60, 0.3), marks=pytest.mark.slow)]
)
def test_process_when_it_is_silent_then_is_waited_for_so_long_and_ended(
    release: OpenRelease, preparer: Preparer, patience: Patience
) -> None:
    first = filled(preparer, release)
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(PreparerLate, match=r"not done within \d"):
        apart(preparer, release, patience=replace(patience, start=0.1))
    assert preparer.process_id is None
    assert has_ended(first)


def test_cache_when_the_process_was_late_then_the_rest_is_made_here_and_nothing_twice(
    release: OpenRelease, preparation: Preparation, scoped: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cache = empty(release), empty(release)
    preparation.fill(whole, release, ASKED)
    filled(scoped, release)
    taken = []

    def counted(made: Made, stamp: Stamp) -> Entry:
        taken.append(made.key)
        if len(taken) == 7:
            assert scoped.process_id is not None
            os.kill(scoped.process_id, signal.SIGKILL)
            raise EOFError
        return read_entry(made, stamp)

    read_entry = preparer_module._entry
    monkeypatch.setattr(preparer_module, "_entry", counted)
    with pytest.raises(PreparerFault):
        scoped.fill(release.release_id, ASKED, LONG, lambda facts: cache)
    assert len(cache) == 6
    before = dict(cache.prepared())
    preparation.fill(cache, release, ASKED)
    assert dict(cache.prepared()) == dict(whole.prepared())
    assert all(cache.get(key) is entry for key, entry in before.items())
    assert all(key in cache for key in ASKED)


def test_process_when_the_code_on_disk_is_another_then_refuses(
    release: OpenRelease, preparer: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(preparer, release)
    monkeypatch.setattr("api.preparer.build_id", lambda: "another")
    with pytest.raises(PreparerFault, match="no longer the code that serves"):
        apart(preparer, release)


def test_process_when_the_release_cannot_be_opened_then_says_why(
    warehouse: Path, release: OpenRelease, preparation: Preparation
) -> None:
    other = Preparer(Settings(warehouse_dir=warehouse, operator="acme"), preparation, gives_way=False)
    try:
        with pytest.raises(PreparerFault, match=r"OperatorMismatch: .* serves acme only"):
            apart(other, release)
    finally:
        other.close()


def test_preparer_when_stopped_then_what_is_under_way_fails_and_nothing_starts_again(
    release: OpenRelease, preparer: Preparer
) -> None:
    os.kill(filled(preparer, release), signal.SIGSTOP)
    stopper = threading.Timer(0.3, preparer.stop)
    stopper.start()
    for _ in range(2):
        with pytest.raises(PreparerLate, match="the server stops"):
            apart(preparer, release)
    stopper.join()


@linux
def test_process_when_the_server_is_killed_then_ends_too(warehouse: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.unit.api.test_preparer import *\n"
        "settings = Settings(warehouse_dir=Path(sys.argv[1]))\n"
        "preparer = Preparer(settings, Preparation(SUBJECTS, [], 'base'), gives_way=False)\n"
        "reader = ReleaseReader(settings.warehouse_dir); reader.refresh()\n"
        "with reader.lease() as release:\n"
        "    print(filled(preparer, release), flush=True); sys.stdin.read()\n"
    )
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(warehouse)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        process_id = int(server.stdout.readline())
        assert not has_ended(process_id)
        server.kill()
        server.wait()
    assert wait_until_ended(process_id)


def test_desk_when_the_process_fails_then_the_release_is_served_all_the_same_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.preparer.build_id", lambda: "another")
    publish_tiny(tmp_path, days=2)
    with Api(Settings(warehouse_dir=tmp_path), prepares_apart=True) as api:
        api.edge.desk.patience = LONG
        second = publish_tiny(tmp_path, days=3)
        api.edge.desk.refresh()
        answer = api.get("/api/v1/summary")
        assert (answer.status_code, answer.headers["data-version"]) == (200, second)
        cache = api.edge.desk.current
        assert cache is not None and len(dict(cache.prepared())) > 20
    warnings = [record for record in caplog.records if record.message == "answers prepared beside requests"]
    assert len(warnings) == 1
    assert "no longer the code" in warnings[0].__dict__["fields"]["fault"]


def test_answer_when_it_was_asked_for_then_the_next_release_has_it_ready_and_the_one_after_forgets_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked, once = "/api/v1/summary?network=oil", "/api/v1/summary?network=exportGas"
    publish_tiny(tmp_path, days=2)
    with Api(Settings(warehouse_dir=tmp_path), prepares_apart=True) as api:
        api.edge.desk.patience = LONG
        before = {path: api.body(path) for path in (asked, once)}
        for days in (3, 4):
            release_id = publish_tiny(tmp_path, days=days)
            api.edge.desk.refresh()
            cache = api.edge.desk.current
            assert cache is not None
            ready = {query for _, path, query in cache._recent if path == "/api/v1/summary"}
            assert ready == ({b"network=oil", b"network=exportGas"} if days == 3 else {b"network=oil"})
            again = api.body(asked)
            assert again["dataVersion"] == release_id
            assert again["networks"].keys() == before[asked]["networks"].keys()
        apart = api.edge.desk._apart
        assert apart is not None and apart.process_id is not None
        process_id = apart.process_id
    assert has_ended(process_id)  # with the server
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def test_desk_when_a_release_was_verified_apart_then_it_is_not_hashed_here_even_if_the_process_dies_amid_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_tiny(tmp_path, days=2)
    with Api(Settings(warehouse_dir=tmp_path), prepares_apart=True) as api:
        desk = api.edge.desk
        desk.patience = LONG
        hashed: list[str] = []

        def noted(directory: Path, manifest: Manifest) -> Path:
            hashed.append(directory.name)
            return verify_database(directory, manifest)

        monkeypatch.setattr("warehouse.reader.verify_database", noted)
        whole = publish_tiny(tmp_path, days=3)
        desk.refresh()
        assert (api.body("/api/v1/summary")["dataVersion"], hashed) == (whole, [])
        prepared = len(dict(desk.current.prepared())) if desk.current else 0

        read_entry = preparer_module._entry

        def cut_short(made: Made, stamp: Stamp) -> Entry:
            if made.key[1] != "/api/v1/summary":
                raise EOFError
            return read_entry(made, stamp)

        monkeypatch.setattr(preparer_module, "_entry", cut_short)
        part = publish_tiny(tmp_path, days=4)
        desk.refresh()
        assert (api.body("/api/v1/gap-drivers")["dataVersion"], hashed) == (part, [])
        assert desk.current is not None and len(dict(desk.current.prepared())) == prepared


def test_desk_when_a_release_is_damaged_then_the_last_one_is_served_and_it_is_looked_at_here_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish_tiny(tmp_path, days=2)
    with Api(Settings(warehouse_dir=tmp_path), prepares_apart=True) as api:
        desk = api.edge.desk
        desk.patience = LONG
        desk.reader._retry_seconds = 0.0
        asked: list[str] = []
        fill = Preparer.fill

        def noted(preparer: Preparer, release_id: str, *more: Any) -> None:
            asked.append(release_id)
            fill(preparer, release_id, *more)

        monkeypatch.setattr(Preparer, "fill", noted)
        second = publish_tiny(tmp_path, days=3)
        flip_byte(release_path(tmp_path, second), 5_000)
        for _ in range(2):
            assert not desk.refresh()
            assert desk.fault is not None and "SHA-256" in desk.fault
            assert api.body("/api/v1/summary")["dataVersion"] == first
        assert asked == [second]
        flip_byte(release_path(tmp_path, second), 5_000)
        assert desk.refresh()
        assert (desk.fault, asked) == (None, [second])
        third = publish_tiny(tmp_path, days=4)
        assert desk.refresh()
        assert asked == [second, third]
        assert api.body("/api/v1/summary")["dataVersion"] == third


def test_patience_when_work_or_file_is_large_then_is_longer_and_never_shorter_than_for_none() -> None:
    assert Patience().for_work_of(0, 0) == Patience()
    assert Patience().for_work_of(10, 1_000_000_000) == Patience(start=1.5, silence=5.0, whole=20.0, verifying=10.0)


def test_frames_when_answers_are_small_then_few_and_when_large_then_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(size: int) -> Made:
        return Made(("", "", b""), "", "", date(2026, 11, 21), b"", is_carried=False, bodies={"identity": bytes(size)})

    monkeypatch.setattr("api.preparer_work.FRAME_SECONDS", 60.0)
    small: list[Answer] = [made(10), made(10), PartDone()]
    assert list(frames(small)) == [small]
    large: list[Answer] = [made(1 << 20), made(1 << 20), PartDone()]
    assert list(frames(large)) == [[answer] for answer in large]
    monkeypatch.setattr("api.preparer_work.FRAME_SECONDS", 0.0)
    assert list(frames(small)) == [[answer] for answer in small]
