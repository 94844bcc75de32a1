"""An identity provider's side of a token, made with `cryptography` alone: keys, key sets, signed tokens."""

import base64
import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from api.auth.provider import Provider

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
HOLDER = "99999999-8888-7777-6666-555555555555"
PROVIDER = Provider(TENANT, frozenset({CLIENT, f"api://{CLIENT}"}), "https://login.example")


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def encoded_json(content: Any) -> str:
    return encoded(json.dumps(content).encode())


@cache
def private_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key for each name, made once a session."""
    return rsa.generate_private_key(65537, bits)


@dataclass(frozen=True)
class Issuer:
    """Signs with the key of its name, under that name as kid."""

    kid: str = "first"
    bits: int = 2048
    more: dict[str, Any] = field(default_factory=dict)

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key as a key set lists it."""
        numbers = private_key(self.kid, self.bits).public_key().public_numbers()
        modulus = encoded(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big"))
        return {"kty": "RSA", "use": "sig", "kid": self.kid, "n": modulus, "e": "AQAB"} | changes

    def pem(self) -> bytes:
        """The public key as PEM."""
        return (
            private_key(self.kid)
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def signed(self, header: dict[str, Any], payload: bytes) -> str:
        """A compact token whatever header and payload say."""
        said = f"{encoded_json(header)}.{encoded(payload)}"
        signature = private_key(self.kid, self.bits).sign(said.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{said}.{encoded(signature)}"

    def token(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A user's token as Entra issues it, with claims changed; None takes a claim out."""
        given = {"typ": "JWT", "alg": "RS256", "kid": self.kid} | (header or {})
        content = {name: value for name, value in (claims() | changes).items() if value is not None}
        return self.signed(given, json.dumps(content).encode())

    def hmac_token(self, secret: bytes) -> str:
        """A token signed with HS256, the public key its secret."""
        said = f"{encoded_json({'typ': 'JWT', 'alg': 'HS256', 'kid': self.kid})}.{encoded_json(claims())}"
        signer = hmac.HMAC(secret, hashes.SHA256())
        signer.update(said.encode())
        return f"{said}.{encoded(signer.finalize())}"


def claims() -> dict[str, Any]:
    """Claims of a user's valid token of an hour."""
    now = int(time.time())
    return {
        "iss": PROVIDER.issuer,
        "aud": CLIENT,
        "tid": TENANT,
        "ver": "2.0",
        "oid": HOLDER,
        "sub": "subject",
        "azp": "spa",
        "name": "Ada Engineer",
        "preferred_username": "ada@example.com",
        "scp": "access_as_user",
        "roles": ["Production.Reader"],
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
    }


def application() -> dict[str, Any]:
    """What makes of it an application's token."""
    return {"scp": None, "idtyp": "app", "name": None, "preferred_username": None, "azp": "daemon"}


class Published:
    """Stands in for HTTP: answers the discovery document and the key set, and counts what was asked."""

    def __init__(self, *keys: dict[str, Any], provider: Provider = PROVIDER) -> None:
        self.keys: list[Any] = list(keys)
        self.provider = provider
        self.discovery: dict[str, Any] = {}
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.fault: Exception | None = None
        self.closed = False

    @property
    def keys_url(self) -> str:
        return f"{self.provider.authority}/{self.provider.tenant_id}/discovery/v2.0/keys"

    async def __call__(self, address: str) -> bytes:
        self.asked.append(address)
        if self.fault is not None:
            raise self.fault
        if address in self.answers:
            return self.answers[address]
        if address == self.provider.discovery_url:
            document = {"issuer": self.provider.issuer, "jwks_uri": self.keys_url} | self.discovery
            return json.dumps(document).encode()
        assert address == self.keys_url
        return json.dumps({"keys": self.keys}).encode()

    async def close(self) -> None:
        self.closed = True
