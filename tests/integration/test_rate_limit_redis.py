"""One rate over several API processes through a real Redis; without it each counts for itself, at once and without an error."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.releases_processes import Publisher, said, served
from tests.listening import until_listening

SERVER = shutil.which("redis-server")


class Redis:
    """A Redis server on a port of its own; `stop` and `start` keep the port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [
            str(SERVER),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        until_listening(self.process, self.port)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def freeze(self) -> None:
        """Takes connections and never answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    with Publisher() as publisher:
        publisher.publish(folder, 0)
    return folder


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    if SERVER is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    server = Redis(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def ask(port: int, path: str = "/api/v1/summary") -> tuple[int, dict[str, str], float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    begun = time.monotonic()
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, time.monotonic() - begun
    finally:
        connection.close()


def messages(log: Path) -> list[str]:
    return [json.loads(line)["message"] for line in said(log)]


def test_replicas_when_they_share_redis_then_one_rate_holds_over_all(
    warehouse: Path, redis: Redis, tmp_path: Path
) -> None:
    more = {"REDIS_URL": redis.url, "RATE_LIMIT": "20/day", "REDIS_TIMEOUT_SECONDS": "10"}
    with ExitStack() as stack:
        ports = [stack.enter_context(served(warehouse, tmp_path / f"log{n}", **more)) for n in range(3)]
        answers = [ask(ports[n % 3]) for n in range(60)]
    statuses = [status for status, _, _ in answers]
    assert statuses.count(200) == 20
    assert statuses.count(429) == 40
    assert statuses[:20] == [200] * 20
    assert [int(headers["ratelimit"].split(";")[1][2:]) for _, headers, _ in answers[:20]] == list(range(19, -1, -1))
    assert {headers["ratelimit-policy"] for _, headers, _ in answers} == {'"default";q=20;w=86400'}
    assert all(1 <= int(headers["retry-after"]) <= 2 * 86400 for status, headers, _ in answers if status == 429)
    assert [said(tmp_path / f"log{n}") for n in range(3)] == [[]] * 3


def test_replicas_when_callers_ask_at_once_then_never_more_than_the_rate(
    warehouse: Path, redis: Redis, tmp_path: Path
) -> None:
    found: list[int] = []
    with ExitStack() as stack:
        more = {"REDIS_URL": redis.url, "RATE_LIMIT": "50/day", "REDIS_TIMEOUT_SECONDS": "10"}
        ports = [stack.enter_context(served(warehouse, tmp_path / f"log{n}", **more)) for n in range(2)]

        def call(port: int) -> None:
            found.extend([ask(port)[0] for _ in range(20)])

        threads = [threading.Thread(target=call, args=(ports[n % 2],)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found.count(200) == 50
    assert found.count(429) == 70


def test_replica_when_redis_hangs_dies_and_returns_then_no_request_fails_or_waits(
    warehouse: Path, redis: Redis, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with served(warehouse, log, REDIS_URL=redis.url, RATE_LIMIT="100/day") as port:
        assert [ask(port)[0] for _ in range(3)] == [200] * 3
        redis.freeze()
        hung = [ask(port) for _ in range(20)]
        redis.stop()
        dead = [ask(port) for _ in range(20)]
        assert {status for status, _, _ in hung + dead} == {200}
        assert messages(log) == ["rate limits are counted by each process alone: Redis does not answer"]
        # Counting went on: 43 requests are counted.
        assert dead[-1][1]["ratelimit"].startswith('"default";r=57;')
        redis.start()
        pause = threading.Event()
        while len(messages(log)) < 2:
            assert ask(port)[0] == 200
            pause.wait(0.5)
        assert messages(log)[1] == "rate limits are shared again"
        # What was counted alone is told to the new Redis.
        with served(warehouse, tmp_path / "other", REDIS_URL=redis.url, RATE_LIMIT="100/day") as other:
            left = int(ask(other)[1]["ratelimit"].split(";")[1][2:])
        assert left < 57
    sys.stdout.write(f"slowest without Redis {1000 * max(seconds for _, _, seconds in hung + dead):.0f} ms\n")
