"""Knows at once that the process was told to stop, before the server waits for its connections to end.

A server ends the application's lifespan only after the last connection closed: an endless stream must end on the signal.
"""

import faulthandler
import signal
from asyncio import AbstractEventLoop
from collections.abc import Callable
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from api.telemetry import logger

STUCK_SECONDS = 15.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Set once by SIGTERM, SIGINT or the end of the lifespan; `add` names what is then called on the loop."""

    def __init__(self) -> None:
        self.is_set = False
        self._actions: list[Callable[[], None]] = []
        self._before: dict[signal.Signals, Any] = {}

    def add(self, action: Callable[[], None]) -> None:
        """Call the action on the loop when the process stops."""
        self._actions.append(action)

    def watch(self, loop: AbstractEventLoop) -> None:
        """Listens for the signals beside whoever else does; off the main thread, where none arrive, the lifespan's end must do."""
        if current_thread() is not main_thread():
            return

        def arrived(number: int, frame: FrameType | None) -> None:
            # Should something hold the stop up, the log says what, before the server kills the process.
            faulthandler.dump_traceback_later(STUCK_SECONDS)
            loop.call_soon_threadsafe(self.set)
            # The server's own handler. One set through the loop hears of the signal by the loop's wake-up, too.
            before = self._before[signal.Signals(number)]
            if callable(before):
                before(number, frame)

        for name in SIGNALS:
            before = signal.getsignal(name)
            if callable(before):  # where nobody listens, the signal ends the process as it always did
                self._before[name] = before
                signal.signal(name, arrived)

    def set(self) -> None:
        """Stopping from now on; a second call does nothing."""
        if self.is_set:
            return
        self.is_set = True
        logger.info("stopping")
        for action in self._actions:
            action()

    def close(self) -> None:
        """Hands the signals back."""
        for name, before in self._before.items():
            signal.signal(name, before)
        self._before.clear()
