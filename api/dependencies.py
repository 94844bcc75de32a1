"""The desk behind every route: which release answers, on which thread, and what it leaves behind for the cache."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from litestar import Request

from api import parameters
from api.caching import Key, ReleaseCache, Stamp
from api.callers import Scope, caller_of
from api.facts import ReleaseFacts
from api.freshness import FreshnessClock
from api.parameters import Parameter
from api.preparer import Patience, Preparer, PreparerFault, PreparerLate
from api.preparing import Preparation
from api.problems import Problem
from api.scoping import FACTS
from api.scoping import facts_of as facts_of
from api.settings import Settings
from api.storage import SharedReleases
from api.telemetry import logger
from api.view import View, open_view
from warehouse.errors import (
    NoRelease,
    OperatorMismatch,
    QueryTimeout,
    ReleaseCorrupt,
    ReleaseNotFound,
    SyntheticRefused,
)
from warehouse.manifest import Manifest
from warehouse.reader import ReleaseReader
from warehouse.reader_release import OpenRelease
from warehouse.release import active_at

Body = TypeVar("Body")
ApiRequest = Request[Any, Any, Any]
CACHE = "api.cache"
# Answers beyond the first ones that are made again for the next release, so that nobody waits for them a second time.
AGAIN = 32


@dataclass(frozen=True)
class Answered:
    """What a route leaves in the request's scope: which release answered, and whether its cache may hold the bytes."""

    stamp: Stamp
    is_current: bool


