"""What every operation of the OpenAPI document refuses, how it says so, and that HEAD answers as GET does.

The cases are made from the document: an operation, parameter or limit that is added is tested from then on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import pages
from api.app import create_app
from api.edge import MAX_ADDRESS_BYTES
from api.exports import Exporter
from api.limits import Rate
from api.openapi import document
from api.parameters import MAX_IDENTIFIERS
from api.problems import MAX_BODY_BYTES, Problem
from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny

DOCUMENT: dict[str, Any] = json.loads(json.dumps(document(create_app(Settings()).app)))
# Identifiers that the tiny operator holds, by name of the path parameter; a new name asks for one here.
HELD = {
    "dataset": "facility",
    "facilityId": "fs-birch",
    "hubId": "hub-birch",
    "releaseId": "RELEASE",
    "terminalId": "tm-east",
}
# Values of the query parameters that are required.
NEEDED = {"path": "/summary%23/networks/oil/gap"}
API = "/api/v1/"
STREAM = "/api/v1/stream"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW")
# What no two answers share: the trace, and the time that they took.
VOLATILE = {"traceparent", "x-request-id", "server-timing"}
# A caller on this machine, who may move releases.
HERE = {"host": "127.0.0.1"}


@dataclass(frozen=True)
class Case:
    """One documented operation."""

    method: str
    template: str
    operation: dict[str, Any]

    def parameters(self, place: str = "query") -> list[dict[str, Any]]:
        return [parameter for parameter in self.operation.get("parameters", ()) if parameter["in"] == place]

    def allowed(self) -> list[str]:
        return [parameter["name"] for parameter in self.parameters()]

    def address(self, release_id: str, query: str = "", **identifiers: str) -> str:
        """A valid address, with `query` in place of what it needs where both name a parameter."""
        path = self.template.format(**{**HELD, **identifiers}).replace("RELEASE", release_id)
        asked = [part for part in query.split("&") if part]
        given_names = {part.partition("=")[0] for part in asked}
        needed = [
            f"{parameter['name']}={NEEDED[parameter['name']]}"
            for parameter in self.parameters()
            if parameter["required"] and parameter["name"] not in given_names
        ]
        return path + ("?" + "&".join([*needed, *asked]) if needed or asked else "")


CASES = [
    Case(method.upper(), template, operation)
    for template, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
# Probes of health stand outside the API: what calls them adds parameters and headers of its own.
OF_API = [case for case in CASES if case.template.startswith(API)]
READ = [case for case in CASES if case.method == "GET"]
QUERIES = [(case, parameter) for case in OF_API for parameter in case.parameters()]
ENUMERATIONS = [pair for pair in QUERIES if "enum" in pair[1]["schema"]]
NUMBERS = [pair for pair in QUERIES if pair[1]["schema"].get("type") == "integer"]
MOMENTS = [pair for pair in QUERIES if pair[1]["schema"].get("format") in ("date", "date-time")]
PATTERNS = [pair for pair in QUERIES if "pattern" in pair[1]["schema"]]
LISTS = [pair for pair in QUERIES if pair[1].get("explode") is False]
TEXTS = [pair for pair in QUERIES if "maxLength" in pair[1]["schema"]]
IDENTIFIED = [(case, parameter["name"]) for case in OF_API for parameter in case.parameters("path")]


def name_of(value: Any) -> str | None:
    if isinstance(value, Case):
        return str(value.operation["operationId"])
    return str(value["name"]) if isinstance(value, dict) else None


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of its own: activate and resume are among the operations."""
    directory = tmp_path_factory.mktemp("validated")
    publish_tiny(directory, days=5)
    return directory


@pytest.fixture(scope="module")
def running(warehouse: Path) -> Iterator[Api]:
    with Api(Settings(warehouse_dir=warehouse)) as api:
        yield api


@pytest.fixture(scope="module")
def release_id(running: Api) -> str:
    return str(running.body("/readyz")["dataVersion"])


