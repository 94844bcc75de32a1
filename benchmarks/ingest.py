"""What reading a source costs the client: processor seconds a million values or rows, beside other clients and the floor.

Run: python -m benchmarks.ingest [--values 1000000] [--rows 200000]. One simulator, a fresh process for each reader, all
at the same concurrency; the floor reads the same bytes and decodes nothing. Peers get their most favourable terms: their
values are only counted, ours end in a typed frame. `--values 10000000 --alone` shows the peak memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

CONCURRENCY = 4
TAGS = 232
INTERVAL = timedelta(seconds=20)
PER_DAY = int(timedelta(days=1) / INTERVAL)
START = datetime(2026, 10, 1, 5, tzinfo=UTC)
PASSWORD = "benchmark-password"
STREAMS = 500
FIRST_DAY = date(2024, 1, 1)
SQL = (
    "SELECT CODE, DAYTIME, NET_VOL, RECORD_STATUS, REV_NO, ON_STREAM_HRS, UPDATED FROM RV_STRM_DAY "
    "WHERE DAYTIME >= :from_day AND DAYTIME < :to_day"
)


# Servers: each in a process of its own, which tells its port on standard output and ends with standard input


def write_archive(folder: Path, values: int) -> None:
    """An archive of at least `values` samples: whole days of 232 tags, a value in 20 s; one in a thousand is a state."""
    import numpy as np
    import polars as pl

    (folder / "values").mkdir(parents=True)
    names = [f"FIELD.{tag:04d}.PV" for tag in range(TAGS)]
    pl.DataFrame({"Name": names, "Id": range(1, TAGS + 1), "PointType": ["Float32"] * TAGS}).write_csv(
        folder / "points.csv"
    )
    random = np.random.default_rng(20261122)
    for day in range(days_of(values)):
        noise = random.normal(500.0, 40.0, TAGS * PER_DAY).astype(np.float32).astype(np.float64)
        states = random.random(TAGS * PER_DAY) < 0.001
        begin = START + timedelta(days=day)
        at = pl.datetime_range(begin, begin + timedelta(days=1), INTERVAL, closed="left", time_unit="us", eager=True)
        pl.DataFrame(
            {
                "Name": pl.Series(names).gather(np.repeat(np.arange(TAGS), PER_DAY)),
                "Timestamp": pl.concat([at] * TAGS),
                "Value": pl.Series(noise).set(pl.Series(states), None),
                "State": pl.Series(np.where(states, 246, 0)).replace(0, None).cast(pl.Int16),
            }
        ).write_parquet(folder / "values" / f"{day:03d}.parquet")


def days_of(values: int) -> int:
    """Whole days that hold so many values."""
    return max(1, -(-values // (TAGS * PER_DAY)))


def serve_pi(folder: Path) -> None:
    """The simulated PI Web API over the archive, as quick clients may ask it: large answers by default."""
    from pipelines.simulators.pi_web_api import PiAccess, PiWebApi
    from pipelines.simulators.pi_web_api_context import PiLimits
    from pipelines.simulators.replay_pi import PiReplay
    from pipelines.simulators.server import LocalServer
    from pipelines.simulators.server_clock import Clock

    # Its default count is raised so that piwebx, which never sends one, may ask for pages of its own best size.
    limits = PiLimits(default_max_count=150_000)
    clock = Clock(START + timedelta(days=3650))
    system = PiWebApi(PiReplay(folder), PiAccess(method="Anonymous"), clock=clock, limits=limits)
    with LocalServer(system) as server:
        announce(server.port)


def serve_oracle(folder: Path) -> None:
    """The simulated Oracle over one view."""
    from pipelines.simulators.ec_oracle import OracleServer
    from pipelines.simulators.replay_energy_components import EnergyComponentsReplay

    with OracleServer(EnergyComponentsReplay(folder), password=PASSWORD) as server:
        announce(server.port)


def serve_bytes(size: int) -> None:
    """Sends `size` bytes to whoever connects: what reading without decoding is measured with."""
    listener = socket.create_server(("127.0.0.1", 0))

    def send() -> None:
        piece = bytes(65_536)
        while True:
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    left = size
                    while left > 0:
                        left -= peer.send(piece[: min(left, len(piece))])

    threading.Thread(target=send, daemon=True).start()
    announce(listener.getsockname()[1])


def announce(port: int) -> None:
    """Tell the port, then wait until the parent leaves."""
    print(port, flush=True)
    sys.stdin.read()


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


# Readers: each runs in a process of its own and tells what it cost


def measured(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` tells, with its wall and processor seconds and this process's peak memory."""
    gc.collect()
    before, begun = time.process_time(), time.perf_counter()
    memory_before = peak_megabytes()
    found = work()
    return found | {
        "wall": time.perf_counter() - begun,
        "cpu": time.process_time() - before,
        "peak_mb": peak_megabytes(),
        "idle_mb": memory_before,
    }


