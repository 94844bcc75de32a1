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

from pipelines.sources.payloads_pi import RawStreamSet, Sample, WebException
from pipelines.sources.pi_web_api_columns import page_frame
from pipelines.sources.pi_web_api_frame import RECORDED_SCHEMA, collector_paused, recorded_frame

_outer = msgspec.json.Decoder(RawStreamSet)
_items = msgspec.json.Decoder(list[Sample])
# Timestamps are compared by whole seconds: an archive may answer with another precision than it was asked in.
_SLACK = timedelta(seconds=1)


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
    # Columns of all streams, tag_id being the stream's place; or the samples of each.
    plain: pl.DataFrame | None = None
    lists: list[list[Sample]] = field(default_factory=list)

    def frame(self, tag_ids: Mapping[int, int]) -> pl.DataFrame:
        """Rows of the streams at these places, under these tag ids. Raises ValueError for an unreadable timestamp."""
        if not tag_ids:
            return RECORDED_SCHEMA.to_frame()
        if self.plain is None:
            return recorded_frame((tag_id, self.lists[place]) for place, tag_id in tag_ids.items())
        count = len(self.Items or [])
        ids = np.zeros(count, dtype=np.uint32)
        ids[list(tag_ids)] = list(tag_ids.values())
        places = self.plain["tag_id"].to_numpy()
        frame = self.plain.with_columns(tag_id=pl.Series(ids[places]))
        if len(tag_ids) == count:
            return frame
        is_asked = np.zeros(count, dtype=bool)
        is_asked[list(tag_ids)] = True
        return frame.filter(pl.Series(is_asked[places]))

    def outside(self, start: datetime, end: datetime) -> str | None:
        """A timestamp that lies outside the window; None when none does. Samples are in order, so the ends tell."""
        if self.plain is not None:
            for instant in (self.plain["observed_at_utc"].min(), self.plain["observed_at_utc"].max()):
                if isinstance(instant, datetime) and not start - _SLACK <= instant <= end + _SLACK:
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
        outer = _outer.decode(body)
        if outer.Items is None or outer.WebException is not None:
            return Page(None, outer.WebException)
        plain = page_frame(body, [(place, stream.Items) for place, stream in enumerate(outer.Items)])
        if plain is not None:
            counts = np.bincount(plain["tag_id"].to_numpy(), minlength=len(outer.Items)).tolist()
            streams = [
                PageStream(stream.WebId, stream.Name, count) for stream, count in zip(outer.Items, counts, strict=True)
            ]
            return Page(streams, plain=plain)
        with collector_paused():
            lists = [_items.decode(stream.Items) for stream in outer.Items]
        streams = [
            PageStream(stream.WebId, stream.Name, len(samples), all(each.Timestamp is not None for each in samples))
            for stream, samples in zip(outer.Items, lists, strict=True)
        ]
        return Page(streams, lists=lists)
