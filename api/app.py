"""Puts the application together: routes, problems, the release follower, and the edge in front of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.datastructures import State

from api import problems
from api.auth.gate import build_gate
from api.cors import CrossOrigin
from api.dependencies import Desk
from api.edge import Edge
from api.exports import Exporter
from api.follower import Follower
from api.limits import RateLimits
from api.limits_shared import SharedCounts
from api.observer import Observer
from api.preparer import Preparer
from api.preparing import Preparation
from api.routes import (
    assets,
    changes,
    data_dictionary,
    data_freshness,
    data_releases,
    docs,
    events,
    explain,
    exports,
    facilities,
    gap_drivers,
    health,
    hub_performance,
    me,
    metrics,
    openapi,
    problem_pages,
    production_flow,
    reconciliation,
    stream,
    summary,
    terminal_operations,
)
from api.scoping import warm_scopes
from api.settings import Settings
from api.stopping import Stopping
from api.stream import StreamHub
from api.stream_changes import templates_of
from api.subjects import SUBJECTS

HANDLERS = (
    summary.get_summary,
    assets.list_assets,
    gap_drivers.list_gap_drivers,
    production_flow.get_production_flow,
    terminal_operations.get_terminal_operations,
    hub_performance.get_hub_performance,
    reconciliation.get_reconciliation,
    changes.list_changes,
    data_releases.list_data_releases,
    data_releases.get_data_release,
    data_releases.activate_data_release,
    data_releases.resume_data_releases,
    explain.explain_number,
    stream.follow_events,
    me.get_me,
    facilities.get_facility,
    events.list_events,
    data_freshness.get_data_freshness,
    data_dictionary.get_data_dictionary,
    exports.export_dataset,
    openapi.get_openapi,
    docs.get_docs,
    docs.get_docs_file,
    problem_pages.list_problem_pages,
    problem_pages.get_problem_page,
    health.healthz,
    health.readyz,
    metrics.get_metrics,
)


def create_app(settings: Settings) -> Edge:
    """The ASGI application. Its lifespan opens the release in force, follows the pointer, and closes both at the end."""
    policy = settings.authentication.policy
    scopes = warm_scopes(grant.assets for grant in policy.roles.values())
    preparation = Preparation(SUBJECTS, scopes, settings.default_units)
    desk = Desk(settings, preparation, Preparer(settings, preparation))
    observer = Observer(settings, desk)
    gate = build_gate(settings)
    hub = StreamHub(desk, templates_of(HANDLERS))
    store = SharedCounts(settings.redis_url, settings.redis_timeout_seconds) if settings.redis_url else None
    limits = RateLimits(settings.rate_limit, settings.rate_limit_exports, store)
    stopping = Stopping()
    exporter = Exporter()
    stopping.add(hub.stop)

    @asynccontextmanager
    async def following(_: Litestar) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        stopping.watch(loop)
        hub.run_on(loop)
        await gate.start()
        follower = Follower(desk.refresh, settings.warehouse_dir, settings.release_poll_seconds, hub.follow)
        # Before the server listens: nothing is kept waiting by a start on the loop's own thread.
        follower.start()
        try:
            yield
        finally:
            stopping.set()
            stopping.close()
            desk.hurry()
            follower.stop()
            await limits.close()
            await gate.stop()
            exporter.close()
            desk.close()
            observer.close()

    application = Litestar(
        route_handlers=list(HANDLERS),
        exception_handlers={Exception: problems.handle},
        lifespan=[following],
        logging_config=None,
        openapi_config=None,
        # A body whose length is not told is read up to the same limit.
        request_max_body_size=problems.MAX_BODY_BYTES,
        state=State(
            {
                "desk": desk,
                "observer": observer,
                "gate": gate,
                "stream": hub,
                "stopping": stopping,
                "exporter": exporter,
            }
        ),
    )
    return Edge(application, desk, observer, gate, limits, CrossOrigin(settings.cors_allowed_origins))
