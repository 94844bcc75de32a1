"""Processes of the ingest benchmark: servers and readers, each alone, so that what one uses is its own.

A server tells its ports on standard output and ends with standard input; a reader tells what it found as JSON.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Found:
    """What a reader found and used: values or rows, bytes on the wire, seconds, megabytes before and at the most."""

    count: int
    wall: float
    cpu: float
    idle_mb: float
    peak_mb: float
    bytes: int = 0

    @property
    def per_million(self) -> float:
        """Processor seconds a million values or rows."""
        return self.cpu / self.count * 1e6


class Meter:
    """Begins to count when it is made: by then the reader has imported, logged in, and asked once for a little."""

    def __init__(self) -> None:
        gc.collect()
        self._idle = peak_megabytes()
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def found(self, count: int, received: int = 0) -> Found:
        """What this process has used since, for so many values or rows."""
        return Found(
            count=count,
            wall=time.perf_counter() - self._wall,
            cpu=time.process_time() - self._cpu,
            idle_mb=self._idle,
            peak_mb=peak_megabytes(),
            bytes=received,
        )


def peak_megabytes() -> float:
    """The most memory that this process has held (getrusage tells the parent's, where that was larger)."""
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) / 1024


def announce(ports: Sequence[int]) -> None:
    """Tell the ports, then wait until the parent leaves."""
    print(*ports, flush=True)
    sys.stdin.read()


@contextlib.contextmanager
def server(kind: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A server's process and its ports."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--serve", kind, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, [int(port) for port in process.stdout.readline().split()]
        finally:
            process.stdin.close()


def run(reader: str, *arguments: str | int) -> Found:
    """What a reader tells, from a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.ingest", "--read", reader, *map(str, arguments)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return Found(**told)


def tell(found: Found) -> None:
    """A reader's last line."""
    print(json.dumps(asdict(found)))


def best(rounds: Sequence[Found]) -> Found:
    """The round that used least of the processor, with the most memory of all: what others disturb is only ever more."""
    least = min(rounds, key=lambda found: found.cpu)
    return Found(**{**asdict(least), "peak_mb": max(found.peak_mb for found in rounds)})


def processor_seconds(process: subprocess.Popen[str]) -> float:
    """What another process has used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
