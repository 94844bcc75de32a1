"""The doctor against the simulated systems: all well, and each fault with its row and its advice."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from pipelines import settings
from pipelines.demo_processes import free_port
from pipelines.doctor.__main__ import main
from pipelines.doctor.examination import Examination, Row
from pipelines.doctor.examine import examine
from pipelines.doctor.pi import examine_pi
from pipelines.simulators.faults import Fault
from pipelines.simulators.launch import Running, start_simulators
from pipelines.simulators.launch_operator import REFERENCE
from pipelines.simulators.pi_web_api import TOKEN, PiAccess, PiWebApi
from pipelines.simulators.replay_pi import PiReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_app import System
from pipelines.simulators.server_oauth import ClientCredentials
from pipelines.sources.circuit import forget_circuits

# The Oracle driver leaves the socket of a broken session to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

Look = Callable[..., dict[str, Row]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctor")


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[Running]:
    with start_simulators("sandbox", data_root=data / "data", history_days=14, pi_days=1) as systems:
        yield systems


@pytest.fixture(scope="module")
def oracle(data: Path, running: Running) -> Iterator[Running]:
    root = data / "data"
    with start_simulators(
        "sandbox", data_root=root, history_days=14, pi_days=1, systems=["energy_components"], ec="oracle"
    ) as systems:
        yield systems


def environment(systems: Running, folder: Path, source: str = "") -> dict[str, str]:
    """The variables of these systems, of one source only when named."""
    prefixes = {"energy_components": ("EC_",), "pi": ("PI_",), "sharepoint": ("SP_",)}.get(
        source, ("EC_", "PI_", "SP_")
    )
    own = {name: value for name, value in systems.environment().items() if name.startswith(prefixes)}
    return own | {"OPERATOR": "sandbox", "LAKE_URL": str(folder / "lake"), "WAREHOUSE_DIR": str(folder / "warehouse")}


@pytest.fixture(autouse=True)
def well(running: Running) -> Iterator[None]:
    forget_circuits()
    yield
    for server in running.servers.values():
        server.system.faults.clear()
    running.clock.skew(timedelta(0))
    forget_circuits()


def rows_of(variables: Mapping[str, str], source: str, seconds: float = 10.0) -> dict[str, Row]:
    exam = examine(settings.load(variables), sources=[source], seconds=seconds, read_seconds=4 * seconds)
    return {row.check: row for row in exam.rows if row.source == source}


@pytest.fixture
def look(running: Running, tmp_path: Path) -> Look:
    """Rows of one source of the sandbox, by check, with variables changed."""

    def rows(source: str, **changed: str) -> dict[str, Row]:
        return rows_of(environment(running, tmp_path, source) | changed, source)

    return rows


def failed(rows: dict[str, Row], check: str, result: str, advice: str) -> None:
    """This check failed with these words; every check that came after it and needs it was not tried."""
    row = rows[check]
    assert row.outcome == "failed", row
    assert result in row.result, row
    assert advice in row.advice, row


def system(running: Running, source: str) -> System:
    return running.servers[source].system


@pytest.mark.parametrize("source", ["energy_components", "sharepoint", "pi"])
def test_doctor_when_all_is_well_then_every_check_passes(look: Look, source: str) -> None:
    rows = look(source)
    assert {row.outcome for row in rows.values()} == {"ok"}, rows
    wanted = {
        "energy_components": {"token", "gateway clock", "rows of stream_day", "rows of cargo"},
        "sharepoint": {"token", "site", "business_target", "lifting_programme"},
        "pi": {"login", "server clock", "points of tags.csv", "values"},
    }
    assert wanted[source] <= set(rows)


def test_doctor_when_oracle_is_well_then_every_check_passes(oracle: Running, tmp_path: Path) -> None:
    rows = rows_of(environment(oracle, tmp_path), "energy_components")
    assert {row.outcome for row in rows.values()} == {"ok"}, rows
    assert {"login", "clock", "privileges", "columns of stream_day", "rows of stream_day"} <= set(rows)


@pytest.mark.parametrize(
    ("source", "setting", "address", "check"),
    [
        ("energy_components", "EC_API_BASE_URL", "http://{}/ec/api/v1", "gateway"),
        ("sharepoint", "SP_GRAPH_BASE_URL", "http://{}/v1.0", "Graph"),
        ("pi", "PI_BASE_URL", "http://{}/piwebapi", "server"),
    ],
)
def test_doctor_when_host_or_port_is_wrong_then_the_setting_is_named(
    look: Look, source: str, setting: str, address: str, check: str
) -> None:
    wrong_host = look(source, **{setting: address.format("no-such-host.invalid:8080")})
    failed(wrong_host, f"{check} name", "does not resolve", setting)
    assert wrong_host[f"{check} port"].outcome == wrong_host[f"{check} answer"].outcome == "not tried"
    refused = look(source, **{setting: address.format(f"127.0.0.1:{free_port()}")})
    failed(refused, f"{check} port", "refuses the connection", setting)
    assert refused[f"{check} clock"].outcome == "not tried"


def test_doctor_when_oracle_host_or_port_is_wrong_then_the_settings_are_named(oracle: Running, tmp_path: Path) -> None:
    variables = environment(oracle, tmp_path)
    wrong_host = rows_of(variables | {"EC_DB_HOST": "no-such-host.invalid"}, "energy_components")
    failed(wrong_host, "listener name", "does not resolve", "EC_DB_HOST")
    refused = rows_of(variables | {"EC_DB_PORT": str(free_port())}, "energy_components")
    failed(refused, "listener port", "refuses the connection", "EC_DB_PORT")
    assert refused["login"].outcome == refused["rows of stream_day"].outcome == "not tried"


def test_doctor_when_a_password_or_secret_is_wrong_then_login_or_token_fails_and_nothing_is_read(
    look: Look, oracle: Running, tmp_path: Path
) -> None:
    pi = look("pi", PI_PASSWORD="wrong-password")
    failed(pi, "login", "401", "PI_USERNAME and PI_PASSWORD")
    assert pi["points of tags.csv"].outcome == "not tried"
    ec = look("energy_components", EC_API_CLIENT_SECRET="wrong-secret")
    failed(ec, "token", "401", "EC_API_CLIENT_SECRET")
    assert ec["rows of stream_day"].outcome == "not tried"
    sharepoint = look("sharepoint", SP_CLIENT_SECRET="wrong-secret")
    failed(sharepoint, "token", "AADSTS7000215", "SP_CLIENT_SECRET")
    assert sharepoint["site"].outcome == sharepoint["business_target"].outcome == "not tried"
    login = rows_of(environment(oracle, tmp_path) | {"EC_DB_PASSWORD": "wrong-password"}, "energy_components")
    failed(login, "login", "ORA-01017", "EC_DB_USER and EC_DB_PASSWORD")
    assert "account locks" in login["login"].advice
    assert login["clock"].outcome == login["columns of stream_day"].outcome == "not tried"


@pytest.mark.parametrize(
    ("source", "path", "check", "advice"),
    [
        ("energy_components", "/views/DV_STRM", "rows of stream_day", "EC_API_TOKEN_URL"),
        ("sharepoint", "/sites/", "site", "SP_TENANT_ID"),
    ],
)
def test_doctor_when_a_token_is_not_taken_then_the_identity_settings_are_named(
    look: Look, running: Running, source: str, path: str, check: str, advice: str
) -> None:
    system(running, source).faults.add(Fault(kind="status", status=401, path=path, times=None))
    failed(look(source), check, "401", advice)


@pytest.mark.parametrize(
    ("source", "path", "check", "advice"),
    [
        ("sharepoint", "/sites/", "site", "Sites.Selected"),
        ("sharepoint", "/lists/Business", "business_target", "SP_CLIENT_ID"),
        ("energy_components", "/views/DV_STRM", "rows of stream_day", "EC_API_CLIENT_ID"),
        ("pi", "/points/multiple|/dataservers", "login", "PI mapping"),
    ],
)
def test_doctor_when_it_is_forbidden_then_the_grant_is_named(
    look: Look, running: Running, source: str, path: str, check: str, advice: str
) -> None:
    system(running, source).faults.add(Fault(kind="status", status=403, path=path, times=None))
    rows = look(source)
    failed(rows, check, "403", advice)
    others = [row for name, row in rows.items() if name != check]
    # The other datasets are still looked at, unless they depend on what failed.
    if check in ("business_target", "rows of stream_day"):
        assert all(row.outcome == "ok" for row in others), others


@pytest.mark.parametrize(
    ("minutes", "outcome", "told"),
    [(-90, "failed", "90 min behind"), (90, "failed", "90 min ahead of"), (3, "warning", "3 min ahead of")],
    ids=["behind", "ahead", "a little"],
)
@pytest.mark.parametrize(
    ("source", "check"), [("energy_components", "gateway clock"), ("sharepoint", "Graph clock"), ("pi", "server clock")]
)
def test_doctor_when_a_clock_is_wrong_then_the_difference_is_told(
    look: Look, running: Running, source: str, check: str, minutes: int, outcome: str, told: str
) -> None:
    running.clock.skew(timedelta(minutes=minutes))
    row = look(source)[check]
    assert row.outcome == outcome
    assert told in row.result, row
    assert "NTP" in row.advice


def test_doctor_when_oracles_clock_is_wrong_then_the_difference_is_told(oracle: Running, tmp_path: Path) -> None:
    oracle.clock.skew(timedelta(hours=-3))
    try:
        rows = rows_of(environment(oracle, tmp_path), "energy_components")
    finally:
        oracle.clock.skew(timedelta(0))
    failed(rows, "clock", "3 h behind", "NTP")
    # A wrong clock keeps nobody from reading.
    assert rows["columns of stream_day"].outcome == "ok"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the sandbox's folder, to be spoilt."""
    folder = tmp_path / "site"
    shutil.copytree(REFERENCE / "sandbox", folder)
    return folder


