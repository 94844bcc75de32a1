"""Has a release's first answers made in a process of its own, so that requests do not share the interpreter with it.

The process is started for a switch, waits some time for the next one and is then ended: between releases it costs nothing.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Lock, Timer

from api.caching import Entry, Key, ReleaseCache, build_id
from api.negotiation import IDENTITY
from api.preparer_messages import Made, PartDone, Refused, Task, encode, read_answer
from api.preparing import Preparation
from api.settings import Settings, child_environment
from warehouse.reader_release import OpenRelease

LINGER_SECONDS = 60.0
STOP_SECONDS = 5.0


class PreparerFault(Exception):
    """The answers were not made; the message says why."""


class PreparerLate(PreparerFault):
    """The answers were not made in time, as where others take the processor, or not to the end because the server stops."""


class Preparer:
    """Fills caches with what its process makes. `fill` and `rest` belong to one thread; `stop` may be called by any."""

    def __init__(self, settings: Settings, preparation: Preparation) -> None:
        self._settings = settings
        self._preparation = preparation
        self._guard = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._used_at = 0.0
        self._is_stopped = False

    @property
    def process_id(self) -> int | None:
        """Of the process that waits or works; None where there is none."""
        process = self._process
        return process.pid if process is not None else None

    def fill(self, cache: ReleaseCache, release: OpenRelease, asked: Sequence[Key], patience: float) -> None:
        """Fills a release's cache within `patience` seconds. Raises PreparerFault, and the cache may then be half full."""
        try:
            process, connection = self._running()
        except OSError as fault:
            raise PreparerFault(f"no process could be started: {fault}") from fault
        late = Event()

        def end_it() -> None:
            late.set()
            process.kill()

        watchdog = Timer(patience, end_it)
        watchdog.daemon = True
        watchdog.start()
        try:
            self._take(connection, cache, release.release_id, asked)
        except (EOFError, OSError) as fault:
            self._end()
            if late.is_set():
                raise PreparerLate(f"not done within {patience:.1f} s") from fault
            if self._is_stopped:
                raise PreparerLate("the server stops") from fault
            raise PreparerFault(f"the process ended with {process.returncode} ({type(fault).__name__})") from fault
        except BaseException:
            self._end()  # whatever it still says belongs to a task that nobody waits for
            raise
        finally:
            watchdog.cancel()
            self._used_at = time.monotonic()

    def _take(self, connection: Connection, cache: ReleaseCache, release_id: str, asked: Sequence[Key]) -> None:
        connection.send_bytes(encode(self._task(release_id, asked)))
        for _ in self._preparation.scopes:
            part = _part(connection, cache)
            cache.warm(part)
            for _ in part:
                pass  # what did not fit
        for key, entry in _part(connection, cache):
            cache.put(key, entry)

    def rest(self) -> None:
        """Ends the process once nothing was to be prepared for some time."""
        if self._process is not None and time.monotonic() - self._used_at > LINGER_SECONDS:
            self._end()

    def stop(self) -> None:
        """Ends the process for good; a `fill` under way fails."""
        self._is_stopped = True
        with self._guard:
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Ends the process and waits for it."""
        self.stop()
        self._end()

    def _running(self) -> tuple[subprocess.Popen[bytes], Connection]:
        with self._guard:
            if self._process is not None and self._connection is not None and self._process.poll() is None:
                return self._process, self._connection
        self._end()
        with self._guard:
            if self._is_stopped:
                raise PreparerLate("the server stops")
            ours, theirs = Pipe()
            root = Path(__file__).resolve().parents[1]
            with theirs:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "api.preparer_process",
                        str(theirs.fileno()),
                        self._settings.log_level,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=child_environment(root),
                    pass_fds=(theirs.fileno(),),
                )
            self._connection = ours
            return self._process, ours

    def _end(self) -> None:
        with self._guard:
            process, connection = self._process, self._connection
            self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()  # it holds nothing that needs to be put away
            process.wait(STOP_SECONDS)

    def _task(self, release_id: str, asked: Sequence[Key]) -> Task:
        limited = (scope.assets for scope in self._preparation.scopes)
        return Task(
            build=build_id(),
            warehouse_dir=str(self._settings.warehouse_dir.resolve()),
            operator=self._settings.operator,
            allow_synthetic=self._settings.allow_synthetic,
            default_units=self._preparation.default_units,
            scopes=[sorted(assets) for assets in limited if assets is not None],
            release_id=release_id,
            asked=list(asked),
        )


def _part(connection: Connection, cache: ReleaseCache) -> Iterator[tuple[Key, Entry]]:
    """One part of the answers to a task."""
    while True:
        answer = read_answer(connection.recv_bytes())
        if isinstance(answer, PartDone):
            return
        if isinstance(answer, Refused):
            raise PreparerFault(answer.reason)
        yield answer.key, _entry(answer, cache)


def _entry(made: Made, cache: ReleaseCache) -> Entry:
    entry = Entry(
        identity=made.bodies[IDENTITY],
        tag_base=made.tag_base,
        stamp=replace(cache.stamp, production_date=made.production_date),
        route=made.route,
        is_carried=made.is_carried,
    )
    entry.content = made.content
    for encoding, body in made.bodies.items():
        entry.hold(encoding, body)
    return entry
