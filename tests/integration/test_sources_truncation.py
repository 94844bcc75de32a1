"""PI's silent truncation: a server that gives 1000 values and says nothing must never cost one, from socket to frame."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from pipelines.simulators.pi_web_api import PiAccess, PiWebApi
from pipelines.simulators.pi_web_api_context import BASE, PiLimits
from pipelines.simulators.replay_pi import PiReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_clock import Clock
from pipelines.sources.config import PiConfig
from pipelines.sources.pi_web_api import PiClient

START = datetime(2026, 10, 25, 5, tzinfo=UTC)
END = START + timedelta(days=1)
# A value every 40 s, so that one window of a client holds them all; FULL fills the default exactly.
COUNTS = {"ONE": 1, "SHORT": 999, "FULL": 1000, "OVER": 1001, "TWICE": 2000}
TAGS = {name: number for number, name in enumerate(COUNTS, start=1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pi")
    (folder / "values").mkdir()
    pl.DataFrame({"Name": list(COUNTS), "Id": list(TAGS.values()), "PointType": ["Float64"] * len(COUNTS)}).write_csv(
        folder / "points.csv"
    )
    rows = [
        (name, START + timedelta(milliseconds=40_000 * number), float(number))
        for name, count in COUNTS.items()
        for number in range(count)
    ]
    pl.DataFrame(rows, schema=["Name", "Timestamp", "Value"], orient="row").write_parquet(
        folder / "values" / "v.parquet"
    )
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LocalServer]:
    system = PiWebApi(PiReplay(folder), PiAccess(method="Anonymous"), clock=Clock(END + timedelta(days=1)))
    with LocalServer(system) as server:
        yield server


def test_server_when_no_count_is_asked_then_gives_1000_of_1001_and_says_nothing(server: LocalServer) -> None:
    """The trap itself, as other readers meet it."""
    with httpx.Client(base_url=f"{server.url}{BASE}", trust_env=False) as client:
        point = client.get("/points", params={"path": "\\\\PISRV01\\OVER"}).json()["WebId"]
        query = {"startTime": START.isoformat(), "endTime": END.isoformat()}
        answer = client.get(f"/streams/{point}/recorded", params=query)
    assert (answer.status_code, len(answer.json()["Items"])) == (200, 1000)


@pytest.mark.parametrize("max_count", [1000, 150_000])
@pytest.mark.parametrize("is_lost", [False, True], ids=["maxCount kept", "maxCount lost"])
@pytest.mark.parametrize("is_shared", [False, True], ids=["maxCount for each", "maxCount shared"])
@pytest.mark.parametrize("names", [list(COUNTS), ["OVER"], ["FULL", "OVER"]], ids=len)
def test_recorded_when_1001_values_meet_a_server_at_its_default_then_every_one_comes(
    server: LocalServer, max_count: int, is_lost: bool, is_shared: bool, names: list[str]
) -> None:
    context = server.system.context  # type: ignore[attr-defined]
    context.limits = PiLimits(shares_max_count=is_shared, loses_max_count=is_lost)
    tags = {name: TAGS[name] for name in names}
    with PiClient(PiConfig(base_url=f"{server.url}{BASE}"), max_count=max_count) as client:
        frame = client.recorded(tags, START, END).frame
    found = dict(frame.group_by("tag_id").agg(pl.len(), pl.col("value").sum()).rows_by_key("tag_id"))
    assert found == {TAGS[name]: [(COUNTS[name], sum(range(COUNTS[name])))] for name in names}
    assert frame.unique(["tag_id", "observed_at_utc"]).height == frame.height
