"""Schemathesis against the application in process: every check, from the OpenAPI document that the application serves.

Examples, boundary values, random data and walks from answer to answer, with a fixed seed; the slow test sends 20,000 cases.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from schemathesis import engine
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, StopReason, events
from schemathesis.python.asgi import shutdown_lifespans

from api.app import create_app
from api.auth import entra
from api.auth.environment import Authentication
from api.auth.roles import Grant, Policy
from api.callers import MANAGE_RELEASES, READ
from api.problems import KINDS, MEDIA_TYPE
from api.settings import Settings
from tests.unit.api.issuing import PROVIDER, Issuer, Published
from tests.unit.warehouse.frames import LATEST, publish_tiny
from tests.unit.warehouse.frames_reference import TARGET_VERSION

DOCUMENT = "/api/v1/openapi.json"
SEED = 20261122
CASES = 20_000
DAYS = 10
PUBLISHED_AT = datetime(2026, 11, 22, 6, tzinfo=UTC)
GONE = "20200101T000000Z-0123abcd"
# What OpenAPI cannot say of these parameters: whether the release holds it, and whether it goes with the others.
BEYOND_THE_DOCUMENT = {
    "asKnownAt", "assetId", "causeFacilityIds", "cursor", "facilityId", "facilityIds", "from", "hubId", "nodeId", "path",
    "productionDate", "release", "since", "targetVersion", "to",
}  # fmt: skip
NO_SUCH_COLUMN = "filters no column"
# A few that between them have paths, files, a body and a stream: what the quick run takes.
FEW = ["activateDataRelease", "exportDataset", "followEvents"]


@dataclass
class Found:
    """What a run did and found."""

    cases: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    statuses: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    faults: dict[str, str] = field(default_factory=dict)
    stopped: StopReason | None = None

    def assert_sound(self) -> None:
        """No finding, every check was asked, and every operation has answered as well as refused."""
        assert self.stopped is StopReason.COMPLETED
        assert not self.faults, f"{len(self.faults)} findings:\n" + "\n".join(list(self.faults.values())[:10])
        # Without a limit the first is none; the second has nothing to ask where no token is wanted, and is asserted where one is.
        assert set(CHECKS.get_all_names()) - {"max_response_time", "ignored_auth"} <= set(self.checks)
        for operation, statuses in self.statuses.items():
            assert any(200 <= status < 300 for status in statuses), f"{operation} never answered: {dict(statuses)}"
            assert not any(status >= 500 for status in statuses), f"{operation}: {dict(statuses)}"


@schemathesis.check
def problem_conformance(ctx: Any, response: Any, case: Any) -> None:
    """Every refusal is a problem of a known kind that agrees with its own status, path, trace and parameters."""
    if response.status_code < 400:
        return
    assert response.headers["content-type"] == [MEDIA_TYPE], response.headers
    problem = response.json()
    kind = KINDS[problem["code"]]
    assert (problem["status"], kind.status) == (response.status_code, response.status_code)
    assert (problem["title"], problem["type"]) == (kind.title, f"/api/v1/problems/{kind.code}")
    assert problem["traceId"] == response.headers["traceparent"][0].split("-")[1]
    assert problem["detail"]
    assert bool(problem["errors"]) == (kind.code in ("invalidParameter", "unknownId")), problem
    assert response.headers["cache-control"] == ["no-store"]
    if response.status_code == 405:
        assert "OPTIONS" in response.headers["allow"][0]


@schemathesis.check
def refusal_of_valid_data(ctx: Any, response: Any, case: Any) -> None:
    """What the document allows is refused only for what the document cannot say."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code < 400:
        return
    if response.request.method != case.operation.method.upper():
        return
    problem = response.json()
    if response.status_code == 400 and problem["code"] == "badRequest":
        assert problem["detail"] == "by and reason must not be blank.", problem
    elif response.status_code == 400:
        for error in problem["errors"]:
            is_known = error["parameter"] in BEYOND_THE_DOCUMENT or NO_SUCH_COLUMN in error["detail"]
            assert is_known, f"{error['parameter']} {error['detail']}"
            assert error["parameter"] in (case.query or {}), problem
    elif response.status_code == 404:
        assert case.path_parameters or "path" in (case.query or {}), problem
    else:
        assert response.status_code == 410, problem
        assert {"release", "asKnownAt", "cursor"} & set(case.query or {}) or "releaseId" in (case.path_parameters or {})


