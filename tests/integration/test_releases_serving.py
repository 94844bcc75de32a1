"""Releases that nobody notices: a client asks the real server all the time while one release after another is published."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.releases_caller import REQUESTS_PER_SECOND, Caller
from tests.integration.releases_processes import Publisher, said, served
from warehouse.pointer import read_pointer
from warehouse.release import release_ids
from warehouse.retention import Retention, prune

FEW = Retention(count=3, age=timedelta(0), keep_last_of_month=False)
# So many publishes, then some seconds without one, to tell what others on the machine do from what publishing does.
STRETCH = 50


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("publishes", [3, pytest.param(1000, marks=pytest.mark.slow)])
def test_server_when_releases_are_published_all_the_time_then_no_request_fails_and_no_body_mixes_two(
    tmp_path: Path, publishes: int, record_property: Callable[[str, object], None]
) -> None:
    warehouse = tmp_path / "warehouse"
    published: dict[str, int] = {}
    quiet: list[tuple[float, float]] = []
    busy: list[tuple[float, float]] = []
    # Beside the whole suite a publisher that gives way would wait for its end.
    with Publisher(gives_way=publishes > STRETCH) as publisher:
        publisher.publish_known(warehouse, 0, published)
        with served(warehouse, tmp_path / "log") as port, Caller(port, published, seed=0) as caller:
            caller.wait_for(2 * REQUESTS_PER_SECOND)
            for first in range(1, publishes + 1, STRETCH):
                begun = time.monotonic()
                caller.wait_for(min(10, publishes) * REQUESTS_PER_SECOND)
                quiet.append((begun, time.monotonic()))
                for n in range(first, min(first + STRETCH, publishes + 1)):
                    last = publisher.publish_known(warehouse, n, published)
                    if n % 5 == 0:
                        prune(warehouse, FEW)
                busy.append((quiet[-1][1], time.monotonic()))
            caller.wait_until_served(last)
    assert caller.wrong == []
    assert set(caller.answers) == {200, 304}
    assert last in caller.seen and caller.seen <= set(published)
    assert len(caller.seen) > publishes // 3  # one that is replaced before its answers are made may be passed over
    pointer = read_pointer(warehouse)
    assert pointer is not None and pointer.sequence == publishes + 1
    assert len(release_ids(warehouse)) < 12
    assert said(tmp_path / "log") == []  # neither a warning nor an error
    asked, pace = sum(caller.answers.values()), len(caller.seconds) / (caller.seconds[-1][0] - caller.seconds[0][0])
    text = (
        f"{publishes} publishes, {len(caller.seen)} releases seen, {asked} requests at {pace:.0f}/s: "
        f"p99 {caller.percentile(99, *busy):.2f} ms, quiet {caller.percentile(99, *quiet):.2f} ms"
    )
    record_property("latency", text)
    sys.stdout.write(text + "\n")
