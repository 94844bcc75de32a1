"""The clients against the sandbox's servers, which share no code with them: rows, pages and faults over real sockets."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines import settings
from pipelines.simulators.faults import Fault, too_many_requests
from pipelines.simulators.launch import Running, start_simulators
from pipelines.sources.circuit import forget_circuits
from pipelines.sources.config import EcOracleConfig, EcRestConfig
from pipelines.sources.ec_oracle import EcOracle
from pipelines.sources.ec_rest import EcRest
from pipelines.sources.errors import SourceBroken, SourceUnavailable
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.mapping import parse_energy_components, parse_sharepoint
from pipelines.sources.pi_web_api import PiClient
from pipelines.sources.sharepoint import GraphClient

REFERENCE = Path(settings.__file__).parent / "reference" / "dst"
ZONE = "Europe/Oslo"
# Ten days around the end of summer time.
NOW = datetime(2026, 10, 29, 12, tzinfo=UTC)
FIRST, LAST = date(2026, 10, 20), date(2026, 10, 28)
START, END = datetime(2026, 10, 24, 4, tzinfo=UTC), datetime(2026, 10, 27, 5, tzinfo=UTC)
POLICY = HttpPolicy(connect_seconds=5, read_seconds=5, overall_seconds=30, first_wait_seconds=0.01)
DATASETS = parse_energy_components(tomllib.loads((REFERENCE / "energy_components.toml").read_text("utf-8")))
SHAREPOINT = parse_sharepoint(tomllib.loads((REFERENCE / "sharepoint.toml").read_text("utf-8")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def systems(folder: Path) -> Iterator[Running]:
    with start_simulators("dst", data_root=folder, now=NOW, history_days=15, pi_days=6) as running:
        yield running


@pytest.fixture
def running(systems: Running) -> Iterator[Running]:
    forget_circuits()
    yield systems
    for server in systems.servers.values():
        server.system.faults.clear()


@pytest.fixture
def energy_components(running: Running) -> Iterator[EcRest]:
    config = settings.load(running.environment()).energy_components
    assert isinstance(config, EcRestConfig)
    with EcRest(config, DATASETS, zone=ZONE, policy=POLICY) as client:
        yield client


@pytest.fixture
def pi(running: Running) -> Iterator[Callable[..., PiClient]]:
    config = settings.load(running.environment()).pi
    assert config is not None
    clients = []

    def make(**options: Any) -> PiClient:
        clients.append(PiClient(config, policy=POLICY, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def sharepoint(running: Running) -> Iterator[GraphClient]:
    config = settings.load(running.environment()).sharepoint
    assert config is not None
    with GraphClient(config, zone=ZONE, policy=POLICY) as client:
        yield client


def served(running: Running) -> pl.DataFrame:
    """The samples in the folder that PI serves, by tag and instant."""
    files = sorted((running.data_folder / "pi" / "values").glob("*.parquet"))
    frame = pl.concat([pl.read_parquet(file) for file in files])
    return frame.filter(pl.col("Timestamp").is_between(START, END, closed="left")).sort("Name", "Timestamp")


def tags() -> dict[str, int]:
    register = pl.read_csv(REFERENCE / "tags.csv")
    return dict(zip(register["tag_name"], register["tag_id"], strict=True))


# Energy Components


def test_energy_components_when_all_datasets_are_read_then_rows_parse_and_preflight_is_clean(
    energy_components: EcRest,
) -> None:
    assert energy_components.preflight() == []
    for name in DATASETS:
        extract = energy_components.read(name, FIRST, LAST)
        assert extract.rejected.is_empty(), (name, extract.rejected)
        assert extract.warnings == (), name
    days = energy_components.read("stream_day", FIRST, LAST).frame["production_date"].unique().sort()
    assert days.to_list() == pl.date_range(FIRST, LAST, eager=True).to_list()


@pytest.mark.parametrize(
    "fault",
    [
        too_many_requests("0", path="/views/"),
        Fault(kind="status", status=500, path="/views/"),
        Fault(kind="status", status=401, path="/views/"),
        Fault(kind="truncated", path="/views/"),
        Fault(kind="cut", path="/views/"),
        Fault(kind="garbage", path="/views/"),
        Fault(kind="status", status=503, retry_after="0", path="/token"),
        Fault(kind="duplicated_page", path="offset=10&"),
        Fault(kind="missing_page", path="offset=10&"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}{fault.path}",
)
def test_energy_components_when_a_call_fails_once_then_the_read_is_whole(running: Running, fault: Fault) -> None:
    config = settings.load(running.environment()).energy_components
    assert isinstance(config, EcRestConfig)
    rest = DATASETS["stream_day"].rest
    assert rest is not None
    paged = dataclasses.replace(DATASETS["stream_day"], rest=dataclasses.replace(rest, page_size=10))
    with EcRest(config, DATASETS, zone=ZONE, policy=POLICY) as client:
        expected = client.read("stream_day", FIRST, LAST).frame
    running.faults("energy_components").add(fault)
    with EcRest(config, {"stream_day": paged}, zone=ZONE, policy=POLICY) as client:
        extract = client.read("stream_day", FIRST, LAST)
    assert extract.pages > 3
    order = ["stream_ec_code", "production_date"]
    assert_frame_equal(extract.frame.sort(order), expected.sort(order))


def test_energy_components_when_schema_drifts_then_is_broken_and_names_the_column(
    running: Running, energy_components: EcRest
) -> None:
    source = next(column.source for column in DATASETS["stream_day"].columns if column.canonical == "volume")
    running.faults("energy_components").add(Fault(kind="schema_drift", column=source, times=None))
    with pytest.raises(SourceBroken, match=source):
        energy_components.read("stream_day", FIRST, LAST)


def test_energy_components_when_reached_over_oracle_then_rows_are_those_of_rest(
    running: Running, energy_components: EcRest, folder: Path
) -> None:
    with start_simulators(
        "dst", data_root=folder, now=NOW, history_days=15, pi_days=6, systems=["energy_components"], ec="oracle"
    ) as oracle:
        config = settings.load(oracle.environment()).energy_components
        assert isinstance(config, EcOracleConfig)
        with EcOracle(config, DATASETS, zone=ZONE) as client:
            assert client.preflight() == []
            for name in ("stream_day", "deferment_event", "cargo"):
                rows = client.read(name, FIRST, LAST).frame.drop("source_updated_at_utc")
                expected = energy_components.read(name, FIRST, LAST).frame.drop("source_updated_at_utc")
                assert_frame_equal(rows, expected, check_row_order=False)
                assert rows.height > 0


def test_energy_components_when_server_is_gone_then_is_unavailable_in_one_sentence(
    running: Running, energy_components: EcRest
) -> None:
    running.servers["energy_components"].stop()
    try:
        with pytest.raises(SourceUnavailable, match=r"Energy Components, .*asked .*came .*attempt"):
            energy_components.read("stream_day", FIRST, LAST)
    finally:
        running.servers["energy_components"].start()


# PI


def test_pi_when_days_across_the_clock_change_are_read_then_every_served_sample_comes_once(
    running: Running, pi: Callable[..., PiClient]
) -> None:
    names = tags()
    extract = pi().recorded(names, START, END)
    expected = served(running).with_columns(
        pl.col("Name").replace_strict(names, return_dtype=pl.UInt32).alias("tag_id"),
        pl.col("Timestamp").alias("observed_at_utc"),
    )
    frame = extract.frame.filter(pl.col("observed_at_utc") >= START)
    assert extract.missing == ()
    pairs = expected.unique(["tag_id", "observed_at_utc"], keep="last", maintain_order=True).sort(
        "tag_id", "observed_at_utc"
    )
    assert_frame_equal(frame.select("tag_id", "observed_at_utc"), pairs.select("tag_id", "observed_at_utc"))
    digital = frame["state_code"].is_not_null().sum()
    assert digital == pairs["State"].is_not_null().sum()
    assert frame["value"].sum() == pytest.approx(pairs["Value"].sum(), rel=1e-12)


@pytest.mark.parametrize("shared", [True, False])
def test_pi_when_max_count_is_shared_or_each_then_both_readings_give_the_same_rows(
    running: Running, pi: Callable[..., PiClient], shared: bool
) -> None:
    context = running.servers["pi"].system.context  # type: ignore[attr-defined]
    before = context.limits
    names = dict(list(tags().items())[:6])
    expected = pi().recorded(names, START, END).frame
    context.limits = dataclasses.replace(before, shares_max_count=shared)
    try:
        frame = pi(max_count=1000, target_items=40_000).recorded(names, START, END).frame
    finally:
        context.limits = before
    assert_frame_equal(frame, expected)


@pytest.mark.parametrize("kind", ["truncated", "cut", "garbage", "status"])
def test_pi_when_each_call_fails_once_then_the_read_is_whole(
    running: Running, pi: Callable[..., PiClient], kind: Any
) -> None:
    names = dict(list(tags().items())[:4])
    expected = pi().recorded(names, START, END).frame
    running.faults("pi").add(
        *(Fault(kind=kind, status=503, retry_after="0", path=path) for path in ("dataservers", "points", "streamsets"))
    )
    assert_frame_equal(pi().recorded(names, START, END).frame, expected)
    assert running.faults("pi").armed() == []


def test_pi_when_the_first_value_is_asked_then_is_that_of_the_whole_archive(
    running: Running, pi: Callable[..., PiClient]
) -> None:
    files = sorted((running.data_folder / "pi" / "values").glob("*.parquet"))
    archive = pl.concat([pl.read_parquet(file) for file in files])
    first = archive.filter(pl.col("Value").is_not_null())["Timestamp"].min()
    assert pi().first_recorded(tags()) == first


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("has_batch", [True, False])
def test_pi_when_many_points_at_once_are_refused_then_they_are_found_another_way(
    running: Running, pi: Callable[..., PiClient], status: int, has_batch: bool
) -> None:
    names = [*list(tags())[:5], "NO.SUCH.TAG"]
    expected = pi().points(names)
    faults = running.faults("pi")
    faults.add(Fault(kind="status", status=404, path="points/multiple", times=None))
    if not has_batch:
        faults.add(Fault(kind="status", status=status, path="/batch", times=None))
    running.servers["pi"].system.requests.clear()
    assert pi().points(names) == expected
    assert list(expected) == names[:5]
    posted = [target for method, target, _ in running.servers["pi"].system.requests if method == "POST"]
    assert len(posted) == 1
    assert (len(running.servers["pi"].system.requests) > 6) is not has_batch


def test_pi_when_a_batch_is_half_answered_then_it_is_asked_again(running: Running, pi: Callable[..., PiClient]) -> None:
    names = list(tags())[:3]
    expected = pi().points(names)
    faults = running.faults("pi")
    faults.add(Fault(kind="status", status=404, path="points/multiple", times=None))
    faults.add(
        Fault(kind="status", status=207, body='{"0":{"Status":503,"Headers":{},"Content":"busy"}}', path="/batch")
    )
    assert pi().points(names) == expected


def test_pi_when_a_tag_does_not_exist_then_it_is_named_and_the_rest_comes(pi: Callable[..., PiClient]) -> None:
    name, tag_id = next(iter(tags().items()))
    extract = pi().recorded({name: tag_id, "NO.SUCH.TAG": 9}, START, END)
    assert extract.missing == ("NO.SUCH.TAG",)
    assert extract.frame.height > 0


def test_pi_when_password_is_wrong_then_is_broken_and_says_nothing_of_it(running: Running) -> None:
    environment = running.environment() | {"PI_PASSWORD": "a-wrong-password"}
    config = settings.load(environment).pi
    assert config is not None
    with PiClient(config, policy=POLICY) as client, pytest.raises(SourceBroken, match="401") as caught:
        client.recorded(tags(), START, END)
    assert "a-wrong-password" not in repr(caught.value)


# SharePoint


def test_sharepoint_when_lists_and_workbooks_are_read_then_rows_parse(sharepoint: GraphClient) -> None:
    for mapping in (*SHAREPOINT.lists.values(), *SHAREPOINT.workbooks.values()):
        extract = sharepoint.read(mapping)
        assert extract.frame.height > 0, mapping.dataset
        assert extract.rejected.is_empty(), (mapping.dataset, extract.rejected)


def test_sharepoint_when_targets_are_read_then_days_are_those_of_the_sites_zone(
    running: Running, sharepoint: GraphClient
) -> None:
    mapping = SHAREPOINT.lists["business_target"]
    shown = next(column.source for column in mapping.columns if column.canonical == "valid_from")
    source = next((running.data_folder / "sharepoint" / "lists").glob(f"{mapping.name}.*[tv]"))
    table = pl.read_parquet(source) if source.suffix == ".parquet" else pl.read_csv(source, try_parse_dates=True)
    frame = sharepoint.read(mapping).frame
    assert frame["valid_from"].sort().to_list() == table[shown].cast(pl.Date).sort().to_list()


def test_sharepoint_when_throttled_and_cut_then_the_read_is_whole(running: Running, sharepoint: GraphClient) -> None:
    mapping = SHAREPOINT.lists["business_target"]
    expected = sharepoint.read(mapping).frame
    running.faults("sharepoint").add(
        too_many_requests("0", path="columns"),
        Fault(kind="truncated", path="items"),
        Fault(kind="garbage", path="items"),
    )
    assert_frame_equal(sharepoint.read(mapping).frame, expected)
    assert running.faults("sharepoint").armed() == []


def test_sharepoint_when_a_download_is_cut_then_is_fetched_again(running: Running, sharepoint: GraphClient) -> None:
    mapping = next(iter(SHAREPOINT.workbooks.values()))
    expected = sharepoint.read(mapping).frame
    running.faults("download").add(Fault(kind="cut"), Fault(kind="truncated"))
    assert_frame_equal(sharepoint.read(mapping).frame, expected)


def test_sharepoint_when_changes_are_asked_twice_then_the_second_has_none(sharepoint: GraphClient) -> None:
    mapping = SHAREPOINT.lists["business_target"]
    first = sharepoint.list_changes(mapping.name, mapping.columns)
    second = sharepoint.list_changes(mapping.name, mapping.columns, delta_link=first.delta_link)
    assert first.is_full
    assert first.extract.frame.height == sharepoint.read(mapping).frame.height
    assert (second.is_full, second.extract.frame.height) == (False, 0)
