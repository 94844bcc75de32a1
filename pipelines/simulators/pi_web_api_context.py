"""What the controllers of the simulated PI Web API share: identity, limits, look-ups, parameters, selected fields."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pipelines.simulators.faults import Faults
from pipelines.simulators.pi_web_api_ids import WebIdError, WebIdType, parse_point, point_web_id, server_web_id
from pipelines.simulators.pi_web_api_times import TimeError, parse_time
from pipelines.simulators.replay_pi import PiReplay, Point, micros
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_counts import Counts
from pipelines.simulators.server_http import Refusal, Reply, Request

BASE = "/piwebapi"
GUID_NAMESPACE = uuid.UUID("6e0d9a52-3a5f-4b7c-9a58-0d5c9a7b4c11")


@dataclass(slots=True, kw_only=True)
class PiLimits:
    """Server configuration that changes what a client sees.

    ``shares_max_count``: in a streamset, maxCount is divided among the streams; otherwise it holds for each.
    ``loses_max_count``: maxCount never arrives, as behind some gateways: the default is served, in silence.
    ``max_returned_items``: the vendor's MaxReturnedItemsPerCall; a streamset whose total passes it is refused too.
    """

    shares_max_count: bool = False
    loses_max_count: bool = False
    max_returned_items: int = 150_000
    default_max_count: int = 1000
    max_body_bytes: int = 4 * 1024 * 1024
    csrf_defence: bool = True


@dataclass(slots=True, kw_only=True)
class PiContext:
    """One simulated PI data server behind the Web API."""

    replay: PiReplay
    clock: Clock
    faults: Faults
    server_name: str = "PISRV01"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    limits: PiLimits = field(default_factory=PiLimits)
    counts: Counts = field(default_factory=Counts)

    @property
    def guid(self) -> uuid.UUID:
        """The data server's id, the same in every run."""
        return uuid.uuid5(GUID_NAMESPACE, self.server_name.upper())

    def server_web_id(self, kind: WebIdType = "Full") -> str:
        """The data server's WebId."""
        return server_web_id(self.guid, self.server_name, kind)

    def path(self, point: Point) -> str:
        r"""``\\SERVER\TAG``."""
        return f"\\\\{self.server_name}\\{point.name}"

    def web_id(self, point: Point, kind: WebIdType = "Full") -> str:
        """A point's WebId."""
        return point_web_id(self.guid, point.point_id, f"{self.server_name}\\{point.name}", kind)

    def point(self, web_id: str) -> Point:
        """The point of a WebId; refuses 400 what is none and 404 what is unknown."""
        try:
            guid, number = parse_point(web_id)
        except WebIdError as problem:
            raise Refusal(errors(400, str(problem))) from None
        point = self.replay.by_id.get(number) if guid == self.guid else None
        if point is None:
            raise Refusal(errors(404, "The specified PI Point was not found.", f"WebId: {web_id}"))
        return point

    def point_by_path(self, path: str) -> Point | str:
        r"""The point of ``\\SERVER\TAG``, or the vendor's message when there is none."""
        server, _, tag = path.lstrip("\\").partition("\\")
        if server.upper() != self.server_name.upper():
            return f"PI Data Archive not found. Path: '{path}'."
        point = self.replay.by_name.get(tag.upper())
        return f"PI Point not found. Path: '{path}'." if point is None else point

    def time(self, request: Request, name: str, default: str) -> int:
        """A time parameter in microseconds; refuses 400 what is no time."""
        return self.instant(request, name, request.first(name) or default)

    def instant(self, request: Request, name: str, text: str) -> int:
        """One text of a time parameter in microseconds; refuses 400 what is no time."""
        try:
            zone = ZoneInfo(request.first("timeZone") or self.zone.key)
            return micros(parse_time(text, now=self.clock.now(), zone=zone))
        except (TimeError, OverflowError) as problem:
            raise Refusal(errors(400, f"Parameter '{name}': {problem}")) from None
        except (KeyError, ValueError):
            raise Refusal(errors(400, f"Parameter 'timeZone': '{request.first('timeZone')}' is not known.")) from None

    def count(self, request: Request, name: str, default: int) -> int:
        """A count parameter; refuses what is no positive number and what passes the limit, as the vendor words it."""
        text = request.first(name)
        if text is None or text == "" or (name == "maxCount" and self.limits.loses_max_count):
            return default
        if not text.isdecimal() or int(text) < 1:
            raise Refusal(errors(400, f"Parameter '{name}' must be a positive integer."))
        highest = self.limits.max_returned_items
        if int(text) > highest:
            raise Refusal(errors(400, f"Parameter '{name}' is greater than the maximum allowed ({highest})."))
        return int(text)


def errors(status: int, *messages: str) -> Reply:
    """PI Web API's own error body."""
    return Reply.json({"Errors": list(messages)}, status)


def url(request: Request, path: str) -> str:
    """An absolute link below the base path."""
    return f"{request.origin}{BASE}/{path}"


def encoded(text: str) -> str:
    """A value quoted for a link."""
    return quote(text, safe="")


def selected_fields(request: Request) -> frozenset[str] | None:
    """The lower-case dotted paths of ``selectedFields``, or null for all."""
    text = request.first("selectedFields")
    if not text:
        return None
    return frozenset(part.strip().lower() for part in text.split(";") if part.strip())


def below(fields: frozenset[str] | None, prefix: str) -> frozenset[str] | None:
    """What ``fields`` selects below a member: null for all of it, empty for none."""
    if fields is None or prefix in fields:
        return None
    start = f"{prefix}."
    return frozenset(path.removeprefix(start) for path in fields if path.startswith(start))


def select(content: Any, fields: frozenset[str] | None) -> Any:
    """``content`` cut down to the selected members; a list is cut member by member."""
    if fields is None:
        return content
    if isinstance(content, list):
        return [select(member, fields) for member in content]
    if not isinstance(content, dict):
        return content
    chosen = {}
    for name, member in content.items():
        inner = below(fields, name.lower())
        if inner is None:
            chosen[name] = member
        elif inner and isinstance(member, dict | list):
            chosen[name] = select(member, inner)
    return chosen


def iso(instant: datetime) -> str:
    """An instant as the vendor writes it: UTC, no more fractional digits than needed."""
    text = instant.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{instant.microsecond:06d}".rstrip("0") + "Z" if instant.microsecond else f"{text}Z"
