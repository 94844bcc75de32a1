"""A publisher in a process of its own: publishes marked releases as it is told to, one JSON line in, one or more out.

`fork` publishes in a child that the caller may kill: the heavy imports are paid once. `race` waits between building and
publishing until the caller sends a line. Started with `gives way`, it works only when nobody else needs the processor.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.integration.releases_marked import marked_request, marked_tables
from warehouse.build_publish import build_and_publish
from warehouse.pointer import read_pointer

# Python's own view of every step on files; what DuckDB does on its own is covered by killing at random times.
STEPS = frozenset(
    {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "os.listdir", "os.scandir", "fcntl.flock"}
)


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def publish(warehouse: Path, n: int, progress: Any = None) -> dict[str, Any]:
    tables = marked_tables(n)
    result = build_and_publish(warehouse, tables, info=marked_request(tables), progress=progress)
    pointer = read_pointer(warehouse)
    assert pointer is not None
    return {
        "release": result.release_id,
        "active": result.is_active,
        "refused": [r.gate for r in result.refused],
        "sequence": pointer.sequence,
    }


def race(warehouse: Path, n: int) -> dict[str, Any]:
    built: list[str] = []

    def progress(text: str) -> None:
        if text.startswith("built release"):
            built.append(text.split()[-1])
            if len(built) == 1:
                say(built=built[0])
                sys.stdin.readline()

    return publish(warehouse, n, progress) | {"built": built}


def fork(warehouse: Path, n: int, kill_at: int | None) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        steps = 0

        def step(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal steps
            if event in STEPS and (event == "fcntl.flock" or str(warehouse) in str(arguments[0])):
                steps += 1
                if steps == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(step)
        result = publish(warehouse, n) | {"steps": steps}
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    say(child=child)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as stream:
        text = stream.read()
    return {"killed": os.WIFSIGNALED(status), **(json.loads(text) if text else {})}


def main() -> None:
    if "gives way" in sys.argv and hasattr(os, "sched_setscheduler"):
        # Every thread: those that the libraries started already keep what they were started with.
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
    say(ready=True)
    for line in sys.stdin:
        asked = json.loads(line)
        warehouse = Path(asked["warehouse"])
        if asked["do"] == "fork":
            say(**fork(warehouse, asked["n"], asked.get("kill_at")))
        elif asked["do"] == "race":
            say(**race(warehouse, asked["n"]))
        else:
            say(**publish(warehouse, asked["n"]))


if __name__ == "__main__":
    main()
