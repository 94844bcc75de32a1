"""WebIds 2.0 of a simulated PI Web API: made as the vendor makes them, so that clients may decode them.

Full: marker, server GUID (bytes_le), point id (little-endian int32) and the upper-case path, each base64url without
padding; IDOnly leaves the path out.
"""

from __future__ import annotations

import base64
import binascii
import struct
import uuid
from typing import Literal

WebIdType = Literal["Full", "IDOnly"]

GUID_CHARACTERS = 22
POINT_ID_CHARACTERS = 6


class WebIdError(ValueError):
    """Not a WebId of this server."""


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        message = "The specified WebID is invalid."
        raise WebIdError(message) from None


def server_web_id(guid: uuid.UUID, name: str, kind: WebIdType = "Full") -> str:
    """The WebId of a data server."""
    return (
        f"F1DS{_encode(guid.bytes_le)}{_encode(name.upper().encode())}"
        if kind == "Full"
        else f"I1DS{_encode(guid.bytes_le)}"
    )


def point_web_id(guid: uuid.UUID, point_id: int, path: str, kind: WebIdType = "Full") -> str:
    r"""The WebId of a point; ``path`` is ``SERVER\TAG`` without the leading backslashes."""
    numbers = _encode(guid.bytes_le) + _encode(struct.pack("<i", point_id))
    return f"F1DP{numbers}{_encode(path.upper().encode())}" if kind == "Full" else f"I1DP{numbers}"


def set_web_id(guid: uuid.UUID, number: int) -> str:
    """The WebId of an enumeration set."""
    return f"I1MS{_encode(guid.bytes_le)}{_encode(struct.pack('<i', number))}"


def parse_point(web_id: str) -> tuple[uuid.UUID, int]:
    """Server GUID and point id of a Full or IDOnly WebId of a point; raises ``WebIdError``."""
    if web_id[:4] not in ("F1DP", "I1DP"):
        message = "The specified WebID is invalid."
        raise WebIdError(message)
    split = 4 + GUID_CHARACTERS
    guid = _decode(web_id[4:split])
    number = _decode(web_id[split : split + POINT_ID_CHARACTERS])
    if len(guid) != 16 or len(number) != 4:
        message = "The specified WebID is invalid."
        raise WebIdError(message)
    return uuid.UUID(bytes_le=guid), struct.unpack("<i", number)[0]
