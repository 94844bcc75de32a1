"""Exports while they are under way: made as they are read, stopped when nobody reads, whole or visibly broken."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pytest

from api.exports import MAX_EXPORTS
from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny, tiny_release_tables
from warehouse import reader_stream
from warehouse.retention import Retention, prune

PATH = "/api/v1/exports"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("exports")
    publish_tiny(directory, days=8)
    with Api(Settings(warehouse_dir=directory)) as running:
        yield running


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_stream, "BATCH_ROWS", 50)


def expected(api: Api) -> pa.Table:
    """Every row of production_daily in the order of an export."""
    with api.edge.desk.reader.lease() as release, release.cursor(None) as cursor:
        return cursor.sql("SELECT * FROM production_daily ORDER BY ALL").to_arrow_table()


def stream(api: Api, address: str, **how: Any) -> "Stream":
    found = Stream(api, address, **how)
    api._runner.run(found.run())
    return found


class Stream:
    """One request spoken to the application by hand: what was sent, and a client that leaves after some pieces."""

    def __init__(self, api: Api, address: str, leave_after: int | None = None, on_piece: Any = None) -> None:
        self.api = api
        self.path, _, query = address.partition("?")
        self.query = query.encode()
        self.leave_after = leave_after
        self.on_piece = on_piece
        self.status = 0
        self.pieces: list[bytes] = []
        self.is_whole = False
        self.fault: BaseException | None = None
        self._gone = asyncio.Event()

    async def run(self) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": f"{PATH}/{self.path}", "raw_path": f"{PATH}/{self.path}".encode(), "query_string": self.query,
            "headers": [(b"host", b"api.test")], "client": ("127.0.0.1", 1), "server": ("api.test", 80), "root_path": "",
        }  # fmt: skip
        asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            if (request := next(asked, None)) is not None:
                return request
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                return
            self.pieces.append(message["body"])
            self.is_whole = not message.get("more_body", False)
            if self.on_piece:
                self.on_piece(self)
            if self.leave_after is not None and len(self.pieces) >= self.leave_after:
                self._gone.set()
                await asyncio.Event().wait()  # nobody reads any more: the socket takes nothing

        try:
            await asyncio.wait_for(self.api.edge(scope, receive, send), 60)
        except TimeoutError:
            raise
        except BaseException as fault:  # noqa: BLE001 - what the server would see
            self.fault = fault


def exporter_of(api: Api) -> Any:
    app: Any = api.edge.app
    return app.state.exporter


def leases(api: Api) -> int:
    current = api.edge.desk.reader._current
    assert current is not None
    return current.leases


@pytest.mark.usefixtures("small_batches")
def test_export_that_is_read_piece_by_piece_then_a_batch_is_made_only_when_it_is_wanted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    true_batches = reader_stream.batches

    def counted(*arguments: Any) -> Iterator[Any]:
        nonlocal made
        for batch in true_batches(*arguments):
            made += 1
            assert batch.num_rows <= 80, "a batch is a few days, or one"
            yield batch

    ahead: list[int] = []
    monkeypatch.setattr(reader_stream, "batches", counted)
    found = stream(api, "production_daily?format=arrow", on_piece=lambda s: ahead.append(made - (len(s.pieces) - 1)))
    assert (found.status, found.is_whole) == (200, True)
    assert made > 5
    assert max(ahead) <= 1
    assert pyarrow.ipc.open_stream(b"".join(found.pieces)).read_all().equals(expected(api))


@pytest.mark.parametrize("name", ["csv", "arrow", "parquet"])
@pytest.mark.usefixtures("small_batches")
def test_export_whose_client_leaves_then_it_stops_and_lets_go(
    api: Api, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    made = 0
    true_batches = reader_stream.batches

    def counted(*arguments: Any) -> Iterator[Any]:
        nonlocal made
        for batch in true_batches(*arguments):
            made += 1
            yield batch

    monkeypatch.setattr(reader_stream, "batches", counted)
    held: list[int] = []
    found = stream(api, f"production_daily?format={name}", leave_after=2, on_piece=lambda s: held.append(leases(s.api)))
    assert not found.is_whole
    assert held[0] == 1, "the release is leased while it is read"
    assert (leases(api), exporter_of(api).under_way) == (0, 0)
    assert made <= 3


def test_xlsx_whose_client_leaves_then_its_files_are_gone(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = stream(api, "production_daily?format=xlsx", leave_after=1)
    assert not left.is_whole
    assert list(tmp_path.iterdir()) == []
    assert stream(api, "production_daily?format=xlsx").is_whole
    assert list(tmp_path.iterdir()) == []
    assert (leases(api), exporter_of(api).under_way) == (0, 0)


@pytest.mark.usefixtures("small_batches")
def test_export_while_its_release_is_replaced_and_pruned_then_it_is_whole(tmp_path: Path) -> None:
    tables = tiny_release_tables(8)
    first = publish_tiny(tmp_path, tables=tables, built_at=datetime(2026, 10, 1, 6, tzinfo=UTC))
    with Api(Settings(warehouse_dir=tmp_path, release_poll_seconds=3600.0)) as api:
        rows = expected(api)
        pruned: list[str] = []

        def replaced(found: Stream) -> None:
            if len(found.pieces) == 2:
                other = tables | {"quarantine": tables["quarantine"].head(0)}
                second = publish_tiny(tmp_path, tables=other, built_at=datetime(2026, 11, 22, 6, tzinfo=UTC))
                assert api.edge.desk.refresh()
                assert api.edge.desk.reader.release_id == second
                policy = Retention(count=1, age=timedelta(0), keep_last_of_month=False)
                pruned.extend(prune(tmp_path, policy))

        found = stream(api, "production_daily?format=arrow", on_piece=replaced)
        assert found.is_whole
        assert pruned == [], "a leased release is not deleted"
        with pyarrow.ipc.open_stream(b"".join(found.pieces)) as reader:
            assert reader.schema.metadata[b"release_id"] == first.encode()
            assert reader.read_all().equals(rows)
        assert first not in api.edge.desk.reader._attached, "let go with the last piece"
        assert prune(tmp_path, Retention(count=1, age=timedelta(0), keep_last_of_month=False)) == [first]


@pytest.mark.usefixtures("small_batches")
def test_export_that_fails_midway_then_the_connection_breaks_and_never_ends_well(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_batches = reader_stream.batches

    def failing(*arguments: Any) -> Iterator[Any]:
        yield next(true_batches(*arguments))
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(reader_stream, "batches", failing)
    found = stream(api, "production_daily?format=csv")
    assert (found.status, found.is_whole) == (200, False)
    assert found.fault is not None
    assert (leases(api), exporter_of(api).under_way) == (0, 0)


def test_export_whose_rows_are_not_those_that_were_counted_then_it_fails(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        reader_stream, "plan", lambda *_: [reader_stream.Span(None, None, 3)]
    )  # fmt: skip
    found = stream(api, "production_daily?format=csv")
    assert not found.is_whole
    assert found.fault is not None


def test_export_that_fails_before_its_first_piece_then_an_ordinary_problem(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(reader_stream, "schema", failing)
    problem = api.problem(f"{PATH}/hub", 500, "internalError")
    assert "no memory" not in problem["detail"]
    assert (leases(api), exporter_of(api).under_way) == (0, 0)


def test_export_when_the_readers_limit_ends_a_query_then_504(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with api.edge.desk.reader.lease() as release:
        kind = type(release)

    @contextmanager
    def ended(*_: object) -> Iterator[Any]:
        raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
        yield

    # What is asked after the address was understood: the plan of the batches.
    real = reader_stream.plan

    def plan(*given: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(kind, "cursor", ended)
            return real(*given)

    monkeypatch.setattr(reader_stream, "plan", plan)
    problem = api.problem(f"{PATH}/production_daily?format=arrow", 504, "timeout")
    assert "fewer days" in problem["detail"]
    assert leases(api) == 0


def test_exports_when_all_places_are_taken_then_429_with_retry_after(api: Api) -> None:
    exporter = exporter_of(api)
    for _ in range(MAX_EXPORTS):
        exporter.enter()
    try:
        response = api.get(f"{PATH}/hub")
    finally:
        for _ in range(MAX_EXPORTS):
            exporter.leave()
    assert (response.status_code, response.json()["code"]) == (429, "tooManyRequests")
    assert int(response.headers["retry-after"]) > 0
    assert api.get(f"{PATH}/hub").status_code == 200
