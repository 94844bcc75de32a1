"""Child processes of the demo: started in a group of their own, watched while waited for, stopped whole."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

POLL_SECONDS = 0.1
STOP_SECONDS = 15.0
LOG_TAIL_LINES = 15


class DemoError(RuntimeError):
    """A step of the demo failed; the message names the step, its log and the log's end."""


@dataclass
class Child:
    """One process of the demo, with everything it starts in the same process group."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> "Child":
        """Start a command with its output in a log file."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name, process, log)

    def raise_if_dead(self) -> None:
        """Raise DemoError with the log's end when the process is gone."""
        if self.process.poll() is not None:
            raise DemoError(f"{self.name} ended with code {self.process.returncode}; {self._tail()}")

    def wait(self, seconds: float) -> None:
        """Wait for a command that ends by itself. Raises DemoError when it fails or takes longer."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise DemoError(f"{self.name} did not end within {seconds:.0f} s; {self._tail()}") from error
        if code != 0:
            raise DemoError(f"{self.name} ended with code {code}; {self._tail()}")

    def stop(self) -> None:
        """Ask the group to end, then end it."""
        if self.process.poll() is not None and not _group_alive(self.process.pid):
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            deadline = time.monotonic() + (STOP_SECONDS if number != signal.SIGKILL else 5.0)
            while time.monotonic() < deadline:
                self.process.poll()
                if not _group_alive(self.process.pid):
                    return
                time.sleep(POLL_SECONDS)

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return f"the end of {self.log}:\n  " + "\n  ".join(lines)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(child: Child, ready: Callable[[], bool], seconds: float, echo: Callable[[str], None]) -> None:
    """Wait for a condition while passing on the child's progress lines. Raises DemoError when it ends or takes longer."""
    shown = 0
    deadline = time.monotonic() + seconds
    while True:
        is_ready = ready()
        lines = child.log.read_text(errors="replace").splitlines()
        for line in lines[shown:]:
            echo(f"  {line}")
        shown = len(lines)
        if is_ready:
            return
        child.raise_if_dead()
        if time.monotonic() > deadline:
            raise DemoError(f"{child.name} were not ready within {seconds:.0f} s; see {child.log}")
        time.sleep(POLL_SECONDS)


def wait_for_http(child: Child, url: str, seconds: float) -> None:
    """Wait until an address answers 200. Raises DemoError when the process ends or takes longer."""
    deadline = time.monotonic() + seconds
    with httpx.Client(timeout=5.0, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).status_code == httpx.codes.OK:
                    return
            child.raise_if_dead()
            if time.monotonic() > deadline:
                raise DemoError(f"{child.name} did not answer at {url} within {seconds:.0f} s; see {child.log}")
            time.sleep(POLL_SECONDS)


def read_environment_file(path: Path) -> dict[str, str]:
    """KEY=value lines of a file."""
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, value in pairs}
