"""A source fails in the middle of a read: the lake keeps what it held, the log tells all, the next run makes it whole."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest
from polars.testing import assert_frame_equal

from pipelines import settings
from pipelines.simulators.faults import Fault
from pipelines.simulators.faults_tcp import TcpFault, TcpFaultProxy
from pipelines.simulators.launch import Running, start_simulators
from pipelines.simulators.launch_operator import REFERENCE
from pipelines.sources import ec_oracle
from pipelines.sources.circuit import forget_circuits
from pipelines.sources.config import EcOracleConfig
from pipelines.sources.errors import SourceError
from pipelines.sources.http_retry import HttpPolicy
from pipelines.stages import raw_pi
from pipelines.stages.attempt import run_stage, told
from pipelines.stages.registry import STAGES
from pipelines.stages.workspace import Workspace, label_range, open_workspace
from warehouse.status import SourceStatus, read_status

pytestmark = [
    # The Oracle driver leaves the socket of a broken session to the collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    # The one warning of Dagster that is known (2026-11): a policy of the design that 1.13 still calls beta.
    pytest.mark.filterwarnings("ignore:Parameter `backfill_policy` of function `asset` is:dagster.BetaWarning"),
]

HISTORY_DAYS, PI_DAYS = 14, 6
# The lake is loaded as of some days ago, so that the failing run has both to fill and to correct.
EARLIER = timedelta(days=2)
# Production days that are read, and tags of PI: enough for several answers each, and quick.
EC_DAYS, PI_LABELS, TAGS = 5, 5, 12
QUICK = HttpPolicy(
    connect_seconds=2, read_seconds=2, overall_seconds=4, attempts=2, first_wait_seconds=0.01, circuit_failures=3
)
STAGE_OF = {
    "energy_components": "raw_energy_components__daily",
    "oracle": "raw_energy_components__daily",
    "pi": "raw_pi__recorded_value",
    "sharepoint": "raw_sharepoint__register",
}
DATA_PATH = {"energy_components": "/views/", "pi": "/recorded", "sharepoint": "/items|/content|download"}
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failed")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    with start_simulators("sandbox", data_root=folder, history_days=HISTORY_DAYS, pi_days=PI_DAYS) as systems:
        yield systems


@pytest.fixture(scope="module")
def oracle(folder: Path, running: Running) -> Iterator[Running]:
    with start_simulators(
        "sandbox",
        data_root=folder,
        history_days=HISTORY_DAYS,
        pi_days=PI_DAYS,
        systems=["energy_components"],
        ec="oracle",
    ) as systems:
        yield systems


@pytest.fixture(scope="module")
def operator(folder: Path) -> Path:
    """The sandbox's folder with fewer tags."""
    copied = folder / "few-tags"
    shutil.copytree(REFERENCE / "sandbox", copied)
    lines = (copied / "tags.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (copied / "tags.csv").write_text("".join(lines[: TAGS + 1]), encoding="utf-8")
    return copied


@pytest.fixture(autouse=True)
def quick(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Little patience, and every test with the circuits of a new process; no fault is left behind."""
    monkeypatch.setattr(HttpPolicy, "for_timeout", classmethod(lambda _cls, _seconds: QUICK))
    monkeypatch.setattr(ec_oracle, "ATTEMPTS", 1)
    monkeypatch.setattr(ec_oracle, "_OVERALL", 1.5)
    forget_circuits()
    yield
    for server in running.servers.values():
        server.system.faults.clear()
    forget_circuits()


class Site:
    """A workspace on its own lake, at a clock of its own, beside the source's."""

    def __init__(self, systems: Running, operator: Path, root: Path, **changed: str) -> None:
        self.systems = systems
        variables = systems.environment() | {
            "OPERATOR": str(operator),
            "LAKE_URL": str(root / "lake"),
            "WAREHOUSE_DIR": str(root / "warehouse"),
            **changed,
        }
        self.settings = settings.load(variables)
        self.lines: list[str] = []
        opened = open_workspace(self.settings, report=self.lines.append)
        config = opened.energy_components
        if isinstance(config, EcOracleConfig):
            config = dataclasses.replace(config, timeout_seconds=2.0)
        self.ws = dataclasses.replace(opened, now=lambda: datetime.now(UTC), energy_components=config)

    def at(self, earlier: timedelta) -> Workspace:
        """The workspace as it was that long ago."""
        return dataclasses.replace(self.ws, now=lambda: datetime.now(UTC) - earlier)

    def labels(self, kind: str, ws: Workspace | None = None) -> list[date]:
        last = (ws or self.ws).latest_label
        first = self.ws.latest_label - timedelta(days=(PI_LABELS if kind == "pi" else EC_DAYS) - 1)
        return label_range(first, last)

    def load_earlier(self, kind: str) -> None:
        """What the lake held before: the same days, as far as they were known then."""
        ws = self.at(EARLIER)
        self.systems.clock.skew(-EARLIER)
        try:
            run_stage(STAGES[STAGE_OF[kind]], ws, self.labels(kind, ws))
        finally:
            self.systems.clock.skew(timedelta(0))

    def run(self, kind: str) -> None:
        run_stage(STAGES[STAGE_OF[kind]], self.ws, self.labels(kind))

    def fails(self, kind: str) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.run(kind)
        return caught.value

    def files(self, *tables: str) -> Files:
        """Every file of the lake's tables with its bytes: data, sidecars and what is current."""
        root = self.ws.lake.root
        found = (path for table in tables for path in (root / table).rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    def status(self, source: str) -> SourceStatus:
        return read_status(self.ws.warehouse_dir).sources[source]


@pytest.fixture(scope="module")
def whole(running: Running, operator: Path, folder: Path) -> Callable[[str], Workspace]:
    """A lake that was read in one go without any fault, by kind of source."""
    done: dict[str, Workspace] = {}

    def lake_of(kind: str) -> Workspace:
        if kind not in done:
            site = Site(running, operator, folder / f"whole-{kind}")
            site.run(kind)
            done[kind] = site.ws
        return done[kind]

    return lake_of


def holds_the_same(site: Site, whole: Workspace, kind: str) -> None:
    """The lake is as if nothing had ever failed."""
    stage = STAGES[STAGE_OF[kind]]
    for table in stage.tables:
        if table.endswith("rejected_row"):
            continue
        if stage.is_partitioned:
            labels = site.labels(kind)
            mine, theirs = (ws.lake.read(table, labels[0], labels[-1]) for ws in (site.ws, whole))
        else:
            mine, theirs = (ws.lake.read_snapshot(table) for ws in (site.ws, whole))
        assert_frame_equal(mine, theirs)
        assert stage.is_partitioned or mine.height


SLOW = [pytest.mark.slow]
HTTP_FAULTS = [
    pytest.param({"kind": "truncated", "keep": 0}, id="no byte of the body", marks=SLOW),
    pytest.param({"kind": "truncated", "keep": 1}, id="dropped after one byte", marks=SLOW),
    pytest.param({"kind": "truncated", "keep": 700}, id="dropped after 700 bytes"),
    pytest.param({"kind": "truncated", "skip": 1}, id="dropped in the middle of the second answer"),
    pytest.param({"kind": "cut", "skip": 2}, id="the third answer cut, its length right", marks=SLOW),
    pytest.param({"kind": "garbage", "skip": 3}, id="the fourth answer garbage"),
    pytest.param({"kind": "status", "status": 503}, id="out of service", marks=SLOW),
    pytest.param({"kind": "status", "status": 403, "skip": 1}, id="forbidden from the second answer on", marks=SLOW),
]


@pytest.mark.parametrize("fault", HTTP_FAULTS)
@pytest.mark.parametrize("kind", ["energy_components", "pi", "sharepoint"])
def test_lake_when_a_source_fails_midway_then_it_holds_what_it_held_and_the_next_run_fills_it(
    running: Running, operator: Path, whole: Callable[[str], Workspace], tmp_path: Path, kind: str, fault: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # All labels in one read: what of several reads stands is the matter of another test.
    monkeypatch.setitem(raw_pi.CHUNK_LABELS, "process", PI_LABELS)
    site = Site(running, operator, tmp_path)
    site.load_earlier(kind)
    before = site.files(*STAGES[STAGE_OF[kind]].tables)
    assert before
    running.faults(kind).add(Fault(path=DATA_PATH[kind], times=None, **fault))
    if kind == "sharepoint":
        running.faults("download").add(Fault(path="", times=None, **fault))
    error = site.fails(kind)
    assert site.files(*STAGES[STAGE_OF[kind]].tables) == before
    assert "keep" in told(error)
    for name in ("download", kind):
        if name in running.servers:
            running.faults(name).clear()
    forget_circuits()
    site.run(kind)
    holds_the_same(site, whole(kind), kind)


@pytest.mark.parametrize(
    ("kind_of_fault", "share"),
    [
        ("drop", 0.4),
        ("drop", 0.98),
        pytest.param("garble", 0.05, marks=SLOW),
        pytest.param("garble", 0.4, marks=SLOW),
        pytest.param("garble", 0.75, marks=SLOW),
        pytest.param("drop", 0.05, marks=SLOW),
        pytest.param("drop", 0.75, marks=SLOW),
    ],
)
def test_lake_when_oracle_breaks_at_any_point_then_it_holds_what_it_held_and_the_next_run_fills_it(
    oracle: Running, operator: Path, whole: Callable[[str], Workspace], tmp_path: Path, share: float, kind_of_fault: Any
) -> None:
    with TcpFaultProxy(int(oracle.environment()["EC_DB_PORT"])) as proxy:
        site = Site(oracle, operator, tmp_path, EC_DB_PORT=str(proxy.port))
        tables = STAGES[STAGE_OF["oracle"]].tables
        site.load_earlier("oracle")
        before = site.files(*tables)
        whole_run = Site(oracle, operator, tmp_path / "measured", EC_DB_PORT=str(proxy.port))
        proxy.set(None)
        whole_run.run("oracle")
        proxy.set(TcpFault(kind=kind_of_fault, after_bytes=int(share * proxy.passed), once=True))
        site.fails("oracle")
        assert site.files(*tables) == before
        proxy.set(None)
        forget_circuits()
        site.run("oracle")
    holds_the_same(site, whole("energy_components"), "oracle")


def test_lake_when_the_second_read_of_days_fails_then_the_first_stands_and_is_told(
    running: Running, operator: Path, whole: Callable[[str], Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(raw_pi.CHUNK_LABELS, "process", 2)
    site = Site(running, operator, tmp_path)
    labels = site.labels("pi")
    table = STAGES[STAGE_OF["pi"]].tables[0]
    # The second read is of the third and the fourth day.
    _fail_from(running, site, labels[3])
    error = site.fails("pi")
    assert site.ws.lake.labels(table) == labels[:2]
    assert f"renewed before the failure, and kept: {labels[0]}, {labels[1]}; the others keep what they held" in told(
        error
    )
    assert site.status("pi").last_error == str(error)
    running.faults("pi").clear()
    forget_circuits()
    site.run("pi")
    holds_the_same(site, whole("pi"), "pi")
    status = site.status("pi")
    assert (status.last_error, status.circuit, status.circuit_next_try_at_utc) == (None, "closed", None)
    assert status.percent_good is not None and 0.0 < status.percent_good <= 100.0


def _fail_from(running: Running, site: Site, label: date) -> None:
    """Make every question for PI values fail that begins on the label's date or later."""
    days = "|".join(f"{day}T" for day in [*site.labels("pi"), site.ws.running_label] if day >= label)
    running.faults("pi").add(Fault(kind="status", status=503, path=f"startTime=({days})", times=None))


@pytest.mark.parametrize("kind", ["energy_components", "oracle", "pi", "sharepoint"])
def test_log_when_an_extraction_fails_then_it_names_all_that_a_reader_needs(
    running: Running, oracle: Running, operator: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    systems = oracle if kind == "oracle" else running
    changed = {}
    if kind == "oracle":
        changed["EC_DB_PORT"] = "1"
    else:
        running.faults(kind).add(Fault(kind="status", status=503, path=DATA_PATH[kind], times=None))
    site = Site(systems, operator, tmp_path, **changed)
    labels = site.labels(kind)
    with caplog.at_level(logging.WARNING):
        text = told(site.fails(kind))
    source, dataset, asked, came = {
        "energy_components": ("Energy Components", "stream_day", "asked GET http://", 'came 503 "'),
        "oracle": ("Energy Components", "stream_day", "asked select OBJECT_CODE, DAYTIME", "came DPY-6005"),
        "pi": ("PI Web API", "raw_pi__recorded_value", "asked recorded", 'came 503 "'),
        "sharepoint": ("SharePoint", "business_target", "list Business targets", 'came 503 "'),
    }[kind]
    assert text.startswith(f"{source}, {dataset}")
    if kind != "pi":
        assert asked in text
    assert "; asked " in text or ": asked " in text
    assert came in text
    assert "the next run asks again, the last release stays served" in text
    stage = STAGES[STAGE_OF[kind]]
    assert f"stage {stage.name} (source {stage.source})" in text
    if stage.is_partitioned:
        assert f"production days {labels[0]} to {labels[-1]}: no partition was renewed, all {len(labels)} keep" in text
    else:
        assert "snapshot: what could not be read keeps what it held" in text
    if kind != "oracle":
        # Each attempt before the last has its line as well, with the wait before the next.
        assert any("attempt 1: asked" in record.message and "again in" in record.message for record in caplog.records)


def test_status_when_a_source_stays_away_then_its_circuit_opens_with_the_next_try_and_closes_again(
    running: Running, operator: Path, tmp_path: Path
) -> None:
    site = Site(running, operator, tmp_path)
    running.faults("sharepoint").add(Fault(kind="status", status=503, path="/sites/", times=None))
    for _ in range(3):
        site.fails("sharepoint")
    opened = site.status("sharepoint")
    assert opened.circuit == "open"
    assert opened.circuit_since_utc is not None and opened.circuit_next_try_at_utc is not None
    assert timedelta(0) < opened.circuit_next_try_at_utc - opened.circuit_since_utc <= timedelta(seconds=31)
    asked = len(running.servers["sharepoint"].system.requests)
    error = site.fails("sharepoint")
    assert "the source is not asked for" in str(error)
    assert len(running.servers["sharepoint"].system.requests) == asked
    assert site.status("sharepoint").circuit_since_utc == opened.circuit_since_utc
    running.faults("sharepoint").clear()
    # A new process knows nothing of it.
    forget_circuits()
    site.run("sharepoint")
    closed = site.status("sharepoint")
    assert (closed.circuit, closed.circuit_next_try_at_utc, closed.last_error) == ("closed", None, None)
    assert closed.circuit_since_utc is not None and closed.circuit_since_utc > opened.circuit_since_utc


# In Dagster: what is asked again, what is not, and what of it is recorded


@pytest.fixture
def factory(running: Running, operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The asset factory as another process would import it; modules that know this environment are forgotten again."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("pipelines.def")}
    for name in before:
        del sys.modules[name]
    variables = running.environment() | {
        "OPERATOR": str(operator),
        "LAKE_URL": str(tmp_path / "lake"),
        "WAREHOUSE_DIR": str(tmp_path / "warehouse"),
        "SCHEDULES": "running",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    module = importlib.import_module("pipelines.defs.factory")
    monkeypatch.setattr(module, "NOT_READY_SECONDS", 0.0)
    monkeypatch.setattr(module, "RETRIES", dg.RetryPolicy(max_retries=2))
    yield module
    for name in [name for name in sys.modules if name.startswith("pipelines.def")]:
        del sys.modules[name]
    sys.modules.update(before)


class Ran:
    """What became of a run of one asset."""

    def __init__(self, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, asset: str) -> None:
        self.is_success = result.success
        events = [event.event_type_value for event in result.all_events]
        self.retries = events.count("STEP_RESTARTED")
        self.messages = [entry.message for entry in instance.all_logs(result.run_id)]
        self.days = sorted(instance.get_materialized_partitions(dg.AssetKey(asset)))


def materialized(factory: ModuleType, stage: str, labels: Sequence[date] = ()) -> Ran:
    span = [labels[0].isoformat(), labels[-1].isoformat()] if labels else []
    names = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [factory.stage_asset(stage)],
            instance=instance,
            tags=dict(zip(names, span, strict=False)),
            raise_on_error=False,
        )
        return Ran(instance, result, stage)


def test_dagster_when_a_source_is_not_ready_then_it_is_asked_again_and_the_run_succeeds(
    running: Running, factory: ModuleType
) -> None:
    running.faults("sharepoint").add(Fault(kind="status", status=423, path="/items", times=4))
    ran = materialized(factory, "raw_sharepoint__register")
    assert (ran.is_success, ran.retries) == (True, 2)
    assert sum("; next: asked again in 0 s" in message for message in ran.messages) == 2


def test_dagster_when_a_source_stays_not_ready_then_the_next_scheduled_run_asks(
    running: Running, factory: ModuleType
) -> None:
    running.faults("sharepoint").add(Fault(kind="status", status=423, path="/items", times=None))
    ran = materialized(factory, "raw_sharepoint__register")
    assert (ran.is_success, ran.retries) == (False, factory.NOT_READY_RETRIES)
    last = next(message for message in reversed(ran.messages) if "; next: " in message)
    assert "this run gives up; the next scheduled run asks again at " in last and last.endswith(" UTC")


def test_dagster_when_a_source_is_broken_then_it_is_not_asked_again(running: Running, factory: ModuleType) -> None:
    running.faults("sharepoint").add(Fault(kind="status", status=403, path="/items", times=None))
    ran = materialized(factory, "raw_sharepoint__register")
    assert (ran.is_success, ran.retries) == (False, 0)
    line = next(message for message in ran.messages if "; next: " in message)
    assert line.startswith("SharePoint, business_target: asked page 1 of ")
    assert "list Business targets; came 403" in line
    assert "stage raw_sharepoint__register (source sharepoint), snapshot" in line
    assert "fails until it is corrected" in line


def test_dagster_when_a_source_is_away_then_the_run_asks_again_a_few_times(
    running: Running, factory: ModuleType
) -> None:
    running.faults("sharepoint").add(Fault(kind="status", status=503, path="/items", times=None))
    ran = materialized(factory, "raw_sharepoint__register")
    assert (ran.is_success, ran.retries) == (False, 2)
    assert any("this run asks again soon (retry 1 of 2)" in message for message in ran.messages)


def test_dagster_when_some_days_were_read_before_the_failure_then_only_the_others_are_missing(
    running: Running, operator: Path, factory: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(raw_pi.CHUNK_LABELS, "process", 2)
    monkeypatch.setattr(factory, "RETRIES", dg.RetryPolicy(max_retries=0))
    site = Site(running, operator, tmp_path)
    labels = site.labels("pi")
    # The second read is of the third and the fourth day.
    _fail_from(running, site, labels[3])
    ran = materialized(factory, STAGE_OF["pi"], labels)
    assert not ran.is_success
    assert ran.days == [label.isoformat() for label in labels[:2]]
    line = next(message for message in ran.messages if "; next: " in message)
    assert f"kept: {', '.join(str(label) for label in labels[:2])}; the others keep what they held" in line
    assert site.status("pi").next_run_at_utc is not None
