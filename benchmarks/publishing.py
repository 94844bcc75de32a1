"""What a caller feels of releases: latency while they are published back to back, beside none being published.

Run: make bench-publishing, or python -m benchmarks.publishing [--rounds N] [--publishes N].
Rounds alternate 10 s of quiet with publishes, so that what others on the machine do falls on both alike; percentiles are over
all rounds. The publisher gives way to the API (docs/runbook.md), then takes the processor as anybody does: that one has no bar.
Server, publisher and client share the machine.
"""

import argparse
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from tests.integration.releases_caller import Caller
from tests.integration.releases_processes import Publisher, served
from warehouse.retention import Retention, prune

BAR = 1.2
QUIET_SECONDS = 10.0
FEW = Retention(count=3, age=timedelta(0), keep_last_of_month=False)
Span = tuple[float, float]


def measure(folder: Path, rounds: int, publishes: int, *, gives_way: bool) -> tuple[Caller, list[Span], list[Span]]:
    """A client's answers, and the spans without and with publishing."""
    warehouse = folder / "warehouse"
    published: dict[str, int] = {}
    quiet: list[Span] = []
    busy: list[Span] = []
    with Publisher(gives_way=gives_way) as publisher:
        publisher.publish_known(warehouse, 0, published)
        with served(warehouse, folder / "log") as port, Caller(port, published, seed=0) as caller:
            caller.wait_for(400)
            # One stretch beforehand: the process that prepares answers is there from the second switch on.
            for stretch in range(rounds + 1):
                begun = time.monotonic()
                caller.stop.wait(QUIET_SECONDS)
                between = time.monotonic()
                for n in range(stretch * publishes + 1, (stretch + 1) * publishes + 1):
                    publisher.publish_known(warehouse, n, published)
                    if n % 5 == 0:
                        prune(warehouse, FEW)
                if stretch:
                    quiet.append((begun, between))
                    busy.append((between, time.monotonic()))
    if caller.wrong:
        raise SystemExit("\n".join(caller.wrong))
    return caller, quiet, busy


def main() -> None:
    """Prints percentiles, ratios and the bar's verdict; exits 1 where it is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--publishes", type=int, default=12)
    arguments = parser.parse_args()
    passed = False
    for gives_way in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            caller, quiet, busy = measure(Path(folder), arguments.rounds, arguments.publishes, gives_way=gives_way)
        count = arguments.rounds * arguments.publishes
        pace = sum(until - since for since, until in busy) / count
        print(f"\npublisher {'gives way' if gives_way else 'at normal priority'}: {count} publishes, {pace:.2f} s each")
        print(f"{'percentile':12}{'quiet ms':>10}{'busy ms':>10}{'ratio':>8}")
        for percent in (50, 90, 95, 99):
            calm, loaded = caller.percentile(percent, *quiet), caller.percentile(percent, *busy)
            print(f"{f'p{percent}':12}{calm:10.2f}{loaded:10.2f}{loaded / calm:8.2f}")
        ratio = loaded / calm
        pairs = zip(quiet, busy, strict=True)
        each = statistics.median(caller.percentile(99, b) / caller.percentile(99, q) for q, b in pairs)
        print(f"p99 of a round, busy to quiet, median of {arguments.rounds}: {each:.2f}")
        if gives_way:
            passed = ratio <= BAR
            print(f"{'PASS' if passed else 'MISSED':7} p99 while publishing / quiet: {ratio:.2f} (at most {BAR})")
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
