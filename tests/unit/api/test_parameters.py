"""Reading of query parameters."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import parameters
from api.parameters import COMMON, FACILITY_IDS, LIMIT, MAX_IDENTIFIERS, check_identifiers, read
from api.problems import Problem


def refused(query: bytes, allowed: tuple[parameters.Parameter, ...] = COMMON) -> dict[str, str]:
    with pytest.raises(Problem) as caught:
        read(query, allowed)
    assert caught.value.kind.status == 400
    return {error.parameter: error.detail for error in caught.value.errors}


def test_read_without_query_then_defaults() -> None:
    assert read(b"", (LIMIT, FACILITY_IDS)) == {"limit": 20, "facilityIds": None}


def test_read_when_all_are_given_then_parsed() -> None:
    values = read(
        b"productionDate=2026-11-20&units=display&network=oil&targetVersion=2026.2&asKnownAt=2026-11-21T05:00:00%2B01:00",
        COMMON,
    )
    assert values["productionDate"] == date(2026, 11, 20)
    assert values["asKnownAt"] == datetime(2026, 11, 21, 4, tzinfo=UTC)
    assert (values["units"], values["network"], values["targetVersion"]) == ("display", "oil", "2026.2")


def test_read_when_a_plus_was_not_encoded_then_the_instant_is_still_read() -> None:
    assert read(b"asKnownAt=2026-11-21T05:00:00+01:00", COMMON)["asKnownAt"] == datetime(2026, 11, 21, 4, tzinfo=UTC)


def test_read_when_several_are_faulty_then_every_one_is_named_with_what_is_allowed() -> None:
    found = refused(b"units=metric&network=water&productionDate=2026-02-30&colour=red&release=latest&asKnownAt=noon")
    assert found["units"] == "must be one of base, display"
    assert "oil, domesticGas, exportGas, flaredGas" in found["network"]
    assert found["productionDate"] == "is no day of the calendar"
    assert "allowed: productionDate, units" in found["colour"]
    assert set(found) == {"units", "network", "productionDate", "colour", "release", "asKnownAt"}


def test_read_when_one_is_given_twice_then_refused() -> None:
    assert "more than once" in refused(b"units=base&units=base")["units"]


def test_read_when_two_releases_are_named_then_refused() -> None:
    found = refused(b"release=20261121T050000Z-0123abcd&asKnownAt=2026-11-21T05:00:00Z")
    assert "give one of the two" in found["asKnownAt"]


@pytest.mark.parametrize("value", [b"0", b"101", b"-1", b"ten", b"1.5", "٣".encode()])
def test_read_when_limit_is_out_of_range_then_refused(value: bytes) -> None:
    assert refused(b"limit=" + value, (LIMIT,))["limit"] == "must be a whole number from 1 to 100"


def test_read_when_a_list_is_empty_or_too_long_then_refused() -> None:
    assert "none of them empty" in refused(b"facilityIds=", (FACILITY_IDS,))["facilityIds"]
    assert "none of them empty" in refused(b"facilityIds=a,,b", (FACILITY_IDS,))["facilityIds"]
    many = ",".join(f"f{number}" for number in range(MAX_IDENTIFIERS + 1)).encode()
    assert f"at most {MAX_IDENTIFIERS}" in refused(b"facilityIds=" + many, (FACILITY_IDS,))["facilityIds"]


def test_read_when_a_list_repeats_an_identifier_then_it_stands_once() -> None:
    assert read(b"facilityIds=a, b,a", (FACILITY_IDS,))["facilityIds"] == ("a", "b")


def test_check_identifiers_when_some_are_unknown_then_unknown_id_names_each() -> None:
    with pytest.raises(Problem) as caught:
        check_identifiers({"facilityIds": ("fs-a", "zz", "yy")}, (FACILITY_IDS,), {"flowstation": frozenset({"fs-a"})})
    assert caught.value.kind.code == "unknownId"
    assert [error.received for error in caught.value.errors] == ["zz", "yy"]


@given(st.binary(max_size=300))
def test_read_for_any_query_then_values_or_a_problem(query: bytes) -> None:
    try:
        values = read(query, (*COMMON, LIMIT, FACILITY_IDS))
    except Problem as problem:
        assert problem.errors
    else:
        assert set(values) == {parameter.name for parameter in (*COMMON, LIMIT, FACILITY_IDS)}
