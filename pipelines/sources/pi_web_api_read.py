"""Recorded values of a batch of streams over one window, whole under every reading of maxCount.

Whether maxCount counts per stream, is divided among the streams or is their total is disputed (sources.md A.3). So a
stream of a streamset is taken as whole only when no reading could have cut it; any other is read alone, by pages of time.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec
import polars as pl

from pipelines.sources.collector import collector_paused
from pipelines.sources.errors import Asking, SourceBroken
from pipelines.sources.http import GarbledAnswer, Http
from pipelines.sources.http_deadline import Deadline
from pipelines.sources.payloads_pi import OneSample, Sample, Samples, StreamSet, StreamValues
from pipelines.sources.pi_web_api_frame import recorded_frame
from pipelines.sources.pi_web_api_page import Page, PageDecoder
from pipelines.sources.pi_web_api_points import whole

# What a server gives when maxCount is absent, or lost on the way (sources.md A.3).
DEFAULT_COUNT = 1000
# MaxReturnedItemsPerCall as delivered; a site may set less, the refusal then names its limit.
MOST_ITEMS = 150_000
_TOO_MANY = re.compile(r"maxCount.*?maximum allowed \(?(\d+)\)?", re.IGNORECASE | re.DOTALL)
# Refusals that may be about one stream of the batch, or about the length of the URL.
_DIVISIBLE = (400, 403, 404, 409, 413, 414)
_NO_DATA = 248
# Before any archive: PI's own zero is 1970.
_BEGINNING = "1970-01-01T00:00:00Z"
# An archive begins with states such as Pt Created; the first measured value comes within a few samples.
_FIRST_SAMPLES = 10

_ITEM = "Timestamp;{0}Value;{0}Good;{0}Questionable;{0}Errors"
_SET_FIELDS = quote("Items.WebId;Items.Name;Items.Items." + _ITEM.format("Items.Items."), safe=".;")
_FIELDS = quote("Items." + _ITEM.format("Items."), safe=".;")
_VALUE_FIELDS = quote("Items.WebId;Items.Name;Items.Value;Items.Items", safe=".;")

_sets = msgspec.json.Decoder(StreamSet)
_samples = msgspec.json.Decoder(Samples)
_values = msgspec.json.Decoder(StreamValues)
_one = msgspec.json.Decoder(OneSample)

_pages = PageDecoder()
T_co = TypeVar("T_co", covariant=True)

T = TypeVar("T", Page, StreamSet, Samples, StreamValues, OneSample)


class _Decoder(Protocol[T_co]):
    def decode(self, body: bytes, /) -> T_co: ...


@dataclass(frozen=True)
class Tag:
    """A tag to read: our id, its name, its stream."""

    tag_id: int
    name: str
    web_id: str


@dataclass(frozen=True)
class Window:
    """What the batch holds in a window: the rows of `recorded_frame`, and how many each stream gave."""

    frame: pl.DataFrame
    counts: list[int]


@dataclass
class Tally:
    """What a read has received so far, and which tags it could not read and why (`failed`: name → reason)."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    rows: int = 0
    pages: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)

    def fail(self, tag: Tag, reason: str, *, is_stale: bool = False) -> None:
        """Note that this tag could not be read; `is_stale` when its WebId is unknown to the server."""
        with self.lock:
            self.failed.setdefault(tag.name, reason)
            if is_stale:
                self.stale.add(tag.name)


