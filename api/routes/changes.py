"""GET /api/v1/changes: what was restated, old, new, delta, from the release's own record; paged by the last row seen."""

import base64
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from litestar import get

from api.contracts.changes import Change, ChangeList
from api.dependencies import ApiRequest, respond
from api.operations import Operation, documented
from api.parameters import AS_KNOWN_AT, RELEASE, Parameter
from api.view import View

PATH = "/api/v1/changes"
MAX_CHANGES = 5000
DEFAULT_CHANGES = 500
# A caller that names no instant gets what a week of late data brought.
DEFAULT_SPAN = timedelta(days=7)

Position = tuple[datetime, str, str, date]


def _limit(value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not 1 <= int(value) <= MAX_CHANGES:
        raise ValueError(f"must be a whole number from 1 to {MAX_CHANGES}")
    return int(value)


def _position(value: str) -> Position:
    try:
        position: Position = msgspec.json.decode(base64.urlsafe_b64decode(value.encode("ascii")), type=Position)
    except (ValueError, msgspec.DecodeError):
        raise ValueError("must be `next` of an earlier answer") from None
    if position[0].tzinfo is None:
        raise ValueError("must be `next` of an earlier answer")
    return position


def _cursor(row: dict[str, Any]) -> str:
    position = (_utc(row["known_at_utc"]), row["what"], row["entity_id"], row["production_date"])
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


SINCE = Parameter(
    "since",
    "Only what became known after this instant; by default seven days before the release was built.",
    AS_KNOWN_AT.parse,
    {"type": "string", "format": "date-time"},
)
LIMIT = Parameter(
    "limit",
    "Changes listed.",
    _limit,
    {"type": "integer", "minimum": 1, "maximum": MAX_CHANGES, "default": DEFAULT_CHANGES},
    default=DEFAULT_CHANGES,
)
CURSOR = Parameter("cursor", "`next` of an earlier answer: go on after it.", _position)
ALLOWED = (SINCE, LIMIT, CURSOR, RELEASE, AS_KNOWN_AT)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def assemble(view: View) -> ChangeList:
    """The changes of the release after the instant and the position, as many as the limit allows."""
    since: datetime = view.arguments["since"] or _utc(view.facts.built_at) - DEFAULT_SPAN
    limit: int = view.arguments["limit"]
    after: Position | None = view.arguments["cursor"]
    known_at, what, entity, day = after or (None, None, None, None)
    rows = view.query(
        "change_list",
        since=since,
        after_known_at=known_at,
        after_what=what,
        after_entity_id=entity,
        after_production_date=day,
        row_limit=limit + 1,  # one more tells whether there is a next page
    )
    return ChangeList(
        **view.metadata(),
        since=since,
        changes=[
            Change(
                what=row["what"],
                entity_id=row["entity_id"],
                production_date=row["production_date"],
                known_at=_utc(row["known_at_utc"]),
                old=row["old_value"],
                new=row["new_value"],
                delta=row["delta"],
                unit=row["unit"],
                reason=row["reason"],
            )
            for row in rows[:limit]
        ],
        next=_cursor(rows[limit - 1]) if len(rows) > limit else None,
    )


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="listChanges",
            summary="What was restated: old, new, delta and why",
            description="Values that changed after they were first loaded, oldest knowledge first. To follow, send the last "
            "knownAt as since. Pages of one release fit together when release is sent along.",
            tag="releases",
            answer=ChangeList,
            parameters=ALLOWED,
        )
    ),
)
async def list_changes(request: ApiRequest) -> ChangeList:
    """Answers with the changes."""
    return await respond(request, ALLOWED, assemble)
