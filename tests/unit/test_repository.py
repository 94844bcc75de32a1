"""The repository's unwritten rules, written: size of modules, who reads the environment, what documents promise."""

import ast
import hashlib
import re
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "pipelines", "warehouse")
MAX_LINES = 400
SETTINGS = ("pipelines/settings.py", "api/settings.py")
# What they hand the environment to.
SETTINGS_PARTS = ("api/auth/environment.py",)
# Hosts of package registries of Python, npm, Debian, Go, Rust and images, as the beginning of their SHA-256: no file names one.
REGISTRIES = frozenset(
    {
        "a4aa2ac280bb8d1a",
        "8b5bb5eb9d758455",
        "0dc11026ac75c015",
        "70bb4000cd2fab03",
        "e680c440a2e92079",
        "00a7dc5a0cc38858",
        "eb7e11c7f9ecbcf4",
        "3530c4415dd857fb",
        "0fd460f0568e29c1",
    }
)
HOST = re.compile(rb"[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
# What would make a lock name where a package comes from.
LOCKED_ADDRESS = re.compile(
    r"--(?:extra-)?index-url|--find-links|^-[if] | @ \w+://|\"resolved\"|^registry *=", re.MULTILINE
)
DOCUMENTS = ("README.md", "CHANGELOG.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")))


def _tracked() -> list[Path]:
    """Files that git knows or would take; every file but the ignored ones where the tree is no git checkout."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        named = [ROOT / name for name in done.stdout.decode().split("\0") if name]
        return [path for path in named if path.is_file()]
    skipped = {".venv", "var", "node_modules", "__pycache__"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not skipped & set(p.relative_to(ROOT).parts)]


def _modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_modules_when_counted_then_none_is_longer_than_400_lines() -> None:
    modules = _modules(*PACKAGES, "notebooks", "benchmarks")
    assert len(modules) > 100
    assert [_name(p) for p in modules if len(p.read_text(encoding="utf-8").splitlines()) > MAX_LINES] == []


def test_modules_when_opened_then_each_begins_with_a_charter_of_at_most_five_lines() -> None:
    wrong = []
    for path in _modules(*PACKAGES):
        charter = ast.get_docstring(_tree(path))
        if not charter or len(charter.splitlines()) > 5:
            wrong.append(_name(path))
    assert wrong == []


def test_packages_when_opened_then_init_has_a_charter_and_no_code() -> None:
    found = [p for p in _modules(*PACKAGES) if p.name == "__init__.py"]
    assert len(found) >= 10
    assert [_name(p) for p in found if len(_tree(p).body) != 1] == []


def test_packages_when_listed_then_every_folder_with_modules_is_one() -> None:
    folders = {path.parent for path in _modules(*PACKAGES)}
    assert [_name(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_environment_when_searched_then_only_the_two_settings_modules_read_it() -> None:
    reads = []
    for path in _modules(*PACKAGES):
        for node in ast.walk(_tree(path)):
            is_attribute = (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "os"
                and node.attr in ("environ", "environb", "getenv", "putenv")
            )
            is_import = (
                isinstance(node, ast.ImportFrom)
                and node.module == "os"
                and any(n.name in ("environ", "getenv") for n in node.names)
            )
            if is_attribute or is_import:
                reads.append(_name(path))
    assert sorted(set(reads)) == sorted(SETTINGS)


def test_dagster_when_searched_then_only_definitions_import_it() -> None:
    importers = []
    for path in _modules(*PACKAGES):
        for node in ast.walk(_tree(path)):
            names = [n.name for n in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0].startswith("dagster") for name in names):
                importers.append(_name(path))
    assert importers
    assert [n for n in importers if not n.startswith("pipelines/defs/") and n != "pipelines/definitions.py"] == []


def _registries_in(content: bytes) -> set[str]:
    """Hosts in a text that are, or stand below, a registry's."""
    hosts = {found.lower() for found in HOST.findall(content)}
    domains = {b".".join(host.split(b".")[first:]) for host in hosts for first in range(host.count(b"."))}
    return {domain.decode() for domain in domains if hashlib.sha256(domain).hexdigest()[:16] in REGISTRIES}


def test_files_when_searched_then_no_registry_is_named() -> None:
    assert {_name(path): named for path in _tracked() if (named := _registries_in(path.read_bytes()))} == {}


def test_registry_when_a_file_names_it_then_it_is_found() -> None:
    host = "".join(("files.python", "hosted", ".org"))
    assert _registries_in(f"see https://{host}/packages/x".encode()) == {host.removeprefix("files.")}
    assert _registries_in(b"see https://docs.example.org/simple") == set()


