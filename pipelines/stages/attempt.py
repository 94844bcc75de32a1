"""One attempt at a source: its outcome goes to status.json, which the API shows, whatever happens to the release."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pipelines.sources.errors import SourceError
from pipelines.stages.workspace import Workspace
from warehouse.status import record_attempt


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
    sla_seconds = terms.sla_seconds if terms else 86_400
    noted = Attempt()
    try:
        yield noted
    except SourceError as error:
        record_attempt(ws.warehouse_dir, source, at=ws.now(), sla_seconds=sla_seconds, error=str(error))
        raise
    record_attempt(
        ws.warehouse_dir,
        source,
        at=ws.now(),
        sla_seconds=sla_seconds,
        data_as_of=noted.newest,
        percent_good=noted.good,
    )
