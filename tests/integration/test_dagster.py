"""Dagster's side: what is defined, what runs, what a dead source does."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import dagster as dg
import pytest

import pipelines.defs
from api.settings import Settings
from pipelines.stages.registry import STAGES, TERMINAL_STAGES
from tests.integration.conftest import Loaded
from tests.unit.api.client import Api
from warehouse.release import release_path
from warehouse.status import read_status

# The one warning that is known (2026-11): a policy of the design that Dagster 1.13 still calls beta.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Parameter `backfill_policy` of function `asset` is currently in beta:dagster.BetaWarning"
)
# A new asset is a decision: it stands here, and partitioned ones stay few (each costs about 20 ms a partition).
ASSETS = {
    "raw_energy_components__daily",
    "raw_energy_components__register",
    "raw_pi__recorded_value",
    "raw_pi__tank_gauge",
    "raw_sharepoint__register",
    "core__register",
    "core__reading",
    "core__intraday",
    "core__production",
    "core__event",
    "core__terminal",
    "out__production",
    "out__gap_driver",
    "out__terminal",
    "out__hub_trend",
    "out__restatement",
    "warehouse__release",
}
MOST_PARTITIONED_ASSETS = 12


@pytest.fixture(scope="module")
def definitions(sandbox: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The code location as an operator's environment makes it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            sandbox.running.environment()
            | {
                "OPERATOR": "sandbox",
                "LAKE_URL": str(sandbox.settings.lake),
                "WAREHOUSE_DIR": str(sandbox.settings.warehouse_dir),
                "HISTORY_DAYS": str(sandbox.settings.history_days),
                "SCHEDULES": "running",
                "DAGSTER_HOME": str(tmp_path_factory.mktemp("dagster")),
            }
        ).items():
            patch.setenv(name, value)
        yield importlib.import_module("pipelines.definitions")


@pytest.fixture(scope="module")
def defs(definitions: ModuleType) -> dg.Definitions:
    loaded: dg.Definitions = definitions.defs()
    return loaded


def test_defs_when_each_module_is_imported_then_no_warning_but_the_known_one(definitions: ModuleType) -> None:
    # The loader hides warnings; importing the modules directly shows what the next version will remove.
    names = [m.name for m in pkgutil.iter_modules(pipelines.defs.__path__)]
    assert {"automation", "checks", "core", "out", "raw_pi", "release", "resources"} <= set(names)
    for name in names:
        importlib.import_module(f"pipelines.defs.{name}")


def test_defs_when_loaded_then_the_assets_are_the_pinned_ones(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == ASSETS == set(STAGES)
    partitioned = [key for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned]
    assert len(partitioned) <= MOST_PARTITIONED_ASSETS


def test_defs_when_loaded_then_every_asset_says_what_its_columns_mean(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for name, stage in STAGES.items():
        metadata = graph.get(dg.AssetKey(name)).metadata
        schema = metadata.get("dagster/column_schema")
        assert (schema is not None) == bool(stage.tables), name
        if schema is not None:
            assert all(column.description for column in schema.columns), name


def test_stages_when_ordered_then_each_stands_after_what_it_needs() -> None:
    seen: set[str] = set()
    for stage in STAGES.values():
        assert set(stage.upstream) <= seen, stage.name
        seen.add(stage.name)
    assert set(TERMINAL_STAGES) <= seen


def test_schedules_when_the_deployment_says_running_then_they_run(defs: dg.Definitions) -> None:
    schedules = {s.name: s for s in defs.schedules or [] if isinstance(s, dg.ScheduleDefinition)}
    assert set(schedules) == {"current_day", "terminals", "trailing_days"}
    assert {s.default_status for s in schedules.values()} == {dg.DefaultScheduleStatus.RUNNING}
    assert schedules["current_day"].cron_schedule == "*/15 * * * *"
    assert schedules["terminals"].cron_schedule == "*/10 * * * *"


def test_schedule_when_it_ticks_then_it_asks_for_the_latest_closed_and_the_running_day(
    defs: dg.Definitions, sandbox: Loaded
) -> None:
    schedule = next(s for s in defs.schedules or [] if s.name == "current_day")
    assert isinstance(schedule, dg.ScheduleDefinition)
    with dg.DagsterInstance.ephemeral() as instance, dg.build_schedule_context(instance=instance) as context:
        requests = schedule.evaluate_tick(context).run_requests or []
    (request,) = requests
    assert request.tags["dagster/asset_partition_range_start"] == sandbox.workspace.latest_label.isoformat()
    assert request.tags["dagster/asset_partition_range_end"] == sandbox.workspace.running_label.isoformat()


def test_refresh_when_nothing_changed_then_it_succeeds_and_publishes_nothing(
    defs: dg.Definitions, sandbox: Loaded
) -> None:
    before = release_path(sandbox.workspace.warehouse_dir)
    job = defs.resolve_job_def("refresh_current_day")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": sandbox.workspace.latest_label.isoformat(),
                "dagster/asset_partition_range_end": sandbox.workspace.running_label.isoformat(),
            },
            raise_on_error=False,
        )
        assert result.success
        evaluations = result.get_asset_check_evaluations()
    # A warning tells what a person should look at, and the sandbox has some: only an error stops a release.
    checks = {e.check_name: e.passed for e in evaluations if e.severity == dg.AssetCheckSeverity.ERROR}
    assert checks and all(checks.values()), checks
    assert {"drivers_and_unattributed_close", "every_path_crosses_the_cut_once"} <= set(checks)
    warnings = {e.check_name for e in evaluations if e.severity == dg.AssetCheckSeverity.WARN}
    assert {"potentials_are_not_overtaken", "published_targets_equal_the_sum", "no_row_was_quarantined"} <= warnings
    assert "sources_are_within_their_sla" in warnings
    assert release_path(sandbox.workspace.warehouse_dir) == before


def test_refresh_when_the_run_asks_for_a_full_read_then_the_watermarks_do_not_count(
    defs: dg.Definitions, sandbox: Loaded
) -> None:
    factory = importlib.import_module("pipelines.defs.factory")
    downloads = sandbox.running.servers["download"].system.requests
    counts = {}
    with dg.DagsterInstance.ephemeral() as instance:
        for name, tags in (("plain", {}), ("full", {factory.FULL_READ_TAG: "full"})):
            downloads.clear()
            register = factory.stage_asset("raw_sharepoint__register")
            result = dg.materialize([register], instance=instance, tags=tags)
            (made,) = result.asset_materializations_for_node("raw_sharepoint__register")
            counts[name] = (
                len(downloads),
                made.metadata["registers read"].value,
                made.metadata["partitions_changed"].value,
            )
    assert counts == {"plain": (0, 0, 0), "full": (2, 4, 0)}


@pytest.mark.parametrize("source", ["energy_components", "pi", "sharepoint"])
def test_refresh_when_a_source_is_dead_then_one_clear_message_and_the_last_release_stays(
    defs: dg.Definitions, sandbox: Loaded, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = release_path(sandbox.workspace.warehouse_dir)
    factory = importlib.import_module("pipelines.defs.factory")
    # The retry policy would wait for minutes; what is tested is the message, not the waiting.
    monkeypatch.setattr(factory, "RETRIES", None)
    raw = [name for name, stage in STAGES.items() if stage.source == source]
    server = sandbox.running.servers[source]
    server.stop()
    try:
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(
                [factory.stage_asset(name) for name in raw[:1]],
                instance=instance,
                partition_key=sandbox.workspace.latest_label.isoformat() if STAGES[raw[0]].is_partitioned else None,
                raise_on_error=False,
            )
            failures = [e for e in result.all_events if e.is_step_failure]
        assert not result.success
        assert len(failures) == 1
        data = failures[0].step_failure_data
        message = data.user_failure_data.description if data.user_failure_data else ""
        assert "asked" in (message or "") and "came" in (message or "")
        status = read_status(sandbox.workspace.warehouse_dir).sources[source]
        assert status.last_error and "the last release stays served" in status.last_error
        with Api(Settings(warehouse_dir=sandbox.workspace.warehouse_dir)) as api:
            assert api.get("/readyz").status_code == 200
            answer = api.get("/api/v1/summary")
            assert answer.status_code == 200
            assert answer.json()["dataVersion"] == before.parent.name
            assert answer.headers["data-freshness"] in ("delayed", "stale")
    finally:
        server.start()
