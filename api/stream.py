"""The event stream's hub: one log that the follower renews, and the clients that read it, each from its own position.

Nothing is queued for a client: what it has missed is read off the log, so that a slow one costs no memory.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any

import msgspec

from api.callers import Caller, Scope
from api.contracts.stream import FreshnessChanged, ReleasePublished, SourceChange, StreamOpened
from api.dependencies import CACHE, Desk
from api.facts import ReleaseFacts
from api.problems import Problem
from api.stream_changes import UNKNOWN, Changes, Contents, changes, contents
from api.stream_log import Move, Position, State, Words, is_whole, mark, move_of, moves_of
from api.telemetry import logger
from warehouse.errors import PointerCorrupt, ReleaseCorrupt
from warehouse.manifest import read_manifest
from warehouse.pointer import history
from warehouse.reader_release import OpenRelease
from warehouse.release_files import releases_dir

# Moves that a client may have missed; a quarter-hourly refresh moves the pointer 96 times a day.
KEEP_MOVES = 1000
KEEP_CONTENTS = 64
MAX_OF_CALLER = 20
RETRY_AFTER_SECONDS = 10
READ_AGAIN_SECONDS = 5.0


class StreamHub:
    """Keeps the log, which the follower's thread renews, and wakes the clients on the loop."""

    def __init__(self, desk: Desk, templates: Sequence[str]) -> None:
        self.state = State()
        self.heartbeat_seconds = desk.settings.stream_heartbeat_seconds
        self.is_stopping = False
        self._max_connections = desk.settings.stream_max_connections
        self._desk = desk
        self._templates = templates
        self._contents: OrderedDict[str, Contents] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: set[asyncio.Event] = set()
        self._of_caller: Counter[str] = Counter()
        self._read_again_at = 0.0
        desk.reader.add_on_open(self._opened)

    @property
    def connections(self) -> int:
        """Clients connected."""
        return len(self._clients)

    def run_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake clients on this loop."""
        self._loop = loop

    def stop(self) -> None:
        """Ends every stream. Runs on the loop."""
        self.is_stopping = True
        self._wake()

    def follow(self) -> None:
        """Takes up the pointer's moves and the sources' freshness. Runs on the follower's thread after the desk's refresh."""
        cache = self._desk.current
        moves = self.state.moves if cache is None else self._moved(cache.facts)
        words: Words = self._desk.freshness.words()
        if moves is self.state.moves and words == self.state.words:
            return
        self.state = State(moves, words)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and with it every client
                self._loop.call_soon_threadsafe(self._wake)

    def _moved(self, facts: ReleaseFacts) -> tuple[Move, ...]:
        moves, in_force = self.state.moves, facts.release_id
        try:
            pointer = self._desk.reader.pointer()
        except PointerCorrupt:
            return moves  # the desk says so in the log
        # Only what this process serves is told: a client fetches the moment it hears of it.
        if pointer is None or pointer.release_id != in_force:
            return moves
        if moves and moves[-1].sequence == pointer.sequence:
            # A copy of a warehouse on object storage hears of earlier moves later than of the last one.
            if is_whole(moves, KEEP_MOVES) or time.monotonic() < self._read_again_at:
                return moves
            again = moves_of(history(self._desk.settings.warehouse_dir), moves, KEEP_MOVES, self._day_of)
            self._read_again_at = time.monotonic() + READ_AGAIN_SECONDS
            return again if len(again) > len(moves) else moves
        if not moves or pointer.sequence != moves[-1].sequence + 1:
            past = [p for p in history(self._desk.settings.warehouse_dir) if p.sequence < pointer.sequence]
            moves = moves_of(past, moves, KEEP_MOVES, self._day_of)
        last = moves[-1] if moves else None
        previous = last.release_id if last is not None and last.sequence == pointer.sequence - 1 else None
        move = move_of(pointer, previous, facts.latest_day, self._changed(previous, in_force))
        return (*moves, move)[-KEEP_MOVES:]

    def _day_of(self, release_id: str) -> date | None:
        try:
            return read_manifest(releases_dir(self._desk.settings.warehouse_dir) / release_id).latest_production_date
        except ReleaseCorrupt:
            return None  # pruned: nobody needs its day any more

    def _changed(self, previous: str | None, release_id: str) -> Changes:
        if previous is None:
            return UNKNOWN
        return changes(self._contents.get(previous), self._contents.get(release_id), self._templates)

    def _opened(self, release: OpenRelease) -> None:
        """Before a switch: notes what the release's answers hold. Never keeps a release out of service."""
        try:
            self._contents[release.release_id] = contents(release.extras[CACHE])
            self._contents.move_to_end(release.release_id)
        except Exception as fault:  # noqa: BLE001 - clients are then told that everything changed
            logger.error("changes of a release not known", exc_info=fault)
        while len(self._contents) > KEEP_CONTENTS:
            self._contents.popitem(last=False)

    def _wake(self) -> None:
        for client in self._clients:
            client.set()

    @contextmanager
    def entered(self, caller: Caller) -> Iterator[asyncio.Event]:
        """A place among the clients: its event is set when there may be something to tell. Raises Problem tooManyRequests."""
        full = self.connections >= self._max_connections
        if full or (caller.is_authenticated and self._of_caller[caller.subject] >= MAX_OF_CALLER):
            limit = f"{self._max_connections} streams" if full else f"{MAX_OF_CALLER} streams of one caller"
            raise Problem(
                "tooManyRequests",
                f"The server keeps at most {limit} open; close one or try again later.",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        wake = asyncio.Event()
        self._clients.add(wake)
        self._of_caller[caller.subject] += 1
        try:
            yield wake
        finally:
            self._clients.discard(wake)
            self._of_caller[caller.subject] -= 1
            if not self._of_caller[caller.subject]:
                del self._of_caller[caller.subject]

    def missed(self, position: Position | None, scope: Scope) -> tuple[list[bytes], Position]:
        """The events that a client at the position has missed, and its position after them. None is a new client."""
        state = self.state
        if position is None:
            return [_event(state.position, "stream.opened", _opened(state))], state.position
        if state.is_behind(position):
            return [], position
        later = state.missed(position)
        if later is None:
            return [self.reset()], state.position
        found: list[bytes] = []
        for move in later:
            position = Position(move.sequence, mark(move.release_id), position.words)
            if move.is_release:
                found.append(_event(position, "release.published", _published(move, scope)))
        if position.words != state.words:
            changed = _freshness(position.words, state.words)
            position = Position(position.sequence, position.release, state.words)
            found.append(_event(position, "freshness.changed", changed))
        return found, position

    def reset(self) -> bytes:
        """The event that tells a client to fetch everything again."""
        return _event(self.state.position, "reset", _opened(self.state))


def _opened(state: State) -> StreamOpened:
    last = state.moves[-1] if state.moves else None
    return StreamOpened(release_id=last.release_id if last else None, sequence=last.sequence if last else 0)


def _published(move: Move, scope: Scope) -> ReleasePublished:
    return ReleasePublished(
        release_id=move.release_id,
        previous_release_id=move.previous_release_id,
        sequence=move.sequence,
        production_date=move.production_date,
        published_at=move.at,
        is_held=move.is_held,
        changed_resources=move.changed.paths(scope),
    )


def _freshness(before: Words, after: Words) -> FreshnessChanged:
    return FreshnessChanged(
        sources=[
            SourceChange(source=source, status=after.get(source), previous_status=before.get(source))
            for source in sorted(before.keys() | after.keys())
            if before.get(source) != after.get(source)
        ]
    )


def _event(position: Position, name: str, data: Any) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (position.id().encode(), name.encode(), msgspec.json.encode(data))
