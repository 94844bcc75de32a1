"""Core registers: targets, capacities and cargoes under our identifiers and in base units, as snapshots."""

from collections.abc import Sequence
from datetime import date

from pipelines.stages.quarantine import TABLE as QUARANTINE
from pipelines.stages.quarantine import rejected_by_source, rejected_registers, replace_quarantine
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms.registers import Register, capacities, cargoes, targets

_RAW_EC, _RAW_SHAREPOINT = "raw_energy_components__", "raw_sharepoint__"
_DATASETS = ("business_target", "capacity_register", "lifting_programme", "tag_register", "cargo", "capacity")


def build(ws: Workspace, _labels: Sequence[date]) -> StageResult:
    """Renew core__target, core__capacity and core__cargo; what does not fit is quarantined under the latest label."""
    site, now, label = ws.site, ws.now(), ws.latest_label
    read = ws.lake.read_snapshot
    found: dict[str, Register] = {
        "core__target": targets(
            read(f"{_RAW_SHAREPOINT}business_target"),
            site.facilities,
            site.hubs,
            site.assets,
            units=ws.units,
            label=label,
            now=now,
        ),
        "core__capacity": capacities(
            read(f"{_RAW_EC}capacity"),
            read(f"{_RAW_SHAREPOINT}capacity_register"),
            site.facilities,
            mapped_units=ws.mapped_units("capacity"),
            units=ws.units,
            label=label,
            now=now,
        ),
        "core__cargo": cargoes(
            read(f"{_RAW_EC}cargo"),
            read(f"{_RAW_SHAREPOINT}lifting_programme"),
            site.facilities,
            site.terminals,
            ws.calendar,
            mapped_units=ws.mapped_units("cargo"),
            units=ws.units,
            label=label,
            now=now,
        ),
    }
    provenance = ws.provenance("registers")
    result = StageResult(
        {name: [ws.lake.write_snapshot(name, part.rows, provenance=provenance)] for name, part in found.items()}
    )
    quarantined = [part.quarantined for part in found.values()]
    quarantined += [rejected_by_source(ws, "sharepoint", [label]), rejected_registers(ws)]
    result.tables[QUARANTINE] = replace_quarantine(ws, [label], _DATASETS, quarantined)
    result.figures["rows quarantined"] = sum(q.height for q in quarantined)
    return result


STAGE = Stage(
    name="core__register",
    run=build,
    tables=("core__target", "core__capacity", "core__cargo"),
    upstream=("raw_energy_components__register", "raw_sharepoint__register"),
    is_partitioned=False,
    description="Target versions, dated capacities and cargoes.",
)
