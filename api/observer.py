"""What is kept of every answer: a log line, the counters of /metrics, and a span where a collector is set."""

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from api.dependencies import Desk
from api.exchange import Exchange
from api.metrics import Metrics
from api.settings import Settings, quiet_exporters
from api.telemetry import Trace, log_request, logger

if TYPE_CHECKING:
    from api.tracing import Exporting

PREFIX = "production_gap_"


class _Answer:
    """The exchange as a span reads it."""

    __slots__ = ("method", "outcome", "path", "release_id", "route", "seconds", "size", "status", "trace")

    def __init__(self, exchange: Exchange, seconds: float) -> None:
        self.method: str = exchange.scope["method"]
        self.path: str = exchange.scope["path"][:300]
        self.route = exchange.route or "unmatched"
        self.status = exchange.status
        self.size = exchange.size
        self.outcome = exchange.outcome
        self.release_id = exchange.release_id
        self.trace: Trace = exchange.trace
        self.seconds = seconds


class Observer:
    """Keeps what operators look at; a collector that fails is the exporters' own business and never a caller's."""

    def __init__(self, settings: Settings, desk: Desk) -> None:
        self._desk = desk
        self.metrics = Metrics(self._gauges)
        self._exporting: list[Exporting] = list(_exporting(settings))

    def finished(self, exchange: Exchange) -> None:
        """Notes one answer after its last byte."""
        log_request(exchange)
        seconds = time.perf_counter() - exchange.started
        self.metrics.count(
            exchange.scope["method"],
            exchange.route or "unmatched",
            exchange.status,
            exchange.outcome,
            seconds,
            exchange.size,
        )
        if self._exporting:
            answer = _Answer(exchange, seconds)
            for exporting in self._exporting:
                exporting.finished(answer)

    def close(self) -> None:
        """Hands over what the exporters still hold."""
        for exporting in self._exporting:
            exporting.close()
        self._exporting.clear()

    def _gauges(self) -> Iterator[tuple[str, str, dict[str, str], float]]:
        cache = self._desk.current
        fault = self._desk.reader.fault is not None
        yield f"{PREFIX}release_fault", "1 while the release that the pointer names is not served.", {}, float(fault)
        if cache is None:
            return
        facts = cache.facts
        names = {"release_id": facts.release_id, "operator": facts.operator}
        yield f"{PREFIX}release_info", "The release in force.", names, 1.0
        built = facts.built_at.timestamp()
        yield f"{PREFIX}release_built_timestamp_seconds", "When the release in force was built.", {}, built
        yield f"{PREFIX}cache_bytes", "Bytes of answers held for the release in force.", {}, float(cache.size)
        yield f"{PREFIX}cache_answers", "Answers held for the release in force.", {}, float(len(cache))
        for source in facts.sources:
            if source.data_as_of is not None:
                yield (
                    f"{PREFIX}source_data_timestamp_seconds",
                    "Newest instant that the release holds of a source.",
                    {"source": source.source},
                    source.data_as_of.timestamp(),
                )


def _exporting(settings: Settings) -> "Iterator[Exporting]":
    """One for each collector that is set; loads OpenTelemetry only then."""
    if not (settings.application_insights or settings.otlp_endpoint):
        return
    quiet_exporters()
    from api.openapi import package_version
    from api.tracing import Exporting, application_insights, otlp

    make = partial(
        Exporting,
        version=package_version(),
        sample_ratio=settings.trace_sample_ratio,
        seconds_between=settings.telemetry_seconds,
    )
    if settings.application_insights:
        yield make(*application_insights(settings.application_insights))
        logger.info("telemetry", extra={"fields": {"to": "Application Insights"}})
    if settings.otlp_endpoint:
        yield make(*otlp(settings.otlp_endpoint))
        logger.info("telemetry", extra={"fields": {"to": settings.otlp_endpoint}})
