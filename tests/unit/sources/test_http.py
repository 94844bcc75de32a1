"""The HTTP client: what is retried, what is waited for, what is never shown."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.circuit import Circuit
from pipelines.sources.config import Secret
from pipelines.sources.errors import Asking, SourceBroken, SourceNotReady, SourceUnavailable
from pipelines.sources.http import Http, same_origin
from pipelines.sources.http_auth import Basic, ClientCredentials
from pipelines.sources.http_retry import HttpPolicy, retry_after_seconds, wait_seconds
from pipelines.sources.http_words import Redactor, said

ASKING = Asking("PI Web API", "recorded_value", "2026-11-20")
URL = "http://source.test/data"
POLICY = HttpPolicy(connect_seconds=2, read_seconds=2, overall_seconds=20)


class Script:
    """Answers in order; the last one repeats. Remembers the requests and the sleeps."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def http(self, **options: Any) -> Http:
        options.setdefault("policy", POLICY)
        return Http("PI Web API", transport=httpx.MockTransport(self), sleep=self.slept.append, **options)


def ask(http: Http, **options: Any) -> Any:
    options.setdefault("decode", msgspec.json.decode)
    with http:
        return http.ask(ASKING, options.pop("url", URL), **options).value


def test_ask_when_busy_with_retry_after_then_waits_that_long() -> None:
    script = Script(httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200, json=[1]))
    assert ask(script.http()) == [1]
    assert script.slept == [7.0]


@pytest.mark.parametrize("status", [408, 423, 429, 502, 503, 504])
def test_ask_when_status_says_later_then_asks_until_answered(status: int) -> None:
    script = Script(httpx.Response(status), httpx.Response(status), httpx.Response(200, json={"a": 1}))
    assert ask(script.http()) == {"a": 1}
    assert len(script.requests) == 3


def test_ask_when_500_once_then_succeeds() -> None:
    script = Script(httpx.Response(500), httpx.Response(200, json=[]))
    assert ask(script.http()) == []


def test_ask_when_500_twice_then_is_unavailable_without_a_third_attempt() -> None:
    script = Script(httpx.Response(500, json={"Errors": ["backend gone"]}))
    with pytest.raises(SourceUnavailable, match="backend gone"):
        ask(script.http())
    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_ask_when_refused_for_good_then_is_broken_at_once(status: int) -> None:
    script = Script(httpx.Response(status, json={"Message": "no"}))
    with pytest.raises(SourceBroken) as caught:
        ask(script.http())
    assert caught.value.status == status
    assert len(script.requests) == 1


def test_ask_when_told_to_rest_longer_than_patience_then_is_not_ready_with_the_time() -> None:
    script = Script(httpx.Response(503, headers={"Retry-After": "300"}))
    with pytest.raises(SourceNotReady) as caught:
        ask(script.http())
    assert caught.value.retry_after_seconds == 300.0
    assert script.slept == []


@pytest.mark.parametrize("body", [b'{"Items":[{"Timest', b"<html>busy</html>", b"", b"\xff\xfe"])
def test_ask_when_body_does_not_decode_then_asks_again(body: bytes) -> None:
    script = Script(httpx.Response(200, content=body), httpx.Response(200, json=[3]))
    assert ask(script.http()) == [3]


def test_ask_when_shape_is_another_then_is_broken_and_not_retried() -> None:
    script = Script(httpx.Response(200, json={"value": "text"}))
    with pytest.raises(SourceBroken, match=r"Expected `array`"):
        ask(script.http(), decode=msgspec.json.Decoder(list[int]).decode)
    assert len(script.requests) == 1


def test_ask_when_connection_breaks_then_asks_again_and_gives_up_in_the_end() -> None:
    script = Script(httpx.ConnectError("refused"))
    with pytest.raises(SourceUnavailable, match="refused"):
        ask(script.http())
    assert len(script.requests) == POLICY.attempts
    assert len(script.slept) == POLICY.attempts - 1


def test_ask_when_link_is_opaque_then_target_is_sent_verbatim() -> None:
    link = "/v1.0/items?$expand=fields&$skiptoken=Paged%3dTRUE%26p_ID%3d205&x='a'"
    with listening(answer_with(b"[]")) as (port, heard), Http("SharePoint", policy=POLICY) as http:
        http.ask(ASKING, f"http://127.0.0.1:{port}{link}", decode=msgspec.json.decode)
    assert heard[0].split(b"\r\n")[0] == b"GET " + link.encode() + b" HTTP/1.1"


def test_message_when_broken_then_names_source_dataset_labels_question_answer_and_next_step() -> None:
    script = Script(httpx.Response(404, text="<html><body>no such page</body></html>"))
    with pytest.raises(SourceBroken) as caught:
        ask(script.http())
    for part in ("PI Web API", "recorded_value", "2026-11-20", URL, '404 "no such page"', "not retried"):
        assert part in str(caught.value)


