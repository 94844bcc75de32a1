"""Energy Components over REST, in this project's own declared profile: no public description of EC's paths exists.

Keycloak's client credentials in front; behind them one path per view, paged. The profile's only claim is to be
consistent: what a site's real gateway does is a matter of its configuration.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Literal
from urllib.parse import quote, urlencode

import polars as pl

from pipelines.simulators.faults import Faults
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay, View
from pipelines.simulators.server_app import System
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_http import Refusal, Reply, Request
from pipelines.simulators.server_oauth import ClientCredentials, TokenIssuer

Paging = Literal["offset", "page", "next_link", "none"]

BASE = "/ec/api/v1"
TOKEN = "/auth/realms/ec/protocol/openid-connect/token"
DEFAULT_LIMIT = 1000
LARGEST_LIMIT = 10_000


class EnergyComponentsRest(System):
    """Serves ``GET {BASE}/views/{VIEW}?from_day=&to_day=&…`` as ``{"items": […], "total": n, "next": url|null}``.

    ``updated_since``, an ISO instant: only rows last updated at that instant or after it.

    ``paging``: ``offset`` (offset, limit), ``page`` (page from 1, page_size), ``next_link`` (only an opaque link; limit
    on the first call), ``none`` (all at once). Dates are ``YYYY-MM-DD``, facility-local times ``YYYY-MM-DDTHH:MM:SS``,
    instants end in Z, missing values are null. ``to_day`` is exclusive.
    """

    name = "energy-components-rest"

    def __init__(
        self,
        replay: EnergyComponentsReplay,
        credentials: ClientCredentials,
        *,
        clock: Clock | None = None,
        faults: Faults | None = None,
        paging: Paging = "offset",
    ) -> None:
        super().__init__(clock=clock, faults=faults)
        self.replay = replay
        self.paging: Paging = paging
        self.tokens = TokenIssuer(credentials)
        self.routes.add("POST", TOKEN, self._token)
        self.routes.add("GET", f"{BASE}/views", self._views)
        self.routes.add("GET", f"{BASE}/views/(?P<view>[^/]+)", self._rows)
        self.routes.add("GET", f"{BASE}/views/(?P<view>[^/]+)/columns", self._columns)

    def error(self, status: int, message: str = "") -> Reply:
        """This profile's error body."""
        return Reply.json({"status": status, "message": message or f"status {status}"}, status)

    def admit(self, request: Request) -> None:
        """Everything but the token endpoint needs a bearer."""
        if request.path == TOKEN or self.tokens.accepts(request.headers.get("authorization", "")):
            return
        reply = self.error(401, "a valid bearer token is required")
        reply.headers.append(("WWW-Authenticate", 'Bearer realm="ec", error="invalid_token"'))
        raise Refusal(reply)

    def _token(self, request: Request, _: Mapping[str, str]) -> Reply:
        fault = self.tokens.fault_of(request.form(), _basic(request))
        if fault is not None:
            status = 401 if fault == "invalid_client" else 400
            return Reply.json(
                {"error": fault, "error_description": "Invalid client or Invalid client credentials"}, status
            )
        content = {
            "access_token": self.tokens.issue(),
            "expires_in": int(self.tokens.lifetime.total_seconds()),
            "refresh_expires_in": 0,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "scope": request.form().get("scope", ""),
        }
        return Reply.json(content, headers=[("Cache-Control", "no-store")])

    def _views(self, _: Request, __: Mapping[str, str]) -> Reply:
        return Reply.json({"items": sorted(self.replay.views)})

    def _columns(self, _: Request, parameters: Mapping[str, str]) -> Reply:
        view = self._view(parameters["view"])
        return Reply.json({"items": [{"name": name, "type": str(dtype)} for name, dtype in view.columns.items()]})

    def _view(self, name: str) -> View:
        view = self.replay.views.get(name.upper())
        if view is None:
            raise Refusal(self.error(404, f"no view {name}"))
        return view

    def _rows(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        view = self._view(parameters["view"])
        frame = view.between(self.clock.now(), self._day(request, "from_day"), self._day(request, "to_day"))
        since = self._instant(request, "updated_since")
        if since is not None:
            if view.updated_column is None:
                raise Refusal(self.error(400, f"{view.name} does not say when its rows were updated"))
            frame = view.updated_since(frame, since)
        frame = self._spoilt(frame, request)
        total = frame.height
        offset, limit = self._window(request, total)
        start = offset
        if offset and self.faults.data("duplicated_page", request.method, request.target):
            start = max(0, offset - limit)
        if self.faults.data("missing_page", request.method, request.target):
            start = offset + limit
        page = frame.slice(start, limit)
        self.counts.add("rows", page.height)
        following = offset + limit if start <= offset else start + limit
        link = self._link(request, following, limit) if self.paging != "none" and following < total else None
        body = b'{"items":%b,"total":%d,"next":%b}' % (
            rows_as_json(page),
            total,
            b"null" if link is None else b'"' + link.encode() + b'"',
        )
        return Reply(body=body)

    def _day(self, request: Request, name: str) -> date | None:
        text = request.first(name)
        if not text:
            return None
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            raise Refusal(self.error(400, f"{name} must be an ISO date, not {text!r}")) from None

    def _instant(self, request: Request, name: str) -> datetime | None:
        text = request.first(name)
        if not text:
            return None
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise Refusal(self.error(400, f"{name} must be an ISO instant, not {text!r}")) from None
        return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)

    def _number(self, request: Request, name: str, default: int, lowest: int) -> int:
        text = request.first(name)
        if text is None or text == "":
            return default
        if not text.isdecimal() or int(text) < lowest:
            raise Refusal(self.error(400, f"{name} must be a whole number of at least {lowest}, not {text!r}"))
        return int(text)

    def _window(self, request: Request, total: int) -> tuple[int, int]:
        if self.paging == "none":
            return 0, max(total, 1)
        size_name = "page_size" if self.paging == "page" else "limit"
        limit = self._number(request, size_name, DEFAULT_LIMIT, 1)
        if limit > LARGEST_LIMIT:
            raise Refusal(self.error(400, f"{size_name} may be at most {LARGEST_LIMIT}, not {limit}"))
        if self.paging == "page":
            return (self._number(request, "page", 1, 1) - 1) * limit, limit
        if self.paging == "next_link":
            cursor = request.first("cursor")
            return (_offset_of(cursor, self) if cursor else 0), limit
        return self._number(request, "offset", 0, 0), limit

    def _link(self, request: Request, following: int, limit: int) -> str:
        moved = {"offset", "limit", "page", "page_size", "cursor"}
        query = [(name, value) for name, value in request.query if name.lower() not in moved]
        if self.paging == "page":
            query += [("page", str(following // limit + 1)), ("page_size", str(limit))]
        elif self.paging == "next_link":
            query += [("limit", str(limit)), ("cursor", base64.urlsafe_b64encode(f"row:{following}".encode()).decode())]
        else:
            query += [("offset", str(following)), ("limit", str(limit))]
        return f"{request.origin}{quote(request.path)}?{urlencode(query)}"

    def _spoilt(self, frame: pl.DataFrame, request: Request) -> pl.DataFrame:
        """The rows under the data faults that are armed: a column in another unit, renamed, or edited."""
        for kind in ("wrong_unit", "edited_history"):
            fault = self.faults.data(kind, request.method, request.target)
            if fault is not None and fault.column in frame.columns:
                frame = frame.with_columns(pl.col(fault.column) * fault.factor)
        drift = self.faults.data("schema_drift", request.method, request.target)
        if drift is not None and drift.column in frame.columns:
            frame = frame.rename({drift.column: f"{drift.column}_NEW"})
        return frame


def rows_as_json(frame: pl.DataFrame) -> bytes:
    """The rows as a JSON array of objects."""
    if frame.is_empty():
        return b"[]"
    written = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if isinstance(dtype, pl.Datetime):
            form = "%Y-%m-%dT%H:%M:%S" if dtype.time_zone is None else "%Y-%m-%dT%H:%M:%SZ"
            written.append(column.dt.strftime(form))
        elif dtype == pl.Date:
            written.append(column.dt.strftime("%Y-%m-%d"))
        elif dtype.is_float():
            written.append(column.fill_nan(None))
    return frame.with_columns(written).write_json().encode()


def _offset_of(cursor: str, system: EnergyComponentsRest) -> int:
    try:
        label, _, row = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if label == "row":
            return int(row)
    except ValueError:
        pass
    raise Refusal(system.error(400, "the cursor is not one of this server's"))


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return user, password