def ask(api: Api, case: Case, address: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """The operation with a valid body where it takes one."""
    body = {"json": {"by": "tester", "reason": "validation"}} if "requestBody" in case.operation else {}
    return api.request(case.method, address, {**HERE, **(headers or {})}, **body)


def refused(
    case: Case, response: httpx.Response, status: int, code: str, *, is_documented: bool = True
) -> dict[str, Any]:
    """The problem, once it is clear that it is one of the operation's documented ones."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert not is_documented or str(status) in case.operation["responses"], (
        f"{status} is not documented: {case.template}"
    )
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    return problem


def details(problem: dict[str, Any]) -> dict[str, str]:
    return {error["parameter"]: error["detail"] for error in problem["errors"]}


@pytest.mark.parametrize("case", OF_API, ids=name_of)
def test_unknown_parameter_then_400_names_it_and_every_allowed_one(running: Api, release_id: str, case: Case) -> None:
    response = ask(running, case, case.address(release_id, "colour=red"))
    problem = refused(case, response, 400, "invalidParameter")
    assert {error["parameter"]: error["received"] for error in problem["errors"]} == {"colour": "red"}
    named = details(problem)["colour"].partition("allowed: ")[2].split(", ")
    assert named == (case.allowed() or ["none"])


@pytest.mark.parametrize(("case", "parameter"), QUERIES, ids=name_of)
def test_parameter_given_twice_then_400(running: Api, release_id: str, case: Case, parameter: dict[str, Any]) -> None:
    name = parameter["name"]
    response = ask(running, case, case.address(release_id, f"{name}=a&{name}=a"))
    assert "more than once" in refused(case, response, 400, "invalidParameter")["detail"]


@pytest.mark.parametrize(("case", "parameter"), ENUMERATIONS, ids=name_of)
@pytest.mark.parametrize("value", ["", "nothing", "%00"])
def test_word_that_is_not_allowed_then_400_names_the_allowed_ones(
    running: Api, release_id: str, case: Case, parameter: dict[str, Any], value: str
) -> None:
    response = ask(running, case, case.address(release_id, f"{parameter['name']}={value}"))
    found = details(refused(case, response, 400, "invalidParameter"))
    assert found == {parameter["name"]: "must be one of " + ", ".join(parameter["schema"]["enum"])}


@pytest.mark.parametrize(("case", "parameter"), NUMBERS, ids=name_of)
def test_number_beyond_its_limits_then_400_names_the_limits(
    running: Api, release_id: str, case: Case, parameter: dict[str, Any]
) -> None:
    low, high = parameter["schema"]["minimum"], parameter["schema"]["maximum"]
    for value in (low - 1, high + 1, "9" * 4000, "1.5", "1e1", "%2B1", "%D9%A1", "true", ""):
        response = ask(running, case, case.address(release_id, f"{parameter['name']}={value}"))
        detail = details(refused(case, response, 400, "invalidParameter"))[parameter["name"]]
        assert str(low) in detail
        assert str(high) in detail


@pytest.mark.parametrize(("case", "parameter"), MOMENTS + PATTERNS, ids=name_of)
def test_text_of_another_form_then_400_says_the_form(
    running: Api, release_id: str, case: Case, parameter: dict[str, Any]
) -> None:
    form = parameter["schema"].get("format", "release")
    valid = {"date": "2026-11-21", "date-time": "2026-11-21T05:00:00Z", "release": release_id}[form]
    eastern = valid.translate({ord("0") + digit: chr(ord("\u0660") + digit) for digit in range(10)})
    for value in (
        "",
        "now",
        "2026-13-01",
        "2026-02-30",
        "0000-00-00",
        valid + "%0A",
        "%20" + valid,
        valid + "%00",
        eastern,
    ):
        response = ask(running, case, case.address(release_id, f"{parameter['name']}={value}"))
        detail = details(refused(case, response, 400, "invalidParameter"))[parameter["name"]]
        assert "must be" in detail or "is no day of the calendar" in detail, (value, detail)


@pytest.mark.parametrize(("case", "parameter"), LISTS, ids=name_of)
def test_list_over_its_limit_then_400_names_the_limit(
    running: Api, release_id: str, case: Case, parameter: dict[str, Any]
) -> None:
    assert str(MAX_IDENTIFIERS) in parameter["description"]
    values = ",".join(f"f{number}" for number in range(MAX_IDENTIFIERS + 1))
    response = ask(running, case, case.address(release_id, f"{parameter['name']}={values}"))
    detail = details(refused(case, response, 400, "invalidParameter"))[parameter["name"]]
    assert f"at most {MAX_IDENTIFIERS}" in detail


@pytest.mark.parametrize(("case", "parameter"), TEXTS, ids=name_of)
def test_identifier_that_is_empty_or_too_long_then_400_names_the_limit(
    running: Api, release_id: str, case: Case, parameter: dict[str, Any]
) -> None:
    limit = parameter["schema"]["maxLength"]
    for value in ("", "x" * (limit + 1)):
        response = ask(running, case, case.address(release_id, f"{parameter['name']}={value}"))
        assert str(limit) in details(refused(case, response, 400, "invalidParameter"))[parameter["name"]]


def test_identifiers_of_queries_then_each_has_its_limit_in_the_document() -> None:
    of_assets = {name_of(case) for case, parameter in TEXTS if parameter["name"] == "assetId"}
    assert of_assets == {name_of(case) for case, parameter in QUERIES if parameter["name"] == "assetId"}


@pytest.mark.parametrize(("case", "name"), IDENTIFIED, ids=name_of)
@pytest.mark.parametrize(
    "value",
    [
        "nothing",
        "%00",
        "%FF",
        "%ED%A0%80",
        "..%2F..",
        "a%2Fb",
        "%25",
        "%252e",
        "%F0%9F%9B%A2",
        "x" * 4000,
        "%0A",
        "..",
        "'",
    ],
)
def test_identifier_of_a_path_that_is_not_held_then_404(
    running: Api, release_id: str, case: Case, name: str, value: str
) -> None:
    response = ask(running, case, case.address(release_id, **{name: value}))
    problem = refused(case, response, 404, "notFound")
    assert len(problem["detail"]) < 3000


@pytest.mark.parametrize("template", DOCUMENT["paths"])
def test_method_that_is_not_documented_then_405_allows_what_is(running: Api, release_id: str, template: str) -> None:
    cases = [case for case in CASES if case.template == template]
    documented = {case.method for case in cases} | ({"HEAD"} if any(case.method == "GET" for case in cases) else set())
    address = cases[0].address(release_id)
    for method in METHODS:
        if method in documented:
            continue
        response = running.request(method, address, HERE)
        problem = refused(cases[0], response, 405, "methodNotAllowed")
        allowed = response.headers["allow"].split(", ")
        assert set(allowed) == documented | {"OPTIONS"}
        assert all(name in problem["detail"] for name in (*allowed, method))
    options = running.request("OPTIONS", address, HERE)
    assert (options.status_code, options.content) == (204, b"")
    assert set(options.headers["allow"].split(", ")) == documented | {"OPTIONS"}


@pytest.mark.parametrize("template", [template for template in DOCUMENT["paths"] if template.startswith(API)])
def test_other_spelling_of_a_path_then_404_for_what_is_decided_by_path_would_not_see_it(
    running: Api, release_id: str, template: str
) -> None:
    case = next(case for case in CASES if case.template == template)
    path = case.address(release_id).partition("?")[0]
    for spelled in (path + "/", "/" + path, path.replace("/v1/", "/v1//"), path.replace("/api/", "/API/")):
        refused(case, ask(running, case, "http://127.0.0.1" + spelled), 404, "notFound", is_documented=False)


@pytest.mark.parametrize("case", OF_API, ids=name_of)
@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0, text/event-stream;q=0, text/csv;q=0", "x"])
def test_accept_that_takes_no_answer_then_406_names_the_media_types(
    running: Api, release_id: str, case: Case, accept: str
) -> None:
    if "text/csv" in accept:
        accept += ", application/vnd.*;q=1"  # a range that no grammar knows
    response = ask(running, case, case.address(release_id), {"accept": accept})
    problem = refused(case, response, 406, "notAcceptable")
    for media_type in case.operation["responses"]["200"]["content"]:
        assert media_type in problem["detail"]


@pytest.mark.parametrize("case", [case for case in READ if case.template != STREAM], ids=name_of)
def test_head_then_status_and_headers_of_get_and_no_body(running: Api, release_id: str, case: Case) -> None:
    valid = case.address(release_id)
    odd = [case.address(release_id, "colour=red"), case.address(release_id, facilityId="x", hubId="x", dataset="x")]
    for address, accept in [(valid, "*/*"), (valid, "image/png"), *((other, "*/*") for other in odd)]:
        get = running.get(address, {"accept": accept})
        # Twice: an answer may be made or held.
        for head in [running.request("HEAD", address, {"accept": accept}) for _ in range(2)]:
            assert (head.status_code, head.content) == (get.status_code, b"")
            of_get, of_head = stable(get), stable(head)
            if "content-length" not in of_head or "etag" not in of_get:
                # An export's size is known when it is made; an answer of the moment says its age to the microsecond.
                of_head.pop("content-length", None)
                of_get.pop("content-length", None)
            assert of_head == of_get
        if (tag := get.headers.get("etag")) is not None:
            confirmed = [running.request(m, address, {"accept": accept, "if-none-match": tag}) for m in ("GET", "HEAD")]
            assert [answer.status_code for answer in confirmed] == [304, 304]
            assert stable(confirmed[0]) == stable(confirmed[1])


def stable(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in VOLATILE}


def test_head_of_the_stream_then_its_headers_and_an_end(running: Api) -> None:
    head = running.request("HEAD", STREAM)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_address_and_body_beyond_their_limits_then_414_and_413(running: Api, release_id: str, case: Case) -> None:
    address = case.address(release_id, "x=" + "a" * MAX_ADDRESS_BYTES)
    problem = refused(case, ask(running, case, address), 414, "uriTooLong")
    assert str(MAX_ADDRESS_BYTES) in problem["detail"]
    response = running.request(case.method, case.address(release_id), HERE, content=b"x" * (MAX_BODY_BYTES + 1))
    assert str(MAX_BODY_BYTES) in refused(case, response, 413, "contentTooLarge")["detail"]


@pytest.mark.parametrize("case", [case for case in CASES if "requestBody" in case.operation], ids=name_of)
def test_body_without_a_length_beyond_the_limit_then_413(running: Api, release_id: str, case: Case) -> None:
    async def pieces() -> Any:
        for _ in range(3):
            yield b" " * (MAX_BODY_BYTES // 2)

    headers = {**HERE, "content-type": "application/json"}
    response = running.request(case.method, case.address(release_id), headers, content=pieces())
    refused(case, response, 413, "contentTooLarge")


@pytest.mark.parametrize("case", [case for case in CASES if "requestBody" in case.operation], ids=name_of)
@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("text/plain", b'{"by": "a", "reason": "b"}'),
        ("", b'{"by": "a", "reason": "b"}'),
        ("application/json", b""),
        ("application/json", b"[]"),
        ("application/json", b'{"by": "a"}'),
        ("application/json", b'{"by": "a", "reason": ""}'),
        ("application/json", b'{"by": "a", "reason": "b", "also": 1}'),
        ("application/json", b'{"by": "a", "reason": "\\ud800"}'),
        ("application/json", b'{"by": "a", "reason": "\xff"}'),
        ("application/json", b"[" * 100_000),
        ("application/json", json.dumps({"by": "a", "reason": "b" * 1001}).encode()),
    ],
)
def test_body_that_is_no_decision_then_400_and_nothing_moves(
    running: Api, warehouse: Path, release_id: str, case: Case, content_type: str, content: bytes
) -> None:
    pointer = (warehouse / "current").read_bytes()
    headers = {**HERE, "content-type": content_type}
    response = running.request(case.method, case.address(release_id), headers, content=content)
    refused(case, response, 400, "badRequest")
    assert (warehouse / "current").read_bytes() == pointer


def test_more_requests_than_the_rate_then_429_is_documented_everywhere_and_says_when(
    warehouse: Path, release_id: str
) -> None:
    rate = Rate("default", 1, 3600)
    with Api(Settings(warehouse_dir=warehouse, rate_limit=rate, rate_limit_exports=rate)) as limited:
        for path in ("/api/v1/me", "/api/v1/exports/facility?colour=red"):
            assert limited.get(path).status_code != 429
        for case in OF_API:
            response = ask(limited, case, case.address(release_id))
            problem = refused(case, response, 429, "tooManyRequests")
            assert response.headers["retry-after"] in problem["detail"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(RuntimeError("secret"), 500, "internalError"), (Problem("timeout", "No answer."), 504, "timeout")],
)
def test_fault_behind_any_operation_then_a_documented_problem_that_gives_nothing_away(
    running: Api, release_id: str, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int, code: str
) -> None:
    async def fails(*_: object) -> None:
        raise fault

    desk = running.edge.desk
    monkeypatch.setattr(desk, "run", fails)
    monkeypatch.setattr(Exporter, "run", fails)
    monkeypatch.setattr(desk.current, "get", lambda key: None)
    monkeypatch.setattr(running.edge.past, "get", lambda *_: None)
    for case in CASES:
        if case.template in ("/healthz", "/api/v1/data-freshness", STREAM):  # they ask nothing that could fail so
            continue
        response = ask(running, case, case.address(release_id))
        assert "secret" not in response.text
        refused(case, response, status, code)


@pytest.mark.parametrize("position", [2**63, -(2**63) - 1, 2**70])
def test_cursor_at_a_position_that_no_row_can_have_then_400(running: Api, release_id: str, position: int) -> None:
    honest = pages.read(running.body("/api/v1/events?limit=1")["next"])
    made_up = pages.write(pages.Cursor(release_id, honest.asked, position, honest.row_id))
    response = running.get(f"/api/v1/events?limit=1&cursor={made_up}")
    assert (response.status_code, details(response.json())) == (
        400,
        {"cursor": "must be `next` of an earlier answer, unchanged"},
    )


EXPLAINED = (
    "/summary",
    "/assets",
    "/gap-drivers?window=7d",
    "/production-flow",
    "/terminal/tm-east/operations",
    "/hubs/hub-alder/performance?window=7d",
)
STEPS = st.one_of(
    st.sampled_from(["networks", "oil", "domesticGas", "assets", "east", "hubs", "drivers", "facilities", "points", "edges",
                     "statistics", "average", "efficiency", "terminals", "gap", "volume", "capacity", "nextCargo", "parcel"]),
    st.sampled_from(["0", "1", "-1", "01", "-", "9" * 30, "\u0660", "~2", "\x00", ""]),
    st.text(max_size=5),
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(EXPLAINED), st.lists(STEPS, max_size=6))
def test_any_pointer_into_a_body_then_an_explanation_or_400_for_it(running: Api, body: str, steps: list[str]) -> None:
    path = quote(body + "#" + "".join(f"/{step}" for step in steps), safe="")
    response = running.get(f"/api/v1/explain?path={path}")
    assert response.status_code == 200 or set(details(response.json())) == {"path"}, response.text


# Bytes as they may come over a wire, past every client library: what a server hands on as path, query and headers.
ODD = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["\x00", "%", "%zz", "//", "/../", ";", "\r\n", "\u2028", "\U0001f6e2", "a" * 300]),
)
PATHS = st.one_of(
    st.sampled_from([case.template for case in CASES if case.template != STREAM]),
    st.builds("/api/v1/{}".format, ODD),
    st.builds("/{}".format, ODD),
).flatmap(lambda path: st.builds(lambda odd: path.replace("{", "").replace("}", odd), ODD))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["accept", "accept-encoding", "if-none-match", "range", "if-modified-since", "content-type", "content-length",
             "authorization", "traceparent", "x-request-id", "origin", "last-event-id", "cookie", "expect", "host"]
        ),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([b"*/*", b"*", b'"', b"bytes=0-1,5-", b"W/", b"q=nan;q=inf", b"-1", b"\xff"]),
        ),
    ),
    max_size=4,
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "TRACE", "", "g\u00e9t"]),
    PATHS,
    st.one_of(
        st.binary(max_size=60), st.sampled_from([b"units=base&%", b"&&=", b"units=%ff", b"release=%00", b"a=b" * 90])
    ),
    HEADERS,
)
def test_any_bytes_then_an_answer_that_is_no_fault_of_the_server(
    running: Api, method: str, path: str, query: bytes, headers: list[tuple[str, bytes]]
) -> None:
    sent = running.raw(method, path, query, [(name.encode(), value) for name, value in headers])
    start, body = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
    assert start["status"] < 500, (start, body)
    found = dict(start["headers"])
    if start["status"] >= 400:
        assert found[b"content-type"] == b"application/problem+json"
        assert method == "HEAD" or json.loads(body)["status"] == start["status"]
    if method == "HEAD":
        assert body == b""
