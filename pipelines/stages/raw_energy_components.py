"""Raw Energy Components: daily datasets by production day, registers as snapshots.

A dataset that the site does not map is written empty: "none here" is a statement too.
"""

from collections.abc import Sequence
from datetime import date, time, timedelta

import polars as pl

from pipelines.lake import empty
from pipelines.sources.config import EcRestConfig
from pipelines.sources.ec_oracle import EcOracle
from pipelines.sources.ec_rest import EcRest
from pipelines.sources.extract import Progress
from pipelines.stages.attempt import attempt
from pipelines.stages.raw_frames import canonical, in_every_label, in_labels, rejected_rows, set_aside
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from warehouse.catalog.tables import TABLES

SOURCE = "energy_components"
PREFIX = "raw_energy_components__"
DAILY_DATASETS = ("stream_day", "well_day", "potential_day", "deferment_day", "tank_day", "deferment_event")
REGISTER_DATASETS = ("cargo", "capacity")
REJECTED = f"{PREFIX}rejected_row"


def extract_daily(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Read every daily dataset over the labels and replace their partitions. Raises SourceError."""
    result = StageResult()
    rejected: list[pl.DataFrame] = [empty(REJECTED)]
    if ws.energy_components is None:
        for dataset in DAILY_DATASETS:
            result.tables[PREFIX + dataset] = ws.write(PREFIX + dataset, empty(PREFIX + dataset), labels)
        result.tables[REJECTED] = ws.write(REJECTED, rejected[0], labels)
        return result
    with attempt(ws, SOURCE) as record, _client(ws) as client:
        # Everything is read before anything is written: a source that fails midway leaves no half-renewed day.
        frames = {name: _read(ws, client, name, labels, rejected) for name in DAILY_DATASETS}
        for name, frame in frames.items():
            result.tables[PREFIX + name] = ws.write(PREFIX + name, frame, labels, f"{name} {labels[0]} to {labels[-1]}")
        result.tables[REJECTED] = ws.write(REJECTED, pl.concat(rejected), labels)
        record.data_as_of(_newest(ws, frames["stream_day"], frames["well_day"]))
    result.figures["rows rejected"] = sum(w.entry.rows for w in result.tables[REJECTED])
    return result


def extract_register(ws: Workspace, _labels: Sequence[date]) -> StageResult:
    """Renew the snapshots of cargoes and capacities. Raises SourceError."""
    result = StageResult()
    provenance = ws.provenance("registers")
    if ws.energy_components is None:
        for dataset in REGISTER_DATASETS:
            table = PREFIX + dataset
            result.tables[table] = [ws.lake.write_snapshot(table, empty(table), provenance=provenance)]
        return result
    with attempt(ws, SOURCE), _client(ws) as client:
        for dataset in REGISTER_DATASETS:
            table = PREFIX + dataset
            frame = empty(table)
            if dataset in ws.datasets:
                extract = client.read(dataset, date(1900, 1, 1), ws.latest_label)
                frame = canonical(table, extract.frame)
            result.tables[table] = [ws.lake.write_snapshot(table, frame, provenance=provenance)]
    return result


def first_label(ws: Workspace) -> date | None:
    """The first production day that the source has anything of; used by replays, which read their whole span."""
    if ws.energy_components is None:
        return None
    found: list[date] = []
    with attempt(ws, SOURCE), _client(ws) as client:
        for name in ("stream_day", "well_day", "potential_day", "tank_day"):
            if name in ws.datasets:
                days = client.read(name, date(1900, 1, 1), ws.latest_label).frame["production_date"].drop_nulls()
                if days.len():
                    found.append(days.min())  # type: ignore[arg-type]
    return min(found, default=None)


def _client(ws: Workspace) -> EcRest | EcOracle:
    def on_progress(progress: Progress) -> None:
        ws.report(f"Energy Components {progress.dataset}: {progress.rows:,} rows, {progress.pages} pages")

    config = ws.energy_components
    if config is None:
        raise ValueError("Energy Components is not configured")
    if isinstance(config, EcRestConfig):
        return EcRest(config, ws.datasets, zone=ws.site.zone, on_progress=on_progress)
    return EcOracle(config, ws.datasets, zone=ws.site.zone, on_progress=on_progress)


def _read(
    ws: Workspace, client: EcRest | EcOracle, dataset: str, labels: Sequence[date], rejected: list[pl.DataFrame]
) -> pl.DataFrame:
    table = PREFIX + dataset
    if dataset not in ws.datasets:
        return empty(table)
    # Events are asked by clock days: the last production day ends within the next one.
    reach = timedelta(days=1) if dataset == "deferment_event" else timedelta(0)
    extract = client.read(dataset, labels[0], labels[-1] + reach)
    rejected.append(rejected_rows(dataset, labels[-1], extract.rejected))
    frame = extract.frame
    if dataset == "deferment_event":
        starts = [ws.site.day_start, *(_time(s) for s in ws.site.facilities["day_start"].drop_nulls())]
        frame = in_every_label(frame, labels, starts, "started_at_local", "ended_at_local")
    frame = canonical(table, frame)
    if dataset == "well_day":
        frame = frame.with_columns(pl.col("flow_kind").fill_null(""))
    frame, outside = in_labels(frame, labels)
    keyless = pl.any_horizontal(pl.col(k).is_null() for k in TABLES[table].key)
    frame, nameless = set_aside(frame, keyless, "key_present", f"a column of the key {TABLES[table].key} is null")
    rejected.extend(rejected_rows(dataset, labels[-1], part) for part in (outside, nameless))
    return frame


def _time(text: str) -> time:
    return time.fromisoformat(text)


def _newest(ws: Workspace, *frames: pl.DataFrame) -> object:
    """End of the newest production day that the source has a value of."""
    days = [
        frame.filter(pl.col(value).is_not_null())["production_date"].max()
        for frame, value in zip(frames, ("volume", "oil_volume"), strict=True)
        if frame.height
    ]
    newest = max((d for d in days if isinstance(d, date)), default=None)
    return ws.calendar.union_bounds(newest)[1] if newest is not None else None


DAILY = Stage(
    name="raw_energy_components__daily",
    run=extract_daily,
    tables=(*(PREFIX + d for d in DAILY_DATASETS), REJECTED),
    source=SOURCE,
    description="Streams, wells, potentials, deferment and storage of Energy Components, as received, by production day.",
)
REGISTER = Stage(
    name="raw_energy_components__register",
    run=extract_register,
    tables=tuple(PREFIX + d for d in REGISTER_DATASETS),
    is_partitioned=False,
    source=SOURCE,
    description="Cargo nominations and capacities of Energy Components, as a snapshot.",
)
