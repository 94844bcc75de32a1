"""One client's stream in process: it ends with its token, the server and its client; one that does not read is dropped."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from api import stream_connection
from api.callers import ANYONE, EVERYTHING, Caller
from api.problems import Problem
from api.settings import Settings
from api.stream import MAX_OF_CALLER, StreamHub
from api.stream_connection import EventStream
from api.stream_log import State
from tests.unit.api.client import Api
from tests.unit.api.test_stream_log import log, pointer, release
from warehouse.pointer import HISTORY, POINTER

STEP = Callable[["Client"], None]


def hub(state: State, most: int = 10) -> StreamHub:
    """A hub over a desk that has only what the hub asks of it."""
    desk = SimpleNamespace(
        settings=Settings(stream_heartbeat_seconds=0.02, stream_max_connections=most),
        reader=SimpleNamespace(add_on_open=lambda hook: None),
    )
    found = StreamHub(cast(Any, desk), ())
    found.state = state
    return found


def caller(expires_at: float | None = None) -> Caller:
    return Caller("user-1", None, frozenset(), frozenset({"read"}), EVERYTHING, True, expires_at)


class Client:
    """The other end: takes what is sent; `leave` ends it, `reads` says whether it takes anything more."""

    def __init__(
        self, hub: StreamHub, who: Caller = ANYONE, last_event_id: str | None = None, is_head: bool = False
    ) -> None:
        self.hub = hub
        self.sent: list[dict[str, Any]] = []
        self.leave = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.step: STEP = lambda _: None
        self.stream = EventStream(hub, last_event_id)
        self.scope = {"type": "http", "state": {"caller": who, "is_head": is_head}}

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    @property
    def is_ended(self) -> bool:
        return self.sent[-1].get("more_body") is False

    async def run(self, step: STEP = lambda _: None) -> "Client":
        """Until the stream ends; `step` runs after everything that was sent."""

        async def receive() -> Any:
            await self.leave.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await self.reads.wait()
            self.sent.append(message)
            step(self)

        async with asyncio.timeout(30):
            await self.stream(cast(Any, self.scope), receive, cast(Any, send))
        return self


def run(state: State, step: STEP = lambda _: None, **more: Any) -> Client:
    async def work() -> Client:
        return await Client(hub(state), **more).run(step)

    return asyncio.run(work())


THREE = log(pointer(1, 1), pointer(2, 2), pointer(3, 3))


def test_stream_when_the_token_expires_then_it_ends_as_an_answer_ends() -> None:
    client = run(THREE, who=caller(time.time() + 0.1))
    assert client.is_ended
    assert ": heartbeat" in client.text


def test_stream_when_the_server_stops_then_it_ends_at_once() -> None:
    client = run(THREE, lambda c: c.hub.stop() if "heartbeat" in c.text else None)
    assert client.is_ended
    assert client.text.count("heartbeat") == 1
    assert client.text.startswith("retry: ")


def test_stream_when_the_client_leaves_then_its_place_is_free() -> None:
    client = run(THREE, lambda c: c.leave.set() if "opened" in c.text else None)
    assert client.hub.connections == 0


def test_stream_when_asked_by_head_then_headers_only() -> None:
    client = run(THREE, is_head=True)
    assert [message["type"] for message in client.sent] == ["http.response.start", "http.response.body"]
    assert client.text == ""


def test_client_that_does_not_read_when_time_is_up_then_dropped_with_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_connection, "SEND_SECONDS", 0.05)
    with caplog.at_level(logging.WARNING):
        client = run(THREE, lambda c: c.reads.clear() if "opened" in c.text else None)
    assert not client.is_ended
    assert client.hub.connections == 0
    assert [record.message for record in caplog.records] == ["stream dropped: the client does not read"]


@pytest.mark.parametrize("held", ["rubbish", "7-99999999"])
def test_client_that_knows_what_nobody_knows_when_it_comes_then_reset(
    held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "BEHIND_SECONDS", 0.05)
    client = run(THREE, lambda c: c.leave.set() if "reset" in c.text else None, last_event_id=held)
    assert client.text.count("event: ") == 1
    assert '"sequence":3' in client.text


def test_client_of_a_faster_replica_when_this_one_follows_then_nothing_is_told_twice() -> None:
    told = log(*(pointer(n, n) for n in range(1, 5)))
    held = told.position.id()

    def follow(client: Client) -> None:
        if "heartbeat" in client.text:
            client.hub.state = told
        if client.text.count("heartbeat") > 2:
            client.leave.set()

    client = run(THREE, follow, last_event_id=held)
    assert "event:" not in client.text


def test_long_absence_when_the_client_returns_then_all_events_in_order_in_several_pieces() -> None:
    state = log(*(pointer(n, n) for n in range(1, 201)), keep=500)
    first = log(pointer(1, 1)).position.id()
    client = run(state, lambda c: c.leave.set() if '"sequence":200,' in c.text else None, last_event_id=first)
    sequences = [
        int(line.split('"sequence":')[1].split(",")[0]) for line in client.text.split("\n") if '"sequence":' in line
    ]
    assert sequences == list(range(2, 201))
    assert len(client.sent) > 4


def test_caller_when_it_has_many_streams_then_one_more_is_refused_and_others_are_not() -> None:
    async def work() -> None:
        crowded = hub(THREE, most=1000)
        places = [crowded.entered(caller()) for _ in range(MAX_OF_CALLER)]
        for place in places:
            place.__enter__()
        with pytest.raises(Problem) as caught:
            crowded.entered(caller()).__enter__()
        assert caught.value.kind.status == 429
        with crowded.entered(ANYONE):
            assert crowded.connections == MAX_OF_CALLER + 1
        places[0].__exit__(None, None, None)
        with crowded.entered(caller()):
            assert crowded.connections == MAX_OF_CALLER

    asyncio.run(work())


def test_stream_when_asked_over_http_then_documented_and_refused_where_it_should_be(api: Api) -> None:
    head = api.request("HEAD", "/api/v1/stream")
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "text/event-stream", b"")
    assert head.headers["cache-control"] == "no-store"
    assert api.get("/api/v1/stream", {"accept": "application/json"}).status_code == 406
    assert api.get("/api/v1/stream?lastEventId=3-01234567").status_code == 400
    document = api.body("/api/v1/openapi.json")["paths"]["/api/v1/stream"]["get"]
    assert list(document["responses"]["200"]["content"]) == ["text/event-stream"]
    assert {"429", "406", "400"} <= set(document["responses"])


def test_readiness_when_the_server_stops_then_not_ready_and_still_alive(tiny_warehouse: Path) -> None:
    with Api(Settings(warehouse_dir=tiny_warehouse)) as api:
        assert api.get("/readyz").status_code == 200
        cast(Any, api.edge.app).state.stopping.set()
        api.problem("/readyz", 503, "stopping")
        assert api.get("/healthz").status_code == 200
        assert api.get("/api/v1/summary").status_code == 200


def test_hub_when_a_copy_of_the_history_comes_late_then_the_gap_is_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stream.READ_AGAIN_SECONDS", 0.0)
    found = hub(State())
    desk: Any = found._desk
    desk.settings = Settings(warehouse_dir=tmp_path)
    desk.freshness = SimpleNamespace(words=dict)

    def follow(sequence: int, *known: int) -> list[int]:
        lines = b"".join(msgspec.json.encode(pointer(n, n)) + b"\n" for n in known)
        (tmp_path / HISTORY).write_bytes(lines)
        (tmp_path / POINTER).write_bytes(msgspec.json.encode(pointer(sequence, sequence)))
        desk.reader.pointer = lambda: pointer(sequence, sequence)
        desk.current = SimpleNamespace(facts=SimpleNamespace(release_id=release(sequence), latest_day=None))
        found.follow()
        return [move.sequence for move in found.state.moves]

    assert follow(1) == [1]
    assert follow(2) == [1, 2]
    assert follow(5, 1, 2) == [1, 2, 5]
    assert found.state.missed(log(pointer(1, 1), pointer(2, 2)).position) is None
    assert follow(5, 1, 2, 3, 4) == [1, 2, 3, 4, 5]
    assert [move.previous_release_id for move in found.state.moves[2:]] == [release(n) for n in (2, 3, 4)]
    # A pointer that names what is not served here is not told.
    desk.reader.pointer = lambda: pointer(6, 6)
    found.follow()
    assert len(found.state.moves) == 5
