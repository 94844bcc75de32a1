"""An answer's body, read whole and unpacked at once.

httpx unpacks gzip packet by packet and joins the pieces: for answers of megabytes half as dear again, and twice the memory.
"""

from __future__ import annotations

import zlib

import httpx

# What a trailer may promise before the bytes have come: deflate packs at most 1032 to 1.
_MOST_PACKED = 1032
_LARGEST_ROOM = 64 * 1024 * 1024
_WITH_GZIP_HEADER = 31


def read_whole(response: httpx.Response) -> tuple[httpx.Response, int]:
    """The answer with its body in `content`, and the bytes that came over the wire.

    The answer was sent for with `stream=True`, and is closed here. Raises what httpx raises, DecodingError for a packed
    body that is cut or broken.
    """
    try:
        if response.headers.get("content-encoding", "").strip().lower() not in ("gzip", "x-gzip"):
            response.read()
            # httpx ties an answer to its stream and back: untied, a body of megabytes is freed at once, not by the collector.
            response.stream = httpx.ByteStream(b"")
            return response, response.num_bytes_downloaded or len(response.content)
        packed = b"".join(response.iter_raw())
    finally:
        response.close()
    try:
        body = unpacked(packed)
    except zlib.error as error:
        raise httpx.DecodingError(str(error), request=response.request) from None
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _TOLD_OF_PACKED]
    whole = httpx.Response(response.status_code, headers=headers, content=body, request=response.request)
    return whole, len(packed)


_TOLD_OF_PACKED = (b"content-encoding", b"content-length", b"transfer-encoding")


def unpacked(packed: bytes) -> bytes:
    """What a gzip body holds; an empty body holds nothing. Raises zlib.error for one that is cut or broken."""
    if not packed:
        return b""
    # The trailer tells the length, so the output need not grow by doubling.
    told = int.from_bytes(packed[-4:], "little") + 1
    return zlib.decompress(packed, _WITH_GZIP_HEADER, min(told, _MOST_PACKED * len(packed), _LARGEST_ROOM))
