"""The PI Web API client against a small PI of our own: whole under every reading of maxCount, honest about states."""

from __future__ import annotations

import gc
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.sources.collector import collector_paused
from pipelines.sources.config import PiConfig, Secret
from pipelines.sources.errors import SourceBroken, SourceUnavailable
from pipelines.sources.extract import Progress
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.payloads_pi import Sample, State, ValueFault
from pipelines.sources.pi_web_api import PiClient
from pipelines.sources.pi_web_api_frame import RECORDED_SCHEMA, instants, recorded_frame

DAY = datetime(2026, 11, 20, 5, tzinfo=UTC)
CONFIG = PiConfig(base_url="http://pi.test/piwebapi", max_in_flight=2)
POLICY = HttpPolicy(read_seconds=2, overall_seconds=20)


def at(seconds: float) -> str:
    text = (DAY + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text.rstrip("0").rstrip(".") + "Z"


def item(seconds: float, value: Any = 1.0, **more: Any) -> dict[str, Any]:
    return {"Timestamp": at(seconds), "Value": value, "Good": True, "Questionable": False, **more}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Pi:
    """Serves `archive` (tag → items). `reading` of maxCount in a streamset: each, divided, total; `limit` caps a call."""

    def __init__(self, archive: dict[str, list[dict[str, Any]]], reading: str = "each", limit: int = 150_000) -> None:
        self.archive = archive
        self.reading = reading
        self.limit = limit
        self.ignores_max_count = False
        self.has_multiple = True
        self.has_set_at_time = True
        self.web_ids = {name: f"I1DP{index:04d}" for index, name in enumerate(archive)}
        self.faults: list[httpx.Response | Exception | None] = []
        self.urls: list[str] = []
        self.lock = threading.Lock()

    def client(self, config: PiConfig = CONFIG, **options: Any) -> PiClient:
        return PiClient(config, transport=httpx.MockTransport(self), policy=POLICY, sleep=lambda _: None, **options)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            self.urls.append(str(request.url))
            fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return fault
        path = request.url.path.removeprefix("/piwebapi/")
        query = parse_qs(request.url.query.decode(), keep_blank_values=True)
        return self.route(path, query)

    def route(self, path: str, query: dict[str, list[str]]) -> httpx.Response:
        if path == "dataservers":
            return ok(Items=[{"WebId": "F1DS", "Name": "SRV", "Path": "\\\\PIServers[SRV]"}])
        if path == "points/multiple":
            if not self.has_multiple:
                return httpx.Response(404, text="<html>404</html>")
            return ok(Items=[self.point(each) for each in query["path"]])
        if path == "dataservers/F1DS/points":
            wanted = query["nameFilter"][0].upper()
            found = [name for name in self.web_ids if name.upper().startswith(wanted)][int(query["startIndex"][0]) :]
            return ok(Items=[{"WebId": self.web_ids[name], "Name": name} for name in found])
        kind, _, rest = path.partition("/")
        if kind == "streamsets":
            if rest == "recordedattime" and not self.has_set_at_time:
                return httpx.Response(405, text="no")
            return self.streamset(rest, query)
        web_id, _, action = rest.partition("/")
        names = [name for name, each in self.web_ids.items() if each == web_id]
        if not names:
            return httpx.Response(404, json={"Errors": [f"The WebId {web_id} is unknown."]})
        if action == "recordedattime":
            return httpx.Response(200, json=self.before(names[0], query))
        count = int(query.get("maxCount", ["1000"])[0])
        return self.counted(count) or ok(
            Items=self.between(names[0], query)[: 1000 if self.ignores_max_count else count]
        )

    def point(self, path: str) -> dict[str, Any]:
        name = next((each for each in self.web_ids if path == f"\\\\SRV\\{each}"), None)
        if name is None:
            return {"Identifier": path, "Exception": {"Errors": ["PI Point not found"]}}
        return {"Identifier": path, "Object": {"WebId": self.web_ids[name], "Name": name, "PointType": "Float32"}}

    def counted(self, count: int) -> httpx.Response | None:
        if count <= self.limit:
            return None
        words = f"Parameter 'maxCount' is greater than the maximum allowed ({self.limit})."
        return httpx.Response(400, json={"Errors": [words]})

    def streamset(self, action: str, query: dict[str, list[str]]) -> httpx.Response:
        names = {web_id: name for name, web_id in self.web_ids.items()}
        unknown = [each for each in query["webId"] if each not in names]
        if unknown:
            return httpx.Response(404, json={"Errors": [f"The WebId {unknown[0]} is unknown."]})
        asked = [(web_id, names[web_id]) for web_id in query["webId"]]
        if action == "recordedattime":
            return ok(Items=[{"WebId": w, "Name": n, "Value": self.before(n, query)} for w, n in asked])
        count = int(query.get("maxCount", ["1000"])[0])
        refusal = self.counted(count)
        if refusal is not None:
            return refusal
        left = 1000 if self.ignores_max_count else count
        streams = []
        for web_id, name in asked:
            take = {"each": left, "divided": left // len(asked), "total": left}[self.reading]
            items = self.between(name, query)[:take]
            if self.reading == "total":
                left -= len(items)
            streams.append({"WebId": web_id, "Name": name, "Items": items})
        return ok(Items=streams)

    def between(self, name: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        start = instant(query["startTime"][0])
        end = instant(query["endTime"][0]) if query["endTime"][0] != "*" else DAY + timedelta(days=99)
        return [
            each for each in self.archive[name] if "Timestamp" not in each or start <= instant(each["Timestamp"]) <= end
        ]

    def before(self, name: str, query: dict[str, list[str]]) -> dict[str, Any]:
        time = instant(query["time"][0])
        earlier = [each for each in self.archive[name] if "Timestamp" in each and instant(each["Timestamp"]) <= time]
        no_data = {"Name": "No Data", "Value": 248, "IsSystem": True}
        return earlier[-1] if earlier else {"Timestamp": "1970-01-01T00:00:00Z", "Value": no_data, "Good": False}


def ok(**content: Any) -> httpx.Response:
    return httpx.Response(200, content=json.dumps(content).encode())


def read(pi: Pi, hours: float = 24, tags: dict[str, int] | None = None, **options: Any) -> Any:
    tags = tags if tags is not None else {name: index for index, name in enumerate(pi.archive, 1)}
    with pi.client(**options) as client:
        return client.recorded(tags, DAY, DAY + timedelta(hours=hours))


# Whole under every reading of maxCount


@pytest.mark.parametrize("reading", ["each", "divided", "total"])
@pytest.mark.parametrize("tags", [1, 3])
def test_recorded_when_1001_values_meet_a_default_of_1000_then_all_come(reading: str, tags: int) -> None:
    archive = {f"T{tag}": [item(second, float(second)) for second in range(1001)] for tag in range(tags)}
    extract = read(Pi(archive, reading), max_count=1000)
    assert extract.frame.group_by("tag_id").len()["len"].to_list() == [1001] * tags
    assert extract.frame["value"].sum() == tags * sum(range(1001))


@pytest.mark.parametrize("reading", ["each", "divided", "total"])
def test_recorded_when_server_ignores_max_count_then_all_come(reading: str) -> None:
    pi = Pi({"A": [item(second) for second in range(2500)], "B": [item(second) for second in range(7)]}, reading)
    pi.ignores_max_count = True
    assert dict(read(pi).frame.group_by("tag_id").len().iter_rows()) == {1: 2500, 2: 7}


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    max_count=st.integers(12, 80),
    reading=st.sampled_from(["each", "divided", "total"]),
    step=st.sampled_from([0.25, 1.0, 700.0]),
)
def test_recorded_when_counts_and_limits_vary_then_nothing_is_lost_or_doubled(
    counts: list[int], max_count: int, reading: str, step: float
) -> None:
    archive = {f"T{tag}": [item(k * step, float(k)) for k in range(count)] for tag, count in enumerate(counts)}
    frame = read(Pi(archive, reading), max_count=max_count, target_items=30).frame
    inside = [sum(k * step < 86_400 for k in range(count)) for count in counts]
    found = dict(frame.group_by("tag_id").len().iter_rows())
    assert [found.get(tag, 0) for tag in range(1, len(counts) + 1)] == inside
    assert frame.equals(frame.sort("tag_id", "observed_at_utc"))


def test_recorded_when_server_names_a_lower_limit_then_obeys_it() -> None:
    pi = Pi({"A": [item(second) for second in range(900)], "B": [item(1)]}, limit=400)
    assert read(pi).frame.height == 901
    assert any("maxCount=400" in url for url in pi.urls)


def test_recorded_when_page_cuts_among_equal_instants_then_the_last_of_them_stands() -> None:
    items = [item(1, 1.0), item(2, 2.0), item(2, 3.0), item(2, 4.0), item(5, 5.0)]
    frame = read(Pi({"A": items}), max_count=4).frame
    assert frame["value"].to_list() == [1.0, 4.0, 5.0]


def test_recorded_when_more_values_share_one_instant_than_any_page_then_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.sources.pi_web_api_read.MOST_ITEMS", 16)
    with pytest.raises(SourceBroken, match="at the one instant"):
        read(Pi({"A": [item(1, float(k)) for k in range(50)]}), max_count=4)


def test_recorded_when_a_stream_is_absent_from_the_answer_then_it_is_read_alone() -> None:
    pi = Pi({"A": [item(1)], "B": [item(2)]})
    whole = pi.streamset

    def without_b(action: str, query: dict[str, list[str]]) -> httpx.Response:
        content = json.loads(whole(action, query).content)
        return ok(Items=content["Items"][:1])

    pi.streamset = without_b  # type: ignore[method-assign]
    assert read(pi).frame["tag_id"].to_list() == [1, 2]


# The span


def test_recorded_when_no_value_stands_at_start_then_the_last_before_comes_too_and_the_end_is_left_out() -> None:
    items = [item(-90, 7.0), item(-30, 8.0), item(1, 9.0), item(3599.5, 10.0), item(3600, 11.0)]
    pi = Pi({"A": items, "B": [item(-10, 1.0)], "C": [item(-5, 1.0), item(0, 2.0)], "D": []})
    frame = read(pi, hours=1).frame
    assert frame.filter(tag_id=1)["value"].to_list() == [8.0, 9.0, 10.0]
    assert frame.filter(tag_id=2)["value"].to_list() == [1.0]
    assert frame.filter(tag_id=3)["value"].to_list() == [2.0]
    assert frame.filter(tag_id=4).is_empty()


def test_recorded_when_the_set_lacks_recorded_at_time_then_each_is_asked_alone() -> None:
    pi = Pi({"A": [item(-30, 8.0)], "B": [item(-20, 9.0)]})
    pi.has_set_at_time = False
    assert read(pi).frame["value"].to_list() == [8.0, 9.0]


def test_recorded_when_windows_follow_each_other_then_edges_come_once() -> None:
    # The first window ends after two hours: values on its edge belong to the second.
    items = [item(seconds) for seconds in (7199.999999, 7200, 7200.000001)]
    assert read(Pi({"A": items, "B": items})).frame.height == 6


def test_recorded_when_nothing_is_archived_then_is_empty_with_schema() -> None:
    extract = read(Pi({"A": [], "B": []}))
    assert extract.frame.schema == RECORDED_SCHEMA
    assert (extract.frame.height, extract.missing) == (0, ())


def test_recorded_when_no_tags_are_asked_then_asks_nothing() -> None:
    pi = Pi({})
    assert read(pi).frame.schema == RECORDED_SCHEMA
    assert pi.urls == []


def test_recorded_when_zone_is_missing_then_is_refused() -> None:
    with Pi({"A": []}).client() as client, pytest.raises(ValueError, match="zone"):
        client.recorded({"A": 1}, DAY.replace(tzinfo=None), DAY)


def test_recorded_when_many_tags_are_asked_then_urls_stay_below_8_kib_and_progress_is_told() -> None:
    told: list[Progress] = []
    pi = Pi({f"A-LONG-TAG-NAME-{k:04d}": [item(k)] for k in range(230)})
    extract = read(pi, on_progress=told.append)
    assert extract.frame.height == 230
    assert max(len(url) for url in pi.urls) <= 8192
    assert max(each.rows for each in told) == 230
    assert extract.pages == max(each.pages for each in told)
    assert extract.bytes > 0


@pytest.mark.parametrize("reading", ["each", "divided", "total"])
def test_first_recorded_when_archives_begin_with_states_then_is_the_earliest_measured_value(reading: str) -> None:
    created = {"Name": "Pt Created", "Value": 253, "IsSystem": True}
    many = [item(k, 1.0) for k in range(100, 200)]
    pi = Pi({"A": many, "B": [item(-500, created, Good=False), item(30.5, 1.0)], "C": [], "D": [item(90)]}, reading)
    with pi.client() as client:
        assert client.first_recorded({"A": 1, "B": 2, "C": 3, "D": 4, "NO": 5}) == DAY + timedelta(seconds=30.5)
        assert client.first_recorded({"C": 3}) is None
        assert client.first_recorded({"NO": 5}) is None


# Values


def test_frame_when_states_digitals_faults_and_texts_are_mixed_then_each_has_its_meaning() -> None:
    system = {"Name": "I/O Timeout", "Value": 246, "IsSystem": True}
    digital = {"Name": "OPEN", "Value": 1, "IsSystem": False}
    items = [
        item(1, 12.5),
        item(2, 3),
        item(3, system, Good=False),
        item(4, digital),
        item(5, None, Good=False, Errors=[{"FieldName": "Value", "Message": ["boom"]}]),
        item(6, "text"),
        item(7, 5.0, Questionable=True),
        item(8, 9.0, Good=False),
        item(9, 1.0, Errors=[{"FieldName": "Value", "Message": ["x"]}]),
        item(10, True),
    ]
    frame = read(Pi({"A": items})).frame
    expected = pl.DataFrame(
        {
            "value": [12.5, 3.0, None, 1.0, None, None, 5.0, 9.0, None, 1.0],
            "state_code": [None, None, 246, None, None, None, None, None, None, None],
            "is_good": [True, True, False, True, False, False, True, False, False, True],
            "is_questionable": [False] * 6 + [True] + [False] * 3,
        },
        schema={name: RECORDED_SCHEMA[name] for name in ("value", "state_code", "is_good", "is_questionable")},
    )
    assert_frame_equal(frame.select(expected.columns), expected)


def test_instants_when_digits_of_the_fraction_vary_then_are_cut_to_microseconds() -> None:
    texts = [f"2026-11-20T06:00:10{fraction}Z" for fraction in ("", ".8", ".87", ".8757629", ".9999999", ".000001")]
    series = instants(texts)
    assert series.dtype == pl.Datetime("us", "UTC")
    assert series.dt.microsecond().to_list() == [0, 800_000, 870_000, 875_762, 999_999, 1]


def test_instants_when_text_is_none_then_says_which() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        instants(["2026-11-20T06:00:10Z", "yesterday"])


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=False, allow_infinity=False),
            st.none(),
            st.text(max_size=3),
            st.booleans(),
            st.builds(State, Value=st.integers(-5, 400), IsSystem=st.booleans()),
        ),
        max_size=30,
    )
)
def test_frame_when_values_are_any_mix_then_one_row_each_and_good_implies_a_value(values: list[Any]) -> None:
    samples = [Sample(Timestamp=at(k), Value=value) for k, value in enumerate(values)]
    frame = recorded_frame([(7, samples), (8, [])])
    assert frame.schema == RECORDED_SCHEMA
    assert frame.height == len(values)
    assert frame.filter("is_good")["value"].null_count() == 0
    assert frame.filter(pl.col("state_code").is_not_null())["value"].null_count() == frame["state_code"].count()


