"""Lists, columns and items of the simulated SharePoint site, paged by opaque links, and changes by delta links."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from pipelines.simulators.faults import Faults
from pipelines.simulators.replay_sharepoint import (
    NAMESPACE,
    Column,
    Item,
    SharePointList,
    SharePointReplay,
    field_value,
)
from pipelines.simulators.server_counts import Counts
from pipelines.simulators.server_http import Refusal, Reply, Request, Routes

DEFAULT_PAGE = 200
LARGEST_PAGE = 5000
LIST = r"(?P<list>[^/]+)"
ALWAYS = ("id", "ContentType", "Modified", "Created", "AuthorLookupId", "_UIVersionString")

_EXPAND = re.compile(r"(?:^|,)\s*fields(?:\(\s*\$?select=(?P<names>[^)]*)\))?", re.IGNORECASE)
_POSITION = re.compile(r"Paged=TRUE&p_ID=(\d+)$")


class Site(Protocol):
    """What the controllers need of the system that they belong to."""

    replay: SharePointReplay
    faults: Faults
    counts: Counts

    def error(self, status: int, message: str = "", code: str = "") -> Reply:
        """Graph's error body."""
        ...


class ListControllers:
    """Registers its routes on construction; ``base`` is the site's path as a pattern."""

    def __init__(self, site: Site, base: str, routes: Routes) -> None:
        self.site = site
        routes.add("GET", f"{base}/lists", self._lists)
        routes.add("GET", f"{base}/lists/{LIST}", self._one)
        routes.add("GET", f"{base}/lists/{LIST}/columns", self._columns)
        routes.add("GET", f"{base}/lists/{LIST}/items", self._items)
        # Graph takes a function with and without its parentheses; generated clients write them.
        routes.add("GET", f"{base}/lists/{LIST}/items/delta(?:\\(\\))?", self._delta)
        routes.add("GET", f"{base}/lists/{LIST}/items/(?P<item>\\d+)", self._item)

    def _find(self, parameters: Mapping[str, str]) -> SharePointList:
        found = self.site.replay.find(parameters["list"])
        if found is None:
            raise Refusal(self.site.error(404, "The specified list was not found"))
        return found

    def _lists(self, request: Request, _: Mapping[str, str]) -> Reply:
        return Reply.json({"value": [_list_content(each) for each in self.site.replay.lists.values()]})

    def _one(self, _: Request, parameters: Mapping[str, str]) -> Reply:
        return Reply.json(_list_content(self._find(parameters)))

    def _columns(self, _: Request, parameters: Mapping[str, str]) -> Reply:
        own = [_column_content(column) for column in self._find(parameters).columns]
        standard = [
            {"name": "Modified", "displayName": "Modified", "readOnly": True, "dateTime": {"format": "dateTime"}},
            {"name": "Created", "displayName": "Created", "readOnly": True, "dateTime": {"format": "dateTime"}},
            {"name": "ContentType", "displayName": "Content Type", "readOnly": False, "text": {}},
        ]
        return Reply.json({"value": own + standard})

    def _items(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        found = self._find(parameters)
        for name in ("$skip", "$filter", "$orderby"):
            if request.first(name):
                raise Refusal(self.site.error(400, _not_supported(name, request.first(name) or "")))
        after, size = self._position(request), self._size(request)
        if after and self.site.faults.data("duplicated_page", request.method, request.target):
            after = max(0, after - size)
        items = [item for item in found.items() if item.item_id > after]
        if self.site.faults.data("missing_page", request.method, request.target):
            items = items[size:]
        page = items[:size]
        columns = self._drifted(request, found.columns)
        self.site.counts.add("items", len(page))
        content: dict[str, Any] = {"value": [self._content(request, found, columns, item) for item in page]}
        if len(items) > size:
            content["@odata.nextLink"] = _link(request, f"$skiptoken={_token(page[-1].item_id)}")
        return Reply.json(content)

    def _item(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        found = self._find(parameters)
        item = next((each for each in found.items() if each.item_id == int(parameters["item"])), None)
        if item is None:
            raise Refusal(self.site.error(404, "Item not found"))
        return Reply.json(self._content(request, found, found.columns, item))

    def _delta(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        """All items first, page by page, then a delta link; with its token what has changed since."""
        found = self._find(parameters)
        token = request.first("token") or request.first("$deltatoken") or ""
        _, _, latest = found.changes(0)
        if token == "latest":
            return Reply.json({"value": [], "@odata.deltaLink": _link(request, f"token={latest}")})
        after, size = self._position(request), self._size(request)
        if token:
            if not token.isdecimal() or not found.oldest <= int(token) <= latest:
                reply = self.site.error(410)
                reply.headers.append(("Location", _link(request, "")))
                raise Refusal(reply)
            changed, deleted, latest = found.changes(int(token))
            gone = [{"id": str(item_id), "deleted": {"state": "deleted"}} for item_id in deleted]
            value = [self._content(request, found, found.columns, item) for item in changed] + gone
            page, rest = value[after : after + size], value[after + size :]
            self.site.counts.add("items", len(page))
            if rest:
                link = _link(request, f"token={token}&$skiptoken={_token(after + size)}")
                return Reply.json({"value": page, "@odata.nextLink": link})
            return Reply.json({"value": page, "@odata.deltaLink": _link(request, f"token={latest}")})
        items = [item for item in found.items() if item.item_id > after]
        self.site.counts.add("items", len(items[:size]))
        content: dict[str, Any] = {
            "value": [self._content(request, found, found.columns, item) for item in items[:size]]
        }
        if len(items) > size:
            content["@odata.nextLink"] = _link(request, f"$skiptoken={_token(items[size - 1].item_id)}")
        else:
            content["@odata.deltaLink"] = _link(request, f"token={latest}")
        return Reply.json(content)

    def _position(self, request: Request) -> int:
        text = request.first("$skiptoken")
        if not text:
            return 0
        match = _POSITION.match(text)
        if match is None:
            raise Refusal(self.site.error(400, "The provided skip token is not valid."))
        return int(match[1])

    def _size(self, request: Request) -> int:
        text = request.first("$top") or str(DEFAULT_PAGE)
        if not text.isdecimal() or int(text) < 1:
            raise Refusal(self.site.error(400, "The value of $top must be a positive integer."))
        return min(int(text), LARGEST_PAGE)

    def _drifted(self, request: Request, columns: Sequence[Column]) -> Sequence[Column]:
        """The columns, one of them deleted and made again (a new internal name) while that fault is armed."""
        fault = self.site.faults.data("schema_drift", request.method, request.target)
        if fault is None:
            return columns
        return [Column(c.display_name, f"{c.name}0", c.kind) if c.display_name == fault.column else c for c in columns]

    def _content(
        self, request: Request, owner: SharePointList, columns: Sequence[Column], item: Item
    ) -> dict[str, Any]:
        tag = f'"{uuid.uuid5(NAMESPACE, f"{owner.list_id}:{item.item_id}")},{item.version}"'
        stamp = item.modified.strftime("%Y-%m-%dT%H:%M:%SZ")
        content: dict[str, Any] = {
            "@odata.etag": tag,
            "createdDateTime": stamp,
            "eTag": tag,
            "id": str(item.item_id),
            "lastModifiedDateTime": stamp,
            "webUrl": f"https://site/Lists/{quote(owner.name)}/{item.item_id}_.000",
            "createdBy": {"user": {"displayName": "Planning"}},
            "contentType": {"id": "0x0100", "name": "Item"},
        }
        expand = _EXPAND.search(request.first("$expand") or "")
        if expand is not None:
            names = None if expand["names"] is None else [name.strip() for name in expand["names"].split(",")]
            content["fields"] = self._fields(columns, item, tag, stamp, names)
        return content

    def _fields(
        self, columns: Sequence[Column], item: Item, tag: str, stamp: str, names: list[str] | None
    ) -> dict[str, Any]:
        """The item's fields: empty ones are absent; a lookup's own value only when it is selected by name."""
        fields: dict[str, Any] = {"@odata.etag": tag, "id": str(item.item_id)}
        for column in columns:
            value = item.values.get(column.display_name)
            if value is None or value == "":
                continue
            if column.kind == "lookup":
                fields[f"{column.name}LookupId"] = str(value)
                if names is not None and column.name in names:
                    fields[column.name] = str(value)
                continue
            fields[column.name] = field_value(value, column.kind, self.site.replay.zone)
        fields |= {
            "ContentType": "Item",
            "Modified": stamp,
            "Created": stamp,
            "AuthorLookupId": "6",
            "_UIVersionString": f"{item.version}.0",
            "Attachments": False,
            "Edit": "",
            "ItemChildCount": "0",
            "FolderChildCount": "0",
        }
        if names is None:
            return fields
        return {name: value for name, value in fields.items() if name in names or name in ("@odata.etag", "id")}


def _token(position: int) -> str:
    """A skip token, encoded as the service encodes it: a reader that encodes it again breaks it."""
    return f"Paged%3dTRUE%26p_ID%3d{position}"


def _link(request: Request, addition: str) -> str:
    path, _, query = request.target.partition("?")
    moved = ("$skiptoken=", "%24skiptoken=", "token=", "$deltatoken=")
    kept = [part for part in query.split("&") if part and not part.lower().startswith(moved)]
    whole = "&".join([*kept, addition] if addition else kept)
    return f"{request.origin}{path}" + (f"?{whole}" if whole else "")


def _not_supported(name: str, text: str) -> str:
    if name == "$skip":
        return "The query option '$skip' is not supported."
    field = re.search(r"fields/(\w+)", text)
    return (
        f"Field '{field[1] if field else text}' cannot be referenced in filter or orderby as it is not indexed. "
        "Provide the 'Prefer: HonorNonIndexedQueriesWarningMayFailRandomly' header to allow this, but be warned that "
        "such queries may fail on large lists."
    )


def _list_content(each: SharePointList) -> dict[str, Any]:
    return {
        "id": each.list_id,
        "name": each.name,
        "displayName": each.name,
        "webUrl": f"https://site/Lists/{quote(each.name)}",
        "list": {"contentTypesEnabled": False, "hidden": False, "template": "genericList"},
    }


def _column_content(column: Column) -> dict[str, Any]:
    facets: dict[str, dict[str, Any]] = {
        "number": {"number": {"decimalPlaces": "automatic"}},
        "text": {"text": {"allowMultipleLines": False}},
        "dateTime": {"dateTime": {"displayAs": "default", "format": "dateTime"}},
        "dateOnly": {"dateTime": {"displayAs": "default", "format": "dateOnly"}},
        "choice": {"choice": {"choices": [], "displayAs": "dropDownMenu"}},
        "boolean": {"boolean": {}},
        "lookup": {"lookup": {"columnName": "Title"}},
    }
    about = {"name": column.name, "displayName": column.display_name, "indexed": False, "readOnly": False}
    return about | facets[column.kind]
