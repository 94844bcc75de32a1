"""Releases that nobody notices: a client asks the real server all the time while one release after another is published."""

import hashlib
import http.client
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import quantiles

import pytest

from tests.integration.releases_marked import ADDRESSES, marks_of
from tests.integration.releases_processes import Publisher, said, served
from warehouse.pointer import read_pointer
from warehouse.release import release_ids
from warehouse.retention import Retention, prune

FEW = Retention(count=3, age=timedelta(0), keep_last_of_month=False)
REQUESTS_PER_SECOND = 200
# One: with more of them this process would measure how its own threads wait for each other.
CALLERS = 1


@dataclass
class Caller:
    """Asks one address after another at an even pace, half the time with the tag it holds; notes whatever is wrong."""

    port: int
    published: dict[str, int]  # release → the number that it carries; filled before the release can be served
    seed: int
    stop: threading.Event = field(default_factory=threading.Event)
    wrong: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    judged: dict[tuple[str, str], bytes] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def run(self) -> None:
        chooser = random.Random(self.seed)
        held: dict[str, tuple[str, str]] = {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        due = time.monotonic()
        try:
            while not self.stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + CALLERS / REQUESTS_PER_SECOND, time.monotonic() - 1)
                self._ask(connection, chooser.choice(ADDRESSES), held, use_tag=chooser.random() < 0.5)
        except (OSError, http.client.HTTPException) as fault:
            self.wrong.append(f"the connection broke: {fault!r}")
        finally:
            connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, path: str, held: dict[str, tuple[str, str]], *, use_tag: bool
    ) -> None:
        headers = {"accept-encoding": "identity"}
        if use_tag and path in held:
            headers["if-none-match"] = held[path][0]
        begun = time.monotonic()
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        content = response.read()
        self.seconds.append((begun, time.monotonic() - begun))
        self.answers[response.status] = self.answers.get(response.status, 0) + 1
        release = response.headers["data-version"]
        if response.status == 304:
            if release != held[path][1]:
                self.wrong.append(f"{path}: 304 by {release} for a tag of {held[path][1]}")
            return
        if response.status != 200:
            self.wrong.append(f"{path}: {response.status} {content[:300]!r}")
            return
        # One tag is one body: what was judged once need not be read again, which would only slow this client's own clock.
        key, digest = (path, response.headers["etag"]), hashlib.blake2b(content).digest()
        held[path] = (response.headers["etag"], release)
        if key in self.judged:
            if self.judged[key] != digest:
                self.wrong.append(f"{path}: another body under the tag {key[1]}")
            return
        self.judged[key] = digest
        body = json.loads(content)
        said = {part["dataVersion"] for part in (body if isinstance(body, list) else [body])}
        marks = marks_of(body)
        if said != {release} or marks != {self.published.get(release)}:
            self.wrong.append(f"{path}: header {release}, body {said}, numbers of releases {marks}")
        self.seen.add(release)


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    with Publisher() as running:
        yield running


def percentile(seconds: list[float]) -> float:
    return 1000 * quantiles(seconds, n=100)[98]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("publishes", [3, pytest.param(1000, marks=pytest.mark.slow)])
def test_server_when_releases_are_published_all_the_time_then_no_request_fails_and_no_body_mixes_two(
    publisher: Publisher, tmp_path: Path, publishes: int, record_property: Callable[[str, object], None]
) -> None:
    warehouse = tmp_path / "warehouse"
    published: dict[str, int] = {}

    def publish(n: int) -> str:
        """Publish release n; callers must know its number before the server can serve it."""
        publisher.ask(do="race", warehouse=warehouse, n=n)
        built: str = publisher.answer()["built"]
        published[built] = n
        publisher.send()
        result = publisher.answer()
        assert result["active"] and result["release"] == built, result
        return built

    publish(0)
    with served(warehouse, tmp_path / "log") as port:
        callers = [Caller(port, published, seed) for seed in range(CALLERS)]
        threads = [threading.Thread(target=caller.run) for caller in callers]
        for thread in threads:
            thread.start()
        try:
            # What is quiet is measured for long enough to have a hundredth, after the first answers.
            wait_for(callers, 2 * REQUESTS_PER_SECOND)
            settled = time.monotonic()
            wait_for(callers, (2 + min(publishes, 60)) * REQUESTS_PER_SECOND)
            begun = time.monotonic()
            for n in range(1, publishes + 1):
                last = publish(n)
                if n % 5 == 0:
                    prune(warehouse, FEW)
            ended = time.monotonic()
            wait_until_served(callers, last)
        finally:
            for caller in callers:
                caller.stop.set()
            for thread in threads:
                thread.join()
    assert [text for caller in callers for text in caller.wrong] == []
    statuses = {status for caller in callers for status in caller.answers}
    assert statuses == {200, 304}
    seen = set().union(*(caller.seen for caller in callers))
    assert last in seen and seen <= set(published)
    assert len(seen) > publishes // 3  # a release that is replaced within the polling interval may be passed over
    pointer = read_pointer(warehouse)
    assert pointer is not None and pointer.sequence == publishes + 1
    assert len(release_ids(warehouse)) < 12
    assert said(tmp_path / "log") == []  # neither a warning nor an error
    quiet, busy = (
        percentile([took for caller in callers for at, took in caller.seconds if since <= at <= until])
        for since, until in ((settled, begun), (begun, ended))
    )
    asked = sum(count for caller in callers for count in caller.answers.values())
    text = (
        f"{publishes} publishes, {len(seen)} releases seen, {asked} requests at {asked / (ended - begun):.0f}/s: "
        f"p99 {busy:.1f} ms, quiet {quiet:.1f} ms"
    )
    record_property("latency", text)
    sys.stdout.write(text + "\n")


def wait_for(callers: list[Caller], answers: int) -> None:
    while sum(len(caller.seconds) for caller in callers) < answers and not any(c.wrong for c in callers):
        callers[0].stop.wait(0.05)


def wait_until_served(callers: list[Caller], release: str) -> None:
    deadline = time.monotonic() + 30
    while not any(release in caller.seen for caller in callers) and time.monotonic() < deadline:
        callers[0].stop.wait(0.05)
