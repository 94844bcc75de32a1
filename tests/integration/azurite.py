"""Microsoft's emulator of Azure Blob Storage on a free port, in memory, and a TCP proxy that can be cut off.

The emulator is an npm package of tests/node; without it the tests say so and are skipped, but not where CI is set.
"""

import base64
import hashlib
import hmac
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Self

import pytest

from pipelines.demo_processes import free_port
from tests.listening import until_listening
from warehouse.object_store import Location, location

PROGRAM = Path(__file__).resolve().parents[1] / "node" / "node_modules" / ".bin" / "azurite-blob"
ACCOUNT = "devstoreaccount1"
# The emulator's published key: it opens nothing else.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-08-06"


@dataclass(frozen=True)
class Azurite:
    """A running emulator."""

    port: int

    def endpoint(self, port: int | None = None) -> str:
        return f"http://127.0.0.1:{port or self.port}/{ACCOUNT}"

    def environment(self, port: int | None = None) -> dict[str, str]:
        """The settings that lead to it, through a proxy's port where one is given."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": self.endpoint(port),
        }

    def place(self, url: str, port: int | None = None) -> Location:
        return location(url, self.environment(port))

    def lake_url(self) -> str:
        """A prefix in a container of its own."""
        container = f"lake-{secrets.token_hex(4)}"
        date = formatdate(usegmt=True)
        signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{VERSION}\n"
        signed += f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
        digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
        request = urllib.request.Request(
            f"{self.endpoint()}/{container}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": date,
                "x-ms-version": VERSION,
                "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
                "Content-Length": "0",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201
        return f"az://{container}/site/a"


@contextmanager
def azurite(log: Path) -> Iterator[Azurite]:
    """The emulator, once it answers; stopped with the block."""
    if not PROGRAM.exists() or shutil.which("node") is None:
        reason = f"node or {PROGRAM.name} is missing: run `npm ci` in tests/node"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    port = free_port()
    command = [
        *(str(PROGRAM), "--inMemoryPersistence", "--blobPort", str(port)),
        *("--skipApiVersionCheck", "--disableTelemetry", "--silent"),
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=log.parent, stdout=stream, stderr=stream, start_new_session=True)
        try:
            until_listening(process, port, log)
            yield Azurite(port)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


class Proxy:
    """Passes bytes between a free port and another one, until it is cut; then no byte passes and no one is told."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._cut = threading.Event()
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.passed = 0
        self._fail_after: int | None = None
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def cut(self) -> None:
        """From now on the storage does not answer: connections open and hang, as behind a dead switch."""
        self._cut.set()

    def heal(self) -> None:
        self._cut.clear()

    def break_after(self, sent: int) -> None:
        """Close every connection once so many bytes more were sent to the storage."""
        self._fail_after = self.passed + sent

    @property
    def is_whole(self) -> bool:
        """Nothing was broken off yet."""
        return self._fail_after is None or self.passed <= self._fail_after

    def mend(self) -> None:
        self._fail_after = None

    def _accept(self) -> None:
        while not self._stopped.is_set():
            readable, _, _ = select.select([self._listener], [], [], 0.05)
            if not readable:
                continue
            with suppress(OSError):
                caller, _ = self._listener.accept()
                thread = threading.Thread(target=self._pass, args=(caller,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, caller: socket.socket) -> None:
        with caller, socket.socket() as storage:
            try:
                storage.connect(("127.0.0.1", self._target))
                while not self._stopped.is_set():
                    if self._cut.is_set():
                        self._hang(caller)
                        return
                    readable, _, _ = select.select([caller, storage], [], [], 0.05)
                    for source in readable:
                        data = source.recv(65_536)
                        if not data or self._is_broken(source is caller, len(data)):
                            return
                        (storage if source is caller else caller).sendall(data)
            except OSError:
                return

    def _hang(self, caller: socket.socket) -> None:
        while self._cut.is_set() and not self._stopped.is_set():
            readable, _, _ = select.select([caller], [], [], 0.05)
            if readable and not caller.recv(65_536):
                return

    def _is_broken(self, is_to_storage: bool, size: int) -> bool:
        if is_to_storage:
            self.passed += size
        return not self.is_whole
