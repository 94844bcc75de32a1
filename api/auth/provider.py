"""The identity provider as settings name it: tenant, audiences, authority, and how often its keys may be asked for."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

PUBLIC_CLOUD = "https://login.microsoftonline.com"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True)
class Provider:
    """One tenant of Entra ID. `audiences` are the values of `aud` that name this API; times are in seconds.

    `refresh_seconds`: how often keys are read again. `cooldown_seconds`: least time between two readings, whatever callers
    send. `grace_seconds`: how long a key that the provider no longer publishes still counts, counted from its last publication.
    `timeout_seconds`: how long one reading may take.
    """

    tenant_id: str
    audiences: frozenset[str]
    authority: str = PUBLIC_CLOUD
    refresh_seconds: float = 3600.0
    cooldown_seconds: float = 15.0
    grace_seconds: float = 3600.0
    timeout_seconds: float = 5.0

    @property
    def issuer(self) -> str:
        """The only `iss` that is accepted: that of v2 tokens of the tenant."""
        return f"{self.authority}/{self.tenant_id}/v2.0"

    @property
    def discovery_url(self) -> str:
        """Address of the OpenID discovery document."""
        return f"{self.issuer}/.well-known/openid-configuration"


def guid(value: str) -> str:
    """An id of Entra in lower case, as tokens carry it. Raises ValueError for anything else, such as a domain or `common`."""
    if not _GUID.fullmatch(value.lower()):
        raise ValueError(
            "must be an id such as 00000000-0000-0000-0000-000000000000, as the app registration's page shows it"
        )
    return value.lower()


def authority(value: str) -> str:
    """Where the tenants are. Raises ValueError unless it is https, or http on this machine."""
    url = urlsplit(value.rstrip("/"))
    if not url.netloc or url.username or url.query or url.fragment or not is_safe(value):
        raise ValueError(f"must be https://host, such as {PUBLIC_CLOUD}; http only on loopback")
    return value.rstrip("/")


def is_safe(address: str) -> bool:
    """Whether keys may be read there: over https, or over http from this machine itself."""
    url = urlsplit(address)
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself; names but `localhost` are not."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
