"""What the API's process carries."""

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = (
    *("dagster", "polars", "pandas", "pyarrow", "dataframely", "numpy", "httpx", "jwt", "cryptography"),
    *("warehouse.catalog", "pipelines"),
)


def test_import_of_the_application_then_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    script = "import json, sys, api.asgi; print(json.dumps(sorted(sys.modules)))"
    environment = {"PATH": os.environ["PATH"], "WAREHOUSE_DIR": str(tmp_path)}
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "litestar" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []
