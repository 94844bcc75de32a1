"""Shows Dagster what bootstrap has loaded: `python -m pipelines.defs.record FIRST LAST [--refresh]`.

A runless event an asset and label, nothing is computed; with --refresh the job of the latest closed day then runs here.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import date

import dagster as dg

from pipelines import definitions
from pipelines.defs.automation import REFRESH_CURRENT_DAY
from pipelines.defs.partitions import PRODUCTION_DAYS
from pipelines.defs.resources import workspace
from pipelines.stages.registry import STAGES
from pipelines.stages.workspace import label_range


def record(instance: dg.DagsterInstance, first: date, last: date) -> int:
    """Report a materialization of every stage for the labels in [first, last]; gives how many."""
    ws = workspace()
    count = 0
    for stage in STAGES.values():
        labels = label_range(first, last) if stage.is_partitioned else [None]
        for label in labels:
            entries = [ws.lake.current(table, label.isoformat() if label else "all") for table in stage.tables]
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=stage.name,
                    partition=label.isoformat() if label else None,
                    metadata={"dagster/row_count": sum(e.rows for e in entries if e), "loaded by": "bootstrap"},
                )
            )
            count += 1
    return count


def refresh(instance: dg.DagsterInstance) -> bool:
    """Run the job of the latest closed day in this process; True when it succeeded."""
    job = definitions.defs().resolve_job_def(REFRESH_CURRENT_DAY.name)
    tags = {
        "dagster/asset_partition_range_start": workspace().latest_label.isoformat(),
        "dagster/asset_partition_range_end": PRODUCTION_DAYS.get_last_partition_key() or "",
    }
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).success


def main(arguments: Sequence[str]) -> int:
    """Record FIRST to LAST in the instance that DAGSTER_HOME names; 1 when a refresh was asked for and failed."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.defs.record", description=__doc__)
    parser.add_argument("first", type=date.fromisoformat)
    parser.add_argument("last", type=date.fromisoformat)
    parser.add_argument("--refresh", action="store_true", help="then run refresh_current_day")
    options = parser.parse_args(arguments)
    with dg.DagsterInstance.get() as instance:
        count = record(instance, options.first, options.last)
        sys.stdout.write(f"{count} materializations recorded, {options.first} to {options.last}\n")
        return 0 if not options.refresh or refresh(instance) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
