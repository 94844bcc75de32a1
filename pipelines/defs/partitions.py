"""Partitions by production-day label: Dagster knows the label, the calendar knows its hours."""

from datetime import timedelta

import dagster as dg

from pipelines.defs.resources import settings, workspace


def _partitions() -> dg.DailyPartitionsDefinition:
    site = workspace().site
    first = workspace().latest_label - timedelta(days=settings().history_days - 1)
    return dg.DailyPartitionsDefinition(
        start_date=first.isoformat(),
        # A replay's last day is its latest closed one; a living operator's grows with the clock.
        end_date=(workspace().latest_label + timedelta(days=1)).isoformat() if site.is_replay else None,
        timezone=site.zone,
        hour_offset=site.day_start.hour,
        minute_offset=site.day_start.minute,
        # The running day is a partition too: PI is read into it as far as it has come.
        end_offset=0 if site.is_replay else 1,
    )


PRODUCTION_DAYS = _partitions()
