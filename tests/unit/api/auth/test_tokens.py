"""Which tokens are accepted, and what a refusal says."""

import asyncio
import json
import string
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.auth.keys import KeyRing
from api.auth.tokens import LEEWAY_SECONDS, MAX_BYTES, InvalidToken, Token, Verifier
from tests.unit.api.issuing import (
    CLIENT,
    HOLDER,
    PROVIDER,
    Issuer,
    Published,
    application,
    claims,
    encoded,
    encoded_json,
)

ISSUER = Issuer()


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def verifier(clock: Callable[[], float] = time.time, max_held: int = 4096) -> Verifier[Token]:
    published = Published(ISSUER.jwk())
    ring = KeyRing(PROVIDER, published)
    asyncio.run(_read(ring))
    return Verifier(PROVIDER, ring, lambda token: token, clock, max_held)


async def _read(ring: KeyRing) -> None:
    await ring.start()
    await ring.stop()


@pytest.fixture(scope="module")
def shared() -> Verifier[Token]:
    return verifier()


def verify(tokens: Verifier[Token], token: str | bytes) -> Token:
    return asyncio.run(tokens.verify(token.encode() if isinstance(token, str) else token))


def refusal(tokens: Verifier[Token], token: str | bytes) -> str:
    with pytest.raises(InvalidToken) as caught:
        verify(tokens, token)
    return str(caught.value)


def test_token_of_a_user_then_its_roles_scopes_name_and_end(shared: Verifier[Token]) -> None:
    given_claims = claims()
    token = verify(shared, ISSUER.token(**given_claims))
    assert token == Token(
        holder=HOLDER,
        name="Ada Engineer",
        application="spa",
        roles=frozenset({"Production.Reader"}),
        scopes=frozenset({"access_as_user"}),
        expires_at=float(given_claims["exp"]),
    )


def test_token_of_an_application_then_it_has_no_scopes(shared: Verifier[Token]) -> None:
    token = verify(shared, ISSUER.token(**application()))
    assert (token.scopes, token.application, token.name) == (None, "daemon", None)


def test_token_when_the_audience_is_the_configured_uri_then_accepted(shared: Verifier[Token]) -> None:
    assert verify(shared, ISSUER.token(aud=f"api://{CLIENT}")).holder == HOLDER


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iss": PROVIDER.issuer + "/"}, "another issuer"),
        ({"iss": "https://sts.windows.net/11111111-2222-3333-4444-555555555555/"}, "version 1"),
        ({"aud": "another-application"}, "another application"),
        ({"aud": CLIENT.upper()}, "another application"),
        ({"aud": [CLIENT]}, "wrong type"),
        ({"tid": "11111111-2222-3333-4444-555555555556"}, "another tenant"),
        ({"ver": "1.0"}, "requestedAccessTokenVersion"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"nbf": 4_000_000_000, "exp": 4_100_000_000}, "not valid yet"),
        ({"iat": 4_000_000_000, "exp": 4_100_000_000}, "not valid yet"),
        ({"exp": "9999999999"}, "wrong type"),
        ({"exp": True}, "wrong type"),
        ({"exp": 10**30}, "wrong type"),
        ({"nbf": -1}, "wrong type"),
        ({"roles": "Production.Reader"}, "wrong type"),
        ({"roles": [1]}, "wrong type"),
        ({"oid": ""}, "wrong type"),
        ({"scp": ["access_as_user"]}, "wrong type"),
        ({"scp": None}, "ID token"),
        ({"scp": None, "idtyp": "user"}, "ID token"),
        ({"idtyp": "app"}, "at once"),
        ({"idtyp": "device"}, "at once"),
    ],
)
def test_token_when_a_claim_is_wrong_then_refused_and_the_refusal_says_which(
    shared: Verifier[Token], changes: dict[str, Any], said: str
) -> None:
    assert said in refusal(shared, ISSUER.token(**changes))


def test_token_when_it_ends_before_it_begins_then_refused_although_both_are_within_the_skew(
    shared: Verifier[Token],
) -> None:
    now = int(time.time())
    assert "ends before it begins" in refusal(shared, ISSUER.token(iat=now + 40, exp=now + 30))


@pytest.mark.parametrize("name", ["iss", "aud", "tid", "ver", "oid", "exp", "nbf", "iat"])
def test_token_when_a_claim_is_missing_then_refused(shared: Verifier[Token], name: str) -> None:
    assert "lacks a claim" in refusal(shared, ISSUER.token(**{name: None}))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"alg": "none"}, "RS256"),
        ({"alg": "None"}, "RS256"),
        ({"alg": "rs256"}, "RS256"),
        ({"alg": "RS512"}, "RS256"),
        ({"alg": "PS256"}, "RS256"),
        ({"alg": ["RS256"]}, "header cannot be read"),
        ({"kid": None}, "does not name the key"),
        ({"kid": ""}, "header cannot be read"),
        ({"kid": 7}, "header cannot be read"),
        ({"kid": "another"}, "not known to publish"),
        ({"kid": "../first"}, "not known to publish"),
        ({"crit": ["b64"], "b64": False}, "extensions"),
        ({"crit": None}, "extensions"),
    ],
)
def test_token_when_its_header_is_wrong_then_refused(
    shared: Verifier[Token], header: dict[str, Any], said: str
) -> None:
    assert said in refusal(shared, ISSUER.token(header))


