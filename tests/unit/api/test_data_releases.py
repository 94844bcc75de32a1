"""The kept releases: listed, described, answering as they did, put in force and let go again."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny
from warehouse.pointer import history, read_pointer
from warehouse.release import release_ids, release_path, set_label
from warehouse.retention import Retention, prune

LOCAL = {"host": "localhost:8000"}
DECISION = {"by": "A. Engineer", "reason": "totals look wrong"}
KEEP_ONE = Retention(count=1, age=timedelta(0), keep_last_of_month=False)
ADDRESSES = (
    "/api/v1/summary",
    "/api/v1/assets?units=display",
    "/api/v1/gap-drivers?window=7d",
    "/api/v1/production-flow",
    "/api/v1/hubs/hub-alder/performance?window=7d",
    "/api/v1/terminal/tm-east/operations",
)


@pytest.fixture(scope="module")
def published_three_times(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with releases of 5, 6 and 7 days, a day apart; the newest is in force."""
    directory = tmp_path_factory.mktemp("three")
    moment = datetime(2026, 11, 22, 6, tzinfo=UTC)
    for n, days in enumerate((5, 6, 7)):
        publish_tiny(directory, days=days, built_at=moment + timedelta(days=n))
    return directory


@pytest.fixture
def folder(published_three_times: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(published_three_times, tmp_path / "warehouse"))


@pytest.fixture
def api(folder: Path) -> Iterator[Api]:
    """The application over the copy; tests follow the pointer by hand."""
    with Api(Settings(warehouse_dir=folder, release_poll_seconds=3600.0)) as running:
        yield running


def pinned(path: str, parameter: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{parameter}"


def publish_tiny_unforced(folder: Path) -> str:
    """A release of 8 days, built after the others; a hold keeps it aside."""
    return publish_tiny(folder, days=8, built_at=datetime(2026, 11, 25, 6, tzinfo=UTC))


def post(api: Api, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    return api.request("POST", path, LOCAL | (headers or {}), **more)


def test_list_then_newest_first_with_pointer_labels_and_never_cached(api: Api, folder: Path) -> None:
    ids = release_ids(folder)
    set_label(folder, ids[0], "audit 2026")
    response = api.get("/api/v1/data-releases")
    body = response.json()
    assert [r["id"] for r in body["releases"]] == ids[::-1]
    assert [r["isCurrent"] for r in body["releases"]] == [True, False, False]
    assert body["releases"][2]["label"] == "audit 2026"
    assert body["releases"][0]["bytes"] == release_path(folder).stat().st_size
    assert (body["dataVersion"], body["fault"]) == (ids[2], None)
    assert body["inForce"] | {"changedAt": None} == {
        "releaseId": ids[2],
        "sequence": 3,
        "heldBy": None,
        "heldReason": None,
        "changedAt": None,
    }
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


def test_list_when_nothing_was_published_then_empty(tmp_path: Path) -> None:
    with Api(Settings(warehouse_dir=tmp_path, release_poll_seconds=3600.0)) as api:
        assert api.body("/api/v1/data-releases") == {
            "dataVersion": None,
            "fault": None,
            "inForce": None,
            "releases": [],
        }


def test_manifest_then_rows_gates_marks_inputs_and_waivers(api: Api, folder: Path) -> None:
    newest = release_ids(folder)[2]
    body = api.body(f"/api/v1/data-releases/{newest}")
    rows = {r["table"]: r["rows"] for r in body["rowCounts"]}
    assert rows["out__daily_production"] == 9 * 4 * 7
    assert {m["source"] for m in body["highWater"]} == {"energy_components", "pi"}
    assert all(check["passed"] for check in body["checks"])
    closure = next(c for c in body["checks"] if c["gate"] == "drivers_and_unattributed_close")
    assert closure["measured"]["checked"] == 4 * 7 - 1
    assert (body["waivers"], body["isCurrent"], body["previousReleaseId"]) == ([], True, release_ids(folder)[1])
    assert {"table": "cargo", "partitions": 1, "rows": 2} in body["inputs"]


def test_manifest_when_id_is_none_or_pruned_then_404_or_410_with_the_nearest(api: Api, folder: Path) -> None:
    ids = release_ids(folder)
    api.problem("/api/v1/data-releases/yesterday", 404, "notFound")
    problem = api.problem(f"/api/v1/data-releases/{ids[1][:16]}-00000000", 410, "releaseExpired")
    assert ids[1] in problem["detail"]
    api.problem("/api/v1/data-releases?x=1", 400, "invalidParameter")


@pytest.mark.parametrize("path", ADDRESSES)
def test_release_when_kept_then_answers_as_it_did_by_id_and_by_instant(api: Api, folder: Path, path: str) -> None:
    ids = release_ids(folder)
    then = {p.release_id: p.changed_at_utc for p in history(folder)}
    now = api.get(path).content
    answers = {ids[2]: now}
    for release_id in ids:
        answer = api.get(pinned(path, f"release={release_id}"))
        assert answer.headers["data-version"] == release_id
        at = f"{then[release_id].isoformat().replace('+00:00', 'Z')}"
        assert api.get(pinned(path, f"asKnownAt={at}")).content == answer.content
        assert answers.setdefault(release_id, answer.content) == answer.content
    assert len(set(answers.values())) == 3
    # What was in force answers the same once something else is.
    assert post(api, f"/api/v1/data-releases/{ids[0]}/activate", json=DECISION).status_code == 200
    assert api.edge.desk.refresh() is True
    assert api.get(path).content == answers[ids[0]]
    assert api.get(pinned(path, f"release={ids[2]}")).content == now


def test_release_when_pruned_then_410_names_the_nearest_kept(api: Api, folder: Path) -> None:
    ids = release_ids(folder)
    at = history(folder)[0].changed_at_utc.isoformat().replace("+00:00", "Z")
    tag = api.get(f"/api/v1/summary?release={ids[1]}").headers["etag"]
    assert prune(folder, KEEP_ONE, now=datetime(2027, 6, 1, tzinfo=UTC)) == [ids[0]]  # the other one is open here
    for parameter in (f"release={ids[0]}", f"asKnownAt={at}"):
        problem = api.problem(f"/api/v1/summary?{parameter}", 410, "releaseExpired")
        assert ids[0] in problem["detail"] and f"nearest kept one is {ids[1]}" in problem["detail"]
    assert api.get(f"/api/v1/summary?release={ids[1]}", {"if-none-match": tag}).status_code == 304


def test_activate_then_in_force_and_held_until_resume(api: Api, folder: Path) -> None:
    ids = release_ids(folder)
    answer = post(api, f"/api/v1/data-releases/{ids[0]}/activate", json=DECISION)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["releaseId"], answer.json()["heldBy"]) == (ids[0], "A. Engineer")
    assert answer.json()["heldReason"] == "totals look wrong"
    assert answer.headers["cache-control"] == "no-store"
    assert api.edge.desk.refresh() is True
    assert api.get("/api/v1/summary").headers["data-version"] == ids[0]
    newest = publish_tiny_unforced(folder)
    assert api.edge.desk.refresh() is False
    resumed = post(api, "/api/v1/data-releases/resume", json=DECISION)
    assert (resumed.json()["releaseId"], resumed.json()["heldBy"]) == (newest, None)
    assert api.edge.desk.refresh() is True
    assert api.get("/api/v1/summary").headers["data-version"] == newest


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"json": {"by": "A. Engineer"}}, "reason"),
        ({"json": {"by": " ", "reason": "x"}}, "blank"),
        ({"json": DECISION | {"force": True}}, "force"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "by"),
        ({"data": DECISION}, "application/json"),
        ({}, "application/json"),
    ],
)
def test_activate_when_nobody_says_who_and_why_then_400_and_nothing_moves(
    api: Api, folder: Path, more: dict[str, Any], says: str
) -> None:
    before = (folder / "current").read_bytes()
    for path in (f"/api/v1/data-releases/{release_ids(folder)[0]}/activate", "/api/v1/data-releases/resume"):
        answer = post(api, path, **more)
        assert (answer.status_code, answer.json()["code"]) == (400, "badRequest")
        assert says in answer.json()["detail"]
    assert (folder / "current").read_bytes() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "api.example.com"},
        {"x-forwarded-for": "203.0.113.9"},
        {"forwarded": "for=203.0.113.9"},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
    ],
)
def test_activate_when_the_caller_may_be_elsewhere_then_403_and_nothing_moves(
    api: Api, folder: Path, headers: dict[str, str]
) -> None:
    before = (folder / "current").read_bytes()
    answer = post(api, f"/api/v1/data-releases/{release_ids(folder)[0]}/activate", headers, json=DECISION)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "release-activate" in answer.json()["detail"]
    assert (folder / "current").read_bytes() == before


