"""Bodies: unpacked whole, or refused."""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.http_body import read_whole, unpacked

BODY = b'{"Items":[' + b"1," * 3000 + b"1]}"


def answer(content: bytes, **headers: str) -> httpx.Response:
    request = httpx.Request("GET", "http://pi.example/piwebapi")

    def give(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(content))

    with httpx.Client(transport=httpx.MockTransport(give)) as client:
        return client.send(request, stream=True)


@given(st.binary(max_size=5000))
def test_unpacked_when_anything_was_packed_then_it_comes_back(content: bytes) -> None:
    assert unpacked(gzip.compress(content)) == content


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP"])
def test_whole_when_the_body_is_gzip_then_its_content_is_plain_and_wire_bytes_are_counted(coding: str) -> None:
    packed = gzip.compress(BODY)
    whole, received = read_whole(answer(packed, **{"Content-Encoding": coding, "X-Kept": "yes"}))
    assert (whole.content, received) == (BODY, len(packed))
    assert whole.headers["x-kept"] == "yes"
    assert "content-encoding" not in whole.headers


@pytest.mark.parametrize(("coding", "content"), [("identity", BODY), ("deflate", zlib.compress(BODY))])
def test_whole_when_the_body_is_otherwise_coded_then_httpx_reads_it(coding: str, content: bytes) -> None:
    whole, received = read_whole(answer(content, **{"Content-Encoding": coding}))
    assert (whole.content, received) == (BODY, len(content))


@pytest.mark.parametrize("cut", [1, 4, 8, 9, 40])
def test_whole_when_a_packed_body_is_cut_then_it_is_refused(cut: int) -> None:
    with pytest.raises(httpx.DecodingError):
        read_whole(answer(gzip.compress(BODY)[:-cut], **{"Content-Encoding": "gzip"}))


def test_whole_when_a_packed_body_is_altered_then_it_is_refused() -> None:
    packed = bytearray(gzip.compress(BODY))
    packed[-6] ^= 1
    with pytest.raises(httpx.DecodingError):
        read_whole(answer(bytes(packed), **{"Content-Encoding": "gzip"}))


def test_whole_when_a_trailer_promises_too_much_then_no_room_is_made_for_it() -> None:
    packed = gzip.compress(BODY)[:-4] + b"\xff\xff\xff\xff"
    with pytest.raises(httpx.DecodingError):
        read_whole(answer(packed, **{"Content-Encoding": "gzip"}))


def test_whole_when_the_body_is_empty_then_is_empty() -> None:
    whole, received = read_whole(answer(b"", **{"Content-Encoding": "gzip"}))
    assert (whole.content, received) == (b"", 0)
