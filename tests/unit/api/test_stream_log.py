"""Positions survive the way to the client and back, and say exactly what it missed; what cannot be told says so."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.stream_changes import UNKNOWN
from api.stream_log import FOREIGN, NONE, Position, State, is_whole, mark, moves_of, parse_position
from warehouse.pointer import FORMAT, Pointer

WORDS = st.dictionaries(st.text(min_size=1, max_size=20), st.sampled_from(["fresh", "delayed", "stale"]), max_size=5)
BEGUN = datetime(2026, 11, 21, tzinfo=UTC)


def release(n: int) -> str:
    return f"20261121T000000Z-{n:08x}"


def pointer(sequence: int, n: int, held_by: str | None = None) -> Pointer:
    at = BEGUN + timedelta(minutes=sequence)
    return Pointer(
        format=FORMAT,
        release_id=release(n),
        sequence=sequence,
        held_by=held_by,
        held_reason=None,
        changed_at_utc=at,
    )


def log(*pointers: Pointer, keep: int = 100) -> State:
    return State(moves_of(pointers, (), keep, lambda _: date(2026, 11, 21)), {"pi": "fresh"})


def position(sequence: int, n: int) -> Position:
    return Position(sequence, mark(release(n)), {})


@given(st.integers(0, 10**15 - 1), WORDS)
def test_position_when_sent_as_id_and_back_then_the_same_and_one_line(sequence: int, words: dict[str, str]) -> None:
    there = Position(sequence, "0123abcd", words)
    text = there.id()
    assert text.isascii() and text.isprintable() and " " not in text
    assert parse_position(text) == there


@pytest.mark.parametrize(
    "text", ["", "7", "7-xyz", "-1-0123abcd", "7-0123abcd;pi", "7-0123abcd;pi=old", "٣-0123abcd", "7-none;" * 999]
)
def test_id_that_is_none_of_ours_then_no_position(text: str) -> None:
    assert parse_position(text) is None


@given(st.integers(1, 30), st.data())
def test_client_when_it_was_told_up_to_a_move_then_it_missed_exactly_the_later_ones(
    count: int, data: st.DataObject
) -> None:
    state = log(*(pointer(n, n) for n in range(1, count + 1)))
    told = data.draw(st.integers(1, count))
    missed = state.missed(position(told, told))
    assert missed is not None
    assert [move.sequence for move in missed] == list(range(told + 1, count + 1))
    assert [move.previous_release_id for move in missed] == [release(n) for n in range(told, count)]


def test_client_when_it_came_before_the_first_release_then_it_missed_all() -> None:
    state = log(pointer(1, 1), pointer(2, 2))
    missed = state.missed(Position(0, NONE, {}))
    assert missed is not None
    assert [(move.sequence, move.previous_release_id) for move in missed] == [(1, None), (2, release(1))]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (position(3, 3), "older than what is kept"),
        (position(7, 99), "of another warehouse"),
        (Position(0, NONE, {}), "before the first, which is not kept"),
        (Position(0, FOREIGN, {}), "no position"),
    ],
)
def test_client_when_what_it_missed_is_not_known_then_none(told: Position, why: str) -> None:
    state = log(*(pointer(n, n) for n in range(1, 11)), keep=6)
    assert state.moves[0].sequence == 5
    assert state.missed(told) is None, why


def test_client_when_a_move_between_is_lost_then_none() -> None:
    state = log(pointer(1, 1), pointer(2, 2), pointer(4, 4))
    assert state.missed(position(1, 1)) is None
    assert state.moves[-1].previous_release_id is None
    assert state.missed(position(4, 4)) == ()


def test_client_when_it_knows_of_a_later_move_then_the_log_is_behind() -> None:
    state = log(pointer(1, 1), pointer(2, 2))
    assert state.is_behind(position(3, 3))
    assert not state.is_behind(position(2, 2))


def test_hold_when_it_begins_and_ends_on_one_release_then_no_release_is_told() -> None:
    state = log(pointer(1, 1), pointer(2, 1, held_by="someone"), pointer(3, 1), pointer(4, 2))
    assert [move.is_release for move in state.moves] == [True, False, False, True]


def test_history_when_it_is_read_again_then_what_was_told_stays_and_the_oldest_leave() -> None:
    first = log(*(pointer(n, n) for n in range(1, 6)))
    again = moves_of([pointer(n, n) for n in range(1, 9)], first.moves, 4, lambda _: None)
    assert [move.sequence for move in again] == [5, 6, 7, 8]
    assert [move.production_date for move in again] == [date(2026, 11, 21), None, None, None]
    assert again[0] is first.moves[4]
    assert all(move.changed is UNKNOWN for move in again)


def test_log_when_a_move_is_missing_then_not_whole_and_healed_by_a_history_that_has_it() -> None:
    gap = log(pointer(1, 1), pointer(2, 2), pointer(4, 4))
    assert not is_whole(gap.moves, 100)
    assert not is_whole(log(pointer(3, 3), pointer(4, 4)).moves, 100)
    assert is_whole(log(pointer(3, 3), pointer(4, 4)).moves, 2)
    healed = State(moves_of([pointer(n, n) for n in range(1, 5)], gap.moves, 100, lambda _: None))
    assert is_whole(healed.moves, 100)
    missed = healed.missed(position(2, 2))
    assert missed is not None
    assert [(move.sequence, move.previous_release_id) for move in missed] == [(3, release(2)), (4, release(3))]
