"""A refresh from the sources to the release: nothing is published without a change, and a correction tells exactly itself."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest

from pipelines.bootstrap import bootstrap
from pipelines.stages import raw_energy_components
from pipelines.stages.registry import STAGES
from pipelines.watermark import OVERLAP
from tests.integration.incremental_rig import (
    EVENT,
    LABELS,
    LAST,
    LISTS,
    NOW,
    STREAM,
    Rig,
    correction,
    daily,
    killed,
    moved,
    start,
)
from warehouse.release import release_path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    for made in start(tmp_path_factory.mktemp("incremental-release")):
        made.release_id = bootstrap(made.at(is_bootstrap=True), made.settings)
        yield made


@pytest.fixture(autouse=True)
def counted(rig: Rig) -> None:
    rig.forget_requests()


def test_refresh_when_nothing_changed_then_little_is_asked_and_nothing_moves(rig: Rig) -> None:
    files, releases = rig.files(), rig.releases()
    assert bootstrap(rig.at(is_bootstrap=True), rig.settings) == rig.release_id
    assert (rig.files(), rig.releases()) == (files, releases)

    views = rig.asked("energy_components", "/views/")
    assert len(views) == 8, "one question for changes a dataset"
    assert all("updated_since=" in target for target in views)
    loaded = rig.workspace.lake.read(STREAM, LABELS[0], LAST).height
    assert 0 < rig.rows("energy_components", "rows") < loaded, "the overlap alone, of all datasets together"

    assert [len(rig.asked("sharepoint", f"{name}/items")) for name in LISTS] == [1, 1]
    assert all("token=" in target for target in rig.asked("sharepoint", "/items"))
    assert rig.rows("sharepoint", "items") == 0
    assert rig.asked("sharepoint", "/content") == rig.asked("download") == []

    starts = [parse_qs(urlsplit(t).query)["startTime"][0] for t in rig.asked("pi", "streamsets/recorded?")]
    assert min(datetime.fromisoformat(text) for text in starts) == NOW - OVERLAP


def test_refresh_when_it_goes_the_way_of_a_schedule_then_the_run_says_what_was_read_and_what_was_not(rig: Rig) -> None:
    ws = rig.at()
    files = rig.files()
    results = {}
    for name, stage in STAGES.items():
        if name.startswith("raw"):
            labels = [LAST, ws.running_label] if stage.source == "pi" else [LAST]
            results[name] = stage.run(ws, labels)
    assert rig.files() == files
    assert sum(result.changed_count for result in results.values()) == 0
    figures = {name: result.figures for name, result in results.items()}
    assert figures["raw_energy_components__daily"]["days of datasets read"] == 0
    assert figures["raw_energy_components__daily"]["days of datasets skipped unchanged"] == 6
    assert figures["raw_energy_components__daily"]["rows read"] + figures["raw_energy_components__register"][
        "rows read"
    ] == rig.rows("energy_components", "rows")
    assert figures["raw_sharepoint__register"]["registers skipped unchanged"] == 4
    assert figures["raw_pi__recorded_value"]["rows read"] > 0
    assert any("no row stamped since" in line for line in rig.told)
    assert results["raw_energy_components__daily"].row_count == sum(
        rig.workspace.lake.read(table, LAST, LAST).height for table in STAGES["raw_energy_components__daily"].tables
    ), "days that were left are still counted"


def test_full_read_when_nothing_changed_then_everything_is_asked_and_nothing_moves(rig: Rig) -> None:
    files, releases = rig.files(), rig.releases()
    assert bootstrap(rig.at(is_bootstrap=True, is_full_read=True), rig.settings) == rig.release_id
    assert not any("updated_since" in target for target in rig.asked("energy_components"))
    assert rig.rows("energy_components", "rows") > rig.workspace.lake.read(STREAM, LABELS[0], LAST).height
    assert len(rig.asked("download")) == 2
    assert rig.rows("sharepoint", "items") > 0
    assert rig.releases() == releases
    assert rig.files() == files


def test_correction_when_the_run_is_killed_before_the_mark_then_the_next_tells_exactly_what_moved(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = NOW + timedelta(minutes=15)
    corrected = [LAST - timedelta(days=9), LAST - timedelta(days=3)]
    rows = [correction(rig, label, later) for label in corrected]
    raw, out = rig.hashes(STREAM, EVENT), rig.hashes("out__daily_production")
    with monkeypatch.context() as patch:
        patch.setattr(raw_energy_components, "write_watermark", killed)
        with pytest.raises(KeyboardInterrupt):
            bootstrap(rig.at(later, is_bootstrap=True), rig.settings)
    assert rig.whole_days("DV_STRM_DAY_STREAM") == [
        (label.isoformat(), (label + timedelta(days=1)).isoformat()) for label in corrected
    ]
    assert moved(rig, raw, STREAM, EVENT) == {label.isoformat() for label in corrected}
    assert moved(rig, out, "out__daily_production") == set(), "killed before anything was computed"

    release_id = bootstrap(rig.at(later, is_bootstrap=True), rig.settings)
    assert release_id != rig.release_id
    rig.release_id = release_id
    assert moved(rig, raw, STREAM, EVENT) == {label.isoformat() for label in corrected}
    with duckdb.connect(str(release_path(rig.workspace.warehouse_dir)), read_only=True) as connection:
        told = connection.sql(
            "SELECT production_date, new_value FROM restatement WHERE what = 'production_daily.production_volume' "
            "AND reason LIKE 'ec:revision%' ORDER BY production_date"
        ).fetchall()
        days = connection.sql("SELECT DISTINCT production_date FROM restatement ORDER BY 1").fetchall()
    assert told == [(row["DAYTIME"], pytest.approx(row["NET_VOL"], rel=1e-9)) for row in rows]
    assert [day for (day,) in days] == corrected

    rig.forget_requests()
    daily(rig, later)
    assert rig.whole_days("DV_STRM_DAY_STREAM") == []
