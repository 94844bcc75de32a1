"""Asks an application everything that its OpenAPI document offers, as callers of several scopes, and looks for what leaks.

What a caller must not learn is read from the release itself, by the assets of its facilities: nothing here knows the rules
that the reader limits rows by.
"""

import asyncio
import io
import itertools
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlencode

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from api.callers import READ, Caller, Scope
from api.edge import Edge
from api.problems import Problem
from tests.unit.api.client import Api

Sql = Callable[[str], pl.DataFrame]
UNKNOWN = "zz-unknown-{}"
FACILITY_PARAMETERS = ("facilityId", "facilityIds", "causeFacilityIds")
# Tables of words and sources, which belong to no asset and which everyone may read.
SHARED = ("dictionary", "release_info", "source_freshness", "reason_code")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
# Parts of an answer that name the moment of asking.
MOMENT = re.compile(rb'("traceId":"[^"]*"|"subject":"[^"]*"|"checkedAt":"[^"]*"|"lagSeconds":[-\d.e]+)')
STREAM = b"text/event-stream"
PER_FACILITY = ("source_row", "meter_daily", "reading_daily", "terminal_balance", "terminal_daily", "cargo")


class RoleGate:
    """Takes `Authorization: Bearer <role>` at its word."""

    mode = "test"

    def __init__(self, scopes: dict[str, Scope]) -> None:
        self.scopes = scopes
        self._numbers = itertools.count()

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def admit(self, scope: Any, credentials: Sequence[bytes]) -> Caller:
        """The caller of the role; a subject of its own each time, so that no limit of requests is met."""
        role = credentials[0].removeprefix(b"Bearer ").decode()
        subject = f"{role}-{next(self._numbers)}"
        return Caller(subject, None, frozenset({role}), frozenset({READ}), self.scopes[role], is_authenticated=True)

    def demand(self, caller: Caller, permission: str) -> None:
        """Nobody may move releases here."""
        if permission not in caller.permissions:
            raise Problem("forbidden", f"This needs the permission {permission}.")


def behind(api: Api, gate: RoleGate) -> Edge:
    """The running application, with callers told by role."""
    api.edge.gate = gate
    api.edge.app.state.gate = gate  # type: ignore[attr-defined]
    return api.edge


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes:
        """A header's value; empty without it."""
        return dict(self.headers).get(name, b"")


async def ask(edge: Any, role: str, request: "Asked", headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """One request over ASGI. A stream is left a moment after it began."""
    started: dict[str, Any] = {}
    chunks: list[bytes] = []
    left = asyncio.Event()
    first = True

    async def receive() -> Any:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"{}" if request.method == "POST" else b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
            if dict(message["headers"]).get(b"content-type", b"").startswith(STREAM):
                asyncio.get_running_loop().call_later(0.2, left.set)
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                left.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": request.query.encode(),
        "headers": [
            (b"host", b"api.test"),
            (b"authorization", f"Bearer {role}".encode()),
            (b"accept-encoding", b"identity"),
            (b"content-type", b"application/json"),
            *headers,
        ],
        "client": ("192.0.2.7", 4711),
        "server": ("api.test", 80),
        "state": {},
        "extensions": {},
    }
    await edge(scope, receive, send)
    return Answer(started["status"], tuple(started["headers"]), b"".join(chunks))


@dataclass(frozen=True)
class Ground:
    """What a release holds, read past the API."""

    release_id: str
    latest: date
    assets: tuple[str, ...]
    hubs: Mapping[str, str]
    facilities: Mapping[str, str]
    terminals: frozenset[str]
    versions: tuple[str, ...]
    datasets: tuple[str, ...]
    edges: tuple[str, ...]

    @classmethod
    def read(cls, sql: Sql) -> "Ground":
        """From the release's own tables."""
        info = sql("SELECT release_id, latest_production_date FROM release_info").row(0)
        facilities = sql("SELECT facility_id, asset_id, facility_type FROM facility ORDER BY 1")
        return cls(
            release_id=info[0],
            latest=info[1],
            assets=tuple(sql("SELECT asset_id FROM asset ORDER BY 1")["asset_id"]),
            hubs=dict(sql("SELECT hub_id, asset_id FROM hub ORDER BY 1").rows()),
            facilities={row[0]: row[1] for row in facilities.rows()},
            terminals=frozenset(row[0] for row in facilities.rows() if row[2] == "terminal"),
            versions=tuple(sql("SELECT DISTINCT version FROM target ORDER BY 1")["version"]),
            datasets=tuple(sql("SELECT DISTINCT table_name FROM dictionary ORDER BY 1")["table_name"]),
            edges=tuple(sql("SELECT edge_id FROM edge ORDER BY 1")["edge_id"]),
        )

    def hidden(self, scope: Scope) -> frozenset[str]:
        """Identifiers outside the scope that a caller may name."""
        owned = {**{a: a for a in self.assets}, **self.hubs, **self.facilities}
        return frozenset(name for name, asset in owned.items() if not scope.holds(asset))


