"""How soon a replica serves the newest release: while it follows, after its storage answers again, and after it is killed.

Run: make bench-healing, or python -m benchmarks.healing [--rounds N] [--busy N].
Three API processes with copies of their own follow Azurite (an emulator of Azure Blob Storage). In each round one is killed
and one is cut off, a release is published, both are healed at a random moment, and a round-robin client asks throughout. Client,
publisher, storage and replicas share the machine; `--busy` adds processes that only compute, and then there is no bar.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.azurite import azurite
from tests.integration.replicas import Client, publisher, replicas, until

BAR_SECONDS = 5.0
FOLLOWS, HEALS, RETURNS = "follows a publish", "after the storage answers again", "from start to the newest release"


def measure(folder: Path, rounds: int) -> tuple[dict[str, list[float]], Client]:
    """Seconds until the newest release answers, for each case; and the client that asked meanwhile."""
    chooser = random.Random(0)
    seconds: dict[str, list[float]] = {FOLLOWS: [], HEALS: [], RETURNS: []}
    with azurite(folder / "azurite") as storage:
        url = storage.lake_url()
        publish = publisher(storage, url, folder / "publisher")
        publish(0)
        with replicas(storage, url, folder, 3) as (steady, cut, killed):
            client = Client([steady, cut, killed])
            with client.sending():
                for n in range(1, rounds + 1):
                    killed.end(signal.SIGKILL)
                    cut.proxy.cut()
                    newest = publish(n)
                    seconds[FOLLOWS].append(until(lambda: steady.served() == newest, steady))  # noqa: B023 - called at once
                    until(lambda: cut.ask("/api/v1/data-releases")[1]["fault"] is not None, cut)
                    time.sleep(chooser.uniform(0.0, 3.0))
                    cut.proxy.heal()
                    seconds[HEALS].append(until(lambda: cut.served() == newest, cut))  # noqa: B023
                    begun = time.monotonic()
                    killed.start()
                    until(lambda: killed.served() == newest, killed)  # noqa: B023
                    seconds[RETURNS].append(time.monotonic() - begun)
                    client.wait_for(30)
                    print(
                        f"round {n}: " + ", ".join(f"{case} {taken[-1]:.2f} s" for case, taken in seconds.items()),
                        flush=True,
                    )
    return seconds, client


@contextmanager
def computing(how_many: int) -> Iterator[None]:
    """Processes that take the processor as anybody does."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(10000))"]) for _ in range(how_many)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    """Prints medians and the slowest, and the bar's verdict; exits 1 where it is missed or a request failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--busy", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, computing(arguments.busy):
        seconds, client = measure(Path(folder), arguments.rounds)
    print(f"\n{arguments.rounds} rounds on {os.cpu_count()} cores, beside {arguments.busy} processes that compute")
    for case, taken in seconds.items():
        print(f"{case:36}median {statistics.median(taken):5.2f} s, slowest {max(taken):5.2f} s")
    print(
        f"{client.answered} requests answered, {client.passed_on} passed on to the next replica, {len(client.failed)} failed"
    )
    passed = max(map(max, seconds.values())) <= BAR_SECONDS and not client.failed
    if not arguments.busy:
        print(f"{'PASS' if passed else 'MISSED':7} at most {BAR_SECONDS:g} s, no request failed")
    raise SystemExit(0 if passed or (arguments.busy and not client.failed) else "\n".join(client.failed) or 1)


if __name__ == "__main__":
    main()
