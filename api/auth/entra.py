"""The gate of AUTH_MODE=entra: a bearer token in one Authorization header, verified, and turned into a caller with rights."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.auth.gate import METRICS, OPEN, STRANGER
from api.auth.keys import Fetch, HttpFetch, KeyRing
from api.auth.local import is_local
from api.auth.provider import Provider
from api.auth.roles import Policy
from api.auth.tokens import InvalidToken, Token, Verifier
from api.callers import READ, Caller
from api.problems import Problem
from api.telemetry import logger

REALM = "production"
SCHEME = b"bearer "
MAX_NAME = 200


@dataclass(frozen=True)
class Admission:
    """What a token comes to: the caller, and why it is refused where it may not even read."""

    caller: Caller
    refusal: str | None
    scope_needed: str | None


class EntraGate:
    """Admits callers by tokens of Entra ID, or of another provider that issues like it."""

    mode = "entra"

    def __init__(self, provider: Provider, policy: Policy, fetch: Fetch | None = None) -> None:
        self.provider = provider
        self.policy = policy
        self._fetch = fetch
        self.keys: KeyRing | None = None
        self.verifier: Verifier[Admission] | None = None

    async def start(self) -> None:
        """Reads the provider's keys, once now and again before they are old."""
        self.keys = KeyRing(self.provider, self._fetch or HttpFetch(self.provider))
        self.verifier = Verifier(self.provider, self.keys, self._admission)
        await self.keys.start()
        fields = {
            "authMode": self.mode,
            "issuer": self.provider.issuer,
            "keys": len(self.keys.kids),
            "roles": sorted(self.policy.roles),
            "scopes": sorted(self.policy.scopes),
        }
        logger.info("callers are authenticated", extra={"fields": fields})

    async def stop(self) -> None:
        """Ends reading keys."""
        if self.keys is not None:
            await self.keys.stop()

    async def admit(self, scope: Any, credentials: Sequence[bytes]) -> Caller:
        """The token's caller. Raises Problem unauthorized for no or a bad token, forbidden for one that may not read."""
        path = scope["path"]
        if OPEN.fullmatch(path) or (path == METRICS and not credentials and is_local(scope)):
            return STRANGER
        if not credentials:
            raise _unauthorized(
                "Send a bearer token in the header Authorization; a token anywhere else is not read", None
            )
        if len(credentials) > 1:
            raise _unauthorized("Authorization is given more than once; give it once", "invalid_request")
        header = credentials[0]
        if header[: len(SCHEME)].lower() != SCHEME:
            raise _unauthorized("Authorization must be: Bearer <token>", "invalid_request")
        if self.verifier is None:
            raise RuntimeError("the gate is asked before it was started")
        try:
            admission = await self.verifier.verify(header[len(SCHEME) :].strip(b" "))
        except InvalidToken as fault:
            raise _unauthorized(str(fault), "invalid_token") from None
        if admission.refusal is not None:
            scope_asked = f', scope="{admission.scope_needed}"' if admission.scope_needed else ""
            challenge = f'Bearer realm="{REALM}", error="insufficient_scope"{scope_asked}'
            raise Problem("forbidden", admission.refusal, headers={"www-authenticate": challenge})
        return admission.caller

    def demand(self, caller: Caller, permission: str) -> None:
        """Raises Problem forbidden, naming the roles that give it, unless the caller has the permission."""
        if permission not in caller.permissions:
            raise Problem("forbidden", self._needs(permission))

    def _needs(self, permission: str) -> str:
        roles = self.policy.granting(permission)
        named = f"which these roles give: {', '.join(roles)}" if roles else "which no role of this site gives"
        return f"This needs the permission {permission}, {named}."

    def _admission(self, token: Token) -> Admission:
        rights = self.policy.rights(token.roles, token.scopes)
        kind = "application" if token.scopes is None else "user"
        caller = Caller(
            subject=f"{kind}-{pseudonym(self.provider.tenant_id, token.holder)}",
            name=_name(token, kind),
            roles=rights.roles,
            permissions=rights.permissions,
            scope=rights.scope,
            is_authenticated=True,
            expires_at=token.expires_at,
        )
        if READ in rights.permissions:
            return Admission(caller, None, None)
        if token.scopes is not None and not token.scopes & self.policy.scopes.keys():
            scopes = sorted(self.policy.scopes)
            named = (
                f"one of the scopes {', '.join(scopes)}"
                if scopes
                else "a scope, and this site's roles.toml allows none"
            )
            return Admission(
                caller, f"A user's token needs {named}: ask for it when the token is requested.", " ".join(scopes)
            )
        detail = self._needs(READ)
        if not rights.roles:
            detail += " The token carries none of them."
        return Admission(caller, detail, None)


def pseudonym(tenant_id: str, holder: str) -> str:
    """A stable name for logs that tells callers apart and says nothing of them."""
    return hashlib.blake2b(f"{tenant_id}\0{holder}".encode(), digest_size=8, person=b"caller").hexdigest()


def _name(token: Token, kind: str) -> str:
    """What a decision is signed with: the user's name, or the application's id."""
    given = token.name if kind == "user" and token.name else f"{kind} {token.application or token.holder}"
    return "".join(letter if letter.isprintable() else " " for letter in given).strip()[:MAX_NAME] or kind


def _unauthorized(detail: str, error: str | None) -> Problem:
    challenge = f'Bearer realm="{REALM}"'
    if error is not None:
        challenge += f', error="{error}", error_description="{detail}"'
    return Problem("unauthorized", f"{detail}.", headers={"www-authenticate": challenge})
