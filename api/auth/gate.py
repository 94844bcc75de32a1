"""The gate: asked once a request, before anything of a release is said, cached answers and 304 included.

What is not listed as open needs the right to read, so that a new path, or another spelling of one, is never open by mistake.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from api.auth.local import is_elsewhere
from api.callers import ANYONE, MANAGE_RELEASES, Caller, Scope
from api.problems import Problem
from api.settings import Settings
from api.telemetry import logger

# Exact paths, in the one spelling: health, and documents that say nothing of a release.
OPEN = re.compile(
    r"/(?:healthz|readyz|api/v1/(?:openapi\.json|problems(?:/[A-Za-z]+)?|docs(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)?))"
)
METRICS = "/metrics"
# Whoever asks for an open path: should one ever answer with a release's data, there is nothing that this caller may see.
STRANGER = Caller("stranger", None, frozenset(), frozenset(), Scope(frozenset()), is_authenticated=False)


class Gate(Protocol):
    """Decides who calls. `mode` is AUTH_MODE."""

    mode: str

    async def start(self) -> None:
        """Before the first request."""
        ...

    async def stop(self) -> None:
        """After the last request."""
        ...

    async def admit(self, scope: Any, credentials: Sequence[bytes]) -> Caller:
        """The caller of a request with these Authorization headers. Raises Problem unauthorized or forbidden."""
        ...

    def demand(self, caller: Caller, permission: str) -> None:
        """Raises Problem forbidden, naming the roles that give it, unless the caller has the permission."""
        ...


class OpenGate:
    """AUTH_MODE=none: everyone on this machine is admitted, others only when settings say so. Authorization is not read."""

    mode = "none"

    def __init__(self, serves_others: bool, listens_on: str) -> None:
        self._serves_others = serves_others
        self._listens_on = listens_on

    async def start(self) -> None:
        """Says in the log that nobody is asked who they are."""
        fields = {"authMode": self.mode, "host": self._listens_on, "servesOtherMachines": self._serves_others}
        if self._serves_others:
            logger.warning(
                "AUTH_NONE_ALLOWED: EVERYONE who reaches this address is served unchecked", extra={"fields": fields}
            )
        else:
            logger.info("callers are not authenticated; only this machine is served", extra={"fields": fields})

    async def stop(self) -> None:
        """Nothing to end."""

    async def admit(self, scope: Any, credentials: Sequence[bytes]) -> Caller:
        """Anyone. A peer on another machine is refused even where the server was bound past HOST."""
        if not self._serves_others and is_elsewhere(scope) and not OPEN.fullmatch(scope["path"]):
            raise Problem(
                "forbidden",
                "Callers are not authenticated here (AUTH_MODE=none), so only this machine is served. Set AUTH_MODE=entra, or "
                "AUTH_NONE_ALLOWED=yes where the network itself keeps others out.",
            )
        return ANYONE

    def demand(self, caller: Caller, permission: str) -> None:
        """Nobody is given more than ANYONE has; who may move releases is decided by where the call comes from."""
        if permission not in caller.permissions and permission != MANAGE_RELEASES:
            raise Problem("forbidden", f"This needs the permission {permission}.")


def build_gate(settings: Settings) -> Gate:
    """The gate of AUTH_MODE. What checks tokens is loaded only where tokens are checked."""
    authentication = settings.authentication
    if authentication.mode == "none":
        return OpenGate(authentication.none_allowed, settings.host)
    from api.auth.entra import EntraGate

    if authentication.provider is None:
        raise ValueError("AUTH_MODE=entra needs a provider")
    return EntraGate(authentication.provider, authentication.policy)
