"""Where the pipelines write: lake and warehouse can be written and have room; and the site's folder is without fault."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from pipelines.doctor.examination import Examination, Finding, Trouble
from pipelines.lake import Lake
from warehouse.errors import StatusCorrupt, WarehouseError
from warehouse.release import release_path
from warehouse.status import read_status

NAME = "storage"
MEBIBYTE = 1 << 20
# A build stands beside the release in force, and the lake grows by megabytes a day.
LEAST_FREE = 512 * MEBIBYTE
LITTLE_FREE = 4 * LEAST_FREE
# Free room in sizes of the newest release: one is being built while others are kept.
_RELEASES_LEAST, _RELEASES_LITTLE = 2, 5


def examine_places(
    exam: Examination, lake: Lake, warehouse_dir: Path, *, free: Callable[[Path], int] | None = None
) -> None:
    """LAKE_URL and WAREHOUSE_DIR: writable, with room; status.json readable. `free` gives free bytes at a folder."""
    free = free or (lambda path: shutil.disk_usage(path).free)
    exam.check(NAME, "lake", lambda: _lake(lake), settings="LAKE_URL")
    exam.check(NAME, "warehouse", lambda: _folder(warehouse_dir), settings="WAREHOUSE_DIR")
    release = _release_bytes(warehouse_dir)
    if (root := _local(lake)) is not None:
        exam.check(NAME, "room for the lake", lambda: _room(root, free, 0, "LAKE_URL"), needs=["lake"])
    exam.check(
        NAME,
        "room for releases",
        lambda: _room(warehouse_dir, free, release, "WAREHOUSE_DIR"),
        needs=["warehouse"],
    )
    exam.check(NAME, "status.json", lambda: _status(warehouse_dir), needs=["warehouse"])


def _lake(lake: Lake) -> str:
    name, content = f"_doctor/{secrets.token_hex(8)}", secrets.token_bytes(64)
    try:
        lake.write_bytes(name, content)
        came = lake.read_bytes(name)
        lake.remove_bytes(name)
    except OSError as error:
        raise Trouble(
            f"{lake.store.place} cannot be written: {error.strerror or error}",
            "give this account write access to the place that LAKE_URL names, or correct LAKE_URL",
        ) from None
    if came != content:
        raise Trouble(f"{lake.store.place} gave back other bytes than were written", "have the storage looked at")
    return f"{lake.store.place} can be written and read"


def _folder(folder: Path) -> str:
    probe = folder / f".doctor-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"doctor")
        probe.unlink()
    except OSError as error:
        raise Trouble(
            f"{folder} cannot be written: {error.strerror or error}",
            "give this account write access to the folder that WAREHOUSE_DIR names, or correct WAREHOUSE_DIR",
        ) from None
    return f"{folder} can be written"


def _room(folder: Path, free: Callable[[Path], int], release: int, setting: str) -> Finding:
    left = free(folder)
    least = max(LEAST_FREE, _RELEASES_LEAST * release)
    little = max(LITTLE_FREE, _RELEASES_LITTLE * release)
    told = f"{left / MEBIBYTE:,.0f} MiB free at {folder}"
    if release:
        told += f"; the release in force takes {release / MEBIBYTE:,.0f} MiB"
    advice = f"free space there, or move {setting} to a larger disk; keep at least {little / MEBIBYTE:,.0f} MiB"
    if left < least:
        raise Trouble(told, advice)
    return Finding(told, advice, is_warning=True) if left < little else Finding(told)


def _status(warehouse_dir: Path) -> Finding:
    try:
        status = read_status(warehouse_dir)
    except StatusCorrupt as error:
        return Finding(str(error), "nothing: the next attempt at a source writes it anew", is_warning=True)
    failing = [f"{name}: {each.last_error}" for name, each in sorted(status.sources.items()) if each.last_error]
    if failing:
        return Finding("; ".join(failing), "see the rows of these sources: it is the last run's word", is_warning=True)
    return Finding(f"last attempts succeeded ({', '.join(sorted(status.sources)) or 'none yet'})")


def _local(lake: Lake) -> Path | None:
    try:
        return lake.root
    except TypeError:
        return None


def _release_bytes(warehouse_dir: Path) -> int:
    try:
        return release_path(warehouse_dir).stat().st_size
    except (OSError, WarehouseError):
        return 0
