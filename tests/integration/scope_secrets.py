"""What a caller limited to assets must not learn, read from a release by the assets of its facilities, and where it is looked for.

Nothing here knows the rules that the reader limits rows by.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from api.callers import Scope
from tests.integration.scope_questions import Ground, Sql, whole

# Tables of words and sources, which belong to no asset and which everyone may read.
SHARED = ("dictionary", "release_info", "source_freshness", "reason_code")
PER_FACILITY = ("source_row", "meter_daily", "reading_daily", "terminal_balance", "terminal_daily", "cargo")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
# Parts of an answer that name the moment of asking.
MOMENT = re.compile(rb'("traceId":"[^"]*"|"subject":"[^"]*"|"checkedAt":"[^"]*"|"lagSeconds":[-\d.e]+)')


# What `whole` takes for a part of a word.
TOKEN = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes:
        """A header's value; empty without it."""
        return dict(self.headers).get(name, b"")


@dataclass(frozen=True)
class Secrets:
    """What a caller must not learn: words, and numbers that are nowhere in what it may see."""

    words: frozenset[str]
    numbers: frozenset[str]

    @cached_property
    def by_token(self) -> Mapping[str, Sequence[str]]:
        """Words by the token that they begin with: one that stands whole in a text has it as a whole token there."""
        tokens: dict[str, list[str]] = {}
        for word in self.words:
            found = TOKEN.match(word)
            tokens.setdefault(found.group() if found else "", []).append(word)
        return tokens

    def found(self, text: str, question: str) -> set[str]:
        """Secrets in a text, but those that the question held."""
        tokens = self.by_token.keys() & {"", *TOKEN.findall(text)}
        candidates = (word for token in tokens for word in self.by_token[token])
        words = {word for word in candidates if word in text and whole(word).search(text)}
        numbers = {number for number in set(NUMBER.findall(text)) if _key(float(number)) in self.numbers}
        return {word for word in words if not whole(word).search(question)} | numbers


def secrets_of(sql: Sql, ground: Ground, scope: Scope, *, are_short_telling: bool) -> Secrets:
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
    # Titles of events and names of markets may be words of reasons, which everyone reads.
    shared = "\n".join(sql("SELECT title FROM reason_code")["title"])
    candidates = {w for w in words.hidden - words.seen if isinstance(w, str) and len(w) > 2}
    hidden = frozenset(w for w in candidates if not (w in shared and whole(w).search(shared)))
    scales = (1.0, 1e-3, 1e-6)
    seen = {_key(v * scale) for v in numbers.seen for scale in scales}
    told = {
        _key(v * scale)
        for v in numbers.hidden
        if _is_telling(v, are_short_telling=are_short_telling)
        for scale in scales
    }
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


def _is_telling(value: float, *, are_short_telling: bool) -> bool:
    """Among a few numbers any that is not small and round; among millions only one of more digits than chance repeats."""
    if are_short_telling:
        return abs(value) >= 1000 and float(_key(value)) % 500 != 0
    return abs(value) >= 1000 and float(_key(value)) != float(f"{value:.7e}")


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


def content_of(answer: Answer) -> bytes:
    """What an answer says; of a binary format what stands in it, for its bytes may differ where nothing is said."""
    kind = answer.header(b"content-type").split(b";")[0].decode()
    is_binary = answer.status == 200 and kind in _OPENERS
    return _OPENERS[kind](answer.body).encode() if is_binary else MOMENT.sub(b"", answer.body)