class AtHome:
    """The application as a caller on its own machine reaches it: by loopback, under a name of this machine."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes one connection on."""
        if scope["type"] == "http":
            headers = [(name, b"127.0.0.1" if name == b"host" else value) for name, value in scope["headers"]]
            scope = {**scope, "client": ("127.0.0.1", 50000), "headers": headers}
        await self.app(scope, receive, send)


@schemathesis.hook("before_call")
def agreement(context: Any, case: Any, kwargs: Any) -> None:
    """Lets parameters of most valid cases agree with each other: only so do they get as far as the data.

    One release, days in order, no page of a list that was never made; every fourth case is sent as it is.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive or not case.query:
        return
    query = case.query
    if crc32(repr(sorted(query.items())).encode()) % 4 == 0:
        return
    query.pop("cursor", None)
    if "release" in query:
        query.pop("asKnownAt", None)
    if "from" in query and "to" in query:
        query["from"], query["to"] = sorted((query["from"], query["to"]))


def publish(folder: Path, *, is_synthetic: bool) -> list[str]:
    """Two releases, the second a day later: activate and resume have somewhere to go."""
    return [
        publish_tiny(
            folder,
            days=DAYS,
            latest=LATEST - timedelta(days=1 - n),
            built_at=PUBLISHED_AT + timedelta(hours=n),
            is_synthetic=is_synthetic,
        )
        for n in range(2)
    ]


def configured(releases: list[str], examples: int, headers: dict[str, str]) -> SchemathesisConfig:
    """Every check and phase. Identifiers are mostly those that the release holds, else hardly a case came past the first look."""
    days = [str(LATEST - timedelta(days=back)) for back in range(-1, DAYS + 1)]
    held = {
        "facility": ["fs-alder", "gp-alder", "fs-birch", "tm-east"],
        "hub": ["hub-alder", "hub-birch"],
        "terminal": ["tm-east"],
        "asset": ["east", "west"],
        "facilities": ["fs-alder", "fs-alder,fs-birch", "fs-birch,tm-east,gp-alder"],
        "release": [*releases, *releases, GONE],
        "day": days,
        "version": [TARGET_VERSION, TARGET_VERSION, "2026.1"],
        "dataset": ["facility", "production_daily", "event", "gap_driver_daily", "release_info", "dictionary", "edge"],
        "instant": ["2026-11-22T06:30:00Z", "2026-11-22T07:30:00+01:00", "2999-01-01T00:00:00Z"],
        "number": [
            "/summary#/networks/oil/gap",
            "/assets?units=display#/east/hubs/hub-alder/networks/oil/deferment",
            "/hubs/hub-birch/performance?window=7d#/points/3/networks/oil/currentProduction",
            "/terminal/tm-east/operations#/endurance",
            "/gap-drivers?window=7d#/networks/oil/drivers/0/volume",
            "/production-flow#/edges/0/capacity",
        ],
    }
    names = {
        "facilityId": "facility", "hubId": "hub", "terminalId": "terminal", "assetId": "asset", "facilityIds": "facilities",
        "causeFacilityIds": "facilities", "releaseId": "release", "release": "release", "productionDate": "day",
        "from": "day", "to": "day", "targetVersion": "version", "dataset": "dataset", "asKnownAt": "instant",
        "since": "instant", "path": "number",
    }  # fmt: skip
    # Identifiers picked from earlier answers would tie the cases to the clock, and run out: those above do better.
    alone = {"extra-data-sources": {"responses": False}}
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "suppress-health-check": ["all"],
            "continue-on-failure": True,
            # The stream never ends: its first event is read, then the client leaves.
            "max-stream-events": 1,
            "headers": headers,
            "dictionaries": {name: {"values": values} for name, values in held.items()},
            "parameters": {name: {"dictionary": of, "probability": 0.75} for name, of in names.items()},
            "generation": {"max-examples": examples, "database": "none"},
            "phases": {
                "coverage": {"generate-duplicate-query-parameters": True, **alone},
                "examples": alone,
                "fuzzing": alone,
            },
            "checks": {
                # 400, 404 and 410 of valid data are judged by `refusal_of_valid_data`; 5xx is nothing to expect.
                "positive_data_acceptance": {"expected-statuses": ["2xx", "304", "400", "404", "410"]},
                "negative_data_rejection": {"expected-statuses": ["400", "401", "404", "405", "406", "414"]},
            },
        }
    )


@contextmanager
def loaded(app: Any, config: SchemathesisConfig, *, is_authenticated: bool) -> Iterator[Any]:
    """The document as the application serves it, with the application behind it; its lifespan ends with the block."""
    try:
        schema = schemathesis.openapi.from_asgi(DOCUMENT, AtHome(app), config=config)
        if is_authenticated:
            # The document leaves both ways open, for AUTH_MODE is the installation's; this installation wants a token.
            document = copy.deepcopy(schema.raw_schema)
            document["security"] = [{"bearer": []}]
            authenticated = schemathesis.openapi.from_dict(document, config=config)
            authenticated.app, authenticated.location = schema.app, schema.location
            schema = authenticated
        yield schema
    finally:
        shutdown_lifespans()


def run(schema: Any) -> Found:
    """Runs every phase over the schema."""
    found = Found()
    for event in engine.from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            found.cases[event.phase.value] += len(event.recorder.cases)
            for case_id, node in event.recorder.cases.items():
                interaction = event.recorder.interactions.get(case_id)
                if interaction is not None and interaction.response is not None:
                    found.statuses[node.value.operation.label][interaction.response.status_code] += 1
            for checks in event.recorder.checks.values():
                for check in checks:
                    found.checks[check.name] += 1
                    if check.failure_info is not None:
                        failure = check.failure_info.failure
                        key = f"{failure.operation} {check.name} {failure.title}"
                        found.faults.setdefault(key, f"{key}\n{failure.message}\n{check.failure_info.code_sample}\n")
                    elif check.status is Status.ERROR:
                        found.faults.setdefault(
                            check.name, f"{check.name} could not be asked of {event.recorder.label}"
                        )
        elif isinstance(event, events.NonFatalError):
            found.faults.setdefault(str(event.info.title), f"{event.label}: {event.info.title}\n{event.info.message}")
        elif isinstance(event, events.FatalError):
            found.faults.setdefault("fatal", repr(event.exception))
        elif isinstance(event, events.EngineFinished):
            found.stopped = event.stop_reason
    return found


def run_open(folder: Path, examples: int, only: list[str] | None = None) -> Found:
    """AUTH_MODE=none, called on the API's own machine, which may move releases."""
    releases = publish(folder, is_synthetic=True)
    app = create_app(Settings(warehouse_dir=folder))
    with loaded(app, configured(releases, examples, {}), is_authenticated=False) as schema:
        return run(schema.include(operation_id=only) if only else schema)