def iso(instant: datetime) -> str:
    """An instant as PI is asked for it: UTC with `Z`, never in the server's own zone."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class StreamReader:
    """Asks one PI Web API for recorded values. Thread-safe."""

    def __init__(self, http: Http, base_url: str, max_count: int = MOST_ITEMS) -> None:
        self._http = http
        self._base = base_url
        self._max_count = max_count
        self._has_set_at_time = True

    @property
    def max_count(self) -> int:
        """Items asked for in one call; lowered when the server says that its limit is less."""
        return self._max_count

    def window(
        self, asking: Asking, tags: Sequence[Tag], start: datetime, end: datetime, tally: Tally, stop: threading.Event
    ) -> Window:
        """Every sample from `start` to `end`, both ends included, of each tag that could be read."""
        if len(tags) == 1:
            samples = self._alone(asking, tags[0], start, end, tally, stop)
            found = [] if samples is None else [(tags[0].tag_id, samples)]
            return Window(_recorded(asking, found), [len(each) for _, each in found])
        count = self._max_count
        url = (
            f"{self._base}/streamsets/recorded?startTime={iso(start)}&endTime={iso(end)}&boundaryType=Inside"
            f"&maxCount={count}&webIdType=IDOnly&selectedFields={_SET_FIELDS}"
            + "".join(f"&webId={tag.web_id}" for tag in tags)
        )
        words = f"streamsets/recorded of {len(tags)} tags, {tags[0].name} first, {iso(start)} to {iso(end)}"

        def check(page: Page) -> None:
            outside = page.outside(start, end)
            if outside is not None:
                raise _another_window(outside, start, end)

        try:
            page = self._ask(asking, url, words, _pages, tally, stop, check)
        except SourceBroken as error:
            if self._lowered(error, count):
                return self.window(asking, tags, start, end, tally, stop)
            if error.status not in _DIVISIBLE:
                raise
            half = len(tags) // 2
            left = self.window(asking, tags[:half], start, end, tally, stop)
            right = self.window(asking, tags[half:], start, end, tally, stop)
            return Window(pl.concat([left.frame, right.frame]), left.counts + right.counts)
        received = page.Items or []
        by_id = {stream.web_id: place for place, stream in enumerate(received)}
        by_name = {stream.name.upper(): place for place, stream in enumerate(received)}
        share = count // len(tags)
        doubtful_total = sum(stream.count for stream in received) in (count, DEFAULT_COUNT)
        usable: dict[int, int] = {}
        alone: list[tuple[int, list[Sample]]] = []
        for tag in tags:
            place = by_id.get(tag.web_id, by_name.get(tag.name.upper(), -1))
            if (
                place < 0
                or place in usable
                or doubtful_total
                or received[place].count >= share
                or received[place].count in (DEFAULT_COUNT, DEFAULT_COUNT // len(tags))
                or not received[place].is_timed
            ):
                samples = self._alone(asking, tag, start, end, tally, stop)
                if samples is not None:
                    alone.append((tag.tag_id, samples))
            else:
                usable[place] = tag.tag_id
        try:
            frame = page.frame(usable)
        except ValueError as error:
            raise SourceBroken(asking, asked=words, came=str(error)) from None
        counts = [received[place].count for place in usable] + [len(samples) for _, samples in alone]
        return Window(pl.concat([frame, _recorded(asking, alone)]) if alone else frame, counts)

    def at_or_before(
        self, asking: Asking, tags: Sequence[Tag], at: datetime, tally: Tally, stop: threading.Event
    ) -> list[tuple[Tag, list[Sample]]]:
        """The last sample at or before an instant, for each tag that has one."""
        query = f"time={iso(at)}&retrievalMode=AtOrBefore"
        if self._has_set_at_time and len(tags) > 1:
            url = (
                f"{self._base}/streamsets/recordedattime?{query}&webIdType=IDOnly&selectedFields={_VALUE_FIELDS}"
                + "".join(f"&webId={tag.web_id}" for tag in tags)
            )
            words = f"streamsets/recordedattime of {len(tags)} tags, {tags[0].name} first, at or before {iso(at)}"
            try:
                answer = self._ask(asking, url, words, _values, tally, stop)
            except SourceBroken as error:
                if error.status not in (*_DIVISIBLE, 405, 501):
                    raise
                # One bad stream refuses the whole call, and some versions do not have it: ask for each alone.
                self._has_set_at_time = error.status not in (405, 501)
            else:
                by_id = {each.WebId: each for each in answer.Items or []}
                by_name = {each.Name.upper(): each for each in answer.Items or []}
                found: list[tuple[Tag, list[Sample]]] = []
                for tag in tags:
                    each = by_id.get(tag.web_id, by_name.get(tag.name.upper()))
                    if each is None:
                        found += self._at_or_before_alone(asking, tag, query, tally, stop)
                    else:
                        samples = [each.Value] if each.Value is not None else each.Items[-1:]
                        found += _usable(tag, samples)
                return found
        return [pair for tag in tags for pair in self._at_or_before_alone(asking, tag, query, tally, stop)]

    def first(self, asking: Asking, tags: Sequence[Tag], tally: Tally, stop: threading.Event) -> list[Sample]:
        """The first samples of each tag's archive, a few of each, so that one of them is a measured value."""
        if len(tags) > 1:
            count = min(self._max_count, _FIRST_SAMPLES * len(tags))
            url = (
                f"{self._base}/streamsets/recorded?startTime={_BEGINNING}&endTime=*&boundaryType=Inside"
                f"&maxCount={count}&webIdType=IDOnly&selectedFields={_SET_FIELDS}"
                + "".join(f"&webId={tag.web_id}" for tag in tags)
            )
            words = f"the first values of {len(tags)} tags, {tags[0].name} first"
            try:
                streams = self._ask(asking, url, words, _sets, tally, stop).Items or []
            except SourceBroken as error:
                if error.status not in _DIVISIBLE:
                    raise
                half = len(tags) // 2
                return self.first(asking, tags[:half], tally, stop) + self.first(asking, tags[half:], tally, stop)
            # Where maxCount is a total, the first streams may have used it up.
            silent = {stream.WebId for stream in streams if not stream.Items}
            alone = [tag for tag in tags if tag.web_id in silent]
            found = [sample for stream in streams for sample in stream.Items]
            return found + [sample for tag in alone for sample in self.first(asking, [tag], tally, stop)]
        url = (
            f"{self._base}/streams/{tags[0].web_id}/recorded?startTime={_BEGINNING}&endTime=*&boundaryType=Inside"
            f"&maxCount={_FIRST_SAMPLES}&selectedFields={_FIELDS}"
        )
        try:
            return self._ask(asking, url, f"the first values of {tags[0].name}", _samples, tally, stop).Items or []
        except SourceBroken as error:
            if error.status not in _DIVISIBLE:
                raise
            tally.fail(tags[0], str(error))
            return []

    def _at_or_before_alone(
        self, asking: Asking, tag: Tag, query: str, tally: Tally, stop: threading.Event
    ) -> list[tuple[Tag, list[Sample]]]:
        url = f"{self._base}/streams/{tag.web_id}/recordedattime?{query}"
        try:
            answer = self._ask(asking, url, f"streams/recordedattime of {tag.name}", _one, tally, stop)
        except SourceBroken as error:
            if error.status not in (400, 403, 404, 409):
                raise
            # Nothing recorded before this instant is a refusal in some versions; a real fault shows in `recorded`.
            return []
        return _usable(tag, [answer])

    def _alone(
        self, asking: Asking, tag: Tag, start: datetime, end: datetime, tally: Tally, stop: threading.Event
    ) -> list[Sample] | None:
        """All samples of one stream by pages of time; None when this stream, and only it, cannot be read."""

        def check(answer: Samples) -> None:
            outside = Page(lists=[answer.Items or []]).outside(start, end)
            if outside is not None:
                raise _another_window(outside, start, end)

        kept: list[Sample] = []
        at, at_key = iso(start), ""
        count = self._max_count
        while True:
            url = (
                f"{self._base}/streams/{tag.web_id}/recorded?startTime={quote(at, safe=':')}&endTime={iso(end)}"
                f"&boundaryType=Inside&maxCount={count}&selectedFields={_FIELDS}"
            )
            words = f"streams/recorded of {tag.name}, {at} to {iso(end)}"
            try:
                page = self._ask(asking, url, words, _samples, tally, stop, check).Items or []
            except SourceBroken as error:
                if self._lowered(error, count):
                    count = self._max_count
                    continue
                if error.status not in (400, 403, 404, 409):
                    raise
                tally.fail(tag, str(error), is_stale=error.status == 404)
                return None
            untimed = [sample for sample in page if sample.Timestamp is None]
            if untimed:
                tally.fail(tag, _fault_words(untimed[0]))
                return None
            if len(page) < count and len(page) != DEFAULT_COUNT:
                return kept + page
            last = _key(page[-1])
            if last in (at_key, _key(page[0])):
                # A page of one instant cannot be turned by time: only a larger page can pass it.
                if count >= MOST_ITEMS:
                    raise SourceBroken(asking, asked=words, came=f"{len(page)} values at the one instant {at}")
                count = min(MOST_ITEMS, count * 4)
                continue
            # Items that share the page's last instant may be cut: that instant is read again whole.
            kept += [sample for sample in page if _key(sample) != last]
            at, at_key = str(page[-1].Timestamp), last

    def _lowered(self, error: SourceBroken, count: int) -> bool:
        """Whether the refusal names a limit below `count`, which is kept from now on."""
        limit = _TOO_MANY.search(error.came) if error.status == 400 else None
        if limit is None or not 0 < int(limit[1]) < count:
            return False
        self._max_count = min(self._max_count, int(limit[1]))
        return True

    def _ask(
        self,
        asking: Asking,
        url: str,
        words: str,
        decoder: _Decoder[T],
        tally: Tally,
        stop: threading.Event,
        check: Callable[[T], None] | None = None,
    ) -> T:
        def decode(body: bytes) -> T:
            with collector_paused():
                answer = decoder.decode(body)
            whole(answer)
            if check is not None:
                check(answer)
            return answer

        deadline = Deadline.after(self._http.policy.overall_seconds, stop)
        answer = self._http.ask(asking, url, decode=decode, asked=words, deadline=deadline)
        with tally.lock:
            tally.pages += 1
            tally.bytes += answer.bytes
        return answer.value


