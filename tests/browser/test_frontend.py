"""A page of another origin in a real browser: Axios and React Query on every endpoint, 304, problems, the stream, mocks."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from api.app import create_app
from api.openapi import document
from api.settings import Settings
from pipelines.demo_processes import free_port
from tests.browser.conftest import pages
from tests.browser.page_build import ROOT, built, needed, node_tools, prepared, run
from tests.integration.releases_marked import CAPACITY, marked_request, marked_tables
from warehouse.build_publish import build_and_publish
from warehouse.pointer import read_pointer

IDENTIFIERS = {"terminalId": "tm-east", "hubId": "hub-birch", "facilityId": "fs-birch", "id": "fs-birch"}
QUERIES = {"/api/v1/explain": {"path": "/summary#/networks/oil/gap"}}


@dataclass
class Site:
    """The API, the page's folder, and where both are reached."""

    warehouse: Path
    folder: Path
    openapi: dict[str, Any]
    asked: list[dict[str, Any]]
    api: str
    page: str


def publish(warehouse: Path, n: int) -> str:
    tables = marked_tables(n)
    release_id = build_and_publish(warehouse, tables, info=marked_request(tables)).release_id
    assert release_id is not None
    return release_id


def asked_of(openapi: dict[str, Any], release_id: str) -> list[dict[str, Any]]:
    """Every path that answers a GET with JSON under /api/v1, with identifiers that the release holds."""
    names = {**IDENTIFIERS, "releaseId": release_id}
    found = []
    for path, item in openapi["paths"].items():
        answer = item.get("get", {}).get("responses", {}).get("200", {})
        if not path.startswith("/api/v1") or "application/json" not in answer.get("content", {}):
            continue
        given = [p["name"] for p in item["get"].get("parameters", ()) if p["in"] == "path"]
        found.append({"path": path, "names": {name: names[name] for name in given}, "query": QUERIES.get(path, {})})
    return found


@contextmanager
def served(warehouse: Path, port: int, origin: str, log: Path) -> Iterator[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "WAREHOUSE_DIR": str(warehouse),
        "CORS_ALLOWED_ORIGINS": origin,
        "LOG_LEVEL": "WARNING",
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=environment, stdout=stream, stderr=stream
        )
        base = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                assert process.poll() is None, log.read_text()
                try:
                    with urlopen(f"{base}/healthz", timeout=5) as answer:
                        assert answer.status == 200
                        break
                except OSError:
                    try:
                        process.wait(0.1)
                    except subprocess.TimeoutExpired:
                        continue
            yield base
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    node_tools()
    root = tmp_path_factory.mktemp("frontend")
    warehouse = root / "warehouse"
    release_id = publish(warehouse, 1)
    openapi = json.loads(json.dumps(document(create_app(Settings(warehouse_dir=warehouse)).app)))
    asked = asked_of(openapi, release_id)
    api_port, page_port = free_port(), free_port()
    folder = prepared(root / "page", openapi, asked)
    dist = built(folder, VITE_API_BASE_URL=f"http://127.0.0.1:{api_port}")
    origin = f"http://127.0.0.1:{page_port}"
    with served(warehouse, api_port, origin, root / "api.log") as base, pages(dist, page_port):
        yield Site(warehouse, folder, openapi, asked, base, origin)


