"""/data-freshness: ages by the clock, in step with the header of every other answer."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.freshness import FreshnessClock
from api.routes.data_freshness import without_secrets
from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny
from warehouse.release import activate
from warehouse.status import update_source

PATH = "/api/v1/data-freshness"
# The tiny release's sources all reach this instant; pi has an SLA of 2 h, the others of 30 h and 168 h.
AS_OF = datetime(2026, 11, 22, 5, tzinfo=UTC)


def at(api: Api, moment: datetime) -> None:
    """Sets the application's clock."""
    clock: FreshnessClock = api.edge.desk.freshness
    clock._now = moment.timestamp


def sources(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {source["source"]: source for source in body["sources"]}


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], Api]:
    publish_tiny(tmp_path, days=5)
    return lambda: Api(Settings(warehouse_dir=tmp_path))


def test_freshness_right_after_the_sources_instant_then_fresh(make: Callable[[], Api]) -> None:
    with make() as api:
        at(api, AS_OF + timedelta(minutes=90))
        body = api.body(PATH)
    assert (body["status"], body["held"], body["checkedAt"]) == ("fresh", False, "2026-11-22T06:30:00Z")
    assert {source: (s["status"], s["lagSeconds"]) for source, s in sources(body).items()} == {
        "energy_components": ("fresh", 5400),
        "pi": ("fresh", 5400),
        "sharepoint": ("fresh", 5400),
    }
    pi = sources(body)["pi"]
    assert (pi["slaSeconds"], pi["dataAsOf"], pi["releasedAsOf"]) == (
        7200,
        "2026-11-22T05:00:00Z",
        "2026-11-22T05:00:00Z",
    )
    assert (pi["circuit"], pi["nextRun"], pi["lastError"], pi["percentGood"]) == (None, None, None, None)
    assert pi["inRelease"] is True


def test_freshness_with_a_status_file_then_what_the_pipelines_say(make: Callable[[], Api], tmp_path: Path) -> None:
    now = AS_OF + timedelta(hours=3)
    update_source(
        tmp_path,
        "pi",
        sla_seconds=7200,
        now=now,
        data_as_of=AS_OF + timedelta(hours=2),
        last_success=AS_OF + timedelta(hours=2, minutes=1),
        percent_good=97.5,
        circuit="closed",
        next_run_at_utc=now + timedelta(minutes=15),
    )
    update_source(
        tmp_path, "energy_components", sla_seconds=108_000, now=now,
        last_error="POST https://ec:hunter2@ec.example/login: 401, client_secret=abc", circuit="open",
        circuit_next_try_at_utc=now + timedelta(minutes=1),
    )  # fmt: skip
    update_source(tmp_path, "weather", sla_seconds=60, now=now, data_as_of=now)
    with make() as api:
        at(api, now)
        body = api.body(PATH)
        header = api.get("/api/v1/summary").headers["data-freshness"]
    found = sources(body)
    assert (found["pi"]["status"], found["pi"]["lagSeconds"], found["pi"]["percentGood"]) == ("fresh", 3600, 97.5)
    assert found["pi"]["nextRun"] == "2026-11-22T08:15:00Z"
    assert found["energy_components"]["status"] == "delayed"
    assert found["energy_components"]["lastError"] == "POST https://***@ec.example/login: 401, client_secret=***"
    assert (found["energy_components"]["circuit"], found["energy_components"]["circuitNextTry"]) == (
        "open",
        "2026-11-22T08:01:00Z",
    )
    assert (found["weather"]["inRelease"], found["weather"]["status"]) == (False, "fresh")
    assert body["status"] == header == "delayed"


def test_freshness_of_a_held_release_then_its_own_instants(make: Callable[[], Api], tmp_path: Path) -> None:
    now = AS_OF + timedelta(hours=5)
    update_source(tmp_path, "pi", sla_seconds=7200, now=now, data_as_of=now)
    with make() as api:
        held = api.edge.desk.reader.release_id
        assert held is not None
        activate(tmp_path, held, by="tester", reason="wrong targets")
        api.edge.desk.refresh()
        at(api, now)
        body = api.body(PATH)
    assert body["held"] is True
    assert (sources(body)["pi"]["dataAsOf"], sources(body)["pi"]["status"]) == ("2026-11-22T05:00:00Z", "stale")


def test_freshness_of_a_source_that_never_answered_then_stale_without_a_lag(
    make: Callable[[], Api], tmp_path: Path
) -> None:
    update_source(tmp_path, "lims", sla_seconds=60, last_error="no route to host")
    with make() as api:
        found = sources(api.body(PATH))["lims"]
    assert (found["status"], found["dataAsOf"], found["lagSeconds"]) == ("stale", None, None)


@hypothesis_settings(max_examples=40, deadline=None)
@given(lag=st.integers(-3600, 400 * 3600))
def test_freshness_for_any_clock_then_the_headers_word_is_the_worst_of_the_sources(api: Api, lag: int) -> None:
    clock: FreshnessClock = api.edge.desk.freshness
    was = clock._now
    try:
        at(api, AS_OF + timedelta(seconds=lag))
        body = api.body(PATH)
        answer = api.get("/api/v1/summary")
    finally:
        clock._now = was
    order = ["fresh", "delayed", "stale"]
    worst = max((s["status"] for s in body["sources"] if s["inRelease"]), key=order.index)
    assert body["status"] == worst == answer.headers["data-freshness"]


def test_freshness_then_it_is_never_kept(api: Api) -> None:
    first = api.get(PATH)
    assert first.headers["cache-control"] == "no-store"
    assert "etag" not in first.headers
    assert first.headers["data-freshness"] == first.json()["status"]
    assert first.headers["data-version"] == first.json()["dataVersion"]
    assert api.get(PATH, {"if-none-match": "*"}).status_code == 200


def test_freshness_without_any_release_then_503(tmp_path: Path) -> None:
    with Api(Settings(warehouse_dir=tmp_path)) as api:
        api.problem(PATH, 503, "noRelease")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("timed out\nafter 30 s", "timed out after 30 s"),
        ("Authorization: Bearer eyJhbGciOi.x.y failed", "Authorization: Bearer *** failed"),
        ("password = 'a b'", "password=*** b'"),
        ("https://x/y?sig=AbC%2F&se=2026", "https://x/y?sig=***&se=2026"),
        ("PI_PASSWORD=hunter2", "PI_PASSWORD=***"),
        ("x" * 900, "x" * 500),
    ],
)
def test_error_then_one_short_line_without_credentials(message: str, shown: str) -> None:
    assert without_secrets(message) == shown
