"""Spans and durations of requests for a collector: Application Insights, or any that takes OTLP over HTTP.

Loaded only where one is set. A span is made when its request has ended, with the ids that its log line already carries.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from api.metrics import BUCKETS
from api.telemetry import Trace

DURATION = "http.server.request.duration"
SERVICE = "production-gap-api"
# Azure's exporter describes the provider that it exports for.
MakeSpanExporter = Callable[[TracerProvider], SpanExporter]


class Answer(Protocol):
    """What a span says of a request and its answer."""

    method: str
    route: str
    path: str
    status: int
    size: int
    outcome: str
    release_id: str | None
    trace: Trace
    seconds: float


class _GivenIds(IdGenerator):
    """Hands out the ids that the request already has: those of its log line and of the header traceparent."""

    def __init__(self) -> None:
        self._next = threading.local()

    def give(self, trace_id: int, span_id: int) -> None:
        self._next.ids = (trace_id, span_id)

    def generate_trace_id(self) -> int:
        trace_id: int = self._next.ids[0]
        return trace_id

    def generate_span_id(self) -> int:
        span_id: int = self._next.ids[1]
        return span_id


class Exporting:
    """Hands spans and durations to exporters in batches, in threads of their own; a slow collector never slows an answer.

    `sample_ratio` is the share of traces begun here that are exported; a caller's own decision is followed.
    """

    def __init__(
        self,
        spans: MakeSpanExporter,
        metrics: MetricExporter,
        *,
        version: str,
        sample_ratio: float = 1.0,
        seconds_between: float = 60.0,
    ) -> None:
        resource = Resource({"service.name": SERVICE, "service.version": version})
        self._ids = _GivenIds()
        self._tracers = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=resource,
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._tracers.add_span_processor(
            BatchSpanProcessor(spans(self._tracers), schedule_delay_millis=int(seconds_between * 1000 / 12))
        )
        reader = PeriodicExportingMetricReader(metrics, export_interval_millis=seconds_between * 1000)
        self._meters = MeterProvider(
            [reader],
            resource=resource,
            shutdown_on_exit=False,
            views=[View(instrument_name=DURATION, aggregation=ExplicitBucketHistogramAggregation(BUCKETS))],
        )
        self._tracer = self._tracers.get_tracer("api")
        self._duration: Histogram = self._meters.get_meter("api").create_histogram(
            DURATION, unit="s", description="Duration of requests."
        )

    def finished(self, answer: Answer) -> None:
        """Hands over one answered request."""
        ended = time.time_ns()
        attributes: dict[str, AttributeValue] = {
            "http.request.method": answer.method,
            "http.route": answer.route,
            "http.response.status_code": answer.status,
        }
        self._duration.record(answer.seconds, attributes)
        given = answer.trace
        self._ids.give(int(given.trace_id, 16), int(given.span_id, 16))
        context = None
        if given.parent_id is not None:
            flags = TraceFlags(TraceFlags.SAMPLED if given.is_sampled else TraceFlags.DEFAULT)
            parent = SpanContext(int(given.trace_id, 16), int(given.parent_id, 16), is_remote=True, trace_flags=flags)
            context = trace.set_span_in_context(NonRecordingSpan(parent))
        span = self._tracer.start_span(
            f"{answer.method} {answer.route}",
            context=context,
            kind=SpanKind.SERVER,
            start_time=ended - int(answer.seconds * 1e9),
            attributes={
                **attributes,
                "url.path": answer.path,
                "http.response.body.size": answer.size,
                "production_gap.request_id": given.request_id,
                "production_gap.outcome": answer.outcome,
                "production_gap.release_id": answer.release_id or "",
            },
        )
        if answer.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=ended)

    def close(self) -> None:
        """Hands over what is still held, for a few seconds at most."""
        self._tracers.shutdown()
        self._meters.shutdown(timeout_millis=5_000)


def application_insights(connection_string: str) -> tuple[MakeSpanExporter, MetricExporter]:
    """Exporters to Application Insights. Nothing is kept on this machine's disk. Raises ValueError for a bad string."""
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter, AzureMonitorTraceExporter

    options: dict[str, Any] = {"connection_string": connection_string, "disable_offline_storage": True}

    def spans(tracers: TracerProvider) -> SpanExporter:
        return AzureMonitorTraceExporter(**options, tracer_provider=tracers)

    return spans, AzureMonitorMetricExporter(**options)


def otlp(endpoint: str) -> tuple[MakeSpanExporter, MetricExporter]:
    """Exporters to a collector's OTLP endpoint, protobuf over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    base = endpoint.rstrip("/")
    return lambda _: OTLPSpanExporter(endpoint=f"{base}/v1/traces"), OTLPMetricExporter(endpoint=f"{base}/v1/metrics")
