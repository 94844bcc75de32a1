"""Sign-in by Kerberos, with a library of the real one's interface: the tickets themselves need a domain."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from types import ModuleType

import httpx
import pytest

from pipelines.sources.config import PiConfig
from pipelines.sources.errors import SourceBroken
from pipelines.sources.pi_web_api import PiClient

CONFIG = PiConfig(base_url="https://pi.example/piwebapi", auth_mode="kerberos")


class Library:
    """What httpx-gssapi offers, as far as it is used; `ticket` None: there is none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ticket: str | None) -> None:
        class SPNEGOExchangeError(httpx.RequestError):
            pass

        class HTTPSPNEGOAuth(httpx.Auth):
            def __init__(auth, *, opportunistic_auth: bool = False) -> None:  # noqa: N805
                self.made += 1
                auth.opportunistic_auth = opportunistic_auth

            def auth_flow(auth, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:  # noqa: N805
                assert auth.opportunistic_auth
                if ticket is None:
                    raise SPNEGOExchangeError("initiating context failed: No Kerberos credentials available")
                request.headers["Authorization"] = f"Negotiate {ticket}"
                response = yield request
                if response.status_code == 401:
                    yield request

        self.made = 0
        module, exceptions = ModuleType("httpx_gssapi"), ModuleType("httpx_gssapi.exceptions")
        exceptions.SPNEGOExchangeError = SPNEGOExchangeError  # type: ignore[attr-defined]
        module.HTTPSPNEGOAuth, module.exceptions = HTTPSPNEGOAuth, exceptions  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "httpx_gssapi", module)
        monkeypatch.setitem(sys.modules, "httpx_gssapi.exceptions", exceptions)


def test_login_when_there_is_a_ticket_then_every_request_negotiates_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(monkeypatch, "dGlja2V0LW9mLXRoZS1tYWNoaW5l")
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization", ""))
        if request.url.path.endswith("/dataservers"):
            return httpx.Response(200, json={"Items": [{"WebId": "F1DS", "Name": "PI"}]})
        return httpx.Response(200, json={"Items": []})

    with PiClient(CONFIG, transport=httpx.MockTransport(answer)) as client:
        assert client.points(["SINUSOID"]) == {}
    assert len(seen) == library.made == 2
    assert set(seen) == {"Negotiate dGlja2V0LW9mLXRoZS1tYWNoaW5l"}


def test_login_when_the_server_refuses_the_ticket_then_broken_after_one_more_try_and_the_ticket_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Library(monkeypatch, "dGlja2V0LW9mLXRoZS1tYWNoaW5l")
    asked: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        told = f"Denied: {request.headers['authorization']}"
        return httpx.Response(401, text=told, headers={"WWW-Authenticate": "Negotiate"})

    with PiClient(CONFIG, transport=httpx.MockTransport(refuse)) as client, pytest.raises(SourceBroken) as caught:
        client.points(["SINUSOID"])
    assert len(asked) == 2
    assert "401" in str(caught.value) and "the server offers Negotiate" in str(caught.value)
    assert "dGlja2V0" not in str(caught.value)


def test_login_when_there_is_no_ticket_then_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Library(monkeypatch, None)
    now = datetime.now(UTC)
    with (
        PiClient(CONFIG, transport=httpx.MockTransport(lambda _: httpx.Response(500))) as client,
        pytest.raises(SourceBroken, match=r"no ticket for pi\.example.*kinit.*HTTP/pi\.example"),
    ):
        client.recorded({"SINUSOID": 1}, now - timedelta(hours=1), now)


def test_login_when_the_extra_is_not_installed_then_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx_gssapi", None)
    with pytest.raises(SourceBroken, match=r"pip install production-gap\[kerberos\].*GSSAPI library"):
        PiClient(CONFIG)


def test_library_when_it_logs_then_its_debug_lines_are_off_for_they_hold_tickets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Library(monkeypatch, "dGlja2V0")
    PiClient(CONFIG, transport=httpx.MockTransport(lambda _: httpx.Response(200))).close()
    assert logging.getLogger("httpx_gssapi.gssapi_").getEffectiveLevel() == logging.WARNING
