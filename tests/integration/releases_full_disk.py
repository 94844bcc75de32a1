"""Publishes on a disk that is too small, in a process of its own; prints one JSON line a case.

`python -m tests.integration.releases_full_disk (mount|limit) DIR COUNT`: with `mount` a small tmpfs of this process's own
namespace is filled up to a random rest, with `limit` no file may grow past a random size.
"""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb

from tests.integration.releases_marked import marked_request, marked_tables
from warehouse.build_publish import build_and_publish
from warehouse.errors import WarehouseError
from warehouse.manifest import read_manifest, verify_database
from warehouse.pointer import read_pointer
from warehouse.release import release_path
from warehouse.retention import Retention, prune

MEGABYTE = 1024 * 1024


@contextmanager
def too_small(kind: str, folder: Path, room: int) -> Iterator[None]:
    if kind == "limit":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        return
    filler = folder / "filler"
    disk = os.statvfs(folder)
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - room))
    try:
        yield
    finally:
        filler.unlink()


def litter(warehouse: Path) -> list[str]:
    known = {"current", "history.jsonl", "releases", "building", ".building.lock", ".pointer.lock", ".waivers.lock"}
    found = [p.name for p in warehouse.iterdir() if p.name not in known]
    found += [str(p) for p in (warehouse / "building").iterdir()]
    for release in (warehouse / "releases").iterdir():
        found += [str(p) for p in release.iterdir() if p.name not in ("warehouse.duckdb", "manifest.json")]
    return found


def try_publishing(kind: str, folder: Path, warehouse: Path, n: int, room: int) -> dict[str, object]:
    before = read_pointer(warehouse)
    assert before is not None
    tables = marked_tables(n)
    fault = None
    with too_small(kind, folder, room):
        try:
            build_and_publish(warehouse, tables, info=marked_request(tables))
        except (WarehouseError, OSError) as error:
            fault = f"{type(error).__name__}: {error}"
    after = read_pointer(warehouse)
    assert after is not None
    directory = warehouse / "releases" / after.release_id
    verify_database(directory, read_manifest(directory))
    with duckdb.connect(release_path(warehouse), read_only=True) as connection:
        rows = connection.execute("SELECT release_id FROM release_info").fetchall()
    return {
        "room": room,
        "fault": fault,
        "stayed": after == before,
        "serves": rows == [(after.release_id,)],
        "litter": litter(warehouse),
    }


def main(kind: str, folder: Path, count: int) -> None:
    if kind == "mount":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)], check=True)
    warehouse = folder / "warehouse"
    tables = marked_tables(0)
    build_and_publish(warehouse, tables, info=marked_request(tables))
    size = release_path(warehouse).stat().st_size
    chooser = random.Random(20261122)
    for n in range(1, count + 1):
        # Every other disk has room for the file and hardly for what is written after it: manifest, history, pointer.
        room = chooser.randrange(int(1.2 * size)) if n % 2 else size + chooser.randrange(-4096, 49_152)
        case = try_publishing(kind, folder, warehouse, n, room)
        healed = try_publishing("limit", folder, warehouse, n, 1024 * MEGABYTE)
        prune(warehouse, Retention(count=2, age=timedelta(0), keep_last_of_month=False))
        shutil.rmtree(warehouse / "refused", ignore_errors=True)
        sys.stdout.write(json.dumps({"case": case, "healed": healed}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
