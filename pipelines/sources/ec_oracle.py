"""Energy Components over Oracle Net: the site's SQL, fetched as Arrow batches in one read-only snapshot.

python-oracledb in thin mode. Every wait is bounded: the login by a deadline of its own (the driver has none), the pool
by its wait time-out, a round trip by the call time-out, the whole read by an overall deadline between batches.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import oracledb
import polars as pl
import pyarrow as pa

from pipelines.sources.cast import cast_to_canonical, schema_of
from pipelines.sources.config import EcOracleConfig
from pipelines.sources.ec_oracle_errors import as_source_error, code_of, is_retried
from pipelines.sources.ec_oracle_preflight import check, missing_of, selected
from pipelines.sources.energy_components import SOURCE, asking_for, mapped, tidy
from pipelines.sources.errors import Asking, SourceBroken, SourceError, SourceUnavailable
from pipelines.sources.extract import REJECTED_SCHEMA, Extract, OnProgress, Progress, no_progress
from pipelines.sources.http_words import Redactor
from pipelines.sources.mapping import DatasetMapping, binds_of

log = logging.getLogger(__name__)

T = TypeVar("T")

# Before any connect: the first one otherwise decides the mode under a lock that a hanging login holds for ever.
oracledb.enable_thin_mode()  # type: ignore[no-untyped-call]

BATCH_ROWS = 50_000
ATTEMPTS = 3
# A read may take this many times the time-out of one round trip.
_OVERALL = 10.0
# Bytes of one network packet: the default 8 KiB costs a round of headers for every few rows.
_SDU = 65_535
_INSTANT = pa.timestamp("us")
_PINNED: dict[Any, pa.DataType] = {
    oracledb.DB_TYPE_BINARY_DOUBLE: pa.float64(),
    oracledb.DB_TYPE_BINARY_FLOAT: pa.float64(),
    oracledb.DB_TYPE_CHAR: pa.string(),
    oracledb.DB_TYPE_CLOB: pa.large_string(),
    oracledb.DB_TYPE_DATE: _INSTANT,
    oracledb.DB_TYPE_LONG: pa.large_string(),
    oracledb.DB_TYPE_NCHAR: pa.string(),
    oracledb.DB_TYPE_NCLOB: pa.large_string(),
    oracledb.DB_TYPE_NVARCHAR: pa.string(),
    oracledb.DB_TYPE_TIMESTAMP: _INSTANT,
    oracledb.DB_TYPE_TIMESTAMP_LTZ: _INSTANT,
    oracledb.DB_TYPE_TIMESTAMP_TZ: _INSTANT,
    oracledb.DB_TYPE_VARCHAR: pa.string(),
}


class EcOracle:
    """One EC database. Thread-safe. Close it, or use it as a context manager. `zone` is that of naive instants."""

    def __init__(
        self,
        config: EcOracleConfig,
        datasets: Mapping[str, DatasetMapping],
        *,
        zone: str = "UTC",
        on_progress: OnProgress = no_progress,
        batch_rows: int = BATCH_ROWS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._datasets = dict(datasets)
        self._zone = zone
        self._on_progress = on_progress
        self._batch_rows = batch_rows
        self._sleep = sleep
        self._redact = Redactor([config.password.reveal()])
        self._lock = threading.Lock()
        self._pool: oracledb.ConnectionPool | None = None

    def __enter__(self) -> EcOracle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pool; one that hangs is left to the process's end after a second."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            with contextlib.suppress(TimeoutError, oracledb.Error):
                _guarded(lambda: pool.close(force=True), 1.0)

    def read(self, dataset: str, first: date, last: date) -> Extract:
        """See EnergyComponents.read."""
        mapping = mapped(self._datasets, dataset, first, last)
        asking = asking_for(dataset, first, last)
        if not mapping.oracle_sql:
            raise SourceBroken(
                asking,
                asked=f"dataset {dataset} over Oracle",
                came="a mapping without oracle_sql",
                what_next=f"not retried: add oracle_sql to [datasets.{dataset}] in energy_components.toml",
            )
        days = {"from_day": first, "to_day": last + timedelta(days=1)}
        binds = {name: days[name] for name in sorted(binds_of(mapping.oracle_sql))}
        asked = f"{' '.join(mapping.oracle_sql.split())} with {', '.join(f':{k} = {v}' for k, v in binds.items())}"

        def fetch(connection: oracledb.Connection) -> Extract:
            return self._fetch(connection, asking, asked, mapping, binds, first, last)

        return self._attempts(asking, asked, fetch)

    def preflight(self) -> list[str]:
        """See EnergyComponents.preflight: views and columns of every dataset, by parsing and by ALL_TAB_COLUMNS."""
        asking = Asking(SOURCE, "preflight")
        wanted = [mapping for mapping in self._datasets.values() if mapping.oracle_sql]
        faults = [f"{mapping.name}: has no oracle_sql" for mapping in self._datasets.values() if not mapping.oracle_sql]

        def look(connection: oracledb.Connection) -> list[str]:
            return [fault for mapping in wanted for fault in check(connection, mapping, self._config.user)]

        try:
            return faults + self._attempts(asking, f"views and columns of {len(wanted)} datasets", look)
        except SourceError as error:
            return [*faults, str(error)]

    def _fetch(
        self,
        connection: oracledb.Connection,
        asking: Asking,
        asked: str,
        mapping: DatasetMapping,
        binds: Mapping[str, date],
        first: date,
        last: date,
    ) -> Extract:
        ends_at = time.monotonic() + _OVERALL * self._config.timeout_seconds
        connection.action = asking.dataset[:64]
        names, schema = self._described(connection, asking, asked, mapping)
        frames = [schema_of(mapping.columns).to_frame()]
        rejects = [REJECTED_SCHEMA.to_frame()]
        rows = pages = 0
        with connection.cursor() as cursor:
            # One snapshot for all batches, and proof that nothing is written.
            cursor.execute("SET TRANSACTION READ ONLY")
        for batch in connection.fetch_df_batches(
            mapping.oracle_sql, dict(binds), size=self._batch_rows, requested_schema=schema
        ):
            received = pl.DataFrame(batch)
            received.columns = names
            cast = cast_to_canonical(received, mapping.columns, zone=self._zone)
            frames.append(cast.frame)
            rejects.append(cast.rejected)
            rows, pages = rows + received.height, pages + 1
            self._on_progress(Progress(SOURCE, asking.dataset, rows, pages, 0))
            if time.monotonic() > ends_at:
                raise SourceUnavailable(
                    asking,
                    asked=asked,
                    came=f"{rows} rows in {_OVERALL * self._config.timeout_seconds:.0f} s, then time was up",
                )
        connection.rollback()
        frame, warnings = tidy(mapping, pl.concat(frames), first, last)
        return Extract(frame, rejected=pl.concat(rejects), request=asked, pages=pages, warnings=tuple(warnings))

    def _described(
        self, connection: oracledb.Connection, asking: Asking, asked: str, mapping: DatasetMapping
    ) -> tuple[list[str], pa.Schema | None]:
        """Result columns under the mapping's spelling, and their pinned Arrow types (None if one has no safe type)."""
        with connection.cursor() as cursor:
            cursor.parse(mapping.oracle_sql)
            description = list(cursor.description or ())
            missing = missing_of(mapping, selected(cursor))
        if missing:
            raise SourceBroken(
                asking,
                asked=asked,
                came=f"a result without {', '.join(missing)}",
                what_next="not retried: select the columns in oracle_sql, or correct their source in the mapping",
            )
        spelt = {column.source.upper(): column.source for column in mapping.columns if column.source}
        names = [spelt.get(str(column[0]).upper(), str(column[0])) for column in description]
        types = [_pinned(column) for column in description]
        pinned = [(name, kind) for name, kind in zip(names, types, strict=True) if kind is not None]
        return names, pa.schema(pinned) if len(pinned) == len(names) else None

    def _attempts(self, asking: Asking, asked: str, work: Callable[[oracledb.Connection], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._connection(asking) as connection:
                    return work(connection)
            except oracledb.Error as error:
                if not is_retried(error) or attempt >= ATTEMPTS:
                    raise as_source_error(error, asking, asked, self._redact) from None
                wait = random.uniform(0.5, 1.0) * 2.0 ** (attempt - 1)
                log.warning("%s: attempt %d: came %s; again in %.1f s", asking, attempt, code_of(error), wait)
                self._sleep(wait)

    @contextlib.contextmanager
    def _connection(self, asking: Asking) -> Iterator[oracledb.Connection]:
        pool = self._ready(asking)
        connection = pool.acquire()
        try:
            # On a connection that has just been checked out alive: on a dead one this assignment crashes (sources.md D.3).
            connection.call_timeout = int(self._config.timeout_seconds * 1000)
            connection.module = "production-gap"
            yield connection
        except BaseException:
            # Whatever happened, this session's state is unknown: it does not go back to the pool.
            with contextlib.suppress(oracledb.Error):
                pool.drop(connection)
            raise
        else:
            connection.close()

    def _ready(self, asking: Asking) -> oracledb.ConnectionPool:
        with self._lock:
            if self._pool is None:
                self._try_login(asking)
                self._pool = self._create_pool()
            return self._pool

    def _try_login(self, asking: Asking) -> None:
        """Log in once under a deadline: a listener that accepts and stays silent would hang the pool and the exit."""
        config = self._config
        address = f"{config.user}@{config.host}:{config.port}/{config.service_name}"

        def login() -> None:
            oracledb.connect(
                user=config.user,
                password=config.password.reveal(),
                host=config.host,
                port=config.port,
                service_name=config.service_name,
                tcp_connect_timeout=config.timeout_seconds,
            ).close()

        try:
            _guarded(login, config.timeout_seconds)
        except TimeoutError:
            raise SourceUnavailable(
                asking,
                asked=f"a login as {address}",
                came=f"no answer within {config.timeout_seconds:.0f} s of connecting",
            ) from None

    def _create_pool(self) -> oracledb.ConnectionPool:
        config = self._config
        return oracledb.create_pool(
            user=config.user,
            password=config.password.reveal(),
            host=config.host,
            port=config.port,
            service_name=config.service_name,
            min=config.pool_min,
            max=config.pool_max,
            increment=config.pool_inc,
            getmode=oracledb.POOL_GETMODE_TIMEDWAIT,
            wait_timeout=int(config.timeout_seconds * 1000),
            tcp_connect_timeout=config.timeout_seconds,
            ping_interval=30,
            sdu=_SDU,
        )


def _pinned(column: Any) -> pa.DataType | None:
    """The Arrow type that a result column is fetched as, whatever the view computes it from."""
    if column[1] == oracledb.DB_TYPE_NUMBER:
        precision, scale = column[4], column[5]
        return pa.int64() if scale == 0 and precision and precision <= 18 else pa.float64()
    return _PINNED.get(column[1])


def _guarded(work: Callable[[], None], seconds: float) -> None:
    """Run `work` for at most so long, in a thread that is left behind if it hangs. Raises TimeoutError."""
    outcome: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the caller whole
            outcome.put(error)
        else:
            outcome.put(None)

    threading.Thread(target=run, daemon=True, name="oracle-login").start()
    try:
        error = outcome.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