class Watched:
    """A page and what it did on the network: hosts, statuses as they came over the wire, preflights, complaints."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context()
        self.page = self.context.new_page()
        self.hosts: set[str] = set()
        self.statuses: list[int] = []
        self.preflights: list[int] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or ""))
        self.page.on(
            "console", lambda message: self.complaints.append(message.text) if message.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        session = self.context.new_cdp_session(self.page)
        session.send("Network.enable")
        session.on("Network.responseReceivedExtraInfo", lambda event: self.statuses.append(event["statusCode"]))

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def test_types_when_generated_from_the_document_then_kit_and_page_compile_strictly(site: Site) -> None:
    wrong = site.folder / "wrong.ts"
    wrong.write_text(
        'import type { Body } from "./kit/client";\nexport const x: Body<"/api/v1/summary">["productionDate"] = 1;\n'
    )
    with pytest.raises(AssertionError) as refused:
        run(site.folder, "tsc", "--strict", "-p", ".")
    complaints = [line for line in str(refused.value).splitlines() if "error TS" in line]
    # The mistake is found, and nothing else is one.
    assert len(complaints) == 1, complaints
    assert "wrong.ts(2," in complaints[0]


def test_page_of_another_origin_when_opened_then_every_endpoint_answers_and_a_refetch_is_confirmed(
    site: Site, browser: Any
) -> None:
    with Watched(browser) as watched:
        page = watched.page
        page.goto(site.page)
        page.wait_for_function(
            "() => [...document.querySelectorAll('li')].every(li => li.dataset.status !== 'pending')"
        )
        found = {li.get_attribute("data-path"): li for li in page.query_selector_all("li")}
        assert set(found) == {one["path"] for one in site.asked}
        failed = {path: li.inner_text() for path, li in found.items() if li.get_attribute("data-status") != "success"}
        assert failed == {}
        page.wait_for_selector("#problem[data-code]")
        assert page.get_attribute("#problem", "data-code") == "unknownId"
        assert "fs-nowhere" not in page.inner_text("#oil")
        assert len(page.get_attribute("#problem", "data-trace") or "") == 32
        before = len(watched.statuses)
        page.click("button")
        page.wait_for_function("() => document.querySelector('#asked').textContent === '1'")
        again = watched.statuses[before:]
        of_release = [one for one in site.asked if "304" in site.openapi["paths"][one["path"]]["get"]["responses"]]
        assert again.count(304) >= len(of_release), again
        assert watched.hosts == {"127.0.0.1"}
        unexpected = [text for text in watched.complaints if "400 (Bad Request)" not in text]
        assert unexpected == []


def test_page_when_a_release_is_published_then_the_stream_brings_the_new_numbers(
    site: Site, browser: Any, record_property: Any
) -> None:
    with Watched(browser) as watched:
        page = watched.page
        page.goto(site.page)
        page.wait_for_function("() => document.querySelector('#oil')?.dataset.version")
        pointer = read_pointer(site.warehouse)
        assert pointer is not None
        assert page.get_attribute("#oil", "data-version") == pointer.release_id
        release_id = publish(site.warehouse, 7)
        published = time.time()
        page.wait_for_function(
            f"() => document.querySelector('#oil').dataset.version === '{release_id}'", timeout=60_000
        )
        record_property("seconds_from_publish_to_page", round(time.time() - published, 3))
        assert float(page.inner_text("#oil")) == CAPACITY + 7


def test_page_when_built_with_mocks_then_the_recorded_examples_answer_without_an_api(
    site: Site, browser: Any, tmp_path: Path
) -> None:
    folder = prepared(tmp_path / "page", site.openapi, site.asked)
    dist = built(folder, VITE_PREVIEW_MSW="true")
    examples = {
        path: item["get"]["responses"]["200"]["content"]["application/json"]["example"]
        for path, item in site.openapi["paths"].items()
        if path in {one["path"] for one in site.asked}
    }
    with pages(dist, free_port()) as origin, Watched(browser) as watched:
        page = watched.page
        page.goto(origin)
        page.wait_for_function("() => [...document.querySelectorAll('li')].length > 0")
        page.wait_for_function(
            "() => [...document.querySelectorAll('li')].every(li => li.dataset.status !== 'pending')"
        )
        statuses = {
            li.get_attribute("data-path"): li.get_attribute("data-status") for li in page.query_selector_all("li")
        }
        assert statuses == dict.fromkeys(examples, "success")
        oil = examples["/api/v1/summary"]["networks"]["oil"]["maxCapacity"]
        assert float(page.inner_text("#oil")) == oil


def test_api_page_when_opened_then_every_operation_is_listed_and_no_foreign_host_is_asked(
    site: Site, browser: Any
) -> None:
    with Watched(browser) as watched:
        page = watched.page
        page.goto(f"{site.api}/api/v1/docs")
        operations = [operation for item in site.openapi["paths"].values() for operation in item.values()]
        page.wait_for_function(f"() => document.querySelectorAll('.opblock').length === {len(operations)}")
        assert "getSummary" in page.content()
        page.click("#operations-production-getSummary .opblock-summary-control")
        page.click("#operations-production-getSummary .execute")
        page.wait_for_selector("#operations-production-getSummary .live-responses-table .response")
        assert "dataVersion" in page.inner_text("#operations-production-getSummary .live-responses-table")
        assert watched.hosts <= {"127.0.0.1", ""}
        assert watched.complaints == []


def test_chromium_when_tests_run_in_ci_then_it_is_there() -> None:
    needed("Chromium", Path("/usr/bin/chromium").exists())
    assert Path("/usr/bin/chromium").exists()
