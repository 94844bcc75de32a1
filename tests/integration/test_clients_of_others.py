"""Clients that others wrote, unchanged, against the sandbox's servers: what they cannot read, the servers do wrong."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import oracledb
import polars as pl
import pytest

from pipelines.simulators.launch import Running, start_simulators

pytestmark = [
    # The driver leaves the socket of a refused login to the collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    # The generated Graph client imports and defines what it calls outdated itself.
    pytest.mark.filterwarnings("ignore:GetQueryParameters is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This class is deprecated. Please use the generic Request:DeprecationWarning"),
]

NOW = datetime(2026, 10, 29, 12, tzinfo=UTC)
START = datetime(2026, 10, 26, 0, tzinfo=UTC)
END = START + timedelta(hours=2)
T = TypeVar("T")


def needed(name: str) -> Any:
    """The library, or a skip that says why; where everything has to be installed its absence is a failure."""
    if os.environ.get("CI", "").lower() == "true":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is no part of this installation (extra `clients`)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    with start_simulators("dst", data_root=folder, now=NOW, history_days=15, pi_days=6) as systems:
        yield systems


@pytest.fixture(scope="module")
def oracle(folder: Path, running: Running) -> Iterator[dict[str, Any]]:
    """How python-oracledb logs in to the same data over Oracle's protocol."""
    only = ["energy_components"]
    with start_simulators(
        "dst", data_root=folder, now=NOW, history_days=15, pi_days=6, systems=only, ec="oracle"
    ) as systems:
        environment = systems.environment()
        yield {
            "user": environment["EC_DB_USER"],
            "password": environment["EC_DB_PASSWORD"],
            "host": environment["EC_DB_HOST"],
            "port": int(environment["EC_DB_PORT"]),
            "service_name": environment["EC_DB_SERVICE_NAME"],
        }


