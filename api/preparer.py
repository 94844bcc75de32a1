"""Has a release's first answers made in a process of its own, so that requests do not share the interpreter with it.

The process is started for a switch, waits some time for the next one and is then ended: between releases it costs nothing.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Lock, Timer

from api.caching import Entry, Key, ReleaseCache, Stamp, build_id
from api.facts import ReleaseFacts
from api.negotiation import IDENTITY
from api.preparer_messages import Answer, Made, Opened, Refused, Task, encode, read_answers
from api.preparing import Preparation
from api.settings import Settings, of_this_process

LINGER_SECONDS = 60.0
STOP_SECONDS = 5.0
# Bytes that even a slow processor hashes, and a slow disk reads.
VERIFIED_PER_SECOND = 100_000_000
# What a Python process needs to start; nothing of it is a setting or a secret.
_OF_ANY_PROCESS = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "SYSTEMROOT")


@dataclass(frozen=True)
class Patience:
    """Seconds that a release waits: for a process that is started, for a file to be verified, between two answers, and for
    all of them beside start and verification."""

    start: float = 1.5
    silence: float = 0.5
    whole: float = 2.0
    verifying: float = 0.0

    def for_work_of(self, seconds: float, size: int) -> "Patience":
        """At least this much, and as much as work takes that the serving process needs so many seconds for, on a file of
        that many bytes."""
        return Patience(
            self.start, max(self.silence, seconds / 2), max(self.whole, 2 * seconds), size / VERIFIED_PER_SECOND
        )


class PreparerFault(Exception):
    """The answers were not made; the message says why."""


class PreparerLate(PreparerFault):
    """Not all answers were made in time, as where others take the processor, or because the server stops."""


class Preparer:
    """Has its process verify releases, and fills caches with what it makes. `fill` and `rest` belong to one thread; `stop` may
    be called by any.

    `gives_way=False` lets the process compete for the processor as any other.
    """

    def __init__(self, settings: Settings, preparation: Preparation, *, gives_way: bool = True) -> None:
        self._settings = settings
        self._preparation = preparation
        self._priority = "gives-way" if gives_way else "as-anybody"
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

    def fill(
        self, release_id: str, asked: Sequence[Key], patience: Patience, opened: Callable[[ReleaseFacts], ReleaseCache]
    ) -> None:
        """Has the release's file verified, and fills the cache that `opened` makes as soon as it is.

        Raises PreparerFault; a cache that was made then holds what was made until then.
        """
        try:
            process, connection, is_new = self._running()
        except OSError as fault:
            raise PreparerFault(f"no process could be started: {fault}") from fault
        talk = _Talk(process, connection, patience, is_new=is_new)
        try:
            connection.send_bytes(encode(self._task(release_id, asked)))
            cache = opened(talk.opened())
            for _ in self._preparation.scopes:
                part = talk.part(cache.stamp)
                cache.warm(part)
                for _ in part:
                    pass  # what did not fit
            for key, entry in talk.part(cache.stamp):
                cache.put(key, entry)
        except (EOFError, OSError) as fault:
            self._end()
            if talk.is_late:
                raise PreparerLate(f"not done within {talk.seconds:.1f} s") from fault
            if self._is_stopped:
                raise PreparerLate("the server stops") from fault
            raise PreparerFault(f"the process ended with {process.returncode} ({type(fault).__name__})") from fault
        except BaseException:
            self._end()  # whatever it still says belongs to a task that nobody waits for
            raise
        finally:
            talk.end()
            self._used_at = time.monotonic()

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

    def _running(self) -> tuple[subprocess.Popen[bytes], Connection, bool]:
        """The process, the way to it, and whether it was started just now."""
        with self._guard:
            if self._process is not None and self._connection is not None and self._process.poll() is None:
                return self._process, self._connection, False
        self._end()
        with self._guard:
            if self._is_stopped:
                raise PreparerLate("the server stops")
            ours, theirs = Pipe()
            root = Path(__file__).resolve().parents[1]
            number, environment = str(theirs.fileno()), of_this_process(_OF_ANY_PROCESS) | {"PYTHONPATH": str(root)}
            with theirs:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "api.preparer_process",
                        number,
                        self._settings.log_level,
                        self._priority,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=environment,
                    pass_fds=(theirs.fileno(),),
                )
            self._connection = ours
            return self._process, ours, True

    def _end(self) -> None:
        with self._guard:
            process, connection = self._process, self._connection
            self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()  # it holds nothing that needs to be put away
            with suppress(subprocess.TimeoutExpired):
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


class _Talk:
    """One task's answers as they come. A process that is silent for too long, or takes too long in all, is ended."""

    def __init__(
        self, process: subprocess.Popen[bytes], connection: Connection, patience: Patience, *, is_new: bool
    ) -> None:
        self._process = process
        self._connection = connection
        self._patience = patience
        before = (patience.start if is_new else 0.0) + patience.verifying
        self._silence = max(before, patience.silence)
        self._answers = self._received()
        self._begun = time.monotonic()
        self._late = Event()
        # Silence is seen between answers; this one sees a process that stops amid one.
        self._watchdog = Timer(patience.whole + before, self._give_up)
        self._watchdog.daemon = True
        self._watchdog.start()

    @property
    def is_late(self) -> bool:
        """Whether the process was ended for it."""
        return self._late.is_set()

    @property
    def seconds(self) -> float:
        """Since the task was given."""
        return time.monotonic() - self._begun

    def opened(self) -> ReleaseFacts:
        """The facts of the release, once its file is verified."""
        answer = next(self._answers)
        if not isinstance(answer, Opened):
            raise PreparerFault(f"the process began with {type(answer).__name__}")
        return answer.facts

    def part(self, stamp: Stamp) -> Iterator[tuple[Key, Entry]]:
        """One part of the answers."""
        for answer in self._answers:
            if not isinstance(answer, Made):
                return  # PartDone
            yield answer.key, _entry(answer, stamp)

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._watchdog.cancel()

    def _received(self) -> Iterator[Answer]:
        while True:
            if not self._connection.poll(self._silence):
                self._give_up()
            frame = read_answers(self._connection.recv_bytes())
            self._silence = self._patience.silence
            for answer in frame:
                if isinstance(answer, Refused):
                    raise PreparerFault(answer.reason)
                yield answer

    def _give_up(self) -> None:
        self._late.set()
        self._process.kill()


def _entry(made: Made, stamp: Stamp) -> Entry:
    if made.production_date != stamp.production_date:
        stamp = replace(stamp, production_date=made.production_date)
    entry = Entry(
        identity=made.bodies[IDENTITY],
        tag_base=made.tag_base,
        stamp=stamp,
        route=made.route,
        is_carried=made.is_carried,
    )
    entry.content = made.content
    for encoding, body in made.bodies.items():
        entry.hold(encoding, body)
    return entry
