"""One attempt at a source: its outcome goes to status.json, which the API shows, whatever happens to the release."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.sources.errors import SourceError
from pipelines.stages.workspace import Workspace
from warehouse.errors import StatusCorrupt
from warehouse.status import read_status, update_source

# A source that the site gives no terms for is late after a day.
DEFAULT_SLA_SECONDS = 86_400


@dataclass
class Attempt:
    """What a stage learned of the source while reading it."""

    newest: datetime | None = None
    good: float | None = None

    def data_as_of(self, instant: object) -> None:
        """Note the newest source instant seen."""
        if isinstance(instant, datetime) and (self.newest is None or instant > self.newest):
            self.newest = instant

    def percent_good(self, value: float | None) -> None:
        """Note the share of good values."""
        self.good = value


@contextmanager
def attempt(ws: Workspace, source: str) -> Iterator[Attempt]:
    """Record an attempt's success or failure, then let the failure go on."""
    terms = ws.site.sources.get(source)
    sla_seconds = terms.sla_seconds if terms else DEFAULT_SLA_SECONDS
    noted = Attempt()
    begun = ws.now()
    try:
        yield noted
    except SourceError as error:
        update_source(
            ws.warehouse_dir, source, sla_seconds=sla_seconds, now=begun, last_attempt=begun, last_error=str(error)
        )
        raise
    changes: dict[str, Any] = {"last_attempt": begun, "last_success": ws.now(), "last_error": None}
    known = _known_data_as_of(ws, source)
    if noted.newest is not None and (known is None or noted.newest > known):
        # Several datasets of one source are read one after the other: the newest instant of any of them stands.
        changes["data_as_of"] = noted.newest
    if noted.good is not None:
        changes["percent_good"] = noted.good
    update_source(ws.warehouse_dir, source, sla_seconds=sla_seconds, now=begun, **changes)


def _known_data_as_of(ws: Workspace, source: str) -> datetime | None:
    try:
        status = read_status(ws.warehouse_dir)
    except StatusCorrupt:
        return None
    return status.sources[source].data_as_of if source in status.sources else None
