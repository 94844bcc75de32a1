"""Finding points, authenticating and batching at the simulated PI Web API."""

from __future__ import annotations

import base64
import json
import struct
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.simulators.pi_web_api import PiAccess, PiWebApi
from pipelines.simulators.pi_web_api_ids import parse_point, point_web_id
from pipelines.simulators.replay import ReplayError
from pipelines.simulators.replay_pi import PiReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_oauth import ClientCredentials

NOW = datetime(2026, 11, 2, tzinfo=UTC)
USER, PASSWORD = "PLANT\\reader", "not a secret"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pi")
    (folder / "values").mkdir()
    names = [f"A{number:02d}" for number in range(25)] + ["SIN", "SINUSOID", "U.RATE (net)"]
    (folder / "points.csv").write_text("Name,EngineeringUnits\n" + "".join(f"{name},bbl/d\n" for name in names))
    (folder / "values" / "values.csv").write_text(
        "Name,Timestamp,Value\nSIN,2026-11-01T00:00:00Z,1.5\nSIN,2026-11-01T06:00:00Z,2.5\n"
    )
    return folder


@pytest.fixture(scope="module")
def system(folder: Path) -> PiWebApi:
    access = PiAccess(method="Basic", username=USER, password=PASSWORD)
    return PiWebApi(PiReplay(folder), access, clock=Clock(NOW))


@pytest.fixture(scope="module")
def client(system: PiWebApi) -> Iterator[httpx.Client]:
    with (
        LocalServer(system) as server,
        httpx.Client(base_url=f"{server.url}/piwebapi", auth=(USER, PASSWORD)) as client,
    ):
        yield client


def _server_id(client: httpx.Client) -> str:
    return str(client.get("/dataservers").json()["Items"][0]["WebId"])


def test_home_links_to_the_data_servers(client: httpx.Client) -> None:
    assert client.get("/").json()["Links"]["DataServers"].endswith("/piwebapi/dataservers")


def test_points_by_name_filter_page_until_an_empty_page(client: httpx.Client) -> None:
    web_id, found, start = _server_id(client), [], 0
    while True:
        parameters: dict[str, Any] = {"nameFilter": "A*", "startIndex": start, "maxCount": 10}
        page = client.get(f"/dataservers/{web_id}/points", params=parameters).json()["Items"]
        if not page:
            break
        found += [point["Name"] for point in page]
        start += 10
    assert found == [f"A{number:02d}" for number in range(25)]


def test_name_filter_matches_wildcards_and_parentheses(client: httpx.Client) -> None:
    web_id = _server_id(client)
    for pattern, expected in (("sin*", ["SIN", "SINUSOID"]), ("SI?", ["SIN"]), ("U.RATE (net)", ["U.RATE (net)"])):
        page = client.get(f"/dataservers/{web_id}/points", params={"nameFilter": pattern}).json()["Items"]
        assert [point["Name"] for point in page] == expected


def test_web_id_decodes_to_server_point_and_path(client: httpx.Client) -> None:
    point = client.get("/points", params={"path": r"\\pisrv01\sin"}).json()
    web_id = point["WebId"]
    assert web_id[:4] == "F1DP"
    guid = uuid.UUID(bytes_le=base64.urlsafe_b64decode(web_id[4:26] + "=="))
    assert str(guid) == client.get("/dataservers").json()["Items"][0]["Id"]
    assert struct.unpack("<i", base64.urlsafe_b64decode(web_id[26:32] + "=="))[0] == point["Id"]
    path = web_id[32:]
    assert base64.urlsafe_b64decode(path + "=" * (-len(path) % 4)).decode() == r"PISRV01\SIN"
    short = client.get(f"/points/{web_id}", params={"webIdType": "IDOnly"}).json()["WebId"]
    assert len(short) == 32
    assert client.get(f"/points/{short}").json()["Name"] == "SIN"


@given(point_id=st.integers(min_value=1, max_value=2**31 - 1), kind=st.sampled_from(["Full", "IDOnly"]))
def test_web_id_of_any_point_reads_back(point_id: int, kind: Any) -> None:
    guid = uuid.UUID("6e0d9a52-3a5f-4b7c-9a58-0d5c9a7b4c11")
    assert parse_point(point_web_id(guid, point_id, "SRV\\TAG Æ", kind)) == (guid, point_id)


def test_points_multiple_keeps_order_and_puts_failures_inline(client: httpx.Client) -> None:
    paths = [("path", r"\\PISRV01\SIN"), ("path", r"\\PISRV01\NOPE"), ("path", r"\\PISRV01\A00")]
    items = client.get("/points/multiple", params=paths).json()["Items"]
    assert [item["Identifier"] for item in items] == [path for _, path in paths]
    assert [item.get("Object", {}).get("Name") for item in items] == ["SIN", None, "A00"]
    assert "NOPE" in items[1]["Exception"]["Errors"][0]


@pytest.mark.parametrize("web_id", ["F1DPxx", "nonsense", "I1DP" + "A" * 28])
def test_web_id_that_is_unknown_or_broken_is_refused(client: httpx.Client, web_id: str) -> None:
    answer = client.get(f"/points/{web_id}")
    assert answer.status_code in (400, 404)
    assert answer.json()["Errors"]


