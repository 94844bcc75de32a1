"""A tiny warehouse built once a session; each test gets its own copy."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.warehouse.frames import publish_tiny
from warehouse.queries import QueryBook
from warehouse.reader import ReleaseReader

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
