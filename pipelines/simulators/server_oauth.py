"""Client credentials, as OpenID providers give them: a token endpoint and the check of a bearer.

Tokens are random, expire by the machine's clock whatever the system's data clock says, and can be revoked, so that
a test can make a client ask again.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Who may ask for a token, and for which scope (empty: any)."""

    client_id: str
    client_secret: str
    scope: str = ""


class TokenIssuer:
    """Issues and checks bearer tokens of one client."""

    def __init__(self, credentials: ClientCredentials, *, lifetime: timedelta = timedelta(hours=1)) -> None:
        self.credentials = credentials
        self.lifetime = lifetime
        self._lock = threading.Lock()
        self._expiries: dict[str, float] = {}

    def fault_of(self, form: dict[str, str], basic: tuple[str, str] | None = None) -> str | None:
        """The OAuth error code of a token request, or none when a token may be given."""
        client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        if form.get("grant_type") != "client_credentials":
            return "unsupported_grant_type"
        known = self.credentials
        if not (
            secrets.compare_digest(client_id.encode(), known.client_id.encode())
            and secrets.compare_digest(secret.encode(), known.client_secret.encode())
        ):
            return "invalid_client"
        if known.scope and form.get("scope", "") != known.scope:
            return "invalid_scope"
        return None

    def issue(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(48)
        with self._lock:
            self._expiries[token] = time.monotonic() + self.lifetime.total_seconds()
        return token

    def accepts(self, authorization: str) -> bool:
        """Whether an Authorization header holds a token that is known and not expired."""
        scheme, _, token = authorization.partition(" ")
        with self._lock:
            expiry = self._expiries.get(token.strip())
        return scheme.lower() == "bearer" and expiry is not None and time.monotonic() < expiry

    def revoke(self) -> None:
        """Forget every token given so far."""
        with self._lock:
            self._expiries.clear()