class Desk:
    """Holds the reader, the query threads, and the answers of the release in force.

    `preparation` makes the first answers of a release; `apart` has them made elsewhere while requests are served.
    """

    def __init__(self, settings: Settings, preparation: Preparation, apart: Preparer | None = None) -> None:
        self.settings = settings
        self.preparation = preparation
        self.tagger = preparation.tagger
        self._apart = apart
        self.patience = Patience()
        self._seconds = 0.0  # that it took this process to make a release's answers, the last time
        self._coming: ReleaseCache | None = None  # made elsewhere for the release that is opened next
        self._is_whole = False
        self.freshness = FreshnessClock(settings.warehouse_dir)
        self.reader = ReleaseReader(
            settings.warehouse_dir,
            operator=settings.operator,
            allow_synthetic=settings.allow_synthetic,
            on_open=[self._open],
            vouch=self._made_apart,
        )
        self.current: ReleaseCache | None = None
        self._pool = ThreadPoolExecutor(settings.query_threads, thread_name_prefix="query")
        self._fault: str | None = None
        self.shared = SharedReleases(settings.lake, settings.warehouse_dir, settings.storage_poll_seconds)

    @property
    def fault(self) -> str | None:
        """Why the newest release may not be the one that is served; None where all is well."""
        return self.reader.fault or self.shared.fault

    def refresh(self) -> bool:
        """Follows the pointer and the status file; True when another release is served from now on."""
        self.shared.follow()
        moved = self.reader.refresh()
        if moved:
            with self.reader.lease() as release:
                self.current = release.extras[CACHE]
            logger.info("release in force", extra={"fields": {"releaseId": self.reader.release_id}})
        if self.reader.fault != self._fault:
            self._fault = self.reader.fault
            logger.warning("release not followed", extra={"fields": {"fault": self._fault}})
            self.shared.doubt(self._fault)
        pointer = self.reader.pointer() if self.current else None
        self.freshness.follow(
            self.current.facts if self.current else None, is_held=pointer is not None and pointer.is_held
        )
        if self._apart is not None:
            self._apart.rest()
        return moved

    def hurry(self) -> None:
        """Nothing is waited for any more: the process is about to end."""
        if self._apart is not None:
            self._apart.stop()

    def close(self) -> None:
        """Ends the query threads and lets go of the releases."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._apart is not None:
            self._apart.close()
        self.reader.close()

    def _made_apart(self, manifest: Manifest) -> bool:
        """Runs before a release is opened: has its file verified and its answers made elsewhere, while requests are served.

        Whether the file was verified; not all answers may have been made.
        """
        self._coming, self._is_whole = None, False
        # Nobody is disturbed before the first release is served; a release that was refused once is looked at here.
        if self._apart is None or self.current is None or self.reader.fault is not None:
            return False
        patience = self.patience.for_work_of(self._seconds, manifest.database.size)
        try:
            self._apart.fill(manifest.release_id, self._asked(), patience, self._opened_apart)
            self._is_whole = True
        except PreparerFault as fault:
            # Others take the processor: that is no fault, and the release must not wait for them.
            level = logging.INFO if isinstance(fault, PreparerLate) else logging.WARNING
            logger.log(level, "answers prepared beside requests", extra={"fields": {"fault": str(fault)}})
        return self._coming is not None

    def _opened_apart(self, facts: ReleaseFacts) -> ReleaseCache:
        self._coming = ReleaseCache(facts, self.settings.cache_bytes)
        return self._coming

    def _asked(self) -> Sequence[Key]:
        """What callers asked of the release in force beyond its first answers."""
        return self.current.asked(AGAIN) if self.current else []

    def _open(self, release: OpenRelease) -> None:
        """Runs before the switch: makes the answers that callers ask for first, as far as they are not there."""
        cache, self._coming = self._coming, None
        if cache is None:
            begun = time.monotonic()
            cache = ReleaseCache(facts_of(release), self.settings.cache_bytes)
            self.preparation.fill(cache, release, self._asked())
            self._seconds = time.monotonic() - begun
        else:
            release.extras[FACTS] = cache.facts
            if not self._is_whole:
                self.preparation.fill(cache, release, self._asked())
        release.extras[CACHE] = cache

    async def run(self, work: Callable[[], Body]) -> Body:
        """Runs work that queries on one of the query threads. Raises Problem timeout where it takes too long or was cut short."""
        try:
            async with asyncio.timeout(self.settings.request_timeout_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except (TimeoutError, QueryTimeout) as fault:
            # What still waits for a thread is not begun; a query that runs is ended by the reader's own limit.
            raise Problem("timeout", f"No answer within {self.settings.request_timeout_seconds:g} s.") from fault

    def answer(
        self, scope: Scope, arguments: Mapping[str, Any], allowed: Sequence[Parameter], build: Callable[[View], Body]
    ) -> tuple[Body, Answered]:
        """Builds a body from the release asked for; the release stays open until it is built. Runs on a query thread."""
        with self.opened(arguments) as release:
            facts = facts_of(release, scope)
            view = open_view(release, facts, arguments, allowed, self.settings.default_units, scope)
            return build(view), Answered(Stamp.of(facts, view.production_date), is_current=not _is_pinned(arguments))

    @contextmanager
    def opened(self, arguments: Mapping[str, Any]) -> Iterator[OpenRelease]:
        """The release asked for, kept open until the block ends. Raises Problem for one that may not or cannot be served."""
        asked = self._release_asked(arguments)
        if asked is not None:
            self.shared.bring(asked)
        try:
            with self.reader.lease() if asked is None else self.reader.open(asked) as release:
                yield release
        except NoRelease as fault:
            raise Problem("noRelease", f"{fault}"[:1000]) from fault
        except (ReleaseNotFound, ReleaseCorrupt, OperatorMismatch, SyntheticRefused) as fault:
            raise Problem("releaseExpired", str(fault)[:1000]) from fault

    def warm_query(self) -> str:
        """Asks the release in force one small question; its id. Raises Problem noRelease."""
        try:
            with self.reader.lease() as release:
                release.query("warm")
                return release.release_id
        except NoRelease as fault:
            raise Problem("noRelease", f"{fault}"[:1000]) from fault

    def _release_asked(self, arguments: Mapping[str, Any]) -> str | None:
        asked: str | None = arguments.get("release")
        instant: datetime | None = arguments.get("asKnownAt")
        if instant is not None:
            asked = active_at(self.settings.warehouse_dir, instant)
            if asked is None:
                raise parameters.fault(
                    parameters.AS_KNOWN_AT, "lies before the first release", instant.isoformat().replace("+00:00", "Z")
                )
        return asked


def _is_pinned(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("release") is not None or arguments.get("asKnownAt") is not None


def desk_of(request: ApiRequest) -> Desk:
    """The application's desk."""
    return cast(Desk, request.app.state.desk)


async def respond(request: ApiRequest, allowed: Sequence[Parameter], build: Callable[[View], Body]) -> Body:
    """Answers a route: reads its parameters, builds the body on a query thread, and notes which release answered."""
    desk = desk_of(request)
    scope = caller_of(request.scope).scope
    arguments = parameters.read(request.scope["query_string"], allowed)
    body, answered = await desk.run(lambda: desk.answer(scope, arguments, allowed, build))
    request.scope["state"]["answered"] = answered
    return body
