"""A thread that follows the release pointer: a new release is served without restart, requests in flight end on the old."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

from api.folder_events import FolderEvents
from api.telemetry import logger
from warehouse.pointer import POINTER
from warehouse.status import STATUS


class Follower:
    """Calls `refresh` and then `told` when pointer or status.json of `folder` change, and every `seconds`, until stopped.

    A failure is logged and the last release goes on.
    """

    def __init__(
        self, refresh: Callable[[], bool], folder: Path, seconds: float, told: Callable[[], None] | None = None
    ) -> None:
        self._refresh = refresh
        self._told = told
        self._seconds = seconds
        self._events = FolderEvents(folder, (POINTER, STATUS))
        self._thread = Thread(target=self._run, name="release-follower", daemon=True)

    def start(self) -> None:
        """Refreshes once, so that the first request finds a release, then goes on in its own thread."""
        self._once()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._events.close()
        if self._thread.is_alive():
            self._thread.join()
        self._events.release()

    def _run(self) -> None:
        while self._events.wait(self._seconds):
            self._once()

    def _once(self) -> None:
        try:
            self._refresh()
        except Exception as fault:  # noqa: BLE001 - whatever it is, the last release must stay in service
            logger.error("release pointer not followed", exc_info=fault)
        if self._told is None:
            return
        try:
            self._told()
        except Exception as fault:  # noqa: BLE001 - what clients are told is no reason to stop following
            logger.error("event stream not followed", exc_info=fault)
