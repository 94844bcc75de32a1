"""Energy Components over Oracle Net: the site's SQL, fetched as Arrow batches in one read-only snapshot.

python-oracledb in thin mode. Every wait is bounded: the login by a deadline of its own (the driver has none), the pool
by its wait time-out, a silent round trip by the call time-out, the whole read by an overall deadline.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TypeVar

import oracledb
import pyarrow as pa

from pipelines.sources.circuit import Circuit, CircuitStatus, circuit_of
from pipelines.sources.collector import collector_paused
from pipelines.sources.config import EcOracleConfig
from pipelines.sources.ec_oracle_batches import Batches, pinned
from pipelines.sources.ec_oracle_errors import as_source_error, code_of, is_retried
from pipelines.sources.ec_oracle_guard import GarbledWire, decoding, guarded
from pipelines.sources.ec_oracle_preflight import check, missing_of, selected
from pipelines.sources.energy_components import SOURCE, asking_for, mapped, no_changes, stamp_of, tidy
from pipelines.sources.errors import Asking, SourceBroken, SourceError, SourceUnavailable
from pipelines.sources.extract import Extract, OnProgress, Progress, no_progress
from pipelines.sources.http_deadline import Deadline
from pipelines.sources.http_words import Redactor
from pipelines.sources.mapping import DatasetMapping, binds_of

log = logging.getLogger(__name__)

T = TypeVar("T")

# Before any connect: the first one otherwise decides the mode under a lock that a hanging login holds for ever.
oracledb.enable_thin_mode()  # type: ignore[no-untyped-call]

# Rows of one round trip: as many as the nearer caches hold decoded.
BATCH_ROWS = 20_000
ATTEMPTS = 3
# A read may take this many times the time-out of one round trip.
_OVERALL = 10.0
# Bytes of one network packet: the default 8 KiB costs a round of headers for every few rows.
_SDU = 65_535


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
        sleep: Callable[[float], None] | None = None,
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
        self._cancelled = threading.Event()
        self._circuit: Circuit = circuit_of(SOURCE, f"oracle://{config.host}:{config.port}/{config.service_name}")

    def __enter__(self) -> EcOracle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pool; one that hangs is left to the process's end after a second."""
        # A login that hangs holds the lock; it ends by its own deadline and finds nobody.
        if self._lock.acquire(timeout=1.0):
            try:
                self._give_up_pool()
            finally:
                self._lock.release()

    def cancel(self) -> None:
        """See EnergyComponents.cancel."""
        self._cancelled.set()

    @property
    def circuit(self) -> CircuitStatus:
        """See EnergyComponents.circuit."""
        return self._circuit.status()

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
        return self._read(asking, mapping, first, last, {})

    def tells_changes(self, dataset: str) -> bool:
        """See EnergyComponents.tells_changes."""
        return dataset in self._datasets and bool(self._datasets[dataset].oracle_changes_sql)

    def changes(self, dataset: str, since: datetime, first: date, last: date) -> Extract:
        """See EnergyComponents.changes."""
        mapping = mapped(self._datasets, dataset, first, last)
        asking = asking_for(dataset, first, last)
        if not mapping.oracle_changes_sql:
            raise no_changes(mapping, asking)
        changed = replace(mapping, oracle_sql=mapping.oracle_changes_sql)
        return self._read(asking, changed, first, last, {"since": stamp_of(mapping, since, self._zone)})

    def _read(
        self, asking: Asking, mapping: DatasetMapping, first: date, last: date, more: Mapping[str, datetime]
    ) -> Extract:
        days = {"from_day": first, "to_day": last + timedelta(days=1), **more}
        binds = {name: days[name] for name in sorted(binds_of(mapping.oracle_sql))}
        asked = f"{' '.join(mapping.oracle_sql.split())} with {', '.join(f':{k} = {v}' for k, v in binds.items())}"

        def fetch(connection: oracledb.Connection, deadline: Deadline) -> Extract:
            return self._fetch(connection, asking, asked, mapping, binds, first, last, deadline)

        return self._answered(asking, asked, fetch)

    def preflight(self) -> list[str]:
        """See EnergyComponents.preflight: views and columns of every dataset, by parsing and by ALL_TAB_COLUMNS."""
        asking = Asking(SOURCE, "preflight")
        wanted = [mapping for mapping in self._datasets.values() if mapping.oracle_sql]
        wanted += [
            replace(mapping, name=f"{mapping.name}, oracle_changes_sql", oracle_sql=mapping.oracle_changes_sql)
            for mapping in self._datasets.values()
            if mapping.oracle_changes_sql
        ]
        faults = [f"{mapping.name}: has no oracle_sql" for mapping in self._datasets.values() if not mapping.oracle_sql]

        def look(connection: oracledb.Connection, _: Deadline) -> list[str]:
            return [fault for mapping in wanted for fault in check(connection, mapping, self._config.user)]

        try:
            return faults + self._answered(asking, f"views and columns of {len(wanted)} datasets", look)
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
        deadline: Deadline,
    ) -> Extract:
        connection.action = asking.dataset[:64]
        names, schema = self._described(connection, asking, asked, mapping)
        received = Batches(names, mapping.columns, self._zone)
        with connection.cursor() as cursor, decoding():
            # One snapshot for all batches, and proof that nothing is written.
            cursor.execute("SET TRANSACTION READ ONLY")
        batches = connection.fetch_df_batches(
            mapping.oracle_sql, dict(binds), size=self._batch_rows, requested_schema=schema
        )
        while True:
            with decoding(), collector_paused():
                batch = next(batches, None)
            if batch is None:
                break
            received.add(batch)
            self._on_progress(Progress(SOURCE, asking.dataset, received.rows, received.count, 0))
            if deadline.remaining() <= 0.0:
                # Nobody waits for the rest any more.
                raise TimeoutError
        with decoding():
            connection.rollback()
        cast = received.whole()
        frame, warnings = tidy(mapping, cast.frame, first, last)
        return Extract(frame, rejected=cast.rejected, request=asked, pages=received.count, warnings=tuple(warnings))

    def _described(
        self, connection: oracledb.Connection, asking: Asking, asked: str, mapping: DatasetMapping
    ) -> tuple[list[str], pa.Schema | None]:
        """Result columns under the mapping's spelling, and their pinned Arrow types (None if one has no safe type)."""
        with connection.cursor() as cursor, decoding():
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
        types = [pinned(column) for column in description]
        known = [(name, kind) for name, kind in zip(names, types, strict=True) if kind is not None]
        return names, pa.schema(known) if len(known) == len(names) else None

    def _answered(self, asking: Asking, asked: str, work: Callable[[oracledb.Connection, Deadline], T]) -> T:
        """What `work` gives, if the source's circuit lets it be asked."""
        pause = self._circuit.seconds_to_rest()
        if pause > 0.0:
            failed = self._circuit.failure_limit
            raise SourceUnavailable(
                asking,
                asked=asked,
                came=f"nothing: the last {failed} questions failed, so the source is not asked for {pause:.0f} s",
                retry_after_seconds=pause,
            )
        deadline = Deadline.after(_OVERALL * self._config.timeout_seconds, self._cancelled)
        try:
            with self._circuit.place(deadline.remaining):
                found = self._attempts(asking, asked, work, deadline)
        except TimeoutError as error:
            self._circuit.abandoned()
            raise SourceUnavailable(asking, asked=asked, came=f"no turn to ask: {error}") from None
        except SourceUnavailable as error:
            if deadline.is_cancelled:
                self._circuit.abandoned()
            else:
                self._circuit.failed(str(error))
            raise
        except SourceError:
            self._circuit.succeeded()
            raise
        except BaseException:
            self._circuit.abandoned()
            raise
        self._circuit.succeeded()
        return found

    def _attempts(
        self, asking: Asking, asked: str, work: Callable[[oracledb.Connection, Deadline], T], deadline: Deadline
    ) -> T:
        def session() -> T:
            with self._connection(asking, deadline) as connection:
                return work(connection, deadline)

        attempt = 0
        while True:
            attempt += 1
            try:
                return guarded(session, deadline)
            except TimeoutError:
                raise self._out_of_time(asking, asked, deadline) from None
            except oracledb.Error as error:
                if not is_retried(error) or attempt >= ATTEMPTS:
                    raise as_source_error(error, asking, asked, self._redact) from None
                came = code_of(error)
            except GarbledWire as error:
                if attempt >= ATTEMPTS:
                    raise SourceUnavailable(asking, asked=asked, came=str(error)) from None
                came = str(error)
            wait = random.uniform(0.5, 1.0) * 2.0 ** (attempt - 1)
            log.warning("%s: attempt %d: came %s; again in %.1f s", asking, attempt, came, wait)
            if self._sleep is not None:
                self._sleep(wait)
            else:
                deadline.wait(wait)

    def _out_of_time(self, asking: Asking, asked: str, deadline: Deadline) -> SourceUnavailable:
        if deadline.is_cancelled:
            what_next = "cancelled: nothing of this read is kept"
            return SourceUnavailable(asking, asked=asked, came="a request to stop", what_next=what_next)
        seconds = _OVERALL * self._config.timeout_seconds
        return SourceUnavailable(asking, asked=asked, came=f"no whole answer within {seconds:.0f} s, then time was up")

    @contextlib.contextmanager
    def _connection(self, asking: Asking, deadline: Deadline) -> Iterator[oracledb.Connection]:
        pool = self._ready(asking, deadline)
        with decoding():
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
        finally:
            with self._lock:
                is_last = self._pool is not pool and pool.busy == 0
            if is_last:
                # The client was closed while this session worked: nobody else ends its pool.
                with contextlib.suppress(oracledb.Error):
                    pool.close(force=True)

    def _ready(self, asking: Asking, deadline: Deadline) -> oracledb.ConnectionPool:
        with self._lock:
            if self._pool is None:
                self._try_login(asking)
                if deadline.remaining() <= 0.0:
                    # The client may be closed by now: nobody would close this pool.
                    raise TimeoutError
                with decoding():
                    self._pool = self._create_pool()
            return self._pool

    def _give_up_pool(self) -> None:
        pool, self._pool = self._pool, None
        # To close a session under a thread that reads from it crashes the driver: whoever was left behind does it.
        if pool is not None and pool.busy == 0:
            with contextlib.suppress(TimeoutError, oracledb.Error):
                guarded(lambda: pool.close(force=True), Deadline.after(1.0), "oracle-close")

    def _try_login(self, asking: Asking) -> None:
        """Log in once under a deadline: a listener that accepts and stays silent would hang the pool and the exit."""
        config = self._config
        address = f"{config.user}@{config.host}:{config.port}/{config.service_name}"

        def login() -> None:
            with decoding():
                oracledb.connect(
                    user=config.user,
                    password=config.password.reveal(),
                    host=config.host,
                    port=config.port,
                    service_name=config.service_name,
                    tcp_connect_timeout=config.timeout_seconds,
                ).close()

        try:
            guarded(login, Deadline.after(config.timeout_seconds), "oracle-login")
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
