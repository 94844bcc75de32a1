"""How a request proves who it is: nothing, Basic, or a token of the client credentials grant.

The token is asked with a plain form, so that any issuer works, loopback ones too; it is kept until shortly before it
expires and asked anew once when a server refuses it.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from pipelines.sources.config import Secret
from pipelines.sources.errors import Asking, SourceBroken

if TYPE_CHECKING:
    from pipelines.sources.http import Http
    from pipelines.sources.http_deadline import Deadline

# A token is given up this long before its end: clocks differ and a page takes time.
SKEW_SECONDS = 120.0


class Auth(Protocol):
    """Gives the Authorization header of a request."""

    def header(self, deadline: Deadline) -> str | None:
        """The header's value, or None for no header."""

    def refused(self, used: str | None) -> bool:
        """Told that a server answered 401 to `used`; True when another header can be had."""

    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be shown."""


class Anonymous:
    """No Authorization header."""

    def header(self, deadline: Deadline) -> str | None:
        """None, always."""
        return None

    def refused(self, used: str | None) -> bool:
        """False: there is nothing else to try."""
        return False

    def secrets(self) -> tuple[str, ...]:
        """None."""
        return ()


class Basic:
    """A user name and a password; a Windows account is `DOMAIN\\user`."""

    def __init__(self, username: str, password: Secret) -> None:
        joined = f"{username}:{password.reveal()}".encode()
        self._password = password
        self._encoded = base64.b64encode(joined).decode("ascii")

    def header(self, deadline: Deadline) -> str | None:
        """`Basic …`."""
        return f"Basic {self._encoded}"

    def refused(self, used: str | None) -> bool:
        """False: trying again only locks the account."""
        return False

    def secrets(self) -> tuple[str, ...]:
        """The password, plain and as sent."""
        return (self._password.reveal(), self._encoded)


class TokenAnswer(msgspec.Struct):
    """RFC 6749 §5.1; `expires_in` in seconds, which some issuers send as text."""

    access_token: str
    expires_in: float | str | None = None
    token_type: str = "Bearer"


class ClientCredentials:
    """A bearer token for an application, asked of `token_url` through `http` and shared by all threads."""

    def __init__(
        self,
        http: Http,
        *,
        token_url: str,
        client_id: str,
        client_secret: Secret,
        scope: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._clock = clock
        self._lock = threading.Lock()
        self._header: str | None = None
        self._ends_at = 0.0
        self._decoder = msgspec.json.Decoder(TokenAnswer)
        http.redactor.add(*self.secrets())

    def header(self, deadline: Deadline) -> str | None:
        """`Bearer …`, asked for when there is none or it is about to end. Raises what the issuer's failure is."""
        with self._lock:
            if self._header is None or self._clock() >= self._ends_at:
                self._header = self._ask(deadline)
            return self._header

    def refused(self, used: str | None) -> bool:
        """Drops the refused token, so that the next request asks for one. Another thread may have done so already."""
        with self._lock:
            if self._header == used:
                self._header = None
        return True

    def secrets(self) -> tuple[str, ...]:
        """The client's secret; tokens are added as they come."""
        return (self._client_secret.reveal(),)

    def _ask(self, deadline: Deadline) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret.reveal(),
        }
        if self._scope:
            form["scope"] = self._scope
        asking = Asking(self._http.source, "access token")
        try:
            answer = self._http.ask(
                asking, self._token_url, method="POST", form=form, decode=self._decoder.decode, deadline=deadline
            )
        except SourceBroken as error:
            raise SourceBroken(
                asking,
                asked=error.asked,
                came=error.came,
                status=error.status,
                what_next="not retried: check the client id, its secret and expiry, the scope and the token address",
            ) from None
        token = answer.value
        self._http.redactor.add(token.access_token)
        try:
            lifetime = float(token.expires_in) if token.expires_in is not None else 300.0
        except ValueError:
            lifetime = 300.0
        # A short-lived token keeps half of its life; otherwise the skew would leave none.
        self._ends_at = self._clock() + max(lifetime - SKEW_SECONDS, lifetime / 2.0)
        return f"Bearer {token.access_token}"
