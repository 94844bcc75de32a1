"""Long history through the same stages, range by range, without Dagster: it costs milliseconds a day, not a run a day.

python -m pipelines.bootstrap          reads what is missing, recomputes what changed, publishes a release
python -m pipelines.bootstrap --full   reads every day and register again, whatever the watermarks say has not changed
"""

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from pipelines import settings as environment
from pipelines.fingerprint import fingerprint, is_computed_by, set_computed_by
from pipelines.settings import TRAILING_DAYS, Settings, SettingsError
from pipelines.site import SiteError
from pipelines.sources.errors import SourceError
from pipelines.sources.mapping import MappingFaults
from pipelines.stages import raw_energy_components, raw_pi
from pipelines.stages.attempt import run_stage, told
from pipelines.stages.core_intraday import STAGE as INTRADAY
from pipelines.stages.raw_pi_plan import LATE_HORIZON
from pipelines.stages.registry import STAGES
from pipelines.stages.release import ReleaseRefused
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace, label_range, open_workspace
from pipelines.transforms.network import NetworkError
from pipelines.transforms.units import UnitError
from pipelines.watermark import owe, owed_from
from warehouse.errors import WarehouseError

# What an operator can mend: shown as a sentence, without a trace.
FAULTS = (
    SettingsError,
    SiteError,
    MappingFaults,
    SourceError,
    UnitError,
    NetworkError,
    ReleaseRefused,
    WarehouseError,
)
# Facility days that core and out compute in one go: bounds memory, and is long enough to forget a stage's fixed cost, which
# is about that of a thousand of them.
CHUNK_FACILITY_DAYS = 6_000
CHUNK_LABELS, MOST_LABELS = 62, 372


def bootstrap(ws: Workspace, settings: Settings) -> str:
    """Bring lake and release up to the latest closed day; gives the current release's id.

    Reads what the lake lacks and what sources can have changed of the trailing days, everything when the workspace asks for
    a full read; recomputes from the first label whose input changed, in this run or in one that was killed before it had.
    Raises SourceError, or ReleaseRefused when a gate says no.
    """
    labels = _labels(ws, settings)
    ws.report(f"{len(labels)} production days, {labels[0]} to {labels[-1]}")
    changed = _extract(ws, settings, labels)
    _compute(ws, labels, changed)
    owe(ws.lake, None)
    # The running day is no label: it moves on whether or not any closed day has changed.
    with ws.step(INTRADAY.name):
        run_stage(INTRADAY, ws, labels[-1:])
    release = STAGES["warehouse__release"]
    with ws.step("release built, checked and current"):
        figures = release.run(ws, labels).figures
    return str(figures["release"])


def _labels(ws: Workspace, settings: Settings) -> list[date]:
    last = ws.latest_label
    if not ws.site.is_replay:
        return label_range(last - timedelta(days=settings.history_days - 1), last)
    firsts = [d for d in (raw_energy_components.first_label(ws), raw_pi.first_label(ws)) if d is not None]
    if not firsts:
        raise SiteError(f"{ws.site.folder}: the replay's sources hold no row up to {last}")
    return label_range(min(firsts), last)


def _extract(ws: Workspace, settings: Settings, labels: Sequence[date]) -> date | None:
    """Run the raw stages; gives the first label whose input changed, None when nothing did."""
    # PI of the running day is read as far as it has come; core and out wait until it has closed.
    running = [] if ws.site.is_replay else [ws.running_label]
    pi_labels = labels if ws.site.is_replay else [*labels[-settings.pi_days :], *running]
    wanted = {
        "raw_energy_components__daily": labels,
        "raw_energy_components__register": labels[-1:],
        "raw_sharepoint__register": labels[-1:],
        "raw_pi__recorded_value": pi_labels,
        "raw_pi__tank_gauge": [*labels, *running],
    }
    owed = owed_from(ws.lake)
    changed = [] if owed is None else [max(owed, labels[0])]
    for name, span in wanted.items():
        stage = STAGES[name]
        todo = _to_read(ws, stage, span)
        if todo:
            # Noted before the days change: killed between here and the end of the computation, the next run makes up for it.
            owe(ws.lake, min([*changed, todo[0] if stage.is_partitioned else labels[0]]))
        with ws.step(f"{name}: {len(todo)} of {len(span)} days" if stage.is_partitioned else name):
            result = run_stage(stage, ws, todo) if todo else StageResult()
        first = _first_changed(result, labels)
        if first is not None:
            changed.append(first)
        owe(ws.lake, min(changed, default=None))
    return min(changed, default=None)


