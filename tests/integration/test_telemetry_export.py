"""Spans and durations as a collector gets them: Application Insights' ingestion protocol and OTLP, both on loopback."""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.settings import Settings, SettingsError
from tests.integration.releases_marked import marked_request, marked_tables
from tests.unit.api.client import Api
from warehouse.build_publish import build_and_publish

KEY = "3f1c2a6e-7d54-4b8a-9c1e-0d2f4a6b8c0e"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOKEN = "eyJhbGciOiJub25lIn0.secret-of-a-caller"


class Collector:
    """Receives whatever is posted, and says that all of it was accepted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.posted.append((self.path, body))
                answer = b""
                if self.path.endswith("/track"):
                    count = len(json.loads(body))
                    answer = json.dumps({"itemsReceived": count, "itemsAccepted": count, "errors": []}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def envelopes(self, kind: str) -> list[dict[str, Any]]:
        """The `baseData` of Application Insights' items of a kind, with their tags."""
        items = [item for path, body in self.posted if path.endswith("/track") for item in json.loads(body)]
        found = [item for item in items if item["data"]["baseType"] == kind]
        return [{**item["data"]["baseData"], "tags": item["tags"], "iKey": item["iKey"]} for item in found]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("telemetry")
    tables = marked_tables(0)
    assert build_and_publish(folder, tables, info=marked_request(tables)).is_active
    return folder


@contextmanager
def observed(warehouse: Path, **environment: str) -> Iterator[Api]:
    """The API while it hands over what it observes; all of it is handed over when the block ends."""
    settings = Settings.from_environment({"WAREHOUSE_DIR": str(warehouse), **environment})
    with Api(settings) as api:
        yield api


def test_request_when_application_insights_is_set_then_it_arrives_with_the_callers_trace_and_no_token(
    warehouse: Path,
) -> None:
    with Collector() as collector:
        connection = f"InstrumentationKey={KEY};IngestionEndpoint={collector.address}/"
        with observed(warehouse, APPLICATION_INSIGHTS_CONNECTION_STRING=connection) as api:
            release = api.body("/readyz")["dataVersion"]
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "authorization": f"Bearer {TOKEN}"}
            answered = api.get("/api/v1/terminal/tm-nowhere/operations", headers)
            assert answered.status_code == 404
            summary = api.get("/api/v1/summary", headers)
            ours = summary.headers["traceparent"].split("-")[2]
        requests = {item["id"]: item for item in collector.envelopes("RequestData")}
        held = requests[ours]
        assert held["name"] == "GET /api/v1/summary"
        assert (held["tags"]["ai.operation.id"], held["tags"]["ai.operation.parentId"]) == (TRACE, SPAN)
        assert (held["responseCode"], held["success"]) == ("200", True)
        assert held["duration"].startswith("0.00:00:0")
        assert held["properties"]["production_gap.release_id"] == release
        assert held["iKey"] == KEY
        missing = [item for item in requests.values() if item["responseCode"] == "404"]
        assert [item["name"] for item in missing] == ["GET /api/v1/terminal/{terminal_id}/operations"]
        durations = [m for item in collector.envelopes("MetricData") for m in item["metrics"]]
        assert {"http.server.request.duration"} <= {m["name"] for m in durations}
        everything = b"".join(body for _, body in collector.posted)
        assert b"secret-of-a-caller" not in everything
        assert b"authorization" not in everything.lower()


def test_request_when_an_otlp_collector_is_set_then_span_and_histogram_arrive_and_an_unsampled_trace_does_not(
    warehouse: Path,
) -> None:
    before = time.time_ns()
    with Collector() as collector:
        with observed(warehouse, OTEL_EXPORTER_OTLP_ENDPOINT=collector.address) as api:
            api.get("/api/v1/summary", {"traceparent": f"00-{TRACE}-{SPAN}-00"})
            mine = api.get("/api/v1/assets").headers["traceparent"].split("-")
        spans = [
            span
            for path, body in collector.posted
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        assert [(span.name, span.trace_id.hex(), span.span_id.hex()) for span in spans] == [
            ("GET /api/v1/assets", mine[1], mine[2])
        ]
        assert before < spans[0].start_time_unix_nano < spans[0].end_time_unix_nano < time.time_ns()
        histograms = [
            point
            for path, body in collector.posted
            if path == "/v1/metrics"
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.histogram.data_points
        ]
        assert sum(point.count for point in histograms) == 2


def test_request_when_the_collector_is_gone_then_callers_notice_nothing(warehouse: Path) -> None:
    with Collector() as collector:
        address = collector.address
    with observed(
        warehouse, APPLICATION_INSIGHTS_CONNECTION_STRING=f"InstrumentationKey={KEY};IngestionEndpoint={address}/"
    ) as api:
        assert [api.get("/api/v1/summary").status_code for _ in range(20)] == [200] * 20


def test_settings_when_the_connection_string_is_malformed_then_refused_without_repeating_it() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"APPLICATION_INSIGHTS_CONNECTION_STRING": "InstrumentationKey=hunter2"})
    assert "APPLICATION_INSIGHTS_CONNECTION_STRING" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    good = f"InstrumentationKey={KEY};IngestionEndpoint=https://collector.example/"
    assert KEY not in repr(Settings.from_environment({"APPLICATION_INSIGHTS_CONNECTION_STRING": good}))


def test_metrics_after_requests_then_counts_by_route_template_and_the_release_in_force(warehouse: Path) -> None:
    with observed(warehouse) as api:
        release = api.body("/readyz")["dataVersion"]
        for terminal in ("tm-nowhere", "tm-elsewhere"):
            api.get(f"/api/v1/terminal/{terminal}/operations")
        for _ in range(3):
            api.get("/api/v1/summary")
        answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    route = 'route="/api/v1/terminal/{terminal_id}/operations"'
    counted = {name: float(value) for name, value in lines.items() if name.startswith("production_gap_http_requests_t")}
    assert sum(value for name, value in counted.items() if route in name and 'status="404"' in name) == 2
    held = 'method="GET",outcome="held",route="/api/v1/summary",status="200"'
    assert counted[f"production_gap_http_requests_total{{{held}}}"] == 3
    (info,) = [name for name in lines if name.startswith("production_gap_release_info")]
    assert f'release_id="{release}"' in info
    assert float(lines["production_gap_release_fault"]) == 0
    built = datetime.fromtimestamp(float(lines["production_gap_release_built_timestamp_seconds"]), UTC)
    assert built <= datetime.now(UTC)
    assert "tm-nowhere" not in answer.text
