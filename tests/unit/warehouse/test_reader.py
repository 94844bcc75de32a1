"""The reader: follows, verifies, switches under load, keeps leases readable, stays on the last good release, is sealed."""

import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.unit.warehouse.frames import publish_tiny
from tests.unit.warehouse.test_release import flip_byte
from warehouse.errors import NoRelease, OperatorMismatch, ReleaseNotFound, SyntheticRefused, WarehouseError
from warehouse.manifest import Manifest, verify_database
from warehouse.pointer import swap_pointer
from warehouse.queries import QueryBook
from warehouse.reader import ReleaseReader
from warehouse.reader_release import OpenRelease
from warehouse.release import activate, newest_release, release_ids, release_path
from warehouse.retention import Retention, prune

ROWS = 36  # node rows a day: nine nodes, four networks


@pytest.fixture
def three(tiny_three: Path, tmp_path: Path) -> Path:
    """A warehouse with three releases of 5, 6 and 7 days; the newest is in force."""
    return Path(shutil.copytree(tiny_three, tmp_path / "three"))


def test_query_when_leased_then_rows_with_utc_instants(reader: ReleaseReader) -> None:
    with reader.lease() as release:
        rows = release.query("nodes", {"nodes": ["fs-alder"]})
        assert len(rows) == 4 * 5
        oil = [r for r in rows if r["network"] == "oil"][-1]
        assert (oil["production"], oil["observed_at_utc"]) == (21_700.0, datetime(2026, 11, 22, 5, tzinfo=UTC))
        assert len(release.query("nodes", {"nodes": []})) == ROWS * 5


def test_refresh_when_nothing_moved_then_false_and_same_release(reader: ReleaseReader) -> None:
    with reader.lease() as before:
        assert not reader.refresh()
        with reader.lease() as after:
            assert after is before


def test_refresh_when_published_then_new_leases_see_it_and_old_ones_do_not(
    reader: ReleaseReader, warehouse: Path
) -> None:
    with reader.lease() as old:
        published = publish_tiny(warehouse, days=6)
        assert old.query("which") == [{"release_id": old.release_id, "rows": ROWS * 5}]
        assert reader.refresh()
        assert reader.release_id == published
        assert old.query("which") == [{"release_id": old.release_id, "rows": ROWS * 5}]
        with reader.lease() as new:
            assert new.query("which") == [{"release_id": published, "rows": ROWS * 6}]
    with pytest.raises(WarehouseError, match="inside its lease"):
        old.query("which")


def test_lease_when_releases_swap_under_load_then_every_answer_is_of_one_release(three: Path, book: QueryBook) -> None:
    ids = release_ids(three)
    rows = dict(zip(ids, (ROWS * 5, ROWS * 6, ROWS * 7), strict=True))
    stop = threading.Event()

    with ReleaseReader(three, book=book) as reader:
        reader.refresh()

        def ask() -> set[str]:
            seen = set()
            while not stop.is_set():
                with reader.lease() as release:
                    for _ in range(3):
                        answer = release.query("which")[0]
                        assert answer == {"release_id": release.release_id, "rows": rows[release.release_id]}
                    seen.add(release.release_id)
            return seen

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            try:
                for n in range(21):
                    swap_pointer(three, ids[n % 3])
                    assert reader.refresh(), reader.fault
            finally:
                stop.set()
            seen = set().union(*(future.result() for future in asking))
        assert len(seen) >= 2
        assert list(reader._attached) == [reader.release_id]


def test_lease_when_nothing_was_ever_published_then_says_so(tmp_path: Path) -> None:
    with ReleaseReader(tmp_path) as reader:
        assert not reader.refresh()
        assert reader.pointer() is None and reader.release_id is None and reader.fault is None
        with pytest.raises(NoRelease, match="nothing was published"), reader.lease():
            pass
        published = publish_tiny(tmp_path)
        assert reader.refresh()
        assert reader.release_id == published


@pytest.mark.parametrize("offset", [0, 5_000, 300_000])
def test_refresh_when_new_release_is_corrupt_then_last_good_stays_and_fault_says_why(
    three: Path, book: QueryBook, offset: int
) -> None:
    old, _, new = release_ids(three)
    swap_pointer(three, old)
    flip_byte(release_path(three, new), offset)
    with ReleaseReader(three, book=book, retry_seconds=0.0) as reader:
        assert reader.refresh()
        swap_pointer(three, new)
        assert not reader.refresh()
        assert reader.fault is not None and new in reader.fault and "SHA-256" in reader.fault
        with reader.lease() as release:
            assert release.query("which")[0]["release_id"] == old
        flip_byte(release_path(three, new), offset)
        assert reader.refresh()
        assert reader.fault is None and reader.release_id == new