def test_frame_when_streams_have_own_lengths_then_tag_ids_follow_them() -> None:
    streams = [(4_000_000_000, [Sample(at(1), 1.0)]), (2, []), (3, [Sample(at(1), 2.0), Sample(at(2), 3.0)])]
    assert recorded_frame(streams)["tag_id"].to_list() == [4_000_000_000, 3, 3]


def test_frame_when_faults_are_an_empty_list_then_the_value_stands() -> None:
    assert recorded_frame([(1, [Sample(at(1), 2.0, Errors=[])])])["is_good"].to_list() == [True]
    faulty = Sample(at(1), 2.0, Errors=[ValueFault()])
    assert recorded_frame([(1, [faulty])])["value"].to_list() == [None]


def test_collector_when_paused_by_several_then_runs_again_after_the_last() -> None:
    with collector_paused():
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


# Errors, in the six forms that PI has


CARRIERS: list[Callable[[], httpx.Response | Exception]] = [
    lambda: httpx.Response(503, json={"Errors": ["The server is busy."]}),
    lambda: httpx.Response(500, json={"Message": "An error has occurred.", "ExceptionMessage": "x"}),
    lambda: httpx.Response(502, text="<html><h1>Bad Gateway</h1></html>"),
    lambda: ok(WebException={"StatusCode": 500, "Errors": ["backend"]}),
    lambda: ok(Links={}),
    lambda: httpx.Response(200, content=b'{"Items":[{"WebId":"I1DP0000","Items":[{"Timest'),
    lambda: httpx.ReadError("connection reset"),
]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("position", range(4))
def test_recorded_when_any_call_fails_once_then_the_answer_is_whole(
    carrier: Callable[[], httpx.Response | Exception], position: int
) -> None:
    pi = Pi({"A": [item(1, 1.0), item(80_000, 2.0)], "B": [item(2, 3.0)]})
    pi.faults = [None] * position + [carrier()]
    extract = read(pi)
    assert extract.frame["value"].to_list() == [1.0, 2.0, 3.0]
    assert pi.faults == []


