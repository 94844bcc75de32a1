"""Asking sources for what has changed: the stamp's zone, the columns of a list, the mark of a workbook, the mapping."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from pipelines.sources.config import EcOracleConfig, EcRestConfig, Secret, SharePointConfig
from pipelines.sources.ec_oracle import EcOracle
from pipelines.sources.ec_rest import EcRest
from pipelines.sources.energy_components import EnergyComponents, stamp_of
from pipelines.sources.errors import SourceBroken
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.mapping import MappingFaults, WorkbookMapping, parse_energy_components
from pipelines.sources.sharepoint import GraphClient

# The driver leaves the socket of a refused connection to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 2)
SINCE = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
COLUMNS = {
    "stream_ec_code": {"source": "CODE", "type": "text"},
    "production_date": {"source": "DAYTIME", "type": "date"},
    "source_updated_at_utc": {"source": "UPDATED", "type": "datetime", "zone": "Africa/Lagos"},
}
SQL = "SELECT CODE, DAYTIME, UPDATED FROM RV_DAY WHERE DAYTIME >= :from_day AND DAYTIME < :to_day"
# Stamps are local: nine in Lagos is eight in UTC.
SETUP = """
CREATE TABLE RV_DAY AS SELECT * FROM (VALUES
  ('S1', DATE '2026-11-01', TIMESTAMP '2026-11-02 08:59:59'),
  ('S2', DATE '2026-11-01', TIMESTAMP '2026-11-02 09:00:00'),
  ('S3', DATE '2026-11-02', TIMESTAMP '2026-11-02 23:00:00'),
  ('S4', DATE '2026-11-03', TIMESTAMP '2026-11-02 23:00:00')
) t(CODE, DAYTIME, UPDATED);
CREATE TABLE all_tab_columns AS SELECT 'RV_DAY' AS table_name, unnest(['CODE', 'DAYTIME', 'UPDATED']) AS column_name;
"""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


def datasets(**more: Any) -> Any:
    return parse_energy_components({"datasets": {"stream_day": {"oracle_sql": SQL, "columns": COLUMNS, **more}}})


def oracle_reader(port: int, **more: Any) -> EcOracle:
    config = EcOracleConfig(
        host="127.0.0.1",
        port=port,
        service_name="EC",
        user="ec_reader",
        password=Secret("s3cret-Oracle-pass"),
        timeout_seconds=10.0,
    )
    return EcOracle(config, datasets(**more), zone="UTC", sleep=lambda _: None)


def test_oracle_when_asked_for_changes_then_the_stamp_is_bound_in_its_columns_zone(
    oracle: Callable[[str], Any],
) -> None:
    with oracle_reader(oracle(SETUP).port, oracle_changes_sql=f"{SQL} AND UPDATED >= :since") as client:
        protocol: EnergyComponents = client
        assert protocol.tells_changes("stream_day")
        assert not protocol.tells_changes("well_day")
        extract = protocol.changes("stream_day", SINCE, FIRST, LAST)
        assert client.preflight() == []
    assert extract.frame["stream_ec_code"].to_list() == ["S2", "S3"]
    assert ":since = 2026-11-02 09:00:00" in extract.request


def test_oracle_when_changes_are_asked_without_days_then_rows_of_other_days_are_left_out(
    oracle: Callable[[str], Any],
) -> None:
    changes = "SELECT CODE, DAYTIME, UPDATED FROM RV_DAY WHERE UPDATED >= :since"
    with oracle_reader(oracle(SETUP).port, oracle_changes_sql=changes) as client:
        assert client.changes("stream_day", SINCE, LAST, LAST).frame["stream_ec_code"].to_list() == ["S3"]


def test_oracle_when_the_question_for_changes_is_wrong_then_preflight_names_it(oracle: Callable[[str], Any]) -> None:
    changes = "SELECT CODE, DAYTIME, UPDATED FROM RV_DAY WHERE CHANGED >= :since"
    with oracle_reader(oracle(SETUP).port, oracle_changes_sql=changes) as client:
        (fault,) = client.preflight()
    assert "oracle_changes_sql" in fault


def test_changes_when_the_mapping_does_not_say_how_then_is_broken(oracle: Callable[[str], Any]) -> None:
    with oracle_reader(oracle(SETUP).port) as client:
        assert not client.tells_changes("stream_day")
        with pytest.raises(SourceBroken, match=r"oracle_changes_sql or rest\.changes_params"):
            client.changes("stream_day", SINCE, FIRST, LAST)


def test_stamp_when_clocks_go_back_near_it_then_an_hour_earlier_is_asked() -> None:
    columns = COLUMNS | {"source_updated_at_utc": {"source": "UPDATED", "type": "datetime", "zone": "Europe/Oslo"}}
    mapping = datasets(columns=columns)["stream_day"]
    assert stamp_of(mapping, datetime(2026, 7, 1, 8, tzinfo=UTC), "UTC") == datetime(2026, 7, 1, 10)
    # 01:00 UTC on the last Sunday of October is both the end of 02:00–03:00 and its beginning.
    assert stamp_of(mapping, datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "UTC") == datetime(2026, 10, 25, 2, 30)
    assert stamp_of(mapping, datetime(2026, 10, 25, 2, 30, tzinfo=UTC), "UTC") == datetime(2026, 10, 25, 2, 30)


def test_rest_when_asked_for_changes_then_the_instant_stands_where_the_mapping_wants_it() -> None:
    seen: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        row = {"CODE": "S1", "DAYTIME": "2026-11-01", "UPDATED": "2026-11-02T09:00:00Z"}
        return httpx.Response(200, json={"items": [row], "total": 1})

    rest = {
        "path": "views/RV_DAY",
        "params": {"from_day": "{from_day}"},
        "changes_params": {"changed_after": "{since}", "until": "{last_day}"},
    }
    with EcRest(
        EcRestConfig(base_url="http://ec.test/api"),
        datasets(rest=rest),
        transport=httpx.MockTransport(answer),
        policy=HttpPolicy(),
        sleep=lambda _: None,
    ) as client:
        assert client.tells_changes("stream_day")
        assert client.changes("stream_day", SINCE, FIRST, LAST).frame.height == 1
        client.read("stream_day", FIRST, LAST)
    assert dict(seen[0].params) == {"changed_after": "2026-11-02T08:00:00Z", "until": "2026-11-02"}
    assert dict(seen[1].params) == {"from_day": "2026-11-01"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"oracle_changes_sql": SQL}, "must ask for the rows stamped at or after :since"),
        ({"oracle_changes_sql": f"{SQL} AND UPDATED >= :since AND X = :day"}, ":day is none of"),
        ({"oracle_sql": f"{SQL} AND UPDATED >= :since"}, ":since is none of :from_day and :to_day"),
        ({"rest": {"path": "x", "changes_params": {"a": "{from_day}"}}}, "needs {since} in one of its texts"),
        ({"rest": {"path": "x", "params": {"a": "{since}"}}}, "{since} is none of"),
        (
            {
                "oracle_changes_sql": f"{SQL} AND UPDATED >= :since",
                "columns": {name: COLUMNS[name] for name in ("stream_ec_code", "production_date")},
            },
            "source_updated_at_utc, which must be among the columns",
        ),
    ],
)
def test_mapping_when_the_question_for_changes_is_wrong_then_the_fault_says_where(
    more: dict[str, Any], words: str
) -> None:
    with pytest.raises(MappingFaults) as caught:
        datasets(**more)
    assert words in str(caught.value)
    assert all("datasets.stream_day" in fault for fault in caught.value.faults)


# SharePoint

LIST = "/v1.0/sites/s,1,2/lists/Targets"
FIELDS = "$expand=fields($select=Title)"


class Graph:
    """Answers by verbatim target, and remembers what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, httpx.Response] = {}
        self.calls: list[str] = []
        self.column = "Title"

    def client(self) -> GraphClient:
        config = SharePointConfig(
            tenant_id="t",
            client_id="a",
            client_secret=Secret("x"),
            site_id="s,1,2",
            authority="http://login.test",
            graph_base_url="https://graph.test/v1.0",
        )
        return GraphClient(config, transport=httpx.MockTransport(self), policy=HttpPolicy(), sleep=lambda _: None)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        target = request.extensions.get("target", request.url.raw_path).decode()
        if request.url.host == "login.test":
            return httpx.Response(200, json={"access_token": "token", "expires_in": 3599})
        self.calls.append(target)
        if target.endswith("/columns"):
            return httpx.Response(200, json={"value": [{"name": self.column, "displayName": "Node", "text": {}}]})
        return self.answers.get(target) or httpx.Response(404, json={"error": {"code": "itemNotFound"}})

    def page(self, target: str, *items: dict[str, Any], link: str = "") -> None:
        more = {"@odata.deltaLink": f"https://graph.test{link}"} if link else {}
        self.answers[target] = httpx.Response(200, content=json.dumps({"value": items, **more}))


