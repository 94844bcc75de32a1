"""Callers limited to assets: unknown and hidden identifiers are told alike, nothing held for one scope reaches another."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.callers import ANYONE, EVERYTHING, Caller, Scope
from api.contracts.data_freshness import DataFreshness, SourceFreshness
from api.dependencies import Desk
from api.preparing import Preparation
from api.routes import gap_drivers, summary
from api.scoping import WARM_SCOPES, facts_of, shown_freshness, shown_listing, shown_manifest, warm_scopes
from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames_scoped import publish_scoped

EAST, WEST = Scope(frozenset({"east"})), Scope(frozenset({"west"}))


class HeaderGate:
    """A caller's assets as its credentials say: `assets east,west`; everything without."""

    mode = "test"

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def admit(self, scope: Any, credentials: tuple[bytes, ...]) -> Caller:
        if not credentials:
            return ANYONE
        return replace(ANYONE, scope=Scope(frozenset(credentials[0].decode().removeprefix("assets ").split(","))))

    def demand(self, caller: Caller, permission: str) -> None: ...


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scoping")
    publish_scoped(directory)
    return directory


@pytest.fixture(scope="module")
def api(warehouse: Path) -> Iterator[Api]:
    with Api(Settings(warehouse_dir=warehouse)) as running:
        running.edge.gate = HeaderGate()
        yield running


def got(api: Api, path: str, assets: str | None = None, **headers: str) -> Any:
    return api.get(path, {**({"authorization": f"assets {assets}"} if assets else {}), **headers})


@pytest.mark.parametrize(
    ("path", "hidden", "status"),
    [
        ("/api/v1/terminal/{}/operations", "tm-east", 404),
        ("/api/v1/hubs/{}/performance", "hub-alder", 404),
        ("/api/v1/facilities/{}", "fs-alder", 404),
        ("/api/v1/gap-drivers?assetId={}", "east", 400),
        ("/api/v1/gap-drivers?facilityIds=fs-birch,{}", "gp-alder", 400),
        ("/api/v1/gap-drivers?causeFacilityIds={}", "gp-alder", 400),
        ("/api/v1/production-flow?assetId={}", "east", 400),
        ("/api/v1/events?facilityId={}", "gp-alder", 400),
        ("/api/v1/explain?path=/hubs/{}/performance%23/completeDays", "hub-alder", 404),
        ("/api/v1/explain?path=/assets%23/{}/networks/oil/gap", "east", 400),
    ],
)
def test_identifier_when_out_of_scope_then_the_same_bytes_as_for_an_unknown_one(
    api: Api, path: str, hidden: str, status: int
) -> None:
    def told(name: str) -> tuple[int, bytes]:
        answer = got(api, path.format(name), "west")
        body = answer.content.replace(answer.json()["traceId"].encode(), b"").replace(name.encode(), b"NAME")
        return answer.status_code, body

    assert told(hidden) == told("zz-nothing")
    assert told(hidden)[0] == status
    assert got(api, path.format(hidden)).status_code == 200


@pytest.mark.parametrize(
    ("day", "order"), [(18, ("east", None, "west")), (19, ("west", None, "east")), (20, (None, "west", "east"))]
)
def test_held_answer_when_others_ask_then_each_gets_its_own_whoever_came_first(
    api: Api, day: int, order: tuple[str | None, ...]
) -> None:
    # An address that nobody asked for yet, for each order.
    path = f"/api/v1/summary?units=base&network=oil&productionDate=2026-11-{day}"
    for _ in range(2):
        bodies = {assets: got(api, path, assets) for assets in order}
        listed = {assets: [asset["id"] for asset in body.json()["assets"]] for assets, body in bodies.items()}
        assert listed == {"east": ["east"], "west": ["west"], None: ["east", "west"]}
        tags = {body.headers["etag"] for body in bodies.values()}
        assert len(tags) == 3
    for assets, body in bodies.items():
        for other in order:
            status = got(api, path, other, **{"if-none-match": body.headers["etag"]}).status_code
            assert status == (304 if other == assets else 200)


def test_explain_when_another_scope_asked_before_then_its_body_is_not_reused(api: Api) -> None:
    path = "/api/v1/explain?path=/summary%23/networks/oil/currentProduction"
    whole, east, west = (got(api, path, assets).json() for assets in (None, "east", "west"))
    assert whole["value"] == east["value"] + west["value"]
    assert {tuple(i["name"] for i in body["inputs"]) for body in (east, west)} == {("fs-alder",), ("fs-birch",)}
    assert east["isReproduced"] is west["isReproduced"] is True