def _another_window(instant: str, start: datetime, end: datetime) -> GarbledAnswer:
    """What a cache on the way may give: dropped in silence, it would be a gap."""
    return GarbledAnswer(f"a value of {instant}, outside {iso(start)} to {iso(end)} which was asked")


def _recorded(asking: Asking, streams: Sequence[tuple[int, list[Sample]]]) -> pl.DataFrame:
    try:
        return recorded_frame(streams)
    except ValueError as error:
        raise SourceBroken(asking, asked="recorded values", came=str(error)) from None


def _usable(tag: Tag, samples: Sequence[Sample]) -> list[tuple[Tag, list[Sample]]]:
    """Samples that say something: before the first archived value the archive answers "No Data"."""
    kept = []
    for sample in samples:
        code = getattr(sample.Value, "Value", None) if getattr(sample.Value, "IsSystem", False) else None
        if sample.Timestamp is not None and code != _NO_DATA:
            kept.append(sample)
    return [(tag, kept)] if kept else []


def _key(sample: Sample) -> str:
    """A timestamp's text that is equal for equal instants: digits of the fraction vary within one answer."""
    text = (sample.Timestamp or "").removesuffix("Z")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _fault_words(sample: Sample) -> str:
    words = []
    for fault in sample.Errors or []:
        told = fault.Message if isinstance(fault.Message, str) else "; ".join(fault.Message or [])
        words.append(f"{fault.FieldName or 'value'}: {told}")
    return "; ".join(words) or "a value without a timestamp"
