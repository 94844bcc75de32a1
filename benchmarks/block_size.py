"""What a release file costs at different block sizes: bytes written, seconds to build, and queries on a large table.

Run: make bench-blocks, or python -m benchmarks.block_size [--rows N] [--rounds N].
The small file is the tests' tiny operator, built as any release; the large one is a table of N daily rows in storage order.
Sizes take turns in every round, so that what others on the machine do falls on all alike; medians over the rounds. No bar.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import duckdb

import warehouse.build_database
from tests.integration.releases_marked import marked_request, marked_tables
from warehouse.build_publish import build_and_publish
from warehouse.release import release_path

SIZES = (16_384, 65_536, 262_144)
LARGE = """
CREATE TABLE candidate.production AS
SELECT DATE '2016-01-01' + (i // 2000)::INTEGER AS production_date, 'node-' || (i % 500) AS node_id,
  ['oil', 'domesticGas', 'exportGas', 'flaredGas'][1 + (i // 500) % 4] AS network, random() * 1e5 AS potential,
  random() * 1e5 AS production, CASE WHEN random() < 0.1 THEN NULL ELSE random() * 1e4 END AS deferment, 'good' AS quality
FROM range({rows}) AS r(i)
"""
QUERIES = {
    "one day, ms": "SELECT node_id, potential, production FROM candidate.production "
    "WHERE production_date = DATE '2016-01-01' + {half} AND network = 'oil'",
    "a node's 90 days, ms": "SELECT production_date, production FROM candidate.production "
    "WHERE node_id = 'node-77' AND network = 'oil' AND production_date BETWEEN DATE '2016-01-01' + {half} - 90 "
    "AND DATE '2016-01-01' + {half}",
    "sums of all rows, ms": "SELECT network, sum(production), sum(deferment) FROM candidate.production GROUP BY ALL",
}
Figures = dict[str, float]


def written() -> int:
    """Bytes that this process had written to disk so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def small(warehouse_dir: Path, n: int, size: int) -> Figures:
    """A whole publish of the tiny operator."""
    warehouse.build_database.BLOCK_BYTES = size
    tables = marked_tables(n)
    begun, before = time.perf_counter(), written()
    result = build_and_publish(warehouse_dir, tables, info=marked_request(tables))
    assert result.release_id is not None
    return {
        "small release, MB": release_path(warehouse_dir, result.release_id).stat().st_size / 1e6,
        "its publish writes, MB": (written() - before) / 1e6,
        "its publish, ms": (time.perf_counter() - begun) * 1e3,
    }


def large(folder: Path, rows: int, size: int) -> Figures:
    """A table of many rows: written, opened anew and asked."""
    path = folder / f"large-{size}.duckdb"
    path.unlink(missing_ok=True)
    begun = time.perf_counter()
    with duckdb.connect() as connection:
        version = warehouse.build_database.STORAGE_VERSION
        connection.execute(f"ATTACH '{path}' AS candidate (STORAGE_VERSION '{version}', BLOCK_SIZE {size})")
        connection.execute(LARGE.format(rows=rows))
        connection.execute("CHECKPOINT candidate")
        connection.execute("DETACH candidate")
    figures = {"large table, MB": path.stat().st_size / 1e6, "its writing, ms": (time.perf_counter() - begun) * 1e3}
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS candidate (READ_ONLY)")
        for name, query in QUERIES.items():
            text, taken = query.format(half=rows // 4000), []
            for _ in range(5):
                begun = time.perf_counter()
                connection.execute(text).fetchall()
                taken.append(time.perf_counter() - begun)
            figures[name] = statistics.median(taken) * 1e3
    return figures


def main() -> None:
    """Prints a table: a line for each figure, a column for each block size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=7_300_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in range(arguments.rounds):
            for size in SIZES:
                figures = small(folder / f"warehouse-{size}", n, size) | large(folder, arguments.rows, size)
                for figure, value in figures.items():
                    found[figure][size].append(value)
    print(f"{'block size':26}" + "".join(f"{size:>12,}" for size in SIZES))
    for figure, values in found.items():
        print(f"{figure:26}" + "".join(f"{statistics.median(values[size]):12.1f}" for size in SIZES))


if __name__ == "__main__":
    main()