def test_error_when_moved_between_processes_then_keeps_its_words() -> None:
    error = SourceNotReady(ASKING, asked="x", came="y", status=503, retry_after_seconds=9.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.retry_after_seconds) == (SourceNotReady, str(error), 9.0)


# Tokens


class Issuer:
    def __init__(self, expires_in: int = 3600) -> None:
        self.issued = 0
        self.expires_in = expires_in
        self.forms: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.issued += 1
        self.forms.append(request.content)
        return httpx.Response(200, json={"access_token": f"token-number-{self.issued}", "expires_in": self.expires_in})


def bearer(issuer: Callable[[httpx.Request], httpx.Response], clock: Callable[[], float] = time.monotonic) -> Any:
    http = Http("PI Web API", transport=httpx.MockTransport(issuer), policy=POLICY, sleep=lambda _: None)
    return ClientCredentials(
        http,
        token_url="http://issuer.test/token",
        client_id="app",
        client_secret=Secret("very-secret-text"),
        scope="system",
        clock=clock,
    )


def test_token_when_refused_then_is_asked_anew_once() -> None:
    issuer = Issuer()
    seen: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(200, json=[1]) if seen[-1] == "Bearer token-number-2" else httpx.Response(401)

    http = Http("PI Web API", transport=httpx.MockTransport(serve), auth=bearer(issuer), policy=POLICY)
    assert ask(http) == [1]
    assert seen == ["Bearer token-number-1", "Bearer token-number-2"]


def test_token_when_refused_again_then_is_broken() -> None:
    issuer = Issuer()
    script = Script(httpx.Response(401))
    with pytest.raises(SourceBroken):
        ask(script.http(auth=bearer(issuer)))
    assert (issuer.issued, len(script.requests)) == (2, 2)


def test_token_when_still_valid_then_is_shared_and_when_about_to_end_then_is_renewed() -> None:
    now = [0.0]
    issuer = Issuer(expires_in=600)
    auth = bearer(issuer, clock=lambda: now[0])
    script = Script(httpx.Response(200, json=[]))
    http = script.http(auth=auth)
    for at in (0.0, 479.0, 481.0):
        now[0] = at
        http.ask(ASKING, URL, decode=bytes)
    http.close()
    assert [r.headers["Authorization"][-1] for r in script.requests] == ["1", "1", "2"]
    assert b"grant_type=client_credentials" in issuer.forms[0]
    assert b"scope=system" in issuer.forms[0]


def test_token_when_secret_is_wrong_then_error_names_reason_and_hides_secret() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        words = "AADSTS7000215: Invalid client secret provided: very-secret-text"
        return httpx.Response(401, json={"error": "invalid_client", "error_description": words})

    script = Script(httpx.Response(200, json=[]))
    with pytest.raises(SourceBroken) as caught:
        ask(script.http(auth=bearer(refuse)))
    assert "AADSTS7000215" in str(caught.value)
    assert "very-secret-text" not in str(caught.value)
    assert "scope" in str(caught.value)


# Secrets


def test_secrets_when_a_request_fails_then_stand_in_no_error_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    password = "p@ss word/+1"
    body = f"denied for {password}; Authorization: Basic {Basic('me', Secret(password))._encoded}; token=abc123xyz"
    script = Script(httpx.Response(503, text=body), httpx.Response(403, text=body))
    http = script.http(auth=Basic("me", Secret(password)))
    with pytest.raises(SourceBroken) as caught:
        ask(http, url=f"{URL}?access_token=abc123xyz&q=p%40ss%20word%2F%2B1")
    shown = f"{caught.value!r} {caught.value} {caplog.text} {vars(caught.value)}"
    for secret in (password, "abc123xyz", "p%40ss%20word%2F%2B1", Basic("me", Secret(password))._encoded):
        assert secret not in shown
    assert "attempt 1" in caplog.text


def test_secret_when_printed_then_is_stars() -> None:
    secret = Secret("hidden-text")
    assert f"{secret} {secret!r} {secret!s} {secret:>5} {[secret]}" == "*** *** ***   *** [***]"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


@settings(deadline=None)
@given(st.text("abc+/ %&é", min_size=4, max_size=12), st.text("123 \n", max_size=20), st.text("123 \n", max_size=20))
def test_redactor_when_text_holds_secret_plain_or_encoded_then_shows_it_nowhere(
    secret: str, before: str, after: str
) -> None:
    redact = Redactor([secret])
    for form in (secret, quote(secret, safe=""), quote_plus(secret)):
        assert form not in redact(f"{before}{form}{after}")


def test_redactor_when_text_looks_like_a_credential_then_hides_it_unknown_as_it_is() -> None:
    text = Redactor()("GET https://h/x?tempauth=v1.eyJ0&sig=AbC%3D {'client_secret': 'x'} Bearer eyJhbGciOi.J9")
    for secret in ("v1.eyJ0", "AbC%3D", "eyJhbGciOi.J9"):
        assert secret not in text


# Rules


