"""What the ingest benchmark compares is the same: the peers read the values that this project's clients read."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import oracledb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks import ingest_oracle, ingest_pi
from benchmarks.ingest_replay import Tape, Turn, listen
from pipelines.simulators.ec_oracle import OracleServer
from pipelines.simulators.pi_web_api import PiAccess, PiWebApi
from pipelines.simulators.pi_web_api_context import PiLimits
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.simulators.replay_pi import PiReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_clock import Clock
from pipelines.sources.config import PiConfig
from pipelines.sources.pi_web_api import PiClient

ROWS = 1_200
SPAN = timedelta(minutes=10)
END = ingest_pi.START + SPAN
DAYS = {"from_day": ingest_oracle.FIRST_DAY, "to_day": ingest_oracle.last_day(ROWS) + timedelta(days=1)}

Values = dict[tuple[str, datetime], float | None]


def needed(name: str) -> Any:
    """The library, or a skip that says why; where everything has to be installed its absence is a failure."""
    if os.environ.get("CI", "").lower() == "true":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is no part of this installation (extra `clients`)")


# PI


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("archive")
    ingest_pi.write_archive(folder, 1)
    clock = Clock(ingest_pi.START + timedelta(days=3650))
    limits = PiLimits(default_max_count=ingest_pi.MOST_ITEMS)
    with LocalServer(PiWebApi(PiReplay(folder), PiAccess(method="Anonymous"), clock=clock, limits=limits)) as server:
        yield f"http://127.0.0.1:{server.port}/piwebapi"


@pytest.fixture(scope="module")
def ours(base_url: str) -> Values:
    tags = {name: number for number, name in enumerate(ingest_pi.names())}
    with PiClient(PiConfig(base_url=base_url, timeout_seconds=30)) as client:
        frame = client.recorded(tags, ingest_pi.START, END).frame
    names = ingest_pi.names()
    return {(names[tag], at): value for tag, at, value in frame["tag_id", "observed_at_utc", "value"].iter_rows()}


def test_ours_when_it_reads_the_archive_then_every_value_is_there_and_some_are_states(ours: Values) -> None:
    assert len(ours) == ingest_pi.TAGS * int(SPAN / ingest_pi.INTERVAL)
    assert None in ours.values()


@pytest.mark.slow
def test_piwebx_when_it_reads_the_archive_then_its_values_are_ours(base_url: str, ours: Values) -> None:
    needed("piwebx")

    async def read(client: Any, web_ids: list[str]) -> Values:
        rows = ingest_pi.piwebx_rows(client, web_ids, ingest_pi.START, END)
        return {
            (name, at): value
            async for at, row in rows
            if at < END
            for name, value in zip(ingest_pi.names(), row, strict=True)
        }

    assert asyncio.run(ingest_pi.with_piwebx(base_url, read)) == ours


def test_pi_web_sdk_when_it_reads_the_archive_then_its_values_are_ours(base_url: str, ours: Values) -> None:
    needed("pi_web_sdk")
    client, web_ids = ingest_pi.sdk_client(base_url)
    names = dict(zip(web_ids, ingest_pi.names(), strict=True))
    found: Values = {}
    for place in range(0, len(web_ids), ingest_pi.SET):
        for stream in ingest_pi.sdk_streams(client, web_ids[place : place + ingest_pi.SET], ingest_pi.START, END):
            for item in stream["Items"]:
                value = item["Value"] if isinstance(item["Value"], float) else None
                found[names[stream["WebId"]], datetime.fromisoformat(item["Timestamp"])] = value
    assert found == ours


# Oracle


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("view")
    ingest_oracle.write_view(folder, ROWS)
    with OracleServer(EnergyComponentsReplay(folder), password=ingest_oracle.PASSWORD) as server:
        yield server.port


def by_key(frame: pl.DataFrame) -> pl.DataFrame:
    """Under our names, in one order, instants as ours."""
    names = {column["source"]: name for name, column in ingest_oracle.COLUMNS.items()}
    named = frame.rename({name: names.get(name, name) for name in frame.columns})
    return named.with_columns(
        pl.col("production_date").cast(pl.Date),
        pl.col("source_updated_at_utc").cast(pl.Datetime("us", "UTC")),
    ).sort("stream_ec_code", "production_date")


def read_ours(port: int) -> pl.DataFrame:
    with ingest_oracle.reader_of_ours(port) as client:
        frame: pl.DataFrame = client.read("stream_day", ingest_oracle.FIRST_DAY, ingest_oracle.last_day(ROWS)).frame
        return frame


def read_fetchall(port: int) -> pl.DataFrame:
    with ingest_oracle.connected(port) as connection:
        return ingest_oracle.fetchall(connection, DAYS)


def read_arrow(port: int) -> pl.DataFrame:
    with ingest_oracle.connected(port) as connection:
        return ingest_oracle.arrow(connection, DAYS)


@pytest.mark.parametrize("read", [read_ours, read_fetchall, read_arrow])
def test_tape_when_it_is_played_then_every_reader_gets_what_the_database_told(database: int, read: Any) -> None:
    tape = Tape(database)
    recorded = by_key(read(listen(tape.record)))
    for _ in range(2):
        assert_frame_equal(by_key(read(listen(tape.play))), recorded)
    assert tape.faults == []
    assert recorded.height == ROWS
    assert_frame_equal(recorded, by_key(read_fetchall(database)))


def test_tape_when_another_question_is_asked_then_it_is_refused(database: int) -> None:
    tape = Tape(database)
    read_fetchall(listen(tape.record))
    with pytest.raises(oracledb.DatabaseError), ingest_oracle.connected(listen(tape.play)) as connection:
        ingest_oracle.fetchall(connection, {**DAYS, "to_day": date(2024, 1, 2)})
    assert tape.faults


def test_tape_when_it_is_poured_out_then_all_answers_come_and_nothing_else(database: int) -> None:
    tape = Tape(database)
    tape._recorded.append([Turn(bytearray(b"q"), bytearray(b"abc")), Turn(bytearray(b"r"), bytearray(b"defg"))])
    found = ingest_oracle.read_bytes(listen(tape.pour), ROWS)
    assert (found.count, found.bytes) == (ROWS, 7)
