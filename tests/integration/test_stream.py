"""The event stream against real servers: nothing is lost over a thousand dropped connections, replicas and a restart."""

import asyncio
import json
import random
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.releases_processes import Publisher, said, served
from tests.integration.stream_client import StreamClient
from warehouse.pointer import history, read_pointer
from warehouse.release import publish, release_ids
from warehouse.status import update_source


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    with Publisher() as running:
        yield running


@pytest.fixture(scope="module")
def kept(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that keeps three releases; tests only move its pointer."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    for n in range(3):
        publisher.publish(warehouse, n)
    return warehouse


def move(warehouse: Path) -> int:
    """Puts another kept release in force, as a publisher does at the end of a build; the new sequence."""
    pointer = read_pointer(warehouse)
    assert pointer is not None
    other = random.choice([kept for kept in release_ids(warehouse) if kept != pointer.release_id])
    return publish(warehouse, other, expected_sequence=pointer.sequence)[0].sequence


def run(work: Coroutine[object, object, object], seconds: float = 60) -> None:
    asyncio.run(asyncio.wait_for(work, seconds))


@pytest.mark.parametrize("drops", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_clients_when_connections_drop_at_random_bytes_then_every_release_is_told_once_and_in_order(
    kept: Path, tmp_path: Path, drops: int, record_property: Callable[[str, object], None]
) -> None:
    clients_count, moves = 20, 60
    begun = read_pointer(kept)
    assert begun is not None
    ports: list[int] = []
    done = threading.Event()
    cut = [0] * clients_count

    def finished(client: StreamClient) -> bool:
        return done.is_set() and bool(client.releases()) and client.releases()[-1] == begun.sequence + moves

    async def follow(client: StreamClient, number: int) -> None:
        chooser = random.Random(number)
        while not client.events:
            client.port = chooser.choice(ports)
            await client.read(until=lambda: client.events)
        while not finished(client):
            client.port = chooser.choice(ports)
            # Events have some hundred bytes: most cuts fall into one.
            is_cut = cut[number] < drops // clients_count
            cut[number] += is_cut
            try:
                await client.read(until=lambda: finished(client), cut_after=chooser.randint(1, 900) if is_cut else None)
            except (OSError, EOFError):  # the server that is replaced
                await asyncio.sleep(0.01)

    async def publish_all(clients: list[StreamClient]) -> None:
        while not all(client.events for client in clients):
            await asyncio.sleep(0.01)
        for n in range(moves):
            # At the pace of the cuts, so that releases are put in force until the last of them.
            while sum(cut) < drops * n / moves:
                await asyncio.sleep(0.005)
            if n == moves // 2:
                await asyncio.to_thread(replace)
            await asyncio.to_thread(move, kept)
        done.set()

    async def everything() -> list[StreamClient]:
        clients = [StreamClient(0) for _ in range(clients_count)]
        async with asyncio.TaskGroup() as group:
            group.create_task(publish_all(clients))
            for number, client in enumerate(clients):
                group.create_task(follow(client, number))
        return clients

    with ExitStack() as second, served(kept, tmp_path / "first") as port:
        ports += [port, second.enter_context(served(kept, tmp_path / "second"))]

        def replace() -> None:
            """One replica ends and another takes its place; clients resume on either."""
            ports.pop()
            second.pop_all().close()
            ports.append(second.enter_context(served(kept, tmp_path / "third")))

        started = time.monotonic()
        clients = asyncio.run(asyncio.wait_for(everything(), 200))
        seconds = time.monotonic() - started
    expected = list(range(begun.sequence + 1, begun.sequence + moves + 1))
    told = {pointer.sequence: pointer.release_id for pointer in history(kept)}
    for client in clients:
        assert client.releases() == expected
        published = [event.data for event in client.events if event.name == "release.published"]
        assert [data["releaseId"] for data in published] == [told[sequence] for sequence in expected]
        assert [data["previousReleaseId"] for data in published] == [told[sequence - 1] for sequence in expected]
        assert [event.name for event in client.events if event.name == "reset"] == []
    assert sum(cut) == drops
    assert [said(tmp_path / name) for name in ("first", "second", "third")] == [[], [], []]
    text = f"{drops} dropped connections, {moves} releases, {clients_count} clients, 0 lost events, {seconds:.1f} s"
    record_property("stream", text)
    sys.stdout.write(text + "\n")


def test_client_when_a_release_is_published_then_it_hears_of_it_and_finds_it_served(
    publisher: Publisher, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    warehouse = tmp_path / "warehouse"
    publisher.publish(warehouse, 0)
    with served(warehouse, tmp_path / "log") as port:
        client = StreamClient(port)
        published = 0.0
        served_then: list[str] = []

        async def work() -> None:
            nonlocal published
            reading = asyncio.ensure_future(client.read(until=lambda: client.releases() == [2]))
            while not client.events:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(publisher.publish, warehouse, 1)
            pointer = read_pointer(warehouse)
            assert pointer is not None
            published = pointer.changed_at_utc.timestamp()
            await reading
            heard = time.time()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/summary") as response:
                served_then.append(json.load(response)["dataVersion"])
            text = f"told {heard - published:.2f} s after the pointer moved"
            record_property("latency", text)
            sys.stdout.write(text + "\n")

        run(work())
    data = client.events[-1].data
    assert served_then == [data["releaseId"]]
    assert data["productionDate"] == "2026-11-21"
    assert {"/api/v1/summary", "/api/v1/hubs/hub-alder/performance"} <= set(data["changedResources"])
    assert client.answer["content-type"] == "text/event-stream"
    assert client.answer["cache-control"] == "no-store"
    assert client.answer["x-accel-buffering"] == "no"
    assert "content-encoding" not in client.answer


def test_client_when_nothing_happens_then_it_hears_a_sign_of_life_and_when_a_source_fails_then_of_that(
    kept: Path, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    for source in ("energy_components", "pi", "sharepoint"):
        update_source(kept, source, sla_seconds=86_400, data_as_of=now, last_success=now, last_error=None)
    with served(kept, tmp_path / "log", STREAM_HEARTBEAT_SECONDS="0.1") as port:
        client = StreamClient(port)

        async def work() -> None:
            await client.read(until=lambda: client.heartbeats >= 2)
            update_source(kept, "pi", sla_seconds=86_400, last_error="the server does not answer")
            await client.read(until=lambda: client.events[-1].name == "freshness.changed")
            held = client.last_id
            update_source(kept, "pi", sla_seconds=86_400, last_error=None, data_as_of=now - timedelta(days=9))
            update_source(kept, "pi", sla_seconds=86_400, data_as_of=now)
            # A restarted server and another replica know nothing of the client but what its id says.
            with served(kept, tmp_path / "other") as other:
                client.port = other
                await client.read(until=lambda: client.last_id != held)

        run(work())
    opened, failed, healed = client.events
    assert (opened.name, failed.name, healed.name) == ("stream.opened", "freshness.changed", "freshness.changed")
    assert failed.data == {"sources": [{"source": "pi", "status": "delayed", "previousStatus": "fresh"}]}
    assert healed.data == {"sources": [{"source": "pi", "status": "fresh", "previousStatus": "delayed"}]}


@pytest.mark.parametrize("held", ["nonsense", "1-01234567"])
def test_client_when_its_id_says_what_nobody_knows_then_it_is_told_to_fetch_all_anew(
    kept: Path, tmp_path: Path, held: str
) -> None:
    with served(kept, tmp_path / "log") as port:
        client = StreamClient(port, last_id=held)
        run(client.read(until=lambda: client.events))
        pointer = read_pointer(kept)
    assert pointer is not None
    assert (client.events[0].name, client.events[0].data["releaseId"]) == ("reset", pointer.release_id)


def test_server_when_it_has_as_many_streams_as_it_keeps_then_the_next_is_refused_until_one_leaves(
    kept: Path, tmp_path: Path
) -> None:
    with served(kept, tmp_path / "log", STREAM_MAX_CONNECTIONS="2") as port:

        async def work() -> None:
            one, two, three = (StreamClient(port) for _ in range(3))
            _, first = await one.connect()
            _, second = await two.connect()
            _, third = await three.connect()
            assert (one.status, two.status, three.status) == (200, 200, 429)
            assert three.answer["content-type"] == "application/problem+json"
            assert int(three.answer["retry-after"]) > 0
            for writer in (first, third):
                writer.close()
                await writer.wait_closed()
            while three.status != 200:
                _, third = await three.connect()
                third.close()
            second.close()

        run(work(), 30)