@dataclass(frozen=True)
class Asked:
    """One request; `names` are the identifiers that it gives itself."""

    method: str
    path: str
    query: str
    operation: str
    names: frozenset[str] = frozenset()

    def of_nothing(self, hidden: frozenset[str]) -> "Asked":
        """The same request about identifiers that no release holds."""
        path, query = self.path, self.query
        for number, name in enumerate(sorted(self.names & hidden)):
            path = path.replace(name, UNKNOWN.format(number))
            query = query.replace(quote(name, safe=""), UNKNOWN.format(number))
        return Asked(self.method, path, query, self.operation)

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?' if self.query else ''}{self.query}"


def requests_of(document: Mapping[str, Any], ground: Ground, *, is_full: bool) -> Iterator[Asked]:
    """Every operation with every identifier in its path and every identifier as a filter, with every format.

    In full each value of each parameter alone, and beside each other parameter where the path names nothing; otherwise
    other parameters take turns from request to request.
    Raises KeyError for a parameter that nobody has said the values of: a new endpoint is asked about, or the audit fails.
    """
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            given = operation.get("parameters", [])
            paths = [p for p in given if p["in"] == "path"]
            places = [[(p["name"], value) for value in path_values(p, ground)] for p in paths]
            choices = [query_values(p, ground, is_full=is_full) for p in given if p["in"] == "query"]
            formats = [values for values in choices if values and values[0][0] == "format"]
            turns = itertools.cycle([pair for values in formats or choices for pair in values] or [None])
            for place in itertools.product(*places):
                path = template
                for name, value in place:
                    path = path.replace("{" + name + "}", value)
                taken = next(turns)
                for pairs in (
                    _all_queries(choices, bool(place)) if is_full else _few_queries(choices, taken, bool(place))
                ):
                    query = urlencode(pairs, quote_via=quote)
                    named = _names(f"{path}?{unquote(query)}", ground)
                    yield Asked(method.upper(), path, query, operation["operationId"], named)


def _names(text: str, ground: Ground) -> frozenset[str]:
    known = (*ground.assets, *ground.hubs, *ground.facilities)
    return frozenset(name for name in known if _whole(name).search(text))


@cache
def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")


Pair = tuple[str, str]


def _few_queries(choices: Sequence[Sequence[Pair]], taken: Pair | None, has_place: bool) -> Iterator[tuple[Pair, ...]]:
    if has_place:
        yield () if taken is None else (taken,)
        return
    yield ()
    for values in choices:
        if values and values[0][0] in ("assetId", "path", *FACILITY_PARAMETERS):
            yield from ((value,) for value in values)
    if taken is not None:
        yield (taken,)


def _all_queries(choices: Sequence[Sequence[Pair]], has_place: bool) -> Iterator[tuple[Pair, ...]]:
    yield ()
    for values in choices:
        yield from ((value,) for value in values)
    if has_place:
        return
    for one, other in itertools.combinations([values for values in choices if values], 2):
        # Every value of both stands beside the other parameter once.
        yield from zip(*_as_long(one, other), strict=True)


def _as_long(one: Sequence[Pair], other: Sequence[Pair]) -> list[Sequence[Pair]]:
    length = max(len(one), len(other))
    return [list(itertools.islice(itertools.cycle(values), length)) for values in (one, other)]


def path_values(parameter: Mapping[str, Any], ground: Ground) -> Sequence[str]:
    """Values of a path parameter: every identifier of its kind, whoever may see it."""
    return {
        "terminalId": sorted(ground.terminals) or list(ground.facilities)[:1],
        "hubId": list(ground.hubs),
        "facilityId": list(ground.facilities),
        "assetId": list(ground.assets),
        "dataset": list(ground.datasets),
        "releaseId": [ground.release_id],
    }[parameter["name"]]


