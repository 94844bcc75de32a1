"""What the simulated systems tell of changes: stamps, edits while they serve, forgotten places, and how much they served."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from pipelines.simulators.ec_rest import BASE, TOKEN, EnergyComponentsRest
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.simulators.replay_sharepoint import Item, SharePointList
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_oauth import ClientCredentials

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FORM = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret", "scope": "ec.read"}


@pytest.fixture
def system(tmp_path: Path) -> EnergyComponentsRest:
    pl.DataFrame(
        {
            "OBJECT_CODE": ["A", "B", "C"],
            "DAYTIME": [date(2026, 11, 18)] * 3,
            "NET_VOL": [1.0, 2.0, 3.0],
            "REV_NO": [1, 1, 1],
            "LAST_UPDATED_UTC": [NOW - timedelta(hours=2), NOW - timedelta(hours=1), None],
        }
    ).write_parquet(tmp_path / "DV_DAY.parquet")
    (tmp_path / "TEXTS.csv").write_text("CODE,LAST_UPDATED_UTC\nA,2026-11-20 10:00\nB,2026-11-20 11:30\n")
    (tmp_path / "PLAIN.csv").write_text("CODE,AMOUNT\nA,1\n")
    (tmp_path / "views.toml").write_text('[DV_DAY]\nkey = ["OBJECT_CODE", "DAYTIME"]\n')
    return EnergyComponentsRest(
        EnergyComponentsReplay(tmp_path), ClientCredentials("id", "secret", "ec.read"), clock=Clock(NOW)
    )


@pytest.fixture
def client(system: EnergyComponentsRest) -> Iterator[httpx.Client]:
    with LocalServer(system) as server, httpx.Client(base_url=server.url) as made:
        token = made.post(TOKEN, data=FORM).json()["access_token"]
        made.headers["Authorization"] = f"Bearer {token}"
        yield made


def codes(client: httpx.Client, view: str, since: str) -> list[str]:
    items = client.get(f"{BASE}/views/{view}", params={"updated_since": since}).json()["items"]
    return [str(item.get("OBJECT_CODE") or item.get("CODE")) for item in items]


def test_changes_when_asked_then_the_bound_is_included_and_unstamped_rows_are_not(client: httpx.Client) -> None:
    assert codes(client, "DV_DAY", "2026-11-20T11:00:00Z") == ["B"]
    assert codes(client, "DV_DAY", "2026-11-20T11:00:01Z") == []
    assert codes(client, "DV_DAY", "2026-11-20T11:00:00+01:00") == ["A", "B"]
    assert codes(client, "TEXTS", "2026-11-20T11:00:00") == ["B"]


def test_changes_when_the_view_or_the_instant_does_not_allow_it_then_is_refused(client: httpx.Client) -> None:
    for view, since in (("PLAIN", "2026-11-20T11:00:00Z"), ("DV_DAY", "yesterday")):
        assert client.get(f"{BASE}/views/{view}", params={"updated_since": since}).status_code == 400


def test_rows_when_they_are_edited_while_served_then_they_are_seen_at_once(
    client: httpx.Client, system: EnergyComponentsRest
) -> None:
    view = system.replay.views["DV_DAY"]
    view.visible(NOW)
    row = {"OBJECT_CODE": "A", "DAYTIME": date(2026, 11, 18), "NET_VOL": 9.0, "REV_NO": 2, "LAST_UPDATED_UTC": NOW}
    before = view.version(NOW)
    view.put(row)
    assert view.version(NOW) != before
    assert codes(client, "DV_DAY", "2026-11-20T12:00:00Z") == ["A"]
    view.remove(pl.col("OBJECT_CODE") == "B")
    assert view.visible(NOW)["OBJECT_CODE"].to_list() == ["C", "A"]


def test_counts_when_rows_are_served_then_they_are_told_and_can_be_begun_again(client: httpx.Client) -> None:
    codes(client, "DV_DAY", "2026-11-01T00:00:00Z")
    assert client.get("/__simulator/counts").json() == {"counts": {"rows": 2}}
    assert client.delete("/__simulator/counts").json() == {"counts": {}}


def test_list_when_changes_are_forgotten_then_older_places_are_unknown() -> None:
    listed = SharePointList("Targets", [], [Item(1, {}, NOW)])
    listed.put(1, {"a": 1}, NOW)
    _, _, place = listed.changes(0)
    assert listed.oldest == 0
    listed.forget_changes()
    _, _, latest = listed.changes(0)
    assert place < listed.oldest <= latest