def edited(folder: Path, name: str, old: str, new: str, count: int = -1) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, count), encoding="utf-8")


def test_doctor_when_a_view_or_column_is_missing_then_oracle_names_it(
    oracle: Running, site: Path, tmp_path: Path
) -> None:
    edited(site, "energy_components.toml", "NET_VOL", "NET_VOLUME")
    edited(site, "energy_components.toml", "from DV_PWEL_DAY_STATUS", "from DV_PWEL_DAY_STATE")
    rows = rows_of(environment(oracle, tmp_path) | {"OPERATOR": str(site)}, "energy_components")
    failed(rows, "columns of stream_day", "has no column NET_VOLUME", "energy_components.toml")
    assert rows["rows of stream_day"].outcome == "not tried"
    failed(rows, "columns of well_day", "view DV_PWEL_DAY_STATE is not visible to EC_READER", "grant SELECT")
    assert rows["columns of tank_day"].outcome == rows["rows of tank_day"].outcome == "ok"


def test_doctor_when_a_field_or_path_is_missing_then_rest_names_it(look: Look, site: Path) -> None:
    edited(site, "energy_components.toml", 'source = "NET_VOL"', 'source = "NET_VOLUME"', 1)
    edited(site, "energy_components.toml", 'path = "/views/DV_PWEL_DAY_STATUS"', 'path = "/views/DV_PWEL_DAY_STATE"')
    rows = look("energy_components", OPERATOR=str(site))
    failed(rows, "rows of stream_day", "NET_VOLUME", "energy_components.toml")
    failed(rows, "rows of well_day", "404", "EC_API_BASE_URL")
    assert rows["rows of tank_day"].outcome == "ok"


