"""Releases as a set: roll back and forward, listing, labels, retention, manifests that do not lie."""

import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from warehouse.errors import BuildInputError, NoRelease, ReleaseCorrupt, ReleaseNotFound
from warehouse.manifest import read_manifest, verify_database, write_manifest
from warehouse.pointer import read_pointer
from warehouse.release import (
    activate,
    list_releases,
    nearest_release,
    read_label,
    release_ids,
    release_path,
    resume,
    set_label,
    show_release,
)
from warehouse.release_files import hold_shared, is_open_elsewhere
from warehouse.retention import Retention, prune

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
KEEP_ONE = Retention(count=1, age=timedelta(0), keep_last_of_month=False)


@pytest.fixture
def warehouse(tiny_three: Path, tmp_path: Path) -> Path:
    """A warehouse of one's own with three releases."""
    return Path(shutil.copytree(tiny_three, tmp_path / "warehouse"))


@pytest.fixture
def three(warehouse: Path) -> list[str]:
    """Their ids, oldest first; the last one is in force."""
    return release_ids(warehouse)


def test_activate_when_older_release_is_chosen_then_in_force_and_held(warehouse: Path, three: list[str]) -> None:
    pointer = activate(warehouse, three[0], by="A. Engineer", reason="wrong totals")
    assert (pointer.release_id, pointer.held_by, pointer.sequence) == (three[0], "A. Engineer", 4)
    assert release_path(warehouse).parent.name == three[0]
    current = [r for r in list_releases(warehouse) if r.is_current]
    assert [(r.release_id, r.is_held) for r in current] == [(three[0], True)]


def test_resume_when_held_then_newest_is_in_force_without_hold(warehouse: Path, three: list[str]) -> None:
    activate(warehouse, three[0], by="A. Engineer", reason="wrong totals")
    pointer = resume(warehouse)
    assert (pointer.release_id, pointer.is_held) == (three[2], False)


def test_activate_when_file_is_damaged_then_refused_and_pointer_stays(warehouse: Path, three: list[str]) -> None:
    flip_byte(release_path(warehouse, three[0]), 100_000)
    with pytest.raises(ReleaseCorrupt, match="SHA-256"):
        activate(warehouse, three[0], by="A. Engineer", reason="wrong totals")
    assert release_path(warehouse).parent.name == three[2]


def test_activate_when_nobody_gives_a_name_or_reason_then_refused(warehouse: Path) -> None:
    with pytest.raises(BuildInputError, match=r"by must not be empty; reason must not be empty"):
        activate(warehouse, release_ids(warehouse)[0], by=" ", reason="")


def test_show_when_release_was_pruned_then_names_the_nearest_kept(warehouse: Path, three: list[str]) -> None:
    wanted = three[1].split("-")[0] + "-00000000"
    with pytest.raises(ReleaseNotFound) as raised:
        show_release(warehouse, wanted)
    assert raised.value.nearest == three[1]
    assert nearest_release(three, "no time stamp") == max(three)
    assert nearest_release([], wanted) is None


def test_list_when_a_manifest_is_damaged_then_listed_with_its_fault(warehouse: Path, three: list[str]) -> None:
    manifest = warehouse / "releases" / three[1] / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{}")
    listed = list_releases(warehouse)
    assert [r.release_id for r in listed] == three[::-1]
    assert listed[1].fault is not None and "manifest.json" in listed[1].fault
    assert listed[0].operator == "tiny" and listed[0].bytes == release_path(warehouse).stat().st_size


def test_path_when_nothing_was_published_then_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoRelease, match="nothing was published"):
        release_path(tmp_path)
    with pytest.raises(NoRelease):
        resume(tmp_path)
    assert release_ids(tmp_path) == [] and list_releases(tmp_path) == []


def test_label_when_set_then_kept_by_retention_until_taken_away(warehouse: Path, three: list[str]) -> None:
    set_label(warehouse, three[0], "audit 2026")
    assert read_label(warehouse, three[0]) == "audit 2026"
    assert prune(warehouse, KEEP_ONE, now=NOW + timedelta(days=99)) == [three[1]]
    set_label(warehouse, three[0], None)
    assert prune(warehouse, KEEP_ONE, now=NOW + timedelta(days=99)) == [three[0]]
    assert release_ids(warehouse) == [three[2]]
    with pytest.raises(ReleaseNotFound):
        set_label(warehouse, three[0], "gone")


def test_prune_when_release_is_in_force_held_or_read_then_kept(warehouse: Path, three: list[str]) -> None:
    activate(warehouse, three[0], by="A. Engineer", reason="wrong totals")
    reading = hold_shared(warehouse / "releases" / three[1])
    try:
        assert prune(warehouse, KEEP_ONE, now=NOW + timedelta(days=99)) == []
    finally:
        os.close(reading)
    assert prune(warehouse, KEEP_ONE, now=NOW + timedelta(days=99)) == [three[1]]
    assert release_ids(warehouse) == [three[0], three[2]]


