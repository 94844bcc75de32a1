"""The gate in front of the application: nothing of a release is said before a caller is admitted."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar

from api.app import HANDLERS
from api.auth import entra
from api.auth.environment import Authentication
from api.auth.gate import OpenGate
from api.auth.roles import Grant, Policy
from api.callers import MANAGE_RELEASES, READ
from api.problems import Problem
from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.api.issuing import HOLDER, PROVIDER, Issuer, Published, application
from tests.unit.warehouse.frames import publish_tiny
from warehouse.pointer import read_pointer

ORIGIN = "https://spa.example"
ISSUER = Issuer()
POLICY = Policy(
    {
        "Production.Reader": Grant(frozenset({READ}), None),
        "Production.Reader.East": Grant(frozenset({READ}), frozenset({"east"})),
        "Releases.Manager": Grant(frozenset({READ, MANAGE_RELEASES}), None),
    },
    {"access_as_user": Grant(frozenset({READ, MANAGE_RELEASES}), None)},
)
OPEN = (
    "/healthz",
    "/readyz",
    "/api/v1/openapi.json",
    "/api/v1/problems",
    "/api/v1/problems/unauthorized",
    "/api/v1/docs",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("real")
    publish_tiny(directory, days=5, is_synthetic=False)
    return directory


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    """The application with AUTH_MODE=entra over a release that is no fiction."""
    published = Published(ISSUER.jwk())
    patch = pytest.MonkeyPatch()
    patch.setattr(entra, "HttpFetch", lambda _: published)
    settings = Settings(
        warehouse_dir=folder,
        cors_allowed_origins=(ORIGIN,),
        release_poll_seconds=3600.0,
        authentication=Authentication("entra", provider=PROVIDER, policy=POLICY),
    )
    try:
        with Api(settings) as running:
            yield running
    finally:
        patch.undo()
    assert published.closed


def bearer(**claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {ISSUER.token(**claims)}"}


def challenged(response: httpx.Response, error: str | None) -> dict[str, Any]:
    """The problem of a 401 with its challenge."""
    assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json")
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="production"')
    assert (f'error="{error}"' in challenge) if error else ("error" not in challenge)
    assert response.headers["cache-control"] == "no-store"
    for name in ("etag", "data-version", "production-date", "data-freshness", "last-modified"):
        assert name not in response.headers
    body: dict[str, Any] = response.json()
    assert body["code"] == "unauthorized"
    return body


def test_every_route_without_a_token_then_401_but_for_health_and_documents(api: Api) -> None:
    routes = Litestar(list(HANDLERS), openapi_config=None).routes
    asked = 0
    for route in routes:
        path = route.path_format
        for name in ("{release_id}", "{hub_id}", "{terminal_id}", "{facility_id}", "{code}", "{name}", "{dataset}"):
            path = path.replace(name, "anything")
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            response = api.request(method, path)
            is_open = path.startswith(
                ("/healthz", "/readyz", "/api/v1/openapi.json", "/api/v1/problems", "/api/v1/docs")
            )
            if path == "/metrics":
                continue
            assert (response.status_code == 401) is not is_open, (method, path, response.status_code)
            asked += 1
    assert asked > 60


@pytest.mark.parametrize("path", OPEN)
def test_open_path_without_or_with_any_token_then_served(api: Api, path: str) -> None:
    assert api.get(path).status_code == 200
    assert api.get(path, {"authorization": "Bearer rubbish"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/summary",
        "/api//v1/summary",
        "/api/v1/summary/",
        "/api/v1//summary",
        "/api/v1/docs/../summary",
        "/api/v1/problems/../summary",
        "/api/v1/docs//summary",
        "/healthz/../api/v1/summary",
        "/api/v1/summary;/healthz",
        "/api/v1/openapi.json/",
        "/API/V1/summary",
        "/",
        "/anything",
        "/readyz/x",
    ],
)
def test_other_spellings_of_a_path_without_a_token_then_nothing_is_open_by_mistake(api: Api, path: str) -> None:
    async def ask() -> httpx.Response:
        # As the server hands a path on, past the client's own tidying.
        sent: list[Any] = []
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await api.edge(scope, receive, send)
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=sent[1]["body"])

    challenged(api._runner.run(ask()), None)


def test_token_of_a_reader_then_served_confirmed_and_held_alike(api: Api) -> None:
    first = api.get("/api/v1/summary", bearer())
    assert first.status_code == 200
    held = api.get("/api/v1/summary", bearer() | {"if-none-match": first.headers["etag"]})
    assert (held.status_code, held.content) == (304, b"")
    assert api.request("HEAD", "/api/v1/summary", bearer()).status_code == 200


def test_held_answer_and_known_tag_without_a_token_then_401(api: Api) -> None:
    tag = api.get("/api/v1/summary", bearer()).headers["etag"]
    challenged(api.get("/api/v1/summary", {"if-none-match": tag}), None)
    challenged(api.get("/api/v1/summary", {"if-none-match": "*"}), None)
    challenged(api.get("/api/v1/summary", {"if-none-match": tag, "authorization": "Bearer x"}), "invalid_token")


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("", "invalid_request"),
        ("Bearer", "invalid_request"),
        ("Basic dXNlcjpwYXNz", "invalid_request"),
        ("Bearer ", "invalid_token"),
        ("Bearer  ", "invalid_token"),
        ("Bearer a b", "invalid_token"),
        ("Bearer null", "invalid_token"),
        ("Bearer ..", "invalid_token"),
        ("Token {token}", "invalid_request"),
        ("Bearer {token}, Bearer {token}", "invalid_token"),
        ("Bearer {token}x.", "invalid_token"),
        ("Bearer ë", "invalid_token"),
    ],
)
def test_authorization_when_malformed_then_401_with_the_reason(api: Api, header: str, error: str) -> None:
    value = header.format(token=ISSUER.token()).encode("latin-1")
    response = api.request("GET", "/api/v1/summary", {"authorization": value})  # type: ignore[dict-item]
    challenged(response, error)


def test_scheme_in_any_case_then_read(api: Api) -> None:
    assert api.get("/api/v1/summary", {"authorization": f"bEARER {ISSUER.token()}"}).status_code == 200


def test_two_authorization_headers_then_refused_though_both_are_valid(api: Api) -> None:
    async def twice() -> httpx.Response:
        assert api._http is not None
        header = ("authorization", f"Bearer {ISSUER.token()}")
        return await api._http.get("/api/v1/summary", headers=[header, header])

    assert "more than once" in challenged(api._runner.run(twice()), "invalid_request")["detail"]


@pytest.mark.parametrize("place", ["access_token={}", "token={}", "authorization=Bearer%20{}"])
def test_token_in_the_query_then_not_read(api: Api, place: str) -> None:
    challenged(api.get(f"/api/v1/summary?{place.format(ISSUER.token())}"), None)


def test_token_in_a_cookie_or_a_body_then_not_read(api: Api) -> None:
    token = ISSUER.token()
    challenged(api.get("/api/v1/summary", {"cookie": f"access_token={token}; Authorization=Bearer {token}"}), None)
    form = {"content-type": "application/x-www-form-urlencoded"}
    challenged(api.request("GET", "/api/v1/summary", form, content=f"access_token={token}"), None)


@pytest.mark.parametrize(
    ("claims", "said"), [({"exp": 1_700_000_000}, "expired"), ({"aud": "x"}, "aud"), ({"tid": "x"}, "tid")]
)
def test_refusal_then_its_reason_stands_in_header_and_body_alike(api: Api, claims: dict[str, Any], said: str) -> None:
    response = api.get("/api/v1/summary", bearer(**claims))
    detail = challenged(response, "invalid_token")["detail"]
    assert said in detail
    assert f'error_description="{detail.removesuffix(".")}"' in response.headers["www-authenticate"]


def test_token_without_a_known_role_then_403_that_names_those_that_read(api: Api) -> None:
    response = api.get("/api/v1/summary", bearer(roles=["Somebody.Else"]))
    assert response.status_code == 403
    assert 'error="insufficient_scope"' in response.headers["www-authenticate"]
    detail = response.json()["detail"]
    assert "Production.Reader, Production.Reader.East, Releases.Manager" in detail
    assert "Somebody" not in detail
    assert api.get("/api/v1/summary", bearer(roles=None)).status_code == 403


def test_token_of_a_user_without_an_allowed_scope_then_403_that_names_it(api: Api) -> None:
    response = api.get("/api/v1/summary", bearer(scp="other openid"))
    assert response.status_code == 403
    assert 'scope="access_as_user"' in response.headers["www-authenticate"]
    assert "access_as_user" in response.json()["detail"]
    assert api.get("/api/v1/summary", bearer(scp="openid access_as_user")).status_code == 200


def test_token_of_an_application_then_its_roles_alone_count(api: Api) -> None:
    assert api.get("/api/v1/summary", bearer(**application())).status_code == 200
    assert api.get("/api/v1/summary", bearer(**application() | {"roles": None})).status_code == 403


def test_preflight_without_a_token_then_answered_and_the_challenge_is_readable_across_origins(api: Api) -> None:
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization",
    }
    preflight = api.request("OPTIONS", "/api/v1/summary", asked)
    assert preflight.status_code == 204
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    refused = api.get("/api/v1/summary", {"origin": ORIGIN})
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]


def test_metrics_then_open_on_loopback_past_any_proxy_and_else_for_readers(api: Api) -> None:
    local = {"host": "127.0.0.1:8000"}
    assert api.get("/metrics", local).status_code == 200
    challenged(api.get("/metrics", local | {"x-forwarded-for": "10.0.0.1"}), None)
    challenged(api.get("/metrics", {"host": "api.example"}), None)
    assert api.get("/metrics", {"host": "api.example"} | bearer()).status_code == 200
    challenged(api.get("/metrics", local | {"authorization": "Bearer x"}), "invalid_token")


def test_me_then_roles_permissions_assets_and_end_of_the_token(api: Api) -> None:
    response = api.get("/api/v1/me", bearer(roles=["Production.Reader.East", "Unknown"], exp=4_000_000_000))
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body | {"subject": ""} == {
        "authMode": "entra",
        "isAuthenticated": True,
        "subject": "",
        "name": "Ada Engineer",
        "roles": ["Production.Reader.East"],
        "permissions": ["read"],
        "seesAllAssets": False,
        "assets": [{"id": "east", "name": "East"}],
        "expiresAt": "2096-10-02T07:06:40Z",
    }
    everything = api.get("/api/v1/me", bearer(**application())).json()
    assert [asset["id"] for asset in everything["assets"]] == ["east", "west"]
    assert everything["seesAllAssets"]
    assert everything["name"] == "application daemon"
    assert everything["subject"].startswith("application-")
    assert api.get("/api/v1/me?x=1", bearer()).status_code == 400


def test_me_where_nobody_is_authenticated_then_anyone(folder: Path) -> None:
    with Api(Settings(warehouse_dir=folder, release_poll_seconds=3600.0)) as anyone:
        body = anyone.body("/api/v1/me")
    assert (body["authMode"], body["isAuthenticated"], body["subject"]) == ("none", False, "anonymous")
    assert (body["permissions"], body["expiresAt"], body["name"]) == (["read"], None, None)
    assert len(body["assets"]) == 2


def test_me_before_the_first_release_then_no_assets(tmp_path: Path) -> None:
    with Api(Settings(warehouse_dir=tmp_path, release_poll_seconds=3600.0)) as anyone:
        assert anyone.body("/api/v1/me")["assets"] is None


def test_log_then_a_pseudonym_and_nothing_of_the_token(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "production_gap.api")
    token = ISSUER.token()
    api.get("/api/v1/summary", {"authorization": f"Bearer {token}"})
    api.get("/api/v1/summary", {"authorization": f"Bearer {ISSUER.token(other=1)}"})
    api.get(f"/api/v1/summary?access_token={token}")
    api.get("/api/v1/summary", {"authorization": f"Bearer {token}x"})
    # The test's own client logs addresses too: only the API's lines count.
    ours = [record for record in caplog.records if record.name.startswith("production_gap")]
    lines = [record.fields for record in ours if record.getMessage() == "request"]  # type: ignore[attr-defined]
    assert [line["subject"] for line in lines][:2] == [lines[0]["subject"]] * 2
    assert lines[0]["subject"] == f"user-{entra.pseudonym(PROVIDER.tenant_id, HOLDER)}"
    assert [line["outcome"] for line in lines][2:] == ["unauthorized", "unauthorized"]
    everything = json.dumps([record.__dict__ for record in ours], default=str)
    for secret in (*token.split("."), HOLDER, "Ada", "ada@example.com"):
        assert secret not in everything


def test_synthetic_release_where_callers_are_authenticated_then_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_tiny(tmp_path, days=5)
    monkeypatch.setattr(entra, "HttpFetch", lambda _: Published(ISSUER.jwk()))
    settings = Settings(
        warehouse_dir=tmp_path,
        release_poll_seconds=3600.0,
        authentication=Authentication("entra", provider=PROVIDER, policy=POLICY),
    )
    with Api(settings) as running:
        assert running.get("/api/v1/summary", bearer()).status_code == 503


def test_activate_then_only_with_the_right_and_signed_with_the_tokens_name(api: Api, folder: Path) -> None:
    pointer = read_pointer(folder)
    assert pointer is not None
    path = f"/api/v1/data-releases/{pointer.release_id}/activate"
    remote = {"host": "api.example", "x-forwarded-for": "10.0.0.1"}
    asked = {"by": "Somebody Else", "reason": "totals look wrong"}

    refused = api.request("POST", path, remote | bearer(), json=asked)
    assert refused.status_code == 403
    assert "Releases.Manager" in refused.json()["detail"]
    # Being on this machine is no right where callers are authenticated.
    assert api.request("POST", path, {"host": "localhost"} | bearer(), json=asked).status_code == 403
    assert api.request("POST", path, {"host": "localhost"}, json=asked).status_code == 401

    manager = remote | bearer(roles=["Releases.Manager"])
    done = api.request("POST", path, manager, json=asked)
    assert (done.status_code, done.json()["heldBy"]) == (200, "Ada Engineer")
    assert api.request("POST", path, manager, json={"reason": "without by"}).json()["heldReason"] == "without by"
    resumed = api.request("POST", "/api/v1/data-releases/resume", manager, json={"reason": "fixed"})
    assert (resumed.status_code, resumed.json()["heldBy"]) == (200, None)


def test_activate_where_nobody_is_authenticated_then_by_is_needed(folder: Path) -> None:
    with Api(Settings(warehouse_dir=folder, release_poll_seconds=3600.0)) as anyone:
        for decision in ({"reason": "why"}, {"by": " ", "reason": "why"}):
            response = anyone.request("POST", "/api/v1/data-releases/resume", {"host": "localhost"}, json=decision)
            assert (response.status_code, response.json()["code"]) == (400, "badRequest")


@pytest.mark.parametrize(
    ("client", "is_served"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.8.8", 1), True),
        (("::1", 1), True),
        (("::ffff:127.0.0.1", 1), True),
        (None, True),
        (("10.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 1), False),
        (("2001:db8::1", 1), False),
    ],
)
def test_none_when_bound_past_the_settings_then_other_machines_are_refused_unless_allowed(
    client: tuple[str, int] | None, is_served: bool
) -> None:
    scope = {"client": client, "path": "/api/v1/summary"}
    asyncio.run(OpenGate(True, "0.0.0.0").admit(scope, ()))
    closed = OpenGate(False, "127.0.0.1")
    if is_served:
        assert asyncio.run(closed.admit(scope, ())).permissions == {READ}
        return
    with pytest.raises(Problem, match="AUTH_MODE=none"):
        asyncio.run(closed.admit(scope, ()))
    assert asyncio.run(closed.admit({**scope, "path": "/healthz"}, ())).subject == "anonymous"


def test_none_when_allowed_for_others_then_the_start_says_so_loudly(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "production_gap.api")
    asyncio.run(OpenGate(True, "0.0.0.0").start())
    asyncio.run(OpenGate(False, "127.0.0.1").start())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_expiry_in_me_then_that_of_the_token(api: Api) -> None:
    shown = api.get("/api/v1/me", bearer(exp=4_000_000_100)).json()["expiresAt"]
    assert datetime.fromisoformat(shown).timestamp() == 4_000_000_100
