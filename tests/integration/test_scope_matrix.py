"""Role by endpoint by asset by format, made from the policy and the OpenAPI document: nothing leaks, and a seeded hole is found.

The quick matrix asks about the tiny operator, whose west flows through the east; the whole one about the loaded sandbox.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from api.callers import EVERYTHING, Scope
from api.settings import Settings
from tests.integration.conftest import Loaded, load
from tests.integration.scope_audit import Report, RoleGate, ask, audit, behind
from tests.integration.scope_questions import Asked, Ground, requests_of
from tests.integration.scope_secrets import SHARED, Secrets, secrets_of
from tests.unit.api.client import Api
from tests.unit.warehouse.frames_scoped import publish_scoped
from warehouse.reader_scope_rules import EVERYTHING as WHOLE
from warehouse.reader_scope_rules import RULES, Rule
from warehouse.release import release_path

SCOPES: Mapping[str, Scope] = {
    "all": EVERYTHING,
    "east": Scope(frozenset({"east"})),
    "west": Scope(frozenset({"west"})),
}
# A role for an asset that the release does not hold.
MORE = {**SCOPES, "elsewhere": Scope(frozenset({"south"}))}
NETWORKS = ("oil", "domesticGas", "exportGas", "flaredGas")
# Rows from which a table is large.
LARGE = 5000
FORMATS = {
    "application/json",
    "application/problem+json",
    "text/event-stream",
    "text/csv",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.stream",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(frozen=True)
class Case:
    """A warehouse, with what its release holds and what each role must not learn."""

    directory: Path
    ground: Ground
    secrets: Mapping[str, Secrets]

    @classmethod
    def of(cls, directory: Path, *, is_tiny: bool = False) -> "Case":
        """The release in force."""
        with duckdb.connect(str(release_path(directory)), read_only=True) as connection:
            connection.execute("SET GLOBAL TimeZone = 'UTC'")

            def sql(query: str) -> pl.DataFrame:
                found: pl.DataFrame = connection.sql(query).pl()
                return found

            ground = Ground.read(sql)
            secrets = {role: secrets_of(sql, ground, scope, are_short_telling=is_tiny) for role, scope in MORE.items()}
            return cls(directory, ground, secrets)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Case:
    directory = tmp_path_factory.mktemp("scopes")
    publish_scoped(directory)
    return Case.of(directory, is_tiny=True)


class Running:
    """The application over a case's warehouse, with callers told by role."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._api = Api(Settings(warehouse_dir=case.directory))

    def __enter__(self) -> "Running":
        self._api.__enter__()
        self.gate = RoleGate(dict(MORE))
        self.edge: Any = behind(self._api, self.gate)
        return self

    def __exit__(self, *fault: Any) -> None:
        self._api.__exit__(None, None, None)

    def run(self, work: Any) -> Any:
        """Runs a coroutine on the application's loop."""
        return self._api._runner.run(work)

    def body(self, role: str, path: str, query: str = "") -> Any:
        """The JSON of a 200."""
        answer = self.run(ask(self.edge, role, Asked("GET", path, query, "")))
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def requests(self, *, is_full: bool) -> Iterator[Asked]:
        """Everything that the application documents."""
        return requests_of(self.body("all", "/api/v1/openapi.json"), self.case.ground, is_full=is_full)

    def audit(self, requests: list[Asked] | None = None, *, is_full: bool = False, **how: Any) -> Report:
        """The matrix over this application."""
        requests = list(self.requests(is_full=is_full)) if requests is None else requests
        if not is_full:
            # Each table is looked into by the reader's own tests: of files a few of each format will do.
            exports = [request for request in requests if request.operation == "exportDataset"]
            requests = [request for request in requests if request not in exports[1::3] + exports[2::3]]
        scopes = MORE if is_full else SCOPES
        report: Report = self.run(audit(self.edge, scopes, self.case.secrets, self.case.ground, requests, **how))
        return report


def check_matrix(running: Running, requests: list[Asked] | None = None, *, is_full: bool) -> Report:
    """Nothing leaks to any role, in any operation or format; who may see everything is told what the others are not."""
    document = running.body("all", "/api/v1/openapi.json")
    report = running.audit(requests=requests, is_full=is_full)
    assert not report.leaks, "\n".join(report.leaks)
    assert report.operations == {op["operationId"] for ops in document["paths"].values() for op in ops.values()}
    assert report.formats >= FORMATS
    assert report.found_by_all > 50
    return report