def test_token_without_signature_then_refused(shared: Verifier[Token]) -> None:
    said = f"{encoded_json({'alg': 'none', 'kid': ISSUER.kid})}.{encoded_json(claims())}"
    assert "no signed" in refusal(shared, f"{said}.")
    assert "RS256" in refusal(shared, f"{said}.AA")


def test_token_when_signed_with_the_public_key_as_secret_then_refused(shared: Verifier[Token]) -> None:
    for secret in (ISSUER.pem(), json.dumps(ISSUER.jwk()).encode()):
        assert "RS256" in refusal(shared, ISSUER.hmac_token(secret))


def test_token_when_signed_by_another_under_a_known_kid_then_refused(shared: Verifier[Token]) -> None:
    assert refusal(shared, Issuer("stranger").token({"kid": ISSUER.kid})) == "The token's signature is wrong"


def test_token_when_it_brings_its_own_key_then_the_key_is_not_read(shared: Verifier[Token]) -> None:
    stranger = Issuer("stranger")
    header = {
        "kid": ISSUER.kid,
        "jwk": stranger.jwk(),
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example",
    }
    assert "signature" in refusal(shared, stranger.token(header))


def test_token_when_a_claim_is_changed_after_signing_then_refused(shared: Verifier[Token]) -> None:
    header, _, signature = ISSUER.token().split(".")
    forged = encoded_json(claims() | {"roles": ["Releases.Manager"]})
    assert "signature" in refusal(shared, f"{header}.{forged}.{signature}")


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"\xff", b'{"iss":', b"9" * 5000, b"[" * 5000])
def test_token_when_signed_over_what_is_no_claims_then_refused(shared: Verifier[Token], payload: bytes) -> None:
    header = {"alg": "RS256", "kid": ISSUER.kid}
    assert refusal(shared, ISSUER.signed(header, payload))


def test_token_when_too_long_then_refused_before_it_is_read(shared: Verifier[Token]) -> None:
    assert str(MAX_BYTES) in refusal(shared, ISSUER.token(padding="x" * MAX_BYTES))


def test_refusals_then_they_repeat_nothing_of_the_token(shared: Verifier[Token]) -> None:
    for changes in ({"aud": "secret-aud"}, {"iss": "secret-iss"}, {"tid": "secret-tid"}, {"ver": "secret-ver"}):
        assert "secret" not in refusal(shared, ISSUER.token(**changes))


def test_token_at_its_ends_then_sixty_seconds_of_skew_are_forgiven_and_no_more() -> None:
    clock = Clock()
    tokens = verifier(clock)
    start = int(clock.now)
    token = ISSUER.token(iat=start, nbf=start, exp=start + 100)
    clock.now = start - LEEWAY_SECONDS - 1
    assert "not valid yet" in refusal(tokens, token)
    clock.now = start - LEEWAY_SECONDS
    assert verify(tokens, token)
    clock.now = start + 100 + LEEWAY_SECONDS - 1
    assert verify(tokens, token)
    assert verify(tokens, ISSUER.token(iat=start, nbf=start, exp=start + 100, other=1))
    clock.now = start + 100 + LEEWAY_SECONDS
    assert "expired" in refusal(tokens, token)  # one that is remembered
    assert "expired" in refusal(tokens, token)  # and one that is not
    assert LEEWAY_SECONDS <= 60


def test_verified_token_then_remembered_and_not_verified_again() -> None:
    tokens = verifier()
    token = ISSUER.token()
    first = verify(tokens, token)
    assert verify(tokens, token) is first
    assert len(tokens) == 1


def test_refused_token_then_not_remembered() -> None:
    tokens = verifier()
    refusal(tokens, ISSUER.token(aud="other"))
    assert len(tokens) == 0


def test_remembered_tokens_then_bounded_and_the_least_recently_used_leaves() -> None:
    tokens = verifier(max_held=2)
    a, b, c = (ISSUER.token(number=n) for n in range(3))
    first = verify(tokens, a)
    second = verify(tokens, b)
    assert verify(tokens, a) is first
    verify(tokens, c)
    assert len(tokens) == 2
    assert verify(tokens, a) is first
    assert verify(tokens, b) is not second


def test_remembered_token_when_its_key_left_then_refused() -> None:
    tokens = verifier()
    token = ISSUER.token()
    verify(tokens, token)
    tokens.keys._keys.clear()
    assert "not known to publish" in refusal(tokens, token)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.binary(max_size=300) | st.text(string.ascii_letters + string.digits + "-_.", max_size=120).map(str.encode)
)
def test_any_bytes_then_refused_and_never_an_error(shared: Verifier[Token], raw: bytes) -> None:
    assert refusal(shared, raw)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=_JSON, claim=st.sampled_from(sorted(claims())))
def test_any_signed_content_then_accepted_or_refused_and_never_an_error(
    shared: Verifier[Token], content: Any, claim: str
) -> None:
    token = ISSUER.signed(
        {"alg": "RS256", "kid": ISSUER.kid}, json.dumps(claims() | {claim: content}).encode("utf-8", "surrogatepass")
    )
    try:
        assert verify(shared, token).holder
    except InvalidToken as fault:
        assert str(fault)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), _JSON))
def test_any_header_then_refused_unless_it_is_the_right_one(shared: Verifier[Token], header: dict[str, Any]) -> None:
    token = f"{encoded(json.dumps(header).encode())}.{encoded_json(claims())}.{encoded(b'x' * 256)}"
    assert refusal(shared, token)
