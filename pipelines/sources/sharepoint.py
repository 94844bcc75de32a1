"""SharePoint through Microsoft Graph: lists by display names, changes to them, workbooks of the drive.

Pages are followed by the link that Graph gave, untouched and only on the configured host. There is no `$filter`: it needs
indexed columns, fails over the view threshold and has silently returned nothing (sources.md B.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urljoin, urlsplit

import httpx
import msgspec

from pipelines.sources.cast import cast_to_canonical
from pipelines.sources.circuit import CircuitStatus
from pipelines.sources.config import SharePointConfig
from pipelines.sources.errors import Asking, SourceBroken, SourceNotReady, SourceUnavailable
from pipelines.sources.extract import Extract, OnProgress, Progress, no_progress
from pipelines.sources.http import GarbledAnswer, Http, same_origin
from pipelines.sources.http_auth import ClientCredentials
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.mapping import ColumnMapping, ListMapping, WorkbookMapping
from pipelines.sources.payloads_graph import DriveItem, ListColumns, ListItem, ListItems, Site
from pipelines.sources.sharepoint_columns import as_mappings, field_names, resolve
from pipelines.sources.sharepoint_workbook import SheetFault, is_whole_workbook, read_sheet

SOURCE = "SharePoint"
# Graph's default page; larger ones are throttled sooner.
PAGE_ITEMS = 200
# Pages that lead back to one that was read already are begun again this often.
_WHOLE_READS = 2
# A download link is valid for minutes; one that has gone stale is asked for once more.
_DOWNLOADS = 2
_ITEM_ID = ColumnMapping(canonical="item_id", source="/id", type="text")

Columns = Mapping[str, str | ColumnMapping] | Sequence[ColumnMapping]
T = TypeVar("T")


@dataclass(frozen=True)
class ListChanges:
    """Changed items, ids of deleted ones, and the link for next time: store it once the changes are committed.

    `is_full` says that `extract` holds the whole list (a first read, or Graph has forgotten the old link). `fields` are
    those that the link asks for: give them back with it.
    """

    extract: Extract
    deleted: tuple[str, ...]
    delta_link: str
    is_full: bool
    fields: str = ""


class GraphClient:
    """One SharePoint site. Close it, or use it as a context manager. `zone` is the site's: date-only columns hold its
    midnights.
    """

    def __init__(
        self,
        config: SharePointConfig,
        *,
        zone: str = "UTC",
        on_progress: OnProgress = no_progress,
        policy: HttpPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._config = config
        self._zone = zone
        self._on_progress = on_progress
        self._base_url = config.graph_base_url.rstrip("/")
        policy = policy or HttpPolicy.for_timeout(config.timeout_seconds)
        self._token_http = Http(
            SOURCE,
            policy=policy,
            transport=transport,
            sleep=sleep,
            connections=1,
            address=config.authority,
            purpose="access token",
        )
        auth = ClientCredentials(
            self._token_http,
            token_url=f"{config.authority.rstrip('/')}/{quote(config.tenant_id, safe='')}/oauth2/v2.0/token",
            client_id=config.client_id,
            client_secret=config.client_secret,
            scope=config.graph_scope,
        )
        self._http = Http(
            SOURCE,
            auth=auth,
            policy=policy,
            transport=transport,
            redactor=self._token_http.redactor,
            sleep=sleep,
            address=config.graph_base_url,
        )
        self._site_id = ""

    def __enter__(self) -> GraphClient:
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

    def read(self, mapping: ListMapping | WorkbookMapping) -> Extract:
        """The dataset that a site's mapping describes."""
        if isinstance(mapping, ListMapping):
            return self.list_items(mapping.name, mapping.columns, dataset=mapping.dataset)
        return self.workbook(mapping.path, mapping.sheet, mapping.header_row, mapping.columns, dataset=mapping.dataset)

    def list_items(self, list_name: str, columns: Columns, *, dataset: str = "") -> Extract:
        """All items of a list: `item_id` and the mapped columns, one row an item, sorted by item id as a number.

        `columns` maps canonical names to display names. Types are the mapping's where it names one, else the list's;
        a field that an item lacks is null; a date is that of the site's zone. Raises SourceBroken naming the display
        names that the list does not have.
        """
        asking = Asking(SOURCE, dataset or list_name)
        resolved = self._resolved(asking, list_name, as_mappings(columns))
        start = f"{self._list_url(asking, list_name)}/items?{_expand(resolved)}&$top={PAGE_ITEMS}"
        items, tally = self._items(asking, start, f"list {list_name}")
        return self._extract(items.values(), resolved, tally, f"items of list {list_name}")

    def list_whole(self, list_name: str, columns: Columns, *, dataset: str = "") -> ListChanges:
        """All items as `list_items` has them, and the link to what changes from now on.

        The link is taken first: what changes while the items are read comes again, and nothing is lost. The items are not
        taken from the delta query, which has left fields out (sources.md B.3).
        """
        asking = Asking(SOURCE, dataset or list_name)
        resolved = self._resolved(asking, list_name, as_mappings(columns))
        address, fields = f"{self._list_url(asking, list_name)}/items", _expand(resolved)
        _, latest = self._items(
            asking, f"{address}/delta?{fields}&token=latest", f"the latest place in list {list_name}"
        )
        items, tally = self._items(asking, f"{address}?{fields}&$top={PAGE_ITEMS}", f"list {list_name}")
        extract = self._extract(items.values(), resolved, tally, f"items of list {list_name}")
        return ListChanges(extract, (), self._link(asking, list_name, latest), is_full=True, fields=fields)

    def list_changes(
        self, list_name: str, columns: Columns, *, delta_link: str = "", fields: str = "", dataset: str = ""
    ) -> ListChanges:
        """Items changed since `delta_link` was given; without one, or when Graph has forgotten it (410), all items.

        All items too where the list's columns have moved, so that the link no longer asks for `fields` that are needed.
        """
        asking = Asking(SOURCE, dataset or list_name)
        resolved = self._resolved(asking, list_name, as_mappings(columns))
        needed = _expand(resolved)
        start = f"{self._list_url(asking, list_name)}/items/delta?{needed}"
        if fields not in ("", needed):
            delta_link = ""
        is_full = not delta_link
        try:
            items, tally = self._items(asking, delta_link or start, f"changes of list {list_name}")
        except SourceBroken as error:
            if error.status != 410 or is_full:
                raise
            is_full = True
            items, tally = self._items(asking, start, f"changes of list {list_name}, from the start")
        link = self._link(asking, list_name, tally)
        kept = [item for item in items.values() if item.deleted is None]
        return ListChanges(
            extract=self._extract(kept, resolved, tally, f"changes of list {list_name}"),
            deleted=tuple(item.id for item in items.values() if item.deleted is not None),
            delta_link=link,
            is_full=is_full,
            fields=needed,
        )

    def workbook_version(self, path: str, *, dataset: str = "") -> str:
        """The mark of a workbook's content (cTag, else eTag); equal marks need no download."""
        return self._drive_item(Asking(SOURCE, dataset or path), path).version

    def changed_workbook(self, mapping: WorkbookMapping, version: str) -> Extract | None:
        """The workbook as `read` gives it; None, and no download, where its content still has this version."""
        asking = Asking(SOURCE, mapping.dataset or mapping.path)
        item = self._drive_item(asking, mapping.path)
        if version and item.version == version:
            return None
        return self._sheet(asking, item, mapping.path, mapping.sheet, mapping.header_row, mapping.columns)

    def workbook(self, path: str, sheet: str, header_row: int, columns: Columns, *, dataset: str = "") -> Extract:
        """Rows of a sheet, in canonical columns; `header_row` counts from 1, columns without a type are text.

        Raises SourceNotReady while the file is locked or incomplete, SourceBroken naming the sheets or headers that
        there are when the mapped ones are not.
        """
        asking = Asking(SOURCE, dataset or path)
        return self._sheet(asking, self._drive_item(asking, path), path, sheet, header_row, columns)

    def _sheet(
        self, asking: Asking, item: DriveItem, path: str, sheet: str, header_row: int, columns: Columns
    ) -> Extract:
        body, received = self._download(asking, path, item)
        try:
            cast = read_sheet(body, sheet, header_row, as_mappings(columns), zone=self._zone)
        except SheetFault as error:
            raise SourceBroken(
                asking,
                asked=f"sheet {sheet} of {path}",
                came=str(error),
                what_next="not retried: correct the workbook, or its sheet, header_row and columns in sharepoint.toml",
            ) from None
        self._on_progress(Progress(SOURCE, asking.dataset, cast.frame.height, 1, received))
        return Extract(
            cast.frame,
            rejected=cast.rejected,
            request=f"sheet {sheet} of {path}",
            pages=1,
            bytes=received,
            version=item.version,
        )

    def _link(self, asking: Asking, list_name: str, tally: _Tally) -> str:
        if not tally.delta_link:
            raise SourceBroken(asking, asked=f"changes of list {list_name}", came="pages without a delta link")
        return tally.delta_link

    def _resolved(self, asking: Asking, list_name: str, columns: Sequence[ColumnMapping]) -> list[ColumnMapping]:
        declared = []
        for page, _ in self._pages(asking, f"{self._list_url(asking, list_name)}/columns", _columns.decode, "columns"):
            declared += page.value
        resolved, absent = resolve(columns, declared)
        if absent:
            shown = ", ".join(sorted({column.display_name or column.name for column in declared}))
            raise SourceBroken(
                asking,
                asked=f"columns {', '.join(absent)} of list {list_name}",
                came=f"columns {shown}",
                what_next="not retried: correct the display names in sharepoint.toml, or the list",
            )
        if not any(column.canonical == "item_id" for column in resolved):
            resolved.insert(0, _ITEM_ID)
        return resolved

    def _items(self, asking: Asking, start: str, words: str) -> tuple[dict[str, ListItem], _Tally]:
        for attempt in range(1, _WHOLE_READS + 1):
            try:
                return self._items_once(asking, start, words)
            except _PagesInACircle as error:
                if attempt == _WHOLE_READS:
                    raise SourceNotReady(asking, asked=words, came=str(error)) from None
        raise AssertionError("every attempt returns or raises")

    def _items_once(self, asking: Asking, start: str, words: str) -> tuple[dict[str, ListItem], _Tally]:
        items: dict[str, ListItem] = {}
        tally = _Tally()
        for page, received in self._pages(asking, start, _items.decode, words):
            # An item can come more than once, on pages that shift or change: the last is the newest.
            for item in page.value:
                items.pop(item.id, None)
                items[item.id] = item
            tally.pages += 1
            tally.bytes += received
            tally.delta_link = page.delta_link or ""
            self._on_progress(Progress(SOURCE, asking.dataset, len(items), tally.pages, tally.bytes))
        return items, tally

    def _extract(self, items: Iterable[ListItem], columns: list[ColumnMapping], tally: _Tally, request: str) -> Extract:
        ordered = sorted(items, key=lambda item: (len(item.id), item.id))
        rows = [{"id": item.id, "fields": item.fields} for item in ordered]
        cast = cast_to_canonical(rows, columns, zone=self._zone)
        return Extract(cast.frame, rejected=cast.rejected, request=request, pages=tally.pages, bytes=tally.bytes)

    def _pages(self, asking: Asking, start: str, decode: Callable[[bytes], T], words: str) -> Iterator[tuple[T, int]]:
        url: str | None = start
        seen: set[str] = set()
        while url is not None:
            if not same_origin(url, self._base_url):
                raise SourceBroken(
                    asking,
                    asked=f"the next page of {words}",
                    came="a link to another host",
                    what_next="not retried: the token goes to graph_base_url's host only; check that address",
                )
            if url in seen:
                raise _PagesInACircle(f"page {len(seen)} with a link that was followed before")
            seen.add(url)
            answer = self._http.ask(asking, url, decode=decode, asked=f"page {len(seen)} of {words}")
            yield answer.value, answer.bytes
            url = getattr(answer.value, "next_link", None)

    def _site_url(self, asking: Asking) -> str:
        if not self._site_id:
            site = self._config.site_id
            if ":/" in site:
                # host:/sites/name, as it stands in a browser: Graph tells the id.
                url = f"{self._base_url}/sites/{quote(site, safe=':/')}"
                site = self._http.ask(asking, url, decode=_site.decode).value.id
            self._site_id = site
        return f"{self._base_url}/sites/{quote(self._site_id, safe=',')}"

    def _list_url(self, asking: Asking, list_name: str) -> str:
        return f"{self._site_url(asking)}/lists/{quote(list_name, safe='')}"

    def _drive_url(self, asking: Asking) -> str:
        if self._config.drive_id:
            return f"{self._base_url}/drives/{quote(self._config.drive_id, safe='!')}"
        return f"{self._site_url(asking)}/drive"

    def _drive_item(self, asking: Asking, path: str) -> DriveItem:
        url = f"{self._drive_url(asking)}/root:/{quote(path.strip('/'))}"
        return self._http.ask(asking, url, decode=_drive_item.decode, asked=f"workbook {path}").value

    def _download(self, asking: Asking, path: str, item: DriveItem) -> tuple[bytes, int]:
        def whole(body: bytes) -> bytes:
            if item.size and len(body) != item.size:
                raise GarbledAnswer(f"{len(body)} bytes where the drive says {item.size}")
            if not is_whole_workbook(body):
                raise GarbledAnswer("no complete workbook; someone may be writing it")
            return body

        words = f"content of workbook {path}"
        url = f"{self._drive_url(asking)}/items/{quote(item.id, safe='!')}/content"
        for attempt in range(1, _DOWNLOADS + 1):
            first = self._http.ask(asking, url, decode=bytes, accept=(200, 302), asked=words)
            try:
                if first.status == 200:
                    return whole(first.value), first.bytes
                # The link is its own authorisation, on another host: no header may go there, and it is never shown.
                link = urljoin(url, first.headers.get("location", ""))
                self._http.redactor.add(urlsplit(link).query)
                second = self._http.ask(asking, link, decode=whole, with_auth=False, asked=f"download of {words}")
                return second.value, second.bytes
            except SourceBroken as error:
                if error.status not in (401, 403, 404, 410) or attempt == _DOWNLOADS:
                    raise
            except SourceUnavailable as error:
                if error.status != 200:
                    raise
                raise SourceNotReady(asking, asked=words, came=error.came) from None
            except GarbledAnswer as error:
                if attempt == _DOWNLOADS:
                    raise SourceNotReady(asking, asked=words, came=str(error)) from None
        raise AssertionError("every attempt returns or raises")


class _PagesInACircle(Exception):
    """A page came twice: what follows it cannot be told from what was read before."""


@dataclass
class _Tally:
    pages: int = 0
    bytes: int = 0
    delta_link: str = ""


_columns = msgspec.json.Decoder(ListColumns)
_items = msgspec.json.Decoder(ListItems)
_drive_item = msgspec.json.Decoder(DriveItem)
_site = msgspec.json.Decoder(Site)


def _expand(columns: Sequence[ColumnMapping]) -> str:
    return f"$expand=fields($select={','.join(quote(name) for name in field_names(columns))})"
