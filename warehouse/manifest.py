"""manifest.json: what a release is made of, what was checked, and the checksums that a reader holds it to.

Light: msgspec and the standard library only.
"""

import hashlib
from datetime import date, datetime
from pathlib import Path

import msgspec

from warehouse.errors import ReleaseCorrupt
from warehouse.release_files import MANIFEST, file_sha256, write_durable

FORMAT = 1
# The SQL contract's version: raised when a published view loses or renames a column.
SCHEMA_VERSION = 1


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what is written to JSON: camelCase names, immutable."""


class InputPartition(Struct, frozen=True, kw_only=True):
    """One file of the lake that the release was built from."""

    table: str
    partition: str
    sha256: str
    rows: int


class GateResult(Struct, frozen=True, kw_only=True):
    """The outcome of one check, named by the statement that should hold, with what was measured."""

    gate: str
    passed: bool
    detail: str
    measured: dict[str, float] = msgspec.field(default_factory=dict)
    waived: bool = False


class Waiver(Struct, frozen=True, kw_only=True):
    """A named, one-time permission to publish although a gate says no."""

    gate: str
    by: str
    reason: str


class DatabaseFile(Struct, frozen=True, kw_only=True):
    """The DuckDB file of the release."""

    name: str
    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """Everything said of a release beside its tables. `content` hashes the inputs; `checksum` this document itself."""

    format: int
    release_id: str
    content: str
    schema_version: int
    operator: str
    is_synthetic: bool
    code_version: str
    built_at_utc: datetime
    as_of_utc: datetime
    zone: str
    first_production_date: date
    latest_production_date: date
    previous_release_id: str | None
    high_water: dict[str, datetime]
    row_counts: dict[str, int]
    inputs: list[InputPartition]
    database: DatabaseFile
    checks: list[GateResult]
    waivers: list[Waiver]
    checksum: str = ""


_decoder = msgspec.json.Decoder(Manifest)


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON with its checksum."""
    return msgspec.json.format(msgspec.json.encode(sealed(manifest)), indent=1)


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its checksum filled in."""
    bare = msgspec.structs.replace(manifest, checksum="")
    return msgspec.structs.replace(bare, checksum=hashlib.sha256(msgspec.json.encode(bare)).hexdigest())


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write manifest.json into a release's directory, durably."""
    write_durable(directory / MANIFEST, encode(manifest))


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the release in `directory`. Raises ReleaseCorrupt where it is missing, unreadable or altered."""
    release_id = directory.name
    try:
        manifest = _decoder.decode((directory / MANIFEST).read_bytes())
    except OSError as fault:
        raise ReleaseCorrupt(release_id, f"{MANIFEST} cannot be read ({fault.strerror})") from fault
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ReleaseCorrupt(release_id, f"{MANIFEST} is no manifest ({fault})") from fault
    if manifest.checksum != sealed(manifest).checksum:
        raise ReleaseCorrupt(release_id, f"{MANIFEST} does not match its own checksum")
    if manifest.release_id != release_id:
        raise ReleaseCorrupt(release_id, f"{MANIFEST} is the manifest of {manifest.release_id}")
    if manifest.format != FORMAT:
        raise ReleaseCorrupt(release_id, f"{MANIFEST} has format {manifest.format}, this version reads {FORMAT}")
    return manifest


def verify_database(directory: Path, manifest: Manifest) -> Path:
    """Path of the DuckDB file after its size and SHA-256 were checked. Raises ReleaseCorrupt."""
    path = directory / manifest.database.name
    try:
        size = path.stat().st_size
        if size != manifest.database.size:
            raise ReleaseCorrupt(manifest.release_id, f"{path.name} has {size} bytes, not {manifest.database.size}")
        found = file_sha256(path)
    except OSError as fault:
        raise ReleaseCorrupt(manifest.release_id, f"{path.name} cannot be read ({fault.strerror})") from fault
    if found != manifest.database.sha256:
        raise ReleaseCorrupt(manifest.release_id, f"{path.name} has SHA-256 {found}, not {manifest.database.sha256}")
    return path
