"""A site's mapping files: read whole, or refused with every fault at once."""

from __future__ import annotations

import tomllib

import pytest

from pipelines.sources.mapping import MappingFaults, binds_of, parse_energy_components, parse_sharepoint

GOOD = """
[datasets.stream_day]
oracle_sql = "SELECT CODE, DAYTIME, NET_VOL FROM RV_STRM_DAY WHERE DAYTIME >= :from_day AND DAYTIME < :to_day"
key = ["stream_ec_code", "production_date"]
[datasets.stream_day.rest]
path = "views/RV_STRM_DAY"
params = { from_day = "{from_day}", to_day = "{to_day}" }
items_pointer = "/items"
paging = "offset"
page_size = 500
[datasets.stream_day.columns]
stream_ec_code = { source = "CODE", type = "text" }
production_date = { source = "DAYTIME", type = "date" }
volume = { source = "NET_VOL", type = "float", unit = "Sm3" }
network = { constant = "oil", type = "text" }
"""


def test_parse_when_energy_components_is_right_then_gives_typed_datasets() -> None:
    dataset = parse_energy_components(tomllib.loads(GOOD))["stream_day"]
    assert dataset.rest is not None
    assert (dataset.rest.paging, dataset.rest.page_size, dataset.rest.size_param) == ("offset", 500, "limit")
    assert [column.canonical for column in dataset.columns] == [
        "stream_ec_code",
        "production_date",
        "volume",
        "network",
    ]
    assert dataset.units() == {"volume": "Sm3"}
    assert dataset.columns[3].constant == "oil"
    assert dataset.key == ("stream_ec_code", "production_date")


def test_parse_when_energy_components_has_faults_then_all_are_told_with_their_place() -> None:
    content = tomllib.loads(
        """
        odd = 1
        [datasets.a]
        oracle_sql = "DELETE FROM X WHERE D = :day; "
        key = ["nope"]
        [datasets.a.rest]
        path = ""
        paging = "cursor"
        page_size = 0
        items_pointer = "items"
        params = { d = "{today}" }
        [datasets.a.columns]
        volume = { source = "V", type = "number" }
        code = { type = "text" }
        both = { source = "B", constant = 1, type = "int" }
        zone = { source = "Z", type = "datetime", zone = "Mars/Base" }
        bare = "B"
        extra = { source = "E", type = "text", untt = "bbl" }
        [datasets.b]
        columns = {}
        """
    )
    with pytest.raises(MappingFaults) as caught:
        parse_energy_components(content, where="ec.toml")
    told = "\n".join(caught.value.faults)
    for place in (
        "ec.toml: odd: unknown key",
        "datasets.a.oracle_sql: must be a query",
        "datasets.a.oracle_sql: must be one statement",
        "datasets.a.oracle_sql: :day is none of",
        "datasets.a.key",
        "datasets.a.rest.path: is missing",
        "datasets.a.rest.paging: must be one of offset, page, next_link, none",
        "datasets.a.rest.page_size",
        "datasets.a.rest.items_pointer",
        "datasets.a.rest.params.d: {today}",
        "datasets.a.columns.volume.type: must be one of",
        "datasets.a.columns.code: needs exactly one",
        "datasets.a.columns.both: needs exactly one",
        "datasets.a.columns.zone.zone: 'Mars/Base'",
        "datasets.a.columns.bare: must be a table",
        "datasets.a.columns.extra.untt: unknown key",
        "datasets.b.columns: needs at least one",
        "datasets.b: needs oracle_sql",
    ):
        assert place in told, place
    assert told.count("ec.toml:") == len(caught.value.faults)


def test_parse_when_sharepoint_is_right_then_display_names_need_no_type() -> None:
    mapping = parse_sharepoint(
        tomllib.loads(
            """
            [lists.business_target]
            name = "Business targets"
            [lists.business_target.columns]
            node_code = "Node"
            valid_from = { source = "Valid from", type = "date" }
            [workbooks.lifting_programme]
            path = "Planning/Lifting.xlsx"
            sheet = "Programme"
            header_row = 3
            [workbooks.lifting_programme.columns]
            cargo_id = "Cargo"
            """
        )
    )
    assert mapping.lists["business_target"].columns[0].source == "Node"
    assert mapping.lists["business_target"].columns[0].type is None
    assert mapping.workbooks["lifting_programme"].header_row == 3


def test_parse_when_sharepoint_has_faults_then_all_are_told() -> None:
    with pytest.raises(MappingFaults) as caught:
        parse_sharepoint({"lists": {"a": {"columns": {"x": 1}}}, "workbooks": {"b": {"header_row": 0}}, "odd": {}})
    assert len(caught.value.faults) == 7


def test_binds_when_colons_stand_in_literals_and_comments_then_are_none() -> None:
    sql = "SELECT TO_CHAR(d,'HH24:MI') FROM v -- :old\nWHERE d >= :from_day /* :x */ AND d < :to_day"
    assert binds_of(sql) == {"from_day", "to_day"}
