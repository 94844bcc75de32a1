"""A client that asks the server at an even pace while releases change, and judges every answer."""

import hashlib
import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Self

from tests.integration.releases_marked import ADDRESSES, marks_of

REQUESTS_PER_SECOND = 200


@dataclass
class Caller:
    """Asks one address after another at an even pace until its block ends, half the time with the tag it holds.

    One thread: with more of them this process would measure how its own threads wait for each other.
    """

    port: int
    published: dict[str, int]  # release → the number that it carries; filled before the release can be served
    seed: int
    stop: threading.Event = field(default_factory=threading.Event)
    wrong: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    judged: dict[tuple[str, str], bytes] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _run(self) -> None:
        chooser = random.Random(self.seed)
        held: dict[str, tuple[str, str]] = {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        due = time.monotonic()
        try:
            while not self.stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + 1 / REQUESTS_PER_SECOND, time.monotonic() - 1)
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

    def percentile(self, percent: int, *spans: tuple[float, float]) -> float:
        """Milliseconds within which that many in a hundred answers came, of those asked for in the spans."""
        found = [took for at, took in self.seconds if any(since <= at <= until for since, until in spans)]
        return 1000 * quantiles(found, n=100)[percent - 1]

    def wait_for(self, answers: int) -> None:
        """Until that many more answers came, or one was wrong."""
        enough = len(self.seconds) + answers
        while len(self.seconds) < enough and not self.wrong:
            self.stop.wait(0.05)

    def wait_until_served(self, release: str) -> None:
        """Until an answer comes from the release; 30 s at most."""
        deadline = time.monotonic() + 30
        while release not in self.seen and time.monotonic() < deadline:
            self.stop.wait(0.05)