def query_values(parameter: Mapping[str, Any], ground: Ground, *, is_full: bool) -> list[tuple[str, str]]:
    """Values of a query parameter."""
    name = parameter["name"]
    earlier = ground.latest - timedelta(days=2)
    values: Sequence[str]
    if parameter["schema"].get("enum"):
        values = parameter["schema"]["enum"]
    else:
        values = {
            "assetId": lambda: ground.assets,
            **dict.fromkeys(FACILITY_PARAMETERS, lambda: [*ground.facilities]),
            "targetVersion": lambda: ground.versions,
            "productionDate": lambda: [ground.latest.isoformat(), earlier.isoformat()],
            "from": lambda: [earlier.isoformat()],
            "to": lambda: [earlier.isoformat()],
            "since": lambda: ["2000-01-01T00:00:00Z"],
            "release": lambda: [ground.release_id],
            "asKnownAt": lambda: ["2100-01-01T00:00:00Z"],
            "limit": lambda: ["1", "100"],
            "cursor": list,  # its pages are those of the list without it
            "horizon": lambda: ["7d"],
            "path": lambda: list(numbers_to_explain(ground))[:: 1 if is_full else 3],
        }[name]()
    return [(name, value) for value in values]


def numbers_to_explain(ground: Ground) -> Iterator[str]:
    """Addresses of numbers at every node."""
    for field_name in ("currentProduction", "maxCapacity", "publishedTarget", "coverage"):
        yield f"/summary#/networks/oil/{field_name}"
    yield "/summary#/efficiency/oil/productionEfficiency"
    for asset in ground.assets:
        for network in ("oil", "exportGas"):
            yield f"/assets#/{asset}/networks/{network}/maxCapacity"
            yield f"/assets#/{asset}/networks/{network}/businessTarget"
    for hub, asset in ground.hubs.items():
        yield f"/assets#/{asset}/hubs/{hub}/networks/oil/deferment"
        yield f"/hubs/{hub}/performance#/statistics/oil/average"
    for facility in ground.facilities:
        yield f"/gap-drivers?facilityIds={facility}#/networks/exportGas/drivers/0/volume"
        yield f"/gap-drivers?facilityIds={facility}#/networks/oil/reference/defermentVolume"
    for terminal in sorted(ground.terminals):
        for field_name in ("productionRate", "grossStock", "readyCrude"):
            yield f"/terminal/{terminal}/operations#/{field_name}"
    for edge in ground.edges:
        yield f"/production-flow#/edges/{edge}/capacity"


@dataclass(frozen=True)
class Secrets:
    """What a caller must not learn: words, and numbers that are nowhere in what it may see."""

    words: frozenset[str]
    numbers: frozenset[str]

    def found(self, text: str, question: str) -> set[str]:
        """Secrets in a text, but those that the question held."""
        words = {word for word in self.words if word in text and _whole(word).search(text)}
        numbers = {number for number in set(NUMBER.findall(text)) if _key(float(number)) in self.numbers}
        return {word for word in words if not _whole(word).search(question)} | numbers


def secrets_of(sql: Sql, ground: Ground, scope: Scope) -> Secrets:
    """From the release's rows, by the asset of the facility, hub or terminal that each is of."""
    words, numbers = _Sides(), _Sides()
    for asset, name in sql("SELECT asset_id, name FROM asset").rows():
        words.put(scope.holds(asset), (asset, name))
    for asset, *names in sql("SELECT asset_id, hub_id, name FROM hub").rows():
        words.put(scope.holds(asset), names)
    for asset, *names in sql("SELECT asset_id, facility_id, name FROM facility_version").rows():
        words.put(scope.holds(asset), names)
    _put_topology(sql, ground, scope, words)
    for facility, *names in sql("SELECT facility_id, event_id, title, evidence FROM event_daily").rows():
        words.put(scope.holds(ground.facilities.get(facility)), names)
    for view in PER_FACILITY:
        if view in ground.datasets:
            _put_rows(sql, ground, scope, view, words, numbers)
    produced = sql("SELECT asset_id, * EXCLUDE (asset_id) FROM production_daily")
    for row in produced.iter_rows(named=True):
        # The system's totals belong to those who see everything.
        numbers.put(scope.holds(row["asset_id"]), [v for v in row.values() if isinstance(v, float)])
    for asset, *volumes in sql("SELECT asset_id, volume, volume_if_alone, gain_if_fixed FROM gap_driver_daily").rows():
        numbers.put(scope.holds(asset), volumes)
    if "closure_daily" in ground.datasets:
        for row in sql("SELECT * FROM closure_daily").rows():
            numbers.put(scope.holds(None), [value for value in row if isinstance(value, float)])
    words.put(scope.holds(None), sql("SELECT row_id FROM quarantine")["row_id"])
    # A title may be the words of its reason, which everyone reads.
    words.put(True, sql("SELECT title FROM reason_code")["title"])
    hidden = frozenset(w for w in words.hidden - words.seen if isinstance(w, str) and len(w) > 2)
    scales = (1.0, 1e-3, 1e-6)
    seen = {_key(v * scale) for v in numbers.seen for scale in scales}
    told = {_key(v * scale) for v in numbers.hidden if _is_telling(v) for scale in scales}
    return Secrets(hidden, frozenset(told - seen))


