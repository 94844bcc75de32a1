"""One contract for all clients of the sources: whatever happens on the way, all rows, or an error that helps; in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from itertools import product
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.simulators.faults import Fault, too_many_requests
from pipelines.simulators.faults_tcp import TcpFault
from pipelines.sources.circuit import forget_circuits
from pipelines.sources.errors import SourceBroken, SourceError, SourceNotReady, SourceUnavailable
from tests.integration.sources_rigs import DAYS, EMPTY_DAY, LONG_DAY, RIGS, EcOracleRig, GraphRig, Rig

# The Oracle driver leaves the socket of a broken session to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

# Far beyond every deadline used here: what is still running then hangs.
WATCHDOG_SECONDS = 30.0


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Rig]]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("rigs")
        yield {name: make(stack, folder) for name, make in RIGS.items()}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget_circuits()
    yield
    forget_circuits()


def in_time(work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """What `work` gives or raises; a failure when it hangs."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the test itself
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WATCHDOG_SECONDS)
    assert outcome, "the read hangs beyond its deadline"
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    assert isinstance(outcome[0], pl.DataFrame)
    return outcome[0]


def read(rig: Rig, first: date = DAYS[0], last: date | None = None, **options: Any) -> pl.DataFrame:
    with rig.opened(**options) as client:
        return in_time(lambda: rig.rows(client, first, last or first))


def is_whole(rig: Rig, first: date = DAYS[0], last: date | None = None, **options: Any) -> None:
    """Every row once, nothing else."""
    expected = rig.expected(first, last or first)
    assert_frame_equal(read(rig, first, last, **options), expected, check_row_order=not rig.name.startswith("ec_"))


def fails(rig: Rig, kind: type[SourceError], words: str = "", **options: Any) -> SourceError:
    """The read fails with this kind, and tells who was asked what, what came and what happens next."""
    with pytest.raises(SourceError) as caught:
        read(rig, **options)
    error = caught.value
    assert type(error) is kind, str(error)
    assert str(error).startswith(f"{rig.source}, ")
    assert f"asked {error.asked}; came {error.came}; {error.next_step}" in str(error)
    assert min(len(error.asked), len(error.came), len(error.next_step)) > 3
    assert words in str(error)
    assert "s3cret" not in str(error)
    return error


def armed(rig: Rig, **fault: Any) -> None:
    assert rig.system is not None
    fault.setdefault("path", rig.data_path)
    rig.system.faults.add(Fault(**fault))


def used_up(rig: Rig) -> bool:
    assert rig.system is not None
    return not rig.system.faults.armed()


# What comes, and what has to come of it


def empty_day(rig: Rig) -> None:
    frame = read(rig, EMPTY_DAY)
    assert frame.is_empty()
    assert frame.schema == rig.expected(EMPTY_DAY, EMPTY_DAY).schema


def one_page(rig: Rig) -> None:
    is_whole(rig)


def many_pages(rig: Rig) -> None:
    pages: list[int] = []
    is_whole(rig, many=True, on_progress=lambda progress: pages.append(progress.pages))
    assert pages[-1] > 3


def duplicated_page(rig: Rig) -> None:
    if rig.name == "pi":
        # A cache that answers with the page of another window.
        stale = '{"Timestamp":"2026-10-22T00:00:00Z","Value":1.0,"Good":true}'
        streams = ",".join(f'{{"WebId":"x","Name":"FIELD.T{tag}","Items":[{stale}]}}' for tag in range(3))
        armed(rig, kind="status", status=200, body=f'{{"Items":[{streams}]}}', path="streamsets/recorded\\?")
    else:
        armed(rig, kind="duplicated_page", path="skiptoken|offset=2(&|$)")
    is_whole(rig, many=True)
    assert used_up(rig)


def missing_page(rig: Rig) -> None:
    if rig.name == "pi":
        armed(rig, kind="status", status=200, body='{"Items":[]}', path="streamsets/recorded\\?")
    else:
        armed(rig, kind="missing_page", path="offset=2(&|$)")
    is_whole(rig, many=True)
    assert used_up(rig)


def spoilt_once(rig: Rig, kind: Any, tenths: int) -> pl.DataFrame:
    """A read whose answer is spoilt on the wire after so many tenths of its bytes."""
    with rig.opened() as client:
        in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))
        rig.proxy.set(None)
        in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))
        rig.hurry(client)
        rig.proxy.set(TcpFault(kind=kind, after_bytes=rig.proxy.passed * tenths // 10, once=True))
        return in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))


