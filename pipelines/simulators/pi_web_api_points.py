"""The controllers that find points: data servers, points by name filter, by path and by WebId, digital sets."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Any

from pipelines.simulators.pi_web_api_context import (
    BASE,
    PiContext,
    encoded,
    errors,
    iso,
    select,
    selected_fields,
    url,
)
from pipelines.simulators.pi_web_api_ids import WebIdType, set_web_id
from pipelines.simulators.replay_pi import Point
from pipelines.simulators.server_http import Refusal, Reply, Request, Routes

WEB_ID = r"(?P<web_id>[A-Za-z0-9_-]+)"
SEARCH_LIMIT = 1000


class PointControllers:
    """Registers its routes on construction."""

    def __init__(self, context: PiContext, routes: Routes) -> None:
        self.context = context
        routes.add("GET", f"{BASE}/?", self._home)
        routes.add("GET", f"{BASE}/system/versions", self._versions)
        routes.add("GET", f"{BASE}/dataservers", self._servers)
        routes.add("GET", f"{BASE}/dataservers/{WEB_ID}", self._server)
        routes.add("GET", f"{BASE}/dataservers/{WEB_ID}/points", self._filtered)
        routes.add("GET", f"{BASE}/dataservers/{WEB_ID}/enumerationsets", self._sets)
        routes.add("GET", f"{BASE}/enumerationsets/{WEB_ID}/enumerationvalues", self._set_values)
        routes.add("GET", f"{BASE}/points", self._by_path)
        routes.add("GET", f"{BASE}/points/multiple", self._multiple)
        routes.add("GET", f"{BASE}/points/search", self._search)
        routes.add("GET", f"{BASE}/points/{WEB_ID}", self._by_web_id)
        routes.add("GET", f"{BASE}/points/{WEB_ID}/attributes", self._attributes)

    def _home(self, request: Request, _: Mapping[str, str]) -> Reply:
        links = {"Self": url(request, ""), "DataServers": url(request, "dataservers"), "System": url(request, "system")}
        return Reply.json({"Links": links})

    def _versions(self, _: Request, __: Mapping[str, str]) -> Reply:
        return Reply.json({"OSIsoft.REST": {"FullVersion": "1.19.1.0 (simulated)"}})

    def server_content(self, request: Request) -> dict[str, Any]:
        """The data server as a body."""
        context, web_id = self.context, self.context.server_web_id(_kind(request))
        return {
            "WebId": web_id,
            "Id": str(context.guid),
            "Name": context.server_name,
            "Path": f"\\\\PIServers[{context.server_name}]",
            "IsConnected": True,
            "ServerVersion": "3.4.455.46",
            "ServerTime": iso(context.clock.now()),
            "Links": {
                "Self": url(request, f"dataservers/{web_id}"),
                "Points": url(request, f"dataservers/{web_id}/points"),
                "EnumerationSets": url(request, f"dataservers/{web_id}/enumerationsets"),
            },
        }

    def point_content(self, request: Request, point: Point) -> dict[str, Any]:
        """A point as a body."""
        web_id = self.context.web_id(point, _kind(request))
        stream = f"streams/{web_id}"
        return {
            "WebId": web_id,
            "Id": point.point_id,
            "Name": point.name,
            "Path": self.context.path(point),
            "Descriptor": point.descriptor,
            "PointClass": "classic",
            "PointType": point.point_type,
            "DigitalSetName": point.digital_set,
            "EngineeringUnits": point.units,
            "Span": point.span,
            "Zero": point.zero,
            "Step": point.step,
            "Future": False,
            "DisplayDigits": -5,
            "Links": {
                "Self": url(request, f"points/{web_id}"),
                "DataServer": url(request, f"dataservers/{self.context.server_web_id()}"),
                "Attributes": url(request, f"points/{web_id}/attributes"),
                "InterpolatedData": url(request, f"{stream}/interpolated"),
                "RecordedData": url(request, f"{stream}/recorded"),
                "PlotData": url(request, f"{stream}/plot"),
                "SummaryData": url(request, f"{stream}/summary"),
                "Value": url(request, f"{stream}/value"),
                "EndValue": url(request, f"{stream}/end"),
            },
        }

    def _servers(self, request: Request, _: Mapping[str, str]) -> Reply:
        content = {"Links": {}, "Items": [self.server_content(request)]}
        return Reply.json(select(content, selected_fields(request)))

    def _server(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        self._check_server(parameters["web_id"])
        return Reply.json(select(self.server_content(request), selected_fields(request)))

    def _check_server(self, web_id: str) -> None:
        if web_id not in (self.context.server_web_id("Full"), self.context.server_web_id("IDOnly")):
            raise Refusal(errors(404, "The specified PI Data Archive was not found.", f"WebId: {web_id}"))

    def _filtered(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        self._check_server(parameters["web_id"])
        pattern = re.compile(fnmatch.translate((request.first("nameFilter") or "*").upper()))
        found = [point for point in self._sorted() if pattern.match(point.name.upper())]
        return self._page(request, found, self.context.limits.default_max_count)

    def _search(self, request: Request, _: Mapping[str, str]) -> Reply:
        query = request.first("query") or ""
        named = re.fullmatch(r"\s*(?:tag|name):=?\s*(\S.*?)\s*", query, re.IGNORECASE)
        if named is None:
            raise Refusal(errors(400, f"The query '{query}' is not supported by this server."))
        if (request.first("maxCount") or "0").isdecimal() and int(request.first("maxCount") or 0) > SEARCH_LIMIT:
            raise Refusal(errors(400, f"Parameter 'maxCount' is greater than the maximum allowed ({SEARCH_LIMIT})."))
        text = named[1].strip('"').replace("\\", "").upper()
        pattern = re.compile(fnmatch.translate(text))
        return self._page(request, [p for p in self._sorted() if pattern.match(p.name.upper())], SEARCH_LIMIT)

    def _sorted(self) -> list[Point]:
        return sorted(self.context.replay.points, key=lambda point: point.name.upper())

    def _page(self, request: Request, found: list[Point], default: int) -> Reply:
        start = request.first("startIndex") or "0"
        if not start.isdecimal():
            raise Refusal(errors(400, "Parameter 'startIndex' must be a non-negative integer."))
        first = int(start)
        count = self.context.count(request, "maxCount", default)
        items = [self.point_content(request, point) for point in found[first : first + count]]
        return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)))

    def _by_path(self, request: Request, _: Mapping[str, str]) -> Reply:
        path = request.first("path")
        if not path:
            raise Refusal(errors(400, "The 'path' parameter is required."))
        point = self.context.point_by_path(path)
        if isinstance(point, str):
            raise Refusal(errors(404, point))
        return Reply.json(select(self.point_content(request, point), selected_fields(request)))

    def _by_web_id(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        point = self.context.point(parameters["web_id"])
        return Reply.json(select(self.point_content(request, point), selected_fields(request)))

    def _multiple(self, request: Request, _: Mapping[str, str]) -> Reply:
        """One result per request in order; a failure stands inline and the rest are fine."""
        items: list[dict[str, Any]] = []
        for path in request.all("path"):
            point = self.context.point_by_path(path)
            items.append(self._result(request, path, point))
        for web_id in request.all("webId"):
            try:
                items.append(self._result(request, web_id, self.context.point(web_id)))
            except Refusal:
                items.append(self._result(request, web_id, "The specified PI Point was not found."))
        if not items:
            raise Refusal(errors(400, "At least one 'path' or 'webId' parameter is required."))
        return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)))

    def _result(self, request: Request, identifier: str, point: Point | str) -> dict[str, Any]:
        if isinstance(point, str):
            return {"Identifier": identifier, "IdentifierType": "string", "Exception": {"Errors": [point]}}
        return {"Identifier": identifier, "IdentifierType": "string", "Object": self.point_content(request, point)}

    def _attributes(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        point = self.context.point(parameters["web_id"])
        values: dict[str, Any] = {
            "archiving": 1,
            "descriptor": point.descriptor,
            "digitalset": point.digital_set,
            "engunits": point.units,
            "pointid": point.point_id,
            "pointtype": point.point_type,
            "span": point.span,
            "step": int(point.step),
            "tag": point.name,
            "zero": point.zero,
        }
        own = url(request, f"points/{parameters['web_id']}/attributes")
        items = [{"Name": name, "Value": value, "Links": {"Self": f"{own}/{name}"}} for name, value in values.items()]
        return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)))

    def _sets(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        self._check_server(parameters["web_id"])
        items = []
        for number, name in enumerate(self.context.replay.digital_sets):
            web_id = set_web_id(self.context.guid, number)
            links = {"Values": url(request, f"enumerationsets/{encoded(web_id)}/enumerationvalues")}
            items.append({"WebId": web_id, "Name": name, "Description": "", "Links": links})
        return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)))

    def _set_values(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        for number, states in enumerate(self.context.replay.digital_sets.values()):
            if set_web_id(self.context.guid, number) == parameters["web_id"]:
                items = [{"Name": name, "Value": code} for code, name in sorted(states.items())]
                return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)))
        raise Refusal(errors(404, "The specified enumeration set was not found."))


def _kind(request: Request) -> WebIdType:
    text = (request.first("webIdType") or "Full").lower()
    if text == "full":
        return "Full"
    if text == "idonly":
        return "IDOnly"
    raise Refusal(errors(400, f"WebIdType '{text}' is not supported by this server."))