def test_retry_after_when_seconds_date_or_nonsense_then_is_read() -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    assert retry_after_seconds("30", now) == 30.0
    assert retry_after_seconds(format_datetime(now + timedelta(seconds=45), usegmt=True), now) == 45.0
    assert retry_after_seconds(format_datetime(now - timedelta(seconds=45), usegmt=True), now) == 0.0
    assert retry_after_seconds("soon", now) is None
    assert retry_after_seconds("nan", now) is None
    assert retry_after_seconds(None, now) is None


@settings(deadline=None)
@given(st.integers(1, 40))
def test_wait_when_attempts_grow_then_stays_between_half_and_whole_ceiling(attempt: int) -> None:
    policy = HttpPolicy(first_wait_seconds=0.5, longest_wait_seconds=30.0)
    ceiling = min(30.0, 0.5 * 2.0 ** (attempt - 1))
    assert ceiling / 2 <= wait_seconds(policy, attempt) <= ceiling


def test_ask_when_circuit_is_open_then_source_is_not_asked() -> None:
    script = Script(httpx.Response(503))
    with script.http(circuit=Circuit("PI Web API", failures=1, seconds=60.0)) as http:
        with pytest.raises(SourceUnavailable):
            http.ask(ASKING, URL, decode=bytes)
        asked = len(script.requests)
        with pytest.raises(SourceUnavailable, match="is not asked for"):
            http.ask(ASKING, URL, decode=bytes)
    assert len(script.requests) == asked


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"Errors":["a","b"]}', "a; b"),
        (b'{"Message":"Authorization has been denied for this request."}', "Authorization has been denied"),
        (b'{"WebException":{"StatusCode":500,"Errors":["late"]}}', "WebException 500: late"),
        (b'{"error":{"code":"itemNotFound","message":"gone","innerError":{"request-id":"r1"}}}', "itemNotFound: gone"),
        (b'{"error":"invalid_scope","error_description":"AADSTS70011"}', "invalid_scope: AADSTS70011"),
        (b'{"Errors":[{"FieldName":"Value","Message":["x","y"]}]}', "Value: x; y"),
        (b"<html><style>p{}</style><h1>Bad\n Gateway</h1></html>", "Bad Gateway"),
        (b"  ", "nothing"),
    ],
)
def test_said_when_a_vendor_answers_an_error_then_is_one_sentence(body: bytes, words: str) -> None:
    assert words in said(body)
    assert len(said(body * 500)) <= 300


def test_same_origin_when_ports_are_implied_then_compares_hosts_not_spellings() -> None:
    assert same_origin("https://graph.test/a", "https://graph.test:443/v1.0")
    assert not same_origin("https://graph.test.evil/a", "https://graph.test/v1.0")
    assert not same_origin("http://graph.test/a", "https://graph.test/v1.0")


# Sockets: what a mock cannot show


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[bytes]]]:
    """A TCP server on a free port that hands each connection, after its request is read, to `serve`."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        heard.append(connection.recv(65536))
                        serve(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def answer_with(body: bytes, extra: int = 0) -> Callable[[socket.socket], None]:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body) + extra}\r\nConnection: close\r\n\r\n".encode()
    return lambda connection: connection.sendall(head + body)


def test_ask_when_body_is_cut_short_then_is_unavailable_never_half_an_answer() -> None:
    with (
        listening(answer_with(b"[1,2]", extra=3)) as (port, heard),
        Http("EC", policy=POLICY, sleep=lambda _: None) as http,
        pytest.raises(SourceUnavailable, match="no whole answer"),
    ):
        http.ask(ASKING, f"http://127.0.0.1:{port}/", decode=msgspec.json.decode)
    assert len(heard) == POLICY.attempts


def test_ask_when_server_drips_bytes_then_ends_at_its_deadline() -> None:
    enough = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        # Each byte comes long before a read would time out.
        while not enough.wait(0.05):
            connection.sendall(b"X")

    policy = HttpPolicy(connect_seconds=5, read_seconds=5, overall_seconds=0.4)
    with listening(drip) as (port, _), Http("EC", policy=policy) as http:
        try:
            with pytest.raises(SourceUnavailable, match="attempt 1"):
                http.ask(ASKING, f"http://127.0.0.1:{port}/", decode=msgspec.json.decode)
        finally:
            enough.set()


def test_ask_when_nobody_listens_then_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with Http("EC", policy=POLICY, sleep=lambda _: None) as http, pytest.raises(SourceUnavailable):
        http.ask(ASKING, f"http://127.0.0.1:{port}/", decode=bytes)


def test_ask_when_answer_is_gzip_then_is_read_and_wire_bytes_are_counted() -> None:
    import gzip

    body = gzip.compress(b"[" + b"1," * 5000 + b"1]")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with (
        listening(lambda connection: connection.sendall(head + body)) as (port, _),
        Http("EC", policy=POLICY) as http,
    ):
        answer = http.ask(ASKING, f"http://127.0.0.1:{port}/", decode=msgspec.json.decode)
    assert len(answer.value) == 5001
    assert answer.bytes == len(body)
