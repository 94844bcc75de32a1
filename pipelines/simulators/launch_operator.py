"""What the simulators need of an operator's folder: its clock, its systems, and where the files to serve come from.

A generated operator gets its replay folder here, made once and used again while nothing that it depends on changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
SYSTEMS = ("energy_components", "pi", "sharepoint")
MANIFEST = "generated-for.json"

Progress = Callable[[str], None]


class OperatorError(ValueError):
    """An operator's folder cannot be simulated: which file, what is wrong, what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The parts of ``operator.toml`` that the simulators follow."""

    name: str
    argument: str
    folder: Path
    zone: ZoneInfo
    day_start: time
    as_of: datetime | None
    systems: tuple[str, ...]
    data: Path | None
    generator: str | None
    seed: int

    def last_closed_label(self, now: datetime) -> date:
        """The latest production day that has ended at ``now``."""
        local = now.astimezone(self.zone)
        begun = local.date() if local.time() >= self.day_start else local.date() - timedelta(days=1)
        return begun - timedelta(days=1)


def load_operator(operator: str, *, reference: Path = REFERENCE) -> Operator:
    """The operator of a name under the reference folders or of a path; raises ``OperatorError``."""
    folder = reference / operator
    if "/" in operator or not folder.is_dir():
        folder = Path(operator)
    path = folder / "operator.toml"
    if not path.is_file():
        known = ", ".join(sorted(each.parent.name for each in reference.glob("*/operator.toml")))
        message = f"operator {operator!r}: no {path}; known under {reference}: {known or 'none'}"
        raise OperatorError(message)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return _operator(operator, folder.resolve(), content)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        message = f"{path}: {error if not isinstance(error, KeyError) else f'lacks {error}'}"
        raise OperatorError(message) from error


def _operator(argument: str, folder: Path, content: dict[str, Any]) -> Operator:
    simulator = content.get("simulator", {})
    if ("data" in simulator) == ("generator" in simulator):
        message = "[simulator] needs either data (a folder to replay) or generator, not both"
        raise ValueError(message)
    unknown = sorted(set(content.get("sources", {})) - set(SYSTEMS))
    if unknown:
        message = f"[sources] names unknown systems: {', '.join(unknown)}"
        raise ValueError(message)
    as_of = content.get("as_of")
    instant = datetime.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    if instant is not None and instant.tzinfo is None:
        message = f"as_of {as_of} needs its offset, for example 2013-01-01T00:00:00+01:00"
        raise ValueError(message)
    return Operator(
        name=content["operator"],
        argument=argument,
        folder=folder,
        zone=ZoneInfo(content["zone"]),
        day_start=time.fromisoformat(content["day_start"]),
        as_of=instant,
        systems=tuple(name for name in SYSTEMS if name in content.get("sources", {})),
        data=(folder / simulator["data"]).resolve() if "data" in simulator else None,
        generator=simulator.get("generator"),
        seed=int(simulator.get("seed", 0)),
    )


def replay_folder(
    operator: Operator, data_root: Path, *, now: datetime, history_days: int, pi_days: int, progress: Progress
) -> Path:
    """The folder to serve: the operator's own files, or generated ones under ``data_root``, made when needed."""
    if operator.data is not None:
        if not operator.data.is_dir():
            message = f"{operator.folder / 'operator.toml'}: [simulator] data: no folder {operator.data}"
            raise OperatorError(message)
        return operator.data
    if operator.generator != "sandbox":
        message = (
            f"{operator.folder / 'operator.toml'}: [simulator] generator {operator.generator!r}: only 'sandbox' exists"
        )
        raise OperatorError(message)
    folder = data_root / operator.folder.name
    wanted = {
        "operator": operator.name,
        "seed": operator.seed,
        "last_label": operator.last_closed_label(now).isoformat(),
        "history_days": history_days,
        "pi_days": pi_days,
        "made_from": _digest(operator.folder),
    }
    if _manifest(folder) == wanted:
        progress(f"sandbox data in {folder} is up to date")
        return folder
    # Imported late: a replay needs no generator.
    from pipelines.simulators.field import generate

    progress(f"making {history_days} days of sandbox data in {folder}")
    building = data_root / f".{operator.folder.name}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    generate(
        operator.folder,
        building,
        now=now.astimezone(UTC),
        history_days=history_days,
        pi_days=pi_days,
        seed=operator.seed,
        progress=progress,
    )
    (building / MANIFEST).write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)
    return folder


def _manifest(folder: Path) -> Any:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _digest(folder: Path) -> str:
    """Of the reference files and of the generator's own code: either changing means other data."""
    digest = hashlib.sha256()
    code = sorted(Path(__file__).parent.glob("field*.py"))
    for path in [*sorted(path for path in folder.rglob("*") if path.is_file()), *code]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
