"""A tiny warehouse built once a session; each test gets its own copy."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.warehouse.frames import publish_tiny
from warehouse.queries import QueryBook
from warehouse.reader import ReleaseReader
from warehouse.release import newest_release

NODES = """-- consumer: tests
-- parameters: $nodes VARCHAR[] (empty = every node)
SELECT node_id, network, production_date, production, observed_at_utc
FROM production_daily
WHERE len($nodes) = 0 OR list_contains($nodes, node_id)
ORDER BY production_date, node_id, network
"""
RELEASE = """-- consumer: tests
SELECT release_id, (SELECT count(*) FROM production_daily) AS rows FROM release_info
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's warehouse with one release: read it only."""
    warehouse_dir = tmp_path_factory.mktemp("tiny")
    publish_tiny(warehouse_dir)
    return warehouse_dir


@pytest.fixture
def warehouse(tiny: Path, tmp_path: Path) -> Path:
    """A warehouse of one's own with one release in force."""
    return Path(shutil.copytree(tiny, tmp_path / "warehouse"))


@pytest.fixture(scope="session")
def tiny_three(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's warehouse with three releases, built a day apart; the newest is in force. Read it only."""
    warehouse_dir = tmp_path_factory.mktemp("three") / "warehouse"
    shutil.copytree(tiny, warehouse_dir)
    first = newest_release(warehouse_dir)
    assert first is not None
    for n, days in enumerate((6, 7), start=1):
        publish_tiny(warehouse_dir, days=days, built_at=first.built_at_utc + timedelta(days=n))
    return warehouse_dir


@pytest.fixture
def book(tmp_path: Path) -> QueryBook:
    """Two queries: `nodes` with a list parameter, `which` without any."""
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "nodes.sql").write_text(NODES)
    (folder / "which.sql").write_text(RELEASE)
    return QueryBook(folder)


@pytest.fixture
def reader(warehouse: Path, book: QueryBook) -> Iterator[ReleaseReader]:
    """A reader on the warehouse, its release loaded."""
    with ReleaseReader(warehouse, book=book, retry_seconds=0.0) as reader:
        assert reader.refresh(), reader.fault
        yield reader
