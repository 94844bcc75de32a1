"""What was restated, as the release records it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny, table, tiny_release_tables

BUILT = datetime(2026, 11, 22, 6, tzinfo=UTC)
DAY = date(2026, 11, 20)


def row(hours_before: float, what: str, entity: str, old: float | None, new: float | None) -> dict[str, Any]:
    return {
        "what": what,
        "entity_id": entity,
        "production_date": DAY,
        "known_at_utc": BUILT - timedelta(hours=hours_before),
        "old_value": old,
        "new_value": new,
        "delta": None if old is None or new is None else new - old,
        "reason": "ec:revision 2",
    }


ROWS = [
    row(200, "production_daily.production_volume", "fs-alder/oil", 10.0, 20.0),
    row(30, "production_daily.production_volume", "fs-alder/oil", 20.0, 35_000.0),
    row(30, "production_daily.production_volume", "gp-alder/exportGas", None, 96e6),
    row(30, "terminal_daily.gross_stock", "tm-east", 2.7e6, None),
    row(2, "production_daily.deferment", "fs-alder/oil", 5.0, 4.0),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = Path(tmp_path_factory.mktemp("changes"))
    for rows, moment in (([], BUILT - timedelta(days=1)), (ROWS, BUILT)):
        tables = tiny_release_tables() | {"restatement": table("restatement", rows)}
        publish_tiny(directory, tables=tables, built_at=moment)
    with Api(Settings(warehouse_dir=directory, release_poll_seconds=3600.0)) as running:
        yield running


def test_changes_then_oldest_knowledge_first_with_values_units_and_reason(api: Api) -> None:
    body = api.body("/api/v1/changes?since=2026-11-01T00:00:00Z")
    assert body["since"] == "2026-11-01T00:00:00Z"
    assert body["dataVersion"].startswith("20261122T060000Z-")
    assert body["next"] is None
    assert [(c["what"], c["entityId"], c["unit"]) for c in body["changes"]] == [
        ("production_daily.production_volume", "fs-alder/oil", "bbl"),
        ("production_daily.production_volume", "fs-alder/oil", "bbl"),
        ("production_daily.production_volume", "gp-alder/exportGas", "scf"),
        ("terminal_daily.gross_stock", "tm-east", "bbl"),
        ("production_daily.deferment", "fs-alder/oil", "bbl/d"),
    ]
    assert body["changes"][1] == {
        "what": "production_daily.production_volume",
        "entityId": "fs-alder/oil",
        "productionDate": "2026-11-20",
        "knownAt": "2026-11-21T00:00:00Z",
        "old": 20.0,
        "new": 35_000.0,
        "delta": 34_980.0,
        "unit": "bbl",
        "reason": "ec:revision 2",
    }
    assert [c["delta"] for c in body["changes"][2:4]] == [None, None]


def test_changes_when_no_instant_is_given_then_a_week_before_the_build(api: Api) -> None:
    body = api.body("/api/v1/changes")
    assert body["since"] == "2026-11-15T06:00:00Z"
    assert len(body["changes"]) == 4


def test_changes_when_followed_by_the_last_instant_then_only_what_is_newer(api: Api) -> None:
    assert len(api.body("/api/v1/changes?since=2026-11-21T00:00:00Z")["changes"]) == 1
    assert api.body("/api/v1/changes?since=2026-11-22T04:00:00Z")["changes"] == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_changes_when_paged_then_every_one_once_in_the_same_order(api: Api, limit: int) -> None:
    address = "/api/v1/changes?since=2026-11-01T00:00:00Z"
    whole = api.body(address)["changes"]
    paged: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = api.body(f"{address}&limit={limit}{f'&cursor={cursor}' if cursor else ''}")
        assert len(page["changes"]) <= limit
        paged += page["changes"]
        cursor = page["next"]
    assert paged == whole


def test_changes_when_an_older_release_is_asked_then_what_it_knew(api: Api) -> None:
    ids = [r["id"] for r in api.body("/api/v1/data-releases")["releases"]]
    assert api.body(f"/api/v1/changes?since=2026-11-01T00:00:00Z&release={ids[1]}")["changes"] == []


def test_changes_then_confirmed_by_their_tag(api: Api) -> None:
    first = api.get("/api/v1/changes?since=2026-11-01T00:00:00Z")
    assert first.headers["data-version"] == first.json()["dataVersion"]
    tag = {"if-none-match": first.headers["etag"]}
    assert api.get("/api/v1/changes?since=2026-11-01T00:00:00Z", tag).status_code == 304


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2026-11-01",
        "limit=0",
        "limit=5001",
        "cursor=x",
        "cursor=W10=",
        "cursor=%F0",
        "units=base",
    ],
)
def test_changes_when_a_parameter_is_faulty_then_400_names_it(api: Api, query: str) -> None:
    problem = api.problem(f"/api/v1/changes?{query}", 400, "invalidParameter")
    assert problem["errors"][0]["parameter"] == query.split("=")[0]
