"""Builds the page of tests/browser/page on docs/frontend with the npm tools of tests/node: types, tsc --strict, Vite."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "tests" / "node" / "node_modules"
CHROMIUM = "/usr/bin/chromium"


def needed(part: str, is_there: bool) -> None:
    """Skips where a part is missing; fails where nothing that can be installed may be missing."""
    if is_there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{part} is missing: .ci/run installs it")
    pytest.skip(f"{part} is missing")


def node_tools() -> None:
    """Skips or fails where the npm tools are not installed."""
    needed("node", shutil.which("node") is not None)
    needed("tests/node/node_modules (npm ci in tests/node)", (MODULES / ".package-lock.json").exists())


def run(folder: Path, tool: str, *arguments: str, **environment: str) -> str:
    """Runs one of the npm tools in the folder; its output. Fails with what it said."""
    done = subprocess.run(
        [str(MODULES / ".bin" / tool), *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", "CI": "true", **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, f"{tool}: {done.stdout}{done.stderr}"
    return done.stdout


def prepared(folder: Path, openapi: dict[str, Any], asked: list[dict[str, Any]]) -> Path:
    """The page and the kit in one folder, with types made from the document."""
    shutil.copytree(ROOT / "tests" / "browser" / "page", folder, dirs_exist_ok=True)
    kit = folder / "kit"
    shutil.copytree(ROOT / "docs" / "frontend", kit)
    (folder / "tsconfig.json").write_text((kit / "tsconfig.json").read_text("utf-8"), "utf-8")
    (kit / "tsconfig.json").unlink()
    (folder / "node_modules").symlink_to(MODULES)
    (folder / "asked.json").write_text(json.dumps(asked), "utf-8")
    (kit / "openapi.json").write_text(json.dumps(openapi), "utf-8")
    run(folder, "openapi-typescript", "kit/openapi.json", "-o", "kit/api.d.ts")
    return folder


def built(folder: Path, **environment: str) -> Path:
    """The page as a browser gets it."""
    run(folder, "vite", "build", "--logLevel", "warn", **environment)
    shutil.copy(MODULES / "msw" / "lib" / "mockServiceWorker.js", folder / "dist")
    return folder / "dist"
