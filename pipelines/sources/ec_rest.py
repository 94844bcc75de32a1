"""Energy Components over HTTP, as the site's mapping describes it.

No public description of EC's paths, paging or payloads exists, so none stands here: path, parameters, pointers, paging
and fields are configuration. What is fixed is that a read is whole: counted where the answer counts, else read until empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urljoin

import httpx
import msgspec

from pipelines.sources.cast import cast_to_canonical, pointed
from pipelines.sources.circuit import CircuitStatus
from pipelines.sources.config import EcRestConfig
from pipelines.sources.energy_components import SOURCE, asking_for, mapped, no_changes, tidy
from pipelines.sources.errors import Asking, SourceBroken, SourceError, SourceNotReady
from pipelines.sources.extract import Extract, OnProgress, Progress, no_progress
from pipelines.sources.http import GarbledAnswer, Http, same_origin
from pipelines.sources.http_auth import Anonymous, Auth, ClientCredentials
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.mapping import ColumnMapping, DatasetMapping, RestMapping

# A read that grew or shrank while it was paged is begun again this often.
_WHOLE_READS = 2
_TEMPLATE = re.compile(r"\{(\w+)\}")


class _NotWhole(Exception):
    """The pages of one read do not make one answer."""


class _Page(NamedTuple):
    rows: list[dict[str, Any]]
    total: int | None
    next_link: str | None


class EcRest:
    """One EC gateway. Thread-safe. Close it, or use it as a context manager. `zone` is that of naive instants."""

    def __init__(
        self,
        config: EcRestConfig,
        datasets: Mapping[str, DatasetMapping],
        *,
        zone: str = "UTC",
        on_progress: OnProgress = no_progress,
        policy: HttpPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._datasets = dict(datasets)
        self._zone = zone
        self._on_progress = on_progress
        self._base_url = config.base_url.rstrip("/")
        policy = policy or HttpPolicy.for_timeout(config.timeout_seconds)
        self._token_http = Http(
            SOURCE,
            policy=policy,
            transport=transport,
            sleep=sleep,
            connections=1,
            address=config.token_url,
            purpose="access token",
        )
        auth: Auth = Anonymous()
        if config.token_url:
            auth = ClientCredentials(
                self._token_http,
                token_url=config.token_url,
                client_id=config.client_id,
                client_secret=config.client_secret,
                scope=config.scope,
            )
        self._http = Http(
            SOURCE,
            auth=auth,
            policy=policy,
            transport=transport,
            redactor=self._token_http.redactor,
            sleep=sleep,
            address=config.base_url,
        )

    def __enter__(self) -> EcRest:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._token_http.close()

    def cancel(self) -> None:
        """Make every read of this client end soon with SourceUnavailable."""
        self._http.cancelled.set()
        self._token_http.cancelled.set()

    @property
    def circuit(self) -> CircuitStatus:
        """How this source's circuit stands in this process."""
        return self._http.circuit

    def read(self, dataset: str, first: date, last: date) -> Extract:
        """See EnergyComponents.read."""
        mapping = mapped(self._datasets, dataset, first, last)
        asking = asking_for(dataset, first, last)
        rest = _rest_of(mapping, asking)
        return self._whole(asking, mapping, rest, _filled(rest.params, first, last), first, last)

    def tells_changes(self, dataset: str) -> bool:
        """See EnergyComponents.tells_changes."""
        rest = self._datasets[dataset].rest if dataset in self._datasets else None
        return rest is not None and bool(rest.changes_params)

    def changes(self, dataset: str, since: datetime, first: date, last: date) -> Extract:
        """See EnergyComponents.changes."""
        mapping = mapped(self._datasets, dataset, first, last)
        asking = asking_for(dataset, first, last)
        rest = _rest_of(mapping, asking)
        if not rest.changes_params:
            raise no_changes(mapping, asking)
        params = _filled(rest.changes_params, first, last, since)
        return self._whole(asking, mapping, rest, params, first, last)

    def _whole(
        self,
        asking: Asking,
        mapping: DatasetMapping,
        rest: RestMapping,
        params: Mapping[str, str],
        first: date,
        last: date,
    ) -> Extract:
        request = f"GET {self._url(rest)}?{httpx.QueryParams(params)}"
        for attempt in range(1, _WHOLE_READS + 1):
            try:
                rows, pages, received = self._rows(asking, rest, params, is_keyed=bool(mapping.key))
                break
            except _NotWhole as error:
                if attempt == _WHOLE_READS:
                    raise SourceNotReady(
                        asking,
                        asked=request,
                        came=str(error),
                        what_next=f"nothing of this read is kept, asked again later; if it stays, check that the "
                        f"gateway pages by {rest.paging} as the mapping says",
                    ) from None
        _check_columns(asking, request, rows, mapping.columns)
        frame, rejected = cast_to_canonical(rows, mapping.columns, zone=self._zone)
        frame, warnings = tidy(mapping, frame, first, last)
        return Extract(frame, rejected=rejected, request=request, pages=pages, bytes=received, warnings=tuple(warnings))

    def preflight(self) -> list[str]:
        """Asks for one row of one day of each dataset; an absent column shows only where there is a row."""
        faults: list[str] = []
        # A closed day of long ago or none at all: the answer's shape is what counts.
        day = date(2000, 1, 1)
        for name, mapping in self._datasets.items():
            asking = Asking(SOURCE, name, "preflight")
            try:
                rest = _rest_of(mapping, asking)
                params = _filled(rest.params, day, day)
                if rest.paging != "none":
                    params = {**params, rest.size_param: "1"}
                page = self._page(asking, rest, self._url(rest), httpx.QueryParams(params)).value
                _check_columns(asking, f"GET {self._url(rest)}", page.rows, mapping.columns)
            except SourceError as error:
                faults.append(str(error))
        return faults

    def _url(self, rest: RestMapping) -> str:
        return f"{self._base_url}/{rest.path.lstrip('/')}"

    def _rows(
        self, asking: Asking, rest: RestMapping, params: Mapping[str, str], *, is_keyed: bool
    ) -> tuple[list[dict[str, Any]], int, int]:
        """All rows, and the pages and bytes that they took. Raises _NotWhole when rows are missing or came twice."""
        rows: list[dict[str, Any]] = []
        pages = received = 0
        total: int | None = None
        url, query = self._url(rest), httpx.QueryParams(dict(params))
        if rest.paging != "none":
            query = query.set(rest.size_param, str(rest.page_size))
        place: httpx.QueryParams | None = query
        seen: set[str] = set()
        before: list[dict[str, Any]] | None = None
        while True:
            if place is not None and rest.paging == "offset":
                place = query.set(rest.offset_param, str(len(rows)))
            elif place is not None and rest.paging == "page":
                place = query.set(rest.page_param, str(rest.first_page + pages))
            answer = self._page(asking, rest, url, place)
            page = answer.value
            pages += 1
            received += answer.bytes
            total = page.total if page.total is not None else total
            if page.rows and page.rows == before:
                raise _NotWhole(f"page {pages} with the rows of the page before it")
            rows += page.rows
            before = page.rows
            self._on_progress(Progress(SOURCE, asking.dataset, len(rows), pages, received))
            if rest.paging == "next_link":
                if page.next_link is None:
                    break
                url, place = self._next(asking, url, page.next_link, seen), None
            # A gateway may cap its pages: a short page is no proof of the end, an empty one or the count is.
            elif rest.paging == "none" or not page.rows or (total is not None and len(rows) >= total):
                break
        if total is not None and total != len(rows):
            raise _NotWhole(f"{len(rows)} rows in {pages} pages where the answer counts {total}")
        if is_keyed and pages > 1 and len({msgspec.json.encode(row) for row in rows}) < len(rows):
            # Pages that shift give one row twice and, where the count agrees, another not at all.
            raise _NotWhole(f"{len(rows)} rows in {pages} pages with whole rows repeated")
        return rows, pages, received

    def _next(self, asking: Asking, url: str, link: str, seen: set[str]) -> str:
        following = urljoin(url, link)
        if not same_origin(following, self._base_url) or following in seen:
            came = "a link that it had given before" if following in seen else "a link to another host"
            raise SourceBroken(
                asking,
                asked=f"the page after {self._http.redactor(url)}",
                came=came,
                what_next="not retried: the credentials go to the configured host only; check base_url and the paging",
            )
        seen.add(following)
        return following

    def _page(self, asking: Asking, rest: RestMapping, url: str, params: httpx.QueryParams | None) -> Any:
        def decode(body: bytes) -> _Page:
            content = msgspec.json.decode(body)
            rows = pointed(content, rest.items_pointer) if rest.items_pointer else content
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise GarbledAnswer(f"no list of rows at {rest.items_pointer or 'the top'}")
            total = pointed(content, rest.total_pointer) if rest.total_pointer else None
            link = pointed(content, rest.next_pointer) if rest.next_pointer else None
            return _Page(
                rows,
                total if isinstance(total, int) and not isinstance(total, bool) else None,
                link if isinstance(link, str) and link else None,
            )

        return self._http.ask(asking, url, params=params, decode=decode)


