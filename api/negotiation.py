"""Content negotiation: which encoding a caller prefers, whether JSON is accepted, which entity tags it holds."""

import gzip
from functools import lru_cache

import brotli  # type: ignore[import-untyped]  # ships no stubs
import zstandard

# Best first. Levels: what a release's documents cost to compress once against what they save (brotli 7 and zstd 9 within
# a few per cent of their best ratio at about 2 ms per 100 kB).
ENCODINGS = ("br", "zstd", "gzip")
IDENTITY = "identity"
MIN_BYTES = 512


def compress(body: bytes, encoding: str) -> bytes:
    """The body in an encoding; always the same bytes for the same body, as a strong entity tag demands."""
    if encoding == "br":
        return bytes(brotli.compress(body, quality=7))
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=9).compress(body)
    if encoding == "gzip":
        return gzip.compress(body, compresslevel=6, mtime=0)
    return body


@lru_cache(maxsize=256)
def choose_encoding(accept_encoding: bytes | None) -> str:
    """The encoding with the caller's highest weight, ours first among equals; identity when it named none of ours."""
    if not accept_encoding:
        return IDENTITY
    weights = _weights(accept_encoding.decode("latin-1").lower())
    anything = weights.get("*", 0.0)
    best, best_weight = IDENTITY, 0.0
    for encoding in ENCODINGS:
        weight = weights.get(encoding, anything)
        if weight > best_weight:
            best, best_weight = encoding, weight
    return best if best_weight >= weights.get(IDENTITY, 0.0) else IDENTITY


@lru_cache(maxsize=256)
def accepts_json(accept: bytes | None) -> bool:
    """Whether the caller takes application/json; the most specific range that it names decides."""
    if not accept:
        return True
    weights = _weights(accept.decode("latin-1").lower())
    for media_range in ("application/json", "application/*", "*/*"):
        if media_range in weights:
            return weights[media_range] > 0
    return False


@lru_cache(maxsize=1024)
def held_tags(if_none_match: bytes) -> frozenset[str]:
    """Entity tags without quotes and weakness, for the weak comparison that If-None-Match asks for."""
    tags = set()
    for part in if_none_match.decode("latin-1").split(","):
        tags.add(part.strip().removeprefix("W/").strip('"'))
    return frozenset(tags)


def _weights(header: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if name:
            weights[name] = weight
    return weights