def test_refresh_when_pointer_is_corrupt_or_gone_then_last_good_stays(reader: ReleaseReader, warehouse: Path) -> None:
    good = (warehouse / "current").read_bytes()
    served = reader.release_id
    (warehouse / "current").write_bytes(b"{")
    assert not reader.refresh()
    assert reader.fault is not None and "no pointer" in reader.fault
    (warehouse / "current").unlink()
    assert not reader.refresh()
    assert reader.fault is not None and "gone" in reader.fault
    (warehouse / "current").write_bytes(good)
    assert not reader.refresh()
    assert reader.fault is None and reader.release_id == served


def test_refresh_when_faulty_release_was_just_tried_then_not_read_again_until_due(three: Path) -> None:
    new = release_ids(three)[2]
    with ReleaseReader(three, retry_seconds=3600.0) as reader:
        flip_byte(release_path(three, new), 9)
        assert not reader.refresh()
        flip_byte(release_path(three, new), 9)
        assert not reader.refresh()  # healed, but not due yet
        activate(three, new, by="A. Engineer", reason="healed by hand")
        assert reader.refresh()  # a moved pointer is always followed at once


def test_refresh_when_operator_or_fiction_does_not_fit_then_not_served(warehouse: Path) -> None:
    with ReleaseReader(warehouse, operator="volve") as reader:
        assert not reader.refresh()
        assert reader.fault is not None and "belongs to operator tiny" in reader.fault
        with pytest.raises(OperatorMismatch), reader.open(release_ids(warehouse)[0]):
            pass
    with ReleaseReader(warehouse, operator="tiny", allow_synthetic=False) as reader:
        assert not reader.refresh()
        assert reader.fault is not None and "synthetic" in reader.fault
        with pytest.raises(SyntheticRefused), reader.open(release_ids(warehouse)[0]):
            pass


def test_hooks_when_release_opens_then_run_before_the_switch_and_their_fault_keeps_the_old_one(
    three: Path, book: QueryBook
) -> None:
    old, _, new = release_ids(three)
    swap_pointer(three, old)
    served: list[tuple[str, str | None]] = []

    def hook(release: OpenRelease) -> None:
        served.append((release.release_id, reader.release_id))
        release.extras["bytes"] = release.query("which")
        if len(served) == 2:
            raise ValueError("cannot encode")

    with ReleaseReader(three, book=book, on_open=[hook], retry_seconds=0.0) as reader:
        assert reader.refresh()
        swap_pointer(three, new)
        assert not reader.refresh()
        assert reader.fault is not None and "cannot encode" in reader.fault
        assert reader.release_id == old
        assert reader.refresh()
        assert served == [(old, None), (new, old), (new, old)]
        with reader.lease() as release:
            assert release.extras["bytes"] == [{"release_id": new, "rows": ROWS * 7}]


