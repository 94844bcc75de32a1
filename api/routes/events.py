"""GET /api/v1/events: the evidence under the drivers, newest first, in pages that fit together."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from litestar import get

from api import pages, parameters
from api.callers import caller_of
from api.contracts.events import EVENT_SOURCES, EVENT_STATUSES, EventList
from api.dependencies import ApiRequest, desk_of
from api.event_rows import Filters, event_page
from api.operations import Operation, documented
from api.parameters import (
    AS_KNOWN_AT,
    ASSET_ID,
    FACILITY_KINDS,
    IDENTIFIER,
    PRODUCTION_NETWORK,
    RELEASE,
    UNITS,
    Parameter,
)
from api.view import View

PATH = "/api/v1/events"
DEFAULT_DAYS = 30
MAX_EVENTS = 500
DEFAULT_EVENTS = 50
IS_OPEN = {"all": None, "open": True, "closed": False}
# What may change from page to page: not which rows there are, nor their order.
BESIDE_THE_ROWS = frozenset({"cursor", "limit", "units", "release", "asKnownAt"})

FACILITY_ID = Parameter(
    "facilityId",
    "Only events booked on this facility or counted there; their volumes are those counted there.",
    ASSET_ID.parse,
    IDENTIFIER,
    kinds=FACILITY_KINDS,
)
BOOKED_ASSET_ID = replace(
    ASSET_ID, description="Only events booked in this asset or counted there; their volumes are those counted there."
)
FROM = parameters.production_day("from", f"First production day; by default {DEFAULT_DAYS} days ending with `to`.")
TO = parameters.production_day("to", "Last production day; by default the latest closed one.")
STATUS = parameters.choice("status", "Open or closed when last read.", EVENT_STATUSES, "all")
SHARED_NETWORK = replace(
    PRODUCTION_NETWORK, description="Only events with a share of the deferment of this network, and that share only."
)
SOURCE = parameters.choice("source", "Only events of this source.", EVENT_SOURCES)
LIMIT = parameters.count("limit", "Events of a page.", MAX_EVENTS, DEFAULT_EVENTS)
CURSOR = Parameter(
    "cursor",
    "`next` of an earlier answer: the page after it, from the same release whatever was published since (410 when that was "
    "pruned). The other parameters, but for limit and units, must be those of that answer.",
    pages.read,
)
PARAMETERS = (
    FACILITY_ID, BOOKED_ASSET_ID, FROM, TO, STATUS, SHARED_NETWORK, SOURCE, LIMIT, CURSOR, UNITS, RELEASE, AS_KNOWN_AT,
)  # fmt: skip


def assemble(view: View) -> EventList:
    """A page of the events read in the window. Raises Problem for a window that ends before it begins."""
    arguments = view.arguments
    first, last = window_of(arguments, view.facts.latest_day)
    cursor: pages.Cursor | None = arguments["cursor"]
    filters = Filters(
        first=first,
        last=last,
        facility_id=arguments["facilityId"],
        asset_id=arguments["assetId"],
        network=view.network,
        source=arguments["source"],
        is_open=IS_OPEN[arguments["status"]],
    )
    page = event_page(view, filters, arguments["limit"], None if cursor is None else (cursor.position, cursor.row_id))
    following = None
    if page.last is not None:
        following = pages.write(
            pages.Cursor(view.facts.release_id, _asked(arguments), page.last["start_position"], page.last["event_id"])
        )
    return EventList(
        **view.metadata(),
        uom=view.network_volume_units(),
        from_=first,
        to=last,
        status=arguments["status"],
        facility_id=filters.facility_id,
        asset_id=filters.asset_id,
        network=filters.network,
        source=filters.source,
        total=page.total,
        events=page.events,
        next=following,
    )


def window_of(arguments: Mapping[str, Any], latest: date) -> tuple[date, date]:
    """First and last production day asked for. Raises Problem invalidParameter when the last lies before the first."""
    first: date | None = arguments["from"]
    last: date | None = arguments["to"]
    if last is None:
        last = latest
    if first is None:
        # Days begin with year 1: a window may end before it could have begun there.
        first = date.fromordinal(max(1, last.toordinal() - DEFAULT_DAYS + 1))
    if last < first:
        raise parameters.fault(FROM, f"lies after the last day of the window, {last}", first.isoformat())
    return first, last


def _asked(arguments: Mapping[str, Any]) -> str:
    return pages.fingerprint(PATH, arguments, BESIDE_THE_ROWS)


def _read(query_string: bytes) -> dict[str, Any]:
    """The arguments; a cursor names the release. Raises Problem for a cursor of another list or another release."""
    arguments = parameters.read(query_string, PARAMETERS)
    cursor: pages.Cursor | None = arguments["cursor"]
    if cursor is not None:
        if cursor.asked != _asked(arguments):
            raise parameters.fault(CURSOR, "belongs to a list made with other parameters; repeat those", None)
        if arguments["asKnownAt"] is not None or arguments["release"] not in (None, cursor.release_id):
            raise parameters.fault(
                CURSOR, f"goes on in release {cursor.release_id}; leave release and asKnownAt out", None
            )
        arguments["release"] = cursor.release_id
    return arguments


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="listEvents",
            summary="Events under the drivers, in pages",
            description="Events read in a window of production days, newest start first, then by id; standing constraints, "
            "which have no start, come last. Volumes are over the window. Pages of one walk are of one release and hold "
            "each event exactly once, for any limit.",
            tag="deferment",
            answer=EventList,
            parameters=PARAMETERS,
        )
    ),
)
async def list_events(request: ApiRequest) -> EventList:
    """Answers with a page of events."""
    desk = desk_of(request)
    scope = caller_of(request.scope).scope
    arguments = _read(request.scope["query_string"])
    body, answered = await desk.run(lambda: desk.answer(scope, arguments, PARAMETERS, assemble))
    request.scope["state"]["answered"] = answered
    return body