def test_prune_when_another_process_has_the_file_open_then_kept_until_it_lets_go(
    warehouse: Path, three: list[str]
) -> None:
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(release_path(warehouse, three[0]))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as analyst:
        assert analyst.stdout is not None
        analyst.stdout.readline()
        assert prune(warehouse, KEEP_ONE, now=NOW + timedelta(days=99)) == [three[1]]
        analyst.communicate()
    assert prune(warehouse, KEEP_ONE, now=NOW + timedelta(days=99)) == [three[0]]
    assert not is_open_elsewhere(warehouse / "releases" / three[0] / "warehouse.duckdb")


def test_prune_when_young_or_among_the_newest_then_kept(warehouse: Path, three: list[str]) -> None:
    newest = show_release(warehouse, three[2]).built_at_utc
    young = Retention(count=1, age=timedelta(days=2), keep_last_of_month=False)
    assert prune(warehouse, young, now=newest + timedelta(hours=1)) == [three[0]]
    assert prune(warehouse, Retention(count=2, age=timedelta(0)), now=NOW + timedelta(days=99)) == []


def test_prune_when_policy_keeps_month_ends_then_last_of_each_month_stays(warehouse: Path, three: list[str]) -> None:
    newest = show_release(warehouse, three[2])
    old = [datetime(2026, month, day, tzinfo=UTC) for month, day in ((1, 5), (1, 30), (2, 1), (2, 27), (2, 28))]
    for moment in old:
        release_id = f"{moment:%Y%m%dT%H%M%SZ}-0badcafe"
        directory = warehouse / "releases" / release_id
        directory.mkdir()
        write_manifest(directory, msgspec.structs.replace(newest, release_id=release_id, built_at_utc=moment))
    gone = prune(warehouse, Retention(count=3, age=timedelta(0)), now=NOW + timedelta(days=99))
    assert [release_id[:8] for release_id in gone] == ["20260105", "20260201", "20260227"]
    assert [release_id[:8] for release_id in release_ids(warehouse)[:2]] == ["20260130", "20260228"]


def test_prune_when_a_writer_was_killed_then_its_half_written_file_goes_once_it_is_old(warehouse: Path) -> None:
    names = (".current.4711-0badcafe", ".status.json.4711-0badcafe", ".waivers.json.4711-0badcafe")
    litter = [*(warehouse / name for name in names), release_path(warehouse).parent / ".label.4711-0badcafe"]
    for path in litter:
        path.touch()
    now = datetime.now(UTC)
    prune(warehouse, now=now)
    assert all(path.exists() for path in litter)
    prune(warehouse, now=now + timedelta(hours=2))
    assert not any(path.exists() for path in litter)


def test_manifest_when_any_byte_flips_then_refused_or_says_the_same(warehouse: Path) -> None:
    directory = release_path(warehouse).parent
    path = directory / "manifest.json"
    path.chmod(0o644)
    good = path.read_bytes()
    original = read_manifest(directory)
    chooser = random.Random(20261122)
    refused = 0
    for offset in chooser.sample(range(len(good)), 300):
        bad = bytearray(good)
        bad[offset] ^= 1 << chooser.randrange(8)
        path.write_bytes(bad)
        try:
            assert read_manifest(directory) == original  # only blanks between tokens may change unseen
        except ReleaseCorrupt:
            refused += 1
    assert refused > 200


def test_database_when_any_byte_flips_then_refused(warehouse: Path) -> None:
    path = release_path(warehouse)
    manifest = read_manifest(path.parent)
    path.chmod(0o644)
    for offset in random.Random(7).sample(range(path.stat().st_size), 8):
        flip_byte(path, offset)
        with pytest.raises(ReleaseCorrupt, match="SHA-256"):
            verify_database(path.parent, manifest)
        flip_byte(path, offset)
    assert verify_database(path.parent, manifest) == path
    with path.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ReleaseCorrupt, match="bytes"):
        verify_database(path.parent, manifest)


def test_manifest_when_it_is_another_releases_then_refused(warehouse: Path, three: list[str]) -> None:
    folder = warehouse / "releases"
    (folder / three[1] / "manifest.json").unlink()
    write_manifest(folder / three[1], read_manifest(folder / three[0]))
    with pytest.raises(ReleaseCorrupt, match=three[0]):
        read_manifest(folder / three[1])


def test_pointer_when_publishing_goes_on_then_each_release_is_in_force_in_turn(
    warehouse: Path, three: list[str]
) -> None:
    pointer = read_pointer(warehouse)
    assert pointer is not None
    assert (pointer.release_id, pointer.sequence) == (three[2], 3)


def flip_byte(path: Path, offset: int) -> None:
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 0x10]))
