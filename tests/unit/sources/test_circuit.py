"""One circuit for each source and process: when it rests, who may ask, what it tells."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from pipelines.sources.circuit import Circuit, circuit_of, forget_circuits, statuses
from pipelines.sources.config import EcRestConfig, PiConfig, Secret, SharePointConfig
from pipelines.sources.ec_rest import EcRest
from pipelines.sources.errors import Asking, SourceUnavailable
from pipelines.sources.http import Http
from pipelines.sources.http_deadline import Deadline
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.pi_web_api import PiClient
from pipelines.sources.sharepoint import GraphClient

ASKING = Asking("PI Web API", "recorded_value")
NOWHERE = "http://127.0.0.1:9"
QUICK = HttpPolicy(connect_seconds=1, read_seconds=1, overall_seconds=2, attempts=1, circuit_failures=2)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget_circuits()
    yield
    forget_circuits()


def test_circuit_when_questions_fail_in_a_row_then_opens_probes_once_and_closes() -> None:
    now = [0.0]
    circuit = Circuit("PI Web API", failures=2, seconds=30.0, clock=lambda: now[0])
    circuit.failed("first")
    assert circuit.seconds_to_rest() == 0.0
    assert circuit.status().state == "closed"
    circuit.failed("second")
    assert circuit.seconds_to_rest() == 30.0
    assert (circuit.status().state, circuit.status().rest_seconds) == ("open", 30.0)
    assert (circuit.status().failures, circuit.status().last_failure) == (2, "second")
    now[0] = 31.0
    assert circuit.status().state == "halfOpen"
    assert circuit.seconds_to_rest() == 0.0
    assert circuit.seconds_to_rest() == 30.0
    assert circuit.status().state == "halfOpen"
    circuit.succeeded()
    assert circuit.seconds_to_rest() == 0.0
    assert circuit.status().state == "closed"


def test_circuit_when_its_probe_fails_then_rests_again_and_when_it_leaves_then_another_may_ask() -> None:
    now = [0.0]
    circuit = Circuit("PI Web API", failures=1, seconds=30.0, clock=lambda: now[0])
    circuit.failed()
    now[0] = 31.0
    assert circuit.seconds_to_rest() == 0.0
    circuit.failed()
    assert circuit.status().state == "open"
    now[0] = 62.0
    assert circuit.seconds_to_rest() == 0.0
    circuit.abandoned()
    assert circuit.seconds_to_rest() == 0.0


def test_bulkhead_when_all_places_are_taken_then_waits_its_turn_and_gives_up_in_time() -> None:
    circuit = Circuit("PI Web API", most_in_flight=1)
    with circuit.place(lambda: 1.0):
        assert circuit.status().in_flight == 1
        with pytest.raises(TimeoutError, match="1 questions"), circuit.place(lambda: 0.0):
            pass
    with circuit.place(lambda: 0.0):
        assert circuit.status().in_flight == 1
    assert circuit.status().in_flight == 0


def test_bulkhead_when_a_place_comes_free_then_the_waiting_question_is_asked() -> None:
    circuit = Circuit("PI Web API", most_in_flight=1)
    waiting, leave, asked = threading.Event(), threading.Event(), threading.Event()

    def second() -> None:
        waiting.set()
        with circuit.place(lambda: 10.0):
            asked.set()

    thread = threading.Thread(target=second)
    with circuit.place(lambda: 1.0):
        thread.start()
        waiting.wait(10)
        assert not asked.is_set()
        leave.set()
    thread.join(10)
    assert asked.is_set()


def test_registry_when_clients_come_and_go_then_what_is_known_of_the_source_stays() -> None:
    for _ in range(2):
        with Http("PI Web API", policy=QUICK, address=NOWHERE) as http, pytest.raises(SourceUnavailable):
            http.ask(ASKING, f"{NOWHERE}/x", decode=msgspec.json.decode)
    with Http("PI Web API", policy=QUICK, address=f"{NOWHERE}/another/path") as http:
        assert http.circuit.state == "open"
        with pytest.raises(SourceUnavailable, match="last 2 questions failed, so the source is not asked"):
            http.ask(ASKING, f"{NOWHERE}/x", decode=msgspec.json.decode)
    with Http("SharePoint", policy=QUICK, address=NOWHERE) as other:
        assert other.circuit.state == "closed"
    assert [(each.source, each.state) for each in statuses()] == [("PI Web API", "open"), ("SharePoint", "closed")]


def test_registry_when_a_source_has_several_addresses_then_each_has_its_circuit() -> None:
    one, other = circuit_of("PI Web API", "https://a:443"), circuit_of("PI Web API", "https://b:443")
    assert one is not other
    assert one is circuit_of("PI Web API", "https://a:443")


def test_ask_when_cancelled_then_the_source_is_not_blamed() -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody")

    http = Http("PI Web API", policy=QUICK, transport=httpx.MockTransport(never), sleep=lambda _: None)
    http.cancelled.set()
    with http, pytest.raises(SourceUnavailable, match="a request to stop"):
        http.ask(ASKING, "http://source.test/x", decode=bytes)
    assert http.circuit.failures == 0


def test_ask_when_the_bulkhead_is_full_then_says_so_and_the_source_is_not_blamed() -> None:
    circuit = Circuit("PI Web API", most_in_flight=0)
    http = Http(
        "PI Web API", policy=QUICK, circuit=circuit, transport=httpx.MockTransport(lambda _: httpx.Response(200))
    )
    with http, pytest.raises(SourceUnavailable, match="no turn to ask"):
        http.ask(ASKING, "http://source.test/x", decode=bytes, deadline=Deadline.after(0.0))
    assert circuit.status().failures == 0


@pytest.mark.parametrize("kind", ["pi", "sharepoint", "ec"])
def test_client_when_cancelled_then_every_read_ends_and_its_circuit_can_be_asked(kind: str) -> None:
    config = EcRestConfig(base_url=f"{NOWHERE}/ec")
    client: PiClient | GraphClient | EcRest
    if kind == "pi":
        client = PiClient(PiConfig(base_url=f"{NOWHERE}/piwebapi"), policy=QUICK)
    elif kind == "sharepoint":
        client = GraphClient(
            SharePointConfig(
                tenant_id="t",
                client_id="c",
                client_secret=Secret("a-secret"),
                site_id="s",
                authority=NOWHERE,
                graph_base_url=NOWHERE,
            ),
            policy=QUICK,
        )
    else:
        client = EcRest(config, {}, policy=QUICK)
    with client:
        client.cancel()
        assert client.circuit.state == "closed"
        if isinstance(client, PiClient):
            with pytest.raises(SourceUnavailable, match="a request to stop"):
                client.points(["A"])
        elif isinstance(client, GraphClient):
            with pytest.raises(SourceUnavailable, match="a request to stop"):
                client.list_items("L", {"a": "A"})
        else:
            with pytest.raises(SourceUnavailable, match="a request to stop"):
                client._http.ask(ASKING, f"{NOWHERE}/x", decode=bytes)
