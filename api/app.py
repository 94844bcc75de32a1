"""Puts the application together: routes, problems, the release follower, and the edge in front of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.datastructures import State

from api import problems
from api.cors import CrossOrigin
from api.dependencies import Desk
from api.edge import Edge
from api.follower import Follower
from api.routes import (
    assets,
    changes,
    data_releases,
    explain,
    gap_drivers,
    health,
    hub_performance,
    openapi,
    problem_pages,
    production_flow,
    reconciliation,
    summary,
    terminal_operations,
)
from api.settings import Settings

SUBJECTS = (summary, assets, production_flow, gap_drivers, terminal_operations, hub_performance, reconciliation)
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
    openapi.get_openapi,
    problem_pages.list_problem_pages,
    problem_pages.get_problem_page,
    health.healthz,
    health.readyz,
)


def create_app(settings: Settings) -> Edge:
    """The ASGI application. Its lifespan opens the release in force, follows the pointer, and closes both at the end."""
    desk = Desk(settings, [subject.prepare for subject in SUBJECTS])

    @asynccontextmanager
    async def following(_: Litestar) -> AsyncIterator[None]:
        follower = Follower(desk.refresh, settings.release_poll_seconds)
        # Before the server listens: nothing is kept waiting by a start on the loop's own thread.
        follower.start()
        try:
            yield
        finally:
            follower.stop()
            desk.close()

    application = Litestar(
        route_handlers=list(HANDLERS),
        exception_handlers={Exception: problems.handle},
        lifespan=[following],
        logging_config=None,
        openapi_config=None,
        state=State({"desk": desk}),
    )
    return Edge(application, desk, CrossOrigin(settings.cors_allowed_origins))
