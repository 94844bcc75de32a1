"""A preparer's work: the answers of one task, from the release's own file."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from api.caching import Entry, Key, build_id
from api.callers import Scope
from api.negotiation import ENCODINGS, IDENTITY
from api.preparer_messages import Answer, Made, Opened, PartDone, Refused, Task
from api.preparing import Preparation
from api.scoping import facts_of
from api.subjects import SUBJECTS
from warehouse.reader import ReleaseReader

# What was made is sent after so long, or once it is so much: the process that serves takes it over between two requests.
FRAME_SECONDS = 0.1
FRAME_BYTES = 1 << 18


def answers(task: Task) -> Iterator[Answer]:
    """Answers to a task, in order. Raises what the reader raises of a release that cannot be opened."""
    if task.build != build_id():
        yield Refused("the code on disk is no longer the code that serves; start the server again")
        return
    scopes = [Scope(frozenset(assets)) for assets in task.scopes]
    preparation = Preparation(SUBJECTS, scopes, task.default_units)
    # A reader for each task: between tasks no release is kept in use.
    with (
        ReleaseReader(Path(task.warehouse_dir), operator=task.operator, allow_synthetic=task.allow_synthetic) as reader,
        reader.open(task.release_id) as release,
    ):
        release.warm()
        yield Opened(facts_of(release))
        for scope in preparation.scopes:
            yield from _part(preparation.first(release, scope))
        yield from _part(preparation.again(release, task.asked))


def frames(answers: Iterable[Answer]) -> Iterator[list[Answer]]:
    """Answers by the frame: each that comes wakes the process that serves."""
    frame: list[Answer] = []
    size, begun = 0, time.monotonic()
    for answer in answers:
        frame.append(answer)
        if isinstance(answer, Made):
            size += sum(map(len, answer.bodies.values()))
        if isinstance(answer, Opened) or size >= FRAME_BYTES or time.monotonic() - begun >= FRAME_SECONDS:
            yield frame
            frame, size, begun = [], 0, time.monotonic()
    if frame:
        yield frame


def _part(entries: Iterable[tuple[Key, Entry]]) -> Iterator[Answer]:
    for key, entry in entries:
        for encoding in (IDENTITY, *ENCODINGS):
            entry.encode(encoding)
        yield Made(
            key=key,
            route=entry.route,
            tag_base=entry.tag_base,
            production_date=entry.stamp.production_date,
            content=entry.content,
            is_carried=entry.is_carried,
            bodies={encoding: encoded.body for encoding, encoded in entry.encoded.items()},
        )
    yield PartDone()
