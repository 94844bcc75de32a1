"""One answer of `streamsets/recorded`: whose values it holds, how many, and their columns.

Decoded the quick way where the page is plain, else as JSON; both give the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl

from pipelines.sources.collector import collector_paused
from pipelines.sources.payloads_pi import Sample, StreamSet, WebException
from pipelines.sources.pi_web_api_columns import plain_page
from pipelines.sources.pi_web_api_frame import RECORDED_SCHEMA, Columns, recorded_frame

_sets = msgspec.json.Decoder(StreamSet)
# Timestamps are compared by whole seconds: an archive may answer with another precision than it was asked in.
_SLACK = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class PageStream:
    """One stream of the page; `is_timed` is false when a value lacks its timestamp, which is how a faulty stream looks."""

    web_id: str
    name: str
    count: int
    is_timed: bool = True


@dataclass
class Page:
    """`Items` is None for an answer that is no whole one, as `WebException` tells why."""

    Items: list[PageStream] | None = None
    WebException: WebException | None = None
    # Columns of all streams, one stream after the other; or the samples of each.
    plain: Columns | None = None
    lists: list[list[Sample]] = field(default_factory=list)

    def frame(self, tag_ids: Mapping[int, int]) -> pl.DataFrame:
        """Rows of the streams at these places, under these tag ids. Raises ValueError for an unreadable timestamp."""
        if not tag_ids:
            return RECORDED_SCHEMA.to_frame()
        if self.plain is None:
            return recorded_frame((tag_id, self.lists[place]) for place, tag_id in tag_ids.items())
        streams = self.Items or []
        counts = [stream.count for stream in streams]
        frame = self.plain.frame(
            np.repeat(np.array([tag_ids.get(place, 0) for place in range(len(streams))], np.uint32), counts)
        )
        if len(tag_ids) == len(streams):
            return frame
        return frame.filter(pl.Series(np.repeat([place in tag_ids for place in range(len(streams))], counts)))

    def outside(self, start: datetime, end: datetime) -> str | None:
        """A timestamp that lies outside the window; None when none does. Samples are in order, so the ends tell."""
        if self.plain is not None:
            for micros in (self.plain.instants.min(), self.plain.instants.max()):
                instant = _EPOCH + int(micros) * _MICROSECOND
                if not start - _SLACK <= instant <= end + _SLACK:
                    return instant.isoformat()
            return None
        first, last = (each.astimezone(UTC).isoformat()[:19] for each in (start, end))
        for samples in self.lists:
            for sample in (*samples[:1], *samples[-1:]):
                if sample.Timestamp is not None and not first <= sample.Timestamp[:19] <= last:
                    return sample.Timestamp
        return None


class PageDecoder:
    """Decodes bodies to pages. Raises what msgspec raises."""

    def decode(self, body: bytes) -> Page:
        """The page; every value is looked at."""
        plain = plain_page(body)
        if plain is not None:
            pairs = zip(plain.streams, plain.counts, strict=True)
            return Page([PageStream(stream.WebId, stream.Name, count) for stream, count in pairs], plain=plain.columns)
        with collector_paused():
            answer = _sets.decode(body)
        if answer.Items is None or answer.WebException is not None:
            return Page(None, answer.WebException)
        lists = [stream.Items for stream in answer.Items]
        streams = [
            PageStream(
                stream.WebId, stream.Name, len(stream.Items), all(each.Timestamp is not None for each in stream.Items)
            )
            for stream in answer.Items
        ]
        return Page(streams, lists=lists)
