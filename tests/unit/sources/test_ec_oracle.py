"""Energy Components over the Oracle protocol, against a real server of it (seerdb) over DuckDB."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import oracledb
import polars as pl
import pytest

from pipelines.sources.config import EcOracleConfig, Secret
from pipelines.sources.ec_oracle import EcOracle
from pipelines.sources.ec_oracle_errors import as_source_error, is_retried
from pipelines.sources.ec_oracle_preflight import views_of
from pipelines.sources.energy_components import EnergyComponents
from pipelines.sources.errors import Asking, SourceBroken, SourceUnavailable
from pipelines.sources.mapping import parse_energy_components

# The driver leaves the socket of a refused connection to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def collected() -> Iterator[None]:
    yield
    gc.collect()


PASSWORD = "s3cret-Oracle-pass"
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 2)
SQL = (
    "SELECT CODE, DAYTIME, NET_VOL, RECORD_STATUS, REV_NO, UPDATED FROM RV_STRM_DAY "
    "WHERE DAYTIME >= :from_day AND DAYTIME < :to_day"
)
SETUP = """
CREATE TABLE RV_STRM_DAY AS SELECT * FROM (VALUES
  ('S1', DATE '2026-10-31', 9.0::DOUBLE, 'A', 1::BIGINT, TIMESTAMP '2026-11-01 08:00:00'),
  ('S1', DATE '2026-11-01', 1.5::DOUBLE, 'P', 1::BIGINT, TIMESTAMP '2026-11-02 03:04:05'),
  ('S2', DATE '2026-11-01', NULL, '', 2, NULL),
  ('S1', DATE '2026-11-02', 2.5, 'V', 3, TIMESTAMP '2026-11-03 03:04:05'),
  ('S1', DATE '2026-11-03', 7.0, 'V', 3, NULL)
) t(CODE, DAYTIME, NET_VOL, RECORD_STATUS, REV_NO, UPDATED);
CREATE TABLE all_tab_columns AS SELECT 'RV_STRM_DAY' AS table_name, unnest(
  ['CODE', 'DAYTIME', 'NET_VOL', 'RECORD_STATUS', 'REV_NO', 'UPDATED']) AS column_name;