def peak_megabytes() -> float:
    """The most memory that this process has held (getrusage tells the parent's, where that was larger)."""
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) / 1024


def days(values: int) -> Iterator[tuple[datetime, datetime]]:
    """The archive's days, which every reader asks one after the other, as the pipeline does."""
    for day in range(days_of(values)):
        yield START + timedelta(days=day), START + timedelta(days=day + 1)


def names() -> list[str]:
    """The archive's tags."""
    return [f"FIELD.{tag:04d}.PV" for tag in range(TAGS)]


def read_ours(base_url: str, values: int) -> dict[str, Any]:
    """This project's client, to a sorted frame of unique rows a day."""
    from pipelines.sources.config import PiConfig
    from pipelines.sources.pi_web_api import PiClient

    tags = {name: number for number, name in enumerate(names())}

    def work() -> dict[str, Any]:
        rows = received = 0
        with PiClient(PiConfig(base_url=base_url, max_in_flight=CONCURRENCY, timeout_seconds=600)) as client:
            for start, end in days(values):
                extract = client.recorded(tags, start, end)
                rows += extract.frame.filter(extract.frame["observed_at_utc"] >= start).height
                received += extract.bytes
        return {"count": rows, "bytes": received}

    return measured(work)


def read_piwebx(base_url: str, values: int) -> dict[str, Any]:
    """piwebx, its rows counted as they come."""
    import httpx
    import piwebx

    async def run() -> int:
        count = 0
        limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
        async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=600, trust_env=False) as client:
            found, absent = await piwebx.find_points_web_id(client, names())
            assert not absent
            web_ids = [web_id for _, web_id in found]
            for start, end in days(values):
                rows = piwebx.get_recorded(
                    client,
                    web_ids,
                    start,
                    end,
                    scan_rate=INTERVAL.total_seconds(),
                    request_chunk_size=PER_DAY,
                    timezone="UTC",
                    max_concurrency=CONCURRENCY,
                )
                async for at, row in rows:
                    count += len(row) if at < end else 0
        return count

    return measured(lambda: {"count": asyncio.run(run())})


def read_pi_web_sdk(base_url: str, values: int) -> dict[str, Any]:
    """pi-web-sdk, streamsets of 58 tags and quarters of a day (within 150,000 items), its items counted."""
    import pi_web_sdk
    from pi_web_sdk.config import PIWebAPIConfig

    client = pi_web_sdk.PIWebAPIClient(PIWebAPIConfig(base_url=base_url, timeout=600))

    def read(question: tuple[list[str], datetime]) -> int:
        web_ids, start = question
        end = start + timedelta(hours=6) - timedelta(microseconds=1)
        fields = "Items.WebId;Items.Items.Timestamp;Items.Items.Value;Items.Items.Good;Items.Items.Questionable"
        streams = client.streamset.get_recorded(web_ids, start, end, max_count=150_000, selected_fields=fields)
        return sum(len(stream["Items"]) for stream in streams["Items"])

    def work() -> dict[str, Any]:
        server = client.data_server.get_default()["WebId"]
        ids = {each["Name"]: each["WebId"] for each in client.data_server.get_points(server)["Items"]}
        web_ids = [ids[name] for name in names()]
        sets = [web_ids[place : place + 58] for place in range(0, TAGS, 58)]
        count = 0
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            for start, _ in days(values):
                asked = [(each, start + timedelta(hours=6 * part)) for part in range(4) for each in sets]
                count += sum(pool.map(read, asked))
        return {"count": count}

    return measured(work)


