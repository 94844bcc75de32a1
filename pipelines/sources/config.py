"""What a client must be told: addresses, credentials, time-outs.

Frozen, explicit, without defaults that hide a missing value of a site. A secret is a `Secret`: it prints as `***`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Literal

GRAPH_BASE_URL = "https://graph.microsoft.com/v1.0"
GRAPH_AUTHORITY = "https://login.microsoftonline.com"
GRAPH_SCOPE = "https://graph.microsoft.com/.default"

PiAuthMode = Literal["basic", "bearer", "anonymous", "kerberos"]
PI_AUTH_MODES: tuple[PiAuthMode, ...] = ("basic", "bearer", "anonymous", "kerberos")


class Secret:
    """A text that may be used and never shown: `reveal()` gives it, everything else gives `***`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the request that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format("***", format_spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled: pass the configuration's place instead")


NO_SECRET = Secret("")


def secrets_of(*holders: object) -> list[Secret]:
    """The secrets in the fields of dataclasses, and of dataclasses in them; empty ones left out, other objects ignored."""
    found: list[Secret] = []
    for holder in holders:
        if not is_dataclass(holder) or isinstance(holder, type):
            continue
        for value in (getattr(holder, field.name) for field in fields(holder)):
            found += [value] if isinstance(value, Secret) else secrets_of(value)
    return [secret for secret in found if secret]


@dataclass(frozen=True, kw_only=True)
class PiConfig:
    """One PI Web API. `base_url` is whole, up to and with `/piwebapi`; time-outs are seconds.

    `data_server` names the data archive where the Web API has several; empty takes the only one.
    """

    base_url: str
    auth_mode: PiAuthMode = "anonymous"
    username: str = ""
    password: Secret = NO_SECRET
    client_id: str = ""
    client_secret: Secret = NO_SECRET
    token_url: str = ""
    scope: str = "system"
    timeout_seconds: float = 60.0
    data_server: str = ""
    max_in_flight: int = 4


@dataclass(frozen=True, kw_only=True)
class SharePointConfig:
    """One SharePoint site through Microsoft Graph.

    `authority` with http is taken for a loopback server in tests and in the sandbox only; `list_id` and `drive_id`
    are defaults for a site that has one of each, and may be empty.
    """

    tenant_id: str
    client_id: str
    client_secret: Secret
    site_id: str
    list_id: str = ""
    drive_id: str = ""
    authority: str = GRAPH_AUTHORITY
    graph_scope: str = GRAPH_SCOPE
    graph_base_url: str = GRAPH_BASE_URL
    timeout_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class EcRestConfig:
    """Energy Components over HTTP. Paths, paging and fields stand in the site's `energy_components.toml`."""

    base_url: str
    token_url: str = ""
    client_id: str = ""
    client_secret: Secret = NO_SECRET
    scope: str = ""
    timeout_seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class EcOracleConfig:
    """Energy Components over Oracle Net; `timeout_seconds` is a login, a wait for a connection, one round trip."""

    host: str
    port: int
    service_name: str
    user: str
    password: Secret
    pool_min: int = 1
    pool_max: int = 4
    pool_inc: int = 1
    timeout_seconds: float = 120.0
