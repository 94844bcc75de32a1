"""The controllers of stream updates: register a stream, then ask what came since a marker.

Markers live in this server's memory only, so a restart forgets them, as the vendor's do.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipelines.simulators.pi_web_api_context import BASE, PiContext, errors, select, selected_fields, url
from pipelines.simulators.pi_web_api_encode import Run, encode_runs
from pipelines.simulators.pi_web_api_points import WEB_ID
from pipelines.simulators.replay_pi import Point, micros
from pipelines.simulators.server_http import Refusal, Reply, Request, Routes

MARKER = r"(?P<marker>[0-9a-fA-F-]+_\d+)"


@dataclass(slots=True)
class _Registered:
    """A registered stream: the archive row up to which each marker has seen it."""

    point: Point
    seen: list[int] = field(default_factory=list)


class UpdateControllers:
    """Registers its routes on construction."""

    def __init__(self, context: PiContext, routes: Routes) -> None:
        self.context = context
        self._lock = threading.Lock()
        self._registered: dict[str, _Registered] = {}
        routes.add("POST", f"{BASE}/streams/{WEB_ID}/updates", self._register_one)
        routes.add("POST", f"{BASE}/streamsets/updates", self._register_many)
        routes.add("GET", f"{BASE}/streams/updates/{MARKER}", self._updates_of_one)
        routes.add("GET", f"{BASE}/streamsets/updates", self._updates_of_many)

    def forget(self) -> None:
        """Lose every marker, as a restart of the server does."""
        with self._lock:
            self._registered.clear()

    def _register_one(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        content = self._registration(self.context.point(parameters["web_id"]))
        location = ("Location", url(request, f"streams/updates/{content['LatestMarker']}"))
        return Reply.json(select(content, selected_fields(request)), headers=[location])

    def _register_many(self, request: Request, _: Mapping[str, str]) -> Reply:
        items = [self._registration(self.context.point(web_id)) for web_id in request.all("webId")]
        if not items:
            raise Refusal(errors(400, "The 'webId' parameter is required."))
        markers = "&".join(f"marker={item['LatestMarker']}" for item in items)
        location = ("Location", url(request, f"streamsets/updates?{markers}"))
        return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)), headers=[location])

    def _registration(self, point: Point) -> dict[str, Any]:
        name = str(uuid.uuid4())
        with self._lock:
            self._registered[name] = _Registered(point, [self._visible(point)])
        return self._about(point) | {"LatestMarker": f"{name}_0", "Status": "Succeeded"}

    def _updates_of_one(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        return Reply.json(select(self._updates(parameters["marker"]), selected_fields(request)))

    def _updates_of_many(self, request: Request, _: Mapping[str, str]) -> Reply:
        items = [self._updates(marker) for marker in request.all("marker")]
        if not items:
            raise Refusal(errors(400, "The 'marker' parameter is required."))
        return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)))

    def _updates(self, marker: str) -> dict[str, Any]:
        name, _, number = marker.rpartition("_")
        with self._lock:
            registered = self._registered.get(name)
            if registered is None:
                raise Refusal(errors(404, "The specified cache was not found.", f"Marker: {marker}"))
            if int(number) >= len(registered.seen):
                raise Refusal(errors(409, "The specified marker is not valid.", f"Marker: {marker}"))
            start, stop = registered.seen[int(number)], self._visible(registered.point)
            if stop > registered.seen[-1]:
                registered.seen.append(stop)
            latest = f"{name}_{len(registered.seen) - 1}"
        replay = self.context.replay
        run = Run(registered.point, replay.times[start:stop], replay.values.slice(start, stop - start))
        events = msgspec.json.decode(b"[%b]" % encode_runs(replay, [run], None)[0])
        told = {"Action": "Add", "PreviousEventAction": "PreviousEventArchived"}
        return self._about(registered.point) | {
            "RequestedMarker": marker,
            "LatestMarker": latest,
            "Status": "Updated",
            "Events": [event | told for event in events],
        }

    def _visible(self, point: Point) -> int:
        """The row after the last one that the clock lets be seen."""
        return self.context.replay.rows(point, 0, micros(self.context.clock.now()))[1]

    def _about(self, point: Point) -> dict[str, Any]:
        return {
            "Source": self.context.web_id(point),
            "SourceName": point.name,
            "SourcePath": self.context.path(point),
        }
