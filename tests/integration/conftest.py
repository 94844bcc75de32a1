"""One sandbox run for all integration tests: real servers, the whole pipeline, one release."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines import settings
from pipelines.bootstrap import bootstrap
from pipelines.settings import Settings
from pipelines.simulators.launch import Running, start_simulators
from pipelines.stages.workspace import Workspace, open_workspace
from warehouse.release import release_path

HISTORY_DAYS = 200
PI_DAYS = 5


@dataclass(frozen=True)
class Loaded:
    """An operator loaded from its running source systems."""

    running: Running
    settings: Settings
    workspace: Workspace
    release_id: str
    progress: list[str]

    def sql(self, query: str) -> pl.DataFrame:
        """Rows of the current release."""
        with duckdb.connect(str(release_path(self.workspace.warehouse_dir)), read_only=True) as connection:
            connection.execute("SET GLOBAL TimeZone='UTC'")
            return connection.sql(query).pl()

    def truth(self, name: str) -> pl.DataFrame:
        """A table of the injected truth."""
        return pl.read_parquet(self.running.data_folder / "truth" / f"{name}.parquet")


def load(operator: str, root: Path, *, history_days: int = HISTORY_DAYS, pi_days: int = PI_DAYS) -> Iterator[Loaded]:
    """Start the operator's systems, run the pipeline, give what came of it, stop the systems."""
    progress: list[str] = []
    with start_simulators(operator, data_root=root / "data", history_days=history_days, pi_days=pi_days) as running:
        environment = running.environment() | {
            "OPERATOR": operator,
            "LAKE_URL": str(root / "lake"),
            "WAREHOUSE_DIR": str(root / "warehouse"),
            "HISTORY_DAYS": str(history_days),
            "PI_DAYS": str(pi_days),
        }
        loaded = settings.load(environment)
        workspace = open_workspace(loaded, report=progress.append, is_bootstrap=True)
        release_id = bootstrap(workspace, loaded)
        yield Loaded(running, loaded, workspace, release_id, progress)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The sandbox operator, loaded once a session."""
    yield from load("sandbox", tmp_path_factory.mktemp("sandbox"))
