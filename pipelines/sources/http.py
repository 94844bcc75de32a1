"""One client for all HTTP sources: ask, wait, ask again, give up in time, and say what happened.

Only reads pass here (GET, and POSTs that change nothing: a token, a batch of reads), so each may be repeated. A body
that does not decode is a failed attempt like a dropped connection. Errors and log lines are redacted.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlsplit

import httpcore
import httpx
import msgspec

from pipelines.sources.circuit import Circuit, CircuitStatus, circuit_of
from pipelines.sources.errors import Asking, SourceBroken, SourceError, SourceNotReady, SourceUnavailable
from pipelines.sources.http_auth import Anonymous, Auth
from pipelines.sources.http_body import read_whole
from pipelines.sources.http_deadline import Deadline, DeadlineTransport, within
from pipelines.sources.http_retry import HttpPolicy, is_retried, retry_after_seconds, wait_seconds
from pipelines.sources.http_words import Redactor, said

log = logging.getLogger(__name__)
# Their lines carry whole addresses and headers, pre-authenticated download links among them; ours are redacted.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.INFO)

# Graph asks for a decorated name, so that throttling can tell applications apart (sources.md B.5).
USER_AGENT = "NONISV|ProductionGap|production-gap/0.1"

T = TypeVar("T")

_NO_ANSWER: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    httpx.StreamError,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.ConnectionNotAvailable,
    OSError,
)
# What may stand in a request line as it is.
_TARGET = re.compile(r"[!-~]+")

_ADVICE = {
    400: "not retried: the source refuses the question; check the mapping, or report it with this message",
    401: "not retried: check the user or client id, its secret, and the way of logging in that the server offers",
    403: "not retried: the identity may not read this; see the grants listed for the source",
    404: "not retried: check the address, the identifier or the name in the configuration",
}


class GarbledAnswer(Exception):
    """Raised by a `decode` function for a body that another attempt may deliver whole."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A decoded answer. `bytes` are those on the wire, before decompression."""

    value: T
    status: int
    headers: httpx.Headers
    bytes: int


@dataclass
class _Trouble:
    """Why an attempt failed: what came, and what to raise if it is the last one."""

    came: str
    retried: bool
    status: int | None = None
    retry_after: float | None = None
    advice: str = ""
    not_ready: bool = False


@cache
def _trusted() -> ssl.SSLContext:
    """Whom this process trusts: read once, for it takes 40 ms and is the same for every source."""
    return httpx.create_ssl_context()


