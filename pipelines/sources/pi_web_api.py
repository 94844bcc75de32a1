"""AVEVA PI Web API: recorded values of many tags as columns.

Tags are read in batches bounded by the length of a URL, batches side by side up to a small number in flight, each in
windows of time that widen or narrow with what the last one held: memory stays bounded whatever the span.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl

from pipelines.sources.circuit import CircuitStatus
from pipelines.sources.config import PiConfig
from pipelines.sources.errors import Asking, SourceBroken, SourceUnavailable
from pipelines.sources.extract import Extract, OnProgress, Progress, no_progress
from pipelines.sources.http import Http
from pipelines.sources.http_auth import Anonymous, Auth, Basic, ClientCredentials
from pipelines.sources.http_kerberos import Kerberos
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.payloads_pi import Point, Sample
from pipelines.sources.pi_web_api_frame import RECORDED_SCHEMA, between, recorded_frame, single
from pipelines.sources.pi_web_api_points import LONGEST_URL, MOST_POINTS, PointDirectory, batches
from pipelines.sources.pi_web_api_read import MOST_ITEMS, StreamReader, Tag, Tally, iso

SOURCE = "PI Web API"
# About 5 MB of JSON a page: large enough to forget the cost of a call, small enough for eight in flight.
TARGET_ITEMS = 50_000
FIRST_WINDOW = timedelta(hours=2)
NARROWEST_WINDOW = timedelta(minutes=1)
# Room in a URL for everything but the WebIds.
_HEAD_ROOM = 700


class PiClient:
    """One PI Web API. Thread-safe. Close it, or use it as a context manager.

    `transport` and `policy` are for tests; `max_count` is what one call may return, `target_items` what it should.
    """

    def __init__(
        self,
        config: PiConfig,
        *,
        on_progress: OnProgress = no_progress,
        policy: HttpPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] | None = None,
        max_count: int = MOST_ITEMS,
        target_items: int = TARGET_ITEMS,
    ) -> None:
        self._config = config
        self._on_progress = on_progress
        self._target_items = target_items
        policy = policy or HttpPolicy.for_timeout(config.timeout_seconds)
        self._token_http = Http(
            SOURCE,
            policy=policy,
            transport=transport,
            sleep=sleep,
            connections=1,
            address=config.token_url,
            purpose="access token",
        )
        auth, httpx_auth = _auth(config, self._token_http)
        self._http = Http(
            SOURCE,
            auth=auth,
            httpx_auth=httpx_auth,
            policy=policy,
            transport=transport,
            redactor=self._token_http.redactor,
            sleep=sleep,
            # Any POST without this header is refused where the CSRF defence is on; reads do not mind it.
            headers={"X-Requested-With": "production-gap"},
            connections=config.max_in_flight,
            address=config.base_url,
        )
        base_url = config.base_url.rstrip("/")
        self._directory = PointDirectory(self._http, base_url, config.data_server)
        self._reader = StreamReader(self._http, base_url, max_count)

    def __enter__(self) -> PiClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._token_http.close()

    def cancel(self) -> None:
        """Make every read of this client end soon with SourceUnavailable."""
        self._http.cancelled.set()
        self._token_http.cancelled.set()

    @property
    def circuit(self) -> CircuitStatus:
        """How this source's circuit stands in this process."""
        return self._http.circuit

    def points(self, names: Iterable[str]) -> dict[str, Point]:
        """The points that exist, by the name as asked (for comparing a tag register); the others are absent keys."""
        return self._directory.find(Asking(SOURCE, "points"), names)

    def recorded(
        self, tags: Mapping[str, int], start: datetime, end: datetime, *, dataset: str = "recorded_value"
    ) -> Extract:
        """Recorded values of `tags` (name → tag id) from `start` to before `end`, sorted by tag and instant.

        One row a tag and instant: tag_id, observed_at_utc (µs), value (as PI has it; null for system states and faulty
        values), state_code (of a system state, else null), is_good, is_questionable. Of several values at one instant
        the last stands. A tag without a value at `start` itself also has its last one before it. Tags that the archive
        does not know, or that alone cannot be read, stand in `missing`, with the reason in `warnings`. Raises SourceBroken
        when no tag at all can be read.
        """
        if start.tzinfo is None or end.tzinfo is None:
            raise ValueError("start and end need a zone")
        asking = Asking(SOURCE, dataset, f"{iso(start)} to {iso(end)}")
        request = f"streamsets/recorded of {len(tags)} tags, {iso(start)} to {iso(end)}"
        if not tags or end <= start:
            return Extract(RECORDED_SCHEMA.to_frame(), request=request)
        tally = Tally()
        known = self._resolve(asking, tags, tally)
        if not known:
            raise SourceBroken(
                asking,
                asked=f"{len(tags)} tags, {next(iter(tags))} first",
                came="none of them exists in the archive, or none may be read",
                what_next="not retried: compare the tag register with the archive, and the identity's point permissions",
            )
        frames = self._side_by_side(asking, known, start, end, tally)
        if tally.stale:
            frames += self._again(asking, tags, known, start, end, tally)
        if len(tally.failed) >= len(tags):
            name, reason = next(iter(tally.failed.items()))
            raise SourceBroken(asking, asked=f"{len(tags)} tags", came=f"a refusal for each; {name}: {reason}")
        frame = single(frames)
        missing = tuple(sorted(tally.failed))
        return Extract(
            frame,
            request=request,
            pages=tally.pages,
            bytes=tally.bytes,
            missing=missing,
            warnings=tuple(f"{asking}: tag {name} not read: {tally.failed[name]}" for name in missing),
        )

    def first_recorded(self, tags: Mapping[str, int]) -> datetime | None:
        """The instant (UTC) of the earliest value that any of the tags has; None when none has one.

        System states do not count, unless an archive begins with nothing else.
        """
        asking = Asking(SOURCE, "first recorded value")
        tally = Tally()
        known = self._resolve(asking, tags, tally)
        stop = threading.Event()
        samples: list[Sample] = []
        for run in self._runs(known, MOST_POINTS):
            samples += self._reader.first(asking, run, tally, stop)
        frame = self._frame(asking, [(Tag(0, "", ""), [each for each in samples if each.Timestamp is not None])])
        measured = frame.filter(pl.col("value").is_not_null())
        first = (frame if measured.is_empty() else measured)["observed_at_utc"].min()
        return first if isinstance(first, datetime) else None

    def _runs(self, tags: Sequence[Tag], most: int) -> list[list[Tag]]:
        """Tags in batches of at most `most` whose WebIds fit into one URL."""
        queries = [f"&webId={tag.web_id}" for tag in tags]
        room = LONGEST_URL - len(self._config.base_url) - _HEAD_ROOM
        return [[tags[position] for position in run] for run in batches(queries, room, most)]

    def _resolve(self, asking: Asking, tags: Mapping[str, int], tally: Tally) -> list[Tag]:
        points = self._directory.find(asking, tags)
        for name in tags:
            if name not in points:
                tally.failed[name] = "the archive has no such point, or the identity may not see it"
        return [Tag(tag_id, name, points[name].WebId) for name, tag_id in tags.items() if name in points]

    def _again(
        self,
        asking: Asking,
        tags: Mapping[str, int],
        known: Sequence[Tag],
        start: datetime,
        end: datetime,
        tally: Tally,
    ) -> list[pl.DataFrame]:
        """Read once more the points whose WebId went stale: deleted and recreated ones have another."""
        stale = {name: tags[name] for name in tally.stale}
        before = {tag.name: tag.web_id for tag in known}
        self._directory.forget(stale)
        found = self._directory.find(asking, stale)
        renewed = [
            Tag(tag_id, name, found[name].WebId)
            for name, tag_id in stale.items()
            if name in found and found[name].WebId != before[name]
        ]
        for tag in renewed:
            del tally.failed[tag.name]
        return self._side_by_side(asking, renewed, start, end, tally) if renewed else []

    def _side_by_side(
        self, asking: Asking, tags: Sequence[Tag], start: datetime, end: datetime, tally: Tally
    ) -> list[pl.DataFrame]:
        in_flight = max(1, self._config.max_in_flight)
        # Few large calls, yet no idle connection while others work.
        most = min(MOST_POINTS, max(20, -(-len(tags) // in_flight)))
        runs = self._runs(tags, most)
        stop = threading.Event()
        with ThreadPoolExecutor(min(in_flight, len(runs)), thread_name_prefix="pi") as pool:
            futures: list[Future[list[pl.DataFrame]]] = [
                pool.submit(self._batch, asking, run, start, end, tally, stop) for run in runs
            ]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                # The others would go on asking a source that has failed, or for a caller who has left.
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [frame for future in futures for frame in future.result()]

    def _batch(
        self,
        asking: Asking,
        tags: Sequence[Tag],
        start: datetime,
        end: datetime,
        tally: Tally,
        stop: threading.Event,
    ) -> list[pl.DataFrame]:
        boundary = self._reader.at_or_before(asking, tags, start, tally, stop)
        frames = [between(self._frame(asking, boundary), None, start)]
        at, width = start.astimezone(UTC), FIRST_WINDOW
        while at < end:
            if stop.is_set() or self._http.cancelled.is_set():
                raise SourceUnavailable(
                    asking, asked="the next window", came="a request to stop", what_next="nothing of this read is kept"
                )
            until = min(at + width, end)
            window = self._reader.window(asking, tags, at, until, tally, stop)
            frames.append(between(window.frame, at, until))
            counts = window.counts
            self._report(asking, tally, frames[-1].height)
            width = self._next_width(until - at, sum(counts), max(counts, default=0), len(tags))
            at = until
        return frames

    def _next_width(self, width: timedelta, total: int, most: int, streams: int) -> timedelta:
        """The window that should hold the target, and no stream more than half of its smallest share of maxCount."""
        share = max(1, self._reader.max_count // streams)
        factor = min(16.0, self._target_items / max(total, 1), 0.5 * share / max(most, 1))
        return min(max(NARROWEST_WINDOW, width * factor), timedelta(days=366))

    def _frame(self, asking: Asking, streams: Sequence[tuple[Tag, list[Sample]]]) -> pl.DataFrame:
        try:
            return recorded_frame((tag.tag_id, samples) for tag, samples in streams)
        except ValueError as error:
            raise SourceBroken(asking, asked="recorded values", came=str(error)) from None

    def _report(self, asking: Asking, tally: Tally, rows: int) -> None:
        with tally.lock:
            tally.rows += rows
            progress = Progress(SOURCE, asking.dataset, tally.rows, tally.pages, tally.bytes)
        self._on_progress(progress)


def _auth(config: PiConfig, token_http: Http) -> tuple[Auth, httpx.Auth | None]:
    if config.auth_mode == "basic":
        return Basic(config.username, config.password), None
    if config.auth_mode == "bearer":
        return (
            ClientCredentials(
                token_http,
                token_url=config.token_url,
                client_id=config.client_id,
                client_secret=config.client_secret,
                scope=config.scope,
            ),
            None,
        )
    if config.auth_mode == "kerberos":
        return Anonymous(), Kerberos(SOURCE)
    return Anonymous(), None
