"""API processes with copies of their own behind a round-robin client, each with its own line to the storage.

The client does what a load balancer with health checks does: a connection that is refused, or closed before a byte of the
answer, sends the request to the next replica. Whatever answers must answer 200.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from pipelines.demo_processes import free_port
from tests.integration.azurite import Azurite, Proxy
from tests.integration.releases_marked import ADDRESSES, marked_request, marked_tables, marks_of
from tests.integration.releases_processes import ROOT
from warehouse.build_publish import build_and_publish
from warehouse.mirror import Mirror
from warehouse.remote import open_remote

# Longer than anything here takes on a busy machine; only a test that fails waits for it.
PATIENCE_SECONDS = 60.0


@dataclass
class Replica:
    """One API process, its folder and its own line to the storage."""

    port: int
    folder: Path
    proxy: Proxy
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, how: int = signal.SIGKILL) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
            self.process.wait(30)
            self.process = None

    def ask(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def served(self) -> str | None:
        """The release that it serves; None while it does not answer."""
        with suppress(OSError, http.client.HTTPException):
            status, body = self.ask("/readyz")
            return str(body["dataVersion"]) if status == 200 else None
        return None

    def log(self) -> str:
        return (self.folder.parent / f"{self.folder.name}.log").read_text(errors="replace")


@dataclass
class Client:
    """Sends requests to one replica after the other until it is stopped."""

    replicas: list[Replica]
    answered: int = 0
    passed_on: int = 0
    failed: list[str] = field(default_factory=list)
    _turn: Iterator[int] = field(default_factory=count)
    _stopped: Event = field(default_factory=Event)
    _guard: Lock = field(default_factory=Lock)

    @contextmanager
    def sending(self, threads: int = 2) -> Iterator[None]:
        workers = [Thread(target=self._run, daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            self._stopped.set()
            for worker in workers:
                worker.join(60)

    def wait_for(self, more: int) -> None:
        """Return when so many more requests were answered."""
        aim, deadline = self.answered + more, time.monotonic() + PATIENCE_SECONDS
        while self.answered < aim and not self.failed:
            assert time.monotonic() < deadline, "the client gets no answers"
            self._stopped.wait(0.01)

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._guard:
                turn = next(self._turn)
            self._send(turn)
            self._stopped.wait(0.01)  # leaves the cores to those who answer

    def _send(self, turn: int) -> None:
        path = ADDRESSES[turn % len(ADDRESSES)]
        for attempt in range(len(self.replicas)):
            replica = self.replicas[(turn + attempt) % len(self.replicas)]
            try:
                status, body = replica.ask(path)
            except (ConnectionError, http.client.RemoteDisconnected):
                with self._guard:
                    self.passed_on += 1
                continue
            except Exception as fault:  # noqa: BLE001 - whatever it is, the request failed
                self.failed.append(f"{path}: {fault!r}")
                return
            with self._guard:
                self.answered += 1
            if status != 200 or len(marks_of(body)) > 1:
                self.failed.append(f"{path}: {status} {marks_of(body)} {str(body)[:300]}")
            return
        self.failed.append(f"{path}: no replica answered")


def publisher(storage: Azurite, url: str, folder: Path) -> Callable[[int], str]:
    """A function that publishes the release marked with a number on the storage, and returns its id."""
    mirror = Mirror(open_remote(storage.place(url)), folder)

    def published(n: int) -> str:
        tables = marked_tables(n)
        result = build_and_publish(mirror.warehouse_dir, tables, info=marked_request(tables), mirror=mirror)
        assert result.is_active and result.release_id, result
        return result.release_id

    return published


@contextmanager
def replicas(storage: Azurite, url: str, root: Path, how_many: int) -> Iterator[list[Replica]]:
    """API processes that answer with the release in force, each behind a proxy of its own."""
    with ExitStack() as stack:
        made = []
        for n in range(how_many):
            proxy = stack.enter_context(Proxy(storage.port))
            port, folder = free_port(), root / f"replica-{n}"
            environment = storage.environment(proxy.port) | {
                "PATH": os.environ["PATH"],
                "PORT": str(port),
                "LAKE_URL": url,
                "WAREHOUSE_DIR": str(folder),
                "RATE_LIMIT": "100000/second",
            }
            replica = Replica(port, folder, proxy, environment)
            stack.callback(replica.end)
            replica.start()
            made.append(replica)
        for replica in made:
            until(lambda replica=replica: replica.served() is not None, replica)
        yield made


def until(holds: Callable[[], bool], replica: Replica, seconds: float = PATIENCE_SECONDS) -> float:
    """Seconds until it holds; fails with the replica's log after `seconds`."""
    begun = time.monotonic()
    pause = Event()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not after {seconds} s:\n{replica.log()[-3000:]}"
        pause.wait(0.02)
    return time.monotonic() - begun
