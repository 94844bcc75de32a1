"""Who calls and what they may see. A scope is part of every cache key and entity tag, and of every view of a release."""

from dataclasses import dataclass
from typing import Any

READ = "read"
MANAGE_RELEASES = "manageReleases"
PERMISSIONS = (READ, MANAGE_RELEASES)


@dataclass(frozen=True)
class Scope:
    """The assets that a caller may see; None for all of them, later ones included."""

    assets: frozenset[str] | None = None

    @property
    def key(self) -> str:
        """Text that is equal for equal scopes: empty for everything."""
        return "" if self.assets is None else "assets:" + ",".join(sorted(self.assets))

    def holds(self, asset_id: str | None) -> bool:
        """Whether something of the asset may be seen; what belongs to no asset is seen only by those who see all."""
        return self.assets is None or asset_id in self.assets


EVERYTHING = Scope()


@dataclass(frozen=True)
class Caller:
    """One caller: `subject` names it in logs and rate limits (never a name or an address), `permissions` are its rights.

    `expires_at`: when its token ends, in seconds since 1970; None without a token.
    """

    subject: str
    name: str | None
    roles: frozenset[str]
    permissions: frozenset[str]
    scope: Scope
    is_authenticated: bool
    expires_at: float | None = None


# Everyone, where callers are not authenticated (AUTH_MODE=none). Moving releases is then decided by where the call comes from.
ANYONE = Caller("anonymous", None, frozenset(), frozenset({READ}), EVERYTHING, is_authenticated=False)


def caller_of(scope: Any) -> Caller:
    """The caller that the edge put into a request's ASGI scope. Raises KeyError where the edge was passed by."""
    caller: Caller = scope["state"]["caller"]
    return caller
