"""Blobs under one URL (`az://container/prefix`, `s3://bucket/prefix`): read, conditional write, list, upload, download.

The drivers are obstore's own. Light: obstore is imported when a store is opened. Credentials never reach a message.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from warehouse.errors import StorageConflict, StorageFault, StorageSilent

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")
# The settings pass on the environment's names of a scheme; the drivers know them in lower case.
_FAMILIES = {"az": "AZURE_STORAGE_", "s3": "AWS_"}
_ENDPOINTS = ("azure_storage_endpoint", "aws_endpoint_url")
_NO_ANSWER = "no answer"
PAUSE_SECONDS = 0.2
_PART = 8 * 1024 * 1024
_STATUS = re.compile(r"status code: (\d{3}[^:<]*)")
_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_KIND = re.compile(r"kind: (\w+)")


def is_object_url(text: str) -> bool:
    """Whether a place is object storage rather than a path of this machine."""
    return "://" in text and not text.startswith("file://")


@dataclass(frozen=True)
class Patience:
    """How long a caller waits: for a connection, for the next bytes of a small answer and of a release's file, and how often
    a failed request is asked again."""

    connect: timedelta
    read: timedelta
    transfer: timedelta
    retries: int


# A publisher can wait for a moment's fault to pass; one that follows asks again soon by itself.
PATIENT = Patience(timedelta(seconds=5), timedelta(seconds=30), timedelta(seconds=60), retries=4)
BRISK = Patience(timedelta(seconds=1), timedelta(seconds=1.5), timedelta(seconds=5), retries=0)


@dataclass(frozen=True)
class Location:
    """A URL and the driver's options for it, in the drivers' lower-case names; shows the URL only.

    Without options the driver looks for the same names in the environment itself.
    """

    url: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.url

    @property
    def scheme(self) -> str:
        """`az` or `s3`."""
        return self.url.partition("://")[0]

    @property
    def container(self) -> str:
        """Container or bucket."""
        return self.url.partition("://")[2].partition("/")[0]

    @property
    def prefix(self) -> str:
        """Path inside the container, without slashes at its ends."""
        return self.url.partition("://")[2].partition("/")[2].strip("/")

    def child(self, name: str) -> "Location":
        """A place below this one."""
        return Location(f"{self.url.rstrip('/')}/{name}", self.options)

    @property
    def allows_http(self) -> bool:
        """An endpoint without TLS, such as an emulator's, is used where it is named as such."""
        named = [self.options[name] for name in _ENDPOINTS if name in self.options]
        return not self.options or any(endpoint.startswith("http://") for endpoint in named)

    def polars_options(self) -> dict[str, str]:
        """`storage_options` of Polars."""
        allow = {"allow_http": "true"} if self.allows_http else {}
        return {**self.options, **allow}


def location(url: str, given: Mapping[str, str]) -> Location:
    """The place that a URL names, with the options found in `given` under the usual names. Raises ValueError.

    No key, token or client secret means that the machine's identity is used (managed identity, instance role).
    """
    place = location_of_driver(url)
    scheme = place.scheme
    family = _FAMILIES[scheme]
    options = {name.lower(): text.strip() for name, text in given.items() if name.startswith(family) and text.strip()}
    if scheme == "az" and "azure_storage_account_name" not in options:
        raise ValueError("needs AZURE_STORAGE_ACCOUNT_NAME")
    if ("aws_access_key_id" in options) != ("aws_secret_access_key" in options):
        raise ValueError("needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together, or neither")
    if "azure_storage_sas_token" in options:
        options["azure_storage_sas_token"] = options["azure_storage_sas_token"].removeprefix("?")
    return Location(place.url, options)


def location_of_driver(url: str) -> Location:
    """The place that a URL names, whose options the driver finds in the environment by itself. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    if scheme not in _FAMILIES:
        raise ValueError(f"{scheme}:// is not known: write a path, az://container/prefix or s3://bucket/prefix")
    container = rest.partition("/")[0]
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{2,62}", container) or "?" in url or "@" in url:
        raise ValueError(f"names no {'container' if scheme == 'az' else 'bucket'}: write {scheme}://name/prefix")
    return Location(url.rstrip("/"))


@dataclass(frozen=True)
class Blob:
    """A blob's content and the tag that a conditional request names it by."""

    content: bytes
    tag: str


@dataclass(frozen=True)
class Listed:
    """A blob in a listing; its name is relative to the store. `tag` is comparable between listings only."""

    name: str
    size: int
    tag: str
    changed_at: datetime


class NotModified(Exception):
    """The blob still has the tag that was named."""


