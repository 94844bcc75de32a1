"""The application's life: no release, a new release, a foreign release, a release in flight."""

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.callers import EVERYTHING
from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny, tiny_release_tables
from warehouse.pointer import swap_pointer
from warehouse.release import activate


@pytest.fixture(scope="session")
def published_twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A warehouse with an older and a newer release, built once: 5 days, then 6."""
    directory = tmp_path_factory.mktemp("twice")
    return directory, publish_tiny(directory), publish_tiny(directory, days=6)


@dataclass(frozen=True)
class Two:
    """A copy of it that stands at the older release; `publish` moves it to the newer one."""

    directory: Path
    first: str
    second: str

    def publish(self) -> None:
        swap_pointer(self.directory, self.second)


@pytest.fixture
def two(published_twice: tuple[Path, str, str], tmp_path: Path) -> Two:
    directory, first, second = published_twice
    copy = tmp_path / "warehouse"
    shutil.copytree(directory, copy)
    swap_pointer(copy, first)
    return Two(copy, first, second)


def settings(warehouse_dir: Path, **more: object) -> Settings:
    # Tests follow the pointer by hand: a poll that never comes keeps them free of the clock.
    return Settings(warehouse_dir=warehouse_dir, release_poll_seconds=3600.0, **more)  # type: ignore[arg-type]


def test_app_without_a_release_then_alive_not_ready_and_503(two: Two) -> None:
    pointer = (two.directory / "current").read_bytes()
    (two.directory / "current").unlink()
    with Api(settings(two.directory)) as api:
        assert api.get("/healthz").status_code == 200
        api.problem("/readyz", 503, "noRelease")
        api.problem("/api/v1/summary", 503, "noRelease")
        api.problem("/api/v1/nowhere", 404, "notFound")
        assert api.get("/api/v1/openapi.json").status_code == 200
        (two.directory / "current").write_bytes(pointer)
        assert api.edge.desk.refresh() is True
        assert api.get("/readyz").status_code == 200
        assert api.body("/api/v1/summary")["productionDate"] == "2026-11-21"


def test_app_when_a_release_is_published_then_served_without_restart_under_a_new_tag(two: Two) -> None:
    with Api(settings(two.directory)) as api:
        before = api.get("/api/v1/summary")
        assert before.headers["data-version"] == two.first
        assert api.edge.desk.refresh() is False
        two.publish()
        assert api.get("/api/v1/summary").headers["data-version"] == two.first
        assert api.edge.desk.refresh() is True
        after = api.get("/api/v1/summary", {"if-none-match": before.headers["etag"]})
        assert (after.status_code, after.headers["data-version"]) == (200, two.second)
        old = api.get(f"/api/v1/summary?release={two.first}")
        assert old.content == before.content
        activate(two.directory, two.first, by="tester", reason="rollback")
        assert api.edge.desk.refresh() is True
        assert api.get("/api/v1/summary", {"if-none-match": before.headers["etag"]}).status_code == 304


def test_app_with_its_follower_then_a_release_is_taken_up_by_itself(two: Two) -> None:
    with Api(Settings(warehouse_dir=two.directory, release_poll_seconds=0.01)) as api:
        taken_up = threading.Event()
        real = api.edge.desk.reader.refresh

        def refresh() -> bool:
            moved = real()
            if moved:
                taken_up.set()
            return moved

        api.edge.desk.reader.refresh = refresh  # type: ignore[method-assign]
        two.publish()
        assert taken_up.wait(60)
        # The release is switched to right after the reader says so; the pointer is the same for both.
        assert api.edge.desk.reader.release_id == two.second


def test_app_when_an_answer_is_being_made_then_it_ends_on_the_old_release(two: Two) -> None:
    with Api(settings(two.directory)) as api:
        two.publish()
        desk = api.edge.desk

        def switch_amid(view: object) -> str:
            assert desk.refresh() is True
            rows = view.query("asset_list")  # type: ignore[attr-defined]
            return f"{view.facts.release_id} {len(rows)}"  # type: ignore[attr-defined]

        body, answered = desk.answer(EVERYTHING, {}, (), switch_amid)
        assert body == f"{two.first} 2"
        assert answered.stamp.release_id == two.first
        assert api.get("/api/v1/summary").headers["data-version"] == two.second


def test_app_bound_to_another_operator_then_refuses_the_release_and_says_why(two: Two) -> None:
    with Api(settings(two.directory, operator="acme")) as api:
        problem = api.problem("/api/v1/summary", 503, "noRelease")
        assert "acme" in problem["detail"]


def test_app_when_a_document_cannot_be_prepared_then_the_release_is_served_all_the_same(
    two: Two, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("broken document")

    monkeypatch.setattr("api.preparing.open_view", fails)
    with Api(settings(two.directory)) as api:
        assert api.get("/api/v1/summary").status_code == 200
    assert any(record.message == "answer not prepared" for record in caplog.records)


def test_app_when_targets_have_another_version_then_only_target_and_gap_change(tmp_path: Path) -> None:
    import polars as pl

    tables = tiny_release_tables()
    target = tables["target"]
    draft = target.with_columns(pl.lit("2027.1").alias("version"), pl.col("value") * 1.1)
    tables["target"] = pl.concat([target, draft])
    publish_tiny(tmp_path, tables=tables)
    with Api(settings(tmp_path)) as api:
        plain, other = api.body("/api/v1/summary"), api.body("/api/v1/summary?targetVersion=2027.1")
        for network in ("oil", "domesticGas", "flaredGas"):
            before, after = plain["networks"][network], other["networks"][network]
            assert after["businessTarget"] == pytest.approx(1.1 * before["businessTarget"])
            sign = -1 if network == "flaredGas" else 1
            expected = sign * (after["businessTarget"] - after["currentProduction"])
            assert after["gap"] == pytest.approx(expected)
            changed = {name for name in before if before[name] != after[name]}
            assert changed <= {"businessTarget", "gap", "excessOverTarget"}
        drivers = api.body("/api/v1/gap-drivers?targetVersion=2027.1")["networks"]["oil"]["reference"]
        assert drivers["businessTargetVolume"] == pytest.approx(1.1 * 53_000)
        hub = api.body("/api/v1/hubs/hub-birch/performance?window=7d&targetVersion=2027.1")
        assert hub["points"][-1]["networks"]["oil"]["businessTarget"] == pytest.approx(1.1 * 19_000)
        assert hub["statistics"]["oil"]["daysOnTarget"] == 1
        gone = api.body("/api/v1/hubs/hub-birch/performance?window=7d&productionDate=2026-11-18&targetVersion=2027.1")
        assert gone["points"][-1]["networks"]["oil"]["businessTarget"] is None
