"""A PI Web API server over a replayed archive: authentication, cross-site defence, limits, and the controllers.

Behaviour and error bodies follow the vendor's documentation, 2017 R2 to 2023 SP2.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from pipelines.simulators.faults import Fault, Faults
from pipelines.simulators.pi_web_api_batch import run_batch
from pipelines.simulators.pi_web_api_context import BASE, PiContext, PiLimits, errors, url
from pipelines.simulators.pi_web_api_points import PointControllers
from pipelines.simulators.pi_web_api_streams import StreamControllers
from pipelines.simulators.pi_web_api_updates import UpdateControllers
from pipelines.simulators.replay_pi import PiReplay
from pipelines.simulators.server_app import System
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_http import HTML, TEXT, Refusal, Reply, Request
from pipelines.simulators.server_oauth import ClientCredentials, TokenIssuer

Authentication = Literal["Basic", "Bearer", "Anonymous"]

LONGEST_URL = 16 * 1024
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
TOKEN = f"{BASE}/identity/connect/token"
DISCOVERY = f"{BASE}/.well-known/openid-configuration"
INVALID_URL = (
    b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN""http://www.w3.org/TR/html4/strict.dtd">\r\n'
    b"<HTML><HEAD><TITLE>Bad Request</TITLE></HEAD>\r\n<BODY><h2>Bad Request - Invalid URL</h2>\r\n"
    b"<hr><p>HTTP Error 400. The request URL is invalid.</p>\r\n</BODY></HTML>\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PiAccess:
    """How callers authenticate: a Basic user, a Bearer client, or anyone."""

    method: Authentication = "Basic"
    username: str = ""
    password: str = ""
    client: ClientCredentials | None = None


class PiWebApi(System):
    """The system; ``context.limits`` may be changed while it serves."""

    name = "pi-web-api"
    longest_target = LONGEST_URL

    def __init__(
        self,
        replay: PiReplay,
        access: PiAccess,
        *,
        clock: Clock | None = None,
        faults: Faults | None = None,
        zone: ZoneInfo | None = None,
        limits: PiLimits | None = None,
        server_name: str = "PISRV01",
    ) -> None:
        super().__init__(clock=clock, faults=faults, ignore_case=True)
        self.access = access
        self.context = PiContext(
            replay=replay,
            clock=self.clock,
            faults=self.faults,
            server_name=server_name,
            zone=zone or ZoneInfo("UTC"),
            limits=limits or PiLimits(),
            counts=self.counts,
        )
        self.tokens = TokenIssuer(access.client or ClientCredentials("", ""))
        self.routes.add("GET", DISCOVERY.replace(".", r"\."), self._discovery)
        self.routes.add("POST", TOKEN, self._token)
        self.routes.add("POST", f"{BASE}/batch", lambda request, _: run_batch(request, self.answer))
        PointControllers(self.context, self.routes)
        StreamControllers(self.context, self.routes)
        self.updates = UpdateControllers(self.context, self.routes)

    def error(self, status: int, message: str = "") -> Reply:
        """The carrier that the vendor's layers use for ``status``: JSON of its own, of ASP.NET, plain text or HTML."""
        if status == 401:
            return self._unauthorised()
        if status == 429:
            return Reply(status=429, body=b"Rate limit was reached", content_type=TEXT)
        if status in (502, 503, 504):
            body = f"<html><body><h1>{status} {message or 'The service is unavailable.'}</h1></body></html>"
            return Reply(status=status, body=body.encode(), content_type=HTML)
        if status == 404:
            return Reply.json({"Message": message or "No HTTP resource was found that matches the request URI."}, 404)
        if status in (403, 405):
            return Reply.json({"Message": message or "Authorization has been denied for this request."}, status)
        return errors(status, message or "An error has occurred on the server.")

    def too_long(self) -> Reply:
        """HTTP.sys cuts the request before PI Web API sees it."""
        return Reply(status=400, body=INVALID_URL, content_type=HTML)

    def admit(self, request: Request) -> None:
        """Authentication first, then the cross-site defence, then the size of the body."""
        path = request.path.lower()
        is_identity = path in (DISCOVERY, TOKEN)
        if not is_identity and not self._is_known(request):
            raise Refusal(self._unauthorised())
        limits = self.context.limits
        guarded = limits.csrf_defence and request.method in CHANGING and not is_identity
        if guarded and not request.headers.get("x-requested-with"):
            message = "Missing required header X-Requested-With: cross-site request forgery defence is enabled."
            raise Refusal(errors(403, message))
        if len(request.body) > limits.max_body_bytes:
            raise Refusal(Reply(status=413, body=b"Request Entity Too Large", content_type=TEXT))

    def _is_known(self, request: Request) -> bool:
        authorization = request.headers.get("authorization", "")
        if self.access.method == "Anonymous":
            return True
        if self.access.method == "Bearer":
            return self.tokens.accepts(authorization)
        expected = base64.b64encode(f"{self.access.username}:{self.access.password}".encode()).decode()
        scheme, _, value = authorization.partition(" ")
        return scheme.lower() == "basic" and value.strip() == expected

    def _unauthorised(self) -> Reply:
        reply = Reply.json({"Message": "Authorization has been denied for this request."}, 401)
        if self.access.method == "Bearer":
            reply.headers.append(("WWW-Authenticate", "Bearer"))
        else:
            reply.headers += [("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", 'Basic realm="pi-web-api"')]
        return reply

    def _discovery(self, request: Request, _: Mapping[str, str]) -> Reply:
        if self.access.method != "Bearer":
            raise Refusal(self.error(404))
        content = {
            "issuer": url(request, "identity"),
            "token_endpoint": f"{request.origin}{TOKEN}",
            "grant_types_supported": ["client_credentials"],
            "scopes_supported": ["system", "openid"],
        }
        return Reply.json(content)

    def _token(self, request: Request, _: Mapping[str, str]) -> Reply:
        fault = self.tokens.fault_of(request.form())
        if fault is not None:
            return Reply.json({"error": fault}, 400)
        lifetime = int(self.tokens.lifetime.total_seconds())
        content = {
            "access_token": self.tokens.issue(),
            "expires_in": lifetime,
            "token_type": "Bearer",
            "scope": "system",
        }
        return Reply.json(content)


def web_exception(*, path: str = "/recorded", times: int | None = 1) -> Fault:
    """A failure after the headers were sent: status 200, and the error at the top of the body."""
    body = '{"WebException":{"StatusCode":500,"Errors":["The archive stopped answering."]}}'
    return Fault(kind="status", status=200, body=body, path=path, times=times)