def test_list_when_read_whole_then_the_link_is_taken_before_the_items() -> None:
    graph = Graph()
    graph.page(f"{LIST}/items/delta?{FIELDS}&token=latest", link=f"{LIST}/items/delta?token=1")
    graph.page(f"{LIST}/items?{FIELDS}&$top=200", {"id": "1", "fields": {"Title": "A"}})
    with graph.client() as client:
        whole = client.list_whole("Targets", {"node_code": "Node"})
    assert [call.partition("?")[0].removeprefix(LIST) for call in graph.calls] == ["/columns", "/items/delta", "/items"]
    assert (whole.is_full, whole.delta_link) == (True, f"https://graph.test{LIST}/items/delta?token=1")
    assert whole.extract.frame["node_code"].to_list() == ["A"]


def test_changes_when_a_column_has_moved_then_the_old_link_is_not_followed() -> None:
    graph = Graph()
    link = f"{LIST}/items/delta?token=1"
    graph.page(link, link=f"{LIST}/items/delta?token=2")
    with graph.client() as client:
        first = client.list_changes("Targets", {"node_code": "Node"}, delta_link=f"https://graph.test{link}")
        # Deleted and made again, the column has another internal name: the link asks for one that no item has.
        graph.column = "Title0"
        graph.page(f"{LIST}/items/delta?$expand=fields($select=Title0)", link=f"{LIST}/items/delta?token=3")
        again = client.list_changes("Targets", {"node_code": "Node"}, delta_link=first.delta_link, fields=first.fields)
    assert (first.is_full, again.is_full) == (False, True)
    assert again.fields != first.fields


@pytest.mark.parametrize("tags", [{"cTag": "c5", "eTag": "e9"}, {"eTag": "c5"}])
def test_workbook_when_its_mark_is_known_then_it_is_not_downloaded(tags: dict[str, str]) -> None:
    graph = Graph()
    graph.answers["/v1.0/sites/s,1,2/drive/root:/a.xlsx"] = httpx.Response(200, json={"id": "F1", "size": 9, **tags})
    mapping = WorkbookMapping(dataset="lifting_programme", path="a.xlsx", sheet="S", columns=())
    with graph.client() as client:
        assert client.workbook_version("a.xlsx") == "c5"
        assert client.changed_workbook(mapping, "c5") is None
        assert not any("content" in call for call in graph.calls)
        with pytest.raises(SourceBroken):
            client.changed_workbook(mapping, "c4")
    assert graph.calls[-1].endswith("/items/F1/content")
