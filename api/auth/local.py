"""Whether a request comes from this machine itself, past any proxy and by no page of another origin."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from api.auth.provider import is_loopback

NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
PROXY_HEADERS = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})


def is_local(scope: Any) -> bool:
    """A proxy on this machine makes every caller look local, and a page in a browser can be made to call: both are told by
    their headers and are not local."""
    client = scope.get("client")
    host = origin = b""
    for name, value in scope["headers"]:
        if name in PROXY_HEADERS:
            return False
        if name == b"host":
            host = value
        elif name == b"origin":
            origin = value
    return (
        client is not None
        and is_loopback(client[0])
        and _hostname(b"//" + host) in NAMES
        and (not origin or _hostname(origin) in NAMES)
    )


def is_elsewhere(scope: Any) -> bool:
    """Whether the peer's address is another machine's; a peer without an address, as on a local socket, is not."""
    client = scope.get("client")
    if client is None or client[0] == "127.0.0.1":
        return False
    try:
        ipaddress.ip_address(client[0])
    except ValueError:
        return False
    return not is_loopback(client[0])


def _hostname(address: bytes) -> str | None:
    try:
        return urlsplit(address.decode("latin-1")).hostname
    except ValueError:
        return None