"""
COLUMNS = {
    "stream_ec_code": {"source": "CODE", "type": "text"},
    "production_date": {"source": "DAYTIME", "type": "date"},
    "volume": {"source": "NET_VOL", "type": "float", "unit": "Sm3"},
    "record_status": {"source": "RECORD_STATUS", "type": "text"},
    "rev_no": {"source": "rev_no", "type": "int"},
    "source_updated_at_utc": {"source": "UPDATED", "type": "datetime"},
}


def reader(port: int, sql: str = SQL, columns: Any = None, *, password: str = PASSWORD, **options: Any) -> EcOracle:
    timeout = options.pop("timeout_seconds", 10.0)
    config = EcOracleConfig(
        host="127.0.0.1",
        port=port,
        service_name="EC",
        user="ec_reader",
        password=Secret(password),
        pool_max=2,
        timeout_seconds=timeout,
    )
    datasets = parse_energy_components({"datasets": {"stream_day": {"oracle_sql": sql, "columns": columns or COLUMNS}}})
    return EcOracle(config, datasets, sleep=lambda _: None, **options)


def test_read_when_rows_exist_then_days_are_bound_and_types_are_canonical(oracle: Callable[[str], Any]) -> None:
    stub = oracle(SETUP)
    with reader(stub.port, zone="Africa/Lagos", batch_rows=1) as client:
        protocol: EnergyComponents = client
        extract = protocol.read("stream_day", FIRST, LAST)
    frame = extract.frame.sort("production_date", "stream_ec_code")

    assert frame.rows() == [
        ("S1", FIRST, 1.5, "P", 1, datetime(2026, 11, 2, 2, 4, 5, tzinfo=UTC)),
        ("S2", FIRST, None, None, 2, None),
        ("S1", LAST, 2.5, "V", 3, datetime(2026, 11, 3, 2, 4, 5, tzinfo=UTC)),
    ]
    assert frame.schema["rev_no"] == pl.Int64
    assert extract.pages >= 3
    assert ":to_day = 2026-11-03" in extract.request
    assert "SET TRANSACTION READ ONLY" in stub.log


def test_read_when_no_row_fits_then_is_empty_with_schema(oracle: Callable[[str], Any]) -> None:
    with reader(oracle(SETUP).port) as client:
        extract = client.read("stream_day", date(2030, 1, 1), date(2030, 1, 2))
    assert extract.frame.height == 0
    assert extract.frame.schema["source_updated_at_utc"] == pl.Datetime("us", "UTC")


def test_read_when_a_value_does_not_parse_then_its_row_is_rejected(oracle: Callable[[str], Any]) -> None:
    columns = {**COLUMNS, "volume": {"source": "RECORD_STATUS", "type": "float"}}
    with reader(oracle(SETUP).port, columns=columns) as client:
        extract = client.read("stream_day", FIRST, LAST)
    assert extract.frame["stream_ec_code"].to_list() == ["S2"]
    assert extract.rejected["rule"].to_list() == ["volume_is_float", "volume_is_float"]


def test_read_when_session_is_lost_then_asks_again_on_another(oracle: Callable[[str], Any]) -> None:
    stub = oracle(SETUP)
    stub.fail_with = [1555]
    with reader(stub.port) as client:
        assert client.read("stream_day", FIRST, LAST).frame.height == 3


def test_read_when_snapshots_stay_too_old_then_is_unavailable(oracle: Callable[[str], Any]) -> None:
    stub = oracle(SETUP)
    stub.fail_with = [1555] * 9
    with reader(stub.port) as client, pytest.raises(SourceUnavailable, match="ORA-01555"):
        client.read("stream_day", FIRST, LAST)
    assert len(stub.fail_with) == 6


def test_read_when_view_is_missing_then_is_broken_at_once(oracle: Callable[[str], Any]) -> None:
    stub = oracle(SETUP)
    sql = SQL.replace("RV_STRM_DAY", "RV_OTHER")
    with reader(stub.port, sql) as client, pytest.raises(SourceBroken, match=r"ORA-00942.*grant SELECT"):
        client.read("stream_day", FIRST, LAST)
    assert sum("RV_OTHER" in each for each in stub.log) == 1


def test_read_when_sql_does_not_select_a_mapped_column_then_is_broken(oracle: Callable[[str], Any]) -> None:
    with (
        reader(oracle(SETUP).port, SQL.replace(", NET_VOL", "")) as client,
        pytest.raises(SourceBroken, match="a result without NET_VOL"),
    ):
        client.read("stream_day", FIRST, LAST)


def test_login_when_password_is_wrong_then_is_tried_once_and_never_shown(
    oracle: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="pipelines")
    stub = oracle(SETUP)
    with reader(stub.port, password="wrong-secret-text") as client, pytest.raises(SourceBroken) as caught:
        client.read("stream_day", FIRST, LAST)
    assert "ORA-01017" in str(caught.value)
    assert "locks the account" in str(caught.value)
    assert "wrong-secret-text" not in f"{caught.value!r} {caplog.text} {client._config!r}"
    assert stub.logins == 1


@pytest.mark.usefixtures("collected")
def test_login_when_listener_accepts_and_stays_silent_then_ends_at_its_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = reader(silent.getsockname()[1], timeout_seconds=0.3)
        with client, pytest.raises(SourceUnavailable, match="no answer within"):
            client.read("stream_day", FIRST, LAST)


@pytest.mark.usefixtures("collected")
def test_login_when_nobody_listens_then_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with reader(port) as client, pytest.raises(SourceUnavailable, match="DPY-6005"):
        client.read("stream_day", FIRST, LAST)


def test_preflight_when_everything_fits_then_is_empty(oracle: Callable[[str], Any]) -> None:
    with reader(oracle(SETUP).port) as client:
        assert client.preflight() == []


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (SQL.replace("NET_VOL", "GRS_VOL_X"), "RV_STRM_DAY has no column GRS_VOL_X"),
        (SQL.replace("RV_STRM_DAY", "RV_GONE"), "view RV_GONE is not visible to ec_reader"),
        (SQL.replace(", NET_VOL", ""), "does not select NET_VOL"),
    ],
)
def test_preflight_when_view_or_column_is_missing_then_names_it(
    oracle: Callable[[str], Any], sql: str, words: str
) -> None:
    columns = {**COLUMNS, "volume": {"source": "GRS_VOL_X" if "GRS_VOL_X" in sql else "NET_VOL", "type": "float"}}
    with reader(oracle(SETUP).port, sql, columns) as client:
        faults = client.preflight()
    assert len(faults) == 1
    assert words in faults[0]


@pytest.mark.usefixtures("collected")
def test_preflight_when_server_is_away_then_is_one_sentence_not_an_exception() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with reader(port) as client:
        assert "DPY-6005" in client.preflight()[0]


class _Detail:
    def __init__(self, full_code: str, message: str) -> None:
        self.full_code = full_code
        self.message = message

    def __str__(self) -> str:
        return self.message


@pytest.mark.parametrize(
    ("code", "retried"),
    [
        ("DPY-4011", True),
        ("DPY-4024", True),
        ("DPY-4005", True),
        ("ORA-01555", True),
        ("ORA-12170", True),
        ("ORA-01017", False),
        ("ORA-00942", False),
        ("ORA-28000", False),
    ],
)
def test_error_when_it_has_a_code_then_our_table_decides_not_the_driver(code: str, retried: bool) -> None:
    error = oracledb.DatabaseError(_Detail(code, f"{code}: words\nHelp: https://docs.oracle.com/x"))
    assert is_retried(error) is retried
    told = as_source_error(error, Asking("Energy Components", "x"), "SQL", str)
    assert isinstance(told, SourceUnavailable) is retried
    assert "Help" not in str(told)


def test_error_when_connect_hides_a_refused_password_then_is_not_retried() -> None:
    error = oracledb.OperationalError(_Detail("DPY-6005", "DPY-6005: cannot connect\nORA-01017: invalid"))
    assert not is_retried(error)


def test_views_when_sql_joins_and_quotes_then_all_are_found_without_owner() -> None:
    sql = "SELECT 'from x' FROM eckernel.rv_a a JOIN \"Ov_B\" b ON 1=1 -- from c\n, (SELECT 1 FROM dv_d)"
    assert views_of(sql) == ["RV_A", "Ov_B", "DV_D"]
