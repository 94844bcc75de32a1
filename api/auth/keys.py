"""The provider's signing keys: read at the start and again before they are old, kept when a reading fails.

A token under an unknown key causes one reading for all who wait, and at most one in a cooldown whatever callers send.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec
from jwt.algorithms import RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from api.auth.provider import Provider, is_safe
from api.telemetry import logger

MAX_KEYS = 100
MAX_BYTES = 1024 * 1024
MIN_BITS = 2048
# How long a request under an unknown key waits for the reading that may bring it.
PATIENCE_SECONDS = 3.0


class KeysUnavailable(Exception):
    """The provider's keys could not be read; the message says of whom and what came."""


@dataclass(frozen=True)
class SigningKey:
    """One public key; `numbers` tells two keys under the same id apart."""

    kid: str
    public: Any
    numbers: tuple[int, int]


class Fetch(Protocol):
    """Reads addresses as bytes. Raises KeysUnavailable."""

    async def __call__(self, address: str) -> bytes:
        """The body of a 200."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


class KeyRing:
    """The keys in force. `get` never waits; `find` may wait for one reading. Belongs to one event loop."""

    def __init__(self, provider: Provider, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self.provider = provider
        self.readings = 0
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, SigningKey] = {}
        self._published_at: dict[str, float] = {}
        self._started_at: float | None = None
        self._reading: asyncio.Task[bool] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def kids(self) -> frozenset[str]:
        """Ids of the keys in force."""
        return frozenset(self._keys)

    def get(self, kid: str) -> SigningKey | None:
        """The key, if it is in force."""
        return self._keys.get(kid)

    async def find(self, kid: str) -> SigningKey | None:
        """The key, after one reading where it is unknown and the cooldown allows one; None when it stays unknown."""
        key = self._keys.get(kid)
        if key is not None:
            return key
        reading = self._reading
        if reading is None and self._cooling() == 0:
            reading = self._begin()
        if reading is not None:
            # Shielded: a caller that goes away takes the reading from nobody.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(reading), PATIENCE_SECONDS)
        return self._keys.get(kid)

    async def start(self) -> None:
        """Reads the keys, and from then on again before they are old. A provider that fails keeps nobody from starting."""
        await asyncio.shield(self._reading or self._begin())
        self._refreshing = asyncio.create_task(self._refresh())

    async def stop(self) -> None:
        """Ends reading."""
        for task in (self._refreshing, self._reading):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._refreshing = self._reading = None
        await self._fetch.close()

    def _cooling(self) -> float:
        """Seconds until the next reading is allowed; 0 when it is."""
        if self._started_at is None:
            return 0.0
        return max(0.0, self._started_at + self.provider.cooldown_seconds - self._clock())

    def _begin(self) -> asyncio.Task[bool]:
        self._started_at = self._clock()
        self.readings += 1
        self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _refresh(self) -> None:
        """Reads again and again; after a failure sooner, at first after the cooldown, then ever later up to the usual time."""
        delay = self.provider.refresh_seconds
        while True:
            await asyncio.sleep(delay)
            while (cooling := self._cooling()) > 0:
                await asyncio.sleep(cooling)
            succeeded = await asyncio.shield(self._reading or self._begin())
            retry = self.provider.cooldown_seconds if delay >= self.provider.refresh_seconds else 2 * delay
            delay = self.provider.refresh_seconds if succeeded else min(self.provider.refresh_seconds, retry)

    async def _read(self) -> bool:
        """One reading; True when it succeeded. A failure is logged, and the keys stay as they are."""
        try:
            async with asyncio.timeout(self.provider.timeout_seconds):
                published = await self._published()
        except (KeysUnavailable, TimeoutError) as fault:
            detail = str(fault) or f"no answer within {self.provider.timeout_seconds:g} s"
            fields = {"fault": detail, "of": self.provider.discovery_url, "keysInForce": len(self._keys)}
            logger.error("signing keys not read", extra={"fields": fields})
            return False
        except Exception as fault:  # noqa: BLE001 - whatever a provider answers, the keys in force stay
            logger.error("signing keys not read", exc_info=fault, extra={"fields": {"of": self.provider.discovery_url}})
            return False
        finally:
            self._reading = None
        self._merge(published)
        return True

    async def _published(self) -> dict[str, SigningKey]:
        """Keys as the provider publishes them now, through its discovery document, whose issuer must be the expected one."""
        document = _object(await self._fetch(self.provider.discovery_url), self.provider.discovery_url)
        issuer, address = document.get("issuer"), document.get("jwks_uri")
        if issuer != self.provider.issuer:
            raise KeysUnavailable(f"the discovery document's issuer is {issuer!r}, expected {self.provider.issuer!r}")
        if not isinstance(address, str) or not is_safe(address):
            raise KeysUnavailable(f"the discovery document's jwks_uri is {address!r}, expected an https address")
        keys = _object(await self._fetch(address), address).get("keys")
        if not isinstance(keys, list) or len(keys) > MAX_KEYS:
            raise KeysUnavailable(f"{address} does not list keys, or more than {MAX_KEYS}")
        usable = {key.kid: key for entry in keys if (key := signing_key(entry, self.provider)) is not None}
        if not usable:
            raise KeysUnavailable(f"{address} lists {len(keys)} keys, and none that signs RS256 tokens of the issuer")
        return usable

    def _merge(self, published: Mapping[str, SigningKey]) -> None:
        """Takes what is published; what no longer is stays for the grace, so that tokens under it do not fail at once."""
        now = self._clock()
        for kid, key in published.items():
            held = self._keys.get(kid)
            if held is None or held.numbers != key.numbers:
                self._keys[kid] = key
            self._published_at[kid] = now
        oldest_first = sorted(self._keys, key=self._published_at.__getitem__)
        excess = len(oldest_first) - 2 * MAX_KEYS
        for number, kid in enumerate(oldest_first):
            if kid not in published and (
                number < excess or now - self._published_at[kid] >= self.provider.grace_seconds
            ):
                del self._keys[kid], self._published_at[kid]
                logger.warning("signing key left", extra={"fields": {"kid": kid}})


def signing_key(entry: Any, provider: Provider) -> SigningKey | None:
    """The key of a JWKS entry; None for one that is no RSA key for RS256 signatures of the provider's issuer."""
    if not isinstance(entry, dict):
        return None
    kid, issuer = entry.get("kid"), entry.get("issuer")
    if not isinstance(kid, str) or not kid or entry.get("kty") != "RSA" or "d" in entry:
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    # Entra writes into each key which issuer it signs for, with a place for the tenant.
    if issuer is not None and str(issuer).replace("{tenantid}", provider.tenant_id) != provider.issuer:
        return None
    try:
        public = cast(Any, RSAAlgorithm.from_jwk({name: entry.get(name) for name in ("kty", "n", "e")}))
    except (InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    numbers = public.public_numbers()
    return SigningKey(kid, public, (numbers.n, numbers.e)) if public.key_size >= MIN_BITS else None


def _object(body: bytes, address: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KeysUnavailable(f"{address} does not answer with JSON") from None
    if not isinstance(found, dict):
        raise KeysUnavailable(f"{address} does not answer with a JSON object")
    return found


class HttpFetch:
    """Reads over HTTP with one client, which is made at the start for the cost of its certificates. No redirects."""

    def __init__(self, provider: Provider) -> None:
        import httpx  # loaded only where callers are authenticated

        # The environment's proxy stands between this machine and the internet, never between it and itself.
        self._client = httpx.AsyncClient(
            timeout=provider.timeout_seconds, trust_env=provider.authority.startswith("https://")
        )
        self._failures = httpx.HTTPError

    async def __call__(self, address: str) -> bytes:
        """The body of a 200. Raises KeysUnavailable for anything else."""
        body = b""
        try:
            async with self._client.stream("GET", address, headers={"accept": "application/json"}) as response:
                if response.status_code != 200:
                    raise KeysUnavailable(f"{address} answered {response.status_code}")
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_BYTES:
                        raise KeysUnavailable(f"{address} answered with more than {MAX_BYTES} bytes")
        except self._failures as fault:
            raise KeysUnavailable(f"{address} could not be read: {type(fault).__name__} {fault}".strip()) from None
        return body

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