def test_release_when_vouched_for_then_is_neither_hashed_nor_warmed_and_any_other_is(
    three: Path, book: QueryBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = release_ids(three)
    swap_pointer(three, first)
    done: list[tuple[str, str]] = []
    warm = OpenRelease.warm

    def verified(directory: Path, manifest: Manifest) -> Path:
        done.append(("hash", directory.name))
        return verify_database(directory, manifest)

    def warmed(release: OpenRelease) -> None:
        done.append(("warm", release.release_id))
        warm(release)

    monkeypatch.setattr("warehouse.reader.verify_database", verified)
    monkeypatch.setattr(OpenRelease, "warm", warmed)
    asked: list[str] = []

    def vouch(manifest: Manifest) -> bool:
        asked.append(manifest.release_id)
        return manifest.release_id == second

    with ReleaseReader(three, book=book, vouch=vouch) as reader:
        assert reader.refresh()
        assert (asked, done) == ([first], [("hash", first), ("warm", first)])
        swap_pointer(three, second)
        assert reader.refresh()
        assert (asked, len(done)) == ([first, second], 2)
        with reader.lease() as release:
            assert release.query("which")[0]["rows"] == ROWS * 6
        with reader.open(third) as other:  # only what is switched to is vouched for
            assert other.query("which")[0]["rows"] == ROWS * 7
        assert (asked, done[2:]) == ([first, second], [("hash", third)])


def test_release_when_nobody_may_serve_it_then_nobody_is_asked_to_vouch(three: Path) -> None:
    asked: list[Manifest] = []

    def vouch(manifest: Manifest) -> bool:
        asked.append(manifest)
        return True

    with ReleaseReader(three, operator="volve", vouch=vouch) as reader:
        assert not reader.refresh()
        assert reader.fault is not None and "volve" in reader.fault
    assert asked == []


def test_open_when_other_releases_are_asked_for_then_three_stay_open_and_the_least_used_is_closed(
    three: Path, book: QueryBook
) -> None:
    for days in (8, 9):
        publish_tiny(three, days=days)
    ids = release_ids(three)
    newest = newest_release(three)
    assert newest is not None
    with ReleaseReader(three, book=book) as reader:
        reader.refresh()
        others = [i for i in ids if i != newest.release_id]
        for release_id in [*others, others[0], newest.release_id]:
            with reader.open(release_id) as release:
                assert release.query("which")[0]["release_id"] == release_id
        assert set(reader._attached) == {others[0], others[2], others[3], newest.release_id}
        with pytest.raises(ReleaseNotFound, match="nearest kept one is"), reader.open("20200101T000000Z-00000000"):
            pass


def test_open_when_leased_while_evicted_then_readable_until_returned(three: Path, book: QueryBook) -> None:
    publish_tiny(three, days=8)
    publish_tiny(three, days=9)
    with ReleaseReader(three, book=book) as reader:
        reader.refresh()
        others = [i for i in release_ids(three) if i != reader.release_id]
        with ExitStack() as stack:
            leased = [stack.enter_context(reader.open(i)) for i in others]
            assert [r.query("which")[0]["release_id"] for r in leased] == others
        assert len(reader._attached) == 4


def test_open_when_current_is_replaced_then_the_same_open_file_serves_both(three: Path, book: QueryBook) -> None:
    old, _, new = release_ids(three)
    with ReleaseReader(three, book=book) as reader:
        reader.refresh()
        with reader.open(old) as before:
            swap_pointer(three, old)
            assert reader.refresh()
            with reader.lease() as now:
                assert now is before
        with reader.open(new) as former:
            assert former.query("which")[0]["rows"] == ROWS * 7


def test_open_when_release_is_pruned_while_it_is_looked_up_then_not_found_names_the_nearest(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Retention(count=1, age=timedelta(0), keep_last_of_month=False)
    ids = release_ids(three)
    real = verify_database

    def verify_then_prune(directory: Path, manifest: Manifest) -> Path:
        path = real(directory, manifest)
        prune(three, policy, now=datetime(2027, 6, 1, tzinfo=UTC))
        return path

    with ReleaseReader(three) as reader:
        reader.refresh()
        monkeypatch.setattr("warehouse.reader.verify_database", verify_then_prune)
        with pytest.raises(ReleaseNotFound) as raised, reader.open(ids[0]):
            pass
        assert raised.value.nearest == ids[2]
        assert list(reader._attached) == [ids[2]]


def test_release_when_leased_then_housekeeping_leaves_it(three: Path, book: QueryBook) -> None:
    policy = Retention(count=1, age=timedelta(0), keep_last_of_month=False)
    old, middle, _ = release_ids(three)
    with ReleaseReader(three, book=book) as reader, reader.open(old) as release:
        assert prune(three, policy, now=datetime(2027, 6, 1, tzinfo=UTC)) == [middle]
        assert release.query("which")[0]["rows"] == ROWS * 5
    assert prune(three, policy, now=datetime(2027, 6, 1, tzinfo=UTC)) == [old]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '/tmp/leak.csv'",
        "ATTACH '/tmp/other.duckdb'",
        "INSTALL httpfs",
        "SET threads = 4",
        "SET enable_external_access = true",
        "INSERT INTO store.cargo SELECT * FROM store.cargo",
        "DROP VIEW cargo",
    ],
)
def test_connection_when_used_for_more_than_reading_releases_then_refused(
    reader: ReleaseReader, statement: str
) -> None:
    with reader.lease() as release, pytest.raises(duckdb.Error):
        release._cursor().execute(statement)


def test_query_when_asked_from_many_threads_then_each_has_its_own_cursor(reader: ReleaseReader) -> None:
    with reader.lease() as release, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: len(release.query("nodes", {"nodes": ["tm-east"]})), range(120)))
    assert set(answers) == {20}


def test_reader_when_closed_then_leases_are_refused(warehouse: Path) -> None:
    reader = ReleaseReader(warehouse)
    reader.refresh()
    reader.close()
    with pytest.raises(NoRelease), reader.lease():
        pass
    assert not reader.refresh()


def test_imports_when_the_api_takes_what_it_may_then_no_heavy_library_comes_along() -> None:
    code = (
        "import sys; import warehouse.reader, warehouse.queries, warehouse.release, warehouse.errors, warehouse.status; "
        "print([m for m in ('polars', 'pyarrow', 'pandas', 'numpy', 'dagster', 'dataframely') if m in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
