"""Energy Components over Oracle: one view, a server whose answers are recorded once, and those who read them played.

Every reader gets its own tape, for each asks in its own way: arrays of 100 rows by default, of 20,000 as Arrow batches.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.ingest_process import Found, Meter, announce, best
from benchmarks.ingest_replay import Tape, listen

if TYPE_CHECKING:
    import polars as pl

PASSWORD = "benchmark-password"
STREAMS = 500
FIRST_DAY = date(2024, 1, 1)
SQL = (
    "SELECT CODE, DAYTIME, NET_VOL, RECORD_STATUS, REV_NO, ON_STREAM_HRS, UPDATED FROM RV_STRM_DAY "
    "WHERE DAYTIME >= :from_day AND DAYTIME < :to_day"
)
COLUMNS = {
    "stream_ec_code": {"source": "CODE", "type": "text"},
    "production_date": {"source": "DAYTIME", "type": "date"},
    "volume": {"source": "NET_VOL", "type": "float", "unit": "Sm3"},
    "record_status": {"source": "RECORD_STATUS", "type": "text"},
    "rev_no": {"source": "REV_NO", "type": "int"},
    "on_stream_hours": {"source": "ON_STREAM_HRS", "type": "float", "unit": "h"},
    "source_updated_at_utc": {"source": "UPDATED", "type": "datetime"},
}
BATCH_ROWS = 20_000


def write_view(folder: Path, rows: int) -> None:
    """A daily view of 500 streams with so many rows."""
    import numpy as np
    import polars as pl

    number = np.arange(rows)
    day = pl.Series(number // STREAMS).cast(pl.Int32)
    daytime = pl.select(pl.lit(FIRST_DAY) + pl.duration(days=day)).to_series().cast(pl.Date)
    pl.DataFrame(
        {
            "CODE": pl.Series(number % STREAMS).cast(pl.String).str.zfill(5).str.pad_start(9, "S"),
            "DAYTIME": daytime,
            "NET_VOL": np.round(np.random.default_rng(1).normal(3000, 400, rows), 3),
            "RECORD_STATUS": pl.Series(np.where(number % 3 == 0, "P", "A")),
            "REV_NO": number % 4,
            "ON_STREAM_HRS": np.round(24 - (number % 17) / 10, 1),
            "UPDATED": daytime.cast(pl.Datetime("us")) + timedelta(hours=31),
        }
    ).write_parquet(folder / "RV_STRM_DAY.parquet")


def last_day(rows: int) -> date:
    """The last day of a view of so many rows."""
    return FIRST_DAY + timedelta(days=(rows - 1) // STREAMS)


def serve(folder: Path, tapes: int) -> None:
    """The simulated Oracle over the view, behind so many tapes: the ports to record each, to play it, to pour it out."""
    from pipelines.simulators.ec_oracle import OracleServer
    from pipelines.simulators.replay_energy_components import EnergyComponentsReplay

    with OracleServer(EnergyComponentsReplay(folder), password=PASSWORD) as server:
        ports: list[int] = []
        for _ in range(tapes):
            tape = Tape(server.port)
            ports += [listen(tape.record), listen(tape.play), listen(tape.pour)]
        announce(ports)


def reader_of_ours(port: int) -> Any:
    """This project's client of the view."""
    from pipelines.sources.config import EcOracleConfig, Secret
    from pipelines.sources.ec_oracle import EcOracle
    from pipelines.sources.mapping import parse_energy_components

    stream_day = {"key": ["stream_ec_code", "production_date"], "oracle_sql": SQL, "columns": COLUMNS}
    config = EcOracleConfig(
        host="127.0.0.1",
        port=port,
        service_name="EC",
        user="EC_READER",
        password=Secret(PASSWORD),
        timeout_seconds=600,
    )
    return EcOracle(config, parse_energy_components({"datasets": {"stream_day": stream_day}}), batch_rows=BATCH_ROWS)


def read_ours(port: int, rows: int) -> Found:
    """This project's client: Arrow batches, cast to canonical columns, one row a key."""
    with reader_of_ours(port) as client:
        # Log in and import first: that is not what is measured.
        client.read("stream_day", FIRST_DAY, FIRST_DAY)
        meter = Meter()
        extract = client.read("stream_day", FIRST_DAY, last_day(rows))
        return meter.found(extract.frame.height)


def connected(port: int, **options: Any) -> Any:
    """A connection of python-oracledb."""
    import oracledb

    return oracledb.connect(
        user="EC_READER", password=PASSWORD, host="127.0.0.1", port=port, service_name="EC", **options
    )


def fetchall(connection: Any, binds: dict[str, date | datetime], arraysize: int | None = None) -> pl.DataFrame:
    """What anyone would write: all rows as tuples, then a frame of them. `arraysize` None: the driver's own, 100."""
    import polars as pl

    with connection.cursor() as cursor:
        if arraysize is not None:
            cursor.arraysize = cursor.prefetchrows = arraysize
        cursor.execute(SQL, binds)
        names = [column[0] for column in cursor.description]
        return pl.DataFrame(cursor.fetchall(), schema=names, orient="row")


def arrow(connection: Any, binds: dict[str, date | datetime]) -> pl.DataFrame:
    """The driver's Arrow batches as a frame, and nothing else done."""
    import polars as pl

    batches = connection.fetch_df_batches(SQL, binds, size=BATCH_ROWS)
    return pl.concat([pl.DataFrame(batch) for batch in batches])


def _read(
    port: int, rows: int, frame_of: Callable[[Any, dict[str, date | datetime]], pl.DataFrame], **options: Any
) -> Found:
    with connected(port, **options) as connection:
        frame_of(connection, {"from_day": FIRST_DAY, "to_day": FIRST_DAY + timedelta(days=1)})
        meter = Meter()
        frame = frame_of(connection, {"from_day": FIRST_DAY, "to_day": last_day(rows) + timedelta(days=1)})
        return meter.found(frame.height)


def read_fetchall(port: int, rows: int) -> Found:
    """cursor.fetchall() with everything as the driver has it, into a frame."""
    return _read(port, rows, fetchall)


def read_fetchall_tuned(port: int, rows: int) -> Found:
    """cursor.fetchall() with large arrays and packets, into a frame."""
    return _read(port, rows, lambda connection, binds: fetchall(connection, binds, BATCH_ROWS), sdu=65_535)


def read_arrow(port: int, rows: int) -> Found:
    """The driver's own Arrow fetch: what no reader that uses this driver can be below."""
    return _read(port, rows, arrow, sdu=65_535)


def read_bytes(port: int, rows: int) -> Found:
    """The bytes that ours got, received and thrown away."""
    import socket

    meter = Meter()
    received = 0
    with socket.create_connection(("127.0.0.1", port)) as peer:
        while piece := peer.recv(65_536):
            received += len(piece)
    return meter.found(rows, received)


# How often a reader reads all of it, each time on a new connection.
PASSES = 5


def read(reader: str, port: int, rows: int, passes: int) -> Found:
    """What a reader found in its cheapest pass."""
    return best([READERS[reader](port, rows) for _ in range(passes)])


READERS: dict[str, Callable[[int, int], Found]] = {
    "ours": read_ours,
    "fetchall": read_fetchall,
    "fetchall, large arrays": read_fetchall_tuned,
    "driver's Arrow alone": read_arrow,
}
