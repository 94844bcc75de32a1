"""The controllers that read values: streams and streamsets.

Recorded and interpolated answers are joined from encoded columns; the small ones are plain bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl

from pipelines.simulators.pi_web_api_context import (
    BASE,
    PiContext,
    below,
    errors,
    iso,
    select,
    selected_fields,
    url,
)
from pipelines.simulators.pi_web_api_encode import Run, encode_runs
from pipelines.simulators.pi_web_api_points import WEB_ID
from pipelines.simulators.pi_web_api_summary import SUMMARY_TYPES, summarise
from pipelines.simulators.pi_web_api_times import TimeError, parse_interval
from pipelines.simulators.pi_web_api_values import Archive, Boundary, Range
from pipelines.simulators.replay_pi import Point, instant, micros
from pipelines.simulators.server_http import Refusal, Reply, Request, Routes

BOUNDARIES: dict[str, Boundary] = {"inside": "Inside", "outside": "Outside", "interpolated": "Interpolated"}
MICROSECOND = timedelta(microseconds=1)
Reader = Callable[[Request, Archive, Sequence[Point]], list[Run]]


class StreamControllers:
    """Registers its routes on construction."""

    def __init__(self, context: PiContext, routes: Routes) -> None:
        self.context = context
        many: dict[str, Reader] = {
            "recorded": self._recorded,
            "recordedattimes": self._at_times,
            "interpolated": self._interpolated,
            "interpolatedattimes": self._interpolated_at,
            "plot": self._plot,
        }
        for name, reader in many.items():
            routes.add("GET", f"{BASE}/streams/{WEB_ID}/{name}", self._stream_of_items(reader))
            routes.add("GET", f"{BASE}/streamsets/{name}", self._streamset_of_items(reader))
        single: dict[str, Reader] = {"value": self._value, "end": self._end, "recordedattime": self._at_time}
        for name, reader in single.items():
            routes.add("GET", f"{BASE}/streams/{WEB_ID}/{name}", self._stream_of_one(reader))
            routes.add("GET", f"{BASE}/streamsets/{name}", self._streamset_of_one(reader))
        routes.add("GET", f"{BASE}/streams/{WEB_ID}/summary", self._summary)
        routes.add("GET", f"{BASE}/streamsets/summary", self._summaries)

    def _archive(self) -> Archive:
        return Archive(self.context.replay, micros(self.context.clock.now()))

    def _points(self, request: Request) -> list[Point]:
        web_ids = request.all("webId")
        if not web_ids:
            raise Refusal(errors(400, "The 'webId' parameter is required."))
        return [self.context.point(web_id) for web_id in web_ids]

    # -- readers ------------------------------------------------------------------------------------------------

    def _recorded(self, request: Request, archive: Archive, points: Sequence[Point]) -> list[Run]:
        boundary = BOUNDARIES.get((request.first("boundaryType") or "Inside").lower())
        if boundary is None:
            raise Refusal(errors(400, f"Parameter 'boundaryType': '{request.first('boundaryType')}' is not valid."))
        limit = self.context.count(request, "maxCount", self.context.limits.default_max_count)
        if self.context.limits.shares_max_count:
            limit = max(1, limit // len(points))
        asked = Range(
            start=self.context.time(request, "startTime", "*-1d"),
            end=self.context.time(request, "endTime", "*"),
            boundary=boundary,
            limit=limit,
        )
        runs = self._within_limit([archive.recorded(point, asked) for point in points])
        self.context.counts.add("values", sum(len(run.times) for run in runs))
        return runs

    def _interpolated(self, request: Request, archive: Archive, points: Sequence[Point]) -> list[Run]:
        start = self.context.time(request, "startTime", "*-1d")
        end = self.context.time(request, "endTime", "*")
        step = self._interval(request, "interval", "1h")
        if abs(end - start) // step + 1 > self.context.limits.max_returned_items:
            raise Refusal(self._too_many(abs(end - start) // step + 1))
        times = np.arange(start, end + 1, step) if end >= start else np.arange(start, end - 1, -step)
        return self._within_limit([archive.at(point, times.astype(np.int64)) for point in points])

    def _interpolated_at(self, request: Request, archive: Archive, points: Sequence[Point]) -> list[Run]:
        times = np.array(self._times(request), dtype=np.int64)
        return [archive.at(point, times) for point in points]

    def _at_times(self, request: Request, archive: Archive, points: Sequence[Point]) -> list[Run]:
        mode, times = self._mode(request), self._times(request)
        runs = []
        for point in points:
            found = [archive.nearest(point, time, mode) or archive.no_data(point, time) for time in times]
            values = pl.concat([run.values for run in found])
            runs.append(Run(point, np.concatenate([run.times for run in found]), values))
        return runs

    def _times(self, request: Request) -> list[int]:
        if not request.first("time"):
            raise Refusal(errors(400, "The 'time' parameter is required."))
        return [self.context.instant(request, "time", text) for text in request.all("time")]

    def _plot(self, request: Request, archive: Archive, points: Sequence[Point]) -> list[Run]:
        start = self.context.time(request, "startTime", "*-1d")
        end = self.context.time(request, "endTime", "*")
        if end <= start:
            raise Refusal(errors(400, "The end time of a plot must be later than its start time."))
        intervals = self.context.count(request, "intervals", 24)
        return self._within_limit([archive.plot(point, start, end, intervals) for point in points])

    def _interval(self, request: Request, name: str, default: str) -> int:
        try:
            return parse_interval(request.first(name) or default) // MICROSECOND
        except TimeError as problem:
            raise Refusal(errors(400, f"Parameter '{name}': {problem}")) from None

    def _within_limit(self, runs: list[Run]) -> list[Run]:
        total = sum(len(run.times) for run in runs)
        if total > self.context.limits.max_returned_items:
            raise Refusal(self._too_many(total))
        return runs

    def _too_many(self, total: int) -> Reply:
        highest = self.context.limits.max_returned_items
        return errors(400, f"The number of items to return ({total}) is greater than the maximum allowed ({highest}).")

    def _value(self, request: Request, archive: Archive, points: Sequence[Point]) -> list[Run]:
        if request.first("time"):
            time = self.context.time(request, "time", "*")
            return [archive.at(point, np.array([time], dtype=np.int64)) for point in points]
        return self._end(request, archive, points)

    def _end(self, _: Request, archive: Archive, points: Sequence[Point]) -> list[Run]:
        rows = [archive.last_row(point) for point in points]
        return [
            archive.no_data(point, archive.now) if row is None else archive.row(point, row)
            for point, row in zip(points, rows, strict=True)
        ]

    def _at_time(self, request: Request, archive: Archive, points: Sequence[Point]) -> list[Run]:
        if not request.first("time"):
            raise Refusal(errors(400, "The 'time' parameter is required."))
        time, mode = self.context.time(request, "time", "*"), self._mode(request)
        return [archive.nearest(point, time, mode) or archive.no_data(point, time) for point in points]

    def _mode(self, request: Request) -> str:
        mode = request.first("retrievalMode") or "Auto"
        if mode.lower() not in ("auto", "atorbefore", "before", "atorafter", "after", "exact"):
            raise Refusal(errors(400, f"Parameter 'retrievalMode': '{mode}' is not valid."))
        return mode

    # -- bodies -------------------------------------------------------------------------------------------------

    def _stream_of_items(self, reader: Reader) -> Callable[[Request, Mapping[str, str]], Reply]:
        def handle(request: Request, parameters: Mapping[str, str]) -> Reply:
            fields = selected_fields(request)
            point = self.context.point(parameters["web_id"])
            runs = self._spoilt(request, reader(request, self._archive(), [point]))
            head = _head({"Links": {}, "UnitsAbbreviation": point.units}, fields)
            return Reply(body=_object(head, self._texts(runs, below(fields, "items"))[0]))

        return handle

    def _streamset_of_items(self, reader: Reader) -> Callable[[Request, Mapping[str, str]], Reply]:
        def handle(request: Request, _: Mapping[str, str]) -> Reply:
            fields = selected_fields(request)
            inner = below(fields, "items")
            points = self._points(request)
            runs = self._spoilt(request, reader(request, self._archive(), points))
            texts = self._texts(runs, below(inner, "items"))
            streams = [
                _object(_head(self._about(request, point), inner), text)
                for point, text in zip(points, texts, strict=True)
            ]
            return Reply(body=_object(_head({"Links": {}}, fields), b",".join(streams)))

        return handle

    def _texts(self, runs: list[Run], fields: frozenset[str] | None) -> Sequence[bytes | None]:
        """The items of each run; null where the caller selected none of their fields."""
        return [None] * len(runs) if fields == frozenset() else encode_runs(self.context.replay, runs, fields)

    def _stream_of_one(self, reader: Reader) -> Callable[[Request, Mapping[str, str]], Reply]:
        def handle(request: Request, parameters: Mapping[str, str]) -> Reply:
            point = self.context.point(parameters["web_id"])
            runs = self._spoilt(request, reader(request, self._archive(), [point]))
            return Reply(body=encode_runs(self.context.replay, runs, selected_fields(request))[0])

        return handle

    def _streamset_of_one(self, reader: Reader) -> Callable[[Request, Mapping[str, str]], Reply]:
        def handle(request: Request, _: Mapping[str, str]) -> Reply:
            points = self._points(request)
            runs = self._spoilt(request, reader(request, self._archive(), points))
            values = encode_runs(self.context.replay, runs, None)
            items = [
                self._about(request, point) | {"Value": msgspec.json.decode(value)}
                for point, value in zip(points, values, strict=True)
            ]
            return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)))

        return handle

    def _about(self, request: Request, point: Point) -> dict[str, Any]:
        web_id = self.context.web_id(point)
        return {
            "WebId": web_id,
            "Name": point.name,
            "Path": self.context.path(point),
            "Links": {"Source": url(request, f"points/{web_id}")},
            "UnitsAbbreviation": point.units,
        }

    def _summary(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        point = self.context.point(parameters["web_id"])
        content = {"Links": {}, "Items": self._summary_items(request, self._archive(), point)}
        return Reply.json(select(content, selected_fields(request)))

    def _summaries(self, request: Request, _: Mapping[str, str]) -> Reply:
        archive = self._archive()
        items = [
            self._about(request, point) | {"Items": self._summary_items(request, archive, point)}
            for point in self._points(request)
        ]
        return Reply.json(select({"Links": {}, "Items": items}, selected_fields(request)))

    def _summary_items(self, request: Request, archive: Archive, point: Point) -> list[dict[str, Any]]:
        known = {name.lower(): name for name in SUMMARY_TYPES}
        asked = [part.strip().lower() for text in request.all("summaryType") for part in text.split(",")] or ["total"]
        kinds = list(SUMMARY_TYPES) if "all" in asked else [known[name] for name in asked if name in known]
        if not kinds:
            raise Refusal(errors(400, f"Parameter 'summaryType': '{', '.join(asked)}' is not valid."))
        if point.point_type == "Digital":
            kinds = [kind for kind in kinds if kind == "Count"] or ["Count"]
        start = self.context.time(request, "startTime", "*-1d")
        end = self.context.time(request, "endTime", "*")
        first, last = sorted((start, end))
        step = self._interval(request, "summaryDuration", "1h") if request.first("summaryDuration") else last - first
        basis = (request.first("calculationBasis") or "TimeWeighted").lower()
        earliest = (request.first("timeType") or "Auto").lower() == "earliesttime"
        items: list[dict[str, Any]] = []
        for begin in range(first, max(last, first + 1), max(step, 1)):
            found = summarise(
                archive,
                point,
                begin,
                min(begin + step, last),
                kinds,
                time_weighted=not basis.startswith("event"),
                earliest_time=earliest,
            )
            for summary in found:
                unit = {"Count": "s" if not basis.startswith("event") else "", "PercentGood": "%"}
                units = unit.get(summary.kind, point.units)
                value = _summary_value(summary.value, iso(instant(summary.time)), units)
                items.append({"Type": summary.kind, "Value": value})
        return items

    def _spoilt(self, request: Request, runs: list[Run]) -> list[Run]:
        """The values under the data faults that are armed; ``column`` names a tag, null means all of the answer."""
        for kind in ("wrong_unit", "edited_history"):
            fault = self.context.faults.data(kind, request.method, request.target)
            if fault is not None:
                factor = fault.factor
                runs = [
                    replace(run, values=run.values.with_columns(pl.col("Value") * factor))
                    if fault.column in (None, run.point.name)
                    else run
                    for run in runs
                ]
        return runs


def _summary_value(value: float | None, time: str, units: str) -> dict[str, Any]:
    known = value is not None
    return {
        "Timestamp": time,
        "UnitsAbbreviation": units,
        "Good": known,
        "Questionable": False,
        "Substituted": False,
        "Annotated": False,
        "Value": value if known else {"Name": "No Data", "Value": 248, "IsSystem": True},
    }


def _head(content: dict[str, Any], fields: frozenset[str] | None) -> bytes:
    """The selected members beside ``Items``, without the closing brace."""
    return msgspec.json.encode(select(content, fields))[:-1]


def _object(head: bytes, items: bytes | None) -> bytes:
    """An object of the members in ``head`` and, unless null, its items."""
    if items is None:
        return head + b"}"
    comma = b"," if len(head) > 1 else b""
    return b"".join((head, comma, b'"Items":[', items, b"]}"))
