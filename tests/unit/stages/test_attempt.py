"""What an attempt leaves in status.json, and what a failed stage tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pipelines import settings
from pipelines.lake import empty
from pipelines.sources.circuit import circuit_of, forget_circuits
from pipelines.sources.errors import Asking, SourceUnavailable
from pipelines.stages.attempt import attempt, renewed, run_stage, told
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace, label_range, open_workspace
from warehouse.status import SourceStatus, read_status

ADDRESS = "http://127.0.0.1:1"
TABLE = "raw_pi__recorded_value"
LABELS = label_range(date(2026, 11, 18), date(2026, 11, 20))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget_circuits()
    yield
    forget_circuits()


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    variables = {
        "OPERATOR": "sandbox",
        "PI_BASE_URL": f"{ADDRESS}/piwebapi",
        "PI_AUTH_MODE": "anonymous",
        "LAKE_URL": str(tmp_path / "lake"),
        "WAREHOUSE_DIR": str(tmp_path / "warehouse"),
        "SCHEDULES": "running",
    }
    return open_workspace(settings.load(variables))


def failure() -> SourceUnavailable:
    return SourceUnavailable(Asking("PI Web API", "recorded_value"), asked="GET /x", came="503")


def status(ws: Workspace) -> SourceStatus:
    return read_status(ws.warehouse_dir).sources["pi"]


def fail(ws: Workspace) -> None:
    with pytest.raises(SourceUnavailable), attempt(ws, "pi"):
        raise failure()


def test_attempt_when_it_succeeds_then_what_was_learnt_and_the_next_run_are_written(ws: Workspace) -> None:
    newest = datetime(2026, 11, 20, 5, tzinfo=UTC)
    with attempt(ws, "pi") as noted:
        noted.data_as_of(newest)
        noted.percent_good(97.5)
    now = status(ws)
    assert (now.data_as_of, now.percent_good, now.last_error, now.sla_seconds) == (newest, 97.5, None, 7200)
    assert now.next_run_at_utc is not None
    assert timedelta(0) < now.next_run_at_utc - datetime.now(UTC) <= timedelta(minutes=10)
    # Nobody has asked the source in this process: nothing is known of its circuit.
    assert now.circuit is None


def test_attempt_when_no_schedule_runs_then_the_next_run_is_not_known(ws: Workspace) -> None:
    with attempt(replace(ws, next_run=lambda _source: None), "pi"):
        pass
    assert status(ws).next_run_at_utc is None


def test_attempt_when_it_fails_then_the_error_is_written_and_what_was_known_stays(ws: Workspace) -> None:
    with attempt(ws, "pi") as noted:
        noted.percent_good(90.0)
    before = status(ws)
    fail(ws)
    now = status(ws)
    assert now.last_error == str(failure())
    assert (now.last_success, now.percent_good) == (before.last_success, 90.0)


def test_attempt_when_the_circuit_opens_and_closes_then_state_since_and_next_try_follow(ws: Workspace) -> None:
    circuit = circuit_of("PI Web API", ADDRESS, failures=1, seconds=30.0)
    # Another host's circuit in this process is not this source's.
    circuit_of("PI Web API", "http://127.0.0.1:2", failures=1).failed("other")
    with attempt(ws, "pi"):
        pass
    closed = status(ws)
    assert (closed.circuit, closed.circuit_next_try_at_utc) == ("closed", None)
    circuit.failed("503")
    fail(ws)
    opened = status(ws)
    assert opened.circuit == "open"
    assert opened.circuit_since_utc is not None and opened.circuit_next_try_at_utc is not None
    assert timedelta(0) < opened.circuit_next_try_at_utc - opened.circuit_since_utc <= timedelta(seconds=30)
    fail(ws)
    assert status(ws).circuit_since_utc == opened.circuit_since_utc
    circuit.succeeded()
    with attempt(ws, "pi"):
        pass
    assert (status(ws).circuit, status(ws).circuit_next_try_at_utc) == ("closed", None)


def test_attempt_when_status_cannot_be_written_then_the_sources_failure_is_what_is_raised(
    ws: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SourceUnavailable), attempt(replace(ws, warehouse_dir=tmp_path / "file"), "pi"):
        raise failure()
    assert "was not written" in caplog.text


def stage_of(written: int) -> Stage:
    """A stage that writes so many of its days, and then fails."""

    def run(ws: Workspace, labels: object) -> StageResult:
        ws.write(TABLE, empty(TABLE), LABELS[:written])
        raise failure()

    return Stage(name=TABLE, run=run, tables=(TABLE,), source="pi")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (0, "production days 2026-11-18 to 2026-11-20: no partition was renewed, all 3 keep what they held"),
        (2, "renewed before the failure, and kept: 2026-11-18, 2026-11-19; the others keep what they held"),
    ],
)
def test_run_stage_when_it_fails_then_tells_what_was_renewed_before(ws: Workspace, written: int, words: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        run_stage(stage_of(written), ws, LABELS)
    assert (
        told(caught.value)
        == f"{caught.value}; stage {TABLE} (source pi), {told(caught.value).partition('(source pi), ')[2]}"
    )
    assert words in told(caught.value)
    assert renewed(stage_of(0), ws) == [str(label) for label in LABELS[:written]]


def test_run_stage_when_a_snapshot_fails_then_says_that_it_keeps_what_it_held(ws: Workspace) -> None:
    stage = replace(stage_of(0), is_partitioned=False)
    with pytest.raises(SourceUnavailable) as caught:
        run_stage(stage, ws, LABELS[-1:])
    assert "snapshot: what could not be read keeps what it held" in told(caught.value)


def test_run_stage_when_it_succeeds_then_its_result_and_nothing_else(ws: Workspace) -> None:
    result = StageResult(figures={"rows": 1})
    stage = Stage(name="core__nothing", run=lambda _ws, _labels: result, tables=())
    assert run_stage(stage, ws, LABELS) is result


def test_mapping_when_a_list_id_is_set_then_it_stands_for_the_only_list_and_for_none_of_several(ws: Workspace) -> None:
    from pipelines.sources.config import Secret, SharePointConfig

    config = SharePointConfig(tenant_id="t", client_id="c", client_secret=Secret("s"), site_id="x", list_id="5f6d-id")
    several = replace(ws, sharepoint=config)
    assert {each.name for each in several.sharepoint_mapping.lists.values()} == {
        "Business targets",
        "Capacity register",
    }
    lists = {"business_target": ws.site.sharepoint["lists"]["business_target"]}
    one = replace(several, site=replace(ws.site, sharepoint={**ws.site.sharepoint, "lists": lists}))
    assert [each.name for each in one.sharepoint_mapping.lists.values()] == ["5f6d-id"]
