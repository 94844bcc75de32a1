"""Clients of older DuckDB: what the file's header says, and DuckDB 1.4.4 itself in an environment of its own."""

import json
import struct
import subprocess
import sys
import venv
from pathlib import Path

import duckdb
import pytest

from tests.unit.warehouse.frames import publish_tiny
from warehouse.build_database import STORAGE_VERSION
from warehouse.release import release_path

CLIENT = "1.4.4"
# Storage version that DuckDB 1.4.0 writes and reads; 1.5 writes 68.
STORAGE_NUMBER = 67
QUESTIONS = """
SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1
SELECT count(*), sum(production_volume), max(production_date)::VARCHAR FROM production_daily
SELECT node_id, network, deferment FROM production_daily WHERE node_level = 'system' ORDER BY ALL
SELECT sum(volume) FROM gap_driver_daily WHERE event_id <> 'unattributed'
SELECT terminal_id, gross_stock, endurance FROM terminal_daily ORDER BY ALL
SELECT title, epoch(started_at_utc) FROM event ORDER BY ALL
SELECT comment FROM duckdb_columns() WHERE table_name = 'terminal_daily' AND column_name = 'gross_stock'
SELECT release_id, operator, is_synthetic FROM release_info
""".strip().splitlines()
ASK = """
import json, sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
answers = [connection.execute(question).fetchall() for question in json.load(sys.stdin)]
print(json.dumps([duckdb.__version__, answers]))
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a release."""
    folder = tmp_path_factory.mktemp("clients")
    publish_tiny(folder)
    return release_path(folder)


def test_file_when_published_then_its_header_says_the_storage_version_of_the_oldest_client(release: Path) -> None:
    # Main header of a DuckDB file: checksum (8 bytes), "DUCK", version number (64 bits, little endian).
    _, magic, number = struct.unpack("<8s4sQ", release.read_bytes()[:20])
    assert (magic, number) == (b"DUCK", STORAGE_NUMBER)
    assert STORAGE_VERSION == "v1.4.0"


# Slow for its network: it asks the package index for the client.
@pytest.mark.slow
def test_file_when_opened_by_the_oldest_client_then_it_answers_as_the_newest(release: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "client", with_pip=False)
    python = tmp_path / "client" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    install += ["--retries", "0", "--timeout", "20", f"duckdb=={CLIENT}"]
    try:
        done = subprocess.run(install, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f"duckdb {CLIENT} could not be installed within two minutes")
    if done.returncode != 0:
        pytest.skip(f"duckdb {CLIENT} cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    asked = subprocess.run(
        [python, "-c", ASK, release], input=json.dumps(QUESTIONS), capture_output=True, text=True, timeout=60
    )
    assert asked.returncode == 0, asked.stderr
    version, answers = json.loads(asked.stdout)
    assert version == CLIENT
    with duckdb.connect(release, read_only=True) as connection:
        ours = [connection.execute(question).fetchall() for question in QUESTIONS]
    assert answers == json.loads(json.dumps(ours))
    assert len(answers[0]) >= 18 and answers[1][0][0] > 0
