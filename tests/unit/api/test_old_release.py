"""A release that was built before some of today's views: what it has is served, what it lacks is said."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import pytest

from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny
from warehouse.manifest import read_manifest, write_manifest

LACKING = ("meter_daily", "balance_daily", "closure_daily", "intraday")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The tiny operator's release without the views of data reconciliation and of the running day, its manifest in step."""
    directory: Path = tmp_path_factory.mktemp("old")
    release = directory / "releases" / publish_tiny(directory)
    file, manifest = release / "warehouse.duckdb", release / "manifest.json"
    for path in (release, file, manifest):
        path.chmod(0o755)
    with duckdb.connect(str(file)) as connection:
        for view in LACKING:
            connection.execute(f"DROP VIEW {view}")
            connection.execute("DELETE FROM store.dictionary WHERE table_name = ?", [view])
    described = read_manifest(release)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    database = msgspec.structs.replace(described.database, sha256=digest, size=file.stat().st_size)
    write_manifest(release, msgspec.structs.replace(described, database=database))
    with Api(Settings(warehouse_dir=directory)) as running:
        yield running


def test_reconciliation_of_an_old_release_then_404_that_says_why(old: Api) -> None:
    assert "built before" in old.problem("/api/v1/reconciliation", 404, "notFound")["detail"]


def test_facility_of_an_old_release_then_its_running_day_is_null_with_the_reason(old: Api) -> None:
    body = old.body("/api/v1/facilities/fs-alder")
    assert body["intraday"] is None
    assert "built before" in body["intradayReason"]


def test_limited_caller_of_an_old_release_then_sees_what_everyone_sees_of_it(old: Api) -> None:
    desk = old.edge.desk
    with desk.reader.lease() as release:
        east = frozenset({"east"})
        assert release.query("table_list", assets=east) != []
        assert release.query("facility_list", {"production_date": release.manifest.latest_production_date}, east) != []


def test_export_of_a_view_that_an_old_release_lacks_then_404_naming_what_it_has(old: Api) -> None:
    detail = old.problem("/api/v1/exports/balance_daily", 404, "notFound")["detail"]
    assert "terminal_daily" in detail
    assert "balance_daily," not in detail


@pytest.mark.parametrize(
    "path",
    ["facilities/fs-alder", "events", "data-dictionary", "exports/event?format=csv", "summary", "data-freshness"],
)
def test_other_endpoints_of_an_old_release_then_they_answer(old: Api, path: str) -> None:
    assert old.get(f"/api/v1/{path}").status_code == 200
