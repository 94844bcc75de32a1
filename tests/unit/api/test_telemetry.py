"""Trace context and log lines."""

import json
import logging

import msgspec
import pytest

from api.telemetry import JsonFormatter, new_trace, trace_of

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_trace_when_the_caller_sends_one_then_it_is_kept_with_a_new_span() -> None:
    trace = new_trace(PARENT, b"req-1")
    assert trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert trace.span_id != "b7ad6b7169203331"
    assert trace.request_id == "req-1"
    assert trace.traceparent().startswith(b"00-0af7651916cd43dd8448eb211c80319c-")


@pytest.mark.parametrize("parent", [None, b"", b"nonsense", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"])
def test_trace_when_the_callers_is_malformed_then_a_new_one(parent: bytes | None) -> None:
    trace = new_trace(parent, b"a\nb")
    assert len(trace.trace_id) == 32
    assert int(trace.trace_id, 16) > 0
    assert trace.request_id == trace.span_id


def test_trace_of_when_a_scope_has_none_then_a_new_one() -> None:
    assert len(trace_of({}).trace_id) == 32


def test_formatter_for_a_record_then_one_json_line_with_its_fields() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "said %s", ("so",), None)
    record.fields = {"status": 200, "path": 'a"\nb'}
    line = JsonFormatter().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["message"], found["status"], found["level"]) == ("said so", 200, "INFO")
    assert found["time"].endswith("Z")


def test_formatter_for_an_exception_then_it_stands_in_the_line() -> None:
    try:
        raise ValueError("why")
    except ValueError as fault:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "failed", (), (type(fault), fault, fault.__traceback__)
        )
    assert "ValueError: why" in msgspec.json.decode(JsonFormatter().format(record))["exception"]
