"""Where the pipelines write, and the site's folder: what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import settings
from pipelines.doctor import places
from pipelines.doctor.examination import Examination, Row
from pipelines.doctor.examine import examine, examine_environment
from pipelines.lake import Lake
from pipelines.simulators.launch_operator import REFERENCE
from warehouse.status import update_source

PLENTY = 1 << 40


def rows_of(lake: Path, warehouse: Path, free: int = PLENTY) -> dict[str, Row]:
    exam = Examination()
    places.examine_places(exam, Lake(lake), warehouse, free=lambda _path: free)
    return {row.check: row for row in exam.rows}


def test_places_when_they_can_be_written_then_ok_and_nothing_is_left_behind(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "lake", tmp_path / "warehouse")
    assert {row.outcome for row in rows.values()} == {"ok"}, rows
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_places_when_a_file_stands_in_the_way_then_failed_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("no folder")
    (tmp_path / "warehouse").write_text("no folder")
    rows = rows_of(tmp_path / "lake", tmp_path / "warehouse")
    assert (rows["lake"].outcome, "LAKE_URL" in rows["lake"].advice) == ("failed", True)
    assert (rows["warehouse"].outcome, "WAREHOUSE_DIR" in rows["warehouse"].advice) == ("failed", True)
    assert rows["room for releases"].outcome == "not tried"


@pytest.mark.parametrize(
    ("free", "outcome"),
    [(places.LEAST_FREE - 1, "failed"), (places.LEAST_FREE, "warning"), (places.LITTLE_FREE, "ok")],
)
def test_room_when_it_shrinks_then_a_warning_and_then_a_failure(tmp_path: Path, free: int, outcome: str) -> None:
    rows = rows_of(tmp_path / "lake", tmp_path / "warehouse", free)
    assert rows["room for the lake"].outcome == rows["room for releases"].outcome == outcome
    if outcome != "ok":
        assert "free space" in rows["room for releases"].advice and "WAREHOUSE_DIR" in rows["room for releases"].advice


def test_status_when_the_last_attempt_failed_or_the_file_is_corrupt_then_a_warning(tmp_path: Path) -> None:
    update_source(tmp_path / "warehouse", "pi", sla_seconds=60, last_error="PI Web API: refused")
    row = rows_of(tmp_path / "lake", tmp_path / "warehouse")["status.json"]
    assert (row.outcome, "pi: PI Web API: refused" in row.result) == ("warning", True)
    (tmp_path / "warehouse" / "status.json").write_text("{")
    assert rows_of(tmp_path / "lake", tmp_path / "warehouse")["status.json"].outcome == "warning"


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {
        "OPERATOR": "sandbox",
        "LAKE_URL": str(tmp_path / "lake"),
        "WAREHOUSE_DIR": str(tmp_path / "warehouse"),
        "PI_BASE_URL": "http://127.0.0.1:1/piwebapi",
        "PI_AUTH_MODE": "anonymous",
        **more,
    }


def test_environment_when_it_has_faults_then_a_row_for_each_with_the_settings_named(tmp_path: Path) -> None:
    loaded, rows = examine_environment({"OPERATOR": "", "PI_USERNAME": "reader", "SP_TENANT_ID": "t"})
    assert loaded is None
    assert {row.outcome for row in rows} == {"failed"}
    told = " ".join(row.result for row in rows)
    assert all(name in told for name in ("PI_BASE_URL", "PI_PASSWORD", "SP_CLIENT_SECRET", "OPERATOR"))
    assert len(rows) >= 3


def test_site_when_its_folder_has_faults_then_they_are_told_and_sources_are_not_tried(tmp_path: Path) -> None:
    exam = examine(settings.load(environment(tmp_path, OPERATOR=str(tmp_path))))
    rows = {(row.source, row.check): row for row in exam.rows}
    assert rows["site", "folder"].outcome == "failed"
    assert "operator.toml" in rows["site", "folder"].result and "OPERATOR" in rows["site", "folder"].advice
    assert {row.outcome for (source, _), row in rows.items() if source != "site"} == {"not tried"}


def test_site_when_it_names_sources_that_are_not_set_then_a_warning_names_their_variables(tmp_path: Path) -> None:
    exam = examine(settings.load(environment(tmp_path)), sources=())
    row = next(row for row in exam.rows if (row.source, row.check) == ("site", "sources"))
    assert row.outcome == "warning"
    assert "energy_components (EC_API_* or EC_DB_*)" in row.result and "sharepoint (SP_*)" in row.result


def test_site_when_a_mapping_is_wrong_then_the_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    for path in (REFERENCE / "sandbox").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    mapping = (folder / "energy_components.toml").read_text()
    (folder / "energy_components.toml").write_text(mapping.replace('type = "float"', 'type = "flaot"', 1))
    exam = examine(settings.load(environment(tmp_path, OPERATOR=str(folder))))
    row = next(row for row in exam.rows if (row.source, row.check) == ("site", "mappings"))
    assert (row.outcome, "flaot" in row.result) == ("failed", True)
    assert "energy_components.toml" in row.advice
