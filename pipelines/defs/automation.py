"""When things run: the latest closed day and the terminals by the operator's cron lines, the trailing re-read once a day."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from pipelines.defs.partitions import PRODUCTION_DAYS
from pipelines.defs.resources import settings, workspace
from pipelines.settings import TRAILING_CRON, TRAILING_DAYS
from pipelines.stages.registry import STAGES, TERMINAL_STAGES

REFRESH_CURRENT_DAY = dg.define_asset_job(
    "refresh_current_day",
    selection=dg.AssetSelection.assets(*STAGES),
    description="Reads the latest closed production day from every source, and the running one from PI; publishes a release "
    "if anything changed.",
)
REFRESH_TRAILING_DAYS = dg.define_asset_job(
    "refresh_trailing_days",
    selection=dg.AssetSelection.assets(*STAGES),
    description=f"Re-reads the trailing {TRAILING_DAYS} production days: sources correct days for weeks after they closed.",
)
REFRESH_TERMINALS = dg.define_asset_job(
    "refresh_terminals",
    selection=dg.AssetSelection.assets(*TERMINAL_STAGES),
    description="Reads tank gauges of the latest closed day and publishes a release if anything changed.",
)


def _range_request(first_label: str, last_label: str) -> dg.RunRequest:
    # A range of labels in one run: each asset loops inside (single-run backfill policy).
    return dg.RunRequest(
        tags={
            "dagster/asset_partition_range_start": first_label,
            "dagster/asset_partition_range_end": last_label,
        },
    )


def _latest() -> str:
    return workspace().latest_label.isoformat()


def _running() -> str:
    """The newest label there is: the running day, or a replay's last."""
    return PRODUCTION_DAYS.get_last_partition_key() or _latest()


def _status() -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if settings().schedules_running else dg.DefaultScheduleStatus.STOPPED


@dg.schedule(
    job=REFRESH_CURRENT_DAY,
    cron_schedule=settings().refresh_cron_asset,
    execution_timezone=workspace().site.zone,
    default_status=_status(),
)
def current_day(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """The latest closed production day and the running one, by REFRESH_CRON_ASSET."""
    yield _range_request(_latest(), _running())


@dg.schedule(
    job=REFRESH_TERMINALS,
    cron_schedule=settings().refresh_cron_terminal,
    execution_timezone=workspace().site.zone,
    default_status=_status(),
)
def terminals(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Tank gauges of the latest closed production day and the running one, by REFRESH_CRON_TERMINAL."""
    yield _range_request(_latest(), _running())


@dg.schedule(
    job=REFRESH_TRAILING_DAYS,
    cron_schedule=TRAILING_CRON,
    execution_timezone=workspace().site.zone,
    default_status=_status(),
)
def trailing_days(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """The trailing days, each morning after the day has closed."""
    last = workspace().latest_label
    first = max(last - timedelta(days=TRAILING_DAYS - 1), PRODUCTION_DAYS.start.date())
    yield _range_request(first.isoformat(), _latest())


@dg.definitions
def defs() -> dg.Definitions:
    """Jobs and schedules."""
    return dg.Definitions(
        jobs=[REFRESH_CURRENT_DAY, REFRESH_TRAILING_DAYS, REFRESH_TERMINALS],
        schedules=[current_day, terminals, trailing_days],
    )
