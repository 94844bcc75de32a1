"""Bearer tokens: v2 access tokens of one tenant for this API, signed with RS256 under one of the provider's keys.

What a token says is never repeated in a refusal: a refusal says which demand was not met.
"""

import base64
import binascii
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from jwt.algorithms import RSAAlgorithm
from msgspec import UNSET, Meta, Struct

from api.auth.keys import KeyRing, SigningKey
from api.auth.provider import Provider

LEEWAY_SECONDS = 60
MAX_BYTES = 16 * 1024
MAX_HELD = 4096
_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)

Text = Annotated[str, Meta(min_length=1, max_length=1024)]
# Seconds since 1970; up to the year 5138, so that arithmetic on them stays exact.
Instant = Annotated[int, Meta(ge=0, lt=100_000_000_000)] | Annotated[float, Meta(ge=0, lt=1e11)]


class InvalidToken(Exception):
    """The token is refused; the message is the answer's error_description."""


class _Header(Struct, frozen=True):
    alg: str
    kid: Text | None = None
    crit: Any = UNSET


class _Claims(Struct, frozen=True):
    iss: str
    aud: str
    tid: str
    ver: str
    oid: Text
    exp: Instant
    nbf: Instant
    iat: Instant
    scp: str | None = None
    idtyp: str | None = None
    roles: list[str] = []
    name: str | None = None
    preferred_username: str | None = None
    azp: str | None = None


_Part = TypeVar("_Part", _Header, _Claims)


@dataclass(frozen=True)
class Token:
    """What a verified token says. `scopes` is None for an application's own token; `expires_at` in seconds since 1970."""

    holder: str
    name: str | None
    application: str | None
    roles: frozenset[str]
    scopes: frozenset[str] | None
    expires_at: float


Admitted = TypeVar("Admitted")


@dataclass(frozen=True, slots=True)
class _Held(Generic[Admitted]):
    admitted: Admitted
    expires_at: float
    key: SigningKey


class Verifier(Generic[Admitted]):
    """Verifies tokens and remembers what came of the verified ones until they expire: then it costs a hash and a look-up.

    `admit` makes of a verified token what the application goes by; it runs once a token.
    """

    def __init__(
        self,
        provider: Provider,
        keys: KeyRing,
        admit: Callable[[Token], Admitted],
        clock: Callable[[], float] = time.time,
        max_held: int = MAX_HELD,
    ) -> None:
        self.provider = provider
        self.keys = keys
        self._admit = admit
        self._clock = clock
        self._max_held = max_held
        self._held: OrderedDict[bytes, _Held[Admitted]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    async def verify(self, raw: bytes) -> Admitted:
        """What `admit` made of the token. Waits only for a key that is not known. Raises InvalidToken."""
        # Its hash stands for the token: nothing in this process keeps a token longer than its request.
        name = hashlib.sha256(raw).digest()
        held = self._held.get(name)
        if held is not None:
            if held.expires_at + LEEWAY_SECONDS <= self._clock():
                del self._held[name]
                raise InvalidToken(_EXPIRED)
            if self.keys.get(held.key.kid) is held.key:
                self._held.move_to_end(name)
                return held.admitted
            # Its key left, or is another one now.
            del self._held[name]
        token, key = await self._read(raw)
        admitted = self._admit(token)
        self._held[name] = _Held(admitted, token.expires_at, key)
        if len(self._held) > self._max_held:
            self._held.popitem(last=False)
        return admitted

    async def _read(self, raw: bytes) -> tuple[Token, SigningKey]:
        parts = _COMPACT.fullmatch(raw) if len(raw) <= MAX_BYTES else None
        if parts is None:
            raise InvalidToken(f"The token is no signed JSON Web Token of at most {MAX_BYTES} bytes")
        header = _decoded(parts[1], _Header, "The token's header cannot be read")
        if header.alg != "RS256":
            raise InvalidToken("The token is not signed with RS256, the only algorithm that is accepted")
        if header.crit is not UNSET:
            raise InvalidToken("The token's header demands extensions that are not understood")
        if header.kid is None:
            raise InvalidToken("The token does not name the key that signed it (kid)")
        signature = _bytes(parts[3])
        key = await self.keys.find(header.kid)
        if key is None:
            raise InvalidToken("The token is signed with a key that the identity provider is not known to publish")
        if signature is None or not _RS256.verify(raw[: parts.end(2)], key.public, signature):
            raise InvalidToken("The token's signature is wrong")
        claims = _decoded(parts[2], _Claims, "The token lacks a claim that is needed, or one has the wrong type")
        return self._checked(claims), key

    def _checked(self, claims: _Claims) -> Token:
        provider, now = self.provider, self._clock()
        if claims.iss != provider.issuer:
            raise InvalidToken("The token is of another issuer, or of version 1 (iss)")
        if claims.tid != provider.tenant_id:
            raise InvalidToken("The token is of another tenant (tid)")
        if claims.ver != "2.0":
            raise InvalidToken(
                "The token is not of version 2.0 (ver): set requestedAccessTokenVersion to 2 in the manifest"
            )
        if claims.aud not in provider.audiences:
            raise InvalidToken("The token is for another application (aud): ask for a scope of this API")
        if claims.exp + LEEWAY_SECONDS <= now:
            raise InvalidToken(_EXPIRED)
        if claims.nbf - LEEWAY_SECONDS > now or claims.iat - LEEWAY_SECONDS > now:
            raise InvalidToken("The token is not valid yet (nbf, iat): compare the clocks")
        if claims.exp <= max(claims.nbf, claims.iat):
            raise InvalidToken("The token ends before it begins (exp)")
        scopes = _scopes(claims)
        return Token(
            holder=claims.oid,
            name=claims.name or claims.preferred_username,
            application=claims.azp,
            roles=frozenset(claims.roles),
            scopes=scopes,
            expires_at=float(claims.exp),
        )


_EXPIRED = "The token expired (exp)"


def _scopes(claims: _Claims) -> frozenset[str] | None:
    """Scopes of a user's token; None for an application's. An ID token is neither and may never pass for an access token."""
    if claims.scp is not None:
        if claims.idtyp not in (None, "user"):
            raise InvalidToken("The token is of a user and of an application at once (scp, idtyp)")
        return frozenset(claims.scp.split(" ")) - {""}
    if claims.idtyp != "app":
        raise InvalidToken(
            "The token carries no scope (scp) and is not marked as an application's (idtyp=app): it is an ID token, or the "
            "optional claim idtyp is not set in the app registration"
        )
    return None


def _bytes(part: bytes) -> bytes | None:
    try:
        return base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def _decoded(part: bytes, struct: type[_Part], refusal: str) -> _Part:
    content = _bytes(part)
    try:
        return msgspec.json.decode(content or b"", type=struct)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidToken(refusal) from None
