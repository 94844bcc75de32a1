"""status.json: how the last attempt on each source went. Pipelines rewrite it atomically, the API reads it per request.

Light: msgspec and the standard library only. A judgement (fresh, delayed, stale) is the reader's: it depends on the clock.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from warehouse.errors import StatusCorrupt
from warehouse.manifest import Struct
from warehouse.release_files import exclusive_lock, write_durable

STATUS = "status.json"
LOCK = ".status.lock"
FORMAT = 1
Circuit = Literal["closed", "open", "halfOpen"]


class SourceStatus(Struct, frozen=True, kw_only=True):
    """One source. Instants are UTC; `last_error` is one line without secrets, null after a success.

    `percent_good` is the share of good samples (0 to 100) in the last read of PI, null for other sources. `circuit` is that
    of the process that asked last, null before the first attempt; `circuit_next_try_at_utc` is set while it is open.
    `next_run_at_utc` is the next scheduled run, null where no schedule is known to run.
    """

    source: str
    sla_seconds: int
    data_as_of: datetime | None = None
    last_attempt: datetime | None = None
    last_success: datetime | None = None
    last_error: str | None = None
    percent_good: float | None = None
    circuit: Circuit | None = None
    circuit_since_utc: datetime | None = None
    circuit_next_try_at_utc: datetime | None = None
    next_run_at_utc: datetime | None = None


class Status(Struct, frozen=True, kw_only=True):
    """The whole file; sources by name."""

    format: int = FORMAT
    updated_at_utc: datetime | None = None
    sources: dict[str, SourceStatus] = msgspec.field(default_factory=dict)


_decoder = msgspec.json.Decoder(Status)


def read_status(warehouse_dir: Path) -> Status:
    """The status; an empty one where none was written yet. Raises StatusCorrupt."""
    path = warehouse_dir / STATUS
    try:
        status = _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return Status()
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise StatusCorrupt(f"{path} is no status file ({fault}); the next source attempt rewrites it") from fault
    if status.format != FORMAT:
        raise StatusCorrupt(f"{path} has format {status.format}, this version reads {FORMAT}")
    return status


def write_status(warehouse_dir: Path, status: Status) -> None:
    """Replace the file atomically."""
    warehouse_dir.mkdir(parents=True, exist_ok=True)
    write_durable(warehouse_dir / STATUS, msgspec.json.format(msgspec.json.encode(status), indent=1))


def update_source(
    warehouse_dir: Path, source: str, *, sla_seconds: int, now: datetime | None = None, **changes: Any
) -> SourceStatus:
    """Change the named fields of one source and keep the rest; safe between processes. A corrupt file is begun anew."""
    with exclusive_lock(warehouse_dir / LOCK):
        try:
            status = read_status(warehouse_dir)
        except StatusCorrupt:
            status = Status()
        before = status.sources.get(source) or SourceStatus(source=source, sla_seconds=sla_seconds)
        after = msgspec.structs.replace(before, sla_seconds=sla_seconds, **changes)
        updated = now or datetime.now(UTC)
        write_status(warehouse_dir, Status(updated_at_utc=updated, sources=status.sources | {source: after}))
        return after
