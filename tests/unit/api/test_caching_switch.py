"""What stands ready at the moment of a switch, what is held of other releases, and what a query that takes too long answers."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from api.caching import Entry, PastCache
from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.api.test_edge import PATHS
from tests.unit.warehouse.frames import publish_tiny
from warehouse.errors import QueryTimeout

KEY = ("", "/api/v1/summary", b"release=x")


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.fields["outcome"] for record in caplog.records if record.message == "request"]  # type: ignore[attr-defined]


def entry(size: int = 100) -> Entry:
    return Entry(b"x" * size, "tag", None, "route")  # type: ignore[arg-type]


def test_first_request_after_a_switch_when_its_answer_was_prepared_then_held_in_every_encoding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish_tiny(tmp_path, days=2)
    with Api(Settings(warehouse_dir=tmp_path, release_poll_seconds=60)) as api:
        before = api.get("/api/v1/summary").headers["data-version"]
        publish_tiny(tmp_path, days=3)
        assert api.edge.desk.refresh()
        held = api.edge.desk.current.get(("", "/api/v1/summary", b""))  # type: ignore[union-attr]
        assert held is not None
        assert set(held.encoded) == {"identity", "br", "zstd", "gzip"}
        caplog.clear()
        with caplog.at_level(logging.INFO):
            for path in (*PATHS[:5], "/api/v1/hubs/hub-alder/performance?window=30d", "/api/v1/facilities/fs-alder"):
                response = api.get(path, {"accept-encoding": "br"})
                assert response.status_code == 200
                assert response.headers["data-version"] != before
        assert outcomes(caplog) == ["held"] * 7


def test_answer_of_another_release_when_asked_again_then_held_until_a_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish_tiny(tmp_path, days=2)
    publish_tiny(tmp_path, days=3)
    with Api(Settings(warehouse_dir=tmp_path, cache_ttl_seconds=1000, release_poll_seconds=60)) as api:
        path = f"/api/v1/summary?release={first}"
        calls: list[Any] = []
        answer = api.edge.desk.answer
        monkeypatch.setattr(api.edge.desk, "answer", lambda *given: calls.append(given) or answer(*given))
        made, held = api.get(path), api.get(path)
        assert (made.status_code, held.content, held.headers["etag"]) == (200, made.content, made.headers["etag"])
        assert held.headers["data-version"] == first
        assert len(calls) == 1
        assert api.get(path, {"if-none-match": made.headers["etag"]}).status_code == 304
        assert len(calls) == 1
        publish_tiny(tmp_path, days=4)
        assert api.edge.desk.refresh()
        assert api.get(path).status_code == 200
        assert len(calls) == 2


def test_answers_of_other_releases_when_their_time_is_up_or_room_is_short_then_gone() -> None:
    now = [0.0]
    held = PastCache(10, 8000, lambda: now[0])
    held.put(KEY, entry(), "a")
    assert held.get(KEY, "a") is not None
    now[0] = 10.0
    assert held.get(KEY, "a") is None
    for n in range(100):
        held.put(("", "/api/v1/summary", b"%d" % n), entry(), "a")
    assert len(held) == 40
    assert held.get(("", "/api/v1/summary", b"0"), "a") is None
    held.put(KEY, entry(1000), "a")
    assert held.get(KEY, "a") is None  # larger than an eighth
    assert held.get(("", "/api/v1/summary", b"99"), "b") is None
    assert len(held) == 0
    never = PastCache(0, 8000)
    never.put(KEY, entry(), "a")
    assert len(never) == 0


def test_query_when_it_is_ended_at_its_limit_then_504_problem(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise QueryTimeout("query summary was ended")

    monkeypatch.setattr(api.edge.desk, "answer", fails)
    problem = api.problem("/api/v1/gap-drivers?limit=77", 504, "timeout")
    assert "30 s" in problem["detail"]
    assert api.get(problem["type"], {"accept": "text/html"}).status_code == 200


def test_request_when_no_thread_answers_in_time_then_504_and_what_waits_is_not_begun(tiny_warehouse: Path) -> None:
    release = Event()
    begun: list[int] = []

    def work(*_: object) -> None:
        begun.append(1)
        release.wait(30)

    with Api(Settings(warehouse_dir=tiny_warehouse, query_threads=1, request_timeout_seconds=0.2)) as api:
        api.edge.desk.answer = work  # type: ignore[method-assign, assignment]
        responses = api.gather("/api/v1/gap-drivers?limit=31", "/api/v1/gap-drivers?limit=32")
        release.set()
        assert [(r.status_code, r.json()["code"]) for r in responses] == [(504, "timeout")] * 2
    assert begun == [1]


def test_body_when_it_does_not_come_then_refused_and_nothing_waits_for_it(
    tiny_warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.data_releases.BODY_SECONDS", 0.05)

    async def dribble() -> AsyncIterator[bytes]:
        yield b'{"by": "someone", '
        await asyncio.Event().wait()

    with Api(Settings(warehouse_dir=tiny_warehouse)) as api:
        response = api.request(
            "POST",
            "/api/v1/data-releases/resume",
            {"content-type": "application/json", "host": "localhost"},
            content=dribble(),
        )
    assert (response.status_code, response.json()["code"]) == (400, "badRequest")
    assert "did not come" in response.json()["detail"]
