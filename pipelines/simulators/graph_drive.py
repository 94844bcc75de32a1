"""The document library of the simulated SharePoint site, and the other host that gives out file content.

Content is a redirect to a link that carries its own permission for some minutes; a request there with an
Authorization header is refused, as the real one may.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
import secrets
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from pipelines.simulators.faults import Faults
from pipelines.simulators.replay_sharepoint import NAMESPACE, SharePointReplay
from pipelines.simulators.server_app import System
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_http import Refusal, Reply, Request, Routes

LINK_LIFETIME = timedelta(minutes=5)
DEFAULT_PAGE = 200
HASH_BITS, HASH_SHIFT = 160, 11


class _SiteIdentity(Protocol):
    @property
    def drive_id(self) -> str: ...
    @property
    def web_url(self) -> str: ...


class Library(Protocol):
    """What the controllers need of the system that they belong to."""

    replay: SharePointReplay
    clock: Clock
    faults: Faults

    @property
    def site(self) -> _SiteIdentity:
        """The site's identifiers."""
        ...

    def error(self, status: int, message: str = "", code: str = "") -> Reply:
        """Graph's error body."""
        ...


class DownloadLinks:
    """Links that are permission by themselves, until they expire; ``origin`` is the address of the host they name."""

    def __init__(self, clock: Clock, origin: str = "") -> None:
        self.origin = origin
        self._clock = clock
        self._lock = threading.Lock()
        self._links: dict[str, tuple[Path, datetime]] = {}

    def issue(self, path: Path) -> str:
        """A new link to a file."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._links[token] = path, self._clock.now() + LINK_LIFETIME
        return f"{self.origin}/download/{token}"

    def file(self, token: str) -> Path | None:
        """The file of a link, or none when it is unknown or expired."""
        with self._lock:
            path, expiry = self._links.get(token, (None, None))
        return path if expiry is not None and self._clock.now() < expiry else None


class DownloadHost(System):
    """The other host: ``GET /download/{token}``, ranges served, Authorization refused."""

    name = "sharepoint-download"

    def __init__(self, links: DownloadLinks, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self.links = links
        self.routes.add("GET", r"/download/(?P<token>[\w-]+)", self._download)

    def _download(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        if "authorization" in request.headers:
            raise Refusal(self.error(401, "a pre-authenticated link takes no Authorization header"))
        path = self.links.file(parameters["token"])
        if path is None or not path.is_file():
            raise Refusal(self.error(404, "the link has expired"))
        content = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        headers = [("Accept-Ranges", "bytes")]
        if asked is None:
            return Reply(body=content, content_type=kind, headers=headers)
        first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
        if first > last:
            return Reply(status=416, headers=[("Content-Range", f"bytes */{len(content)}")])
        headers.append(("Content-Range", f"bytes {first}-{last}/{len(content)}"))
        return Reply(status=206, body=content[first : last + 1], content_type=kind, headers=headers)


class DriveControllers:
    """Registers its routes on construction; files are read when asked for, so a replaced one is seen at once."""

    def __init__(self, library: Library, base: str, routes: Routes, links: DownloadLinks) -> None:
        self.library = library
        self.links = links
        drive = f"/v1\\.0/drives/{re.escape(library.site.drive_id)}"
        for pattern in (f"{base}/drive", drive):
            routes.add("GET", pattern, self._drive)
        routes.add("GET", f"{base}/drives", self._drives)
        for start in (drive, f"{base}/drive"):
            for place in (r"/root", r"(?:/items)?/root:/(?P<path>[^:]+):?", r"/items/(?P<item>[^/:]+)"):
                routes.add("GET", f"{start}{place}", self._item)
            for place in (r"/root", r"(?:/items)?/root:/(?P<path>[^:]+):", r"/items/(?P<item>[^/:]+)"):
                routes.add("GET", f"{start}{place}/children", self._children)
                routes.add("GET", f"{start}{place}/content", self._content)
            for place in ("/root", "/items/root"):
                routes.add("GET", f"{start}{place}/delta(?:\\(\\))?", self._delta)
        self._lock = threading.Lock()
        # What stood in the drive each time it was asked: a token is a place in this list.
        self._seen: list[dict[str, dict[str, Any]]] = [{}]

    def _drive(self, _: Request, __: Mapping[str, str]) -> Reply:
        return Reply.json(self._drive_content())

    def _drives(self, _: Request, __: Mapping[str, str]) -> Reply:
        return Reply.json({"value": [self._drive_content()]})

    def _drive_content(self) -> dict[str, Any]:
        site = self.library.site
        about = {"id": site.drive_id, "name": "Documents", "driveType": "documentLibrary"}
        return about | {"webUrl": f"{site.web_url}/Shared%20Documents"}

    def _find(self, parameters: Mapping[str, str]) -> Path:
        root = self.library.replay.drive.resolve()
        if parameters.get("item") and parameters["item"] != "root":
            found = next((path for path in sorted(root.rglob("*")) if _item_id(root, path) == parameters["item"]), None)
        else:
            found = (root / parameters.get("path", "").strip("/")).resolve()
        if found is None or not found.exists() or not found.is_relative_to(root):
            raise Refusal(self.library.error(404))
        return found

    def _item(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        content = self._about(self._find(parameters))
        if request.headers.get("if-none-match") in (content["eTag"], content.get("cTag")):
            return Reply(status=304, headers=[("ETag", content["eTag"])])
        return Reply.json(content, headers=[("ETag", content["eTag"])])

    def _children(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        folder = self._find(parameters)
        if not folder.is_dir():
            raise Refusal(self.library.error(400, "The item is not a folder."))
        top, skip = request.first("$top") or str(DEFAULT_PAGE), request.first("$skiptoken") or "0"
        if not (top.isdecimal() and skip.isdecimal() and int(top) > 0):
            raise Refusal(self.library.error(400, "$top or $skiptoken is not valid."))
        listed = sorted(folder.iterdir())
        first, size = int(skip), int(top)
        content: dict[str, Any] = {"value": [self._about(path) for path in listed[first : first + size]]}
        if first + size < len(listed):
            path, _, _ = request.target.partition("?")
            content["@odata.nextLink"] = f"{request.origin}{path}?$top={size}&$skiptoken={first + size}"
        return Reply.json(content)

    def _delta(self, request: Request, _: Mapping[str, str]) -> Reply:
        """Everything below the root, or what changed since a token; pages end with a delta link."""
        token, top = request.first("token") or "", request.first("$top") or str(DEFAULT_PAGE)
        if not top.isdecimal() or int(top) < 1:
            raise Refusal(self.library.error(400, "The value of $top must be a positive integer."))
        path = request.target.partition("?")[0]
        since, until, offset = 0, 0, 0
        if token and token != "latest":
            # since.until.offset between pages, since alone in a delta link
            numbers = [int(part) if part.isdecimal() else -1 for part in token.split(".")]
            since, until, offset = [*numbers, 0, 0][:3]
        with self._lock:
            if not until:
                self._seen.append(self._all())
                until = len(self._seen) - 1
            if not (0 <= since < len(self._seen) and until < len(self._seen) and offset >= 0):
                reply = self.library.error(410)
                reply.headers.append(("Location", f"{request.origin}{path}"))
                raise Refusal(reply)
            before, now = self._seen[since], self._seen[until]
        changed = [about for key, about in now.items() if about["eTag"] != before.get(key, {}).get("eTag")]
        gone = [{"id": key, "deleted": {"state": "deleted"}} for key in before if key not in now]
        value = [] if token == "latest" else [*changed, *gone]
        size = int(top)
        content: dict[str, Any] = {"value": value[offset : offset + size]}
        if offset + size < len(value):
            following = f"{since}.{until}.{offset + size}"
            content["@odata.nextLink"] = f"{request.origin}{path}?$top={size}&token={following}"
        else:
            content["@odata.deltaLink"] = f"{request.origin}{path}?token={until}"
        return Reply.json(content)

    def _all(self) -> dict[str, dict[str, Any]]:
        root = self.library.replay.drive.resolve()
        listed = sorted(root.rglob("*")) if root.is_dir() else []
        return {about["id"]: about for about in map(self._about, listed)}

    def _content(self, request: Request, parameters: Mapping[str, str]) -> Reply:
        path = self._find(parameters)
        if path.is_dir():
            raise Refusal(self.library.error(400, "A folder has no content."))
        about = self._about(path)
        if request.headers.get("if-none-match") in (about["eTag"], about["cTag"]):
            return Reply(status=304, headers=[("ETag", about["eTag"])])
        return Reply(status=302, headers=[("Location", about["@microsoft.graph.downloadUrl"])])

    def _about(self, path: Path) -> dict[str, Any]:
        root = self.library.replay.drive.resolve()
        relative = path.relative_to(root)
        stat = path.stat()
        guid = str(uuid.uuid5(NAMESPACE, f"file:{relative.as_posix()}")).upper()
        modified = datetime.fromtimestamp(int(stat.st_mtime), UTC)
        about: dict[str, Any] = {
            "id": _item_id(root, path),
            "name": path.name if relative.parts else "root",
            "lastModifiedDateTime": modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "webUrl": f"{self.library.site.web_url}/Shared%20Documents/{quote(relative.as_posix())}",
            "parentReference": {
                "driveId": self.library.site.drive_id,
                "path": "/drive/root:" + ("/" + relative.parent.as_posix() if relative.parent.parts else ""),
            },
        }
        if path.is_dir():
            return about | {"size": 0, "eTag": f'"{{{guid}}},1"', "folder": {"childCount": len(list(path.iterdir()))}}
        content = path.read_bytes()
        # The version numbers are made from content and time, so that they agree between runs of the server.
        content_version = int(hashlib.sha256(content).hexdigest()[:6], 16)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return about | {
            "size": len(content),
            "eTag": f'"{{{guid}}},{content_version + int(stat.st_mtime) % 1_000_000}"',
            "cTag": f'"c:{{{guid}}},{content_version}"',
            "file": {"mimeType": kind, "hashes": {"quickXorHash": quick_xor_hash(content)}},
            "@microsoft.graph.downloadUrl": self.links.issue(path),
        }


def _item_id(root: Path, path: Path) -> str:
    digest = hashlib.sha256(path.relative_to(root).as_posix().encode()).digest()
    return "01" + base64.b32encode(digest[:20]).decode()


def quick_xor_hash(content: bytes) -> str:
    """The hash that OneDrive and SharePoint publish for files, base64.

    Every byte is combined by xor into a ring of 160 bits, 11 bits further on each time; the length goes into the
    last eight bytes. Bytes 160 apart fall on the same place, so they are combined first.
    """
    folded = 0
    for start in range(0, len(content), HASH_BITS):
        folded ^= int.from_bytes(content[start : start + HASH_BITS].ljust(HASH_BITS, b"\0"), "little")
    ring = 0
    for index, byte in enumerate(folded.to_bytes(HASH_BITS, "little")):
        ring ^= byte << (index * HASH_SHIFT % HASH_BITS)
    ring = (ring & ((1 << HASH_BITS) - 1)) ^ (ring >> HASH_BITS)
    ring ^= len(content) << (HASH_BITS - 64)
    return base64.b64encode(ring.to_bytes(HASH_BITS // 8, "little")).decode()
