"""Cursors of paged lists: opaque, bound to a release and to what was asked, and refused when anything in them was changed.

A page goes on in the release of the first one, whatever was published since. The check is no secret: a cursor opens nothing
that the query itself would not.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from api.parameters import RELEASE_ID

CHECK_BYTES = 6


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last row of a page: its position and id, in a release, of a list made with certain parameters."""

    release_id: str
    asked: str
    # Bound to a query: what the database cannot hold is no position of any row.
    position: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    row_id: str


_decoder = msgspec.json.Decoder(Cursor)


def fingerprint(path: str, arguments: Mapping[str, Any], without: frozenset[str]) -> str:
    """Hash of what decides which rows a list has, and in which order; `without` names the parameters that do not."""
    asked = sorted((name, str(value)) for name, value in arguments.items() if name not in without)
    return hashlib.blake2b(repr((path, asked)).encode(), digest_size=8).hexdigest()


def write(cursor: Cursor) -> str:
    """The cursor as text for an address."""
    body = msgspec.json.encode(cursor)
    return base64.urlsafe_b64encode(_check(body) + body).decode().rstrip("=")


def read(value: str) -> Cursor:
    """The cursor. Raises ValueError that says what is allowed."""
    fault = "must be `next` of an earlier answer, unchanged"
    try:
        raw = base64.b64decode(value.encode("ascii") + b"=" * (-len(value) % 4), altchars=b"-_", validate=True)
        check, body = raw[:CHECK_BYTES], raw[CHECK_BYTES:]
        cursor = _decoder.decode(body)
    except (ValueError, msgspec.DecodeError):
        raise ValueError(fault) from None
    # Written again: base64 has several spellings of the same bytes, JSON of the same values.
    if check != _check(body) or write(cursor) != value or not RELEASE_ID.fullmatch(cursor.release_id):
        raise ValueError(fault)
    return cursor


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=CHECK_BYTES, person=b"page cursor").digest()
