"""GET /api/v1/data-freshness: each source's age, SLA and last attempts. An answer of the moment: never cached, no tag."""

import re
from datetime import UTC, datetime, timedelta

from litestar import Response, get

from api import parameters
from api.callers import caller_of
from api.contracts.data_freshness import DataFreshness, SourceFreshness
from api.dependencies import ApiRequest, Desk, desk_of
from api.facts import SourceAge
from api.freshness import Reading, newest, thresholds
from api.operations import Operation, documented
from api.problems import Problem
from api.scoping import shown_freshness
from warehouse.status import SourceStatus

PATH = "/api/v1/data-freshness"
MAX_ERROR_LENGTH = 500
# The pipelines write errors without secrets; this is the second lock on the same door.
_SECRETS = (
    (re.compile(r"(\w+://)[^/\s@]*@"), r"\1***@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), r"\1 ***"),
    (re.compile(r"(?i)\b([\w-]*(?:password|passwd|pwd|secret|token|api[_-]?key|signature|sig))\s*[=:]\s*[^\s&,;]+"), r"\1=***"),
)  # fmt: skip


def assemble(desk: Desk) -> DataFreshness:
    """The sources at this instant. Raises Problem noRelease before the first release."""
    cache = desk.current
    if cache is None:
        raise Problem("noRelease", "No release is loaded; the freshness of nothing cannot be told.")
    facts = cache.facts
    reading = desk.freshness.reading()
    released = {source.source: source for source in facts.sources}
    ages = [
        *released.values(),
        *(
            SourceAge(name, None, timedelta(seconds=read.sla_seconds))
            for name, read in sorted(reading.status.sources.items())
            if name not in released
        ),
    ]
    updated = reading.status.updated_at_utc
    return DataFreshness(
        checked_at=_instant(reading.now),
        data_version=facts.release_id,
        held=reading.is_held,
        status=reading.overall.word(reading.now).decode(),
        status_updated_at=_utc(updated),
        sources=[_source(age, reading, in_release=age.source in released) for age in ages],
    )


def _source(age: SourceAge, reading: Reading, *, in_release: bool) -> SourceFreshness:
    read = reading.status.sources.get(age.source) or SourceStatus(
        source=age.source, sla_seconds=int(age.sla.total_seconds())
    )
    as_of = newest(age, reading.status, is_held=reading.is_held)
    return SourceFreshness(
        source=age.source,
        in_release=in_release,
        status=thresholds((age,), reading.status, is_held=reading.is_held).word(reading.now).decode(),
        data_as_of=_utc(as_of),
        released_as_of=_utc(age.data_as_of),
        lag_seconds=None if as_of is None else round(reading.now - as_of.timestamp(), 3),
        sla_seconds=int(age.sla.total_seconds()),
        last_attempt=_utc(read.last_attempt),
        last_success=_utc(read.last_success),
        last_error=None if read.last_error is None else without_secrets(read.last_error),
        percent_good=read.percent_good,
        circuit=read.circuit,
        circuit_since=_utc(read.circuit_since_utc),
        circuit_next_try=_utc(read.circuit_next_try_at_utc),
        next_run=_utc(read.next_run_at_utc),
    )


def without_secrets(message: str) -> str:
    """One line of a message, cut, with whatever looks like a credential masked."""
    line = " ".join(message.split())
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line[:MAX_ERROR_LENGTH]


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="getDataFreshness",
            summary="How old each source's data is, and how its reads went",
            description="Judged at this instant, therefore never cached and without ETag. status is the word that the header "
            "Data-Freshness of every other answer about the release in force carries. Stale data is never an error.",
            tag="releases",
            answer=DataFreshness,
            is_of_release=False,
            problems=(400, 405, 406, 413, 414, 500, 503),
        )
    ),
)
async def get_data_freshness(request: ApiRequest) -> Response[DataFreshness]:
    """Answers with the sources."""
    parameters.read(request.scope["query_string"], ())
    body = shown_freshness(assemble(desk_of(request)), caller_of(request.scope).scope)
    return Response(
        body,
        headers={"Data-Freshness": body.status, "Data-Version": body.data_version, "Cache-Control": "no-store"},
    )