def test_doctor_when_a_day_holds_no_row_then_a_warning_says_that_nothing_was_checked(
    look: Look, tmp_path: Path
) -> None:
    rows = look("energy_components", AS_OF=f"{date.today() + timedelta(days=60)}T12:00:00+00:00")
    assert rows["rows of stream_day"].outcome == "warning"
    assert "could be checked" in rows["rows of stream_day"].advice


def test_doctor_when_points_are_missing_then_they_are_named(look: Look, running: Running, site: Path) -> None:
    tags = pl.read_csv(site / "tags.csv", infer_schema=False)
    known = str(tags["tag_name"][0])
    edited(site, "tags.csv", f",{known},", ",NO.SUCH.TAG,", 1)
    rows = look("pi", OPERATOR=str(site))
    failed(
        rows,
        "points of tags.csv",
        f"1 of {tags.height} tags have no point, or it may not be seen: NO.SUCH.TAG",
        "tags.csv",
    )
    assert "point security" in rows["points of tags.csv"].advice
    # The others are read all the same.
    assert rows["values"].outcome == "ok"


def test_doctor_when_the_tag_register_names_unknown_points_then_they_are_named(
    running: Running, tmp_path: Path
) -> None:
    loaded = settings.load(environment(running, tmp_path, "pi"))
    assert loaded.pi is not None
    exam = Examination()
    examine_pi(exam, loaded.pi, {}, {"UNKNOWN.IN.REGISTER"}, now=running.clock.now)
    row = {row.check: row for row in exam.rows}["points of the tag register"]
    assert row.outcome == "failed"
    assert "UNKNOWN.IN.REGISTER" in row.result and "SharePoint" in row.advice


