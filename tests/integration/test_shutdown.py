"""SIGTERM to a server under load: what was accepted is answered whole, streams end at once, and the process leaves with 0."""

import asyncio
import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.releases_processes import Publisher, said, started
from tests.integration.stream_client import StreamClient

ADDRESSES = (
    "/api/v1/summary",
    "/api/v1/assets",
    "/api/v1/gap-drivers?limit={n}",
    "/api/v1/gap-drivers?window=7d&limit={n}",
)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    with Publisher() as publisher:
        publisher.publish(folder, 0)
    return folder


@pytest.fixture
def server(warehouse: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with started(warehouse, tmp_path / "log") as (process, port):
        yield process, port


class Caller:
    """Asks until the server is gone. A request that got the first byte of an answer must get all of it, and a good one."""

    def __init__(self, port: int, number: int) -> None:
        self.port = port
        self.number = number
        self.answers = 0
        self.wrong: list[str] = []
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        n = 0
        while True:
            n += 1
            # Some answers are held, some are made by a query each time.
            path = ADDRESSES[n % len(ADDRESSES)].format(n=1 + (n * 7 + self.number) % 100)
            try:
                connection.request("GET", path, headers={"accept-encoding": "identity"})
                response = connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                # Not a byte came: the request was not accepted. A client sends it again, to another server.
                connection.close()
                if not self._is_listening():
                    return
                continue
            try:
                body = response.read()
                json.loads(body)
            except (OSError, http.client.HTTPException, ValueError) as fault:
                self.wrong.append(f"{path}: {fault!r}")
                return
            if response.status != 200:
                self.wrong.append(f"{path}: {response.status}")
            self.answers += 1

    def _is_listening(self) -> bool:
        try:
            probe = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            probe.connect()
            probe.close()
        except OSError:
            return False
        return True


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_server_when_told_to_stop_under_load_then_no_accepted_request_fails_and_streams_end(
    server: tuple[subprocess.Popen[bytes], int], tmp_path: Path, told: signal.Signals
) -> None:
    process, port = server
    callers = [Caller(port, number) for number in range(4)]
    clients = [StreamClient(port) for _ in range(5)]

    async def follow() -> list[bool]:
        reading = [asyncio.ensure_future(client.read(until=lambda: False)) for client in clients]
        while not (all(client.events for client in clients) and all(caller.answers > 20 for caller in callers)):
            await asyncio.sleep(0.01)
        process.send_signal(told)
        return await asyncio.gather(*reading)

    for caller in callers:
        caller.thread.start()
    try:
        ended = asyncio.run(asyncio.wait_for(follow(), 60))
    finally:
        process.send_signal(told)
        for caller in callers:
            caller.thread.join()
    # Every stream ended as HTTP ends an answer, not by a broken connection.
    assert ended == [True] * len(clients)
    assert process.wait(30) == 0
    assert [text for caller in callers for text in caller.wrong] == []
    assert said(tmp_path / "log") == []  # neither a worker that was stuck nor an error
    sys.stdout.write(f"{sum(caller.answers for caller in callers)} answers, none broken\n")
