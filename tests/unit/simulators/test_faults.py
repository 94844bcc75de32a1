"""Faults of the simulated systems, switched by object and by admin route, and of the network in front of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.simulators.faults import Fault, Faults, too_many_requests
from pipelines.simulators.faults_tcp import TcpFault, TcpFaultProxy
from pipelines.simulators.server import LocalServer, ServerStartError
from pipelines.simulators.server_app import System
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_http import Reply, Request

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
ADMIN = "/__simulator/faults"


class _Small(System):
    name = "small"

    def __init__(self) -> None:
        super().__init__(clock=Clock(NOW))
        self.routes.add("GET", r"/numbers(?:/(?P<which>\d+))?", self._numbers)

    def _numbers(self, _: Request, parameters: Mapping[str, str]) -> Reply:
        return Reply.json({"which": parameters["which"], "numbers": list(range(500))})


@pytest.fixture(scope="module")
def system() -> _Small:
    return _Small()


@pytest.fixture(scope="module")
def server(system: _Small) -> Iterator[LocalServer]:
    with LocalServer(system) as server:
        yield server


@pytest.fixture
def client(server: LocalServer, system: _Small) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=5) as client:
        yield client
    system.faults.clear()
    system.clock.set(NOW)


def test_fault_hits_as_often_as_it_says_and_no_more(client: httpx.Client, system: _Small) -> None:
    system.faults.add(Fault(kind="status", status=500, times=2, skip=1))
    assert [client.get("/numbers").status_code for _ in range(4)] == [200, 500, 500, 200]
    assert system.faults.armed() == []


def test_fault_hits_only_the_paths_and_methods_that_it_names(client: httpx.Client, system: _Small) -> None:
    system.faults.add(Fault(kind="status", status=503, path=r"/numbers/2", method="GET", times=None))
    assert client.get("/numbers/1").status_code == 200
    assert client.get("/numbers/2").status_code == 503
    assert client.post("/numbers/2").status_code == 405


@pytest.mark.parametrize("retry_after", ["7", None])
def test_too_many_requests_with_and_without_retry_after(
    client: httpx.Client, system: _Small, retry_after: str | None
) -> None:
    system.faults.add(too_many_requests(retry_after))
    answer = client.get("/numbers")
    assert answer.status_code == 429
    assert answer.headers.get("retry-after") == retry_after


@pytest.mark.parametrize("status", [401, 403, 502, 504])
def test_status_fault_takes_any_status_and_body(client: httpx.Client, system: _Small, status: int) -> None:
    system.faults.add(Fault(kind="status", status=status, body="<html>gateway</html>"))
    answer = client.get("/numbers")
    assert (answer.status_code, answer.text) == (status, "<html>gateway</html>")


@pytest.mark.parametrize("keep", [0, 1, 100, None])
def test_truncated_body_breaks_off_before_its_announced_length(
    client: httpx.Client, system: _Small, keep: int | None
) -> None:
    system.faults.add(Fault(kind="truncated", keep=keep))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/numbers")
    assert client.get("/numbers").status_code == 200


def test_cut_body_is_whole_to_http_and_broken_as_json(client: httpx.Client, system: _Small) -> None:
    system.faults.add(Fault(kind="cut", keep=40))
    answer = client.get("/numbers", headers={"Accept-Encoding": "identity"})
    assert len(answer.content) == 40
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.content)


def test_garbage_body_is_no_json(client: httpx.Client, system: _Small) -> None:
    system.faults.add(Fault(kind="garbage"))
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(client.get("/numbers").content)


def test_hanging_answer_passes_a_clients_time_out(client: httpx.Client, system: _Small) -> None:
    system.faults.add(Fault(kind="hang", seconds=60))
    with pytest.raises(httpx.ReadTimeout):
        client.get("/numbers", timeout=0.1)
    assert client.get("/numbers").status_code == 200


def test_slow_and_dripping_answers_arrive_whole(client: httpx.Client, system: _Small) -> None:
    expected = client.get("/numbers").content
    system.faults.add(Fault(kind="slow", seconds=0.01), Fault(kind="drip", seconds=0.001))
    assert [client.get("/numbers").content for _ in range(2)] == [expected, expected]


def test_admin_route_arms_lists_and_clears(client: httpx.Client, system: _Small) -> None:
    armed = client.post(ADMIN, json=[{"kind": "status", "status": 500, "times": None}]).json()["faults"]
    assert armed[0]["kind"] == "status"
    assert client.get("/numbers").status_code == 500
    client.delete(ADMIN)
    assert client.get("/numbers").status_code == 200
    assert client.post(ADMIN, json={"kind": "earthquake"}).status_code == 400
    assert client.post(ADMIN, json={"kind": "status", "colour": "red"}).status_code == 400
    assert client.get("/__simulator/nothing").status_code == 404


def test_admin_route_moves_the_clock_and_skews_it(client: httpx.Client, system: _Small) -> None:
    assert parsedate_to_datetime(client.get("/numbers").headers["date"]) == NOW
    client.put("/__simulator/clock", json={"advance_seconds": 60})
    assert (system.clock.now() - NOW).total_seconds() == 60
    client.put("/__simulator/clock", json={"now": NOW.isoformat(), "skew_seconds": -300})
    assert (parsedate_to_datetime(client.get("/numbers").headers["date"]) - NOW).total_seconds() == -300
    client.put("/__simulator/clock", json={"skew_seconds": 0})
    assert client.put("/__simulator/clock", json={"now": "2026-01-01T00:00:00"}).status_code == 400


def test_requests_are_recorded_for_who_asks(client: httpx.Client, system: _Small) -> None:
    client.delete("/__simulator/requests")
    client.get("/numbers/3?x=1")
    assert client.get("/__simulator/requests").json()["requests"] == [["GET", "/numbers/3?x=1", 200]]


def test_stopped_server_refuses_and_comes_back_on_its_port(system: _Small) -> None:
    server = LocalServer(system).start()
    url = f"{server.url}/numbers"
    assert httpx.get(url).status_code == 200
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    server.start()
    try:
        assert httpx.get(url).status_code == 200
    finally:
        server.stop()


def test_taken_port_is_named_in_the_error(server: LocalServer) -> None:
    with pytest.raises(ServerStartError, match=str(server.port)):
        LocalServer(_Small(), port=server.port).start()


@given(times=st.integers(1, 5), skip=st.integers(0, 5), asked=st.integers(0, 15))
def test_fault_counts_hold_for_any_number_of_requests(times: int, skip: int, asked: int) -> None:
    faults = Faults([Fault(kind="status", times=times, skip=skip)])
    hits = [faults.transport("GET", "/x") is not None for _ in range(asked)]
    assert hits == [skip <= number < skip + times for number in range(asked)]


def test_data_faults_are_left_for_the_server_to_take() -> None:
    faults = Faults([Fault(kind="missing_page")])
    assert faults.transport("GET", "/x") is None
    assert faults.data("duplicated_page", "GET", "/x") is None
    assert faults.data("missing_page", "GET", "/x") is not None
    assert faults.data("missing_page", "GET", "/x") is None


@pytest.fixture
def proxy(server: LocalServer) -> Iterator[TcpFaultProxy]:
    with TcpFaultProxy(server.port) as proxy:
        yield proxy


def _through(proxy: TcpFaultProxy, timeout: float = 5) -> httpx.Response:
    return httpx.get(f"http://{proxy.host}:{proxy.port}/numbers", timeout=timeout)


def test_proxy_without_a_fault_forwards_faithfully(proxy: TcpFaultProxy, client: httpx.Client) -> None:
    assert _through(proxy).content == client.get("/numbers").content
    proxy.set(TcpFault(kind="slow", seconds=0.001))
    assert _through(proxy).content == client.get("/numbers").content


def test_proxy_that_refuses_lets_in_again_when_cleared(proxy: TcpFaultProxy) -> None:
    proxy.set(TcpFault(kind="refuse"))
    with pytest.raises(httpx.ConnectError):
        _through(proxy)
    proxy.set(None)
    assert _through(proxy).status_code == 200


def test_proxy_that_hangs_accepts_and_stays_silent(proxy: TcpFaultProxy) -> None:
    proxy.set(TcpFault(kind="hang"))
    with socket.create_connection((proxy.host, proxy.port), timeout=0.1) as connection:
        connection.sendall(b"GET /numbers HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)


@pytest.mark.parametrize("after", [0, 10, 200])
def test_proxy_drops_or_stalls_in_the_middle(proxy: TcpFaultProxy, after: int) -> None:
    proxy.set(TcpFault(kind="drop", after_bytes=after))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        _through(proxy)
    proxy.set(TcpFault(kind="stall", after_bytes=after))
    with pytest.raises(httpx.ReadTimeout):
        _through(proxy, timeout=0.1)


def test_proxy_when_a_fault_comes_once_then_counts_from_now_and_is_gone(
    proxy: TcpFaultProxy, client: httpx.Client
) -> None:
    whole = _through(proxy)
    proxy.set(TcpFault(kind="drop", after_bytes=20, once=True))
    with pytest.raises(httpx.HTTPError):
        _through(proxy)
    assert proxy.fault is None
    assert _through(proxy).content == whole.content


def test_proxy_that_garbles_changes_bytes_and_keeps_their_number(proxy: TcpFaultProxy) -> None:
    def ask() -> httpx.Response:
        return httpx.get(f"http://{proxy.host}:{proxy.port}/numbers", headers={"Accept-Encoding": "identity"})

    proxy.set(None)
    whole = ask()
    size = proxy.passed
    proxy.set(TcpFault(kind="garble", after_bytes=size - 4, once=True))
    garbled = ask()
    assert garbled.content != whole.content
    assert len(garbled.content) == len(whole.content)
    assert proxy.passed == size
    assert proxy.turns[0] == 0
