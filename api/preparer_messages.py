"""What the serving process and its preparer say to each other: MessagePack, a task a frame and several answers a frame.

A task is answered by Opened and then by its parts in order, each closed by PartDone: one for every prepared scope, then what
is made again.
"""

from datetime import date

import msgspec

from api.caching import Key
from api.facts import ReleaseFacts
from api.units import Units


class Task(msgspec.Struct, frozen=True, array_like=True):
    """Prepare this release. `build` is the code that serves; `scopes` the limited scopes, each by its assets."""

    build: str
    warehouse_dir: str
    operator: str | None
    allow_synthetic: bool
    default_units: Units
    scopes: list[list[str]]
    release_id: str
    asked: list[Key]


class Opened(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The release's file is what its manifest says, and answers questions."""

    facts: ReleaseFacts


class Made(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """One answer: its body in every encoding, and the digest of what it says."""

    key: Key
    route: str
    tag_base: str
    production_date: date
    content: bytes
    is_carried: bool
    bodies: dict[str, bytes]


class PartDone(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Nothing more belongs to this part."""


class Refused(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The task cannot be done; the process waits for the next."""

    reason: str


Answer = Opened | Made | PartDone | Refused
encode = msgspec.msgpack.Encoder().encode
read_task = msgspec.msgpack.Decoder(Task).decode
read_answers = msgspec.msgpack.Decoder(list[Answer]).decode
