"""/events over the tiny operator: filters, volumes, and cursors that may not be changed."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import pages
from tests.unit.api.client import Api

PATH = "/api/v1/events"


def identifiers(body: dict[str, Any]) -> list[str]:
    return [event["id"] for event in body["events"]]


def test_events_then_newest_first_and_by_id_with_their_volumes(api: Api) -> None:
    body = api.body(PATH)
    assert identifiers(body) == ["ec:48213", "ec:48214", "ec:48215", "ec:48216"]
    assert (body["from"], body["to"], body["total"], body["next"]) == ("2026-10-23", "2026-11-21", 4, None)
    trip = body["events"][0]
    assert (trip["facilityId"], trip["hubId"], trip["assetId"]) == ("fs-alder", "hub-alder", "east")
    assert (trip["startedAt"], trip["endedAt"], trip["open"]) == ("2026-11-21T05:00:00Z", None, True)
    assert (trip["choke"], trip["reasonCode"], trip["planned"], trip["thirdParty"]) == (
        "plant",
        "PLT.COMP.TRIP",
        False,
        False,
    )
    assert trip["networks"]["oil"] == {"volume": 11_900, "volumeIfAlone": 14_000, "gainIfFixed": 9_800}
    assert trip["networks"]["domesticGas"] == {"volume": None, "volumeIfAlone": None, "gainIfFixed": None}
    assert [(f["facilityId"], f["oil"], f["exportGas"]) for f in trip["facilities"]] == [
        ("fs-alder", 11_900, None),
        ("gp-alder", None, 15e6),
    ]
    assert trip["enteredLoss"] == {"oil": 14_000, "gas": 15e6}
    assert trip["evidence"] == ["ec:DEFERMENT_EVENT/48213@1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=open", ["ec:48213"]),
        ("status=closed", ["ec:48214", "ec:48215", "ec:48216"]),
        ("facilityId=fs-birch", ["ec:48215"]),
        # Booked at fs-alder and fs-birch, counted at the plant.
        ("facilityId=gp-alder", ["ec:48213", "ec:48215", "ec:48216"]),
        ("assetId=west", ["ec:48215"]),
        ("network=domesticGas", ["ec:48216"]),
        ("network=exportGas", ["ec:48213", "ec:48215"]),
        ("source=pi", []),
        ("source=ec&status=open&network=oil", ["ec:48213"]),
        ("to=2026-11-20", []),
        ("from=2026-11-21&to=2026-11-21", ["ec:48213", "ec:48214", "ec:48215", "ec:48216"]),
        ("from=2031-01-01&to=2031-02-01", []),
        ("to=0001-01-01", []),
    ],
)
def test_events_when_filtered_then_those(api: Api, query: str, found: list[str]) -> None:
    body = api.body(f"{PATH}?{query}")
    assert identifiers(body) == found
    assert body["total"] == len(found)


def test_events_at_a_facility_then_only_what_is_counted_there(api: Api) -> None:
    event = api.body(f"{PATH}?facilityId=gp-alder")["events"][0]
    assert event["networks"]["oil"]["volume"] is None
    assert event["networks"]["exportGas"]["volume"] == 15e6
    assert [f["facilityId"] for f in event["facilities"]] == ["gp-alder"]


def test_events_in_display_units_then_scaled(api: Api) -> None:
    body = api.body(f"{PATH}?units=display")
    assert body["uom"] == {"oil": "kbbl", "domesticGas": "MMscf", "exportGas": "MMscf"}
    assert body["events"][0]["networks"]["oil"]["volume"] == 11.9
    assert body["events"][0]["enteredLoss"] == {"oil": 14, "gas": 15}


def test_events_volumes_then_those_of_the_drivers(api: Api) -> None:
    drivers = api.body("/api/v1/gap-drivers?limit=100")["networks"]
    for event in api.body(f"{PATH}?from=2026-11-21")["events"]:
        for network in ("oil", "domesticGas", "exportGas"):
            volumes = {d["id"]: d["volume"] for d in drivers[network]["drivers"]}
            assert event["networks"][network]["volume"] == volumes.get(event["id"])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("status=ajar", "status"),
        ("source=rumour", "source"),
        ("network=flaredGas", "network"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("from=2026-11-22", "from"),
        ("from=2026-13-01", "from"),
        ("facilityIds=fs-alder", "facilityIds"),
        ("cursor=", "cursor"),
        ("cursor=%00%ff", "cursor"),
    ],
)
def test_events_with_a_faulty_parameter_then_400_that_names_it(api: Api, query: str, parameter: str) -> None:
    problem = api.problem(f"{PATH}?{query}", 400, "invalidParameter")
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


@pytest.mark.parametrize("query", ["facilityId=none", "assetId=none", "facilityId=hub-alder"])
def test_events_of_an_unknown_id_then_400_unknown_id(api: Api, query: str) -> None:
    api.problem(f"{PATH}?{query}", 400, "unknownId")


def test_events_page_by_page_then_the_cursor_goes_on_where_it_ended(api: Api) -> None:
    first = api.body(f"{PATH}?limit=3")
    assert identifiers(first) == ["ec:48213", "ec:48214", "ec:48215"]
    second = api.body(f"{PATH}?limit=1&units=display&cursor={first['next']}")
    assert (identifiers(second), second["next"], second["total"]) == (["ec:48216"], None, 4)


def test_events_cursor_of_another_list_then_400(api: Api) -> None:
    cursor = api.body(f"{PATH}?limit=1")["next"]
    for other in ("status=open", "facilityId=gp-alder", "from=2026-11-21", "network=oil"):
        problem = api.problem(f"{PATH}?limit=1&{other}&cursor={cursor}", 400, "invalidParameter")
        assert "other parameters" in problem["detail"]


def test_events_cursor_with_another_release_then_400(api: Api) -> None:
    body = api.body(f"{PATH}?limit=1")
    same = api.body(f"{PATH}?limit=1&release={body['dataVersion']}&cursor={body['next']}")
    assert identifiers(same) == ["ec:48214"]
    api.problem(f"{PATH}?limit=1&release=20200101T000000Z-00000000&cursor={body['next']}", 400, "invalidParameter")
    api.problem(f"{PATH}?asKnownAt=2027-01-01T00:00:00Z&cursor={body['next']}", 400, "invalidParameter")


def test_events_cursor_of_a_pruned_release_then_410(api: Api) -> None:
    cursor = pages.read(api.body(f"{PATH}?limit=1")["next"])
    gone = pages.write(pages.Cursor("20200101T000000Z-00000000", cursor.asked, cursor.position, cursor.row_id))
    problem = api.problem(f"{PATH}?limit=1&cursor={gone}", 410, "releaseExpired")
    assert "20200101T000000Z-00000000" in problem["detail"]


@given(st.data())
def test_cursor_when_any_letter_is_changed_then_it_is_refused(data: st.DataObject) -> None:
    cursor = pages.write(pages.Cursor("20261122T000000Z-0123abcd", "0011223344556677", 1_795_000_000_000_000, "ec:1"))
    place = data.draw(st.integers(0, len(cursor) - 1))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    letter = data.draw(st.sampled_from(letters.replace(cursor[place], "")))
    with pytest.raises(ValueError, match="unchanged"):
        pages.read(cursor[:place] + letter + cursor[place + 1 :])


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_cursor_that_nobody_wrote_then_it_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="unchanged"):
        pages.read(value)


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.text(max_size=40))
def test_cursor_of_any_row_then_it_comes_back(position: int, row_id: str) -> None:
    cursor = pages.Cursor("20261122T000000Z-0123abcd", "ab", position, row_id)
    assert pages.read(pages.write(cursor)) == cursor
