"""A publisher of marked releases on object storage, in a process of its own: one JSON line in, one or more out.

`race` waits between building and publishing until the caller sends a line. `publish` may be killed at any moment.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.integration.releases_marked import marked_request, marked_tables
from warehouse.build_publish import build_and_publish
from warehouse.errors import WarehouseError
from warehouse.mirror import Mirror
from warehouse.object_store import Patience, location
from warehouse.remote import open_remote


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def publish(mirror: Mirror, n: int, progress: Any = None) -> dict[str, Any]:
    tables = marked_tables(n)
    try:
        result = build_and_publish(
            mirror.warehouse_dir, tables, info=marked_request(tables), progress=progress, mirror=mirror
        )
    except WarehouseError as fault:
        return {"fault": str(fault), "kind": type(fault).__name__}
    return {"release": result.release_id, "active": result.is_active, "refused": [r.gate for r in result.refused]}


def race(mirror: Mirror, n: int) -> dict[str, Any]:
    built: list[str] = []

    def progress(text: str) -> None:
        if text.startswith("built release"):
            built.append(text.split()[-1])
            if len(built) == 1:
                say(built=built[0])
                sys.stdin.readline()

    return publish(mirror, n, progress) | {"built": built}


def main() -> None:
    # A broken line is given up soon, a busy machine is waited for.
    patience = Patience(timedelta(seconds=5), timedelta(seconds=30), timedelta(seconds=30), retries=2)
    say(ready=True)
    for line in sys.stdin:
        asked = json.loads(line)
        remote = open_remote(location(asked["url"], asked["environment"]), patience)
        mirror = Mirror(remote, Path(asked["warehouse"]))
        say(**(race if asked["do"] == "race" else publish)(mirror, asked["n"]))


if __name__ == "__main__":
    main()
