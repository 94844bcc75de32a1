"""PI recorded values: an archive, the simulated PI Web API over it, and those who read it side by side.

Peers get their most favourable terms: pages of the size that suits them, only the fields that are read, and their
values are only counted, while ours end in a typed frame in order, one row an instant.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.ingest_process import Found, Meter, announce

CONCURRENCY = 4
TAGS = 232
INTERVAL = timedelta(seconds=20)
PER_DAY = int(timedelta(days=1) / INTERVAL)
START = datetime(2026, 10, 1, 5, tzinfo=UTC)
TIMEOUT = 600.0
# The largest answers that stay within MaxReturnedItemsPerCall, for the peer that is told what to ask.
SET, PART = 58, timedelta(hours=6)
MOST_ITEMS = 150_000
WARM_UP = timedelta(minutes=30)


def write_archive(folder: Path, values: int) -> None:
    """An archive of at least `values` samples: whole days of 232 tags, a value in 20 s; one in a thousand is a state."""
    import numpy as np
    import polars as pl

    (folder / "values").mkdir(parents=True)
    pl.DataFrame({"Name": names(), "Id": range(1, TAGS + 1), "PointType": ["Float32"] * TAGS}).write_csv(
        folder / "points.csv"
    )
    random = np.random.default_rng(20261122)
    for number, (start, end) in enumerate(days(values)):
        noise = random.normal(500.0, 40.0, TAGS * PER_DAY).astype(np.float32).astype(np.float64)
        states = random.random(TAGS * PER_DAY) < 0.001
        at = pl.datetime_range(start, end, INTERVAL, closed="left", time_unit="us", eager=True)
        pl.DataFrame(
            {
                "Name": pl.Series(names()).gather(np.repeat(np.arange(TAGS), PER_DAY)),
                "Timestamp": pl.concat([at] * TAGS),
                "Value": pl.Series(noise).set(pl.Series(states), None),
                "State": pl.Series(np.where(states, 246, 0)).replace(0, None).cast(pl.Int16),
            }
        ).write_parquet(folder / "values" / f"{number:03d}.parquet")


def total(values: int) -> int:
    """How many values the archive holds that holds at least so many."""
    return len(list(days(values))) * TAGS * PER_DAY


def days(values: int) -> Iterator[tuple[datetime, datetime]]:
    """The archive's days, which every reader asks one after the other, as the pipeline does."""
    for day in range(max(1, -(-values // (TAGS * PER_DAY)))):
        yield START + timedelta(days=day), START + timedelta(days=day + 1)


def names() -> list[str]:
    """The archive's tags."""
    return [f"FIELD.{tag:04d}.PV" for tag in range(TAGS)]


def serve(folder: Path) -> None:
    """The simulated PI Web API over the archive."""
    from pipelines.simulators.pi_web_api import PiAccess, PiWebApi
    from pipelines.simulators.pi_web_api_context import PiLimits
    from pipelines.simulators.replay_pi import PiReplay
    from pipelines.simulators.server import LocalServer
    from pipelines.simulators.server_clock import Clock

    # Its default count is raised so that piwebx, which never sends one, may ask for pages of its own best size.
    limits = PiLimits(default_max_count=MOST_ITEMS)
    clock = Clock(START + timedelta(days=3650))
    system = PiWebApi(PiReplay(folder), PiAccess(method="Anonymous"), clock=clock, limits=limits)
    with LocalServer(system) as server:
        announce([server.port])


def read_ours(base_url: str, values: int, _: Path) -> Found:
    """This project's client, to a frame a day: sorted by tag and instant, each instant once."""
    from pipelines.sources.config import PiConfig
    from pipelines.sources.pi_web_api import PiClient

    tags = {name: number for number, name in enumerate(names())}
    with PiClient(PiConfig(base_url=base_url, max_in_flight=CONCURRENCY, timeout_seconds=TIMEOUT)) as client:
        client.recorded(tags, START, START + WARM_UP)
        meter = Meter()
        rows = received = 0
        for start, end in days(values):
            extract = client.recorded(tags, start, end)
            rows += int((extract.frame["observed_at_utc"] >= start).sum())
            received += extract.bytes
            # The day is handed on before the next one is read.
            del extract
        return meter.found(rows, received)


async def piwebx_rows(client: Any, web_ids: list[str], start: datetime, end: datetime) -> AsyncIterator[Any]:
    """What piwebx's documentation does: rows of (instant, value of each stream), both ends included."""
    import piwebx

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
    async for row in rows:
        yield row


async def with_piwebx(base_url: str, work: Callable[[Any, list[str]], Any]) -> Any:
    """What `work` gives for a client and the archive's WebIds."""
    import httpx
    import piwebx

    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=TIMEOUT, trust_env=False) as client:
        found, absent = await piwebx.find_points_web_id(client, names())
        assert not absent
        return await work(client, [web_id for _, web_id in found])


def read_piwebx(base_url: str, values: int, _: Path) -> Found:
    """piwebx, its values counted as they come."""

    async def work(client: Any, web_ids: list[str]) -> Found:
        async for _ in piwebx_rows(client, web_ids, START, START + WARM_UP):
            pass
        meter = Meter()
        count = 0
        for start, end in days(values):
            async for at, row in piwebx_rows(client, web_ids, start, end):
                count += len(row) if at < end else 0
        return meter.found(count)

    found: Found = asyncio.run(with_piwebx(base_url, work))
    return found


def sdk_client(base_url: str) -> tuple[Any, list[str]]:
    """A client of pi-web-sdk, and the archive's WebIds."""
    import pi_web_sdk
    from pi_web_sdk.config import PIWebAPIConfig

    client = pi_web_sdk.PIWebAPIClient(PIWebAPIConfig(base_url=base_url, timeout=int(TIMEOUT)))
    server = client.data_server.get_default()["WebId"]
    ids = {each["Name"]: each["WebId"] for each in client.data_server.get_points(server)["Items"]}
    return client, [ids[name] for name in names()]


def sdk_streams(client: Any, web_ids: list[str], start: datetime, end: datetime) -> list[dict[str, Any]]:
    """What pi-web-sdk's documentation does: one streamset, of the fields that are read, before `end`."""
    fields = "Items.WebId;Items.Items.Timestamp;Items.Items.Value;Items.Items.Good;Items.Items.Questionable"
    last = end - timedelta(microseconds=1)
    answer = client.streamset.get_recorded(web_ids, start, last, max_count=MOST_ITEMS, selected_fields=fields)
    streams: list[dict[str, Any]] = answer["Items"]
    return streams


def read_pi_web_sdk(base_url: str, values: int, _: Path) -> Found:
    """pi-web-sdk, streamsets of 58 tags and quarters of a day, its items counted."""
    client, web_ids = sdk_client(base_url)
    sets = [web_ids[place : place + SET] for place in range(0, TAGS, SET)]

    def read(question: tuple[list[str], datetime]) -> int:
        return sum(len(stream["Items"]) for stream in sdk_streams(client, *question, question[1] + PART))

    sdk_streams(client, sets[0], START, START + WARM_UP)
    meter = Meter()
    count = 0
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        for start, end in days(values):
            parts = [start + PART * part for part in range((end - start) // PART)]
            count += sum(pool.map(read, [(each, part) for part in parts for each in sets]))
    return meter.found(count)


def keep_questions(base_url: str, folder: Path) -> None:
    """Keep what has been asked for recorded values since the log was emptied, for the floor to ask again."""
    import httpx

    log = f"{base_url.rsplit('/', 1)[0]}/__simulator/requests"
    with httpx.Client(trust_env=False, timeout=TIMEOUT) as client:
        asked = client.get(log).json()["requests"]
        client.delete(log).raise_for_status()
    targets = [target for _, target, status in asked if status == 200 and "/streamsets/recorded?" in target]
    # The first ones were the warm-up's.
    begun = next(
        place for place, target in enumerate(targets) if f"endTime={START + WARM_UP:%Y-%m-%dT%H:%M}" not in target
    )
    (folder / "questions.json").write_text(json.dumps(targets[begun:]))


def read_floor(base_url: str, values: int, folder: Path) -> Found:
    """The answers that this project's client got, received again and thrown away as they came."""
    return _floor(base_url, values, folder, len)


def read_unpacked(base_url: str, values: int, folder: Path) -> Found:
    """The answers that this project's client got, received again, unpacked and thrown away."""
    return _floor(base_url, values, folder, lambda packed: len(zlib.decompress(packed, 31)))


def _floor(base_url: str, values: int, folder: Path, use: Callable[[bytes], int]) -> Found:
    import httpx

    origin = base_url.rsplit("/", 1)[0]
    targets = json.loads((folder / "questions.json").read_text())
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    with httpx.Client(limits=limits, timeout=TIMEOUT, trust_env=False) as client:

        def read(target: str) -> int:
            with client.stream("GET", origin + target) as answer:
                packed = b"".join(answer.iter_raw())
            use(packed)
            return len(packed)

        client.get(f"{base_url}/dataservers")
        meter = Meter()
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            received = sum(pool.map(read, targets))
        return meter.found(total(values), received)


READERS: dict[str, Callable[[str, int, Path], Found]] = {
    "ours": read_ours,
    "piwebx": read_piwebx,
    "pi-web-sdk": read_pi_web_sdk,
    "floor, received": read_floor,
    "floor, unpacked": read_unpacked,
}
