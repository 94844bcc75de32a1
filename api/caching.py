"""Encoded bytes by release, scope, path, query and encoding, with their entity tags; bounded in memory.

A body is a pure function of release, scope and query, so its bytes live as long as the release is served. Answers of other
releases are held for a time and until the next switch, which may change what an instant in `asKnownAt` names.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property
from pathlib import Path

from api.cors import Header
from api.facts import ReleaseFacts
from api.freshness import Thresholds, thresholds
from api.negotiation import ENCODINGS, IDENTITY, MIN_BYTES, compress

# Scope key, path, query string.
Key = tuple[str, str, bytes]
VARY = (b"vary", b"Accept-Encoding, Origin")
REVALIDATE = (b"cache-control", b"private, no-cache")


@cache
def build_id() -> str:
    """Hash of the API's code and queries: a new build of the API never confirms an old build's entity tag."""
    digest = hashlib.blake2b(digest_size=8)
    here = Path(__file__).resolve().parent
    queries = here.parent / "warehouse" / "sql" / "queries"
    for file in [*sorted(here.rglob("*.py")), *sorted(queries.glob("*.sql"))]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class Tagger:
    """Makes entity tags; they differ by whatever the server's own settings change in a body."""

    def __init__(self, default_units: str) -> None:
        self._prefix = f"{build_id()}\0{default_units}\0".encode()

    def base(self, release_id: str, path: str, query: bytes, scope: str = "") -> str:
        """The tag's part that all encodings share. `scope` is what the caller may see."""
        digest = hashlib.blake2b(self._prefix, digest_size=12)
        digest.update(f"{release_id}\0{scope}\0{path}\0".encode())
        digest.update(query)
        return f"{release_id}.{digest.hexdigest()}"


@dataclass(frozen=True)
class Stamp:
    """What headers say of an answer's release."""

    release_id: str
    last_modified: str
    production_date: date
    thresholds: Thresholds

    @classmethod
    def of(cls, facts: ReleaseFacts, production_date: date) -> "Stamp":
        """The stamp of an answer about the production day."""
        return cls(facts.release_id, facts.last_modified, production_date, thresholds(facts.sources))

    @cached_property
    def headers(self) -> tuple[Header, ...]:
        """Those of every answer with this stamp."""
        return (
            (b"last-modified", self.last_modified.encode()),
            (b"data-version", self.release_id.encode()),
            (b"production-date", self.production_date.isoformat().encode()),
            REVALIDATE,
            VARY,
        )


def validators(stamp: Stamp, tag: str) -> tuple[Header, ...]:
    """Headers that a 200 and its 304 share."""
    return ((b"etag", f'"{tag}"'.encode()), *stamp.headers)


@dataclass(frozen=True)
class Encoded:
    """A body in one encoding with its fixed headers. The tuple is copied into each answer's own list."""

    body: bytes
    headers: tuple[Header, ...]


# What every release changes in every body: it would say that everything changed.
_METADATA = re.compile(rb'"(?:asOf|dataVersion)":(?:null|"[^"]*"),?|"freshness":\{[^}]*\},?')


@dataclass
class Entry:
    """One answer of a release in every encoding that was asked for so far.

    `is_carried`: made again because the last release was asked for it; false once this one is.
    """

    identity: bytes
    tag_base: str
    stamp: Stamp
    route: str
    encoded: dict[str, Encoded] = field(default_factory=dict)
    is_carried: bool = False

    @cached_property
    def content(self) -> bytes:
        """Digest of what the answer says, without its release's own metadata."""
        return hashlib.blake2b(_METADATA.sub(b"", self.identity), digest_size=16).digest()

    def encode(self, encoding: str) -> Encoded:
        """The body in the encoding; small bodies stay as they are."""
        if len(self.identity) < MIN_BYTES:
            encoding = IDENTITY
        found = self.encoded.get(encoding)
        return found or self.hold(encoding, compress(self.identity, encoding))

    def hold(self, encoding: str, body: bytes) -> Encoded:
        """Keeps the body in an encoding, with the headers that go with it."""
        extra = () if encoding == IDENTITY else ((b"content-encoding", encoding.encode()),)
        found = self.encoded[encoding] = Encoded(
            body,
            (
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *extra,
                *validators(self.stamp, f"{self.tag_base}.{encoding}"),
            ),
        )
        return found

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self.identity) + sum(len(e.body) for e in self.encoded.values() if e.body is not self.identity)


