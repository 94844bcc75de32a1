"""What the documents show is what the product answers: endpoints, excerpts, the SQL example, file and column names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from litestar.testing import TestClient

from api.app import create_app
from api.settings import Settings
from pipelines import site_tables
from tests.integration.conftest import Loaded
from warehouse.catalog.tables import TABLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATOR_FOLDER = (ROOT / "docs" / "operator-folder.md").read_text(encoding="utf-8")
# A curl with its address, and the JSON excerpt that follows it.
EXAMPLES = re.findall(r"curl -s '?(http://\S+?)'? \\\n.*?\n```\n```json\n(.*?)\n```", README, re.DOTALL)


@pytest.fixture(scope="module")
def client(sandbox: Loaded) -> Iterator[TestClient[Any]]:
    settings = Settings(warehouse_dir=sandbox.workspace.warehouse_dir)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        yield client


def _faults(shown: Any, answer: Any, place: str = "$") -> list[str]:
    """Where `shown` is no excerpt of `answer`: a missing key, another kind of value, a list item that fits no item."""
    if isinstance(shown, dict) and isinstance(answer, dict):
        missing = [f"{place}.{key} is not answered" for key in shown if key not in answer]
        return missing + [
            fault for key in shown if key in answer for fault in _faults(shown[key], answer[key], f"{place}.{key}")
        ]
    if isinstance(shown, list) and isinstance(answer, list):
        return [
            f"{place}[{index}] fits no item"
            for index, item in enumerate(shown)
            if not any(not _faults(item, other, place) for other in answer)
        ]
    kinds = {int: float}
    same = kinds.get(type(shown), type(shown)) is kinds.get(type(answer), type(answer))
    return [] if same or shown is None or answer is None else [f"{place} is {answer!r}, not of the kind of {shown!r}"]


def _numbers(shown: Any, answer: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of shown and answered leaves; items of lists in order."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            yield from _numbers(value, answer[key])
    elif isinstance(shown, list):
        for mine, other in zip(shown, answer, strict=True):
            yield from _numbers(mine, other)
    else:
        yield shown, answer


def test_readme_when_read_then_every_endpoint_is_named(client: TestClient[Any]) -> None:
    paths = [p for p in client.get("/api/v1/openapi.json").json()["paths"] if p.startswith("/api/v1/")]
    assert len(paths) >= 6
    assert [path for path in paths if not re.search(re.escape(path.removeprefix("/api/v1")) + r"[`?]", README)] == []


def test_readme_when_read_then_the_six_first_endpoints_have_examples() -> None:
    shown = " ".join(urlsplit(url).path for url, _ in EXAMPLES)
    wanted = ("/summary", "/assets", "/gap-drivers", "/production-flow", "/operations", "/performance")
    assert [path for path in wanted if path not in shown] == []


@pytest.mark.parametrize(("url", "excerpt"), EXAMPLES, ids=[urlsplit(url).path for url, _ in EXAMPLES])
def test_readme_when_an_example_is_asked_then_the_answer_holds_the_excerpt(
    client: TestClient[Any], url: str, excerpt: str
) -> None:
    parts = urlsplit(url)
    shown = json.loads(excerpt)
    response = client.get(f"{parts.path}?{parts.query}")
    assert response.status_code == (shown["status"] if "code" in shown else 200)
    assert _faults(shown, response.json()) == []


def test_readme_when_the_worked_case_is_asked_then_its_numbers_are_the_ones_shown(client: TestClient[Any]) -> None:
    url, excerpt = next(example for example in EXAMPLES if "gap-drivers" in example[0])
    parts = urlsplit(url)
    answer = client.get(f"{parts.path}?{parts.query}").json()
    pairs = list(_numbers(json.loads(excerpt), answer))
    assert len(pairs) > 15
    for shown, answered in pairs:
        expected = pytest.approx(shown, rel=1e-6, abs=1e-6) if isinstance(shown, float | int) else shown
        assert answered == expected


def test_readme_when_its_query_runs_then_the_table_is_the_one_shown(sandbox: Loaded) -> None:
    query, table = re.search(r"```sql\n(.*?)\n```\n```\n(.*?)\n```", README, re.DOTALL).groups()  # type: ignore[union-attr]
    shown = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if line.startswith("│")
    ]
    rows = sandbox.sql(query)
    assert shown[0] == rows.columns
    assert shown[2:] == [["NULL" if value is None else str(value) for value in row] for row in rows.iter_rows()]


def test_readme_when_views_are_named_then_the_release_has_them_and_no_other(sandbox: Loaded) -> None:
    table = README.split("| view | one row is |")[1].split("\n\n")[0]
    named = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    views = set(
        sandbox.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'")["view_name"]
    )
    assert sorted(named - views) == []
    # The table is a choice; `dictionary` has the rest.
    assert {"dictionary", "production_daily", "gap_driver_daily"} <= named


def test_operator_folder_when_read_then_every_file_and_column_stands_in_it() -> None:
    specs = [spec for spec in vars(site_tables).values() if isinstance(spec, site_tables.FileSpec)]
    assert len(specs) == 11
    missing = []
    for spec in specs:
        line = next((line for line in OPERATOR_FOLDER.splitlines() if f"`{spec.name}`" in line), "")
        assert ("(optional)" in line) == spec.optional, f"{spec.name}: optional or not"
        for field in spec.fields:
            bold = f"**{field.name}**" in line
            if not re.search(rf"\b{field.name}\b", line) or bold != field.required:
                missing.append(f"{spec.name}: {field.name}")
    assert missing == []


@pytest.mark.parametrize(
    ("source", "heading"), [("energy_components", "energy_components.toml"), ("sharepoint", "sharepoint.toml")]
)
def test_operator_folder_when_read_then_every_canonical_column_stands_in_it(source: str, heading: str) -> None:
    section = OPERATOR_FOLDER.split(f"## {heading}")[1].split("\n## ")[0]
    ours = {"production_date", "item_id", "row_id", "rule", "reason", "raw", "dataset"}
    missing = []
    for name, table in TABLES.items():
        if not name.startswith(f"raw_{source}__") or name.endswith("rejected_row"):
            continue
        dataset = name.split("__")[1]
        line = next((line for line in section.splitlines() if line.startswith(f"| `{dataset}` |")), "")
        missing += [
            f"{dataset}.{column}"
            for column in table.schema.columns()
            if column not in ours and not re.search(rf"\b{column}\b", line)
        ]
    assert missing == []