def truncated_body(rig: Rig) -> None:
    if isinstance(rig, EcOracleRig):
        assert_frame_equal(spoilt_once(rig, "drop", 5), rig.expected(DAYS[0], DAYS[0]), check_row_order=False)
        return
    for kind in ("truncated", "cut"):
        armed(rig, kind=kind)
        is_whole(rig)
        assert used_up(rig)
    armed(rig, kind="truncated", times=None)
    fails(rig, SourceUnavailable, "attempt 4")


def garbage_body(rig: Rig) -> None:
    if isinstance(rig, EcOracleRig):
        for tenths in (0, 3, 5, 7, 9):
            try:
                frame = spoilt_once(rig, "garble", tenths)
            except SourceError as error:
                assert isinstance(error, SourceUnavailable), str(error)
            else:
                assert_frame_equal(frame, rig.expected(DAYS[0], DAYS[0]), check_row_order=False)
        return
    armed(rig, kind="garbage")
    is_whole(rig)
    assert used_up(rig)
    armed(rig, kind="garbage", times=None)
    fails(rig, SourceUnavailable, "does not decode")


def unauthorised_then_refreshed(rig: Rig) -> None:
    with rig.opened() as client:
        rig.rows(client, DAYS[0], DAYS[0])
        rig.revoke()
        frame = in_time(lambda: rig.rows(client, DAYS[1], DAYS[1]))
    assert_frame_equal(frame, rig.expected(DAYS[1], DAYS[1]))
    armed(rig, kind="status", status=401, times=None)
    fails(rig, SourceBroken, "401")


def forbidden(rig: Rig) -> None:
    if isinstance(rig, EcOracleRig):
        rig.server.failures.append(1031)
        fails(rig, SourceBroken, "grant SELECT")
        return
    armed(rig, kind="status", status=403, times=None)
    fails(rig, SourceBroken, "403")
    assert rig.waits == []


def not_found(rig: Rig) -> None:
    if isinstance(rig, EcOracleRig):
        rig.server.failures.append(942)
        fails(rig, SourceBroken, "ORA-00942")
        return
    armed(rig, kind="status", status=404, times=None)
    fails(rig, SourceBroken, "404")
    assert rig.waits == []


def throttled_with_retry_after(rig: Rig) -> None:
    assert rig.system is not None
    rig.system.faults.add(too_many_requests("3", path=rig.data_path))
    is_whole(rig)
    assert rig.waits == [3.0]
    rig.system.faults.add(too_many_requests("120", path=rig.data_path))
    error = fails(rig, SourceNotReady, "120 s of rest")
    assert error.retry_after_seconds == 120.0


def throttled_without_retry_after(rig: Rig) -> None:
    assert rig.system is not None
    rig.system.faults.add(too_many_requests(None, path=rig.data_path, times=2))
    is_whole(rig)
    assert len(rig.waits) == 2
    rig.system.faults.add(too_many_requests(None, path=rig.data_path, times=None))
    fails(rig, SourceUnavailable, "429")


def server_error_then_success(rig: Rig) -> None:
    if isinstance(rig, EcOracleRig):
        rig.server.failures.append(1555)
        is_whole(rig)
        assert len(rig.waits) == 1
        rig.server.failures.extend([1555] * 9)
        fails(rig, SourceUnavailable, "ORA-01555")
        return
    armed(rig, kind="status", status=500)
    is_whole(rig)
    assert used_up(rig)
    armed(rig, kind="status", status=500, times=None)
    fails(rig, SourceUnavailable, "500")


def hang(rig: Rig) -> None:
    with rig.opened() as client:
        in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))
        rig.hurry(client)
        rig.proxy.set(TcpFault(kind="stall"))
        with pytest.raises(SourceUnavailable, match=f"{rig.source}, "):
            in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))
    rig.proxy.set(TcpFault(kind="hang"))
    with rig.opened() as client:
        rig.hurry(client)
        with pytest.raises(SourceUnavailable, match=f"{rig.source}, "):
            in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))


def slow_drip(rig: Rig) -> None:
    # Each byte comes well within the time-out of a read: only the deadline of the whole question ends it.
    with rig.opened() as client:
        in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))
        rig.hurry(client)
        rig.proxy.set(TcpFault(kind="slow", seconds=0.04, piece_bytes=4))
        with pytest.raises(SourceUnavailable, match=f"{rig.source}, "):
            in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))


def dropped_midway(rig: Rig) -> None:
    dropped(rig, 1 if rig.name == "ec_rest" else 4)