def test_attributes_and_enumeration_sets_are_listed(client: httpx.Client) -> None:
    web_id = client.get("/points", params={"path": r"\\PISRV01\SIN"}).json()["WebId"]
    attributes = client.get(f"/points/{web_id}/attributes").json()["Items"]
    assert {"Name", "Value"} <= set(attributes[0])
    sets = client.get(f"/dataservers/{_server_id(client)}/enumerationsets").json()["Items"]
    states = client.get(sets[0]["Links"]["Values"]).json()["Items"]
    assert {"Name": "No Data", "Value": 248} in states


def test_request_without_credentials_is_refused_with_the_vendors_headers(client: httpx.Client) -> None:
    answer = httpx.get(f"{client.base_url}dataservers")
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == ["Negotiate", 'Basic realm="pi-web-api"']
    assert httpx.get(f"{client.base_url}dataservers", auth=(USER, "wrong")).status_code == 401


def test_bearer_is_found_by_discovery_and_refused_once_revoked(folder: Path) -> None:
    access = PiAccess(method="Bearer", client=ClientCredentials("id", "secret", "system"))
    system = PiWebApi(PiReplay(folder), access, clock=Clock(NOW))
    with LocalServer(system) as server, httpx.Client(base_url=f"{server.url}/piwebapi") as client:
        assert client.get("/dataservers").headers["www-authenticate"] == "Bearer"
        endpoint = client.get("/.well-known/openid-configuration").json()["token_endpoint"]
        form = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret", "scope": "system"}
        token = httpx.post(endpoint, data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/dataservers", headers=headers).status_code == 200
        system.tokens.revoke()
        assert client.get("/dataservers", headers=headers).status_code == 401
        assert httpx.post(endpoint, data=form | {"client_secret": "no"}).status_code == 400


def test_post_without_the_csrf_header_is_forbidden(client: httpx.Client) -> None:
    assert client.post("/batch", json={}).status_code == 403
    assert client.post("/batch", json={}, headers={"X-Requested-With": "x"}).status_code == 207


def test_batch_fills_children_from_parents_and_fans_out(client: httpx.Client) -> None:
    base = "https://elsewhere/piwebapi"
    batch = {
        "pt": {"Method": "GET", "Resource": rf"{base}/points?path=%5C%5CPISRV01%5CSIN&selectedFields=WebId"},
        "v": {
            "Method": "GET",
            "Resource": f"{base}/streams/{{0}}/recorded?startTime=*-2d",
            "ParentIds": ["pt"],
            "Parameters": ["$.pt.Content.WebId"],
        },
        "list": {"Method": "GET", "Resource": f"{base}/dataservers/{_server_id(client)}/points?nameFilter=A0*"},
        "each": {
            "Method": "GET",
            "RequestTemplate": {"Resource": f"{base}/streams/{{0}}/value"},
            "ParentIds": ["list"],
            "Parameters": ["$.list.Content.Items[*].WebId"],
        },
        "bad": {"Method": "GET", "Resource": f"{base}/points/F1DPnothing"},
        "orphan": {
            "Method": "GET",
            "Resource": f"{base}/points/{{0}}",
            "ParentIds": ["bad"],
            "Parameters": ["$.bad.X"],
        },
    }
    answer = client.post("/batch", json=batch, headers={"X-Requested-With": "x"})
    assert answer.status_code == 207
    content = answer.json()
    assert list(content) == list(batch)
    assert [item["Value"] for item in content["v"]["Content"]["Items"]] == [1.5, 2.5]
    assert content["each"]["Content"]["Total"] == 10
    assert {item["Status"] for item in content["each"]["Content"]["Items"]} == {200}
    assert content["bad"]["Status"] == 400
    assert content["orphan"]["Status"] == 409


def test_too_long_url_is_cut_with_an_html_body(client: httpx.Client) -> None:
    answer = client.get("/streamsets/recorded", params=[("webId", "F" * 60)] * 300)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert b"Invalid URL" in answer.content


def test_too_large_body_is_refused(client: httpx.Client) -> None:
    body = json.dumps({"x": {"Method": "GET", "Resource": "y" * (4 * 1024 * 1024)}})
    assert client.post("/batch", content=body, headers={"X-Requested-With": "x"}).status_code == 413


def test_gzip_is_used_when_asked_only(client: httpx.Client) -> None:
    plain = client.get(f"/dataservers/{_server_id(client)}/points", headers={"Accept-Encoding": "identity"})
    packed = client.get(f"/dataservers/{_server_id(client)}/points", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.json() == packed.json()


def test_paths_are_found_without_regard_to_case(client: httpx.Client) -> None:
    assert client.get("/DataServers", params={"SELECTEDFIELDS": "Items.Name"}).json() == {
        "Items": [{"Name": "PISRV01"}]
    }


def test_replay_with_values_of_an_unlisted_point_names_it(tmp_path: Path) -> None:
    (tmp_path / "values").mkdir()
    (tmp_path / "points.csv").write_text("Name\nA\n")
    (tmp_path / "values" / "v.csv").write_text("Name,Timestamp,Value\nGHOST,2026-11-01T00:00:00Z,1\n")
    with pytest.raises(ReplayError, match="GHOST"):
        PiReplay(tmp_path)
