"""Content negotiation."""

import gzip

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from api import negotiation
from api.negotiation import (
    ENCODINGS,
    EXPORTS,
    IDENTITY,
    MAX_KEPT_BYTES,
    accepted,
    accepts,
    choose_encoding,
    compress,
    held_tags,
    media_types,
)


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (None, "identity"),
        (b"", "identity"),
        (b"gzip, deflate, br, zstd", "br"),
        (b"gzip, zstd", "zstd"),
        (b"gzip;q=1.0, br;q=0.5", "gzip"),
        (b"br;q=0, gzip", "gzip"),
        (b"*", "br"),
        (b"br;q=0, *;q=0.5", "zstd"),
        (b"identity, gzip;q=0.5", "identity"),
        (b"deflate", "identity"),
        (b"br;q=nonsense, GZIP", "gzip"),
    ],
)
def test_choose_encoding_when_callers_weigh_then_the_best_of_ours(header: bytes | None, encoding: str) -> None:
    assert choose_encoding(header) == encoding


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, True),
        (b"*/*", True),
        (b"application/json", True),
        (b"text/html, application/*;q=0.5", True),
        (b"application/json;q=0, */*", False),
        (b"text/html", False),
        (b"application/problem+json", False),
    ],
)
def test_accepts_when_ranges_overlap_then_the_most_specific_decides(header: bytes | None, accepted: bool) -> None:
    assert accepts(header, "/api/v1/summary") is accepted


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "application/vnd.apache.parquet"),
        (b"*/*", "application/vnd.apache.parquet"),
        (b"text/csv", "text/csv"),
        (b"text/*;q=0.9, application/*;q=0.1", "text/csv"),
        (b"application/vnd.apache.arrow.stream, text/csv;q=0.5", "application/vnd.apache.arrow.stream"),
        (b"application/json", None),
        (b"text/csv;q=0", None),
    ],
)
def test_accepted_when_several_types_are_offered_then_the_callers_best(
    header: bytes | None, chosen: str | None
) -> None:
    assert accepted(header, media_types(EXPORTS + "production_daily")) == chosen


def test_accepts_of_an_export_then_its_route_decides() -> None:
    assert accepts(b"application/json", EXPORTS + "production_daily")
    assert media_types("/api/v1/summary") == ("application/json",)


def test_held_tags_when_weak_and_many_then_bare_tags() -> None:
    assert held_tags(b'W/"a.br", "b", *') == {"a.br", "b", "*"}


def test_held_tags_when_the_header_is_long_then_read_and_not_kept() -> None:
    before = negotiation._held_tags.cache_info().currsize
    for number in range(3):
        tag = str(number) * (MAX_KEPT_BYTES + 1)
        assert held_tags(f'"{tag}"'.encode()) == {tag}
        assert choose_encoding(b"br" + b" " * MAX_KEPT_BYTES + tag.encode()) == IDENTITY
    assert negotiation._held_tags.cache_info().currsize == before


@given(st.binary(max_size=2000))
def test_compress_for_any_body_then_it_comes_back_and_is_repeatable(body: bytes) -> None:
    back = {
        "br": brotli.decompress,
        "gzip": gzip.decompress,
        "zstd": lambda packed: zstandard.ZstdDecompressor().decompress(packed, max_output_size=4000),
    }
    for encoding in ENCODINGS:
        packed = compress(body, encoding)
        assert back[encoding](packed) == body
        assert compress(body, encoding) == packed
