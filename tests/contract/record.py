"""Writes what is recorded of the API: `openapi` the released document, `examples` one body an operation from a release.

`python -m tests.contract.record openapi|examples [WAREHOUSE_DIR]`. The examples are of the sandbox: fiction, and whole.
"""

import json
import sys
from pathlib import Path
from typing import Any

from api.app import create_app
from api.openapi import document
from api.settings import Settings
from tests.contract.openapi_changes import breaking_changes
from tests.unit.api.client import Api

ROOT = Path(__file__).resolve().parents[2]
RELEASED = ROOT / "docs" / "openapi-v1.json"
EXAMPLES = ROOT / "api" / "examples"
# What is asked beside the identifiers in the path; everything else is asked as it stands.
QUERIES = {
    "listGapDrivers": "?facilityIds=fs-bomiri&network=oil",
    "getHubPerformance": "?window=7d",
    "listChanges": "?limit=3",
    "listEvents": "?limit=3",
    "explainNumber": "?path=/summary%23/networks/oil/deferment",
    "getReconciliation": "?network=oil",
}
IDENTIFIERS = {"terminalId": "tm-kuloma", "hubId": "hub-bomiri", "facilityId": "fs-bomiri", "id": "fs-bomiri"}
# Bodies that are long lists of the same: a few rows of them tell it all.
SHORTENED = {"getDataDictionary": 6, "listDataDictionary": 6}


def write_openapi(folder: Path) -> int:
    """Writes the document; 1 where it breaks clients of the one written before."""
    new: dict[str, Any] = json.loads(json.dumps(document(create_app(Settings(warehouse_dir=folder)).app)))
    if RELEASED.exists():
        breaks = breaking_changes(json.loads(RELEASED.read_text("utf-8")), new)
        for change in breaks:
            sys.stderr.write(f"breaks clients: {change}\n")
        if breaks:
            return 1
    for item in new["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                for content in response.get("content", {}).values():
                    content.pop("example", None)
    RELEASED.write_text(json.dumps(new, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
    return 0


def addresses(openapi: dict[str, Any], release_id: str) -> dict[str, str]:
    """The address that is asked for each operation that answers with JSON."""
    found: dict[str, str] = {}
    for path, item in openapi["paths"].items():
        operation = item.get("get")
        if operation is None or "application/json" not in operation["responses"]["200"]["content"]:
            continue
        for name, identifier in {**IDENTIFIERS, "releaseId": release_id}.items():
            path = path.replace("{" + name + "}", identifier)
        if "{" not in path:
            found[operation["operationId"]] = path + QUERIES.get(operation["operationId"], "")
    return found


def write_examples(folder: Path) -> int:
    """Writes a body for each operation, and a problem."""
    EXAMPLES.mkdir(exist_ok=True)
    with Api(Settings(warehouse_dir=folder)) as api:
        release_id = api.body("/readyz")["dataVersion"]
        for operation, address in addresses(api.body("/api/v1/openapi.json"), release_id).items():
            body = _shortened(api.body(address), SHORTENED.get(operation))
            _write(operation, body)
        _write("problem", api.get("/api/v1/summary?window=1d").json())
    return 0


def _shortened(body: Any, rows: int | None) -> Any:
    if rows is None:
        return body
    if isinstance(body, list):
        return body[:rows]
    return {name: value[:rows] if isinstance(value, list) else value for name, value in body.items()}


def _write(name: str, body: Any) -> None:
    (EXAMPLES / f"{name}.json").write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    warehouse = Path(rest[0] if rest else "var/warehouse")
    sys.exit({"openapi": write_openapi, "examples": write_examples}[what](warehouse))