def read_floor(base_url: str, values: int) -> dict[str, Any]:
    """The answers that this project's client got last, read again and thrown away."""
    import httpx

    origin = base_url.rsplit("/", 1)[0]
    asked = httpx.get(f"{origin}/__simulator/requests", trust_env=False, timeout=60).json()["requests"]
    targets = [target for _, target, status in asked if status == 200 and "/recorded" in target]
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)

    def work() -> dict[str, Any]:
        with httpx.Client(limits=limits, timeout=600, trust_env=False) as client:

            def read(target: str) -> int:
                return len(client.get(origin + target).content)

            with ThreadPoolExecutor(CONCURRENCY) as pool:
                return {"count": values, "bytes": sum(pool.map(read, targets))}

    return measured(work)


def read_oracle_ours(port: int, rows: int) -> dict[str, Any]:
    """This project's client: Arrow batches, cast to canonical columns, one row a key."""
    from pipelines.sources.config import EcOracleConfig, Secret
    from pipelines.sources.ec_oracle import EcOracle
    from pipelines.sources.mapping import parse_energy_components

    columns = {
        "stream_ec_code": {"source": "CODE", "type": "text"},
        "production_date": {"source": "DAYTIME", "type": "date"},
        "volume": {"source": "NET_VOL", "type": "float", "unit": "Sm3"},
        "record_status": {"source": "RECORD_STATUS", "type": "text"},
        "rev_no": {"source": "REV_NO", "type": "int"},
        "on_stream_hours": {"source": "ON_STREAM_HRS", "type": "float", "unit": "h"},
        "source_updated_at_utc": {"source": "UPDATED", "type": "datetime"},
    }
    key = ["stream_ec_code", "production_date"]
    mapping = parse_energy_components({"datasets": {"stream_day": {"key": key, "oracle_sql": SQL, "columns": columns}}})
    config = EcOracleConfig(
        host="127.0.0.1",
        port=port,
        service_name="EC",
        user="EC_READER",
        password=Secret(PASSWORD),
        timeout_seconds=600,
    )
    last = FIRST_DAY + timedelta(days=rows // STREAMS)
    with EcOracle(config, mapping) as client:
        # Log in first: that is not what is measured.
        client.read("stream_day", date(2000, 1, 1), date(2000, 1, 1))
        return measured(lambda: {"count": client.read("stream_day", FIRST_DAY, last).frame.height})


def read_oracle_fetchall(port: int, rows: int) -> dict[str, Any]:
    """python-oracledb's cursor: all rows as tuples, then a frame of them."""
    import oracledb
    import polars as pl

    last = FIRST_DAY + timedelta(days=rows // STREAMS + 1)

    def work() -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.arraysize = cursor.prefetchrows = 50_000
            cursor.execute(SQL, from_day=FIRST_DAY, to_day=last)
            names = [column[0] for column in cursor.description]
            return {"count": pl.DataFrame(cursor.fetchall(), schema=names, orient="row").height}

    with oracledb.connect(
        user="EC_READER", password=PASSWORD, host="127.0.0.1", port=port, service_name="EC", sdu=65_535
    ) as connection:
        return measured(work)


def read_bytes(port: int, rows: int) -> dict[str, Any]:
    """As many bytes as the rows took, received and thrown away."""

    def work() -> dict[str, Any]:
        received = 0
        with socket.create_connection(("127.0.0.1", port)) as peer:
            while piece := peer.recv(65_536):
                received += len(piece)
        return {"count": rows, "bytes": received}

    return measured(work)


READERS: dict[str, Callable[[Any, int], dict[str, Any]]] = {
    "ours": read_ours,
    "piwebx": read_piwebx,
    "pi-web-sdk": read_pi_web_sdk,
    "floor": read_floor,
    "oracle ours": read_oracle_ours,
    "oracle fetchall": read_oracle_fetchall,
    "oracle floor": read_bytes,
}


# The parent

PI_READERS = ["ours", "floor", "piwebx", "pi-web-sdk"]


@contextlib.contextmanager
def server(kind: str, argument: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server's process and its port."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--serve", kind, argument]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.stdin.close()


def run(reader: str, address: str, count: int) -> dict[str, Any]:
    """What a reader tells, from a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.ingest", "--read", reader, address, str(count)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def processor_seconds(process: subprocess.Popen[str]) -> float:
    """What another process has used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def line(name: str, found: dict[str, Any], base: float | None, extra: str = "") -> None:
    """One row of the table."""
    million = found["cpu"] / found["count"] * 1e6
    ratio = f"{million / base:6.2f}" if base else "     -"
    print(f"{name:26}{found['wall']:8.2f}{found['cpu']:9.2f}{million:12.3f}{ratio:>10}{found['peak_mb']:9.0f}  {extra}")


def header(what: str, count: int) -> None:
    """The table's head."""
    print(f"\n{what}, {count:,} at {CONCURRENCY} side by side" if "values" in what else f"\n{what}, {count:,}")
    print(f"{'':26}{'wall s':>8}{'cpu s':>9}{'cpu s / M':>12}{'x ours':>10}{'peak MB':>9}")


def bench_pi(values: int, folder: Path, readers: list[str]) -> None:
    """PI: ours, the two peers, the floor, and what the server itself used."""
    write_archive(folder, values)
    total = days_of(values) * TAGS * PER_DAY
    header("PI Web API, recorded values", total)
    with server("pi", str(folder)) as (process, port):
        base_url = f"http://127.0.0.1:{port}/piwebapi"
        found: dict[str, dict[str, Any]] = {}
        used: dict[str, float] = {}
        for reader in readers:
            before = processor_seconds(process)
            found[reader] = run(reader, base_url, values)
            used[reader] = processor_seconds(process) - before
            assert reader == "floor" or found[reader]["count"] >= total, (reader, found[reader]["count"], total)
    found["floor"]["count"] = total
    ours = found["ours"]["cpu"] / found["ours"]["count"] * 1e6
    for reader, each in found.items():
        line(reader, each, ours, f"server {used[reader]:.1f} s of processor, idle {each['idle_mb']:.0f} MB")
    if not {"piwebx", "pi-web-sdk"} <= set(found):
        return
    best = min(found[reader]["cpu"] / found[reader]["count"] * 1e6 for reader in ("piwebx", "pi-web-sdk"))
    print(f"ours / best peer, processor: {ours / best:.3f} (wanted: at most 0.200)")
    walls = [found[reader]["wall"] for reader in ("piwebx", "pi-web-sdk")]
    print(
        f"ours / best peer, wall: {found['ours']['wall'] / min(walls):.3f}; ours / floor, wall: "
        f"{found['ours']['wall'] / found['floor']['wall']:.2f}"
    )
    print(f"peak memory of ours: {found['ours']['peak_mb']:.0f} MB (wanted: below 300 for 10 million)")


def bench_oracle(rows: int, folder: Path) -> None:
    """Energy Components over Oracle: ours, fetchall, the floor. Processor seconds are the client's alone."""
    write_view(folder, rows)
    header("Energy Components over Oracle, rows", rows)
    with server("oracle", str(folder)) as (_, port):
        ours = run("oracle ours", str(port), rows)
        theirs = run("oracle fetchall", str(port), rows)
    assert ours["count"] == theirs["count"] == rows, (ours, theirs)
    # About what a row takes on the wire; the floor is small beside either.
    with server("bytes", str(60 * rows)) as (_, port):
        floor = run("oracle floor", str(port), rows)
    base = ours["cpu"] / rows * 1e6
    line("ours (Arrow, cast, keyed)", ours, base)
    line("cursor.fetchall to frame", theirs, base)
    line("floor (60 bytes a row)", floor, base)
    print(f"ours / fetchall, processor: {ours['cpu'] / theirs['cpu']:.3f} (wanted: at most 0.333)")


def main() -> None:
    """Parse and run; the other modes are for the processes that this one starts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--values", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--alone", action="store_true", help="PI only, without the peers: for many values")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        kind, argument = chosen.serve
        servers: dict[str, Callable[[], None]] = {
            "pi": lambda: serve_pi(Path(argument)),
            "oracle": lambda: serve_oracle(Path(argument)),
            "bytes": lambda: serve_bytes(int(argument)),
        }
        servers[kind]()
    elif chosen.read:
        reader, address, count = chosen.read
        print(json.dumps(READERS[reader](int(address) if address.isdecimal() else address, int(count))))
    else:
        with tempfile.TemporaryDirectory(prefix="ingest-") as folder:
            for name in ("pi", "ec"):
                (Path(folder) / name).mkdir()
            bench_pi(chosen.values, Path(folder) / "pi", [*PI_READERS[:2], *([] if chosen.alone else PI_READERS[2:])])
            if not chosen.alone:
                bench_oracle(chosen.rows, Path(folder) / "ec")


if __name__ == "__main__":
    main()
