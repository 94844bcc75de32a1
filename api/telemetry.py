"""Structured logs and W3C trace context: who asked what, answered from which release, how fast.

One JSON object a line on standard error; never a header's value, a token or a body.
"""

import logging
import logging.config
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from api.callers import Caller

logger = logging.getLogger("production_gap.api")

_TRACEPARENT = re.compile(rb"^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]([0-9a-f])$")
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._:-]{1,64}$")
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16


@dataclass(slots=True)
class Trace:
    """Identity of a request: the caller's trace when it sent a valid one, else a new one.

    `parent_id` is the caller's span; `is_sampled` its wish that the trace be exported, true for a trace begun here.
    """

    trace_id: str
    span_id: str
    request_id: str
    parent_id: str | None = None
    is_sampled: bool = True

    def fields(self) -> dict[str, str]:
        """The fields of a log line."""
        return {"traceId": self.trace_id, "spanId": self.span_id, "requestId": self.request_id}

    def traceparent(self) -> bytes:
        """The W3C header of the answer."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02d}".encode()


def new_trace(traceparent: bytes | None, request_id: bytes | None) -> Trace:
    """The trace of a request. What is malformed is replaced, never an error: tracing must not refuse work."""
    match = _TRACEPARENT.match(traceparent) if traceparent else None
    span_id = secrets.token_hex(8)
    known = request_id is not None and _REQUEST_ID.match(request_id)
    name = request_id.decode() if known and request_id else span_id
    if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN:
        return Trace(secrets.token_hex(16), span_id, name)
    return Trace(match[1].decode(), span_id, name, match[2].decode(), is_sampled=bool(int(match[3], 16) & 1))


def trace_of(scope: Mapping[str, Any]) -> Trace:
    """The trace that the outermost layer put into the scope; a new one where there is none."""
    trace = scope.get("state", {}).get("trace")
    return trace if isinstance(trace, Trace) else new_trace(None, None)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the record's fields, and the exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class Exchange(Protocol):
    """What a log line says of a request and its answer."""

    started: float
    scope: Any
    trace: Trace
    route: str
    release_id: str | None
    outcome: str
    caller: Caller
    status: int
    size: int


def log_request(exchange: Exchange) -> None:
    """One line for a request; the route's template in place of the path, so that lines can be counted by route."""
    level = logging.ERROR if exchange.status >= 500 else logging.INFO
    if not logger.isEnabledFor(level):
        return
    fields: dict[str, Any] = {
        **exchange.trace.fields(),
        "method": exchange.scope["method"],
        "route": exchange.route,
        "path": exchange.scope["path"][:300],
        "status": exchange.status,
        "durationMs": round((time.perf_counter() - exchange.started) * 1000, 3),
        "bytes": exchange.size,
        "outcome": exchange.outcome,
        "releaseId": exchange.release_id,
        "subject": exchange.caller.subject,
    }
    logger.log(level, "request", extra={"fields": fields})


def logging_config(level: str) -> dict[str, Any]:
    """Logging of the whole process, the server's own lines included: JSON lines on standard error at the level.

    The server's access log stays off: it would stand beside ours and say less.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "json"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            "_granian": {"level": level, "handlers": ["stderr"], "propagate": False},
            "granian.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


def configure_logging(level: str) -> None:
    """Sets the process's logging; calling it again replaces it."""
    logging.config.dictConfig(logging_config(level))