def test_explain_when_an_input_is_out_of_scope_then_it_says_that_part_is_not_shown(api: Api) -> None:
    body = got(api, "/api/v1/explain?path=/summary%23/networks/oil/maxCapacity", "west").json()
    # The west's cut holds a line to the east: it is not shown in part, so the number stands as the release has it.
    assert "fs-birch~tm-east" not in str(body)
    several = got(api, "/api/v1/explain?path=/summary%23/networks/oil/maxCapacity", "east,west").json()
    assert several["value"] is None
    assert "no sum of theirs" in " ".join(several["notes"])


def test_summary_when_no_asset_is_visible_then_it_is_empty_and_no_fault(api: Api) -> None:
    body = got(api, "/api/v1/summary", "south").json()
    assert (body["assets"], body["terminals"]) == ([], [])
    assert {kpi["quality"] for kpi in body["networks"].values()} == {"missing"}
    assert body["productionDate"] == "2026-11-21"


def test_target_versions_when_only_another_asset_has_one_then_it_is_unknown(warehouse: Path) -> None:
    desk = Desk(Settings(warehouse_dir=warehouse), Preparation([], [], "base"))
    try:
        desk.refresh()
        with desk.reader.lease() as release:
            whole, east, nobody = (facts_of(release, scope) for scope in (EVERYTHING, EAST, Scope(frozenset())))
            assert facts_of(release, EAST) is east
    finally:
        desk.close()
    assert whole.identifiers["hub"] == {"hub-alder", "hub-birch"}
    assert east.identifiers["hub"] == {"hub-alder"}
    assert nobody.identifiers == {}
    # Days are the release's, whoever sees something on them.
    assert set(nobody.days) == set(east.days) == set(whole.days)
    assert set(nobody.days.values()) == {(None, None)}


def test_documents_when_the_policy_has_scopes_then_each_has_its_own_before_the_first_request(warehouse: Path) -> None:
    desk = Desk(
        Settings(warehouse_dir=warehouse), Preparation([summary.prepare, gap_drivers.prepare], [EAST, WEST], "base")
    )
    try:
        desk.refresh()
        assert desk.current is not None
        held = [key for key, _ in desk.current.prepared()]
    finally:
        desk.close()
    assert {scope for scope, _, _ in held} == {EVERYTHING.key, EAST.key, WEST.key}
    asked = {query for scope, _, query in held if scope == EAST.key}
    assert b"assetId=east" in asked
    assert b"assetId=west" not in asked


def test_warm_scopes_when_a_policy_has_many_then_the_first_few_limited_ones_once_each() -> None:
    assert warm_scopes([None, frozenset({"west"}), frozenset({"east"}), frozenset({"west"}), frozenset()]) == [
        EAST,
        WEST,
    ]
    assert len(warm_scopes(frozenset({f"asset-{n}"}) for n in range(50))) == WARM_SCOPES


def test_freshness_when_a_read_failed_then_a_limited_caller_learns_that_and_no_words() -> None:
    source = SourceFreshness(**dict.fromkeys(SourceFreshness.__struct_fields__))  # type: ignore[arg-type]
    failed = msgspec.structs.replace(source, last_error="BIR.FT301.OIL: no such point")
    body = DataFreshness(**{**dict.fromkeys(DataFreshness.__struct_fields__), "sources": [failed, source]})  # type: ignore[arg-type]
    assert shown_freshness(body, EVERYTHING) is body
    assert [one.last_error for one in shown_freshness(body, EAST).sources] == ["The last read failed.", None]


def test_shown_parts_when_the_caller_sees_everything_then_nothing_is_taken_away(api: Api) -> None:
    listing, manifest = object(), object()
    assert shown_listing(listing, EVERYTHING) is listing  # type: ignore[arg-type, comparison-overlap]
    assert shown_manifest(manifest, EVERYTHING) is manifest  # type: ignore[arg-type, comparison-overlap]
    body = got(api, "/api/v1/data-releases", "east").json()
    assert (body["inForce"]["heldBy"], body["inForce"]["heldReason"]) == (None, None)


def test_api_when_searched_then_only_these_modules_read_a_release_past_a_view() -> None:
    package = Path(__file__).parents[3] / "api"
    found = {
        str(file.relative_to(package)): calls
        for file in package.rglob("*.py")
        if (calls := re.findall(r"\brelease\.(?:query|cursor)\(\s*([^)]*)\)", file.read_text("utf-8")))
    }
    # Each hands the caller's assets on, or its rows never reach a body unfiltered.
    unlimited = {
        name: [call for call in calls if "assets" not in call] for name, calls in found.items() if name != "facts.py"
    }
    assert {name: calls for name, calls in unlimited.items() if calls} == {
        "dependencies.py": ['"warm"'],
        "routes/me.py": ['"asset_list"'],
    }
