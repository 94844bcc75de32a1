"""What reading a source costs the client: processor seconds a million values or rows, beside other clients and the floor.

Run: make bench-ingest, or python -m benchmarks.ingest [--values N] [--rows N] [--rounds N] [--memory-values N].
Every reader has a process of its own and the same concurrency; of several rounds the cheapest counts, since what others
on the machine disturb is only ever more. The floor receives the same bytes and decodes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import ingest_oracle, ingest_pi
from benchmarks.ingest_process import Found, best, processor_seconds, run, server, tell

# What is wanted of processor time beside the best peer, and of memory.
PI_BAR, ORACLE_BAR, MEMORY_BAR = 1 / 5, 1 / 3, 300.0
FLOORS = ("floor, received", "floor, unpacked")
PEERS = ("piwebx", "pi-web-sdk")


def header(what: str) -> None:
    """The table's head."""
    print(f"\n{what}")
    print(f"{'':26}{'wall s':>8}{'cpu s':>9}{'cpu s / M':>12}{'x ours':>9}{'peak MB':>9}")


def line(name: str, found: Found, ours: Found, more: str = "") -> None:
    """One row of the table."""
    ratio = found.per_million / ours.per_million
    print(
        f"{name:26}{found.wall:8.2f}{found.cpu:9.2f}{found.per_million:12.3f}{ratio:9.2f}{found.peak_mb:9.0f}  {more}"
    )


def verdict(what: str, value: float, bar: float, unit: str = "") -> bool:
    """Say whether a bar is passed."""
    passed = value <= bar
    print(f"{'PASS' if passed else 'MISSED':7} {what}: {value:.3f}{unit} (at most {bar:.3f}{unit})")
    return passed


def bench_pi(values: int, rounds: int, folder: Path) -> bool:
    """PI: ours, the two peers, the floors, and what the server itself used."""
    ingest_pi.write_archive(folder, values)
    total = ingest_pi.total(values)
    found: dict[str, list[Found]] = {reader: [] for reader in ingest_pi.READERS}
    served: dict[str, list[float]] = {reader: [] for reader in ingest_pi.READERS}
    with server("pi", str(folder)) as (process, [port]):
        base_url = f"http://127.0.0.1:{port}/piwebapi"
        # The floors ask again what ours asked, so they come after it.
        for reader in ("ours", *PEERS, *FLOORS) * rounds:
            before = processor_seconds(process)
            each = run(reader, base_url, values, str(folder))
            served[reader].append(processor_seconds(process) - before)
            if reader == "ours" and not found["ours"]:
                ingest_pi.keep_questions(base_url, folder)
            # piwebx carries values over gaps, so it may count more.
            if each.count < total:
                raise SystemExit(f"{reader} read {each.count} of {total} values")
            found[reader].append(each)
    least = {reader: best(each) for reader, each in found.items()}
    ours = least["ours"]
    header(f"PI Web API, {total:,} recorded values, {ingest_pi.CONCURRENCY} requests at a time, best of {rounds}")
    for reader, each in least.items():
        line(reader, each, ours, f"server {min(served[reader]):.1f} s of processor")
    floor = least["floor, unpacked"]
    print(
        f"wall: ours / best peer {ours.wall / min(least[peer].wall for peer in PEERS):.2f}, ours / floor "
        f"{ours.wall / floor.wall:.2f}; {ours.bytes / total:.1f} bytes a value on the wire"
    )
    return verdict(
        "PI, processor, ours / best peer", ours.per_million / min(least[peer].per_million for peer in PEERS), PI_BAR
    )


