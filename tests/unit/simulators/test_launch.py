"""Starting an operator's source systems: the real Volve slice, small folders anywhere, the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import oracledb
import polars as pl
import pytest

from pipelines.simulators.__main__ import main, write_environment
from pipelines.simulators.launch import start_simulators
from pipelines.simulators.launch_operator import OperatorError, load_operator
from pipelines.simulators.server import ServerStartError

ROOT = Path(__file__).resolve().parents[3]
ORACLE = json.loads((ROOT / "tests" / "data" / "volve" / "oracle.json").read_text(encoding="utf-8"))
TOTALS = ("BORE_OIL_VOL", "BORE_GAS_VOL", "BORE_WAT_VOL", "BORE_WI_VOL", "ON_STREAM_HRS")

OPERATOR = """
operator = "small"
is_synthetic = true
zone = "Europe/Oslo"
day_start = "06:00"
{as_of}
[sources.energy_components]
[sources.pi]
[sources.sharepoint]
[simulator]
{simulator}
"""


def _operator(folder: Path, simulator: str = 'data = "data"', as_of: str = "") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "operator.toml").write_text(OPERATOR.format(simulator=simulator, as_of=as_of))
    return str(folder)


def _data(folder: Path) -> None:
    (folder / "energy_components").mkdir(parents=True)
    (folder / "energy_components" / "DV_X.csv").write_text("DAYTIME,VOL\n2026-11-01,1.5\n")
    (folder / "pi" / "values").mkdir(parents=True)
    (folder / "pi" / "points.csv").write_text("Name,Id\nA,1\n")
    (folder / "pi" / "values" / "v.csv").write_text("Name,Timestamp,Value\nA,2026-11-01T00:00:00Z,2.5\n")
    (folder / "sharepoint" / "lists").mkdir(parents=True)
    (folder / "sharepoint" / "lists" / "L.csv").write_text("Title\nA\n")
    (folder / "sharepoint" / "drive").mkdir()
    (folder / "sharepoint" / "drive" / "a.txt").write_text("file")


def _ec_token(variables: dict[str, str]) -> dict[str, str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": variables["EC_API_CLIENT_ID"],
        "client_secret": variables["EC_API_CLIENT_SECRET"],
        "scope": variables["EC_API_SCOPE"],
    }
    token = httpx.post(variables["EC_API_TOKEN_URL"], data=form).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("operator", ["volve", "volve-absent-down"])
def test_volve_totals_through_ec_rest_equal_the_oracle(operator: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    with start_simulators(operator, data_root=tmp_path) as running:
        variables = running.environment()
        url: str | None = f"{variables['EC_API_BASE_URL']}/views/DV_VOLVE_DAY?limit=3000"
        with httpx.Client(headers=_ec_token(variables)) as client:
            while url is not None:
                page = client.get(url).json()
                rows += page["items"]
                url = page["next"]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    assert frame.height == ORACLE["rows"]
    assert (frame["DATEPRD"].min(), frame["DATEPRD"].max()) == (ORACLE["from"], ORACLE["to"])
    for column in TOTALS:
        assert frame[column].sum() == pytest.approx(ORACLE["totals"][column], rel=1e-9)
    by_well = dict(frame.group_by("WELL_BORE_CODE").agg(pl.col("BORE_OIL_VOL").sum()).rows())
    assert by_well == pytest.approx(ORACLE["oil_by_well"])


def test_volve_totals_through_oracle_equal_the_oracle(tmp_path: Path) -> None:
    with start_simulators("volve", data_root=tmp_path, ec="oracle") as running:
        variables = running.environment()
        connection = oracledb.connect(
            user=variables["EC_DB_USER"],
            password=variables["EC_DB_PASSWORD"],
            host=variables["EC_DB_HOST"],
            port=int(variables["EC_DB_PORT"]),
            service_name=variables["EC_DB_SERVICE_NAME"],
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "select DATEPRD, BORE_OIL_VOL from DV_VOLVE_DAY where DATEPRD < :to_day", to_day=datetime(2013, 1, 1)
            )
            rows = cursor.fetchall()
    assert len(rows) == ORACLE["rows"]
    assert sum(row[1] or 0.0 for row in rows) == pytest.approx(ORACLE["totals"]["BORE_OIL_VOL"], rel=1e-9)


def test_volve_clock_is_the_sites_as_of_unless_given(tmp_path: Path) -> None:
    with start_simulators("volve", data_root=tmp_path, systems=[]) as running:
        assert running.clock.now() == datetime(2012, 12, 31, 23, tzinfo=UTC)
    later = datetime(2014, 1, 1, tzinfo=UTC)
    with start_simulators("volve", data_root=tmp_path, systems=[], now=later) as running:
        assert running.clock.now() == later


@pytest.fixture
def small(tmp_path: Path) -> str:
    _data(tmp_path / "site" / "data")
    return _operator(tmp_path / "site", as_of='as_of = "2026-11-02T06:00:00+01:00"')


def test_every_system_of_a_folder_anywhere_answers_at_its_variables(small: str, tmp_path: Path) -> None:
    lines: list[str] = []
    with start_simulators(small, data_root=tmp_path, progress=lines.append) as running:
        variables = running.environment()
        rows = httpx.get(f"{variables['EC_API_BASE_URL']}/views/DV_X", headers=_ec_token(variables)).json()
        assert rows["items"] == [{"DAYTIME": "2026-11-01", "VOL": 1.5}]
        user = (variables["PI_USERNAME"], variables["PI_PASSWORD"])
        point = httpx.get(f"{variables['PI_BASE_URL']}/points", params={"path": r"\\PISRV01\A"}, auth=user).json()
        value = httpx.get(f"{variables['PI_BASE_URL']}/streams/{point['WebId']}/end", auth=user).json()
        assert value["Value"] == 2.5
        form = {
            "grant_type": "client_credentials",
            "client_id": variables["SP_CLIENT_ID"],
            "client_secret": variables["SP_CLIENT_SECRET"],
            "scope": variables["SP_GRAPH_SCOPE"],
        }
        token_url = f"{variables['SP_AUTHORITY']}/{variables['SP_TENANT_ID']}/oauth2/v2.0/token"
        headers = {"Authorization": f"Bearer {httpx.post(token_url, data=form).json()['access_token']}"}
        graph = variables["SP_GRAPH_BASE_URL"]
        items = httpx.get(
            f"{graph}/sites/{variables['SP_SITE_ID']}/lists/L/items?$expand=fields", headers=headers
        ).json()
        assert items["value"][0]["fields"]["Title"] == "A"
        content = f"{graph}/drives/{variables['SP_DRIVE_ID']}/root:/a.txt:/content"
        assert httpx.get(content, headers=headers, follow_redirects=True).text == "file"
        addresses = [server.url for server in running.servers.values()]
    assert len(lines) == 3
    for address in addresses:
        with pytest.raises(httpx.ConnectError):
            httpx.get(address)


def test_only_the_systems_asked_for_start(small: str, tmp_path: Path) -> None:
    with start_simulators(small, data_root=tmp_path, systems=["pi"]) as running:
        assert set(running.servers) == {"pi"}
        assert not any(name.startswith(("EC_", "SP_")) for name in running.environment())
    with pytest.raises(OperatorError, match="sharepoint"):
        start_simulators("volve", data_root=tmp_path, systems=["sharepoint"])


def test_one_system_that_cannot_start_leaves_none_running(small: str, tmp_path: Path) -> None:
    with start_simulators(small, data_root=tmp_path, systems=["pi"]) as first:
        taken = first.servers["pi"].port
        lines: list[str] = []
        with pytest.raises(ServerStartError, match=str(taken)):
            start_simulators(small, data_root=tmp_path, ports={"pi": taken}, progress=lines.append)
    assert [line.split()[0] for line in lines] == ["energy_components"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(lines[0].split()[-1])


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """A generator that notes how it was asked and writes a small folder."""
    calls: list[dict[str, Any]] = []

    def generate(site_folder: Path, data_folder: Path, **asked: Any) -> None:
        calls.append(asked)
        _data(data_folder)

    module = types.ModuleType("pipelines.simulators.field")
    module.generate = generate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pipelines.simulators.field", module)
    yield calls


def test_generated_data_is_made_once_and_again_when_it_is_of_another_day_or_length(
    generated: list[dict[str, Any]], tmp_path: Path
) -> None:
    operator = _operator(tmp_path / "site", 'generator = "sandbox"\nseed = 5')

    def start(now: datetime, history_days: int = 20) -> None:
        start_simulators(
            operator, data_root=tmp_path / "var", now=now, history_days=history_days, systems=["energy_components"]
        ).stop()

    morning, evening = datetime(2026, 11, 2, 6, tzinfo=UTC), datetime(2026, 11, 3, 4, 59, tzinfo=UTC)
    start(morning)
    start(evening)
    assert len(generated) == 1
    assert (generated[0]["seed"], generated[0]["history_days"], generated[0]["pi_days"]) == (5, 20, 14)
    start(datetime(2026, 11, 3, 5, tzinfo=UTC))
    assert len(generated) == 2
    start(datetime(2026, 11, 3, 5, tzinfo=UTC), history_days=30)
    assert len(generated) == 3
    (tmp_path / "site" / "wells.csv").write_text("changed\n")
    start(datetime(2026, 11, 3, 5, tzinfo=UTC), history_days=30)
    assert len(generated) == 4


def test_generation_that_fails_leaves_no_folder_to_be_taken_for_whole(
    generated: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("interrupted")

    monkeypatch.setattr(sys.modules["pipelines.simulators.field"], "generate", fail)
    with pytest.raises(RuntimeError, match="interrupted"):
        start_simulators(_operator(tmp_path / "site", 'generator = "sandbox"'), data_root=tmp_path / "var")
    assert not (tmp_path / "var" / "site").exists()


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        ('generator = "dice"', "dice"),
        ('data = "nowhere"', "nowhere"),
        ("", "data"),
        ('data="a"\ngenerator="b"', "both"),
    ],
)
def test_operator_that_cannot_be_simulated_says_why(tmp_path: Path, simulator: str, message: str) -> None:
    operator = _operator(tmp_path / "site", simulator)
    with pytest.raises(OperatorError, match=message):
        start_simulators(operator, data_root=tmp_path)


def test_unknown_operator_names_those_that_exist() -> None:
    with pytest.raises(OperatorError, match="volve"):
        load_operator("atlantis")


def test_environment_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "env"
    write_environment(path, {"A": "1", "B": "two"})
    assert path.read_text() == "A=1\nB=two\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["env"]


def test_command_with_an_unknown_operator_ends_with_one_and_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--operator", "atlantis", "--data-root", str(tmp_path)]) == 1
    assert "atlantis" in capsys.readouterr().err


def test_command_serves_until_terminated_and_stops_cleanly(small: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    arguments = ["--operator", small, "--data-root", str(tmp_path), "--environment-file", str(file)]
    command = [sys.executable, "-m", "pipelines.simulators", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            lines = []
            while not lines or "Ctrl-C" not in lines[-1]:
                line = process.stdout.readline()
                assert line, f"ended early after {lines}"
                lines.append(line)
            variables = dict(line.split("=", 1) for line in file.read_text().splitlines())
            assert httpx.get(variables["PI_BASE_URL"]).status_code == 401
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert process.stdout.read().splitlines()[-1] == "stopped"
        finally:
            process.kill()