def test_matrix_when_callers_are_limited_then_nothing_leaks(tiny: Case) -> None:
    with Running(tiny) as running:
        check_matrix(running, is_full=False)


def find_hole(running: Running, table: str, requests: list[Asked]) -> Report:
    """The matrix up to its first leak, asked by a caller of the west whose views are made while the table has a hole."""
    role = f"hole in {table}"
    # An asset that nobody has makes the scope a new one: neither views nor answers of it are held yet.
    scope = Scope(frozenset({"west", role}))
    running.gate.scopes[role] = scope
    scopes, secrets = {role: scope}, {role: running.case.secrets["west"]}
    report: Report = running.run(audit(running.edge, scopes, secrets, running.case.ground, requests, until_first=True))
    return report


def find_holes(case: Case, monkeypatch: pytest.MonkeyPatch, tables: Iterable[str]) -> None:
    """A hole in each of the tables is found in the table's own file, which leaks nothing while there is none."""
    with Running(case) as running:
        exports = [request for request in running.requests(is_full=False) if request.operation == "exportDataset"]
        for table in tables:
            own = [request for request in exports if request.path.endswith(f"/{table}")]
            assert find_hole(running, f"no {table}", own).leaks == []
            with monkeypatch.context() as seeded:
                seeded.setitem(RULES, table, Rule(WHOLE))
                report = find_hole(running, table, own)
            assert report.leaks, f"a hole in {table} was not found in {report.asked} answers"