class ReleaseCache:
    """The answers of one release. Answers put before the switch are kept; later ones leave, oldest use first."""

    def __init__(self, facts: ReleaseFacts, max_bytes: int) -> None:
        self.facts = facts
        self.stamp = Stamp.of(facts, facts.latest_day)
        self._max_bytes = max_bytes
        self._warm: dict[Key, Entry] = {}
        self._recent: OrderedDict[Key, Entry] = OrderedDict()
        self._warm_bytes = 0
        self._recent_bytes = 0
        # Scopes whose prepared answers are not all held.
        self.incomplete: set[str] = set()

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._warm_bytes + self._recent_bytes

    def __len__(self) -> int:
        return len(self._warm) + len(self._recent)

    def __contains__(self, key: object) -> bool:
        return key in self._warm or key in self._recent

    def get(self, key: Key) -> Entry | None:
        """The answer, if it is held."""
        entry = self._warm.get(key)
        if entry is None:
            entry = self._recent.get(key)
            if entry is not None:
                self._recent.move_to_end(key)
                entry.is_carried = False
        return entry

    def asked(self, count: int) -> list[Key]:
        """What was asked for beyond the prepared answers, as many as that at most, the last used one last."""
        # One call into C each: the other threads' changes come before or after it.
        return [key for key, entry in list(self._recent.items()) if not entry.is_carried][-count:]

    def warm(self, entries: Iterable[tuple[Key, Entry]]) -> None:
        """Keeps answers in every encoding, as long as they fill at most half of the memory."""
        for key, entry in entries:
            for encoding in (IDENTITY, *ENCODINGS):
                entry.encode(encoding)
            if self._warm_bytes + entry.size > self._max_bytes // 2:
                self.incomplete.add(key[0])
                return
            self._warm[key] = entry
            self._warm_bytes += entry.size

    def prepared(self) -> Iterable[tuple[Key, Entry]]:
        """The answers that were made before the switch."""
        return self._warm.items()

    def put(self, key: Key, entry: Entry) -> None:
        """Holds an answer; one that alone is larger than an eighth of the memory is not held."""
        # Room for the compressed forms is set aside at once, so that encoding later cannot pass the bound.
        cost = 2 * len(entry.identity)
        if cost > self._max_bytes // 8:
            return
        previous = self._recent.pop(key, None)
        if previous is not None:
            self._recent_bytes -= 2 * len(previous.identity)
        self._recent[key] = entry
        self._recent_bytes += cost
        while self._recent_bytes + self._warm_bytes > self._max_bytes and self._recent:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= 2 * len(oldest.identity)


class PastCache:
    """Answers of releases that are not in force, held for some seconds within a bound; all leave when another release is in
    force."""

    def __init__(self, seconds: float, max_bytes: int, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._now = now
        self._held: OrderedDict[Key, tuple[float, Entry]] = OrderedDict()  # oldest first
        self._bytes = 0
        self._in_force: str | None = None

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Key, in_force: str) -> Entry | None:
        """The answer, if it is held, young enough, and was made while the same release was in force."""
        if in_force != self._in_force:
            self._clear(in_force)
            return None
        found = self._held.get(key)
        if found is None:
            return None
        if self._now() >= found[0]:
            self._drop(key)
            return None
        return found[1]

    def put(self, key: Key, entry: Entry, in_force: str) -> None:
        """Holds an answer; one that alone is larger than an eighth of the memory is not held."""
        cost = 2 * len(entry.identity)
        if self._seconds <= 0 or cost > self._max_bytes // 8:
            return
        if in_force != self._in_force:
            self._clear(in_force)
        self._drop(key)
        self._held[key] = (self._now() + self._seconds, entry)
        self._bytes += cost
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._held)))

    def _drop(self, key: Key) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self._bytes -= 2 * len(found[1].identity)

    def _clear(self, in_force: str) -> None:
        self._held.clear()
        self._bytes = 0
        self._in_force = in_force