class Http:
    """A pool of connections to one source. Thread-safe. Close it, or use it as a context manager."""

    def __init__(
        self,
        source: str,
        *,
        auth: Auth | None = None,
        policy: HttpPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
        httpx_auth: httpx.Auth | None = None,
        headers: Mapping[str, str] | None = None,
        redactor: Redactor | None = None,
        circuit: Circuit | None = None,
        address: str = "",
        purpose: str = "",
        connections: int = 8,
        cancelled: threading.Event | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.source = source
        self.policy = policy or HttpPolicy()
        self.auth: Auth = auth or Anonymous()
        self.redactor = redactor or Redactor()
        self.redactor.add(*self.auth.secrets())
        failures, seconds = self.policy.circuit_failures, self.policy.circuit_seconds
        # Whoever brings a transport of his own goes another way to the source: what he meets says nothing of it.
        self._circuit = circuit or (
            circuit_of(
                f"{source}, {purpose}" if purpose else source, origin(address), failures=failures, seconds=seconds
            )
            if address and transport is None
            else Circuit(source, failures=failures, seconds=seconds)
        )
        self.cancelled = cancelled or threading.Event()
        self._sleep = sleep
        self._client = httpx.Client(
            transport=transport or DeadlineTransport(connections, _trusted()),
            auth=httpx_auth,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", **(headers or {})},
            timeout=httpx.Timeout(self.policy.read_seconds, connect=self.policy.connect_seconds),
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def circuit(self) -> CircuitStatus:
        """How the source's circuit stands in this process."""
        return self._circuit.status()

    def ask(
        self,
        asking: Asking,
        url: str,
        *,
        params: httpx.QueryParams | Mapping[str, str] | None = None,
        method: str = "GET",
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        decode: Callable[[bytes], T],
        accept: Collection[int] = (200,),
        with_auth: bool = True,
        asked: str = "",
        deadline: Deadline | None = None,
    ) -> Answer[T]:
        """Ask until it is answered with a status of `accept` and a body that `decode` takes.

        `form` or `content` is the body of a POST that only reads.

        `url` is used verbatim when `params` is None. `asked` replaces the address in messages, for addresses that are
        secrets. Raises SourceBroken for what another attempt cannot mend, SourceNotReady when the source says
        "later" for longer than this policy waits, SourceUnavailable when the attempts or the time are used up.
        """
        deadline = (deadline or Deadline.after(self.policy.overall_seconds)).with_event(self.cancelled)
        request = self._request(asking, method, url, params, form, content, headers)
        words = asked or self.redactor(f"{method} {request.url}")
        pause = self._circuit.seconds_to_rest()
        if pause > 0.0:
            failed = self._circuit.failure_limit
            raise SourceUnavailable(
                asking,
                asked=words,
                came=f"nothing: the last {failed} questions failed, so the source is not asked for {pause:.0f} s",
                retry_after_seconds=pause,
            )
        try:
            with self._circuit.place(deadline.remaining):
                answer = self._attempts(asking, request, words, decode, accept, with_auth, deadline)
        except TimeoutError as error:
            self._circuit.abandoned()
            raise SourceUnavailable(asking, asked=words, came=f"no turn to ask: {error}") from None
        except SourceUnavailable as error:
            if deadline.is_cancelled:
                self._circuit.abandoned()
            else:
                self._circuit.failed(str(error))
            raise
        except SourceError:
            self._circuit.succeeded()
            raise
        except BaseException:
            self._circuit.abandoned()
            raise
        self._circuit.succeeded()
        return answer

    def _attempts(
        self,
        asking: Asking,
        request: httpx.Request,
        words: str,
        decode: Callable[[bytes], T],
        accept: Collection[int],
        with_auth: bool,
        deadline: Deadline,
    ) -> Answer[T]:
        attempt, refreshed = 0, False
        while True:
            used = self.auth.header(deadline) if with_auth else None
            request.headers.pop("Authorization", None)
            if used is not None:
                request.headers["Authorization"] = used
            attempt += 1
            outcome = self._once(request, decode, accept, attempt, deadline)
            if isinstance(outcome, Answer):
                self._pace(outcome.headers, deadline)
                return outcome
            if outcome.status == 401 and with_auth and not refreshed and self.auth.refused(used):
                refreshed = True
                attempt -= 1
                continue
            wait = self._next_wait(asking, words, outcome, attempt, deadline)
            log.warning(
                "%s: attempt %d: asked %s; came %s; again in %.1f s", asking, attempt, words, outcome.came, wait
            )
            self._rest(wait, deadline)

    def _once(
        self,
        request: httpx.Request,
        decode: Callable[[bytes], T],
        accept: Collection[int],
        attempt: int,
        deadline: Deadline,
    ) -> Answer[T] | _Trouble:
        try:
            with within(deadline):
                response, received = read_whole(self._client.send(request, stream=True))
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpcore.LocalProtocolError) as error:
            return _Trouble(self.redactor(f"no request: {error}"), retried=False)
        except _NO_ANSWER as error:
            text = self.redactor(f"{type(error).__name__} {error}".strip())
            if "CERTIFICATE_VERIFY_FAILED" in text:
                advice = "not retried: make the issuing authority's certificate known (SSL_CERT_FILE)"
                return _Trouble(text, retried=False, advice=advice)
            return _Trouble(f"no whole answer ({text})", retried=True)
        status = response.status_code
        if status not in accept:
            return self._refusal(response, attempt)
        try:
            value = decode(response.content)
        except msgspec.ValidationError as error:
            advice = "not retried: the source answers in another shape than known; report it with this message"
            return _Trouble(
                self.redactor(f"{status}, unexpected: {error}"), retried=False, status=status, advice=advice
            )
        except (msgspec.DecodeError, UnicodeDecodeError, GarbledAnswer) as error:
            told = self.redactor(f"{status} with a body of {len(response.content)} bytes that does not decode: {error}")
            return _Trouble(told, retried=True, status=status)
        return Answer(value, status, response.headers, received)

    def _refusal(self, response: httpx.Response, attempt: int) -> _Trouble:
        status = response.status_code
        told = self.redactor(f'{status} "{said(response.content, self.redactor)}"')
        if status == 401 and (offered := response.headers.get_list("www-authenticate")):
            told += f" (the server offers {self.redactor(', '.join(each.split(' ')[0] for each in offered))})"
        return _Trouble(
            told,
            retried=is_retried(status, attempt),
            status=status,
            retry_after=retry_after_seconds(response.headers.get("retry-after")),
            advice=_ADVICE.get(status, ""),
            not_ready=status == 423,
        )

    def _next_wait(self, asking: Asking, words: str, trouble: _Trouble, attempt: int, deadline: Deadline) -> float:
        """Seconds to the next attempt; raises when there is none."""
        kind: type[SourceError]
        if not trouble.retried:
            # A second 500 in a row is still the server's trouble, not the configuration's.
            kind = SourceUnavailable if trouble.status is not None and trouble.status >= 500 else SourceBroken
            raise kind(asking, asked=words, came=trouble.came, status=trouble.status, what_next=trouble.advice)
        if trouble.retry_after is not None and trouble.retry_after > self.policy.longest_retry_after_seconds:
            raise SourceNotReady(
                asking,
                asked=words,
                came=trouble.came,
                status=trouble.status,
                retry_after_seconds=trouble.retry_after,
                what_next=f"the source asks for {trouble.retry_after:.0f} s of rest: asked again after that",
            )
        wait = wait_seconds(self.policy, attempt) if trouble.retry_after is None else trouble.retry_after
        if deadline.is_cancelled:
            raise SourceUnavailable(
                asking, asked=words, came="a request to stop", what_next="cancelled: nothing of this read is kept"
            )
        if attempt >= self.policy.attempts or deadline.remaining() <= wait:
            kind = SourceNotReady if trouble.not_ready else SourceUnavailable
            raise kind(
                asking,
                asked=words,
                came=f"{trouble.came}, attempt {attempt}",
                status=trouble.status,
                retry_after_seconds=trouble.retry_after,
            )
        return wait

    def _request(
        self,
        asking: Asking,
        method: str,
        url: str,
        params: httpx.QueryParams | Mapping[str, str] | None,
        form: Mapping[str, str] | None,
        content: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> httpx.Request:
        try:
            request = self._client.build_request(
                method, url, params=params, data=cast(Any, form), content=content, headers=cast(Any, headers)
            )
        except httpx.InvalidURL as error:
            raise SourceBroken(asking, asked=self.redactor(f"{method} {url}"), came=f"no address: {error}") from None
        if params is None:
            # A link that a server gave is opaque: httpx would re-encode parts of it.
            parts = urlsplit(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            if _TARGET.fullmatch(target):
                request.extensions["target"] = target.encode("ascii")
        return request

    def _pace(self, headers: httpx.Headers, deadline: Deadline) -> None:
        """Slow down when less than a fifth of the allowance is left (sources.md B.5)."""
        try:
            limit, left = float(headers["ratelimit-limit"]), float(headers["ratelimit-remaining"])
            reset = float(headers["ratelimit-reset"])
        except (KeyError, ValueError):
            return
        if limit > 0.0 and left / limit < 0.2:
            self._rest(max(0.0, min(reset / max(left, 1.0), 5.0, deadline.remaining())), deadline)

    def _rest(self, seconds: float, deadline: Deadline) -> None:
        if self._sleep is not None:
            self._sleep(seconds)
        else:
            deadline.wait(seconds)


def origin(address: str) -> str:
    """Scheme, host and port of an address, without a path, a user or a query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or {'https': 443, 'http': 80}.get(parts.scheme)}"


def same_origin(link: str, base_url: str) -> bool:
    """Whether a link of an answer leads to the host that was configured: only there may the credentials go."""
    return origin(link) == origin(base_url)
