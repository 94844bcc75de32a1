"""Content negotiation: encodings that a caller prefers, media types that a path answers with, entity tags that it holds."""

import gzip
from collections.abc import Hashable
from functools import _lru_cache_wrapper, lru_cache
from typing import TypeVar

import brotli  # type: ignore[import-untyped]  # ships no stubs
import zstandard

from api.problems import MEDIA_TYPE, Problem

# Best first. Levels: what a release's documents cost to compress once against what they save (brotli 7 and zstd 9 within
# a few per cent of their best ratio at about 2 ms per 100 kB).
ENCODINGS = ("br", "zstd", "gzip")
IDENTITY = "identity"
MIN_BYTES = 512
JSON = "application/json"
EXPORTS = "/api/v1/exports/"
# Never ends: nobody may wait for its answer to be made.
STREAM = "/api/v1/stream"
# Media types that a path answers with; every other path answers with JSON only. A key that ends in `/` stands for all paths
# below it.
PATH_MEDIA_TYPES: dict[str, tuple[str, ...]] = {
    EXPORTS: (
        "application/vnd.apache.parquet",
        "text/csv",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.apache.arrow.stream",
    ),
    STREAM: ("text/event-stream",),
}

# Headers of ordinary length are read once; made-up long ones must not fill the memory.
MAX_KEPT_BYTES = 512

Read = TypeVar("Read")


def compress(body: bytes, encoding: str) -> bytes:
    """The body in an encoding; always the same bytes for the same body, as a strong entity tag demands."""
    if encoding == "br":
        return bytes(brotli.compress(body, quality=7))
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=9).compress(body)
    if encoding == "gzip":
        return gzip.compress(body, compresslevel=6, mtime=0)
    return body


def choose_encoding(accept_encoding: bytes | None) -> str:
    """The encoding with the caller's highest weight, ours first among equals; identity when it named none of ours."""
    return _remembered(_choose_encoding, accept_encoding)


@lru_cache(maxsize=256)
def _choose_encoding(accept_encoding: bytes | None) -> str:
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


def media_types(path: str) -> tuple[str, ...]:
    """The media types of a path's 200."""
    exact = PATH_MEDIA_TYPES.get(path)
    if exact is not None:
        return exact
    return next((types for key, types in PATH_MEDIA_TYPES.items() if key[-1] == "/" and path.startswith(key)), (JSON,))


def accepted(accept: bytes | None, offered: tuple[str, ...]) -> str | None:
    """The offered media type that the caller takes with the highest weight, ours first among equals; None when it takes none.

    For each offered type the most specific range that the caller names decides.
    """
    return _remembered(_accepted, accept, offered)


@lru_cache(maxsize=256)
def _accepted(accept: bytes | None, offered: tuple[str, ...]) -> str | None:
    if not accept:
        return offered[0]
    weights = _weights(accept.decode("latin-1").lower())
    best, best_weight = None, 0.0
    for media_type in offered:
        ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        weight = next((weights[media_range] for media_range in ranges if media_range in weights), 0.0)
        if weight > best_weight:
            best, best_weight = media_type, weight
    return best


def chooses_itself(path: str) -> bool:
    """Whether the path's route negotiates the media type and makes its own entity tags: an export, by `format` before Accept."""
    return path.startswith(EXPORTS)


def accepts(accept: bytes | None, path: str) -> bool:
    """Whether the caller takes an answer of the path, or the path's route is to say so."""
    return chooses_itself(path) or accepted(accept, media_types(path)) is not None


def unacceptable(accept: bytes | None, path: str) -> Problem:
    """The problem for a caller that takes no answer of the path."""
    said = (accept or b"").decode("latin-1")[:200]
    types = ", ".join(media_types(path))
    return Problem("notAcceptable", f"Answers are {types} (problems: {MEDIA_TYPE}); Accept was {said!r}.")


def held_tags(if_none_match: bytes) -> frozenset[str]:
    """Entity tags without quotes and weakness, for the weak comparison that If-None-Match asks for."""
    return _remembered(_held_tags, if_none_match)


@lru_cache(maxsize=1024)
def _held_tags(if_none_match: bytes) -> frozenset[str]:
    tags = set()
    for part in if_none_match.decode("latin-1").split(","):
        tags.add(part.strip().removeprefix("W/").strip('"'))
    return frozenset(tags)


def _remembered(read: "_lru_cache_wrapper[Read]", header: bytes | None, *more: Hashable) -> Read:
    if header is not None and len(header) > MAX_KEPT_BYTES:
        long: Read = read.__wrapped__(header, *more)
        return long
    return read(header, *more)


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
