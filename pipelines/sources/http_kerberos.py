"""Sign-in with the machine's Kerberos ticket (SPNEGO), through the optional extra `kerberos` (httpx-gssapi).

Imported only where it is asked for: it needs the system's GSSAPI library, which most installations do not have.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Generator
from types import ModuleType
from typing import Any

import httpx

from pipelines.sources.errors import Asking, SourceBroken

_ASKED = "Kerberos (PI_AUTH_MODE=kerberos)"
# Its debug lines hold the tickets that it sends.
logging.getLogger("httpx_gssapi").setLevel(logging.WARNING)


class Kerberos(httpx.Auth):
    """Negotiates each request anew. Thread-safe: the library keeps one context a host, so every request gets its own.

    Raises SourceBroken where the extra is not installed, and from a request when there is no valid ticket.
    """

    def __init__(self, source: str) -> None:
        self._asking = Asking(source, "login")
        self._library: ModuleType = self._imported()
        # Ready at once when the ticket is wrong, not on the first request.
        self._failures: tuple[type[Exception], ...] = tuple(
            failure
            for name in ("SPNEGOExchangeError", "MutualAuthenticationError")
            if isinstance(failure := getattr(self._library.exceptions, name, None), type)
        )

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The ticket goes with the first request, without waiting for a 401; what PI answers is handed on."""
        negotiation: Any = self._library.HTTPSPNEGOAuth(opportunistic_auth=True)
        try:
            yield from negotiation.auth_flow(request)
        except self._failures as error:
            raise SourceBroken(
                self._asking,
                asked=_ASKED,
                came=f"no ticket for {request.url.host}: {error}",
                what_next="not retried: give the account a ticket (kinit, or a keytab in KRB5_CLIENT_KTNAME), and check the "
                f"service's name HTTP/{request.url.host} with the domain's administrator",
            ) from None

    def _imported(self) -> ModuleType:
        try:
            library = importlib.import_module("httpx_gssapi")
            importlib.import_module("httpx_gssapi.exceptions")
        except ImportError as error:
            raise SourceBroken(
                self._asking,
                asked=_ASKED,
                came=f"an installation without it ({error})",
                what_next="not retried: pip install production-gap[kerberos], which needs the system's GSSAPI library "
                "(Debian: libkrb5-dev), or choose basic or bearer",
            ) from None
        return library
