"""Tokens of a real OpenID provider against the API as it is run: rotation, outage, floods, and every wrong token."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from tests.integration.openid import (
    CLIENT,
    COOLDOWN_SECONDS,
    TENANT,
    OpenIdProvider,
    ServedApi,
    openid_provider,
    served_api,
    until,
)
from tests.unit.warehouse.frames import publish_tiny

SUMMARY = "/api/v1/summary"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("warehouse")
    publish_tiny(directory, days=5, is_synthetic=False)
    return directory


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    with openid_provider() as running:
        yield running


@pytest.fixture(scope="module")
def first_kid(provider: OpenIdProvider) -> str:
    return provider.key()


@pytest.fixture(scope="module")
def api(
    provider: OpenIdProvider, first_kid: str, warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedApi]:
    with served_api(provider, warehouse, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(autouse=True)
def restored(provider: OpenIdProvider, first_kid: str) -> Iterator[None]:
    """Every test begins with a provider that works and publishes the first key."""
    provider.mode("ok")
    provider.publish(first_kid)
    yield
    provider.mode("ok")


def served(api: ServedApi, token: str) -> bool:
    return api.get(SUMMARY, token).status_code == 200


def error(response: httpx.Response) -> str:
    """What the challenge of a 401 says."""
    assert response.status_code == 401, response.text
    assert response.headers["content-type"] == "application/problem+json"
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="production"')
    return str(challenge)


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def content(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def test_tokens_of_users_and_applications_then_served_with_their_rights(
    api: ServedApi, provider: OpenIdProvider, first_kid: str
) -> None:
    user = api.get("/api/v1/me", provider.token(first_kid, claims={"roles": ["Production.Reader.East"]})).json()
    assert (user["name"], user["permissions"], [a["id"] for a in user["assets"]]) == (
        "Ada Engineer",
        ["read"],
        ["east"],
    )
    daemon = api.get("/api/v1/me", provider.application_token(first_kid)).json()
    assert (daemon["seesAllAssets"], daemon["name"]) == (True, "application daemon")
    refused = api.get(SUMMARY, provider.token(first_kid, claims={"roles": ["Nobody"]}))
    assert refused.status_code == 403
    assert "Production.Reader" in refused.json()["detail"]
    assert api.get(SUMMARY, provider.token(first_kid, claims={"scp": "openid"})).status_code == 403


def test_no_token_then_401_also_for_what_is_held(api: ServedApi, provider: OpenIdProvider, first_kid: str) -> None:
    tag = api.get(SUMMARY, provider.token(first_kid)).headers["etag"]
    for headers in ({}, {"if-none-match": tag}):
        response = api.get(SUMMARY, **headers)
        assert "error" not in error(response)
        assert "data-version" not in response.headers
    assert api.get("/healthz").status_code == 200
    assert api.get("/api/v1/openapi.json").status_code == 200


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://login.microsoftonline.com/0a1b2c3d-1111-2222-3333-444455556666/v2.0"}, "issuer"),
        ({"aud": "another"}, "another application"),
        ({"aud": [CLIENT, "another"]}, "wrong type"),
        ({"tid": "0a1b2c3d-1111-2222-3333-444455556667"}, "tenant"),
        ({"ver": "1.0"}, "version"),
        ({"exp": 1_700_000_000, "nbf": 1_600_000_000, "iat": 1_600_000_000}, "expired"),
        ({"nbf": 4_000_000_000, "exp": 4_100_000_000}, "not valid yet"),
        ({"iat": 4_000_000_000, "exp": 4_100_000_000}, "not valid yet"),
        ({"scp": None}, "ID token"),
        *(({name: None}, "lacks a claim") for name in ("iss", "aud", "tid", "ver", "oid", "exp", "nbf", "iat")),
    ],
)
def test_token_with_a_wrong_claim_then_401_that_says_which(
    api: ServedApi, provider: OpenIdProvider, first_kid: str, claims: dict[str, Any], said: str
) -> None:
    challenge = error(api.get(SUMMARY, provider.token(first_kid, claims=claims)))
    assert 'error="invalid_token"' in challenge
    assert said in challenge


def test_token_unsigned_or_signed_with_the_public_key_then_401(
    api: ServedApi, provider: OpenIdProvider, first_kid: str
) -> None:
    valid = provider.token(first_kid)
    assert served(api, valid)
    for algorithm in ("none", "None", "NONE"):
        said = unsigned({"alg": algorithm, "kid": first_kid, "typ": "JWT"}, content(valid))
        error(api.get(SUMMARY, f"{said}."))
        assert "RS256" in error(api.get(SUMMARY, f"{said}.{valid.split('.')[2]}"))
    jwk = provider.public_key(first_kid)
    public: Any = RSAAlgorithm.from_jwk(jwk)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    said = unsigned({"alg": "HS256", "kid": first_kid, "typ": "JWT"}, content(valid))
    for secret in (pem, pem.strip(), jwk["n"].encode(), json.dumps(jwk).encode()):
        signature = base64.urlsafe_b64encode(hmac.digest(secret, said.encode(), hashlib.sha256)).rstrip(b"=").decode()
        assert "RS256" in error(api.get(SUMMARY, f"{said}.{signature}"))


def test_token_under_an_unpublished_key_then_401(api: ServedApi, provider: OpenIdProvider, first_kid: str) -> None:
    hidden = provider.key(publish=False)
    assert "publish" in error(api.get(SUMMARY, provider.token(hidden)))
    # The same key under the kid of a published one.
    assert "signature" in error(api.get(SUMMARY, provider.token(hidden, header={"kid": first_kid})))


def test_token_in_the_query_or_twice_in_the_headers_then_401(
    api: ServedApi, provider: OpenIdProvider, first_kid: str
) -> None:
    token = provider.token(first_kid)
    error(api.get(f"{SUMMARY}?access_token={token}"))
    header = ("authorization", f"Bearer {token}")
    assert "invalid_request" in error(api.client().get(SUMMARY, headers=[header, header]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.binary(max_size=80).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")))
def test_any_bytes_as_a_token_then_401_and_never_an_error(api: ServedApi, value: bytes) -> None:
    # Written to the socket, past any client that would refuse to send them.
    with socket.create_connection(("127.0.0.1", urlsplit(api.base_url).port or 0), timeout=30) as connection:
        head = f"GET {SUMMARY} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer "
        connection.sendall(head.encode() + value + b"\r\n\r\n")
        status = int(connection.makefile("rb").readline().split()[1])
    # 400 is the HTTP server's, for bytes that no header may hold.
    assert status == (400 if any((byte < 32 and byte != 9) or byte == 127 for byte in value) else 401)


def test_rotation_under_load_then_every_valid_token_is_served(
    api: ServedApi, provider: OpenIdProvider, first_kid: str
) -> None:
    tokens = [provider.token(first_kid)]
    assert served(api, tokens[0])
    refused: list[tuple[int, str]] = []
    asked = [0] * 4
    stop = threading.Event()

    def load(worker: int) -> None:
        with httpx.Client(base_url=api.base_url, trust_env=False, timeout=30) as client:
            while not stop.is_set():
                # The newest token and older ones in turn.
                token = tokens[-1 - asked[worker] % min(2, len(tokens))]
                response = client.get(SUMMARY, headers={"authorization": f"Bearer {token}"})
                asked[worker] += 1
                if response.status_code != 200:
                    refused.append((response.status_code, response.headers.get("www-authenticate", "")))

    before = provider.readings()
    with ThreadPoolExecutor(len(asked)) as pool:
        workers = [pool.submit(load, worker) for worker in range(len(asked))]
        try:
            for rotation in range(3):
                # A key that comes within the cooldown of the last reading waits for its end; that is another test's.
                time.sleep(2 * COOLDOWN_SECONDS)
                # The hard way: published and used at once, and the key before it gone from the key set.
                tokens.append(provider.token(provider.key(retire=True)))
                counted = sum(asked)
                until(lambda n=counted, r=rotation: sum(asked) > n + 40 and provider.readings() - before > r)
        finally:
            stop.set()
        for done in workers:
            done.result()
    assert refused == []
    assert sum(asked) > 120
    # One reading a rotation, however many waited for it.
    assert provider.readings() - before == 3


def test_flood_of_unknown_kids_then_at_most_one_reading_a_cooldown(
    api: ServedApi, provider: OpenIdProvider, first_kid: str
) -> None:
    hidden = provider.key(publish=False)
    valid = provider.token(first_kid)
    assert served(api, valid)
    tokens = [provider.token(hidden, header={"kid": f"kid-{n}"}) for n in range(100)]
    before, started = provider.readings(), time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda token: api.get(SUMMARY, token).status_code, tokens * 4))
    assert set(answers) == {401}
    assert served(api, valid)
    readings = provider.readings() - before
    assert 1 <= readings <= 1 + (time.monotonic() - started) / COOLDOWN_SECONDS
    assert readings < len(answers) / 4


@pytest.mark.parametrize("mode", ["fail", "broken"])
def test_outage_then_known_keys_serve_unknown_are_refused_and_it_recovers(
    api: ServedApi, provider: OpenIdProvider, first_kid: str, mode: str
) -> None:
    known = provider.token(first_kid)
    assert served(api, known)
    provider.mode(mode)
    fresh = provider.token(provider.key())
    attempts = provider.attempts()
    until(lambda: api.get(SUMMARY, fresh).status_code == 401 and provider.attempts() > attempts)
    assert served(api, known)
    assert served(api, provider.token(first_kid, claims={"name": "Somebody New"}))  # not a remembered one
    provider.mode("ok")
    until(lambda: served(api, fresh))
    assert served(api, known)


def test_provider_that_hangs_then_known_keys_are_served_meanwhile(
    api: ServedApi, provider: OpenIdProvider, first_kid: str
) -> None:
    known = provider.token(first_kid)
    assert served(api, known)
    provider.mode("hang")
    fresh = provider.token(provider.key())
    client = api.client()
    with ThreadPoolExecutor(1) as pool:
        attempts = provider.attempts()

        def until_the_provider_hangs() -> int:
            # Asked again while the cooldown of an earlier test lasts.
            while True:
                status = client.get(SUMMARY, headers={"authorization": f"Bearer {fresh}"}).status_code
                if status != 401 or provider.attempts() > attempts:
                    return status

        waiting = pool.submit(until_the_provider_hangs)
        until(lambda: provider.attempts() > attempts)
        served_meanwhile = [served(api, known) for _ in range(20)]
        was_waiting = not waiting.done()
        assert waiting.result(timeout=30) == 401
    assert all(served_meanwhile)
    assert was_waiting
    provider.mode("ok")
    until(lambda: served(api, fresh))


@pytest.mark.slow
def test_start_while_the_provider_is_down_then_it_serves_once_the_provider_is_back(
    provider: OpenIdProvider, first_kid: str, warehouse: Path, tmp_path: Path
) -> None:
    provider.mode("fail")
    token = provider.token(first_kid)
    with served_api(provider, warehouse, tmp_path / "api") as late:
        assert late.get("/readyz").status_code == 200
        assert late.get(SUMMARY, token).status_code == 401
        # Another issuer's discovery document is no help.
        provider.mode("ok", issuer=f"{provider.authority}/{TENANT}")
        attempts = provider.attempts()
        until(lambda: late.get(SUMMARY, token).status_code == 401 and provider.attempts() > attempts)
        provider.mode("ok")
        until(lambda: late.get(SUMMARY, token).status_code == 200)
        lines = late.log.read_text()
    assert "signing keys not read" in lines
    assert "issuer is" in lines
    assert token not in lines
    assert token.split(".")[1] not in lines
