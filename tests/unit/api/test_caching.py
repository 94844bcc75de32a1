"""The bounded cache of encoded answers."""

from datetime import UTC, date, datetime

from api.caching import Entry, ReleaseCache, Stamp, Tagger, build_id
from api.facts import ReleaseFacts

DAY = date(2026, 11, 21)
FACTS = ReleaseFacts(
    release_id="20261122T050000Z-0123abcd",
    operator="tiny",
    is_synthetic=True,
    built_at=datetime(2026, 11, 22, 5, tzinfo=UTC),
    as_of=None,
    latest_day=DAY,
    days={DAY: (None, None)},
    identifiers={},
    assets={},
    sources=(),
)


def entry(size: int, tag: str = "tag") -> Entry:
    return Entry(b"x" * size, tag, Stamp.of(FACTS, DAY), "/api/v1/summary")


def test_encode_when_encodings_differ_then_their_tags_differ_too() -> None:
    answer = entry(2000)
    tags = {dict(answer.encode(encoding).headers)[b"etag"] for encoding in ("identity", "br", "zstd", "gzip")}
    assert len(tags) == 4
    assert answer.encode("br") is answer.encode("br")


def test_encode_when_a_body_is_small_then_it_stays_as_it_is() -> None:
    headers = dict(entry(100).encode("br").headers)
    assert b"content-encoding" not in headers
    assert headers[b"etag"] == b'"tag.identity"'


def test_put_when_memory_is_full_then_the_answer_unused_longest_leaves() -> None:
    cache = ReleaseCache(FACTS, max_bytes=10_000)
    for name in ("a", "b", "c", "d", "e", "f", "g", "h"):
        cache.put(("", name, b""), entry(600))
    assert cache.get(("", "a", b"")) is not None
    cache.put(("", "i", b""), entry(600))
    assert cache.get(("", "a", b"")) is not None
    assert cache.get(("", "b", b"")) is None
    assert cache.size <= 10_000


def test_put_when_an_answer_alone_is_too_large_then_it_is_not_held() -> None:
    cache = ReleaseCache(FACTS, max_bytes=10_000)
    cache.put(("", "a", b""), entry(5_000))
    assert cache.get(("", "a", b"")) is None
    assert len(cache) == 0


def test_put_when_the_same_key_comes_again_then_it_is_counted_once() -> None:
    cache = ReleaseCache(FACTS, max_bytes=10_000)
    for _ in range(50):
        cache.put(("", "a", b""), entry(500))
    assert (len(cache), cache.size) == (1, 1000)


def test_warm_when_half_of_the_memory_is_used_then_no_more_is_kept() -> None:
    cache = ReleaseCache(FACTS, max_bytes=10_000)
    cache.warm((("", str(number), b""), entry(1000)) for number in range(20))
    assert 0 < len(cache) < 6
    assert cache.size <= 5_000


def test_tag_when_anything_that_changes_the_body_changes_then_another_tag() -> None:
    tagger = Tagger("base")
    tags = {
        tagger.base("r1", "/p", b"q"),
        tagger.base("r2", "/p", b"q"),
        tagger.base("r1", "/o", b"q"),
        tagger.base("r1", "/p", b"p"),
        tagger.base("r1", "/p", b"q", scope="east"),
        Tagger("display").base("r1", "/p", b"q"),
    }
    assert len(tags) == 6
    assert tagger.base("r1", "/p", b"q") == Tagger("base").base("r1", "/p", b"q")
    assert len(build_id()) == 16