@dataclass
class _Sides:
    """Values of rows inside and outside a scope."""

    seen: set[Any] = field(default_factory=set)
    hidden: set[Any] = field(default_factory=set)

    def put(self, is_seen: bool, values: Iterable[Any]) -> None:
        (self.seen if is_seen else self.hidden).update(value for value in values if value is not None)


def _put_topology(sql: Sql, ground: Ground, scope: Scope, words: _Sides) -> None:
    touched: dict[str, bool] = {}
    for edge_id, *ends in sql("SELECT edge_id, from_id, to_id FROM edge").rows():
        owners = [ground.facilities[end] for end in ends if end in ground.facilities]
        words.put(bool(owners) and all(scope.holds(owner) for owner in owners), [edge_id])
        for end in ends:
            if end not in ground.facilities:
                touched[end] = touched.get(end, False) or any(scope.holds(owner) for owner in owners)
    for external, name in sql("SELECT external_id, name FROM external_node").rows():
        words.put(touched.get(external, False), [external, name])


def _put_rows(sql: Sql, ground: Ground, scope: Scope, view: str, words: _Sides, numbers: _Sides) -> None:
    for row in sql(f"SELECT * FROM {view}").iter_rows(named=True):
        is_seen = scope.holds(ground.facilities.get(row.get("facility_id") or row.get("terminal_id") or ""))
        names = ("tag_name", "source_key", "meter_id", "cargo_id")
        words.put(is_seen, [row[name] for name in names if name in row])
        numbers.put(is_seen, [value for value in row.values() if isinstance(value, float)])


def _is_telling(value: float) -> bool:
    """Whole numbers stand everywhere, as counts and in names."""
    return abs(value) >= 1000 and float(_key(value)) % 0.5 != 0


def _key(value: float) -> str:
    return f"{value:.10e}"


def text_of(answer: Answer) -> str:
    """Everything that an answer says, whatever its format, headers included."""
    kind = answer.header(b"content-type").split(b";")[0].decode()
    headers = "\n".join(f"{k.decode()}: {v.decode('latin-1')}" for k, v in answer.headers if k not in SAID_BY_ALL)
    return headers + "\n" + (_OPENERS.get(kind, _text)(answer.body) if answer.status == 200 else _text(answer.body))


SAID_BY_ALL = (b"server-timing", b"traceparent", b"x-request-id", b"date")


def _text(body: bytes) -> str:
    # JSON may write any letter as an escape.
    try:
        return json.dumps(json.loads(body), ensure_ascii=False)
    except ValueError:
        return body.decode("utf-8", "replace")


def _arrow(body: bytes) -> str:
    return _table(pa.ipc.open_stream(body).read_all())


def _parquet(body: bytes) -> str:
    return _table(pq.read_table(io.BytesIO(body)))


def _table(table: pa.Table) -> str:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return f"{table.schema.metadata}\n{frame.write_csv()}"


def _xlsx(body: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(body)) as book:
        parts = [book.read(name).decode("utf-8", "replace") for name in book.namelist() if name.endswith(".xml")]
    return re.sub(r"<[^>]*>", " ", "\n".join(parts))


_OPENERS: Mapping[str, Callable[[bytes], str]] = {
    "application/vnd.apache.parquet": _parquet,
    "application/vnd.apache.arrow.stream": _arrow,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": _xlsx,
}


