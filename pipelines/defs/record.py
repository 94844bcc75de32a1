"""Records labels that bootstrap has loaded in Dagster, so that its pages show them: `python -m pipelines.defs.record FIRST LAST`.

A runless event an asset and label; nothing is computed here.
"""

import sys
from collections.abc import Sequence
from datetime import date

import dagster as dg

from pipelines.defs.resources import workspace
from pipelines.stages.registry import STAGES
from pipelines.stages.workspace import label_range


def record(instance: dg.DagsterInstance, first: date, last: date) -> int:
    """Report a materialization of every stage for the labels that the lake holds; gives how many."""
    ws = workspace()
    count = 0
    for stage in STAGES.values():
        labels = label_range(first, last) if stage.is_partitioned else [None]
        for label in labels:
            rows = 0
            for table in stage.tables:
                entry = ws.lake.current(table, label.isoformat() if label else "all")
                rows += entry.rows if entry else 0
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=stage.name,
                    partition=label.isoformat() if label else None,
                    metadata={"dagster/row_count": rows, "loaded by": "bootstrap"},
                )
            )
            count += 1
    return count


def main(arguments: Sequence[str]) -> int:
    """Record FIRST to LAST in the instance that DAGSTER_HOME names."""
    first, last = (date.fromisoformat(a) for a in arguments)
    with dg.DagsterInstance.get() as instance:
        count = record(instance, first, last)
    sys.stdout.write(f"{count} materializations recorded, {first} to {last}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