@pytest.fixture(scope="module")
def archive(running: Running) -> pl.DataFrame:
    """The samples that PI serves."""
    files = sorted((running.data_folder / "pi" / "values").glob("*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files]).sort("Name", "Timestamp")


def recorded(archive: pl.DataFrame, name: str, start: datetime = START, end: datetime = END) -> pl.DataFrame:
    own = archive.filter((pl.col("Name") == name) & pl.col("Timestamp").is_between(start, end))
    return own.with_columns(pl.col("Timestamp").dt.convert_time_zone("UTC"))


@pytest.fixture(scope="module")
def names(running: Running, archive: pl.DataFrame) -> list[str]:
    """Two floating-point tags with values in the window."""
    points = pl.read_csv(next((running.data_folder / "pi").glob("points.*")), infer_schema=False)
    floats = points.filter(pl.col("PointType").str.starts_with("Float"))["Name"].to_list()
    busy = [name for name in floats if recorded(archive, name).height > 1]
    assert len(busy) >= 2
    return busy[:2]


# piwebx


def with_piwebx(running: Running, work: Callable[[Any, httpx.AsyncClient], Any]) -> Any:
    library = needed("piwebx")
    environment = running.environment()

    async def run() -> Any:
        login = (environment["PI_USERNAME"], environment["PI_PASSWORD"])
        async with httpx.AsyncClient(base_url=environment["PI_BASE_URL"], auth=login, trust_env=False) as client:
            return await work(library, client)

    return asyncio.run(run())


async def rows_of(stream: Any) -> list[tuple[datetime, list[Any]]]:
    return [row async for row in stream]


def test_piwebx_when_points_are_searched_then_web_ids_come_and_absent_names_are_told(
    running: Running, names: list[str]
) -> None:
    async def work(library: Any, client: httpx.AsyncClient) -> Any:
        found, absent = await library.find_points_web_id(client, [*names, "NO.SUCH.TAG"])
        types = await library.find_points_type(client, [web_id for _, web_id in found])
        return found, absent, types

    found, absent, types = with_piwebx(running, work)
    assert [name for name, _ in found] == [name.upper() for name in names]
    assert absent == ["NO.SUCH.TAG"]
    assert all(kind.startswith("Float") for kind in types.values())


def test_piwebx_when_recorded_values_are_streamed_then_they_are_those_of_the_archive(
    running: Running, names: list[str], archive: pl.DataFrame
) -> None:
    async def work(library: Any, client: httpx.AsyncClient) -> Any:
        found, _ = await library.find_points_web_id(client, names[:1])
        web_ids = [web_id for _, web_id in found]
        return await rows_of(library.get_recorded(client, web_ids, START, END, timezone="UTC"))

    rows = {at: values[0] for at, values in with_piwebx(running, work) if START < at < END}
    expected = recorded(archive, names[0]).filter(pl.col("Timestamp").is_between(START, END, closed="none"))
    assert len(rows) == expected["Timestamp"].n_unique() > 0
    usable = expected.filter(pl.col("Good") & pl.col("Value").is_not_null())
    assert sum(value for value in rows.values() if value is not None) == pytest.approx(usable["Value"].sum())


def test_piwebx_when_interpolated_values_are_streamed_then_the_grid_is_even_and_ends_are_included(
    running: Running, names: list[str]
) -> None:
    async def work(library: Any, client: httpx.AsyncClient) -> Any:
        found, _ = await library.find_points_web_id(client, names)
        web_ids = [web_id for _, web_id in found]
        rows = await rows_of(library.get_interpolated(client, web_ids, START, END, interval=600, timezone="UTC"))
        single = await library.get_interpolated_at_time(client, web_ids, START, timezone="UTC")
        last = await library.get_recorded_at_time(client, web_ids, END, timezone="UTC")
        return rows, single, last

    rows, single, last = with_piwebx(running, work)
    assert [at for at, _ in rows] == [START + timedelta(seconds=600 * step) for step in range(13)]
    assert single[1] == rows[0][1]
    assert all(len(values) == 2 for _, values in [*rows, last])


def test_piwebx_when_the_current_value_is_asked_then_one_comes_for_each_stream(
    running: Running, names: list[str]
) -> None:
    async def work(library: Any, client: httpx.AsyncClient) -> Any:
        found, _ = await library.find_points_web_id(client, names)
        return await library.get_current(client, [web_id for _, web_id in found], timezone="UTC")

    _, values = with_piwebx(running, work)
    assert len(values) == 2


# pi-web-sdk


@pytest.fixture
def sdk(running: Running) -> Iterator[Any]:
    library = needed("pi_web_sdk")
    config = importlib.import_module("pi_web_sdk.config")
    environment = running.environment()
    client = library.PIWebAPIClient(
        config.PIWebAPIConfig(
            base_url=environment["PI_BASE_URL"],
            auth_method=config.AuthMethod.BASIC,
            username=environment["PI_USERNAME"],
            password=environment["PI_PASSWORD"],
        )
    )
    yield client
    client.session.close()


def web_ids_of(sdk: Any, names: list[str]) -> list[str]:
    server = sdk.data_server.get_default()["WebId"]
    return [sdk.data_server.find_point_by_name(server, name)["WebId"] for name in names]


def test_pi_web_sdk_when_points_are_found_then_their_attributes_and_models_parse(sdk: Any, names: list[str]) -> None:
    server = sdk.data_server.list_parsed().items[0]
    assert server.is_connected
    listed = sdk.data_server.get_points_parsed(server.web_id, name_filter=names[0].rsplit(".", 1)[0] + "*")
    assert names[0] in [point.name for point in listed.items]
    web_id = web_ids_of(sdk, names)[0]
    point = sdk.point.get_parsed(web_id)
    assert (point.name, point.web_id) == (names[0], web_id)
    attributes = {each["Name"]: each["Value"] for each in sdk.point.get_attributes(web_id)["Items"]}
    assert attributes["tag"] == names[0]


def test_pi_web_sdk_when_streams_and_streamsets_are_read_then_both_give_the_archive(
    sdk: Any, names: list[str], archive: pl.DataFrame
) -> None:
    web_ids = web_ids_of(sdk, names)
    alone = sdk.stream.get_recorded(web_ids[0], START, END, max_count=5000)["Items"]
    together = sdk.streamset.get_recorded(web_ids, START, END, max_count=5000)["Items"]
    assert alone == together[0]["Items"]
    assert [each["Name"] for each in together] == names
    for name, stream in zip(names, together, strict=True):
        assert len(stream["Items"]) == recorded(archive, name).height
    latest_first = sdk.stream.get_recorded(web_ids[0], END, START, max_count=5000)["Items"]
    assert latest_first == alone[::-1]


def test_pi_web_sdk_when_grids_summaries_and_single_values_are_read_then_shapes_are_the_vendors(
    sdk: Any, names: list[str]
) -> None:
    web_id, *_ = web_ids = web_ids_of(sdk, names)
    grid = sdk.stream.get_interpolated(web_id, START, END, interval="10m")["Items"]
    assert len(grid) == 13
    sets = sdk.streamset.get_interpolated(web_ids, START, END, interval="10m")["Items"]
    assert sets[0]["Items"] == grid
    kinds = ["Average", "Minimum", "Maximum", "PercentGood"]
    summary = {
        each["Type"]: each["Value"]["Value"]
        for each in sdk.stream.get_summary(web_id, START, END, summary_type=kinds)["Items"]
    }
    assert summary["Minimum"] <= summary["Average"] <= summary["Maximum"]
    assert sdk.stream.get_value(web_id, time=START)["Value"] == grid[0]["Value"]
    assert sdk.stream.get_end(web_id)["Timestamp"] <= "2026-10-29T12:00:00Z"
    at_or_before = sdk.stream.get_recorded_at_time(web_id, END, retrieval_mode="AtOrBefore")
    assert at_or_before["Timestamp"] <= "2026-10-26T02:00:00Z"
    assert {each["WebId"] for each in sdk.streamset.get_values(web_ids)["Items"]} == set(web_ids)
    times = [START, START + timedelta(hours=1)]
    assert len(sdk.stream.get_recorded_at_times(web_id, times, retrieval_mode="AtOrBefore")["Items"]) == 2
    assert sdk.stream.get_interpolated_at_times(web_id, times)["Items"] == [grid[0], grid[6]]


def test_pi_web_sdk_when_a_plot_is_read_then_extremes_are_kept_and_five_values_an_interval_at_most(
    sdk: Any, names: list[str], archive: pl.DataFrame
) -> None:
    web_ids = web_ids_of(sdk, names)
    items = sdk.stream.get_plot(web_ids[0], START, END, intervals=4)["Items"]
    values = [item["Value"] for item in items if item["Good"]]
    truth = recorded(archive, names[0]).filter(pl.col("Good"))["Value"]
    assert (min(values), max(values)) == (pytest.approx(truth.min()), pytest.approx(truth.max()))
    assert len(items) <= 4 * 5 + 2
    assert [item["Timestamp"] for item in items] == sorted(item["Timestamp"] for item in items)
    assert sdk.streamset.get_plot(web_ids, START, END, intervals=4)["Items"][0]["Items"] == items


def test_pi_web_sdk_when_updates_are_asked_then_only_values_after_the_marker_come(
    running: Running, sdk: Any, names: list[str], archive: pl.DataFrame
) -> None:
    web_ids = web_ids_of(sdk, names)
    running.clock.set(START)
    try:
        registered = sdk.stream.register_update(web_ids[0])
        assert registered["Status"] == "Succeeded"
        running.clock.set(END)
        news = sdk.stream.retrieve_update(registered["LatestMarker"])
    finally:
        running.clock.set(NOW)
    after = recorded(archive, names[0]).filter(pl.col("Timestamp") > START)
    assert (news["Status"], len(news["Events"])) == ("Updated", after.height)
    assert {event["Action"] for event in news["Events"]} == {"Add"}
    sets = sdk.streamset.register_updates(web_ids)["Items"]
    again = sdk.streamset.retrieve_updates([each["LatestMarker"] for each in sets])["Items"]
    assert [each["Events"] for each in again] == [[], []]
    running.servers["pi"].system.updates.forget()  # type: ignore[attr-defined]
    with pytest.raises(needed("pi_web_sdk").PIWebAPIError, match="cache was not found") as caught:
        sdk.stream.retrieve_update(registered["LatestMarker"])
    assert caught.value.status_code == 404


def test_pi_web_sdk_when_a_batch_is_posted_then_children_take_values_of_their_parents(
    sdk: Any, names: list[str], archive: pl.DataFrame
) -> None:
    base = sdk.config.base_url
    path = f"\\\\{sdk.data_server.get_default()['Name']}\\{names[0]}"
    resource = f"{base}/streams/{{0}}/recorded?startTime={START:%Y-%m-%dT%H:%M:%SZ}&endTime={END:%Y-%m-%dT%H:%M:%SZ}"
    answer = sdk.batch.execute(
        {
            "point": {"Method": "GET", "Resource": f"{base}/points?path={path}&selectedFields=WebId"},
            "values": {
                "Method": "GET",
                "Resource": resource,
                "ParentIds": ["point"],
                "Parameters": ["$.point.Content.WebId"],
            },
        }
    )
    assert [answer[name]["Status"] for name in ("point", "values")] == [200, 200]
    assert len(answer["values"]["Content"]["Items"]) == recorded(archive, names[0]).height


def test_pi_web_sdk_when_refused_then_the_vendors_errors_reach_the_caller(running: Running, sdk: Any) -> None:
    error = needed("pi_web_sdk").PIWebAPIError
    with pytest.raises(error, match="WebID is invalid") as caught:
        sdk.stream.get_value("not-a-web-id")
    assert caught.value.status_code == 400
    # The cross-site defence refuses a change that comes without the header, as this client's PUT does.
    with pytest.raises(error, match="X-Requested-With") as caught:
        sdk.stream.update_value("F1DPx", {"Value": 1})
    assert caught.value.status_code == 403
    sdk.session.auth = ("somebody", "else")
    with pytest.raises(error) as caught:
        sdk.data_server.list()
    assert caught.value.status_code == 401


# msgraph-sdk


class _OurToken:
    """What azure-identity would do, which refuses authorities without TLS: the form, posted."""

    def __init__(self, environment: dict[str, str], allowed: Any) -> None:
        self._environment = environment
        self._allowed = allowed

    async def get_authorization_token(self, uri: str, additional_authentication_context: Any = None) -> str:
        environment = self._environment
        url = f"{environment['SP_AUTHORITY']}/{environment['SP_TENANT_ID']}/oauth2/v2.0/token"
        form = {
            "grant_type": "client_credentials",
            "client_id": environment["SP_CLIENT_ID"],
            "client_secret": environment["SP_CLIENT_SECRET"],
            "scope": environment["SP_GRAPH_SCOPE"],
        }
        async with httpx.AsyncClient(trust_env=False) as client:
            return str((await client.post(url, data=form)).json()["access_token"])

    def get_allowed_hosts_validator(self) -> Any:
        return self._allowed


def with_graph(running: Running, work: Callable[[Any, dict[str, str]], Any]) -> Any:
    library = needed("msgraph")
    authentication = importlib.import_module("kiota_abstractions.authentication")
    environment = running.environment()

    async def run() -> Any:
        allowed = authentication.AllowedHostsValidator(["127.0.0.1"])
        provider = authentication.BaseBearerTokenAuthenticationProvider(_OurToken(environment, allowed))
        adapter = library.GraphRequestAdapter(provider)
        adapter.base_url = environment["SP_GRAPH_BASE_URL"]
        try:
            return await work(library.GraphServiceClient(request_adapter=adapter), environment)
        finally:
            # Its own close does not reach the transport that holds the connections.
            await adapter._http_client._transport.transport.aclose()
            await adapter._http_client.aclose()

    return asyncio.run(run())


def configured(builder: Any, **parameters: Any) -> Any:
    """A request configuration with these query parameters, of the builder's own type."""
    name = next(name for name in dir(builder) if name.endswith("GetQueryParameters"))
    base = importlib.import_module("kiota_abstractions.base_request_configuration")
    return base.RequestConfiguration(query_parameters=getattr(builder, name)(**parameters))


def a_list(running: Running) -> Any:
    """The longest list of the site."""
    lists = running.servers["sharepoint"].system.replay.lists.values()  # type: ignore[attr-defined]
    return max(lists, key=lambda each: len(each.items()))


def test_msgraph_sdk_when_the_site_is_asked_by_id_path_and_search_then_is_the_same(running: Running) -> None:
    async def work(graph: Any, environment: dict[str, str]) -> Any:
        by_id = await graph.sites.by_site_id(environment["SP_SITE_ID"]).get()
        host = environment["SP_SITE_ID"].split(",")[0]
        by_path = await graph.sites.by_site_id(f"{host}:/sites/production").get()
        searched = await graph.sites.get(configured(graph.sites, search="*"))
        return by_id.id, by_path.id, [each.id for each in searched.value], environment["SP_SITE_ID"]

    by_id, by_path, searched, expected = with_graph(running, work)
    assert by_id == by_path == expected
    assert searched == [expected]


def test_msgraph_sdk_when_lists_and_columns_are_read_then_display_names_map_to_internal_ones(running: Running) -> None:
    expected = a_list(running)

    async def work(graph: Any, environment: dict[str, str]) -> Any:
        lists = graph.sites.by_site_id(environment["SP_SITE_ID"]).lists
        found = next(each for each in (await lists.get()).value if each.display_name == expected.name)
        return found.id, (await lists.by_list_id(found.id).columns.get()).value

    list_id, columns = with_graph(running, work)
    assert list_id == expected.list_id
    assert {(each.display_name, each.name) for each in columns} >= {
        (column.display_name, column.name) for column in expected.columns
    }
    numbers = {column.name for column in expected.columns if column.kind == "number"}
    assert {each.name for each in columns if each.number is not None} == numbers


def test_msgraph_sdk_when_items_are_paged_then_every_item_comes_once_with_its_fields(running: Running) -> None:
    expected = a_list(running)

    async def work(graph: Any, environment: dict[str, str]) -> Any:
        items = graph.sites.by_site_id(environment["SP_SITE_ID"]).lists.by_list_id(expected.name).items
        page = await items.get(configured(items, expand=["fields"], top=3))
        tasks = importlib.import_module("msgraph_core.tasks")
        found: list[Any] = []

        def keep(item: Any) -> bool:
            found.append(item)
            return True

        await tasks.PageIterator(page, graph.request_adapter).iterate(keep)
        one = await items.by_list_item_id(found[0].id).get()
        return found, one

    found, one = with_graph(running, work)
    assert [item.id for item in found] == [str(item.item_id) for item in expected.items()]
    assert len(found) > 3
    assert one.id == found[0].id
    column = next(column for column in expected.columns if column.kind == "number")
    served = [item.fields.additional_data.get(column.name) for item in found]
    assert served == [item.values[column.display_name] for item in expected.items()]


def test_msgraph_sdk_when_changes_are_asked_then_edits_and_deletions_come_and_a_stale_link_is_gone(
    running: Running,
) -> None:
    expected = a_list(running)

    async def work(graph: Any, environment: dict[str, str]) -> Any:
        delta = graph.sites.by_site_id(environment["SP_SITE_ID"]).lists.by_list_id(expected.name).items.delta
        page = await delta.get(configured(delta, expand=["fields"]))
        seen = list(page.value)
        while page.odata_next_link:
            page = await delta.with_url(page.odata_next_link).get()
            seen += page.value
        expected.put(9001, {column.display_name: None for column in expected.columns}, NOW)
        added = await delta.with_url(page.odata_delta_link).get()
        expected.delete(9001)
        removed = await delta.with_url(added.odata_delta_link).get()
        stale = page.odata_delta_link.partition("token=")[0] + "token=999999"
        with pytest.raises(importlib.import_module("kiota_abstractions.api_error").APIError) as caught:
            await delta.with_url(stale).get()
        return len(seen), added.value, removed.value, caught.value

    before = len(expected.items())
    count, added, removed, gone = with_graph(running, work)
    assert count == before
    assert [item.id for item in added] == ["9001"]
    assert [(item.id, item.deleted.state) for item in removed] == [("9001", "deleted")]
    assert gone.response_status_code == 410
    assert gone.error.code == "resyncChangesApplyDifferences"


def test_msgraph_sdk_when_the_drive_is_walked_then_content_is_the_file_behind_the_redirect(running: Running) -> None:
    root = running.data_folder / "sharepoint" / "drive"

    async def walk(items: Any, key: str) -> list[Any]:
        found = []
        for item in (await items.by_drive_item_id(key).children.get()).value:
            found += [item] if item.file else await walk(items, item.id)
        return found

    async def work(graph: Any, environment: dict[str, str]) -> Any:
        drive = await graph.sites.by_site_id(environment["SP_SITE_ID"]).drive.get()
        items = graph.drives.by_drive_id(drive.id).items
        files = await walk(items, "root")
        content = await items.by_drive_item_id(files[0].id).content.get()
        by_path = await items.by_drive_item_id(f"root:/{path_of(files[0])}:").get()
        return drive.id, environment["SP_DRIVE_ID"], files, content, by_path

    def path_of(item: Any) -> str:
        return next(path.relative_to(root).as_posix() for path in root.rglob(item.name))

    drive_id, expected, files, content, by_path = with_graph(running, work)
    assert drive_id == expected
    assert {each.name for each in files} == {path.name for path in root.rglob("*") if path.is_file()}
    assert content == (root / path_of(files[0])).read_bytes()
    assert (files[0].size, by_path.id) == (len(content), files[0].id)


def test_msgraph_sdk_when_changes_of_the_drive_are_asked_then_a_new_file_and_its_removal_come(running: Running) -> None:
    root = running.data_folder / "sharepoint" / "drive"
    extra = root / "extra.txt"

    async def work(graph: Any, environment: dict[str, str]) -> Any:
        delta = graph.drives.by_drive_id(environment["SP_DRIVE_ID"]).items.by_drive_item_id("root").delta
        first = await delta.get(configured(delta, top=1))
        seen = list(first.value)
        while first.odata_next_link:
            first = await delta.with_url(first.odata_next_link).get()
            seen += first.value
        extra.write_text("new", encoding="utf-8")
        added = await delta.with_url(first.odata_delta_link).get()
        extra.unlink()
        removed = await delta.with_url(added.odata_delta_link).get()
        return seen, added.value, removed.value

    seen, added, removed = with_graph(running, work)
    assert {item.name for item in seen} == {path.name for path in root.rglob("*")}
    assert [item.name for item in added] == ["extra.txt"]
    assert [(item.id, item.deleted.state) for item in removed] == [(added[0].id, "deleted")]


def test_msgraph_sdk_when_a_list_is_unknown_then_graphs_error_code_reaches_the_caller(running: Running) -> None:
    async def work(graph: Any, environment: dict[str, str]) -> Any:
        with pytest.raises(importlib.import_module("kiota_abstractions.api_error").APIError) as caught:
            await graph.sites.by_site_id(environment["SP_SITE_ID"]).lists.by_list_id("no such list").get()
        return caught.value

    error = with_graph(running, work)
    assert (error.response_status_code, error.error.code) == (404, "itemNotFound")


# python-oracledb

COUNT = "SELECT COUNT(*) FROM RV_STRM_DAY"


@pytest.fixture(scope="module")
def view(oracle: dict[str, Any]) -> tuple[str, int]:
    """A view of the site and how many rows it has."""
    with oracledb.connect(**oracle) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT table_name FROM all_tab_columns WHERE column_name = :name", name="DAYTIME")
        names = [str(row[0]) for row in cursor.fetchall()]
        counts = {name: cursor.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in names}
    name = max(counts, key=lambda each: counts[each])
    assert counts[name] > 100
    return name, int(counts[name])


def test_oracledb_when_rows_are_fetched_one_by_one_many_and_all_then_they_are_the_same(
    oracle: dict[str, Any], view: tuple[str, int]
) -> None:
    name, count = view
    statement = f"SELECT * FROM {name} ORDER BY DAYTIME"
    with oracledb.connect(**oracle) as connection:
        with connection.cursor() as cursor:
            whole = cursor.execute(statement).fetchall()
        with connection.cursor() as cursor:
            cursor.arraysize, cursor.prefetchrows = 7, 7
            cursor.execute(statement)
            first = cursor.fetchone()
            parts = [first]
            while rows := cursor.fetchmany(13):
                parts += rows
        with connection.cursor() as cursor:
            cursor.execute(statement)
            assert list(cursor) == whole
            assert [column[0] for column in cursor.description].count("DAYTIME") == 1
    assert len(whole) == count
    assert parts == whole


def test_oracledb_when_binds_are_named_positional_and_repeated_then_each_is_understood(
    oracle: dict[str, Any], view: tuple[str, int]
) -> None:
    name, count = view
    day = datetime(2026, 10, 20)
    with oracledb.connect(**oracle) as connection, connection.cursor() as cursor:
        before = cursor.execute(f"SELECT COUNT(*) FROM {name} WHERE DAYTIME < :day", {"day": day}).fetchone()[0]
        after = cursor.execute(f"SELECT COUNT(*) FROM {name} WHERE DAYTIME >= :1", [day]).fetchone()[0]
        statement = f"SELECT COUNT(*) FROM {name} WHERE DAYTIME < :day OR DAYTIME >= :day"
        assert cursor.execute(statement, day=day).fetchone()[0] == count
    assert before + after == count
    assert before > 0


def test_oracledb_when_frames_are_fetched_then_all_and_batches_agree(
    oracle: dict[str, Any], view: tuple[str, int]
) -> None:
    name, count = view
    statement = f"SELECT * FROM {name} ORDER BY DAYTIME"
    with oracledb.connect(**oracle) as connection:
        whole = pl.DataFrame(connection.fetch_df_all(statement))
        batches = [pl.DataFrame(batch) for batch in connection.fetch_df_batches(statement, size=50)]
    assert whole.height == count
    assert len(batches) > 1
    assert pl.concat(batches).equals(whole)


def test_oracledb_when_a_pool_is_shared_by_threads_then_each_gets_its_rows(
    oracle: dict[str, Any], view: tuple[str, int]
) -> None:
    name, count = view
    pool = oracledb.create_pool(**oracle, min=1, max=2, increment=1, getmode=oracledb.POOL_GETMODE_WAIT)
    found: list[int] = []

    def ask() -> None:
        with pool.acquire() as connection, connection.cursor() as cursor:
            found.append(cursor.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0])

    try:
        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert pool.opened <= 2
    finally:
        pool.close(force=True)
    assert found == [count] * 5


def test_oracledb_when_used_asynchronously_alone_and_pooled_then_rows_are_the_same(
    oracle: dict[str, Any], view: tuple[str, int]
) -> None:
    name, count = view

    async def run() -> tuple[int, list[int], int]:
        async with oracledb.connect_async(**oracle) as connection:
            with connection.cursor() as cursor:
                await cursor.execute(f"SELECT * FROM {name}")
                rows = len(await cursor.fetchall())
            frames = 0
            async for batch in connection.fetch_df_batches(f"SELECT * FROM {name}", size=100):
                frames += batch.num_rows()
        pool = oracledb.create_pool_async(**oracle, min=1, max=2, increment=1)

        async def ask() -> int:
            async with pool.acquire() as connection:
                return int((await connection.fetchone(f"SELECT COUNT(*) FROM {name}"))[0])

        try:
            pooled = await asyncio.gather(*(ask() for _ in range(4)))
        finally:
            await pool.close(force=True)
        return rows, pooled, frames

    assert asyncio.run(run()) == (count, [count] * 4, count)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT * FROM NO_SUCH_VIEW", 942),
        ("SELECT NO_SUCH_COLUMN FROM {view}", 904),
        ("DELETE FROM {view}", 16000),
        ("SELECT FROM WHERE", 900),
    ],
)
def test_oracledb_when_a_statement_is_wrong_then_oracles_error_number_comes(
    oracle: dict[str, Any], view: tuple[str, int], statement: str, code: int
) -> None:
    with oracledb.connect(**oracle) as connection, connection.cursor() as cursor:
        with pytest.raises(oracledb.DatabaseError) as caught:
            cursor.execute(statement.format(view=view[0]))
        assert caught.value.args[0].code == code
        # The session goes on after a refusal.
        assert cursor.execute("SELECT 1 FROM DUAL").fetchone() == (1,)


def test_oracledb_when_the_password_is_wrong_then_the_login_is_refused(oracle: dict[str, Any]) -> None:
    with pytest.raises(oracledb.DatabaseError, match="ORA-01017"):
        oracledb.connect(**{**oracle, "password": "wrong"})
