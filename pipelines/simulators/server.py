"""A simulated system listening on its own loopback port, in its own thread.

Starting returns when it accepts connections; stopping returns when its port is free. Stopping and starting again
keeps the port, which is how a test takes a source away and gives it back.
"""

from __future__ import annotations

import logging
import socket
import threading
from types import TracebackType

import uvicorn

from pipelines.simulators.server_app import System

START_SECONDS = 20.0
STOP_SECONDS = 10.0


class _WithoutFaults(logging.Filter):
    """Drops what the server reports of faults made on purpose: an answer cut short, a hanging one cancelled."""

    def filter(self, record: logging.LogRecord) -> bool:
        purpose = ("ASGI callable returned without completing", "Cancel %s running task")
        return not str(record.msg).startswith(purpose)


WITHOUT_FAULTS = _WithoutFaults()


class ServerStartError(RuntimeError):
    """A server could not listen: which, where and why."""


class LocalServer:
    """Serves one ASGI system on ``127.0.0.1``; ``port`` 0 takes a free one. Use as a context manager."""

    host = "127.0.0.1"

    def __init__(self, system: System, *, port: int = 0) -> None:
        self.system = system
        self.port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port, without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def is_listening(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    def start(self) -> LocalServer:
        """Listen and serve; returns itself. Raises ``ServerStartError`` when the port is taken."""
        if self._server is not None:
            return self
        listener = self._bind()
        config = uvicorn.Config(
            self.system,
            log_config=None,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            date_header=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        logging.getLogger("uvicorn.error").addFilter(WITHOUT_FAULTS)
        server = uvicorn.Server(config)
        name = f"simulator-{self.system.name}-{self.port}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name=name, daemon=True)
        thread.start()
        deadline = threading.Event()
        waited = 0.0
        while not server.started:
            if not thread.is_alive() or waited >= START_SECONDS:
                listener.close()
                message = f"the simulated {self.system.name} did not start on {self.host}:{self.port}"
                raise ServerStartError(message)
            deadline.wait(0.005)
            waited += 0.005
        self._server, self._thread = server, thread
        return self

    def stop(self) -> None:
        """Stop serving and free the port; the port number stays for a later start."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        server.should_exit = True
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            server.force_exit = True
            thread.join(STOP_SECONDS)
        self._server = self._thread = None

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError as error:
            listener.close()
            message = f"the simulated {self.system.name} cannot listen on {self.host}:{self.port}: {error.strerror}"
            raise ServerStartError(message) from error
        self.port = listener.getsockname()[1]
        return listener

    def __enter__(self) -> LocalServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