def test_recorded_when_web_exception_stays_then_is_unavailable_and_says_so() -> None:
    pi = Pi({"A": [item(1)]})
    pi.faults = [None, None, *(ok(WebException={"StatusCode": 500, "Errors": ["archive down"]}) for _ in range(9))]
    with pytest.raises(SourceUnavailable, match=r"WebException 500: archive down") as caught:
        read(pi)
    assert "recorded_value, 2026-11-20T05:00:00" in str(caught.value)


def test_recorded_when_one_stream_reports_a_fault_then_the_others_come_and_it_is_named() -> None:
    fault = {"Good": False, "Value": None, "Errors": [{"FieldName": "Value", "Message": ["no permission"]}]}
    extract = read(Pi({"A": [item(1)], "B": [fault], "C": [item(2)]}))
    assert extract.frame["tag_id"].to_list() == [1, 3]
    assert extract.missing == ("B",)
    assert "no permission" in extract.warnings[0]


def test_recorded_when_a_tag_does_not_exist_then_it_is_missing_and_the_rest_comes() -> None:
    extract = read(Pi({"A": [item(1)]}), tags={"A": 1, "NOPE": 2})
    assert (extract.frame.height, extract.missing) == (1, ("NOPE",))


def test_recorded_when_no_tag_exists_then_is_broken() -> None:
    with pytest.raises(SourceBroken, match="none of them exists"):
        read(Pi({"A": []}), tags={"X": 1, "Y": 2})


