"""The sliding window: never more than the rate, honest about when to come again, apart by caller, shared where a store is."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import limits
from api.callers import ANYONE, EVERYTHING, Caller
from api.limits import Count, Limiter, Rate, RateLimits, Verdict, address_key, parse_rate
from api.settings import Settings, SettingsError
from tests.unit.api.client import Api

USER = Caller("user-1", None, frozenset(), frozenset({"read"}), EVERYTHING, is_authenticated=True)


class Clock:
    def __init__(self, at: float = 6000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def ask(limiter: Limiter, caller: str = "a") -> Verdict:
    return asyncio.run(limiter.ask(caller))


def passed(verdict: Verdict) -> bool:
    return verdict.retry_seconds is None


@settings(max_examples=50)
@given(st.integers(1, 20), st.lists(st.floats(0, 15), max_size=150))
def test_rate_when_requests_come_at_any_pace_then_no_fixed_window_passes_more(amount: int, pauses: list[float]) -> None:
    clock = Clock()
    limiter = Limiter(Rate("default", amount, 60), now=clock)

    async def run() -> list[float]:
        times = []
        for pause in pauses:
            clock.at += pause
            if passed(await limiter.ask("a")):
                times.append(clock.at)
        return times

    times = asyncio.run(run())
    for window in {t // 60 for t in times}:
        assert sum(t // 60 == window for t in times) <= amount
    # A burst at the end of a window and one at the beginning of the next together stay near the rate, not twice it.
    for begin in times:
        assert sum(begin <= t < begin + 30 for t in times) <= 1.5 * amount + 1


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(0, 59), st.integers(0, 120))
def test_refused_caller_when_it_waits_as_told_then_it_is_answered(amount: int, second: int, later: int) -> None:
    clock = Clock(6000.0 + second)
    limiter = Limiter(Rate("default", amount, 60), now=clock)
    for _ in range(amount):
        assert passed(ask(limiter))
    clock.at += later
    verdict = ask(limiter)
    while passed(verdict):
        verdict = ask(limiter)
    assert verdict.remaining == 0
    assert verdict.retry_seconds is not None and 1 <= verdict.retry_seconds <= 61
    clock.at += verdict.retry_seconds + 0.001
    assert passed(ask(limiter))


def test_headers_when_requests_are_counted_then_they_say_what_is_left() -> None:
    clock = Clock(6015.0)
    limiter = Limiter(Rate("default", 3, 60), now=clock)
    assert [ask(limiter).remaining for _ in range(3)] == [2, 1, 0]
    verdict = ask(limiter)
    assert dict(verdict.headers) == {b"ratelimit": b'"default";r=0;t=45', b"ratelimit-policy": b'"default";q=3;w=60'}
    assert "At most 3 requests in 60 s" in verdict.detail


def test_callers_when_there_are_more_than_are_counted_apart_then_the_others_share_one_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 3)
    limiter = Limiter(Rate("default", 2, 60), now=Clock())
    assert all(passed(ask(limiter, name)) for name in "abc")
    assert [passed(ask(limiter, name)) for name in "defg"] == [True, True, False, False]
    assert passed(ask(limiter, "a"))


class Together:
    """A store of replicas in memory."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int], int] = {}
        self.waited = 0

    async def settle(self, rate: Rate, caller: str, window: int, count: Count, *, wait: bool) -> int | None:
        if not wait:
            return None
        self.waited += 1
        whole = self.counts[(caller, window)] = self.counts.get((caller, window), 0) + count.own
        count.shared, count.own = whole, 0
        await asyncio.sleep(0)  # requests that came at the same time are counted before this one hears of it
        return whole

    async def close(self) -> None:
        """Nothing to close."""


def test_replicas_when_they_share_a_store_then_together_they_keep_the_rate() -> None:
    store = Together()
    replicas = [Limiter(Rate("default", 10, 60), store, Clock()) for _ in range(2)]
    answers = [passed(ask(replicas[n % 2])) for n in range(30)]
    assert sum(answers) == 10
    assert store.waited <= 12  # once refused, the store is not waited for


