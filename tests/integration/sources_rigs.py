"""Each client of a source beside a small server of it, behind a proxy that can spoil the network between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from pipelines.simulators.ec_oracle import SERVICE, USER, OracleServer
from pipelines.simulators.ec_rest import BASE as EC_BASE
from pipelines.simulators.ec_rest import TOKEN as EC_TOKEN
from pipelines.simulators.ec_rest import EnergyComponentsRest
from pipelines.simulators.faults_tcp import TcpFaultProxy
from pipelines.simulators.graph import BASE as GRAPH_BASE
from pipelines.simulators.graph import Graph, GraphSite
from pipelines.simulators.graph_drive import DownloadLinks
from pipelines.simulators.pi_web_api import TOKEN as PI_TOKEN
from pipelines.simulators.pi_web_api import PiAccess, PiWebApi
from pipelines.simulators.pi_web_api_context import BASE as PI_BASE
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.simulators.replay_pi import PiReplay
from pipelines.simulators.replay_sharepoint import SharePointReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_app import System
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_oauth import ClientCredentials
from pipelines.sources import sharepoint
from pipelines.sources.config import EcOracleConfig, EcRestConfig, PiConfig, Secret, SharePointConfig
from pipelines.sources.ec_oracle import EcOracle
from pipelines.sources.ec_rest import EcRest
from pipelines.sources.extract import OnProgress, no_progress
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.mapping import parse_energy_components
from pipelines.sources.pi_web_api import PiClient
from pipelines.sources.sharepoint import GraphClient

ZONE = "Europe/Oslo"
NOW = datetime(2026, 10, 30, tzinfo=UTC)
SECRET = "s3cret-of-the-client"
CREDENTIALS = ClientCredentials("production-gap", SECRET)
# The 24th ends at 06:00 of the 25th, the night in which summer time ends: it has 25 hours. The 27th holds one row.
DAYS = [date(2026, 10, 23), date(2026, 10, 24), date(2026, 10, 25)]
LONG_DAY, ONE_ROW_DAY, EMPTY_DAY = DAYS[1], date(2026, 10, 27), date(2026, 10, 28)
PATIENT = HttpPolicy(
    connect_seconds=5,
    read_seconds=5,
    overall_seconds=10,
    first_wait_seconds=0.01,
    longest_retry_after_seconds=5,
    circuit_failures=1_000_000,
)
HASTY = replace(PATIENT, read_seconds=0.5, overall_seconds=1.2)


class Rig:
    """A server, the proxy before it, and how the client is made, asked and what it must give.

    `data_path` finds the request for rows among all; `waits` are the seconds that the client would have slept.
    """

    name = ""
    source = ""
    data_path = ""
    token_path = ""
    system: System | None = None

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.folder = folder
        self.waits: list[float] = []
        self.port = self.serve(stack)
        self.proxy = stack.enter_context(TcpFaultProxy(self.port))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"

    def serve(self, stack: ExitStack) -> int:
        """Start the server; its port."""
        raise NotImplementedError

    def client(self, *, many: bool, on_progress: OnProgress) -> Any:
        """A client of the server, through the proxy."""
        raise NotImplementedError

    def rows(self, client: Any, first: date, last: date) -> pl.DataFrame:
        """What the client reads of these days."""
        raise NotImplementedError

    def expected(self, first: date, last: date) -> pl.DataFrame:
        """What it has to be."""
        raise NotImplementedError

    @contextmanager
    def opened(self, *, many: bool = False, on_progress: OnProgress = no_progress) -> Iterator[Any]:
        """A client, closed at the end."""
        with self.client(many=many, on_progress=on_progress) as client:
            yield client

    def hurry(self, client: Any) -> None:
        """Let this client wait for a second or so only, from now on."""
        client._http.policy = client._token_http.policy = HASTY

    def small(self, client: Any) -> pl.DataFrame:
        """What the client reads in its smallest answer, of one row."""
        return self.rows(client, ONE_ROW_DAY, ONE_ROW_DAY)

    def small_expected(self) -> pl.DataFrame:
        """What it has to be."""
        return self.expected(ONE_ROW_DAY, ONE_ROW_DAY)

    def revoke(self) -> None:
        """Make every token that was given worthless."""
        self.system.tokens.revoke()  # type: ignore[union-attr]

    def restore(self) -> None:
        """No faults any more."""
        self.waits.clear()
        self.proxy.set(None)
        if self.system is not None:
            self.system.faults.clear()


def _http(stack: ExitStack, rig: Rig, system: System) -> int:
    rig.system = system
    return stack.enter_context(LocalServer(system)).port


# Energy Components: seven streams a day; updates are local times on both sides of the clock change


def _ec_rows() -> pl.DataFrame:
    days = [(day, f"S{number}") for day in DAYS for number in range(7)] + [(ONE_ROW_DAY, "S0")]
    return pl.DataFrame(
        {
            "CODE": [code for _, code in days],
            "DAYTIME": [day for day, _ in days],
            "VOL": [day.day * 100.0 + number / 8 for number, (day, _) in enumerate(days)],
            "UPDATED": [datetime(day.year, day.month, day.day, 12) + timedelta(days=1) for day, _ in days],
        }
    )


EC_SQL = "SELECT CODE, DAYTIME, VOL, UPDATED FROM RV_STRM_DAY WHERE DAYTIME >= :from_day AND DAYTIME < :to_day"


def _ec_datasets(page_size: int) -> Any:
    columns = {
        "stream_ec_code": {"source": "CODE", "type": "text"},
        "production_date": {"source": "DAYTIME", "type": "date"},
        "volume": {"source": "VOL", "type": "float", "unit": "Sm3"},
        "source_updated_at_utc": {"source": "UPDATED", "type": "datetime"},
    }
    rest = {
        "path": "views/RV_STRM_DAY",
        "params": {"from_day": "{from_day}", "to_day": "{to_day}"},
        "paging": "offset",
        "page_size": page_size,
        "total_pointer": "/total",
    }
    key = ["stream_ec_code", "production_date"]
    return parse_energy_components(
        {"datasets": {"stream_day": {"key": key, "oracle_sql": EC_SQL, "rest": rest, "columns": columns}}}
    )


class _EnergyComponents(Rig):
    source = "Energy Components"

    def replay(self) -> EnergyComponentsReplay:
        folder = self.folder / self.name
        folder.mkdir()
        _ec_rows().write_parquet(folder / "RV_STRM_DAY.parquet")
        return EnergyComponentsReplay(folder)

    def rows(self, client: Any, first: date, last: date) -> pl.DataFrame:
        frame: pl.DataFrame = client.read("stream_day", first, last).frame
        return frame

    def expected(self, first: date, last: date) -> pl.DataFrame:
        rows = _ec_rows().filter(pl.col("DAYTIME").is_between(first, last)).sort("CODE", "DAYTIME")
        return rows.select(
            stream_ec_code="CODE",
            production_date="DAYTIME",
            volume="VOL",
            source_updated_at_utc=pl.col("UPDATED").dt.replace_time_zone(ZONE).dt.convert_time_zone("UTC"),
        )


class EcRestRig(_EnergyComponents):
    name, data_path, token_path = "ec_rest", "/views/", "/token"

    def serve(self, stack: ExitStack) -> int:
        return _http(stack, self, EnergyComponentsRest(self.replay(), CREDENTIALS, clock=Clock(NOW)))

    def client(self, *, many: bool, on_progress: OnProgress) -> EcRest:
        config = EcRestConfig(
            base_url=f"{self.url}{EC_BASE}",
            token_url=f"{self.url}{EC_TOKEN}",
            client_id=CREDENTIALS.client_id,
            client_secret=Secret(SECRET),
        )
        return EcRest(
            config,
            _ec_datasets(2 if many else 1000),
            zone=ZONE,
            on_progress=on_progress,
            policy=PATIENT,
            sleep=self.waits.append,
        )


class EcOracleRig(_EnergyComponents):
    name = "ec_oracle"
    server: OracleServer
    password = SECRET

    def serve(self, stack: ExitStack) -> int:
        self.server = stack.enter_context(OracleServer(self.replay(), password=SECRET, clock=Clock(NOW)))
        return self.server.port

    def client(self, *, many: bool, on_progress: OnProgress) -> EcOracle:
        config = EcOracleConfig(
            host="127.0.0.1",
            port=self.proxy.port,
            service_name=SERVICE,
            user=USER,
            password=Secret(self.password),
            timeout_seconds=5.0,
        )
        return EcOracle(
            config,
            _ec_datasets(1000),
            zone=ZONE,
            on_progress=on_progress,
            batch_rows=2 if many else 50_000,
            sleep=self.waits.append,
        )

    def hurry(self, client: Any) -> None:
        client._config = replace(client._config, timeout_seconds=0.15)

    def restore(self) -> None:
        super().restore()
        self.server.failures.clear()


# PI: three tags, a value an hour


def day_bounds(first: date, last: date) -> tuple[datetime, datetime]:
    """06:00 of the first day to 06:00 after the last, in the zone."""
    zone = ZoneInfo(ZONE)
    after = last + timedelta(days=1)
    return tuple(datetime(day.year, day.month, day.day, 6, tzinfo=zone).astimezone(UTC) for day in (first, after))  # type: ignore[return-value]


TAGS = {"FIELD.T0": 10, "FIELD.T1": 11, "FIELD.T2": 12}


def _pi_rows() -> pl.DataFrame:
    start, end = day_bounds(DAYS[0], DAYS[-1])
    hours = int((end - start) / timedelta(hours=1))
    at = [start + timedelta(hours=hour) for hour in range(hours)] + [day_bounds(ONE_ROW_DAY, ONE_ROW_DAY)[0]]
    names = list(TAGS)
    return pl.DataFrame(
        {
            "Name": [name for name in names for _ in at],
            "Timestamp": pl.Series([each for _ in names for each in at], dtype=pl.Datetime("us", "UTC")),
            "Value": [tag * 1000.0 + number / 8 for tag in range(3) for number in range(len(at))],
        }
    )


class PiRig(Rig):
    name, source, data_path, token_path = "pi", "PI Web API", "/recorded", "/token"

    def serve(self, stack: ExitStack) -> int:
        folder = self.folder / "pi"
        (folder / "values").mkdir(parents=True)
        points = {"Name": list(TAGS), "Id": [101, 102, 103], "PointType": ["Float64"] * 3, "Step": [True] * 3}
        pl.DataFrame(points).write_csv(folder / "points.csv")
        _pi_rows().write_parquet(folder / "values" / "all.parquet")
        access = PiAccess(method="Bearer", client=CREDENTIALS)
        return _http(stack, self, PiWebApi(PiReplay(folder), access, clock=Clock(NOW)))

    def client(self, *, many: bool, on_progress: OnProgress) -> PiClient:
        config = PiConfig(
            base_url=f"{self.url}{PI_BASE}",
            auth_mode="bearer",
            client_id=CREDENTIALS.client_id,
            client_secret=Secret(SECRET),
            token_url=f"{self.url}{PI_TOKEN}",
        )
        return PiClient(
            config,
            on_progress=on_progress,
            policy=PATIENT,
            sleep=self.waits.append,
            max_count=9 if many else 150_000,
            target_items=9 if many else 100_000,
        )

    def rows(self, client: Any, first: date, last: date) -> pl.DataFrame:
        start, end = day_bounds(first, last)
        frame: pl.DataFrame = client.recorded(TAGS, start, end).frame
        return frame.filter(pl.col("observed_at_utc") >= start).select("tag_id", "observed_at_utc", "value")

    def small(self, client: Any) -> pl.DataFrame:
        start = day_bounds(ONE_ROW_DAY, ONE_ROW_DAY)[0]
        frame: pl.DataFrame = client.recorded({"FIELD.T0": TAGS["FIELD.T0"]}, start, start + timedelta(hours=1)).frame
        return frame.select("tag_id", "observed_at_utc", "value")

    def small_expected(self) -> pl.DataFrame:
        return super().small_expected().head(1)

    def expected(self, first: date, last: date) -> pl.DataFrame:
        start, end = day_bounds(first, last)
        rows = _pi_rows().filter(pl.col("Timestamp").is_between(start, end, closed="left"))
        return rows.select(
            pl.col("Name").replace_strict(TAGS, return_dtype=pl.UInt32).alias("tag_id"),
            pl.col("Timestamp").alias("observed_at_utc"),
            pl.col("Value").alias("value"),
        )


# SharePoint: a list has no days; one list a day stands in for them


def _list_rows(day: date) -> list[tuple[str, float, date]]:
    count = {EMPTY_DAY: 0, ONE_ROW_DAY: 1}.get(day, 9)
    return [(f"node-{number}", day.day + number / 8, date(2026, 10, 20 + number)) for number in range(count)]


class GraphRig(Rig):
    name, source, data_path, token_path = "sharepoint", "SharePoint", "/items", "/oauth2/"

    def serve(self, stack: ExitStack) -> int:
        lists = self.folder / "sharepoint" / "lists"
        lists.mkdir(parents=True)
        for day in (*DAYS, ONE_ROW_DAY, EMPTY_DAY):
            rows = _list_rows(day)
            schema = {"Title": pl.String, "Target": pl.Float64, "Valid from": pl.Date}
            pl.DataFrame(rows, schema=schema, orient="row").write_parquet(lists / f"{day}.parquet")
        clock = Clock(NOW)
        replay = SharePointReplay(self.folder / "sharepoint", zone=ZoneInfo(ZONE))
        self.site = GraphSite(tenant="tenant", host="rig.sharepoint.example")
        links = DownloadLinks(clock)
        graph = Graph(replay, self.site, CREDENTIALS, links=links, clock=clock, units_per_minute=10**9)
        return _http(stack, self, graph)

    def client(self, *, many: bool, on_progress: OnProgress) -> GraphClient:
        # The page size is Graph's default, not a site's setting.
        sharepoint.PAGE_ITEMS = 2 if many else 200
        config = SharePointConfig(
            tenant_id="tenant",
            client_id=CREDENTIALS.client_id,
            client_secret=Secret(SECRET),
            site_id=self.site.site_id,
            authority=self.url,
            graph_base_url=f"{self.url}{GRAPH_BASE}",
            graph_scope="",
        )
        return GraphClient(
            config,
            zone=ZONE,
            on_progress=on_progress,
            policy=PATIENT,
            sleep=self.waits.append,
        )

    def rows(self, client: Any, first: date, last: date) -> pl.DataFrame:
        columns = {"node_code": "Title", "value": "Target", "valid_from": "Valid from"}
        return client.list_items(str(first), columns).frame.drop("item_id")  # type: ignore[no-any-return]

    def expected(self, first: date, last: date) -> pl.DataFrame:
        schema = {"node_code": pl.String, "value": pl.Float64, "valid_from": pl.Date}
        return pl.DataFrame(_list_rows(first), schema=schema, orient="row")

    def restore(self) -> None:
        super().restore()
        sharepoint.PAGE_ITEMS = 200


RIGS: dict[str, Callable[[ExitStack, Path], Rig]] = {
    "pi": PiRig,
    "sharepoint": GraphRig,
    "ec_rest": EcRestRig,
    "ec_oracle": EcOracleRig,
}
