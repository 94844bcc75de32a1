"""What the event stream tells: the pointer's moves and each source's freshness, and what a client at a position has missed.

A position is the sequence and release of the last move, and the freshness words last told. It is the event's id: any replica
can resume from it, before and after a restart, without remembering its clients.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import attrgetter
from urllib.parse import quote, unquote

from api.stream_changes import UNKNOWN, Changes
from warehouse.pointer import Pointer

MAX_ID = 4096
NONE = "none"
# Of a position that no id of ours gave.
FOREIGN = "foreign"
_ID = re.compile(r"(\d{1,15})-([0-9a-f]{8}|none)((?:;[^;=]{1,300}=(?:fresh|delayed|stale)){0,100})", re.ASCII)
Words = Mapping[str, str]


@dataclass(frozen=True)
class Position:
    """How far a client was told. `release` is the last part of the release's id, which tells one warehouse from another."""

    sequence: int
    release: str
    words: Words

    def id(self) -> str:
        """Text for `id:` and Last-Event-ID."""
        words = "".join(f";{quote(source, safe='')}={word}" for source, word in sorted(self.words.items()))
        return f"{self.sequence}-{self.release}{words}"


def parse_position(text: str) -> Position | None:
    """The position of an id; None for what is no id of ours."""
    match = _ID.fullmatch(text) if len(text) <= MAX_ID else None
    if match is None:
        return None
    pairs = (pair.partition("=") for pair in match[3].split(";")[1:])
    return Position(int(match[1]), match[2], {unquote(source): word for source, _, word in pairs})


@dataclass(frozen=True)
class Move:
    """One move of the pointer, and what differs from the release before it."""

    sequence: int
    release_id: str
    previous_release_id: str | None
    at: datetime
    is_held: bool
    production_date: date | None
    changed: Changes

    @property
    def is_release(self) -> bool:
        """Whether another release came into force; a hold that begins or ends on the same one tells a client nothing."""
        return self.release_id != self.previous_release_id


@dataclass(frozen=True)
class State:
    """All that can be told at one moment: the last moves, oldest first, and the word for each source."""

    moves: tuple[Move, ...] = ()
    words: Words = field(default_factory=dict)

    @property
    def position(self) -> Position:
        """The position of a client that was told everything."""
        if not self.moves:
            return Position(0, NONE, self.words)
        last = self.moves[-1]
        return Position(last.sequence, mark(last.release_id), self.words)

    def is_behind(self, position: Position) -> bool:
        """Whether the client knows of a later move than this process: another replica was faster, or the warehouse is another."""
        return position.sequence > self.position.sequence

    def missed(self, position: Position) -> Sequence[Move] | None:
        """Moves after the position, oldest first; None where they cannot all be told."""
        if position.sequence == 0:
            if position.release != NONE:
                return None
            later = self.moves
            expected = 1
        else:
            index = bisect_left(self.moves, position.sequence, key=attrgetter("sequence"))
            if index == len(self.moves) or self.moves[index].sequence != position.sequence:
                return None
            if mark(self.moves[index].release_id) != position.release:
                return None
            later = self.moves[index + 1 :]
            expected = position.sequence + 1
        if any(move.sequence != expected + n for n, move in enumerate(later)):
            return None
        return later


def mark(release_id: str) -> str:
    """The part of a release's id that a position carries."""
    return release_id[-8:]


def is_whole(moves: Sequence[Move], keep: int) -> bool:
    """Whether no move is missing among the last `keep`."""
    first, last = moves[0].sequence, moves[-1].sequence
    return last - first + 1 == len(moves) and (first == 1 or len(moves) >= keep)


def moves_of(
    pointers: Sequence[Pointer], told: Sequence[Move], keep: int, day_of: Callable[[str], date | None]
) -> tuple[Move, ...]:
    """The last `keep` moves of a history, oldest first; what was told of a move already stays as it is."""
    known = {move.sequence: move for move in told}
    found: list[Move] = []
    previous: Pointer | None = None
    for pointer in pointers[-keep - 1 :]:
        is_next = previous is not None and previous.sequence == pointer.sequence - 1
        before = previous.release_id if previous is not None and is_next else None
        old = known.get(pointer.sequence)
        if old is not None and (old.release_id, old.previous_release_id) == (pointer.release_id, before):
            found.append(old)
        else:
            found.append(move_of(pointer, before, day_of(pointer.release_id), UNKNOWN))
        previous = pointer
    return tuple(found[-keep:])


def move_of(pointer: Pointer, previous: str | None, production_date: date | None, changed: Changes) -> Move:
    """One move."""
    return Move(
        pointer.sequence,
        pointer.release_id,
        previous,
        pointer.changed_at_utc,
        pointer.is_held,
        production_date,
        changed,
    )
