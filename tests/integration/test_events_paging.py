"""Walking /events page by page: each event exactly once, for any page size and filter, whatever is published meanwhile."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import LATEST, OPERATOR, publish_tiny, table, tiny_release_tables
from warehouse.retention import Retention, prune

PATH = "/api/v1/events"
DAYS = 12
BEGIN = datetime(2026, 11, 10, 5, tzinfo=UTC)


def events() -> pl.DataFrame:
    """64 events of one to three days: many begin at the same instant, some have no start, some differ by a microsecond."""
    rows = [
        _event(number, first, later)
        for number in range(64)
        for first in (number * 7 % DAYS,)
        for later in range(min(1 + number % 3, DAYS - first))
    ]
    return table("out__daily_event", rows)


def _event(number: int, first: int, later: int) -> dict[str, Any]:
    is_standing = number % 16 == 5
    started = BEGIN + timedelta(days=first, microseconds=number % 2)
    return {
        "production_date": LATEST - timedelta(days=DAYS - 1 - first - later),
        "event_id": f"constraint:e{number:02}" if is_standing else f"ec:{900 - number}",
        "facility_id": (None, "fs-alder", "gp-alder", "fs-birch")[number % 4],
        "started_at_utc": None if is_standing else started,
        "ended_at_utc": None if number % 5 == 0 else started + timedelta(days=2),
        "hours": 24.0,
        "choke": "plant",
        "is_open": number % 5 == 0,
        "is_planned": False,
        "is_third_party": False,
        "source": "constraint" if is_standing else "ec",
        "title": f"event {number}",
    }


def publish(directory: Path, events_of_release: pl.DataFrame, **changes: Any) -> str:
    tables = tiny_release_tables(DAYS)
    # The tiny operator's own events keep their drivers.
    tables["out__daily_event"] = pl.concat([tables["out__daily_event"], events_of_release])
    return publish_tiny(directory, tables=tables, **changes)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("paging")
    publish(directory, events())
    with Api(Settings(warehouse_dir=directory, operator=OPERATOR)) as running:
        yield running


def walk(api: Api, filters: str, limits: Iterator[int]) -> tuple[list[dict[str, Any]], int]:
    """Every event of the pages, and the total that each page says."""
    found: list[dict[str, Any]] = []
    totals: set[int] = set()
    cursor = ""
    for _ in range(200):
        body = api.body(f"{PATH}?limit={next(limits)}{filters}{cursor}")
        found += body["events"]
        totals.add(body["total"])
        if body["next"] is None:
            (total,) = totals
            return found, total
        cursor = f"&cursor={body['next']}"
    raise AssertionError("the walk does not end")


@settings(max_examples=30, deadline=None)
@given(
    limits=st.lists(st.integers(1, 80), min_size=1, max_size=6),
    filters=st.sampled_from(
        [
            "",
            "&status=open",
            "&status=closed",
            "&facilityId=fs-alder",
            "&assetId=east",
            "&source=constraint",
            "&network=oil",
        ]
    ),
    first=st.sampled_from(["", "&from=2026-11-15", "&from=2026-11-19&to=2026-11-20"]),
)
def test_walk_for_any_page_sizes_then_each_event_once_in_the_order_of_one_page(
    api: Api, limits: list[int], filters: str, first: str
) -> None:
    def sizes() -> Iterator[int]:
        while True:
            yield from limits

    whole = api.body(f"{PATH}?limit=500{filters}{first}")
    assert whole["next"] is None
    found, total = walk(api, filters + first, sizes())
    assert found == whole["events"]
    identifiers = [event["id"] for event in found]
    assert len(identifiers) == len(set(identifiers)) == total


def test_walk_of_everything_then_newest_start_first_and_standing_ones_last(api: Api) -> None:
    found = api.body(f"{PATH}?limit=500")["events"]
    assert len(found) == 64 + 4
    starts = [event["startedAt"] and datetime.fromisoformat(event["startedAt"]) for event in found]
    known = [start for start in starts if start is not None]
    assert starts == sorted(known, reverse=True) + [None] * 4
    for one, other in pairwise(found):
        if one["startedAt"] == other["startedAt"]:
            assert one["id"] < other["id"]


def test_walk_while_a_release_is_published_then_the_first_pages_release_to_the_end(tmp_path: Path) -> None:
    first = publish(tmp_path, events(), built_at=datetime(2026, 11, 22, 6, tzinfo=UTC))
    with Api(Settings(warehouse_dir=tmp_path, release_poll_seconds=3600.0)) as api:
        whole = [event["id"] for event in api.body(f"{PATH}?limit=500")["events"]]
        page = api.body(f"{PATH}?limit=10")
        found = [event["id"] for event in page["events"]]
        # The new release has lost every event that was on the first page.
        second = publish(
            tmp_path, events().filter(~pl.col("event_id").is_in(found)), built_at=datetime(2026, 11, 22, 7, tzinfo=UTC)
        )
        assert api.edge.desk.refresh()
        assert api.body(f"{PATH}?limit=10")["dataVersion"] == second
        while page["next"] is not None:
            page = api.body(f"{PATH}?limit=7&cursor={page['next']}")
            assert page["dataVersion"] == first
            found += [event["id"] for event in page["events"]]
    assert found == whole


def test_cursor_when_its_release_was_pruned_then_410_and_a_new_walk_works(tmp_path: Path) -> None:
    first = publish(tmp_path, events(), built_at=datetime(2026, 11, 20, 6, tzinfo=UTC))
    with Api(Settings(warehouse_dir=tmp_path, release_poll_seconds=3600.0)) as api:
        cursor = api.body(f"{PATH}?limit=10")["next"]
    for hour in range(6, 8):
        publish(tmp_path, events().head(100 + hour), built_at=datetime(2026, 11, 22, hour, tzinfo=UTC))
    assert first in prune(tmp_path, Retention(count=1, age=timedelta(0)))
    with Api(Settings(warehouse_dir=tmp_path, release_poll_seconds=3600.0)) as api:
        problem = api.problem(f"{PATH}?limit=10&cursor={cursor}", 410, "releaseExpired")
        assert first in problem["detail"]
        assert api.body(f"{PATH}?limit=10")["next"]
