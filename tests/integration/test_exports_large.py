"""A view of more than a million rows behind the real server: memory, sheets that cannot hold it, clients that go away."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from pipelines.demo_processes import free_port
from tests.unit.api.test_server import ROOT, wait_until_it_answers
from tests.unit.warehouse.frames import OPERATOR, inputs_of, publish_tiny, tiny_release_tables
from warehouse.manifest import InputPartition

ROWS = 1_100_000
PATH = "/api/v1/exports/reading_daily"
TAGS = 2_200
# Batches, Arrow's pools and the code itself; the file that is sent has about 120 MB.
GROWTH_BYTES = 300 * 1024**2

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Served:
    client: httpx.Client
    port: int
    process: int
    log: Path

    def resident(self) -> int:
        """Bytes of memory that the server holds now."""
        pages = int(Path(f"/proc/{self.process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("large")
    tables = tiny_release_tables(5)
    days = pl.DataFrame({"production_date": [date(2025, 7, 10) + timedelta(days=n) for n in range(ROWS // TAGS)]})
    tags = pl.DataFrame({"tag_id": range(TAGS)}, schema={"tag_id": pl.Int64})
    one = tables["reading_daily"].head(1).drop("production_date", "tag_id", "tag_name")
    tables["reading_daily"] = (
        days.join(tags, how="cross")
        .join(one, how="cross")
        .with_columns(
            tag_name=pl.format("ALD.FT{}.OIL", "tag_id"),
            time_weighted_mean=pl.int_range(pl.len()).cast(pl.Float64) * 1.000_1,
        )
        .select(tables["reading_daily"].columns)
    )
    digest = hashlib.sha256(b"a large frame is not written as JSON to be hashed").hexdigest()
    small = {name: frame for name, frame in tables.items() if name != "reading_daily"}
    inputs = [*inputs_of(small), InputPartition(table="reading_daily", partition="all", sha256=digest, rows=ROWS)]
    publish_tiny(directory, tables=tables, inputs=inputs)
    port, log = free_port(), directory / "log"
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "WAREHOUSE_DIR": str(directory), "OPERATOR": OPERATOR}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
                wait_until_it_answers(client, process)
                workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                yield Served(client, port, int(workers[-1]) if workers else process.pid, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_large_csv_then_every_row_in_bounded_memory(served: Served) -> None:
    assert served.client.get("/api/v1/exports/hub?format=csv").status_code == 200  # pyarrow is loaded
    before, peak, rows, size = served.resident(), 0, 0, 0
    with served.client.stream("GET", f"{PATH}?format=csv") as response:
        assert response.status_code == 200
        for piece in response.iter_bytes():
            rows += piece.count(b"\n")
            size += len(piece)
            peak = max(peak, served.resident())
    assert rows == ROWS + 1
    assert size > 80 * 1024**2
    assert peak - before < GROWTH_BYTES, (
        f"{(peak - before) / 1024**2:.0f} MB more for a file of {size / 1024**2:.0f} MB"
    )


def test_large_xlsx_then_400_that_names_csv(served: Served) -> None:
    response = served.client.get(f"{PATH}?format=xlsx")
    assert response.status_code == 400
    assert "1,100,000 rows" in response.json()["detail"]
    assert "csv" in response.json()["detail"]


def test_client_that_goes_away_then_the_server_notices_and_serves_on(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(f"GET {PATH}?format=csv HTTP/1.1\r\nHost: api\r\n\r\n".encode())
        assert b"200" in connection.recv(1024)
    for _ in range(600):
        if "export left by its client" in served.log.read_text():
            break
        # Each request is a turn of the server's loop: no clock is waited for.
        assert served.client.get("/healthz").status_code == 200
    assert "export left by its client" in served.log.read_text()
    assert served.client.get(f"{PATH}?format=arrow&from=2026-11-21").status_code == 200
