"""Energy Components over REST: token, paging styles, day windows, what is visible when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipelines.simulators.ec_rest import BASE, TOKEN, EnergyComponentsRest, Paging
from pipelines.simulators.faults import Fault
from pipelines.simulators.replay import ReplayError
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_oauth import ClientCredentials

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FORM = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret", "scope": "ec.read"}
DAYS = 30


def _write(folder: Path) -> None:
    days = [date(2026, 10, 21) + timedelta(days=number // 10) for number in range(DAYS * 10)]
    volumes = pl.DataFrame(
        {
            "OBJECT_CODE": [f"S{number % 10}" for number in range(DAYS * 10)],
            "DAYTIME": days,
            "NET_VOL": [number + 0.125 for number in range(DAYS * 10)],
            "REV_NO": [0] * DAYS * 10,
            "VISIBLE_FROM": [datetime(2026, 10, 21, tzinfo=UTC)] * DAYS * 10,
        }
    )
    correction = volumes.slice(5, 1).with_columns(
        NET_VOL=pl.lit(-1.0), REV_NO=pl.lit(1, pl.Int64), VISIBLE_FROM=pl.lit(NOW + timedelta(hours=1))
    )
    pl.concat([volumes, correction.cast(dict(volumes.schema))]).write_parquet(folder / "DV_STREAM.parquet")
    (folder / "DV_EVENT.csv").write_text(
        "EVENT_NO,DAYTIME,END_DATE,LAST_UPDATED_UTC,OPEN\n"
        "1,2026-11-01T03:00:00,2026-11-01T09:30:00,2026-11-01T10:00:00Z,false\n"
        "2,2026-11-02T00:00:00,,2026-11-02T10:00:00Z,true\n"
    )
    (folder / "PLAIN.csv").write_text("CODE,AMOUNT\nA,1\nB,\n")
    (folder / "views.toml").write_text(
        '[DV_STREAM]\nkey = ["OBJECT_CODE", "DAYTIME"]\n[DV_EVENT]\nday_column = "DAYTIME"\nend_column = "END_DATE"\n'
    )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> EnergyComponentsRest:
    folder = tmp_path_factory.mktemp("ec")
    _write(folder)
    replay = EnergyComponentsReplay(folder)
    return EnergyComponentsRest(replay, ClientCredentials("id", "secret", "ec.read"), clock=Clock(NOW))


@pytest.fixture(scope="module")
def client(system: EnergyComponentsRest) -> Iterator[httpx.Client]:
    with LocalServer(system) as server, httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture(autouse=True)
def _authorised(system: EnergyComponentsRest, client: httpx.Client) -> Iterator[None]:
    token = client.post(TOKEN, data=FORM).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    yield
    system.clock.set(NOW)
    system.paging = "offset"
    system.faults.clear()


def _rows(client: httpx.Client, view: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = client.get(f"{BASE}/views/{view}", params=parameters)
    answer.raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def _follow(client: httpx.Client, **parameters: Any) -> list[float]:
    content = client.get(f"{BASE}/views/DV_STREAM", params=parameters).json()
    volumes = [row["NET_VOL"] for row in content["items"]]
    while content["next"]:
        content = client.get(content["next"]).json()
        volumes += [row["NET_VOL"] for row in content["items"]]
    return volumes


ALL = [number + 0.125 for number in range(DAYS * 10)]


@pytest.mark.parametrize(
    ("paging", "parameters"),
    [("offset", {"limit": 70}), ("page", {"page_size": 70}), ("next_link", {"limit": 70}), ("none", {})],
)
def test_rows_followed_by_next_come_once_each(
    client: httpx.Client, system: EnergyComponentsRest, paging: Paging, parameters: dict[str, int]
) -> None:
    system.paging = paging
    assert _follow(client, **parameters) == ALL


def test_offset_and_total_let_a_client_page_by_itself(client: httpx.Client) -> None:
    content = client.get(f"{BASE}/views/dv_stream", params={"offset": 295, "limit": 100}).json()
    assert content["total"] == 300
    assert [row["NET_VOL"] for row in content["items"]] == ALL[295:]
    assert content["next"] is None


def test_day_window_includes_its_first_day_and_not_its_end(client: httpx.Client) -> None:
    rows = _rows(client, "DV_STREAM", from_day="2026-10-22", to_day="2026-10-24")
    assert {row["DAYTIME"] for row in rows} == {"2026-10-22", "2026-10-23"}
    assert len(rows) == 20


@pytest.mark.parametrize(
    ("first", "end", "events"),
    [
        ("2026-11-01", "2026-11-02", [1]),
        ("2026-11-02", "2026-11-03", [2]),
        ("2026-11-09", "2026-11-10", [2]),
        ("2026-10-01", "2026-11-01", []),
    ],
)
def test_events_are_found_in_every_window_that_they_overlap(
    client: httpx.Client, first: str, end: str, events: list[int]
) -> None:
    assert [row["EVENT_NO"] for row in _rows(client, "DV_EVENT", from_day=first, to_day=end)] == events


def test_values_are_typed_and_missing_ones_null(client: httpx.Client) -> None:
    first, second = _rows(client, "DV_EVENT")
    assert first == {
        "EVENT_NO": 1,
        "DAYTIME": "2026-11-01T03:00:00",
        "END_DATE": "2026-11-01T09:30:00",
        "LAST_UPDATED_UTC": "2026-11-01T10:00:00Z",
        "OPEN": False,
    }
    assert second["END_DATE"] is None
    assert _rows(client, "PLAIN", from_day="2026-01-01", to_day="2026-01-02")[1] == {"CODE": "B", "AMOUNT": None}


def test_correction_is_served_from_its_time_on_and_replaces_the_row(
    client: httpx.Client, system: EnergyComponentsRest
) -> None:
    before = _rows(client, "DV_STREAM")
    assert before[5]["NET_VOL"] == 5.125
    assert "VISIBLE_FROM" not in before[5]
    system.clock.set(NOW + timedelta(hours=2))
    after = _rows(client, "DV_STREAM")
    assert len(after) == len(before)
    assert [row["NET_VOL"] for row in after if row["REV_NO"] == 1] == [-1.0]
    system.clock.set(datetime(2026, 10, 20, tzinfo=UTC))
    assert _rows(client, "DV_STREAM") == []


def test_request_without_a_known_token_is_refused(client: httpx.Client, system: EnergyComponentsRest) -> None:
    system.tokens.revoke()
    answer = client.get(f"{BASE}/views/DV_STREAM")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert client.post(TOKEN, data=FORM | {"client_secret": "x"}).json()["error"] == "invalid_client"
    assert client.post(TOKEN, data=FORM | {"scope": "x"}).json()["error"] == "invalid_scope"


@pytest.mark.parametrize(
    "parameters", [{"from_day": "yesterday"}, {"limit": "0"}, {"limit": "10001"}, {"offset": "-1"}, {"limit": "x"}]
)
def test_parameter_that_is_wrong_is_refused_by_name(client: httpx.Client, parameters: dict[str, str]) -> None:
    answer = client.get(f"{BASE}/views/DV_STREAM", params=parameters)
    assert answer.status_code == 400
    assert next(iter(parameters)) in answer.json()["message"]


def test_unknown_view_and_wrong_method_are_refused(client: httpx.Client) -> None:
    assert client.get(f"{BASE}/views/NOPE").status_code == 404
    assert client.post(f"{BASE}/views/DV_STREAM").status_code == 405


def test_columns_of_a_view_can_be_asked(client: httpx.Client) -> None:
    columns = client.get(f"{BASE}/views/DV_STREAM/columns").json()["items"]
    assert [column["name"] for column in columns] == ["OBJECT_CODE", "DAYTIME", "NET_VOL", "REV_NO"]


def test_data_faults_spoil_pages_units_and_columns(client: httpx.Client, system: EnergyComponentsRest) -> None:
    system.faults.add(Fault(kind="duplicated_page", skip=0))
    assert _follow(client, limit=100) == ALL[:100] + ALL[:100] + ALL[200:]
    system.faults.add(Fault(kind="missing_page", path="offset=100"))
    assert _follow(client, limit=100) == ALL[:100] + ALL[200:]
    system.faults.add(Fault(kind="wrong_unit", column="NET_VOL", factor=1000.0))
    assert _rows(client, "DV_STREAM")[0]["NET_VOL"] == 125.0
    system.faults.add(Fault(kind="schema_drift", column="NET_VOL"))
    assert "NET_VOL" not in _rows(client, "DV_STREAM")[0]
    assert _rows(client, "DV_STREAM")[0]["NET_VOL"] == 0.125


def test_views_toml_with_an_unknown_column_or_view_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "V.csv").write_text("A\n1\n")
    (tmp_path / "views.toml").write_text('[V]\nkey = ["B"]\n')
    with pytest.raises(ReplayError, match="B"):
        EnergyComponentsReplay(tmp_path)
    (tmp_path / "views.toml").write_text('[W]\nkey = ["A"]\n')
    with pytest.raises(ReplayError, match="W"):
        EnergyComponentsReplay(tmp_path)
    (tmp_path / "views.toml").unlink()
    (tmp_path / "V.parquet").write_bytes(b"not parquet")
    with pytest.raises(ReplayError, match="twice"):
        EnergyComponentsReplay(tmp_path)
