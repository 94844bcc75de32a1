"""Notebooks run headless against a published release, and their charts have data."""

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import polars as pl
import pytest

from tests.integration.conftest import Loaded

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
HUB_COUNT = 5


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, NOTEBOOKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def notebook(sandbox: Loaded, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("WAREHOUSE_DIR", str(sandbox.workspace.warehouse_dir))
    return _module("hub_trends_and_gap_drivers")


def _run(notebook: ModuleType, **definitions: Any) -> Any:
    """What the cells define; `definitions` stand in for what a reader would choose."""
    _, found = notebook.app.run(defs=definitions)
    found["connection"].close()
    return found


def _values(chart: Any) -> list[dict[str, Any]]:
    return list(chart.to_dict()["data"]["values"])


def test_notebooks_when_listed_then_every_one_is_tested_here() -> None:
    assert sorted(p.stem for p in NOTEBOOKS.glob("*.py")) == ["hub_trends_and_gap_drivers"]


def test_notebook_when_it_runs_then_its_charts_hold_every_hub_and_driver(notebook: ModuleType) -> None:
    found = _run(notebook)

    trend = pl.DataFrame(_values(found["trend_chart"]))
    assert trend["hub"].n_unique() == HUB_COUNT
    assert set(trend["quantity"]) == {"production", "potential", "business target"}
    assert trend.filter(quantity="production")["rate"].drop_nulls().len() == HUB_COUNT * 30
    drivers = _values(found["driver_chart"])
    assert "unattributed" in {row["choke"] for row in drivers}
    assert any(row["volume"] > 0 for row in drivers if row["choke"] != "unattributed")


def test_notebook_when_it_runs_then_its_numbers_are_those_of_the_release(notebook: ModuleType, sandbox: Loaded) -> None:
    found = _run(notebook)

    expected = sandbox.sql(
        """
        SELECT sum(deferment_volume) AS deferment FROM production_daily
        WHERE node_level = 'facility' AND counts_in_roll_up AND network = 'oil'
          AND production_date > (SELECT latest_production_date FROM release_info) - 30
        """
    )["deferment"].item()
    closure = found["closure"].row(0, named=True)
    assert closure["deferment"] == pytest.approx(expected, rel=1e-9)
    assert closure["drivers_and_unattributed"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("network", ["domesticGas", "exportGas", "flaredGas"])
def test_notebook_when_another_network_is_chosen_then_it_runs_and_names_its_unit(
    notebook: ModuleType, network: str
) -> None:
    found = _run(notebook, network=SimpleNamespace(value=network), window=SimpleNamespace(value=7))

    chart = found["trend_chart"].to_dict()
    assert chart["encoding"]["y"]["title"] == "scf/d"
    assert {row["production_date"] for row in _values(found["trend_chart"])} == {
        f"{day}" for day in found["daily"]["production_date"]
    }
    # Flared gas has no drivers, which the notebook says in words.
    assert found["drivers"].is_empty() == (network == "flaredGas")


def test_notebook_when_nothing_was_published_then_it_says_so(
    notebook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAREHOUSE_DIR", str(tmp_path))
    with pytest.raises(Exception, match="nothing was published"):
        notebook.app.run()
