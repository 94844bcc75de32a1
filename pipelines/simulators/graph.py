"""Microsoft Graph over a replayed SharePoint site: token, site, throttling headers, and the controllers.

Error bodies, identifiers and header names follow Graph v1.0.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.simulators.faults import Faults
from pipelines.simulators.graph_drive import DownloadLinks, DriveControllers
from pipelines.simulators.graph_lists import ListControllers
from pipelines.simulators.replay_sharepoint import NAMESPACE, SharePointReplay
from pipelines.simulators.server_app import System
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_http import Refusal, Reply, Request
from pipelines.simulators.server_oauth import ClientCredentials, TokenIssuer

BASE = "/v1.0"
WINDOW_SECONDS = 60.0
CODES: dict[int, tuple[str, str]] = {
    400: ("invalidRequest", "Invalid request"),
    401: ("InvalidAuthenticationToken", "Access token is empty or expired."),
    403: ("accessDenied", "Access denied"),
    404: ("itemNotFound", "The resource could not be found."),
    405: ("invalidRequest", "The method is not allowed."),
    409: ("nameAlreadyExists", "The specified item name already exists."),
    410: ("resyncChangesApplyDifferences", "Resync required. Replace any local items with the server's version."),
    412: ("preconditionFailed", "ETag does not match current item's value"),
    423: ("locked", "The resource you are attempting to access is locked"),
    429: ("activityLimitReached", "The request has been throttled"),
    500: ("generalException", "General exception while processing"),
    503: ("serviceNotAvailable", "The service is temporarily unavailable."),
    504: ("timeout", "The request has timed out."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSite:
    """The one site served: tenant, host, path and the identifiers made from them."""

    tenant: str
    host: str
    path: str = "/sites/production"

    @property
    def site_id(self) -> str:
        """``host,site collection,web``."""
        collection = uuid.uuid5(NAMESPACE, f"collection:{self.host}{self.path}")
        return f"{self.host},{collection},{uuid.uuid5(NAMESPACE, f'web:{self.host}{self.path}')}"

    @property
    def drive_id(self) -> str:
        """The document library's identifier."""
        return f"b!{uuid.uuid5(NAMESPACE, f'drive:{self.host}{self.path}').hex}"

    @property
    def web_url(self) -> str:
        """Where a person would look."""
        return f"https://{self.host}{self.path}"