@dataclass
class Report:
    """What was asked and what leaked."""

    asked: int = 0
    operations: set[str] = field(default_factory=set)
    formats: set[str] = field(default_factory=set)
    leaks: list[str] = field(default_factory=list)
    found_by_all: int = 0


async def audit(
    edge: Any,
    scopes: Mapping[str, Scope],
    secrets: Mapping[str, Secrets],
    ground: Ground,
    requests: Iterable[Asked],
    *,
    until_first: bool = False,
) -> Report:
    """Asks every request as every role, in turn from the first role and from the last, so that each order meets the cache.

    A leak: a secret in an answer; an identifier out of scope told from one that does not exist; an answer or a 304 that was
    another scope's; a fault of the server.
    """
    report = Report()
    roles = list(scopes)
    for number, request in enumerate(requests):
        report.operations.add(request.operation)
        answers: dict[str, Answer] = {}
        question = unquote(str(request))
        order = roles if number % 2 else roles[::-1]
        for role in order:
            answer = answers[role] = await ask(edge, role, request)
            report.asked += 1
            report.formats.add(answer.header(b"content-type").split(b";")[0].decode())
            text = text_of(answer)
            found = secrets[role].found(text, question)
            if found:
                report.leaks.append(f"{role}: {request} tells {sorted(found)[:5]}")
            if answer.status >= 500:
                report.leaks.append(f"{role}: {request} answers {answer.status}")
            if scopes[role].assets is None:
                report.found_by_all += any(s.found(text, question) for s in secrets.values())
            hidden = ground.hidden(scopes[role])
            if request.names & hidden:
                other = await ask(edge, role, request.of_nothing(hidden))
                if _told_apart(answer, other, request, hidden):
                    report.leaks.append(f"{role}: {request} differs from an unknown identifier: {answer.body[:300]!r}")
        report.leaks += await _mixed_up(edge, request, order[0], answers)
        if until_first and report.leaks:
            break
    return report


def _told_apart(answer: Answer, other: Answer, request: Asked, hidden: frozenset[str]) -> bool:
    body, unknown = MOMENT.sub(b"", answer.body), MOMENT.sub(b"", other.body)
    for number, name in enumerate(sorted(request.names & hidden)):
        body = body.replace(name.encode(), UNKNOWN.format(number).encode())
    skipped = (*SAID_BY_ALL, b"content-length", b"etag")
    kept = [[(k, v) for k, v in a.headers if k not in skipped and b"ratelimit" not in k] for a in (answer, other)]
    for pair in kept[0]:
        for number, name in enumerate(sorted(request.names & hidden)):
            if name.encode() in pair[1]:
                kept[0][kept[0].index(pair)] = (
                    pair[0],
                    pair[1].replace(name.encode(), UNKNOWN.format(number).encode()),
                )
                break
    return (answer.status, body, kept[0]) != (other.status, unknown, kept[1])


def _content(answer: Answer) -> bytes:
    """What an answer says; of a binary format what stands in it, for its bytes may differ where nothing is said."""
    kind = answer.header(b"content-type").split(b";")[0].decode()
    is_binary = answer.status == 200 and kind in _OPENERS
    return _OPENERS[kind](answer.body).encode() if is_binary else MOMENT.sub(b"", answer.body)


async def _mixed_up(edge: Any, request: Asked, first: str, answers: Mapping[str, Answer]) -> list[str]:
    """Answers of one scope that another was given: by the cache, by equal tags, or confirmed by 304."""
    if STREAM in answers[first].header(b"content-type"):
        return []
    leaks = []
    again = await ask(edge, first, request)
    if (again.status, _content(again)) != (answers[first].status, _content(answers[first])):
        leaks.append(f"{first}: {request} answers otherwise after others asked")
    tags: dict[bytes, str] = {}
    for role, answer in answers.items():
        tag = answer.header(b"etag")
        if tag and answer.status == 200 and tag in tags:
            leaks.append(f"{role}: {request} has the tag of {tags[tag]}")
        tags[tag] = role
    held = answers[first].header(b"etag")
    other = next((role for role in answers if role != first), None)
    if held and other is not None and (await ask(edge, other, request, [(b"if-none-match", held)])).status == 304:
        leaks.append(f"{other}: {request} is confirmed by the tag of {first}")
    return leaks