def dropped(rig: Rig, step: int) -> None:
    """The connection drops in the answer that holds the rows: the last one, before Oracle's end of the transaction."""
    expected = rig.small_expected()
    with rig.opened() as client:
        rig.small(client)
        rig.proxy.set(None)
        rig.small(client)
        ends = [*rig.proxy.turns, rig.proxy.passed]
        first, end = ends[-3:-1] if isinstance(rig, EcOracleRig) else ends[-2:]
        assert end - first > 80
        for position in range(first, end, step):
            rig.proxy.set(TcpFault(kind="drop", after_bytes=position, once=True))
            assert_frame_equal(rig.small(client), expected)
            assert rig.proxy.fault is None, f"nothing was dropped after {position} bytes"


def clock_change_day(rig: Rig) -> None:
    is_whole(rig, LONG_DAY)
    if rig.name == "pi":
        assert rig.expected(LONG_DAY, LONG_DAY).height == 3 * 25
    if not isinstance(rig, GraphRig):
        is_whole(rig, DAYS[0], DAYS[-1], many=True)


def cancelled_midway(rig: Rig) -> None:
    clients: list[Any] = []
    with rig.opened(many=True, on_progress=lambda _: clients[0].cancel()) as client:
        clients.append(client)
        with pytest.raises(SourceUnavailable, match="stop"):
            in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))
        assert client.circuit.state == "closed"
        assert client.circuit.failures == 0
    # While it waits for an answer that does not come.
    with rig.opened() as client:
        rig.rows(client, DAYS[0], DAYS[0])
        rig.proxy.set(TcpFault(kind="stall"))
        timer = threading.Timer(0.2, client.cancel)
        timer.start()
        with pytest.raises(SourceUnavailable, match="stop"):
            in_time(lambda: rig.rows(client, DAYS[0], DAYS[0]))
        timer.join()
    rig.proxy.set(None)
    is_whole(rig)


SITUATIONS: dict[str, Callable[[Rig], None]] = {
    "empty day": empty_day,
    "one page": one_page,
    "many pages": many_pages,
    "duplicated page": duplicated_page,
    "missing page": missing_page,
    "truncated body": truncated_body,
    "garbage body": garbage_body,
    "401 then a refreshed token": unauthorised_then_refreshed,
    "403": forbidden,
    "404": not_found,
    "429 with Retry-After": throttled_with_retry_after,
    "429 without Retry-After": throttled_without_retry_after,
    "500 then success": server_error_then_success,
    "hang": hang,
    "slow drip": slow_drip,
    "dropped midway": dropped_midway,
    "clock change day": clock_change_day,
    "cancelled midway": cancelled_midway,
}
# What a client cannot meet, and why.
NOT_APPLICABLE: dict[tuple[str, str], str] = {
    ("sharepoint", "missing page"): (
        "Graph gives neither a count nor an offset: a page that it leaves out of its own chain of links shows nowhere"
    ),
    ("ec_oracle", "duplicated page"): "rows come from one cursor in order: no page is asked for, none can come twice",
    ("ec_oracle", "missing page"): "packets of one cursor are numbered by TCP: a lost one is a dropped connection",
    ("ec_oracle", "401 then a refreshed token"): "a session has no token; a wrong password is final (ORA-01017)",
    ("ec_oracle", "429 with Retry-After"): "Oracle has no such answer; a full pool is waited for (DPY-4005)",
    ("ec_oracle", "429 without Retry-After"): "Oracle has no such answer; a full pool is waited for (DPY-4005)",
}


@pytest.mark.parametrize(
    ("client", "situation"),
    [pair for pair in product(RIGS, SITUATIONS) if pair not in NOT_APPLICABLE],
    ids=lambda text: text.replace(" ", "_"),
)
def test_contract_when_it_happens_to_a_client_then_all_rows_come_or_an_error_that_helps(
    rigs: dict[str, Rig], client: str, situation: str
) -> None:
    rig = rigs[client]
    try:
        SITUATIONS[situation](rig)
    finally:
        rig.restore()


@pytest.mark.slow
@pytest.mark.parametrize("client", RIGS)
def test_contract_when_the_connection_drops_at_any_byte_then_all_rows_come(rigs: dict[str, Rig], client: str) -> None:
    try:
        dropped(rigs[client], 1)
    finally:
        rigs[client].restore()


def test_contract_when_a_situation_is_left_out_then_its_reason_stands_here() -> None:
    assert set(NOT_APPLICABLE) <= set(product(RIGS, SITUATIONS))
    assert all(len(reason) > 40 for reason in NOT_APPLICABLE.values())
    assert len(RIGS) * len(SITUATIONS) - len(NOT_APPLICABLE) == 66
