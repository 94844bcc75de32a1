"""SharePoint through Graph: display names, opaque links, absent keys, local midnights, workbooks."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, date, datetime
from typing import Any

import httpx
import polars as pl
import pytest
import xlsxwriter

from pipelines.sources.config import Secret, SharePointConfig
from pipelines.sources.errors import SourceBroken, SourceNotReady, SourceUnavailable
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.mapping import ColumnMapping, ListMapping, WorkbookMapping
from pipelines.sources.sharepoint import GraphClient

BASE = "https://graph.test/v1.0"
SITE = "contoso.sharepoint.com,1111,2222"
LIST = f"/v1.0/sites/{SITE}/lists/Business%20targets"
SECRET = "graph-secret-text"
COLUMNS = [
    {"name": "Title", "displayName": "Node", "text": {}},
    {"name": "LinkTitle", "displayName": "Node", "readOnly": True},
    {"name": "field_1", "displayName": "Target", "number": {}},
    {"name": "field_2", "displayName": "Valid from", "dateTime": {"format": "dateOnly"}},
    {"name": "Published", "displayName": "Published", "dateTime": {"format": "dateTime"}},
    {"name": "Approved", "displayName": "Approved", "boolean": {}},
    {"name": "Rate_x0020_calc", "displayName": "Calculated", "calculated": {"outputType": "number"}},
]
WANTED = {
    "node_code": "Node",
    "value": "Target",
    "valid_from": "Valid from",
    "published_at_utc": "published",
    "is_approved": "Approved",
}


class Graph:
    """Answers by verbatim target; `calls` holds (target, Authorization)."""

    def __init__(self) -> None:
        self.answers: dict[str, list[httpx.Response]] = {}
        self.calls: list[tuple[str, str | None]] = []
        self.columns = COLUMNS

    def on(self, target: str, *answers: httpx.Response) -> Graph:
        self.answers[target] = list(answers)
        return self

    def client(self, zone: str = "Europe/Oslo", **more: Any) -> GraphClient:
        config = SharePointConfig(
            tenant_id="tenant",
            client_id="app",
            client_secret=Secret(SECRET),
            site_id=more.pop("site_id", SITE),
            authority="http://login.test",
            graph_base_url=BASE,
            **more,
        )
        return GraphClient(
            config, zone=zone, transport=httpx.MockTransport(self), policy=HttpPolicy(), sleep=lambda _: None
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        target = request.extensions.get("target", request.url.raw_path).decode()
        if request.url.host == "login.test":
            assert target == "/tenant/oauth2/v2.0/token"
            assert b"scope=https%3A%2F%2Fgraph.microsoft.com%2F.default" in request.content
            return httpx.Response(200, json={"access_token": "graph-token", "expires_in": 3599})
        self.calls.append((target, request.headers.get("Authorization")))
        if target.endswith("/columns"):
            return httpx.Response(200, json={"value": self.columns})
        answers = self.answers.get(target)
        if answers is None:
            error = {"error": {"code": "itemNotFound", "message": f"no {target}", "innerError": {"request-id": "r-1"}}}
            return httpx.Response(404, json=error)
        return answers.pop(0) if len(answers) > 1 else answers[0]


def page(*items: dict[str, Any], **links: str) -> httpx.Response:
    return httpx.Response(200, json={"value": list(items), **{f"@odata.{name}": link for name, link in links.items()}})


def entry(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": str(number), "@odata.etag": "x", "fields": {"@odata.etag": "x", "id": str(number), **fields}}


SELECT = "$expand=fields($select=Title,field_1,field_2,Published,Approved)"
START = f"{LIST}/items?{SELECT}&$top=200"


def test_list_when_names_types_and_dates_differ_then_columns_are_canonical() -> None:
    first = entry(
        10,
        Title="AKARA-1",
        field_1=42000.0,
        field_2="2026-02-28T23:00:00Z",
        Published="2026-02-01T10:00:00Z",
        Approved=True,
    )
    graph = Graph().on(START, page(first, entry(2, Title="BOMIRI", field_2="2026-06-30T22:00:00Z")))
    with graph.client() as client:
        extract = client.list_items("Business targets", WANTED)
    assert extract.frame.rows() == [
        ("2", "BOMIRI", None, date(2026, 7, 1), None, None),
        ("10", "AKARA-1", 42000.0, date(2026, 3, 1), datetime(2026, 2, 1, 10, tzinfo=UTC), True),
    ]
    assert extract.frame.columns == ["item_id", *WANTED]
    assert extract.frame.schema["value"] == pl.Float64
    assert all(authorization == "Bearer graph-token" for _, authorization in graph.calls)


def test_list_when_pages_follow_then_links_are_verbatim_and_the_last_of_an_item_stands() -> None:
    link = f"{LIST}/items?$expand=fields&$skiptoken=Paged%3dTRUE%26p_ID%3d205&x=%7B'a'%7d"
    graph = Graph().on(START, page(entry(1, Title="A"), entry(2, Title="B"), nextLink=f"https://graph.test{link}"))
    graph.on(link, httpx.Response(500, json={"error": {"code": "generalException"}}), page(entry(2, Title="C")))
    with graph.client() as client:
        extract = client.list_items("Business targets", WANTED)
    assert extract.frame["node_code"].to_list() == ["A", "C"]
    assert extract.pages == 2
    assert [target for target, _ in graph.calls].count(link) == 2


def test_list_when_link_leads_away_then_is_broken_and_token_stays() -> None:
    graph = Graph().on(START, page(entry(1), nextLink="https://evil.test/v1.0/items"))
    with graph.client() as client, pytest.raises(SourceBroken, match="a link to another host"):
        client.list_items("Business targets", WANTED)
    assert not any("evil" in target for target, _ in graph.calls)


def test_list_when_pages_lead_in_a_circle_then_is_read_anew_once_and_then_asked_later() -> None:
    graph = Graph().on(START, page(entry(1), nextLink=f"https://graph.test{START}"))
    with graph.client() as client, pytest.raises(SourceNotReady, match="a link that was followed before"):
        client.list_items("Business targets", WANTED)
    assert [target for target, _ in graph.calls].count(START) == 2


def test_list_when_display_name_is_unknown_then_is_broken_and_names_what_there_is() -> None:
    with Graph().client() as client, pytest.raises(SourceBroken, match=r"columns Goal .*Approved, Calculated, Node"):
        client.list_items("Business targets", {"value": "Goal"})


def test_list_when_several_columns_show_one_name_then_the_writable_one_is_read() -> None:
    graph = Graph()
    graph.columns = list(reversed(COLUMNS))
    graph.on(f"{LIST}/items?$expand=fields($select=Title)&$top=200", page(entry(1, Title="A")))
    with graph.client() as client:
        assert client.list_items("Business targets", {"node_code": "Node"}).frame["node_code"].to_list() == ["A"]


def test_list_when_a_value_does_not_parse_then_its_item_is_rejected() -> None:
    columns = {"version": ColumnMapping(canonical="version", source="Node", type="int")}
    graph = Graph().on(
        f"{LIST}/items?$expand=fields($select=Title)&$top=200", page(entry(1, Title="v2"), entry(2, Title="3"))
    )
    with graph.client() as client:
        extract = client.list_items("Business targets", columns)
    assert extract.frame.rows() == [("2", 3)]
    assert json.loads(extract.rejected["raw"][0])["id"] == "1"


def test_list_when_it_is_empty_then_schema_stands() -> None:
    with Graph().on(START, page()).client() as client:
        mapping = ListMapping(
            dataset="business_target",
            name="Business targets",
            columns=tuple(ColumnMapping(canonical=name, source=shown) for name, shown in WANTED.items()),
        )
        frame = client.read(mapping).frame
    assert frame.height == 0
    assert frame.schema["valid_from"] == pl.Date
    assert frame.schema["published_at_utc"] == pl.Datetime("us", "UTC")


def test_list_when_it_does_not_exist_then_error_keeps_request_id_and_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with Graph().client() as client, pytest.raises(SourceBroken, match="request-id r-1") as caught:
        client.list_items("Business targets", WANTED)
    assert SECRET not in f"{caught.value!r}{caplog.text}"
    assert "graph-token" not in f"{caught.value!r}{caplog.text}"


def test_list_when_throttled_then_waits_as_told() -> None:
    busy = httpx.Response(429, headers={"Retry-After": "11"}, json={"error": {"code": "activityLimitReached"}})
    graph = Graph().on(START, busy, page(entry(1, Title="A")))
    slept: list[float] = []
    with graph.client() as client:
        client._http._sleep = slept.append
        assert client.list_items("Business targets", WANTED).frame.height == 1
    assert slept == [11.0]


def test_list_when_site_is_named_by_its_path_then_its_id_is_asked_once() -> None:
    graph = Graph().on("/v1.0/sites/contoso.sharepoint.com:/sites/ops", httpx.Response(200, json={"id": SITE}))
    graph.on(START, page())
    with graph.client(site_id="contoso.sharepoint.com:/sites/ops") as client:
        client.list_items("Business targets", WANTED)
        client.list_items("Business targets", WANTED)
    assert sum(":/sites/ops" in target for target, _ in graph.calls) == 1


# Changes

DELTA = f"{LIST}/items/delta?{SELECT}"
LATER = f"{LIST}/items/delta?token=abc%3d"


def test_changes_when_pages_end_with_a_link_then_last_wins_and_deleted_are_named() -> None:
    next_page = f"{LIST}/items/delta?skip=1"
    graph = Graph().on(DELTA, page(entry(1, Title="A"), entry(2, Title="B"), nextLink=f"https://graph.test{next_page}"))
    gone = {"id": "2", "deleted": {"state": "deleted"}}
    graph.on(next_page, page(gone, entry(1, Title="A2"), deltaLink=f"https://graph.test{LATER}"))
    with graph.client() as client:
        changes = client.list_changes("Business targets", WANTED)
    assert changes.extract.frame["node_code"].to_list() == ["A2"]
    assert (changes.deleted, changes.is_full) == (("2",), True)
    assert changes.delta_link == f"https://graph.test{LATER}"


def test_changes_when_link_is_forgotten_then_all_is_read_again() -> None:
    gone = httpx.Response(410, headers={"Location": f"https://graph.test{DELTA}"}, json={"error": {"code": "resync"}})
    graph = Graph().on(LATER, gone).on(DELTA, page(entry(1, Title="A"), deltaLink=f"https://graph.test{LATER}"))
    with graph.client() as client:
        changes = client.list_changes("Business targets", WANTED, delta_link=f"https://graph.test{LATER}")
    assert changes.is_full
    assert changes.extract.frame.height == 1


def test_changes_when_nothing_changed_then_is_empty_with_a_new_link() -> None:
    graph = Graph().on(LATER, page(deltaLink=f"https://graph.test{LATER}2"))
    with graph.client() as client:
        changes = client.list_changes("Business targets", WANTED, delta_link=f"https://graph.test{LATER}")
    assert (changes.extract.frame.height, changes.is_full, changes.deleted) == (0, False, ())


# Workbooks

FILE = f"/v1.0/sites/{SITE}/drive/root:/Planning/Lifting%20programme.xlsx"
CONTENT = f"/v1.0/sites/{SITE}/drive/items/F1/content"
LINK = "/download?tempauth=pre-authenticated-text&x=%2f"
CARGO = {
    "cargo_id": "Cargo",
    "laycan_start": ColumnMapping(canonical="laycan_start", source="Laycan  START", type="date"),
    "parcel": ColumnMapping(canonical="parcel", source="Parcel", type="float", unit="bbl"),
}


def workbook() -> bytes:
    target = io.BytesIO()
    with xlsxwriter.Workbook(target) as book:
        sheet = book.add_worksheet("Programme")
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(0, 0, ["Lifting programme"])
        sheet.write_row(2, 0, ["Cargo", "Laycan start", "Parcel"])
        sheet.write_string(3, 0, "C-1")
        sheet.write_datetime(3, 1, datetime(2026, 11, 5), day)
        sheet.write_number(3, 2, 950_000)
        sheet.write_number(4, 0, 17)
        sheet.write_number(4, 1, 46_340)
        sheet.write_formula(4, 2, "=1/0", None, "#DIV/0!")
        sheet.write_string(6, 0, "C-3")
        sheet.write_string(6, 2, "tbc")
    return target.getvalue()


BOOK = workbook()


def drive(*downloads: httpx.Response, size: int = len(BOOK)) -> Graph:
    item = {"id": "F1", "name": "x.xlsx", "size": size, "cTag": '"c:{1},5"', "eTag": '"{1},9"'}
    redirect = httpx.Response(302, headers={"Location": f"https://files.test{LINK}"})
    return Graph().on(FILE, httpx.Response(200, json=item)).on(CONTENT, redirect).on(LINK, *downloads)


def read_workbook(graph: Graph, sheet: str = "Programme", header_row: int = 3, columns: Any = None) -> Any:
    with graph.client() as client:
        return client.workbook("Planning/Lifting programme.xlsx", sheet, header_row, columns or CARGO)


def test_workbook_when_redirected_then_is_fetched_without_authorization_and_cells_are_typed() -> None:
    graph = drive(httpx.Response(200, content=BOOK))
    extract = read_workbook(graph)
    assert extract.frame.rows() == [("C-1", date(2026, 11, 5), 950_000.0), ("17", date(2026, 11, 14), None)]
    assert extract.rejected["reason"].to_list() == ["parcel: 'tbc' is no float"]
    assert extract.version == '"c:{1},5"'
    assert dict(graph.calls)[LINK] is None


def test_workbook_when_mapping_reads_it_then_is_the_same() -> None:
    mapping = WorkbookMapping(
        dataset="lifting_programme",
        path="/Planning/Lifting programme.xlsx",
        sheet="Programme",
        header_row=3,
        columns=(ColumnMapping(canonical="cargo_id", source="cargo"),),
    )
    graph = drive(httpx.Response(200, content=BOOK))
    with graph.client() as client:
        assert client.read(mapping).frame["cargo_id"].to_list() == ["C-1", "17", "C-3"]
        assert client.workbook_version("Planning/Lifting programme.xlsx") == '"c:{1},5"'


def test_workbook_when_first_download_is_cut_then_is_fetched_again() -> None:
    graph = drive(httpx.Response(200, content=BOOK[:900]), httpx.Response(200, content=BOOK))
    assert read_workbook(graph).frame.height == 2


@pytest.mark.parametrize("content", [BOOK[:900], b"PK not a zip", BOOK + b"tail"])
def test_workbook_when_it_stays_incomplete_then_is_not_ready(content: bytes) -> None:
    with pytest.raises(SourceNotReady, match=r"bytes where|no complete workbook"):
        read_workbook(drive(httpx.Response(200, content=content)))


def test_workbook_when_it_is_locked_then_is_not_ready() -> None:
    graph = drive()
    graph.on(CONTENT, httpx.Response(423, json={"error": {"code": "locked", "message": "in use"}}))
    with pytest.raises(SourceNotReady, match="locked"):
        read_workbook(graph)


def test_workbook_when_link_has_gone_stale_then_a_new_one_is_asked() -> None:
    graph = drive(httpx.Response(401, text="expired"), httpx.Response(200, content=BOOK))
    assert read_workbook(graph).frame.height == 2
    assert [target for target, _ in graph.calls].count(CONTENT) == 2


def test_workbook_when_download_fails_then_its_link_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceUnavailable) as caught:
        read_workbook(drive(httpx.Response(503, text=f"cannot serve https://files.test{LINK}")))
    assert "pre-authenticated-text" not in f"{caught.value!r}{caplog.text}"


@pytest.mark.parametrize(
    ("sheet", "header_row", "columns", "words"),
    [
        ("Plan", 3, None, "sheets Programme"),
        ("Programme", 1, None, "without Cargo"),
        ("Programme", 3, {"x": "Vessel"}, "headers Cargo, Laycan start, Parcel, without Vessel"),
        ("Programme", 99, None, "row 99"),
    ],
)
def test_workbook_when_sheet_or_header_is_another_then_names_what_there_is(
    sheet: str, header_row: int, columns: Any, words: str
) -> None:
    with pytest.raises(SourceBroken, match=words):
        read_workbook(drive(httpx.Response(200, content=BOOK)), sheet, header_row, columns)
