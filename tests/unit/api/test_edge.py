"""Headers, validators, encodings, methods and limits of every answer."""

import brotli
import httpx
import pytest

from tests.unit.api.client import Api
from tests.unit.api.conftest import ORIGIN

PATHS = (
    "/api/v1/summary",
    "/api/v1/assets",
    "/api/v1/gap-drivers?window=7d",
    "/api/v1/production-flow",
    "/api/v1/terminal/tm-east/operations",
    "/api/v1/hubs/hub-alder/performance?window=90d",
    "/api/v1/summary?units=display&productionDate=2026-11-19",
)
METADATA = (
    "etag",
    "last-modified",
    "data-version",
    "production-date",
    "data-freshness",
    "cache-control",
    "vary",
    "server-timing",
    "traceparent",
)


@pytest.mark.parametrize("path", PATHS)
def test_answer_then_its_headers_and_its_304_carry_the_same_metadata(api: Api, path: str) -> None:
    response = api.get(path, {"accept-encoding": "br", "origin": ORIGIN})
    assert response.status_code == 200
    assert set(METADATA) <= set(response.headers)
    body = response.json() if isinstance(response.json(), dict) else response.json()[0]
    assert response.headers["data-version"] == body["dataVersion"]
    assert response.headers["production-date"] == body["productionDate"]
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["vary"] == "Accept-Encoding, Origin"
    again = api.get(path, {"accept-encoding": "br", "origin": ORIGIN, "if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in METADATA[:7]:
        assert again.headers[name] == response.headers[name], name
    assert set(METADATA) <= set(again.headers)
    assert again.headers["access-control-allow-origin"] == ORIGIN
    assert "content-length" not in again.headers


@pytest.mark.parametrize("path", PATHS)
def test_answer_in_each_encoding_then_the_same_body_under_another_tag(api: Api, path: str) -> None:
    plain = api.get(path)
    tags = {plain.headers["etag"]}
    for encoding in ("br", "gzip", "zstd"):
        packed = api.get(path, {"accept-encoding": encoding})
        assert packed.headers["content-encoding"] == encoding
        assert packed.content == plain.content
        assert int(packed.headers["content-length"]) < len(plain.content)
        tags.add(packed.headers["etag"])
    assert len(tags) == 4


def test_held_answer_then_the_same_bytes_as_one_made_by_the_route(api: Api) -> None:
    for path in PATHS[:4]:
        held = api.get(path)
        separator = "&" if "?" in path else "?"
        made = api.get(f"{path}{separator}productionDate=2026-11-21")
        assert made.content == held.content
        assert made.headers["etag"] != held.headers["etag"]


def test_tag_of_an_answer_that_is_not_held_then_304_from_the_pointer_alone(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/api/v1/gap-drivers?limit=7&productionDate=2026-11-20"
    tag = api.get(path).headers["etag"]
    monkeypatch.setattr(api.edge.desk.current, "get", lambda key: None)

    def no_query(*_: object) -> None:
        raise AssertionError("a 304 must not query")

    monkeypatch.setattr(api.edge.desk, "answer", no_query)
    response = api.get(path, {"if-none-match": f'W/{tag}, "other"'})
    assert response.status_code == 304
    assert (response.headers["etag"], response.headers["production-date"]) == (tag, "2026-11-20")


@pytest.mark.parametrize("tag", ['"old"', "", "nonsense", '""'])
def test_tag_of_another_release_then_the_whole_answer(api: Api, tag: str) -> None:
    assert api.get("/api/v1/summary", {"if-none-match": tag}).status_code == 200


def test_star_as_tag_then_304(api: Api) -> None:
    assert api.get("/api/v1/summary", {"if-none-match": "*"}).status_code == 304


def test_answer_of_a_named_release_then_the_same_body_and_a_304(api: Api) -> None:
    current = api.get("/api/v1/summary")
    path = f"/api/v1/summary?release={current.headers['data-version']}"
    named = api.get(path)
    assert named.json() == current.json()
    assert api.get(path, {"if-none-match": named.headers["etag"]}).status_code == 304


def test_release_that_is_gone_then_410_names_the_nearest(api: Api) -> None:
    problem = api.problem("/api/v1/summary?release=20200101T000000Z-0123abcd", 410, "releaseExpired")
    assert api.get("/api/v1/summary").headers["data-version"] in problem["detail"]


def test_as_known_at_then_the_release_of_that_instant_or_a_refusal(api: Api) -> None:
    assert api.get("/api/v1/summary?asKnownAt=2999-01-01T00:00:00Z").status_code == 200
    problem = api.problem("/api/v1/summary?asKnownAt=1999-01-01T00:00:00Z", 400, "invalidParameter")
    assert "before the first release" in problem["detail"]


def test_head_then_the_headers_of_get_and_no_body(api: Api) -> None:
    for path in ("/api/v1/assets", "/healthz", "/api/v1/openapi.json", "/nowhere"):
        get, head = api.get(path), api.request("HEAD", path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers.get("etag") == get.headers.get("etag")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_then_405_with_allow(api: Api, method: str) -> None:
    response = api.request(method, "/api/v1/summary")
    assert (response.status_code, response.json()["code"]) == (405, "methodNotAllowed")
    assert "GET" in response.headers["allow"]
    assert response.headers["content-type"] == "application/problem+json"


def test_unknown_path_then_404_problem_with_a_page(api: Api) -> None:
    problem = api.problem("/api/v1/nowhere", 404, "notFound")
    assert problem["instance"] == "/api/v1/nowhere"
    page = api.get(problem["type"], {"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_every_problem_then_it_has_a_page_in_the_list(api: Api) -> None:
    listing = api.get("/api/v1/problems").text
    for code in ("invalidParameter", "unknownId", "notFound", "noRelease", "internalError"):
        assert f"/api/v1/problems/{code}" in listing
    api.problem("/api/v1/problems/nothing", 404, "notFound")


def test_accept_that_excludes_json_then_406(api: Api) -> None:
    response = api.get("/api/v1/summary", {"accept": "text/csv"})
    assert (response.status_code, response.json()["code"]) == (406, "notAcceptable")


def test_address_that_is_too_long_then_414(api: Api) -> None:
    api.problem("/api/v1/gap-drivers?facilityIds=" + "a" * 9000, 414, "uriTooLong")


def test_body_that_is_too_large_then_413(api: Api) -> None:
    response = api.request("POST", "/api/v1/summary", content=b"x" * (1024 * 1024 + 1))
    assert (response.status_code, response.json()["code"]) == (413, "contentTooLarge")


def test_unknown_parameter_then_400_names_what_is_allowed(api: Api) -> None:
    problem = api.problem("/api/v1/summary?colour=red&units=metric", 400, "invalidParameter")
    assert {error["parameter"]: error["received"] for error in problem["errors"]} == {
        "colour": "red",
        "units": "metric",
    }
    assert "productionDate, units, network, targetVersion, release, asKnownAt" in problem["detail"]


def test_trace_of_the_caller_then_it_comes_back_in_header_and_problem(api: Api) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = api.get("/api/v1/nowhere", {"traceparent": parent, "x-request-id": "abc"})
    assert response.json()["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    assert response.headers["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    assert response.headers["x-request-id"] == "abc"


def test_fault_inside_a_route_then_500_problem_that_gives_nothing_away(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(api.edge.desk, "answer", fails)
    response = api.get("/api/v1/gap-drivers?limit=99")
    assert (response.status_code, response.json()["code"]) == (500, "internalError")
    assert "secret" not in response.text
    assert any(record.exc_info for record in caplog.records)


def test_preflight_of_an_allowed_origin_then_what_it_may_send(api: Api) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "GET"}
    response = api.request("OPTIONS", "/api/v1/summary", asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "If-None-Match" in response.headers["access-control-allow-headers"]
    stranger = api.request("OPTIONS", "/api/v1/summary", {**asked, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize("path", ["/api/v1/summary", "/api/v1/nowhere", "/healthz", "/api/v1/summary?colour=red"])
def test_origins_in_turn_then_none_sees_the_previous_callers(api: Api, path: str) -> None:
    allowed = api.get(path, {"origin": ORIGIN})
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    for name in ("ETag", "Data-Version", "Data-Freshness", "traceparent"):
        assert name in allowed.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in api.get(path, {"origin": "https://evil.example"}).headers
    assert "access-control-allow-origin" not in api.get(path).headers


def test_many_at_once_for_an_answer_that_is_not_held_then_it_is_made_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    real = api.edge.desk.answer
    monkeypatch.setattr(api.edge.desk, "answer", lambda *given: calls.append(given) or real(*given))
    responses = api.gather(*["/api/v1/gap-drivers?limit=13"] * 20)
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert len(calls) == 1


def test_health_then_never_cached(api: Api) -> None:
    for path in ("/healthz", "/readyz"):
        response: httpx.Response = api.get(path)
        assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert api.body("/readyz")["dataVersion"] == api.get("/api/v1/summary").headers["data-version"]


def test_brotli_body_then_readable_by_the_library(api: Api) -> None:
    entry = api.edge.desk.current.get(("", "/api/v1/summary", b""))  # type: ignore[union-attr]
    assert entry is not None
    assert brotli.decompress(entry.encode("br").body) == entry.identity