def test_matrix_when_a_table_has_a_hole_then_it_is_found(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    find_holes(tiny, monkeypatch, ("production_daily", "gap_driver_daily", "reading_daily", "quarantine"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_matrix_when_any_table_has_a_hole_then_it_is_found(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    find_holes(tiny, monkeypatch, sorted(set(RULES) - set(SHARED)))


def test_matrix_when_a_table_has_a_hole_then_answers_in_json_show_it(
    tiny: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(tiny) as running:
        requests = [request for request in running.requests(is_full=False) if not request.query]
        for table in ("facility_version", "hub", "production_daily", "gap_driver_daily", "event_daily", "edge_version"):
            with monkeypatch.context() as seeded:
                seeded.setitem(RULES, table, Rule(WHOLE))
                report = find_hole(running, table, requests)
            assert report.leaks, f"a hole in {table} was not found in {report.asked} answers"


def test_matrix_when_a_scope_is_left_out_of_a_key_then_it_is_found(tiny: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scope, "key", property(lambda _: ""))
    with Running(tiny) as running:
        report = running.audit(until_first=True)
    assert report.leaks


def check_totals(running: Running, sql: duckdb.DuckDBPyConnection) -> None:
    """Totals of a limited caller are sums over the facilities of its assets, made here from the release's facility rows."""
    for role, assets in (("east", ["east"]), ("west", ["west"])):
        body = running.body(role, "/api/v1/summary")
        assert [asset["id"] for asset in body["assets"]] == assets
        for network in NETWORKS:
            production, deferment, target = sql.execute(
                """
                SELECT sum(production_volume), sum(deferment_volume), sum(business_target_volume)
                FROM production_daily
                WHERE production_date = (SELECT max(production_date) FROM production_daily)
                    AND node_level = 'facility' AND counts_in_roll_up AND quality <> 'notApplicable'
                    AND production_volume IS NOT NULL AND list_contains($assets, asset_id) AND network = $network""",
                {"assets": assets, "network": network},
            ).fetchall()[0]
            kpi = body["networks"][network]
            wanted = (production or 0.0, deferment or 0.0, target or 0.0)
            got = (kpi["currentProduction"], kpi["deferment"], kpi["businessTarget"])
            assert all(math.isclose(a, b or 0.0, rel_tol=1e-9) for a, b in zip(wanted, got, strict=True)), (
                role,
                network,
            )
            if network == "flaredGas":
                continue
            drivers = running.body(role, "/api/v1/gap-drivers", "window=1d&limit=100")["networks"][network]
            listed = math.fsum(driver["volume"] for driver in drivers["drivers"])
            closed = listed + drivers["other"]["volume"] + drivers["unattributed"]["volume"]
            assert math.isclose(closed, deferment or 0.0, rel_tol=1e-9, abs_tol=1e-3), (role, network)
            places = {place["assetId"] for driver in drivers["drivers"] for place in driver["facilities"]}
            assert places <= set(assets)


def connection(case: Case) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(release_path(case.directory)), read_only=True)


def test_totals_when_callers_are_limited_then_they_are_sums_over_their_own_facilities(tiny: Case) -> None:
    with Running(tiny) as running, connection(tiny) as sql:
        check_totals(running, sql)


def test_driver_when_caused_in_another_asset_then_its_volume_stays_and_its_identity_goes(tiny: Case) -> None:
    with Running(tiny) as running:
        seen = running.body("all", "/api/v1/gap-drivers", "assetId=east")["networks"]["exportGas"]
        shown = running.body("east", "/api/v1/gap-drivers")["networks"]["exportGas"]
        named = running.body("east", "/api/v1/gap-drivers", "causeFacilityIds=fs-alder")["networks"]["exportGas"]
        path = "path=/gap-drivers%23/networks/exportGas/drivers/restricted/volume"
        explained = running.body("east", "/api/v1/explain", path)
    hidden = next(driver for driver in seen["drivers"] if driver["id"] == "ec:48215")
    masked = next(driver for driver in shown["drivers"] if driver["id"] == "restricted")
    assert masked["title"] == "Caused outside your scope"
    assert (masked["volume"], masked["share"], masked["rank"]) == (hidden["volume"], hidden["share"], hidden["rank"])
    for name in (
        "causeNodeId",
        "causeHubId",
        "causeAssetId",
        "reasonCode",
        "choke",
        "hours",
        "confidence",
        "gainIfFixed",
    ):
        assert masked[name] is None, name
    assert (masked["evidence"], masked["open"], masked["recoverable"]) == ([], False, False)
    assert shown["closure"] == seen["closure"]
    assert "restricted" not in {driver["id"] for driver in named["drivers"]}
    assert named["other"]["volume"] == masked["volume"]
    assert (explained["value"], explained["isReproduced"]) == (masked["volume"], True)


def test_flow_when_callers_are_limited_then_edges_have_both_ends_in_it(tiny: Case) -> None:
    with Running(tiny) as running:
        body = running.body("east", "/api/v1/production-flow")
    inside = {facility["id"] for facility in body["facilities"]} | {external["id"] for external in body["externals"]}
    assert inside >= {"fs-alder", "tm-east", "market-domestic"}
    assert body["edges"]
    assert all({edge["from"], edge["to"]} <= inside for edge in body["edges"])


def test_manifest_when_callers_are_limited_then_it_counts_nothing(tiny: Case) -> None:
    with Running(tiny) as running:
        path = f"/api/v1/data-releases/{tiny.ground.release_id}"
        whole, limited = running.body("all", path), running.body("east", path)
    assert whole["rowCounts"]
    assert whole["checks"]
    assert [limited[name] for name in ("rowCounts", "inputs", "checks", "waivers")] == [[], [], [], []]
    assert limited["id"] == whole["id"]


def is_worth_its_time(request: Asked, large: frozenset[str]) -> bool:
    """Files of the sandbox have millions of numbers: each is read in every format, but a large one in no spreadsheet."""
    if request.operation != "exportDataset":
        return True
    is_large = request.path.rsplit("/", 1)[1] in large
    return request.query.startswith(("format=", "assetId=")) and not (is_large and "xlsx" in request.query)


@pytest.fixture(scope="module")
def some_weeks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The sandbox with fewer days: each of them has all that may leak."""
    yield from load("sandbox", tmp_path_factory.mktemp("weeks"), history_days=35, pi_days=2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whole_matrix_when_the_sandbox_is_served_then_nothing_leaks(some_weeks: Loaded) -> None:
    case = Case.of(some_weeks.workspace.warehouse_dir)
    with Running(case) as running, connection(case) as sql:
        check_totals(running, sql)
        sizes = {t: sql.execute(f'SELECT count(*) FROM "{t}"').fetchall()[0][0] for t in case.ground.datasets}
        large = frozenset(table for table, rows in sizes.items() if rows > LARGE)
        requests = [r for r in running.requests(is_full=True) if is_worth_its_time(r, large)]
        report = check_matrix(running, requests, is_full=True)
    assert report.asked > 5000
