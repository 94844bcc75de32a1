"""`python -m warehouse`: what an engineer types, what comes back, and what it changes."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.unit.warehouse.frames import publish_tiny, request_for, tiny_release_tables
from tests.unit.warehouse.test_release import flip_byte
from warehouse.__main__ import main
from warehouse.build_publish import PublishResult, build_and_publish
from warehouse.pointer import read_pointer
from warehouse.release import read_label, release_ids, release_path, show_release

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def warehouse(tiny_three: Path, tmp_path: Path) -> Path:
    """A warehouse of one's own with three releases."""
    return Path(shutil.copytree(tiny_three, tmp_path / "warehouse"))


@pytest.fixture
def run(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on it: exit code, and what stood on standard output or error."""

    def command(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--warehouse", str(warehouse)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return command


def held_by(warehouse: Path) -> tuple[str, str | None]:
    pointer = read_pointer(warehouse)
    assert pointer is not None
    return pointer.release_id, pointer.held_by


def test_path_when_only_a_folder_is_given_then_the_file_in_force_and_nothing_else(warehouse: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "warehouse", str(warehouse)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{release_path(warehouse).resolve()}\n"
    assert done.stderr == ""


def test_path_when_a_release_is_named_then_its_file(run: Run, warehouse: Path) -> None:
    oldest = release_ids(warehouse)[0]
    assert run("path", oldest) == (0, f"{release_path(warehouse, oldest).resolve()}\n")


def test_path_when_nothing_was_published_then_one_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing was published" in said.err and "make demo" in said.err


def test_list_then_newest_first_with_marks_labels_faults_and_the_hold(run: Run, warehouse: Path) -> None:
    ids = release_ids(warehouse)
    run("label", ids[0], "audit 2026")
    run("activate", ids[1], "--by", "A. Engineer", "--reason", "totals look wrong")
    manifest = warehouse / "releases" / ids[2] / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{}")
    code, text = run("list")
    lines = text.splitlines()
    assert code == 0
    assert [line[:2] + line.split()[-1 if line[0] == " " else 1] for line in lines[1:2]] == [f"* {ids[1]}"]
    assert "corrupt" in lines[0] and ids[2] in lines[0]
    assert lines[2].startswith(f"  {ids[0]}") and lines[2].endswith("[audit 2026]")
    assert "tiny" in lines[2] and "to 2026-11-21" in lines[2]
    assert lines[3].startswith(f"in force: {ids[1]} since ")
    assert lines[3].endswith("held by A. Engineer: totals look wrong")


def test_list_when_nothing_is_kept_then_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--warehouse", str(tmp_path)]) == 0
    assert "no release is kept" in capsys.readouterr().out


def test_show_then_rows_marks_checks_and_waivers(run: Run, warehouse: Path) -> None:
    newest = release_ids(warehouse)[2]
    code, text = run("show", newest)
    assert code == 0
    assert f"follows        {release_ids(warehouse)[1]}" in text
    assert "252 rows out__daily_production" in text
    assert "newest of pi: 2026-11-22 05:00:00 UTC" in text
    assert "passed drivers_and_unattributed_close" in text
    code, text = run("show", "20200101T000000Z-00000000")
    assert code == 1 and "nearest kept one" in text


def test_activate_then_held_and_resume_then_newest_again(run: Run, warehouse: Path) -> None:
    ids = release_ids(warehouse)
    code, text = run("activate", ids[0], "--by", "A. Engineer", "--reason", "totals look wrong")
    assert code == 0 and f"in force: {ids[0]}" in text
    assert held_by(warehouse) == (ids[0], "A. Engineer")
    code, text = run("resume")
    assert code == 0 and f"in force: {ids[2]}" in text
    assert held_by(warehouse) == (ids[2], None)


def test_activate_when_release_is_damaged_or_nobody_decides_then_nothing_moves(run: Run, warehouse: Path) -> None:
    ids = release_ids(warehouse)
    flip_byte(release_path(warehouse, ids[0]), 9_999)
    code, text = run("activate", ids[0], "--by", "A. Engineer", "--reason", "totals look wrong")
    assert code == 1 and "SHA-256" in text
    code, text = run("activate", ids[1], "--by", "", "--reason", "")
    assert code == 1 and "by must not be empty" in text
    with pytest.raises(SystemExit) as misuse:
        run("activate", ids[1])
    assert misuse.value.code == 2
    assert held_by(warehouse) == (ids[2], None)


def test_label_then_kept_by_prune_until_taken_away(tiny: Path, warehouse: Path, run: Run) -> None:
    shutil.rmtree(warehouse)
    shutil.copytree(tiny, warehouse)  # its release is of now, and so are these
    ids = [*release_ids(tiny), publish_tiny(warehouse, days=6), publish_tiny(warehouse, days=7)]
    run("label", ids[0], "audit 2026")
    assert read_label(warehouse, ids[0]) == "audit 2026"
    every = ("--keep", "0", "--days", "0", "--drop-month-ends")
    code, text = run("prune", *every)
    assert (code, text) == (0, f"deleted {ids[1]}\n1 deleted, 2 kept\n")
    run("label", ids[0], "")
    assert run("prune", *every)[1].startswith(f"deleted {ids[0]}\n")
    assert release_ids(warehouse) == [ids[2]]
    with pytest.raises(SystemExit):
        run("prune", "--keep", "-1")


def test_waive_when_a_build_was_refused_then_the_next_run_publishes_once(run: Run, warehouse: Path) -> None:
    moment = show_release(warehouse, release_ids(warehouse)[2]).built_at_utc

    def publish(frames: dict[str, pl.DataFrame], days: int) -> PublishResult:
        built_at = moment + timedelta(days=days)
        return build_and_publish(warehouse, frames, info=request_for(frames), built_at=built_at)

    tables = tiny_release_tables(7)
    thousandfold = in_another_unit(tables)
    refused = publish(thousandfold, 1)
    assert [r.gate for r in refused.refused] == ["no_production_jumps_by_a_unit"]
    assert f"refused {refused.path.name}  no_production_jumps_by_a_unit" in run("list")[1]
    code, text = run("show", refused.path.name)
    assert code == 0 and "failed no_production_jumps_by_a_unit" in text and "fs-alder flaredGas" in text
    code, text = run("waive", "no_production_jumps_by_a_unit", "--by", "A. Engineer", "--reason", "meter re-ranged")
    assert code == 0
    assert "waiver for the next release: no_production_jumps_by_a_unit, by A. Engineer" in run("list")[1]
    result = publish(thousandfold, 2)
    assert result.is_active and result.release_id is not None
    assert "waiver no_production_jumps_by_a_unit, by A. Engineer: meter re-ranged" in run("show", result.release_id)[1]
    # It was good for that release only: from the old level the same jump is refused again.
    assert "waiver" not in run("list")[1]
    assert publish(tables, 3).is_active
    again = publish(thousandfold, 4)
    assert [r.gate for r in again.refused] == ["no_production_jumps_by_a_unit"]


def test_waive_when_gate_is_unknown_or_can_never_be_waived_then_one_and_those_that_can(run: Run) -> None:
    for gate in ("no_such_gate", "rows_read_are_rows_written"):
        code, text = run("waive", gate, "--by", "A. Engineer", "--reason", "x")
        assert code == 1
        assert gate in text and "no_production_jumps_by_a_unit" in text


def in_another_unit(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Flared gas of every node four hundred times as much, its volume and rate alike."""
    names = ("production", "production_volume")
    raised = [
        pl.when(pl.col("network") == "flaredGas").then(pl.col(name) * 400).otherwise(pl.col(name)).alias(name)
        for name in names
    ]
    return tables | {"out__daily_production": tables["out__daily_production"].with_columns(raised)}