def test_locks_when_read_then_no_package_has_an_address() -> None:
    locks = [p for p in _tracked() if p.suffix == ".lock" or p.name in ("package-lock.json", ".npmrc")]
    assert {"requirements.lock", "package-lock.json"} <= {path.name for path in locks}
    assert {_name(p): LOCKED_ADDRESS.findall(p.read_text(encoding="utf-8")) for p in locks} == {
        _name(p): [] for p in locks
    }


def test_files_when_listed_then_nothing_generated_or_large_is_among_them() -> None:
    tracked = _tracked()
    assert [_name(p) for p in tracked if p.suffix in (".duckdb", ".pyc", ".log", ".sqlite", ".db")] == []
    assert [_name(p) for p in tracked if p.suffix == ".png" and p.stat().st_size > 400_000] == []
    assert [_name(p) for p in tracked if p.stat().st_size > 5_000_000] == []


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_when_it_names_make_targets_then_they_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    named = set(re.findall(r"\bmake (?:-s )?([a-z][a-z-]*)", code))
    assert sorted(named - _make_targets()) == []
    if document == "README.md":
        assert {"demo", "test", "release-path"} <= named


def test_make_when_targets_are_listed_then_all_are_phony_and_say_what_they_do() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())  # type: ignore[index]
    assert sorted(_make_targets() - phony) == []
    silent = [t for t in _make_targets() if not re.search(rf"^{t}:.*## ", makefile, re.MULTILINE)]
    assert silent == []


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_when_it_links_or_names_files_then_they_exist(document: str) -> None:
    path = ROOT / document
    text = path.read_text(encoding="utf-8")
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file) if file else path
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            broken.append(target)
    # Paths of the repository that stand in code marks.
    named = re.findall(r"`((?:pipelines|warehouse|api|docs|deploy|tests|notebooks)/[\w./-]*)`", text)
    broken += [each for each in named if not (ROOT / each).exists()]
    assert broken == []


def test_readme_when_the_tree_is_drawn_then_every_folder_exists_and_stands_in_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"## Where things are\n\n```\n(.*?)```", readme, re.DOTALL)
    assert tree is not None
    drawn = set(re.findall(r"^([a-z]+)/", tree[1], re.MULTILINE))
    tracked = {_name(p).split("/")[0] for p in _tracked() if "/" in _name(p) and not _name(p).startswith(".")}
    assert drawn - {"var"} == tracked


def _read_by_settings() -> set[str]:
    """Names in capitals that the settings modules hold as texts: what they read."""
    names: set[str] = set()
    for module in (*SETTINGS, *SETTINGS_PARTS):
        for node in ast.walk(_tree(ROOT / module)):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and re.fullmatch(r"[A-Z][A-Z0-9_]+", node.value):  # type: ignore[attr-defined]
                names.add(node.value)  # type: ignore[attr-defined]
    # Levels of logs, a source's name in messages, and what App Service itself sets.
    return names - {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "PI", "WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID"}


def test_environment_example_when_read_then_it_names_what_the_settings_read() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in settings if not re.fullmatch(r"[A-Z0-9_]+=", line)] == []
    names = [line.removesuffix("=") for line in settings]
    assert len(names) == len(set(names))
    assert set(names) == _read_by_settings()


def test_environment_example_when_read_then_each_line_has_meaning_unit_default_and_reader() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    wrong = []
    for before, line in pairwise(lines):
        if re.fullmatch(r"[A-Z0-9_]+=", line):
            fields = before.removeprefix("# ").split(" · ")
            readers = {reader.strip() for reader in fields[-1].split(",")}
            if len(fields) != 4 or not readers <= {"pipelines", "api"}:
                wrong.append(line)
                continue
            expected = {
                module.split("/")[0]
                for module in (*SETTINGS, *SETTINGS_PARTS)
                if f'"{line.removesuffix("=")}"' in (ROOT / module).read_text(encoding="utf-8")
            }
            if readers != expected:
                wrong.append(f"{line} is read by {sorted(expected)}, not {sorted(readers)}")
    assert wrong == []


def test_readme_when_settings_are_named_then_all_of_them_are() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## Configuration")[1].split("## ")[0]
    stems = set(re.findall(r"[A-Z][A-Z0-9_]+", table))
    spelled = {name for name in _read_by_settings() if name in stems or name.split("_", 2)[-1] in stems}
    named_elsewhere = {"EC_DB_POOL_MAX", "EC_DB_POOL_INC", "SP_LIST_ID"}
    assert sorted(_read_by_settings() - spelled - named_elsewhere) == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda p: p.stem[:4])
def test_decision_when_read_then_it_has_reason_and_what_would_change_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.stem[:4]} ")
    assert all(f"**{part}.**" in text for part in ("Decision", "Reason", "What would change it"))


def test_decisions_when_listed_then_numbers_run_without_gap_or_double() -> None:
    numbers = sorted(int(p.stem[:4]) for p in (ROOT / "docs" / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