def test_recorded_when_points_multiple_is_lacking_then_whole_names_are_found_by_filter() -> None:
    pi = Pi({"TAG": [item(1, 1.0)], "TAG.OLD": [item(1, 2.0)]})
    pi.has_multiple = False
    assert read(pi, tags={"tag": 5}).frame.select("tag_id", "value").row(0) == (5, 1.0)


def test_recorded_when_a_point_was_recreated_then_its_new_id_is_found() -> None:
    pi = Pi({"A": [item(1, 1.0)], "B": [item(2, 2.0)]})
    with pi.client() as client:
        assert client.recorded({"A": 1, "B": 2}, DAY, DAY + timedelta(hours=1)).frame.height == 2
        pi.web_ids["B"] = "I1DP9999"
        extract = client.recorded({"A": 1, "B": 2}, DAY, DAY + timedelta(hours=1))
    assert extract.frame["value"].to_list() == [1.0, 2.0]
    assert extract.missing == ()


def test_recorded_when_credentials_are_refused_then_is_broken_and_names_what_is_offered() -> None:
    pi = Pi({"A": []})
    pi.faults = [httpx.Response(401, headers={"WWW-Authenticate": "Negotiate"}, json={"Message": "denied"})]
    with pytest.raises(SourceBroken, match=r"offers Negotiate"):
        read(pi)


