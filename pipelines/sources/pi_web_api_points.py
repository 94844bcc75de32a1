"""Tag names to WebIds, many at once, remembered for a while.

A name search also finds longer names and duplicates, so names are compared whole, without regard to case. An id changes
when a point is deleted and recreated: it expires, and is forgotten when a read answers 404.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

import httpx
import msgspec

from pipelines.sources.errors import Asking, SourceBroken
from pipelines.sources.http import GarbledAnswer, Http
from pipelines.sources.payloads_pi import DataServers, FoundPoints, Point, Points, SubAnswer

LIFETIME_SECONDS = 3600.0
# HTTP.sys cuts a URL at 16 KiB, some gateways at 8: stay below the smaller.
LONGEST_URL = 8_000
MOST_POINTS = 100
_PAGE = 1000
_POINT_FIELDS = ("WebId", "Name", "PointType", "EngineeringUnits", "Descriptor", "Step")

_batch = msgspec.json.Decoder(dict[str, SubAnswer])
_point = msgspec.json.Decoder(Point)
_servers = msgspec.json.Decoder(DataServers)
_points = msgspec.json.Decoder(Points)
_found = msgspec.json.Decoder(FoundPoints)


def batches(texts: Sequence[str], room: int, most: int) -> list[list[int]]:
    """Positions of `texts` in runs of at most `most` whose lengths add to at most `room` characters, one at least."""
    runs: list[list[int]] = []
    used = 0
    for position, text in enumerate(texts):
        if not runs or len(runs[-1]) >= most or used + len(text) > room:
            runs.append([])
            used = 0
        runs[-1].append(position)
        used += len(text)
    return runs


def whole(answer: object) -> None:
    """Raise GarbledAnswer for an answer of status 200 that is a failure, or that lacks its items."""
    exception = getattr(answer, "WebException", None)
    if exception is not None:
        raise GarbledAnswer(f"WebException {exception.StatusCode}: {'; '.join(exception.Errors)}")
    if getattr(answer, "Items", ()) is None:
        raise GarbledAnswer("an answer without Items")


class PointDirectory:
    """Finds points of one data archive. Thread-safe."""

    def __init__(
        self, http: Http, base_url: str, data_server: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._base = base_url
        self._wanted_server = data_server
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Point, float]] = {}
        self._server: tuple[str, str] | None = None
        self._has_multiple = True
        self._has_batch = True

    def find(self, asking: Asking, names: Iterable[str]) -> dict[str, Point]:
        """The points that exist, by the name as asked; an absent key is a tag that the archive does not have."""
        names = list(dict.fromkeys(names))
        now = self._clock()
        with self._lock:
            found = {
                name: known[0]
                for name in names
                if (known := self._known.get(name.upper())) is not None and known[1] > now
            }
        unknown = [name for name in names if name not in found]
        if unknown:
            asked = self._multiple(asking, unknown) if self._has_multiple else self._batched(asking, unknown)
            with self._lock:
                for name, point in asked.items():
                    self._known[name.upper()] = (point, now + LIFETIME_SECONDS)
            found |= asked
        return found

    def forget(self, names: Iterable[str]) -> None:
        """Ask for these names again next time."""
        with self._lock:
            for name in names:
                self._known.pop(name.upper(), None)

    def server(self, asking: Asking) -> tuple[str, str]:
        """WebId and name of the archive: the configured one, or the only one."""
        if self._server is None:
            answer = self._http.ask(asking, f"{self._base}/dataservers", decode=_decode_servers).value
            items = answer.Items or []
            wanted = self._wanted_server.upper()
            fitting = [each for each in items if not wanted or each.Name.upper() == wanted]
            if len(fitting) != 1:
                names = ", ".join(each.Name for each in items) or "none"
                raise SourceBroken(
                    asking,
                    asked=f"the data archive {self._wanted_server or '(the only one)'}",
                    came=f"data archives: {names}",
                    what_next="not retried: name one of them as the data server, or grant the identity read access",
                )
            self._server = (fitting[0].WebId, fitting[0].Name)
        return self._server

    def _multiple(self, asking: Asking, names: list[str]) -> dict[str, Point]:
        _, server = self.server(asking)
        fields = ";".join(["Items.Identifier", "Items.Exception", *(f"Items.Object.{each}" for each in _POINT_FIELDS)])
        queries = [f"&path={quote(f'{chr(92) * 2}{server}{chr(92)}{name}', safe='')}" for name in names]
        head = f"{self._base}/points/multiple?webIdType=IDOnly&selectedFields={quote(fields, safe='.')}"
        found: dict[str, Point] = {}
        for run in batches(queries, LONGEST_URL - len(head), MOST_POINTS):
            asked = [names[position] for position in run]
            url = head + "".join(queries[position] for position in run)
            try:
                words = f"points/multiple of {len(asked)} tags, {asked[0]} first"
                answer = self._http.ask(asking, url, decode=_decode_found, asked=words).value
            except SourceBroken as error:
                if error.status not in (404, 405, 501):
                    raise
                # Versions before 2016 R2 and some gateways lack this call.
                self._has_multiple = False
                return found | self._batched(asking, [name for name in names if name not in found])
            by_name = {each.Object.Name.upper(): each.Object for each in answer.Items or [] if each.Object is not None}
            found |= {name: by_name[name.upper()] for name in asked if name.upper() in by_name}
        return found

    def _batched(self, asking: Asking, names: list[str]) -> dict[str, Point]:
        """Points by path, many to a call, where the server takes no `points/multiple`; one by one where it takes neither."""
        found: dict[str, Point] = {}
        for begin in range(0, len(names), MOST_POINTS):
            asked = names[begin : begin + MOST_POINTS]
            if not self._has_batch:
                found |= self._one_by_one(asking, asked)
                continue
            _, server = self.server(asking)
            fields = quote(";".join(_POINT_FIELDS), safe=".")
            requests = {}
            for number, name in enumerate(asked):
                path = quote(f"{chr(92) * 2}{server}{chr(92)}{name}", safe="")
                resource = f"{self._base}/points?path={path}&webIdType=IDOnly&selectedFields={fields}"
                requests[str(number)] = {"Method": "GET", "Resource": resource}
            try:
                answers = self._http.ask(
                    asking,
                    f"{self._base}/batch",
                    method="POST",
                    content=msgspec.json.encode(requests),
                    headers={"Content-Type": "application/json"},
                    accept=(200, 207),
                    decode=_decode_batch,
                    asked=f"batch of {len(asked)} points, {asked[0]} first",
                ).value
            except SourceBroken as error:
                if error.status not in (403, 404, 405, 501):
                    raise
                # Not offered, or refused to POSTs by a gateway: what only asks is never refused.
                self._has_batch = False
                found |= self._one_by_one(asking, asked)
                continue
            for number, name in enumerate(asked):
                point = answers.get(str(number))
                if point is not None and point.Name.upper() == name.upper():
                    found[name] = point
        return found

    def _one_by_one(self, asking: Asking, names: list[str]) -> dict[str, Point]:
        web_id, _ = self.server(asking)
        found: dict[str, Point] = {}
        for name in names:
            start = 0
            while name not in found:
                params = httpx.QueryParams(
                    nameFilter=name, startIndex=str(start), maxCount=str(_PAGE), webIdType="IDOnly"
                )
                url = f"{self._base}/dataservers/{web_id}/points"
                answer = self._http.ask(asking, url, params=params, decode=_decode_points).value
                items = answer.Items or []
                if not items:
                    break
                same = [each for each in items if each.Name.upper() == name.upper()]
                if same:
                    found[name] = same[-1]
                start += len(items)
        return found


def _decode_servers(body: bytes) -> DataServers:
    answer = _servers.decode(body)
    whole(answer)
    return answer


def _decode_points(body: bytes) -> Points:
    answer = _points.decode(body)
    whole(answer)
    return answer


def _decode_found(body: bytes) -> FoundPoints:
    answer = _found.decode(body)
    whole(answer)
    return answer


def _decode_batch(body: bytes) -> dict[str, Point | None]:
    """Each sub-answer's point; None where there is none, or it may not be seen."""
    points: dict[str, Point | None] = {}
    for name, answer in _batch.decode(body).items():
        if answer.Status == 200:
            points[name] = _point.decode(answer.Content)
        elif answer.Status in (400, 403, 404):
            points[name] = None
        else:
            raise GarbledAnswer(f"status {answer.Status} inside a batch")
    return points
