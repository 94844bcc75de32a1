"""The tiny operator, published once, and the application over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny

ORIGIN = "https://spa.example"


@pytest.fixture(scope="session")
def tiny_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with one release of 40 production days, the latest 2026-11-21."""
    directory = tmp_path_factory.mktemp("warehouse")
    publish_tiny(directory, days=40)
    return directory


@pytest.fixture(scope="session")
def api(tiny_warehouse: Path) -> Iterator[Api]:
    """The application over it; no test may change its state."""
    with Api(Settings(warehouse_dir=tiny_warehouse, cors_allowed_origins=(ORIGIN,))) as running:
        yield running
