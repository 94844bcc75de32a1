"""The simulated Microsoft Graph: token, site, lists, paging, changes, drive and downloads."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import polars as pl
import pytest

from pipelines.simulators.graph import Graph, GraphSite
from pipelines.simulators.graph_drive import DownloadHost, DownloadLinks, quick_xor_hash
from pipelines.simulators.replay_sharepoint import SharePointReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_oauth import ClientCredentials

NOW = datetime(2026, 11, 2, tzinfo=UTC)
OSLO = ZoneInfo("Europe/Oslo")
SITE = GraphSite(tenant="tenant", host="plant.sharepoint.example")
SCOPE = "https://graph.microsoft.com/.default"
FORM = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret", "scope": SCOPE}
ROWS = 450


def _write(folder: Path) -> None:
    (folder / "lists").mkdir(parents=True)
    (folder / "drive" / "Lifting").mkdir(parents=True)
    targets = pl.DataFrame(
        {
            "Title": [f"T{number}" for number in range(ROWS)],
            "Oil rate": [float(number) if number % 2 else None for number in range(ROWS)],
            "Valid from": [date(2024, 3, 1)] * ROWS,
            "Approved": [True] * ROWS,
            "Published at": [datetime(2024, 2, 1, 12, tzinfo=UTC)] * ROWS,
            "Hub": ["4"] * ROWS,
        }
    )
    targets.write_parquet(folder / "lists" / "Business targets.parquet")
    (folder / "lists" / "Business targets.columns.toml").write_text(
        '["Oil rate"]\ninternal = "Oil_x0020_Rate"\nkind = "number"\n[Hub]\ninternal = "Hub"\nkind = "lookup"\n'
    )
    (folder / "lists" / "Short.csv").write_text("Title,When\nA,2024-07-01\n", encoding="utf-8")
    (folder / "drive" / "Lifting" / "programme.xlsx").write_bytes(b"PK\x03\x04" + bytes(range(256)) * 4)
    (folder / "drive" / "note.txt").write_text("hello")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharepoint")
    _write(folder)
    return folder


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[Graph]:
    clock = Clock(NOW)
    links = DownloadLinks(clock)
    with LocalServer(DownloadHost(links, clock=clock)) as download:
        links.origin = download.url
        replay = SharePointReplay(folder, zone=OSLO)
        yield Graph(replay, SITE, ClientCredentials("id", "secret", SCOPE), links=links, clock=clock)


@pytest.fixture(scope="module")
def server(system: Graph) -> Iterator[LocalServer]:
    with LocalServer(system) as server:
        yield server


@pytest.fixture
def client(server: LocalServer, system: Graph, folder: Path) -> Iterator[httpx.Client]:
    system.replay.lists = SharePointReplay(folder, zone=OSLO).lists
    system.renew_quota()
    with httpx.Client(base_url=server.url) as client:
        token = client.post("/tenant/oauth2/v2.0/token", data=FORM).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client
    system.units_per_minute = 1200
    system.clock.set(NOW)


def _list_url(name: str = "Business targets") -> str:
    return f"/v1.0/sites/{SITE.site_id}/lists/{name}"


def _pages(client: httpx.Client, url: str) -> tuple[list[dict[str, Any]], str]:
    items: list[dict[str, Any]] = []
    while True:
        content = client.get(url).json()
        items += content["value"]
        if "@odata.nextLink" not in content:
            return items, content.get("@odata.deltaLink", "")
        url = content["@odata.nextLink"]


def test_token_with_a_wrong_secret_names_the_vendors_code(client: httpx.Client) -> None:
    answer = client.post("/tenant/oauth2/v2.0/token", data=FORM | {"client_secret": "no"})
    assert answer.status_code == 401
    assert answer.json()["error_codes"] == [7000215]


def test_request_without_a_token_is_refused_in_graphs_body(client: httpx.Client) -> None:
    answer = client.get("/v1.0/sites/x", headers={"Authorization": "Bearer none"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"
    assert answer.headers["request-id"] == answer.json()["error"]["innerError"]["request-id"]


def test_site_is_found_by_path_and_by_id_with_encoded_commas(client: httpx.Client) -> None:
    by_path = client.get(f"/v1.0/sites/{SITE.host}:{SITE.path}").json()
    by_id = client.get("/v1.0/sites/" + SITE.site_id.replace(",", "%2C")).json()
    assert by_path["id"] == by_id["id"] == SITE.site_id


def test_list_is_found_by_display_name_and_id(client: httpx.Client) -> None:
    named = client.get(_list_url()).json()
    assert client.get(_list_url(named["id"])).json()["displayName"] == "Business targets"
    assert client.get(_list_url("Nothing")).json()["error"]["code"] == "itemNotFound"
    assert len(client.get(f"/v1.0/sites/{SITE.site_id}/lists").json()["value"]) == 2


def test_columns_map_display_names_to_internal_ones(client: httpx.Client) -> None:
    columns = {column["displayName"]: column for column in client.get(f"{_list_url()}/columns").json()["value"]}
    assert columns["Oil rate"]["name"] == "Oil_x0020_Rate"
    assert "number" in columns["Oil rate"]
    assert columns["Valid from"]["dateTime"]["format"] == "dateOnly"
    assert columns["Title"]["name"] == "Title"


def test_items_paged_by_opaque_links_come_once_each(client: httpx.Client) -> None:
    first = client.get(f"{_list_url()}/items?$expand=fields($select=Title)").json()
    assert len(first["value"]) == 200
    assert "Paged%3dTRUE%26p_ID%3d200" in first["@odata.nextLink"]
    items, _ = _pages(client, f"{_list_url()}/items?$expand=fields($select=Title)&$top=70")
    assert [item["fields"]["Title"] for item in items] == [f"T{number}" for number in range(ROWS)]
    assert [item["id"] for item in items[:2]] == ["1", "2"]


def test_fields_are_typed_as_sharepoint_types_them(client: httpx.Client) -> None:
    even, odd = client.get(f"{_list_url()}/items?$expand=fields&$top=2").json()["value"]
    assert "Oil_x0020_Rate" not in even["fields"]
    assert odd["fields"]["Oil_x0020_Rate"] == 1.0
    assert odd["fields"]["field_3"] == "2024-02-29T23:00:00Z"
    assert odd["fields"]["field_4"] is True
    assert odd["fields"]["field_5"] == "2024-02-01T12:00:00Z"
    assert odd["fields"]["HubLookupId"] == "4"
    assert "Hub" not in odd["fields"]
    assert odd["fields"]["id"] == "2"
    summer = client.get(f"{_list_url('Short')}/items?$expand=fields").json()["value"][0]
    assert summer["fields"]["field_2"] == "2024-06-30T22:00:00Z"
    assert "fields" not in client.get(f"{_list_url('Short')}/items").json()["value"][0]


def test_filter_and_skip_are_refused(client: httpx.Client) -> None:
    answer = client.get(f"{_list_url()}/items?$filter=fields/Title eq 'T1'")
    assert answer.status_code == 400
    assert "not indexed" in answer.json()["error"]["message"]
    assert client.get(f"{_list_url()}/items?$skip=5").status_code == 400


def test_delta_gives_all_then_only_what_changed(client: httpx.Client, system: Graph) -> None:
    items, link = _pages(client, f"{_list_url()}/items/delta?$expand=fields&$top=300")
    assert len(items) == ROWS
    assert _pages(client, link)[0] == []
    targets = system.replay.lists["Business targets"]
    targets.put(3, {"Title": "changed"}, NOW)
    targets.delete(7)
    changed, later = _pages(client, link)
    assert [item["id"] for item in changed] == ["3", "7"]
    assert changed[0]["fields"]["Title"] == "changed"
    assert changed[1]["deleted"] == {"state": "deleted"}
    assert _pages(client, later)[0] == []


def test_delta_with_an_unknown_token_asks_for_a_resync(client: httpx.Client) -> None:
    answer = client.get(f"{_list_url()}/items/delta?token=999")
    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "resyncChangesApplyDifferences"
    assert len(_pages(client, answer.headers["location"])[0]) == ROWS


def test_content_redirects_to_another_host_that_refuses_authorization(client: httpx.Client, system: Graph) -> None:
    url = f"/v1.0/drives/{SITE.drive_id}/root:/Lifting/programme.xlsx"
    about = client.get(url).json()
    answer = client.get(f"{url}:/content")
    assert answer.status_code == 302
    target = answer.headers["location"]
    assert httpx.URL(target).port != client.base_url.port
    assert httpx.get(target, headers={"Authorization": "Bearer x"}).status_code == 401
    content = httpx.get(target).content
    assert len(content) == about["size"]
    assert quick_xor_hash(content) == about["file"]["hashes"]["quickXorHash"]
    assert httpx.get(target, headers={"Range": "bytes=0-3"}).content == b"PK\x03\x04"
    system.clock.advance(timedelta(minutes=10))
    assert httpx.get(target).status_code == 404


def test_redirect_followed_by_a_client_gives_the_file(client: httpx.Client) -> None:
    url = f"/v1.0/drives/{SITE.drive_id}/root:/note.txt:/content"
    assert client.get(url, follow_redirects=True).text == "hello"


def test_unchanged_file_answers_304_and_a_changed_one_gets_another_c_tag(client: httpx.Client, folder: Path) -> None:
    url = f"/v1.0/drives/{SITE.drive_id}/root:/note.txt"
    tag = client.get(url).json()["cTag"]
    assert client.get(f"{url}:/content", headers={"If-None-Match": tag}).status_code == 304
    try:
        (folder / "drive" / "note.txt").write_text("hello again")
        assert client.get(url, headers={"If-None-Match": tag}).json()["cTag"] != tag
    finally:
        (folder / "drive" / "note.txt").write_text("hello")


def test_children_are_listed_and_items_found_by_id(client: httpx.Client) -> None:
    children, _ = _pages(client, f"/v1.0/drives/{SITE.drive_id}/root/children?$top=1")
    assert [child["name"] for child in children] == ["Lifting", "note.txt"]
    inside = client.get(f"/v1.0/drives/{SITE.drive_id}/items/{children[0]['id']}/children").json()["value"]
    assert inside[0]["name"] == "programme.xlsx"
    assert client.get(f"/v1.0/drives/{SITE.drive_id}/items/{inside[0]['id']}").json()["size"] == 1028


def test_path_that_leaves_the_drive_is_not_found(client: httpx.Client) -> None:
    url = f"/v1.0/drives/{SITE.drive_id}/root:/%2E%2E/lists/Short.csv"
    assert client.get(url).status_code == 404


def test_quota_shows_in_headers_when_little_is_left_and_then_throttles(client: httpx.Client, system: Graph) -> None:
    assert "ratelimit-limit" not in client.get(_list_url()).headers
    system.units_per_minute = 5
    client.get(f"{_list_url()}/items")
    headers = client.get(_list_url()).headers
    assert (headers["ratelimit-limit"], headers["ratelimit-remaining"]) == ("5", "1")
    assert client.get(_list_url()).status_code == 200
    throttled = client.get(_list_url())
    assert throttled.status_code == 429
    assert throttled.json()["error"]["innerError"]["code"] == "throttledRequest"
    assert int(throttled.headers["retry-after"]) >= 1


@pytest.mark.parametrize("size", [0, 1, 19, 20, 159, 160, 161, 5000])
def test_quick_xor_hash_equals_the_definition_bit_by_bit(size: int) -> None:
    content = bytes((number * 37 + 11) % 256 for number in range(size))
    ring = [0] * 160
    for index, byte in enumerate(content):
        for bit in range(8):
            ring[(index * 11 + bit) % 160] ^= byte >> bit & 1
    value = sum(bit << place for place, bit in enumerate(ring)).to_bytes(20, "little")
    length = size.to_bytes(8, "little")
    expected = value[:12] + bytes(a ^ b for a, b in zip(value[12:], length, strict=True))
    assert quick_xor_hash(content) == base64.b64encode(expected).decode()


def test_delta_of_the_drive_gives_all_then_changes_and_asks_for_a_resync(client: httpx.Client, folder: Path) -> None:
    start = f"/v1.0/drives/{SITE.drive_id}/root/delta"
    items, link = _pages(client, f"{start}?$top=1")
    assert {item["name"] for item in items} == {path.name for path in (folder / "drive").rglob("*")}
    note = folder / "drive" / "note.txt"
    text = note.read_text()
    try:
        note.write_text("changed")
        changed, link = _pages(client, link)
        assert [item["name"] for item in changed] == ["note.txt"]
        note.unlink()
        gone, link = _pages(client, link)
        assert [(item["id"], item["deleted"]) for item in gone] == [(changed[0]["id"], {"state": "deleted"})]
    finally:
        note.write_text(text)
    assert _pages(client, f"{start}?token=latest")[0] == []
    assert client.get(f"{start}?token=999").status_code == 410
    assert client.get(f"{start}?token=x").status_code == 410


def test_sites_are_found_by_words_of_their_names(client: httpx.Client) -> None:
    for words, found in (("*", 1), ("prod*", 1), ("nothing", 0)):
        assert len(client.get("/v1.0/sites", params={"search": words}).json()["value"]) == found
