"""Data of the events of GET /api/v1/stream: one JSON object an event, named by the event's type."""

from datetime import date, datetime
from typing import Annotated

from msgspec import Struct

from api.contracts.common import doc


class StreamOpened(Struct, frozen=True, kw_only=True, rename="camel"):
    """`stream.opened`: the first event of a new stream, and `reset`: what was missed cannot be told, fetch all anew."""

    release_id: Annotated[str | None, doc("Release in force, as dataVersion of bodies; null before the first.")]
    sequence: Annotated[int, doc("Number of the pointer's last move; 0 before the first.")]


class ReleasePublished(Struct, frozen=True, kw_only=True, rename="camel"):
    """`release.published`: another release is in force."""

    release_id: Annotated[str, doc("Release put in force, as dataVersion of bodies.")]
    previous_release_id: Annotated[str | None, doc("Release in force before; null for the first or where unknown.")]
    sequence: Annotated[int, doc("Number of the pointer's move; rises with every move.")]
    production_date: Annotated[
        date | None, doc("Latest production day of the release; null where it is not kept any more.")
    ]
    published_at: Annotated[datetime, doc("When it was put in force.")]
    is_held: Annotated[bool, doc("Whether it was put in force by hand and later builds wait (roll-back).")]
    changed_resources: Annotated[
        list[str],
        doc(
            "Paths whose content differs from the previous release beyond dataVersion, asOf and freshness. A path stands for "
            "itself with any query and for all paths below it; /api/v1 alone where the difference is unknown."
        ),
    ]


class SourceChange(Struct, frozen=True, kw_only=True, rename="camel"):
    """How fresh one source is now and was before."""

    source: Annotated[str, doc("Source system.")]
    status: Annotated[str | None, doc("fresh, delayed or stale; null where the source is gone.")]
    previous_status: Annotated[str | None, doc("As the stream last told; null where the source is new.")]


class FreshnessChanged(Struct, frozen=True, kw_only=True, rename="camel"):
    """`freshness.changed`: sources whose status is another than the stream last told."""

    sources: Annotated[list[SourceChange], doc("The changed ones, by name.")]