class Objects:
    """The blobs of one place. Thread-safe. Names are relative, with slashes. Raises StorageFault where nothing else is said."""

    def __init__(
        self, store: "ObjectStore", place: str, transfers: "ObjectStore | None" = None, retries: int = 0
    ) -> None:
        self._store = store
        self._transfers = transfers or store
        self._retries = retries
        self.place = place

    def __repr__(self) -> str:
        return f"Objects({self.place!r})"

    def read(self, name: str, *, unless: str | None = None) -> Blob | None:
        """The blob, None where there is none. Raises NotModified where it still has the tag `unless`."""
        import obstore

        with self._asking("read", name):
            try:
                found = obstore.get(self._store, name, options={"if_none_match": unless} if unless else None)
                return Blob(bytes(found.bytes()), found.meta["e_tag"] or "")
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> str:
        """Replace a blob whatever it holds; its new tag."""
        return self._again(lambda: self._put(name, content, "overwrite"))

    def create(self, name: str, content: bytes) -> str:
        """Write a blob that is not there yet. Raises StorageConflict where it is."""
        return self._put(name, content, "create")

    def replace(self, name: str, content: bytes, tag: str) -> str:
        """Replace a blob that still has the tag. Raises StorageConflict where it has another or is gone."""
        return self._put(name, content, {"e_tag": tag})

    def _put(self, name: str, content: bytes, mode: Any) -> str:
        import obstore

        with self._asking("write", name):
            done = obstore.put(self._store, name, content, mode=mode, use_multipart=False)
            return done["e_tag"] or ""

    def delete(self, names: Iterable[str]) -> None:
        """Delete blobs; one that is not there is as good as deleted."""
        for name in names:
            self._again(partial(self._delete, name))

    def _delete(self, name: str) -> None:
        import obstore

        with self._asking("delete", name), suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def _again(self, work: Callable[[], T]) -> T:
        """Does once more what got no answer and may be done twice: the driver itself does so for reads only."""
        for attempt in range(1, self._retries + 1):
            try:
                return work()
            except StorageSilent:
                time.sleep(PAUSE_SECONDS * attempt)
        return work()

    def list(self, prefix: str = "", *, before: str | None = None) -> list[Listed]:
        """Blobs below the folder `prefix` in order of name, up to the name `before` where one is given."""
        import obstore

        listed: list[Listed] = []
        with self._asking("list", prefix):
            for page in obstore.list(self._store, prefix or None, chunk_size=1000):
                listed += [
                    Listed(str(m["path"]), int(m["size"]), str(m["e_tag"] or "").strip('"'), m["last_modified"])
                    for m in page
                ]
                # Storage lists in order of name, so what follows lies beyond as well.
                if before is not None and listed and listed[-1].name >= before:
                    break
        return sorted((b for b in listed if before is None or b.name < before), key=lambda blob: blob.name)

    def exists(self, name: str) -> bool:
        """Whether a blob is there."""
        import obstore

        with self._asking("look for", name):
            try:
                obstore.head(self._store, name)
            except FileNotFoundError:
                return False
            return True

    def upload(self, name: str, path: Path) -> None:
        """Send a file in parts; the blob appears when all of them are there."""
        import obstore

        with self._asking("upload", name):
            obstore.put(self._transfers, name, path, chunk_size=_PART, max_concurrency=4)

    def download(self, name: str, target: Path) -> str:
        """Copy a blob into a new file, durably; its SHA-256. Raises FileNotFoundError where there is no such blob."""
        digest = hashlib.sha256()
        with target.open("xb") as stream:
            for part in self._parts(name):
                digest.update(part)
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
        return digest.hexdigest()

    def sha256(self, name: str) -> str:
        """SHA-256 of what a blob holds. Raises FileNotFoundError."""
        digest = hashlib.sha256()
        for part in self._parts(name):
            digest.update(part)
        return digest.hexdigest()

    def _parts(self, name: str) -> Iterator[bytes]:
        import obstore

        with self._asking("read", name):
            for part in obstore.get(self._transfers, name).stream(min_chunk_size=_PART):
                yield bytes(part)

    @contextmanager
    def _asking(self, what: str, name: str) -> Iterator[None]:
        from obstore.exceptions import AlreadyExistsError, BaseError, NotModifiedError, PreconditionError

        try:
            yield
        except NotModifiedError:
            raise NotModified(name) from None
        except (AlreadyExistsError, PreconditionError):
            raise StorageConflict(f"{self.place}/{name} was written by somebody else meanwhile") from None
        except FileNotFoundError as fault:
            if _has_no_container(fault):
                raise StorageFault(f"{self.place} does not exist: create the container first") from None
            raise FileNotFoundError(f"{self.place}/{name} does not exist") from None
        except BaseError as fault:
            if _has_no_container(fault):
                raise StorageFault(f"{self.place} does not exist: create the container first") from None
            # The driver's own text holds request addresses, and with them signatures.
            reason = _reason(fault)
            kind = StorageSilent if reason.startswith(_NO_ANSWER) else StorageFault
            raise kind(f"could not {what} {self.place}/{name}: {reason}") from None


def _has_no_container(fault: Exception) -> bool:
    return any(f"<Code>{code}" in str(fault) for code in ("ContainerNotFound", "NoSuchBucket"))


def _reason(fault: Exception) -> str:
    text = str(fault)
    found = [m.group(1).strip() for m in (_STATUS.search(text), _CODE.search(text)) if m]
    if found:
        return ", ".join(found)
    kind = _KIND.search(text)
    return f"{_NO_ANSWER} ({kind.group(1).lower()})" if kind else f"the driver said {type(fault).__name__}"


def open_objects(place: Location, patience: Patience = PATIENT) -> Objects:
    """The blobs under a place. Nothing is asked of the storage yet. Raises StorageFault for options it does not know."""
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, S3Store

    kind: Any = AzureStore if place.scheme == "az" else S3Store

    def opened(read: timedelta) -> Any:
        return kind(
            place.container,
            prefix=place.prefix or None,
            config=dict(place.options),
            client_options={
                "allow_http": place.allows_http,
                "connect_timeout": patience.connect,
                "read_timeout": read,
                # Of the whole answer: a big release over a slow line is bounded by the time between bytes instead.
                "timeout": timedelta(hours=1),
            },
            retry_config={"max_retries": patience.retries, "retry_timeout": timedelta(seconds=60)},
        )

    try:
        return Objects(opened(patience.read), place.url, opened(patience.transfer), patience.retries)
    except BaseError as fault:
        raise StorageFault(f"{place} cannot be opened: {type(fault).__name__}") from None