def test_doctor_when_pi_gives_tokens_then_a_wrong_secret_and_a_wrong_issuer_are_told(
    running: Running, tmp_path: Path
) -> None:
    client = ClientCredentials("production-gap", "secret-of-pi", "system")
    system = PiWebApi(PiReplay(running.data_folder / "pi"), PiAccess(method="Bearer", client=client))
    with LocalServer(system) as server:
        base = environment(running, tmp_path) | {
            "PI_BASE_URL": f"{server.url}/piwebapi",
            "PI_AUTH_MODE": "bearer",
            "PI_CLIENT_ID": client.client_id,
            "PI_CLIENT_SECRET": client.client_secret,
            "PI_TOKEN_URL": f"{server.url}{TOKEN}",
        }
        well = rows_of(base, "pi")
        wrong_secret = rows_of(base | {"PI_CLIENT_SECRET": "not-the-one-5c1e"}, "pi")
        wrong_scope = rows_of(base | {"PI_SCOPE": "api://else"}, "pi")
        wrong_issuer = rows_of(base | {"PI_TOKEN_URL": f"http://127.0.0.1:{free_port()}/token"}, "pi")
    assert {row.outcome for row in well.values()} == {"ok"}, well
    failed(wrong_secret, "token", "invalid_client", "PI_CLIENT_SECRET")
    failed(wrong_scope, "token", "invalid_scope", "PI_SCOPE")
    failed(wrong_issuer, "issuer port", "refuses the connection", "PI_TOKEN_URL")
    assert [rows["login"].outcome for rows in (wrong_secret, wrong_scope, wrong_issuer)] == ["not tried"] * 3


def test_doctor_when_a_list_column_or_workbook_is_missing_then_what_there_is_is_told(look: Look, site: Path) -> None:
    edited(site, "sharepoint.toml", 'value = "Target"', 'value = "Goal"')
    edited(site, "sharepoint.toml", 'name = "Capacity register"', 'name = "Capacities"')
    edited(site, "sharepoint.toml", "Lifting programme.xlsx", "Lifting plan.xlsx")
    edited(site, "sharepoint.toml", 'sheet = "Tags"', 'sheet = "Points"')
    rows = look("sharepoint", OPERATOR=str(site))
    failed(rows, "business_target", "Goal", "sharepoint.toml")
    assert "Target" in rows["business_target"].result
    failed(rows, "capacity_register", "404", "sharepoint.toml")
    failed(rows, "lifting_programme", "404", "SP_DRIVE_ID")
    failed(rows, "tag_register", "sheets Tags", "sharepoint.toml")


def test_doctor_when_a_list_id_cannot_be_used_then_a_warning_says_why(look: Look) -> None:
    row = look("sharepoint", SP_LIST_ID="5f6d")["SP_LIST_ID"]
    assert (row.outcome, "maps 2 lists" in row.result) == ("warning", True)


def test_doctor_when_a_server_hangs_then_each_check_ends_in_time(running: Running, tmp_path: Path) -> None:
    system(running, "pi").faults.add(Fault(kind="hang", seconds=60.0, times=None))
    rows = rows_of(environment(running, tmp_path, "pi"), "pi", seconds=0.6)
    assert rows["server port"].outcome == "ok"
    assert rows["server answer"].outcome == "failed"
    assert rows["login"].outcome == "not tried"


def test_command_when_all_is_well_then_prints_the_table_and_gives_0(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(running, tmp_path, "sharepoint").items():
        monkeypatch.setenv(name, value)
    assert main(["--source", "sharepoint"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [part.strip() for part in lines[0].split("|")] == ["source", "check", "result", "what to do"]
    assert "FAILED" not in "".join(lines) and "checks:" in lines[-1]


def test_command_when_a_check_fails_then_its_process_ends_with_1(running: Running, tmp_path: Path) -> None:
    variables = environment(running, tmp_path, "sharepoint") | {"SP_CLIENT_SECRET": "wrong-secret"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EC_", "PI_", "SP_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.doctor", "--source", "sharepoint"],
        env=inherited | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, ""), done.stdout
    assert "FAILED" in done.stdout and "SP_CLIENT_SECRET" in done.stdout


def test_dagster_job_when_a_check_fails_then_the_run_fails_with_the_advice_in_its_log(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = importlib.import_module("pipelines.defs.doctor")
    monkeypatch.setattr(job, "settings", lambda: settings.load(environment(running, tmp_path, "sharepoint")))
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.doctor.execute_in_process(instance=instance, raise_on_error=False)
        assert result.success
        system(running, "sharepoint").faults.add(Fault(kind="status", status=403, path="/sites/", times=None))
        ill = job.doctor.execute_in_process(instance=instance, raise_on_error=False)
        messages = [event.message for event in instance.all_logs(ill.run_id)]
    assert not ill.success
    (failure,) = [event.step_failure_data for event in ill.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "Sites.Selected" in str(failure.user_failure_data.description)
    assert any("sharepoint | site | FAILED" in message for message in messages)
