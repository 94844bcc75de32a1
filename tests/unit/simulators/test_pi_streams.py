"""Reading values from the simulated PI Web API: streams, streamsets, limits, states, times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipelines.simulators.faults import Fault
from pipelines.simulators.pi_web_api import PiAccess, PiWebApi, web_exception
from pipelines.simulators.replay_pi import PiReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_clock import Clock

START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 2, tzinfo=UTC)
MANY = 1441


def _minutes(count: int) -> list[datetime]:
    return [START + timedelta(minutes=number) for number in range(count)]


def _write(folder: Path) -> None:
    (folder / "values").mkdir(parents=True)
    (folder / "points.csv").write_text(
        "Name,Id,Descriptor,EngineeringUnits,PointType,DigitalSetName,Step,Span,Zero\n"
        "RATE,7,Oil rate,Sm3/h,Float64,,false,100,0\n"
        "RUN,8,Run status,,Digital,RunStates,true,1,0\n"
        "MIXED,9,Level,%,Float64,,true,100,0\n"
        "EMPTY,10,Never read,%,Float64,,false,100,0\n"
        "COUNT,11,Counter,,Int32,,true,100,0\n",
        encoding="utf-8",
    )
    (folder / "digital_sets.csv").write_text("set,name,value\nRunStates,STOPPED,0\nRunStates,RUNNING,1\n")
    rate = pl.DataFrame(
        {"Name": ["RATE"] * MANY, "Timestamp": _minutes(MANY), "Value": [float(n) for n in range(MANY)]}
    )
    rate.write_parquet(folder / "values" / "rate.parquet")
    rows: list[dict[str, Any]] = [
        {"Name": "RUN", "Timestamp": START, "Value": 1.0},
        {"Name": "RUN", "Timestamp": START + timedelta(hours=1), "Value": 0.0},
        {"Name": "MIXED", "Timestamp": START, "Value": 12.5},
        {"Name": "MIXED", "Timestamp": START + timedelta(hours=1, microseconds=123_456), "Value": None, "State": 246},
        {"Name": "MIXED", "Timestamp": START + timedelta(hours=2, microseconds=500_000), "Value": 13.0, "Good": True},
        {"Name": "MIXED", "Timestamp": START + timedelta(hours=3), "Value": None},
        {"Name": "COUNT", "Timestamp": START, "Value": 4.0},
    ]
    schema = {
        "Name": pl.String,
        "Timestamp": pl.Datetime("us", "UTC"),
        "Value": pl.Float64,
        "State": pl.Int16,
        "Good": pl.Boolean,
    }
    pl.DataFrame(rows, schema=schema).write_parquet(folder / "values" / "others.parquet")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> PiWebApi:
    folder = tmp_path_factory.mktemp("pi")
    _write(folder)
    return PiWebApi(PiReplay(folder), PiAccess(method="Anonymous"), clock=Clock(NOW))


@pytest.fixture(scope="module")
def client(system: PiWebApi) -> Iterator[httpx.Client]:
    with LocalServer(system) as server, httpx.Client(base_url=f"{server.url}/piwebapi") as client:
        yield client


@pytest.fixture(autouse=True)
def _reset(system: PiWebApi) -> Iterator[None]:
    yield
    system.faults.clear()
    system.context.limits.shares_max_count = False
    system.context.limits.max_returned_items = 150_000
    system.clock.set(NOW)


def _web_id(client: httpx.Client, name: str, kind: str = "Full") -> str:
    answer = client.get("/points", params={"path": rf"\\PISRV01\{name}", "webIdType": kind})
    return str(answer.json()["WebId"])


def _recorded(client: httpx.Client, name: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/streams/{_web_id(client, name)}/recorded", params=parameters)
    answer.raise_for_status()
    items: list[dict[str, Any]] = answer.json()["Items"]
    return items


def test_recorded_without_max_count_stops_silently_at_one_thousand(client: httpx.Client) -> None:
    items = _recorded(client, "RATE", startTime="2026-11-01T00:00:00Z", endTime="2026-11-02T00:00:00Z")
    assert len(items) == 1000
    assert items[-1] == {
        "Timestamp": "2026-11-01T16:39:00Z",
        "Value": 999.0,
        "UnitsAbbreviation": "Sm3/h",
        "Good": True,
        "Questionable": False,
        "Substituted": False,
        "Annotated": False,
    }


def test_recorded_paged_by_time_gives_every_value_once(client: httpx.Client) -> None:
    found: dict[str, float] = {}
    start = "2026-11-01T00:00:00Z"
    while True:
        page = _recorded(client, "RATE", startTime=start, endTime="2026-11-02T00:00:00Z", maxCount=500)
        found |= {item["Timestamp"]: item["Value"] for item in page}
        if len(page) < 500:
            break
        start = page[-1]["Timestamp"]
    assert list(found.values()) == [float(number) for number in range(MANY)]


def test_recorded_above_the_limit_is_refused_in_the_vendors_words(client: httpx.Client) -> None:
    answer = client.get(f"/streams/{_web_id(client, 'RATE')}/recorded", params={"maxCount": 150_001})
    assert answer.status_code == 400
    assert answer.json() == {"Errors": ["Parameter 'maxCount' is greater than the maximum allowed (150000)."]}


def test_recorded_when_end_precedes_start_is_descending(client: httpx.Client) -> None:
    items = _recorded(client, "RATE", startTime="*", endTime="*-1h", maxCount=3)
    assert [item["Value"] for item in items] == [1440.0, 1439.0, 1438.0]


def test_recorded_of_an_empty_range_is_an_empty_list(client: httpx.Client) -> None:
    assert _recorded(client, "EMPTY") == []
    assert _recorded(client, "RATE", startTime="2020-01-01T00:00:00Z", endTime="2020-01-02T00:00:00Z") == []


@pytest.mark.parametrize(
    ("boundary", "expected"),
    [
        ("Inside", [61.0, 62.0]),
        ("Outside", [60.0, 61.0, 62.0, 63.0]),
        ("Interpolated", [60.5, 61.0, 62.0, 62.5]),
    ],
)
def test_recorded_boundary_types(client: httpx.Client, boundary: str, expected: list[float]) -> None:
    span = {"startTime": "2026-11-01T01:00:30Z", "endTime": "2026-11-01T01:02:30Z", "boundaryType": boundary}
    assert [item["Value"] for item in _recorded(client, "RATE", **span)] == expected


def test_recorded_values_later_than_the_clock_are_not_seen(client: httpx.Client, system: PiWebApi) -> None:
    system.clock.set(START + timedelta(minutes=10))
    items = _recorded(client, "RATE", startTime="2026-11-01T00:00:00Z", endTime="2026-11-02T00:00:00Z")
    assert [item["Value"] for item in items] == [float(number) for number in range(11)]


def test_states_and_errors_stand_as_objects_between_numbers(client: httpx.Client) -> None:
    items = _recorded(client, "MIXED")
    assert [item["Value"] for item in items] == [
        12.5,
        {"Name": "I/O Timeout", "Value": 246, "IsSystem": True},
        13.0,
        None,
    ]
    assert [item["Good"] for item in items] == [True, False, True, False]
    assert items[3]["Errors"][0]["FieldName"] == "Value"
    assert isinstance(items[3]["Errors"][0]["Message"], list)


def test_timestamps_have_mixed_fractions_that_cut_to_the_micros(client: httpx.Client) -> None:
    texts = [item["Timestamp"] for item in _recorded(client, "MIXED")]
    assert texts[0] == "2026-11-01T00:00:00Z"
    assert texts[1].startswith("2026-11-01T01:00:00.123456")
    assert len(texts[1]) == len("2026-11-01T01:00:00.1234567Z")
    assert texts[2] == "2026-11-01T02:00:00.5Z"


def test_digital_and_integer_points_write_their_own_types(client: httpx.Client) -> None:
    assert [item["Value"] for item in _recorded(client, "RUN")] == [
        {"Name": "RUNNING", "Value": 1, "IsSystem": False},
        {"Name": "STOPPED", "Value": 0, "IsSystem": False},
    ]
    answer = client.get(f"/streams/{_web_id(client, 'COUNT')}/recorded")
    assert '"Value":4,' in answer.text


def test_selected_fields_cut_the_answer_to_what_was_asked(client: httpx.Client) -> None:
    web_id = _web_id(client, "RATE")
    chosen = "Items.WebId;Items.Items.Timestamp;Items.Items.Value"
    answer = client.get("/streamsets/recorded", params={"webId": web_id, "maxCount": 1, "selectedFields": chosen})
    assert answer.json() == {
        "Items": [{"WebId": web_id, "Items": [{"Timestamp": "2026-11-01T00:00:00Z", "Value": 0.0}]}]
    }
    one = client.get(f"/streams/{web_id}/recorded", params={"maxCount": 1, "selectedFields": "Items.Good"})
    assert one.json() == {"Items": [{"Good": True}]}
    none = client.get(f"/streams/{web_id}/recorded", params={"selectedFields": "UnitsAbbreviation"})
    assert none.json() == {"UnitsAbbreviation": "Sm3/h"}


def test_streamset_keeps_the_order_asked_and_takes_id_only_web_ids(client: httpx.Client) -> None:
    web_ids = [_web_id(client, name, "IDOnly") for name in ("MIXED", "RATE", "RUN", "EMPTY")]
    answer = client.get("/streamsets/recorded", params=[("webId", each) for each in web_ids] + [("maxCount", "5")])
    streams = answer.json()["Items"]
    assert [stream["Name"] for stream in streams] == ["MIXED", "RATE", "RUN", "EMPTY"]
    assert [len(stream["Items"]) for stream in streams] == [4, 5, 2, 0]


@pytest.mark.parametrize(("shared", "expected"), [(False, 10), (True, 5)])
def test_streamset_max_count_under_both_readings(
    client: httpx.Client, system: PiWebApi, shared: bool, expected: int
) -> None:
    system.context.limits.shares_max_count = shared
    pairs = [("webId", _web_id(client, "RATE")), ("webId", _web_id(client, "EMPTY")), ("maxCount", "10")]
    assert len(client.get("/streamsets/recorded", params=pairs).json()["Items"][0]["Items"]) == expected


def test_streamset_whose_total_passes_the_limit_is_refused(client: httpx.Client, system: PiWebApi) -> None:
    system.context.limits.max_returned_items = 1000
    web_id = _web_id(client, "RATE")
    pairs = [("webId", web_id), ("webId", web_id), ("maxCount", "900")]
    answer = client.get("/streamsets/recorded", params=pairs)
    assert answer.status_code == 400
    assert "1800" in answer.json()["Errors"][0]


def test_value_end_and_recorded_at_time(client: httpx.Client) -> None:
    rate, empty = _web_id(client, "RATE"), _web_id(client, "EMPTY")
    assert client.get(f"/streams/{rate}/value").json()["Value"] == 1440.0
    assert client.get(f"/streams/{rate}/value", params={"time": "2026-11-01T00:00:30Z"}).json()["Value"] == 0.5
    assert client.get(f"/streams/{empty}/end").json()["Value"]["Name"] == "No Data"
    at = {"time": "2026-11-01T00:05:30Z", "retrievalMode": "AtOrBefore"}
    assert client.get(f"/streams/{rate}/recordedattime", params=at).json()["Timestamp"] == "2026-11-01T00:05:00Z"
    values = client.get("/streamsets/value", params=[("webId", rate), ("webId", empty)]).json()["Items"]
    assert [value["Value"]["Good"] for value in values] == [True, False]


def test_interpolated_follows_the_grid(client: httpx.Client) -> None:
    span = {"startTime": "2026-11-01T00:00:00Z", "endTime": "2026-11-01T00:02:00Z", "interval": "30s"}
    items = client.get(f"/streams/{_web_id(client, 'RATE')}/interpolated", params=span).json()["Items"]
    assert [item["Value"] for item in items] == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_summary_weighs_by_time_and_tells_coverage(client: httpx.Client) -> None:
    span = {
        "startTime": "2026-11-01T00:00:00Z",
        "endTime": "2026-11-01T02:00:00Z",
        "summaryType": ["Average", "PercentGood", "Total", "Maximum"],
    }
    rate = client.get(f"/streams/{_web_id(client, 'RATE')}/summary", params=span).json()["Items"]
    values = {item["Type"]: item["Value"]["Value"] for item in rate}
    assert values["Average"] == pytest.approx(60.0)
    assert values["Total"] == pytest.approx(60.0 * 2 / 24)
    assert values["Maximum"] == 120.0
    mixed = client.get("/streamsets/summary", params=span | {"webId": _web_id(client, "MIXED")}).json()["Items"]
    coverage = {item["Type"]: item["Value"]["Value"] for item in mixed[0]["Items"]}
    assert coverage["PercentGood"] == pytest.approx(50.0, abs=0.01)
    assert coverage["Average"] == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", NOW),
        ("*-1d", NOW - timedelta(days=1)),
        ("*-1h30m", NOW - timedelta(minutes=90)),
        ("t", NOW),
        ("y+6h", NOW - timedelta(hours=18)),
        ("1-nov-26", START),
        ("2026-11-01T01:00:00+01:00", START),
        ("2026-11-01T00:00:00.0000004Z", START),
        ("2026-11-01", START),
    ],
)
def test_pi_times_mean_what_the_vendor_says(client: httpx.Client, text: str, expected: datetime) -> None:
    items = _recorded(client, "RATE", startTime=text, endTime="2026-11-02T00:00:00Z", maxCount=1)
    assert items[0]["Timestamp"] == expected.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("text", ["soon", "*-", "*-3x", "2026-13-01", "**"])
def test_pi_time_that_is_none_is_refused(client: httpx.Client, text: str) -> None:
    answer = client.get(f"/streams/{_web_id(client, 'RATE')}/recorded", params={"startTime": text})
    assert answer.status_code == 400
    assert "startTime" in answer.json()["Errors"][0]


def test_encoding_many_points_equals_encoding_them_one_by_one(client: httpx.Client) -> None:
    names = ["RATE", "MIXED", "EMPTY", "RUN", "COUNT"]
    pairs = [("webId", _web_id(client, name)) for name in names]
    together = client.get("/streamsets/recorded", params=pairs).json()["Items"]
    assert [stream["Items"] for stream in together] == [_recorded(client, name) for name in names]


def test_faults_take_the_vendors_carriers(client: httpx.Client, system: PiWebApi) -> None:
    url = f"/streams/{_web_id(client, 'RATE')}/recorded"
    system.faults.add(web_exception())
    late = client.get(url)
    assert (late.status_code, late.json()["WebException"]["StatusCode"]) == (200, 500)
    system.faults.add(*(Fault(kind="status", status=status) for status in (500, 401, 429, 503)))
    carriers = [client.get(url) for _ in range(4)]
    assert list(carriers[0].json()) == ["Errors"]
    assert list(carriers[1].json()) == ["Message"]
    assert carriers[2].text == "Rate limit was reached"
    assert carriers[3].headers["content-type"].startswith("text/html")


def test_wrong_unit_fault_spoils_one_tag_of_an_answer(client: httpx.Client, system: PiWebApi) -> None:
    system.faults.add(Fault(kind="wrong_unit", path="streamsets", column="COUNT", factor=1000.0))
    pairs = [("webId", _web_id(client, "COUNT")), ("webId", _web_id(client, "RATE")), ("maxCount", "2")]
    streams = client.get("/streamsets/recorded", params=pairs).json()["Items"]
    assert [item["Value"] for item in streams[0]["Items"]] == [4000]
    assert [item["Value"] for item in streams[1]["Items"]] == [0.0, 1.0]


def test_plot_keeps_first_last_and_extremes_of_each_interval(client: httpx.Client) -> None:
    query = {"startTime": "2026-11-01T00:00:30Z", "endTime": "2026-11-01T10:00:30Z", "intervals": "2"}
    items = client.get(f"/streams/{_web_id(client, 'RATE')}/plot", params=query).json()["Items"]
    # Both ends are interpolated; inside, a rising line needs each half's first and last.
    assert [item["Value"] for item in items] == [0.5, 1.0, 300.0, 301.0, 600.0, 600.5]


def test_plot_keeps_a_bad_value(client: httpx.Client) -> None:
    query = {"startTime": "2026-11-01T00:00:00Z", "endTime": "2026-11-01T04:00:00Z", "intervals": "1"}
    items = client.get(f"/streams/{_web_id(client, 'MIXED')}/plot", params=query).json()["Items"]
    assert [item["Value"]["Value"] for item in items if isinstance(item["Value"], dict)][:1] == [246]


def test_plot_of_no_time_is_refused(client: httpx.Client) -> None:
    query = {"startTime": "2026-11-01T10:00:00Z", "endTime": "2026-11-01T00:00:00Z"}
    assert client.get(f"/streams/{_web_id(client, 'RATE')}/plot", params=query).status_code == 400


def test_values_at_several_times_come_in_the_order_asked(client: httpx.Client) -> None:
    times = ["2026-11-01T02:00:30Z", "2026-11-01T01:00:30Z"]
    web_id = _web_id(client, "RATE")
    found = client.get(f"/streams/{web_id}/interpolatedattimes", params={"time": times}).json()["Items"]
    assert [item["Value"] for item in found] == [120.5, 60.5]
    query = {"time": times, "retrievalMode": "AtOrBefore"}
    found = client.get(f"/streams/{web_id}/recordedattimes", params=query).json()["Items"]
    assert [item["Value"] for item in found] == [120.0, 60.0]


def test_updates_give_what_came_since_the_marker_and_go_with_the_server(client: httpx.Client, system: PiWebApi) -> None:
    headers = {"X-Requested-With": "test"}
    web_id = _web_id(client, "RATE")
    assert client.post(f"/streams/{web_id}/updates").status_code == 403
    system.clock.set(START + timedelta(minutes=10))
    try:
        registered = client.post(f"/streams/{web_id}/updates", headers=headers)
        marker = registered.json()["LatestMarker"]
        assert registered.headers["Location"].endswith(marker)
        assert client.get(f"/streams/updates/{marker}").json()["Events"] == []
        system.clock.set(START + timedelta(minutes=13))
        news = client.get(f"/streams/updates/{marker}").json()
        assert [event["Value"] for event in news["Events"]] == [11.0, 12.0, 13.0]
        assert client.get(f"/streams/updates/{news['LatestMarker']}").json()["Events"] == []
        # A marker can be asked again: an answer that was lost is not a gap.
        assert client.get(f"/streams/updates/{marker}").json()["Events"] == news["Events"]
        assert client.get(f"/streams/updates/{marker}9").status_code == 409
        system.updates.forget()
        assert client.get(f"/streams/updates/{marker}").status_code == 404
    finally:
        system.clock.set(NOW)


def test_recorded_serves_the_default_when_max_count_is_lost(client: httpx.Client, system: PiWebApi) -> None:
    system.context.limits.loses_max_count = True
    try:
        query = {"startTime": "2026-11-01T00:00:00Z", "endTime": "2026-11-02T00:00:00Z", "maxCount": "5000"}
        items = client.get(f"/streams/{_web_id(client, 'RATE')}/recorded", params=query).json()["Items"]
    finally:
        system.context.limits.loses_max_count = False
    assert len(items) == 1000
