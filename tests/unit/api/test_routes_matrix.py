"""What every endpoint beyond the first six refuses, and how HEAD and tags behave there."""

import pytest

from tests.unit.api.client import Api

FACILITY = "/api/v1/facilities/fs-alder"
EVENTS = "/api/v1/events"
FRESHNESS = "/api/v1/data-freshness"
DICTIONARY = "/api/v1/data-dictionary"
EXPORT = "/api/v1/exports/production_daily"
ALL = (FACILITY, EVENTS, FRESHNESS, DICTIONARY, EXPORT)
OF_RELEASE = (FACILITY, EVENTS, DICTIONARY, EXPORT)


@pytest.mark.parametrize("path", ALL)
def test_unknown_parameter_then_400_that_names_what_is_allowed(api: Api, path: str) -> None:
    problem = api.problem(f"{path}?colour=red", 400, "invalidParameter")
    assert problem["errors"][0]["parameter"] == "colour"
    assert "allowed: " in problem["errors"][0]["detail"]


@pytest.mark.parametrize("path", ALL)
def test_parameter_given_twice_then_400(api: Api, path: str) -> None:
    api.problem(f"{path}?release=a&release=b", 400, "invalidParameter")


@pytest.mark.parametrize(
    ("address", "parameter"),
    [
        (f"{FACILITY}?units=metric", "units"),
        (f"{FACILITY}?network=water", "network"),
        (f"{EVENTS}?status=ajar", "status"),
        (f"{DICTIONARY}?kind=xml", "kind"),
        (f"{EXPORT}?format=json", "format"),
        (f"{EXPORT}?network=water", "network"),
    ],
)
def test_word_that_is_none_of_the_allowed_then_400_naming_them(api: Api, address: str, parameter: str) -> None:
    problem = api.problem(address, 400, "invalidParameter")
    assert problem["errors"][0]["parameter"] == parameter
    assert problem["errors"][0]["detail"].startswith("must be one of ")


@pytest.mark.parametrize("address", [f"{EVENTS}?facilityId=", f"{EXPORT}?assetId=", f"{FACILITY}?targetVersion="])
@pytest.mark.parametrize("value", ["x" * 201, ""])
def test_identifier_that_is_too_long_or_empty_then_400(api: Api, address: str, value: str) -> None:
    api.problem(address + value, 400, "invalidParameter")


@pytest.mark.parametrize("path", ALL)
def test_address_that_is_too_long_then_414(api: Api, path: str) -> None:
    api.problem(f"{path}?facilityId={'x' * 9000}", 414, "uriTooLong")


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_method_that_is_not_allowed_then_405_with_allow(api: Api, path: str, method: str) -> None:
    response = api.request(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "methodNotAllowed")
    assert "GET" in response.headers["allow"]


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/problem+json", "application/json;q=0"])
def test_accept_of_what_is_not_offered_then_406_that_names_it(api: Api, path: str, accept: str) -> None:
    response = api.get(path, {"accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (406, "application/problem+json")
    assert ("text/csv" if path == EXPORT else "application/json") in response.json()["detail"]


@pytest.mark.parametrize("path", ALL)
def test_head_then_the_headers_of_get_and_no_body(api: Api, path: str) -> None:
    get, head = api.get(path), api.request("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    for name in (
        "content-type",
        "etag",
        "data-version",
        "cache-control",
        "data-freshness",
        "content-disposition",
        "vary",
    ):
        assert head.headers.get(name) == get.headers.get(name), name


@pytest.mark.parametrize("path", OF_RELEASE)
def test_tag_that_the_caller_holds_then_304_for_get_and_head(api: Api, path: str) -> None:
    tag = api.get(path).headers["etag"]
    for method in ("GET", "HEAD"):
        held = api.request(method, path, {"if-none-match": f'"other", {tag}'})
        assert (held.status_code, held.content, held.headers["etag"]) == (304, b"", tag)
        assert held.headers["data-version"]
    assert api.get(path, {"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", OF_RELEASE)
def test_release_that_is_not_kept_then_410(api: Api, path: str) -> None:
    api.problem(f"{path}?release=20200101T000000Z-00000000", 410, "releaseExpired")


@pytest.mark.parametrize("path", OF_RELEASE)
def test_release_by_its_name_then_the_same_body_as_now(api: Api, path: str) -> None:
    now = api.get(path)
    named = api.get(f"{path}?release={now.headers['data-version']}")
    assert (named.status_code, named.content) == (200, now.content)