def test_requests_when_they_come_at_once_then_as_many_as_the_rate_pass_and_the_others_are_not_counted() -> None:
    store = Together()
    replicas = [Limiter(Rate("default", 5, 60), store, Clock()) for _ in range(2)]

    async def at_once() -> list[Verdict]:
        return await asyncio.gather(*(replicas[n % 2].ask("a") for n in range(12)))

    assert [passed(verdict) for verdict in asyncio.run(at_once())] == [True] * 5 + [False] * 7
    told = store.counts[("a", 100)]
    assert told + sum(replica._counts["a"].own for replica in replicas) == 5


def test_replicas_when_they_are_far_from_a_large_rate_then_the_store_is_not_waited_for() -> None:
    store = Together()
    limiter = Limiter(Rate("default", 1000, 60), store, Clock())
    assert all(passed(ask(limiter)) for _ in range(500))
    assert store.waited == 0
    assert passed(ask(limiter))
    assert (store.waited, store.counts) == (1, {("a", 100): 501})


def test_limits_when_a_caller_is_known_then_by_token_else_by_address_and_exports_apart() -> None:
    rates = RateLimits(Rate("default", 1, 60), Rate("exports", 2, 60))

    def verdict(path: str, caller: Caller, host: str = "10.0.0.1") -> Verdict | None:
        return asyncio.run(rates.ask({"path": path, "client": (host, 1)}, caller))

    def is_refused(path: str, caller: Caller, host: str = "10.0.0.1") -> bool:
        found = verdict(path, caller, host)
        assert found is not None
        return not passed(found)

    assert [is_refused("/api/v1/summary", ANYONE) for _ in range(2)] == [False, True]
    assert not is_refused("/api/v1/summary", ANYONE, "10.0.0.2")
    assert [is_refused("/api/v1/summary", USER) for _ in range(2)] == [False, True]
    assert [is_refused("/api/v1/exports/event", USER) for _ in range(3)] == [False, False, True]
    assert verdict("/healthz", ANYONE) is None


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("not an address", "not an address"),
    ],
)
def test_address_when_it_names_a_caller_then_a_site_is_one(host: str, key: str) -> None:
    assert address_key(host) == key


def test_rate_when_written_in_words_then_read_or_refused_with_what_is_allowed() -> None:
    assert parse_rate("default", "600/minute") == Rate("default", 600, 60)
    assert parse_rate("default", "5 per 10 seconds") == Rate("default", 5, 10)
    assert parse_rate("default", "OFF") is None
    for text in ("many", "0/minute", "5/year", "5"):
        with pytest.raises(ValueError, match="must"):
            parse_rate("default", text)


def test_settings_when_a_rate_or_redis_is_wrong_then_a_fault_names_it_and_no_password() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"RATE_LIMIT": "much", "REDIS_URL": "http://:secret@redis"})
    assert "RATE_LIMIT='much'" in str(caught.value)
    assert "REDIS_URL: must be redis://" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(Settings(redis_url="redis://:secret@redis"))


def test_api_when_a_caller_sends_too_much_then_429_with_when_to_come_again(tiny_warehouse: Path) -> None:
    given = Settings(warehouse_dir=tiny_warehouse, rate_limit=Rate("default", 3, 3600))
    with Api(given) as api:
        answers = [api.get("/api/v1/summary") for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=3600'
        assert [a.headers["ratelimit"].split(";")[1] for a in answers] == ["r=2", "r=1", "r=0", "r=0"]
        refused = answers[3]
        assert refused.json()["code"] == "tooManyRequests"
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 3600
        tag = answers[0].headers["etag"]
        assert api.get("/api/v1/summary", {"if-none-match": tag}).status_code == 429
        assert api.get("/healthz").status_code == 200
        assert "ratelimit" not in api.get("/readyz").headers


def test_exports_when_they_are_asked_for_then_they_have_a_rate_of_their_own(tiny_warehouse: Path) -> None:
    with Api(Settings(warehouse_dir=tiny_warehouse, rate_limit_exports=Rate("exports", 2, 86400))) as api:
        answers = [api.get("/api/v1/exports/nothing") for _ in range(3)]
        assert [answer.status_code == 429 for answer in answers] == [False, False, True]
        assert answers[0].headers["ratelimit-policy"] == '"exports";q=2;w=86400'
        assert "ratelimit" not in api.get("/api/v1/summary").headers