def test_recorded_when_one_batch_fails_then_the_others_stop_and_its_error_is_told() -> None:
    pi = Pi({f"T{k}": [item(k)] for k in range(60)})
    whole = pi.streamset

    def failing(action: str, query: dict[str, list[str]]) -> httpx.Response:
        if "I1DP0000" in query["webId"]:
            return httpx.Response(503, text="maintenance")
        return whole(action, query)

    pi.streamset = failing  # type: ignore[method-assign]
    with pytest.raises(SourceUnavailable, match="maintenance"):
        read(pi)


def test_recorded_when_cancelled_then_ends_with_unavailable() -> None:
    pi = Pi({"A": [item(k) for k in range(10)]})
    client = pi.client(on_progress=lambda _: client.cancel())
    with client, pytest.raises(SourceUnavailable, match="stop"):
        client.recorded({"A": 1}, DAY, DAY + timedelta(days=3))


# Logging in


def test_login_when_basic_then_sends_user_and_password_and_csrf_header() -> None:
    seen: list[httpx.Headers] = []
    pi = Pi({"A": []})

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return pi(request)

    config = PiConfig(
        base_url="http://pi.test/piwebapi/", auth_mode="basic", username="CORP\\reader", password=Secret("pass-word")
    )
    with PiClient(config, transport=httpx.MockTransport(note)) as client:
        client.points(["A"])
    assert seen[0]["Authorization"] == "Basic Q09SUFxyZWFkZXI6cGFzcy13b3Jk"
    assert seen[0]["X-Requested-With"]


def test_login_when_bearer_then_asks_for_a_token_with_the_configured_scope() -> None:
    pi = Pi({"A": []})
    forms: list[bytes] = []

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            forms.append(request.content)
            return httpx.Response(200, json={"access_token": "the-token", "expires_in": "3600"})
        assert request.headers["Authorization"] == "Bearer the-token"
        return pi(request)

    config = PiConfig(
        base_url="http://pi.test/piwebapi",
        auth_mode="bearer",
        client_id="app",
        client_secret=Secret("the-secret"),
        token_url="http://id.test/token",
    )
    with PiClient(config, transport=httpx.MockTransport(serve)) as client:
        assert set(client.points(["A"])) == {"A"}
    assert re.search(rb"scope=system", forms[0])


def test_server_when_there_are_several_then_one_must_be_named() -> None:
    servers = [{"WebId": "a", "Name": "ONE"}, {"WebId": "b", "Name": "TWO"}]
    pi = Pi({"A": []})
    pi.faults = [ok(Items=servers)]
    with pytest.raises(SourceBroken, match="ONE, TWO"):
        read(pi)