def _rest_of(mapping: DatasetMapping, asking: Asking) -> RestMapping:
    if mapping.rest is None:
        raise SourceBroken(
            asking,
            asked=f"dataset {mapping.name} over REST",
            came="a mapping without a rest table",
            what_next="not retried: add [datasets." + mapping.name + ".rest] to energy_components.toml",
        )
    return mapping.rest


def _filled(params: Mapping[str, str], first: date, last: date, since: datetime | None = None) -> dict[str, str]:
    days = {
        "from_day": first.isoformat(),
        "to_day": (last + timedelta(days=1)).isoformat(),
        "last_day": last.isoformat(),
    }
    if since is not None:
        days["since"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {name: _TEMPLATE.sub(lambda found: days[found[1]], value) for name, value in params.items()}


def _check_columns(
    asking: Asking, request: str, rows: list[dict[str, Any]], columns: tuple[ColumnMapping, ...]
) -> None:
    """A mapped column that no row has is a changed schema, not a null."""
    if not rows:
        return
    absent = [
        column.source
        for column in columns
        if column.source and not column.optional and not any(_has(row, column.source) for row in rows)
    ]
    if absent:
        had = ", ".join(sorted(rows[0]))
        raise SourceBroken(
            asking,
            asked=f"{request} with columns {', '.join(absent)}",
            came=f"rows without them; they have {had if len(had) <= 400 else had[:399] + '…'}",
            what_next="not retried: correct energy_components.toml, or mark the column optional",
        )


def _has(row: dict[str, Any], source: str) -> bool:
    if source.startswith("/"):
        parent, _, name = source.rpartition("/")
        holder = pointed(row, parent) if parent else row
        return isinstance(holder, dict) and name in holder
    return source in row
