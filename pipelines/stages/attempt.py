"""One attempt at a source: its outcome goes to status.json, which the API shows, whatever happens to the release.

And one run of a stage: a failure tells which partitions were renewed before it, and that the others keep what they held.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pipelines.sources.circuit import CircuitStatus, statuses
from pipelines.sources.config import EcOracleConfig, EcRestConfig, PiConfig, SharePointConfig
from pipelines.sources.errors import SourceError
from pipelines.sources.http import origin
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from warehouse.errors import StatusCorrupt
from warehouse.status import SourceStatus, read_status, update_source

log = logging.getLogger(__name__)
# A source that the site gives no terms for is late after a day.
DEFAULT_SLA_SECONDS = 86_400
# Partitions that a message names one by one; beyond them it counts.
_MOST_NAMED = 5
_SERIOUSNESS = {"closed": 0, "halfOpen": 1, "open": 2}


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
    noted = Attempt()
    begun = ws.now()
    try:
        yield noted
    except SourceError as error:
        try:
            _record(ws, source, begun, last_attempt=begun, last_error=str(error))
        except OSError as fault:
            # What failed first is what the reader must see.
            log.warning("status.json in %s was not written: %s", ws.warehouse_dir, fault)
        raise
    changes: dict[str, Any] = {"last_attempt": begun, "last_success": ws.now(), "last_error": None}
    known = _known(ws, source)
    if noted.newest is not None and (known is None or known.data_as_of is None or noted.newest > known.data_as_of):
        # Several datasets of one source are read one after the other: the newest instant of any of them stands.
        changes["data_as_of"] = noted.newest
    if noted.good is not None:
        changes["percent_good"] = noted.good
    _record(ws, source, begun, **changes)


def run_stage(stage: Stage, ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Run a stage. A SourceError goes on with a note: the stage, its partitions, which of them were renewed before it."""
    mine = replace(ws, written=[])
    try:
        result = stage.run(mine, labels)
        # What a run says that it has done outlives a power cut.
        ws.lake.settle()
        return result
    except SourceError as error:
        error.add_note(_standing(stage, mine, labels))
        raise
    finally:
        ws.written.extend(mine.written)


def told(error: Exception) -> str:
    """The whole message of a failed extraction: source, dataset, what was asked, what came, what next, what stands."""
    return "; ".join((str(error), *getattr(error, "__notes__", ())))


def renewed(stage: Stage, ws: Workspace) -> list[str]:
    """Partitions of the stage's leading table that were written, or found unchanged, in order."""
    return list(dict.fromkeys(w.partition for w in ws.written if stage.tables and w.table == stage.tables[0]))


def circuit_of_source(ws: Workspace, source: str) -> CircuitStatus | None:
    """The worst of the circuits that this process has of a source: of its data and of its tokens. None: not asked yet."""
    found = statuses(_addresses(ws, source))
    return max(found, key=lambda each: (_SERIOUSNESS[each.state], each.rest_seconds), default=None)


def _standing(stage: Stage, ws: Workspace, labels: Sequence[date]) -> str:
    if not stage.is_partitioned:
        return f"stage {stage.name} (source {stage.source}), snapshot: what could not be read keeps what it held"
    done = renewed(stage, ws)
    span = f"{labels[0]}" if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
    opening = f"stage {stage.name} (source {stage.source}), production days {span}"
    if not done:
        return f"{opening}: no partition was renewed, all {len(labels)} keep what they held"
    named = ", ".join(done) if len(done) <= _MOST_NAMED else f"{len(done)}, {done[0]} to {done[-1]}"
    return f"{opening}: renewed before the failure, and kept: {named}; the others keep what they held"


def _record(ws: Workspace, source: str, now: datetime, **changes: Any) -> None:
    terms = ws.site.sources.get(source)
    status = update_source(
        ws.warehouse_dir,
        source,
        sla_seconds=terms.sla_seconds if terms else DEFAULT_SLA_SECONDS,
        now=now,
        next_run_at_utc=ws.next_run(source),
        **_circuit(ws, source),
        **changes,
    )
    ws.share_status(status)


def _circuit(ws: Workspace, source: str) -> dict[str, Any]:
    """The circuit's fields; it counts seconds of a monotonic clock, and since when it stands so is known from last time."""
    status = circuit_of_source(ws, source)
    if status is None:
        return {}
    now = datetime.now(UTC)
    known = _known(ws, source)
    stood = known is not None and known.circuit == status.state
    next_try = now + timedelta(seconds=status.rest_seconds) if status.state == "open" else None
    return {
        "circuit": status.state,
        "circuit_since_utc": (known.circuit_since_utc if known is not None and stood else None) or now,
        "circuit_next_try_at_utc": next_try,
    }


def _addresses(ws: Workspace, source: str) -> set[str]:
    config = {"energy_components": ws.energy_components, "pi": ws.pi, "sharepoint": ws.sharepoint}.get(source)
    match config:
        case EcOracleConfig():
            return {f"oracle://{config.host}:{config.port}/{config.service_name}"}
        case EcRestConfig() | PiConfig():
            return {origin(url) for url in (config.base_url, config.token_url) if url}
        case SharePointConfig():
            return {origin(config.graph_base_url), origin(config.authority)}
        case _:
            return set()


def _known(ws: Workspace, source: str) -> SourceStatus | None:
    try:
        return read_status(ws.warehouse_dir).sources.get(source)
    except StatusCorrupt:
        return None
