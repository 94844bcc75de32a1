"""Counters of one application in Prometheus' form: requests by route, and the state of the release in force.

What the release says is read when it is scraped; a request costs two cached children. Nothing here names a caller.
"""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
# From ready bytes to the longest query that is let run.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Methods beyond these are the caller's invention and would make labels without end.
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
Gauges = Callable[[], Iterator[tuple[str, str, dict[str, str], float]]]


class Metrics:
    """The counters. `gauges` yields name, help, labels and value of whatever is true at this instant."""

    def __init__(self, gauges: Gauges) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "production_gap_http_requests",
            "Answers by method, route template, status and where they came from.",
            ("method", "route", "status", "outcome"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "production_gap_http_request_duration_seconds",
            "Time from the request's headers to the last byte handed to the server.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._bytes = Counter(
            "production_gap_http_response_bytes",
            "Bytes of bodies, as encoded.",
            ("route",),
            registry=self.registry,
        )
        self._children: dict[tuple[str, str, int, str], tuple[Counter, Histogram, Counter]] = {}
        self.registry.register(_Moment(gauges))

    def count(self, method: str, route: str, status: int, outcome: str, seconds: float, size: int) -> None:
        """Counts one answer."""
        key = (method, route, status, outcome)
        children = self._children.get(key)
        if children is None:
            known = method if method in METHODS else "other"
            children = (
                self._requests.labels(known, route, str(status), outcome),
                self._seconds.labels(route),
                self._bytes.labels(route),
            )
            if len(self._children) < 10_000:
                self._children[key] = children
        requests, duration, body = children
        requests.inc()
        duration.observe(seconds)
        if size:
            body.inc(size)

    def text(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self.registry)


class _Moment(Collector):
    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for name, text, labels, value in self._gauges():
            family = families.get(name)
            if family is None:
                family = families[name] = GaugeMetricFamily(name, text, labels=tuple(labels))
            family.add_metric(tuple(labels.values()), value)
        yield from families.values()

    def describe(self) -> Iterator[Metric]:
        # Names are known only with their values; an empty description keeps registration from collecting.
        return iter(())


def now() -> float:
    """Seconds since the epoch, for ages."""
    return time.time()
