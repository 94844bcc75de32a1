"""The door to the fictitious field: one call writes the folder that the simulated source systems serve.

Everything in it follows from the reference folder, the seed, the clock's last closed day and the lengths asked for.
The folder is replaced as a whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pipelines.simulators.field_calendar import calendar
from pipelines.simulators.field_energy_components import write_energy_components
from pipelines.simulators.field_pi import write_pi
from pipelines.simulators.field_reference import FieldError, read_reference
from pipelines.simulators.field_sharepoint import write_sharepoint
from pipelines.simulators.field_truth import write_truth
from pipelines.simulators.field_world import simulate

MANIFEST = "manifest.json"
FORMAT = 1
SHORTEST_HISTORY_DAYS = 14


def generate(
    site_folder: Path,
    data_folder: Path,
    *,
    now: datetime,
    history_days: int = 400,
    pi_days: int = 14,
    seed: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Write energy_components/, pi/, sharepoint/, truth/ and manifest.json into `data_folder`, replacing what is there.

    `now` (aware) is the clock: history ends with the last production day closed by then, PI runs up to it. `seed` None
    takes the operator's. Raises FieldError for a reference folder without a field or a history below 14 days, ValueError
    for a naive `now`.
    """
    if history_days < SHORTEST_HISTORY_DAYS or pi_days < 1:
        raise FieldError(
            f"history_days={history_days}, pi_days={pi_days}: a field needs at least {SHORTEST_HISTORY_DAYS} and 1"
        )
    report = progress or _silent
    reference = read_reference(site_folder)
    days = calendar(reference.zone, reference.day_start, now, history_days)
    chosen = reference.seed if seed is None else seed
    report(f"field of {len(reference.facilities)} facilities, {history_days} days to {days.labels[-2]}, seed {chosen}")
    world = simulate(reference, days, chosen, report)
    building = data_folder.with_name(data_folder.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    entered = write_energy_components(world, building / "energy_components")
    report("Energy Components written")
    write_sharepoint(world, building / "sharepoint")
    report("SharePoint written")
    pi_truth, values = write_pi(world, building / "pi", min(pi_days, history_days))
    report(f"{values:,} PI values written")
    rows = write_truth(world, entered, pi_truth, building / "truth")
    manifest = {
        "format": FORMAT,
        "operator_folder": site_folder.name,
        "seed": chosen,
        "now": days.now.isoformat(),
        "first_label": days.labels[0].isoformat(),
        "last_label": days.labels[-2].isoformat(),
        "history_days": history_days,
        "pi_days": pi_days,
        "counts": {
            "facilities": len(reference.facilities),
            "events": len(world.events),
            "tags": len(reference.tags),
            "pi_values": values,
            **{f"truth_{name}": count for name, count in rows.items()},
        },
    }
    (building / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(data_folder, ignore_errors=True)
    building.rename(data_folder)
    report("field complete")


def _silent(_: str) -> None:
    return None
