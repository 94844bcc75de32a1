"""Starts and talks to the processes that the release proofs need: publishers, analysts, the API behind its server."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pipelines.demo_processes import free_port
from tests.listening import until_listening

ROOT = Path(__file__).resolve().parents[2]
# Asked for a line, it answers with what it reads from the file that it keeps open.
ANALYST = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
for _ in sys.stdin:
    print(connection.execute(
        "SELECT (SELECT release_id FROM release_info), (SELECT md5(string_agg(p::VARCHAR, '' ORDER BY p)) "
        "FROM production_daily p), (SELECT sum(gross_stock) FROM terminal_daily)").fetchall(), flush=True)
"""

# The server waits for its worker in two threads; the one that comes second may take it for alive a moment longer. A worker that
# really does not stop writes where it is stuck, well before it is killed.
FALSE_ALARM = "Killing worker-1 after it refused to gracefully stop"


def said(log: Path) -> list[str]:
    """Lines that a server wrote, but the one that means nothing."""
    return [line for line in log.read_text().splitlines() if FALSE_ALARM not in line]


class Process:
    """A child that answers lines with lines; killed when the block ends."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def send(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        assert text, f"the process ended with {self.process.wait(30)}"
        return text.strip()


class Publisher(Process):
    """tests/integration/releases_publisher.py."""

    def __init__(self, *, gives_way: bool = False) -> None:
        super().__init__("-m", "tests.integration.releases_publisher", *(["gives way"] if gives_way else []))
        self.answer()

    def ask(self, **what: Any) -> None:
        self.send(json.dumps(what, default=str))

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.line())
        return found

    def publish(self, warehouse: Path, n: int) -> dict[str, Any]:
        self.ask(do="publish", warehouse=warehouse, n=n)
        return self.answer()

    def publish_known(self, warehouse: Path, n: int, published: dict[str, int]) -> str:
        """Publishes, and notes the release's number before anybody can serve it; its id."""
        self.ask(do="race", warehouse=warehouse, n=n)
        built: str = self.answer()["built"]
        published[built] = n
        self.send()
        result = self.answer()
        assert result["active"] and result["release"] == built, result
        return built


def analyst(path: Path) -> Process:
    """Another process that opened the file with plain DuckDB."""
    return Process("-c", ANALYST, str(path))


@contextmanager
def served(warehouse: Path, log: Path, **more: str) -> Iterator[int]:
    """The API on a free port behind its own server, with more environment; the port, once it answers."""
    with started(warehouse, log, **more) as (_, port):
        yield port


@contextmanager
def started(warehouse: Path, log: Path, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """As `served`, with the server's process."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "WAREHOUSE_DIR": str(warehouse),
        "LOG_LEVEL": "WARNING",
        "RATE_LIMIT": "off",  # the proofs ask as fast as they can from one address
        **more,
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=environment, stdout=stream, stderr=stream
        )
        try:
            until_listening(process, port, log)
            yield process, port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