def bench_memory(values: int, folder: Path) -> bool:
    """PI: the most memory that ours holds over many days."""
    ingest_pi.write_archive(folder, values)
    with server("pi", str(folder)) as (_, [port]):
        found = run("ours", f"http://127.0.0.1:{port}/piwebapi", values, str(folder))
    if found.count < ingest_pi.total(values):
        raise SystemExit(f"ours read {found.count} of {ingest_pi.total(values)} values")
    header(f"PI Web API, {found.count:,} recorded values, ours alone ({found.idle_mb:.0f} MB before it reads)")
    line("ours", found, found)
    return verdict(f"PI, peak memory for {found.count:,} values", found.peak_mb, MEMORY_BAR, " MB")


def bench_oracle(rows: int, rounds: int, folder: Path) -> bool:
    """Energy Components over Oracle: ours, fetchall, the driver's own Arrow, the floor, all from recorded answers."""
    ingest_oracle.write_view(folder, rows)
    found: dict[str, list[Found]] = {reader: [] for reader in ingest_oracle.READERS}
    with server("oracle", str(folder), str(len(found))) as (_, ports):
        play, pour = (dict(zip(found, ports[place::3], strict=True)) for place in (1, 2))
        for reader, port in zip(found, ports[::3], strict=True):
            print(f"recording what the database answers to {reader} …", flush=True)
            run(f"oracle {reader}", port, rows, 1)
        for reader in tuple(found) * rounds:
            each = run(f"oracle {reader}", play[reader], rows, ingest_oracle.PASSES)
            if each.count != rows:
                raise SystemExit(f"{reader} read {each.count} of {rows} rows")
            found[reader].append(each)
        floor = best([run("oracle floor", pour["ours"], rows) for _ in range(rounds)])
    least = {reader: best(each) for reader, each in found.items()}
    ours = least["ours"]
    header(
        f"Energy Components over Oracle, {rows:,} rows of 7 columns, answers played from a recording, "
        f"best of {rounds * ingest_oracle.PASSES}"
    )
    for reader, each in least.items():
        line(reader, each, ours)
    line("floor, received", floor, ours, f"{floor.bytes / rows:.1f} bytes a row on the wire")
    arrow = least["driver's Arrow alone"].per_million
    print(f"ours / driver's Arrow {ours.per_million / arrow:.2f}; driver's Arrow / fetchall", end=" ")
    print(f"{arrow / least['fetchall'].per_million:.3f}")
    return verdict(
        "Oracle, processor, ours / cursor.fetchall() into a frame",
        ours.per_million / least["fetchall"].per_million,
        ORACLE_BAR,
    )


def main() -> None:
    """Parse and run; the other modes are for the processes that this one starts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--values", type=int, default=1_000_000)
    parser.add_argument("--memory-values", type=int, default=10_000_000, help="0: leave the memory out")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["pi", "memory", "oracle"])
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(*chosen.serve)
    elif chosen.read:
        tell(read(*chosen.read))
    else:
        parts: dict[str, Callable[[Path], bool]] = {
            "pi": lambda folder: bench_pi(chosen.values, chosen.rounds, folder),
            "memory": lambda folder: bench_memory(chosen.memory_values, folder),
            "oracle": lambda folder: bench_oracle(chosen.rows, chosen.rounds, folder),
        }
        for name, part in parts.items():
            if chosen.only in (None, name) and (name != "memory" or chosen.memory_values):
                with tempfile.TemporaryDirectory(prefix=f"ingest-{name}-") as folder:
                    part(Path(folder))


def serve(kind: str, argument: str, tapes: str = "0") -> None:
    """Be one of the servers."""
    if kind == "pi":
        ingest_pi.serve(Path(argument))
    else:
        ingest_oracle.serve(Path(argument), int(tapes))


def read(reader: str, address: str, count: str, more: str = "1") -> Found:
    """Be one of the readers."""
    if reader == "oracle floor":
        return ingest_oracle.read_bytes(int(address), int(count))
    if reader.startswith("oracle "):
        return ingest_oracle.read(reader.removeprefix("oracle "), int(address), int(count), int(more))
    return ingest_pi.READERS[reader](address, int(count), Path(more))


if __name__ == "__main__":
    main()
