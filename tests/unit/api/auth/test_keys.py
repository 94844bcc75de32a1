"""The provider's keys: read once for all, merged, kept through failures, and never asked for more often than agreed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from api.auth import keys as module
from api.auth.keys import KeyRing, KeysUnavailable, signing_key
from tests.unit.api.issuing import PROVIDER, Issuer, Published

FIRST, SECOND, THIRD = Issuer("first"), Issuer("second"), Issuer("third")


class Clock:
    """Monotonic seconds that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(published: Published, work: Callable[[KeyRing, Clock], Awaitable[None]], **changes: Any) -> KeyRing:
    """A ring that has started, through some work, then stopped."""

    async def main() -> KeyRing:
        clock = Clock()
        ring = KeyRing(replace(PROVIDER, **changes), published, clock)
        await ring.start()
        try:
            await work(ring, clock)
        finally:
            await ring.stop()
        return ring

    return asyncio.run(main())


async def nothing(_: KeyRing, __: Clock) -> None:
    return None


def test_start_then_keys_are_read_through_the_discovery_document() -> None:
    published = Published(FIRST.jwk())
    ring = run(published, nothing)
    assert ring.kids == {"first"}
    assert published.asked == [PROVIDER.discovery_url, published.keys_url]
    assert published.closed


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": PROVIDER.issuer + "/"},
        {"issuer": None},
        {"jwks_uri": "http://elsewhere.example/keys"},
        {"jwks_uri": 7},
    ],
)
def test_discovery_when_it_is_not_the_expected_one_then_no_key_is_taken(discovery: dict[str, Any]) -> None:
    published = Published(FIRST.jwk())
    published.discovery = discovery
    assert run(published, nothing).kids == frozenset()


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"keys": 7}', b'{"keys": []}', b"\xff", b"[" * 100_000])
def test_key_set_when_it_cannot_be_read_then_the_keys_in_force_stay(answer: bytes) -> None:
    published = Published(FIRST.jwk())

    async def work(ring: KeyRing, clock: Clock) -> None:
        published.answers[published.keys_url] = answer
        clock.now += PROVIDER.cooldown_seconds
        assert await ring.find("second") is None
        assert ring.readings == 2
        assert ring.kids == {"first"}

    run(published, work)


@pytest.mark.parametrize("fault", [KeysUnavailable("down"), RuntimeError("anything")])
def test_start_when_the_provider_fails_then_it_starts_and_reads_later(fault: Exception) -> None:
    published = Published(FIRST.jwk())
    published.fault = fault

    async def work(ring: KeyRing, clock: Clock) -> None:
        assert ring.kids == frozenset()
        published.fault = None
        assert await ring.find("first") is None  # the cooldown holds after a failure too
        clock.now += PROVIDER.cooldown_seconds
        assert await ring.find("first") is not None

    run(published, work)


def test_unknown_kid_then_one_reading_for_all_who_wait_and_one_a_cooldown() -> None:
    published = Published(FIRST.jwk())

    async def work(ring: KeyRing, clock: Clock) -> None:
        published.keys.append(SECOND.jwk())
        clock.now += PROVIDER.cooldown_seconds
        found = await asyncio.gather(
            *(ring.find("second") for _ in range(50)), *(ring.find(f"x{n}") for n in range(50))
        )
        assert [key is not None for key in found] == [True] * 50 + [False] * 50
        assert ring.readings == 2
        for n in range(100):
            assert await ring.find(f"y{n}") is None
        assert ring.readings == 2
        clock.now += PROVIDER.cooldown_seconds
        await ring.find("z")
        assert ring.readings == 3

    run(published, work)


def test_known_kid_while_a_reading_hangs_then_it_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.02)
    published = Published(FIRST.jwk())

    async def work(ring: KeyRing, clock: Clock) -> None:
        hanging = asyncio.Event()

        async def never(_: str) -> bytes:
            hanging.set()
            await asyncio.Event().wait()
            return b""

        ring._fetch = never  # type: ignore[assignment]
        clock.now += PROVIDER.cooldown_seconds
        waiting = asyncio.create_task(ring.find("second"))
        await hanging.wait()
        assert ring.get("first") is not None
        assert await ring.find("first") is not None
        assert not waiting.done()
        assert await waiting is None
        ring._fetch = published

    run(published, work)


def test_waiting_caller_when_it_goes_away_then_the_reading_goes_on_for_the_others() -> None:
    published = Published(FIRST.jwk(), SECOND.jwk())

    async def work(ring: KeyRing, clock: Clock) -> None:
        ring._keys.pop("second")
        clock.now += PROVIDER.cooldown_seconds
        leaving = asyncio.create_task(ring.find("second"))
        staying = asyncio.create_task(ring.find("second"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying is not None
        assert ring.readings == 2

    run(published, work)


def test_key_when_no_longer_published_then_it_stays_for_the_grace_and_leaves() -> None:
    published = Published(FIRST.jwk())

    async def work(ring: KeyRing, clock: Clock) -> None:
        published.keys = [SECOND.jwk()]
        clock.now += PROVIDER.cooldown_seconds
        await ring.find("second")
        assert ring.kids == {"first", "second"}
        published.keys = [SECOND.jwk(), THIRD.jwk()]
        clock.now += PROVIDER.grace_seconds
        await ring.find("third")
        assert ring.kids == {"second", "third"}

    run(published, work)


def test_key_when_published_anew_then_the_same_object_unless_it_is_another_key() -> None:
    published = Published(FIRST.jwk())

    async def work(ring: KeyRing, clock: Clock) -> None:
        before = ring.get("first")
        clock.now += PROVIDER.cooldown_seconds
        await ring.find("x")
        assert ring.get("first") is before
        published.keys = [SECOND.jwk(kid="first")]
        clock.now += PROVIDER.cooldown_seconds
        await ring.find("x")
        assert ring.get("first") is not before

    run(published, work)


def test_refresh_then_keys_are_read_before_anybody_asks() -> None:
    published = Published(FIRST.jwk())

    async def main() -> None:
        ring = KeyRing(replace(PROVIDER, refresh_seconds=0.01, cooldown_seconds=0.01), published)
        await ring.start()
        published.keys.append(SECOND.jwk())
        async with asyncio.timeout(10):
            while ring.get("second") is None:
                await asyncio.sleep(0.005)
        await ring.stop()
        assert ring.readings >= 2

    asyncio.run(main())


@pytest.mark.parametrize(
    "changes",
    [
        {"kid": None},
        {"kid": ""},
        {"kty": "EC"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"use": "enc"},
        {"alg": "RS512"},
        {"n": "AQAB"},
        {"n": None},
        {"e": "!"},
        {"d": "AQAB"},
        {"issuer": "https://login.example/another/v2.0"},
    ],
)
def test_key_set_entry_when_it_signs_no_tokens_of_ours_then_left_out(changes: dict[str, Any]) -> None:
    assert signing_key(FIRST.jwk(**changes), PROVIDER) is None


def test_key_set_entry_when_short_or_no_object_then_left_out() -> None:
    assert signing_key(Issuer("short", bits=1024).jwk(), PROVIDER) is None
    assert signing_key("key", PROVIDER) is None


def test_key_set_entry_as_entra_writes_it_then_taken() -> None:
    entry = FIRST.jwk(x5t="x", x5c=["x"], issuer="https://login.example/{tenantid}/v2.0")
    assert signing_key(json.loads(json.dumps(entry)), PROVIDER) is not None