class Graph(System):
    """The system. ``units_per_minute`` is the application's quota; headers tell of it when a fifth or less remains."""

    name = "microsoft-graph"

    def __init__(
        self,
        replay: SharePointReplay,
        site: GraphSite,
        credentials: ClientCredentials,
        *,
        links: DownloadLinks,
        clock: Clock | None = None,
        faults: Faults | None = None,
        units_per_minute: int = 1200,
    ) -> None:
        super().__init__(clock=clock, faults=faults)
        self.replay = replay
        self.site = site
        self.units_per_minute = units_per_minute
        self.tokens = TokenIssuer(credentials)
        self._lock = threading.Lock()
        self._window = (time.monotonic(), 0)
        tenant = re.escape(site.tenant)
        self.token_path = re.compile(rf"/{tenant}/(?:oauth2/v2\.0/token|v2\.0/\.well-known/openid-configuration)")
        self.routes.add("POST", rf"/{tenant}/oauth2/v2\.0/token", self._token)
        self.routes.add("GET", rf"/{tenant}/v2\.0/\.well-known/openid-configuration", self._discovery)
        this = f"{BASE}/sites/{re.escape(site.site_id)}"
        self.routes.add("GET", f"{BASE}/sites/{re.escape(site.host)}:{re.escape(site.path)}:?", self._site)
        self.routes.add("GET", this, self._site)
        self.routes.add("GET", f"{BASE}/sites", self._sites)
        ListControllers(self, this, self.routes)
        DriveControllers(self, this, self.routes, links)

    def error(self, status: int, message: str = "", code: str = "") -> Reply:
        """Graph's error body."""
        known, phrase = CODES.get(status, ("generalException", f"status {status}"))
        request_id = str(uuid.uuid4())
        inner: dict[str, Any] = {
            "date": self.clock.now().strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": request_id,
            "client-request-id": request_id,
        }
        if status == 429:
            inner = {"code": "throttledRequest", "innerError": {"code": "quota"}, **inner}
        content = {"error": {"code": code or known, "message": message or phrase, "innerError": inner}}
        reply = Reply.json(content, status, [("request-id", request_id)])
        if status == 401:
            reply.headers.append(("WWW-Authenticate", 'Bearer realm="", authorization_uri="", client_id=""'))
        return reply

    def admit(self, request: Request) -> None:
        """Everything but the token endpoint needs a bearer and spends quota."""
        if self.token_path.fullmatch(request.path):
            return
        if not self.tokens.accepts(request.headers.get("authorization", "")):
            raise Refusal(self.error(401))

    def answer(self, request: Request) -> Reply:
        """The reply, with the quota's headers."""
        if self.token_path.fullmatch(request.path):
            return super().answer(request)
        remaining, reset = self._spend(request)
        if remaining < 0:
            reply = self.error(429)
            reply.headers.append(("Retry-After", str(reset)))
        else:
            reply = super().answer(request)
        if remaining <= self.units_per_minute // 5:
            reply.headers += [
                ("RateLimit-Limit", str(self.units_per_minute)),
                ("RateLimit-Remaining", str(max(0, remaining))),
                ("RateLimit-Reset", str(reset)),
            ]
        return reply

    def renew_quota(self) -> None:
        """Begin a new window, as if a minute had passed."""
        with self._lock:
            self._window = (time.monotonic(), 0)

    def _spend(self, request: Request) -> tuple[int, int]:
        """Units that remain after this request (negative: throttled) and seconds to the next window."""
        cost = 2 if "/items" in request.path and "token=" not in request.target else 1
        with self._lock:
            started, spent = self._window
            now = time.monotonic()
            if now - started >= WINDOW_SECONDS:
                started, spent = now, 0
            self._window = started, spent + cost
            return self.units_per_minute - spent - cost, max(1, round(started + WINDOW_SECONDS - now))

    def _token(self, request: Request, _: Mapping[str, str]) -> Reply:
        fault = self.tokens.fault_of(request.form())
        if fault is not None:
            described = {
                "invalid_client": ("AADSTS7000215: Invalid client secret provided.", 7000215),
                "invalid_scope": ("AADSTS1002012: The provided value for scope is not valid.", 1002012),
            }.get(fault, ("AADSTS70003: The app requested an unsupported grant type.", 70003))
            content = {
                "error": fault,
                "error_description": described[0],
                "error_codes": [described[1]],
                "timestamp": self.clock.now().strftime("%Y-%m-%d %H:%M:%SZ"),
                "trace_id": str(uuid.uuid4()),
                "correlation_id": str(uuid.uuid4()),
            }
            return Reply.json(content, 401 if fault == "invalid_client" else 400)
        lifetime = int(self.tokens.lifetime.total_seconds()) - 1
        expiry = {"expires_in": lifetime, "ext_expires_in": lifetime}
        return Reply.json({"token_type": "Bearer", **expiry, "access_token": self.tokens.issue()})

    def _discovery(self, request: Request, _: Mapping[str, str]) -> Reply:
        authority = f"{request.origin}/{self.site.tenant}"
        content = {
            "token_endpoint": f"{authority}/oauth2/v2.0/token",
            "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
            "issuer": f"{authority}/v2.0",
        }
        return Reply.json(content)

    def _sites(self, request: Request, _: Mapping[str, str]) -> Reply:
        """The search: every word of it, ``*`` for all, must begin a word of the site's name."""
        wanted = (request.first("search") or "").strip('"').lower().rstrip("*")
        content = self._site_content()
        names = f"{content['name']} {content['displayName']}".lower().split()
        found = all(any(name.startswith(word) for name in names) for word in wanted.split())
        return Reply.json({"value": [content] if found else []})

    def _site(self, request: Request, _: Mapping[str, str]) -> Reply:
        context = {"@odata.context": f"{request.origin}{BASE}/$metadata#sites/$entity"}
        return Reply.json(context | self._site_content())

    def _site_content(self) -> dict[str, Any]:
        return {
            "id": self.site.site_id,
            "name": self.site.path.rsplit("/", 1)[-1],
            "displayName": "Production",
            "webUrl": self.site.web_url,
            "siteCollection": {"hostname": self.site.host},
        }