@pytest.mark.parametrize(
    ("client", "status"), [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("10.0.0.7", 403)]
)
def test_activate_when_it_comes_from_an_address_then_only_loopback_is_let(
    api: Api, folder: Path, client: str, status: int
) -> None:
    async def ask() -> int:
        transport = httpx.ASGITransport(api.edge, client=(client, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as caller:
            path = f"/api/v1/data-releases/{release_ids(folder)[0]}/activate"
            return (await caller.post(path, json=DECISION)).status_code

    assert api._runner.run(ask()) == status


def test_activate_when_release_is_damaged_pruned_or_foreign_then_410(api: Api, folder: Path) -> None:
    ids = release_ids(folder)
    path = release_path(folder, ids[0])
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    for release_id in (ids[0], "20200101T000000Z-00000000"):
        answer = post(api, f"/api/v1/data-releases/{release_id}/activate", json=DECISION)
        assert (answer.status_code, answer.json()["code"]) == (410, "releaseExpired")
    with Api(Settings(warehouse_dir=folder, release_poll_seconds=3600.0, operator="acme")) as other:
        answer = post(other, f"/api/v1/data-releases/{ids[1]}/activate", json=DECISION)
        assert answer.status_code == 410
        assert other.body("/api/v1/data-releases")["releases"] == []
    pointer = read_pointer(folder)
    assert pointer is not None and pointer.release_id == ids[2]


def test_activate_when_the_warehouse_may_not_be_written_then_403_says_what_to_do(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(api.edge.desk.shared, "activate", refuse)
    answer = post(api, f"/api/v1/data-releases/{release_ids(folder)[0]}/activate", json=DECISION)
    assert answer.status_code == 403
    assert "make release-activate" in answer.json()["detail"]


def test_methods_when_they_do_not_fit_then_405(api: Api, folder: Path) -> None:
    assert api.get("/api/v1/data-releases/resume").status_code == 405
    assert post(api, f"/api/v1/data-releases/{release_ids(folder)[0]}", json=DECISION).status_code == 405
