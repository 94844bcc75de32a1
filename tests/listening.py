"""Waits for a server that a test started."""

import socket
import subprocess
from contextlib import suppress
from pathlib import Path


def until_listening(process: subprocess.Popen[bytes], port: int, log: Path | None = None) -> None:
    """Until the process listens on the port; fails with what it logged where it ends first."""
    while True:
        assert process.poll() is None, log.read_text() if log else "the server ended"
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)  # until the socket is there
