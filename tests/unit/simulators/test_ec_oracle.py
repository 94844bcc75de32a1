"""Energy Components over Oracle's wire protocol, asked by python-oracledb itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import oracledb
import polars as pl
import pyarrow as pa
import pytest

from pipelines.simulators.ec_oracle import SERVICE, USER, OracleServer
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.simulators.server_clock import Clock

PASSWORD = "pass"
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
ROWS = 210


def _write(folder: Path) -> None:
    pl.DataFrame(
        {
            "OBJECT_CODE": [f"W{number % 7}" for number in range(ROWS)],
            "DAYTIME": [date(2026, 10, 1) + timedelta(days=number // 7) for number in range(ROWS)],
            "VOL": [number * 0.1 if number % 5 else None for number in range(ROWS)],
            "EVENT_NO": list(range(ROWS)),
            "SCHEDULED": [number % 2 == 0 for number in range(ROWS)],
            "COMMENTS": ["" if number % 3 else "Æ ø" for number in range(ROWS)],
            "LAST_UPDATED_UTC": [datetime(2026, 11, 1, 5, 4, 3, 999, tzinfo=UTC)] * ROWS,
            "VISIBLE_FROM": [NOW + timedelta(days=1) if number == 0 else None for number in range(ROWS)],
        }
    ).write_parquet(folder / "DV_WELL.parquet")


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[OracleServer]:
    folder = tmp_path_factory.mktemp("oracle")
    _write(folder)
    with OracleServer(EnergyComponentsReplay(folder), password=PASSWORD, clock=clock) as server:
        yield server


@pytest.fixture
def login(server: OracleServer) -> dict[str, Any]:
    return {"user": USER, "password": PASSWORD, "host": server.host, "port": server.port, "service_name": SERVICE}


@pytest.fixture
def connection(login: dict[str, Any], clock: Clock) -> Iterator[oracledb.Connection]:
    with oracledb.connect(**login) as connection:
        yield connection
    clock.set(NOW)


def _rows(connection: oracledb.Connection, sql: str, **binds: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, binds)
        rows: list[Any] = cursor.fetchall()
        return rows


def test_rows_between_bound_days_have_oracles_types(connection: oracledb.Connection) -> None:
    sql = (
        "select OBJECT_CODE, DAYTIME, VOL, EVENT_NO, SCHEDULED, COMMENTS, LAST_UPDATED_UTC from DV_WELL "
        "where DAYTIME >= :from_day and DAYTIME < :to_day and :from_day < :to_day order by EVENT_NO"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, from_day=date(2026, 10, 2), to_day=datetime(2026, 10, 3))
        kinds = [column[1].name for column in cursor.description]
        rows = cursor.fetchall()
    assert kinds == [
        "DB_TYPE_VARCHAR",
        "DB_TYPE_DATE",
        "DB_TYPE_NUMBER",
        "DB_TYPE_NUMBER",
        "DB_TYPE_VARCHAR",
        "DB_TYPE_VARCHAR",
        "DB_TYPE_DATE",
    ]
    assert len(rows) == 7
    updated = datetime(2026, 11, 1, 5, 4, 3)
    assert rows[0] == ("W0", datetime(2026, 10, 2), 7 * 0.1, 7, "N", None, updated)
    assert rows[2] == ("W2", datetime(2026, 10, 2), 9 * 0.1, 9, "N", "Æ ø", updated)
    assert rows[3][2] is None


def test_arrow_batches_take_the_schema_that_is_asked(connection: oracledb.Connection) -> None:
    schema = pa.schema(
        [("OBJECT_CODE", pa.string()), ("DAYTIME", pa.timestamp("s")), ("VOL", pa.float64()), ("EVENT_NO", pa.int64())]
    )
    sql = "select OBJECT_CODE, DAYTIME, VOL, EVENT_NO from DV_WELL where DAYTIME >= :from_day"
    batches = connection.fetch_df_batches(sql, {"from_day": date(2026, 10, 1)}, size=100, requested_schema=schema)
    frames = [pl.DataFrame(batch) for batch in batches]
    assert [frame.height for frame in frames] == [100, 100, 9]
    whole = pl.concat(frames)
    assert whole["EVENT_NO"].to_list() == list(range(1, ROWS))
    assert whole["VOL"].to_list() == [number * 0.1 if number % 5 else None for number in range(1, ROWS)]


def test_rows_not_yet_visible_appear_when_the_clock_moves(connection: oracledb.Connection, clock: Clock) -> None:
    count = "select count(*) from DV_WELL"
    assert _rows(connection, count) == [(ROWS - 1,)]
    with connection.cursor() as cursor:
        cursor.execute("set transaction read only")
        clock.advance(timedelta(days=2))
        assert cursor.execute(count).fetchone() == (ROWS - 1,)
    connection.commit()
    assert _rows(connection, count) == [(ROWS,)]


def test_dictionary_lists_the_columns_of_a_view(connection: oracledb.Connection) -> None:
    sql = "select column_name, data_type from all_tab_columns where table_name = :v and owner = user order by column_id"
    columns = dict(_rows(connection, sql, v="DV_WELL"))
    assert list(columns)[:3] == ["OBJECT_CODE", "DAYTIME", "VOL"]
    assert (columns["DAYTIME"], columns["VOL"], columns["COMMENTS"]) == ("DATE", "NUMBER", "VARCHAR2")
    assert "VISIBLE_FROM" not in columns


def test_oracles_own_functions_are_understood(connection: oracledb.Connection) -> None:
    sql = (
        "select sysdate, nvl(null, 3), trunc(sysdate), to_date('2026-11-01 06:00', 'YYYY-MM-DD HH24:MI'), "
        "':kept' from dual"
    )
    row = _rows(connection, sql)[0]
    assert row == (datetime(2026, 11, 20, 12, 30), 3, datetime(2026, 11, 20), datetime(2026, 11, 1, 6), ":kept")


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select * from NOPE", "ORA-00942"),
        ("select NOPE from DV_WELL", "ORA-00904"),
        ("select 1 from", "ORA-00900"),
        ("delete from DV_WELL", "ORA-16000"),
        ("create table X (A number)", "ORA-16000"),
    ],
)
def test_statement_that_cannot_run_names_oracles_code(connection: oracledb.Connection, sql: str, code: str) -> None:
    with connection.cursor() as cursor, pytest.raises(oracledb.DatabaseError) as caught:
        cursor.execute(sql)
    assert caught.value.args[0].full_code == code
    assert _rows(connection, "select 1 from dual") == [(1,)]


def test_session_settings_are_accepted(connection: oracledb.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("alter session set nls_date_format = 'YYYY-MM-DD'")
    assert _rows(connection, "select count(*) from EC_READER.DV_WELL where SCHEDULED = 'Y'") == [(ROWS // 2 - 1,)]


def test_wrong_password_is_refused(login: dict[str, Any]) -> None:
    with pytest.raises(oracledb.DatabaseError) as caught:
        oracledb.connect(**login | {"password": "wrong"})
    assert caught.value.args[0].full_code == "ORA-01017"


def test_async_connection_and_pool_work(login: dict[str, Any]) -> None:
    async def ask() -> Any:
        async with oracledb.connect_async(**login) as connection:
            return await connection.fetchone("select count(*) from DV_WELL")

    assert asyncio.run(ask()) == (ROWS - 1,)
    pool = oracledb.create_pool(**login, min=1, max=2, increment=1)
    try:
        with pool.acquire() as first, pool.acquire() as second:
            assert _rows(first, "select 1 from dual") == _rows(second, "select 1 from dual") == [(1,)]
    finally:
        pool.close()


def test_stopped_server_frees_its_port(tmp_path: Path) -> None:
    server = OracleServer(EnergyComponentsReplay(tmp_path), password=PASSWORD).start()
    port = server.port
    server.stop()
    with OracleServer(EnergyComponentsReplay(tmp_path), password=PASSWORD, port=port) as again:
        assert again.port == port