def run_authenticated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, examples: int, only: list[str] | None = None
) -> Found:
    """AUTH_MODE=entra, with the token of a user who may do all."""
    issuer = Issuer()
    published = Published(issuer.jwk())
    monkeypatch.setattr(entra, "HttpFetch", lambda _: published)
    everything = Grant(frozenset({READ, MANAGE_RELEASES}), None)
    policy = Policy({"Production.Reader": everything}, {"access_as_user": everything})
    releases = publish(folder, is_synthetic=False)
    app = create_app(
        Settings(warehouse_dir=folder, authentication=Authentication("entra", provider=PROVIDER, policy=policy))
    )
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    with loaded(app, configured(releases, examples, headers), is_authenticated=True) as schema:
        return run(schema.include(operation_id=only) if only else schema)


def test_a_few_hundred_cases_then_nothing_but_what_the_document_says(tmp_path: Path) -> None:
    found = run_open(tmp_path, 20, FEW)
    found.assert_sound()
    assert found.cases.total() >= 200, found.cases


def test_cases_with_a_token_then_the_same_and_none_is_answered_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_authenticated(tmp_path, monkeypatch, 3, ["getMe", "getTerminalOperations", "resumeDataReleases"])
    found.assert_sound()
    assert found.checks["ignored_auth"]
    assert all(statuses[401] for statuses in found.statuses.values()), "nobody was asked without a token"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_cases_then_nothing_but_what_the_document_says(tmp_path: Path) -> None:
    found = run_open(tmp_path, 1200)
    found.assert_sound()
    assert found.cases.total() >= CASES, found.cases


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_thousand_cases_with_a_token_then_the_same_and_no_operation_ignores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_authenticated(tmp_path, monkeypatch, 40)
    found.assert_sound()
    assert found.checks["ignored_auth"]
    assert found.cases.total() >= CASES // 10, found.cases