def _to_read(ws: Workspace, stage: Stage, span: Sequence[date]) -> list[date]:
    """Labels that the lake lacks, and those that the source may still have changed."""
    if not stage.is_partitioned or ws.is_full_read:
        return list(span)
    known = set(ws.lake.labels(stage.tables[0]))
    # Energy Components is corrected for weeks; PI's values come late by days, and its newest day may have been read open.
    trailing = TRAILING_DAYS if stage.source == "energy_components" else LATE_HORIZON.days + 2
    recent = set(span[-trailing:])
    missing = [label for label in span if label not in known or label in recent]
    return label_range(missing[0], missing[-1]) if missing else []


def _first_changed(result: StageResult, labels: Sequence[date]) -> date | None:
    names = [w.partition for written in result.tables.values() for w in written if w.changed]
    return min((_first_day(name, labels) for name in names), default=None)


def _first_day(partition: str, labels: Sequence[date]) -> date:
    if partition == "all":
        return labels[0]
    return max(labels[0], date.fromisoformat(partition if len(partition) > len("2026-11") else f"{partition}-01"))


def _compute(ws: Workspace, labels: Sequence[date], changed: date | None) -> None:
    """Run core and out over the labels from the first change on, and over those never computed."""
    stages = [s for s in STAGES.values() if s.name.startswith(("core", "out")) and s is not INTRADAY]
    mark = fingerprint(ws.site.folder)
    known = set(ws.lake.labels(stages[-1].tables[0]))
    if known and not is_computed_by(ws.lake, mark):
        ws.report("code or reference files changed: every day is computed anew")
        known = set()
    missing = [label for label in labels if label not in known]
    begin = min([label for label in (changed, *missing[:1]) if label is not None], default=None)
    if begin is None or begin > labels[-1]:
        ws.report("nothing changed: core and out stand")
        return
    todo = [label for label in labels if label >= begin]
    snapshots = [s for s in stages if not s.is_partitioned]
    for stage in snapshots:
        with ws.step(stage.name):
            stage.run(ws, todo)
    daily = [s for s in stages if s.is_partitioned]
    for chunk in chunks(todo, _chunk_labels(ws)):
        with ws.step(f"core and out: {chunk[0]} to {chunk[-1]}, {len(daily)} stages"):
            for stage in daily:
                stage.run(ws, chunk)
    set_computed_by(ws.lake, mark)


def _chunk_labels(ws: Workspace) -> int:
    facilities = ws.site.facilities["facility_id"].n_unique()
    return min(max(CHUNK_FACILITY_DAYS // max(facilities, 1), CHUNK_LABELS), MOST_LABELS)


def chunks(labels: Sequence[date], size: int = CHUNK_LABELS) -> Iterable[list[date]]:
    """Runs of at most about `size` labels that end with a month, so that closed months are written whole."""
    chunk: list[date] = []
    for label in labels:
        chunk.append(label)
        ends_month = (label + timedelta(days=1)).day == 1
        if ends_month and len(chunk) > size - 31:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: 0 when a release is current, 1 with the reason otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.bootstrap", description="Bring lake and release up to date."
    )
    parser.add_argument("--full", action="store_true", help="read everything again, changed or not")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        settings = environment.load()
        ws = replace(
            open_workspace(settings, is_bootstrap=True),
            report=logging.getLogger("pipelines").info,
            is_full_read=options.full,
        )
        release_id = bootstrap(ws, settings)
    except FAULTS as error:
        logging.getLogger("pipelines").error("%s", told(error))
        return 1
    logging.getLogger("pipelines").info("release %s is current", release_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
