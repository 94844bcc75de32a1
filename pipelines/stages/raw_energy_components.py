"""Raw Energy Components: daily datasets by production day, registers as snapshots.

A dataset that the site does not map is written empty: "none here" is a statement too. What of the labels is read, and
what is left as it stands, is decided in raw_energy_components_changes.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from pipelines.lake import Written, empty
from pipelines.sources.config import EcRestConfig
from pipelines.sources.ec_oracle import EcOracle
from pipelines.sources.ec_rest import EcRest
from pipelines.sources.energy_components import EnergyComponents
from pipelines.sources.extract import Progress
from pipelines.sources.mapping import STAMP
from pipelines.stages.attempt import attempt
from pipelines.stages.raw_energy_components_changes import PREFIX, REJECTED, Taken, address, take
from pipelines.stages.raw_frames import canonical, rejected_rows
from pipelines.stages.raw_tally import Tally, standing
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.watermark import OVERLAP, SnapshotRead, basis_of, is_recent, read_watermark, write_watermark

SOURCE = "energy_components"
DAILY_DATASETS = ("stream_day", "well_day", "potential_day", "deferment_day", "tank_day", "deferment_event")
REGISTER_DATASETS = ("cargo", "capacity")
REGISTER_REJECTED = f"{PREFIX}rejected_register_row"
_BEGINNING = date(1900, 1, 1)


def extract_daily(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Bring every daily dataset up to date over the labels: read what can have changed, replace what was read.

    Raises SourceError.
    """
    result = StageResult()
    if ws.energy_components is None:
        for table in (*(PREFIX + dataset for dataset in DAILY_DATASETS), REJECTED):
            result.tables[table] = ws.write(table, empty(table), labels)
        return result
    tally = Tally()
    with attempt(ws, SOURCE) as record, _client(ws) as client:
        # Everything is read before anything is written: a source that fails midway leaves no half-renewed day.
        taken = {name: take(ws, client, name, labels, tally) for name in DAILY_DATASETS}
        for part in taken.values():
            result.tables[part.table] = _renewed(ws, part, labels)
        result.tables[REJECTED] = _renewed_rejected(ws, list(taken.values()), labels)
        # Last, when all that they speak of stands: killed before this, the next run reads a little again.
        for part in taken.values():
            if part.watermark is not None:
                write_watermark(ws.lake, part.table, part.watermark)
        record.data_as_of(_newest(ws, taken["stream_day"].frame, taken["well_day"].frame))
    result.figures["rows rejected"] = sum(w.entry.rows for w in result.tables[REJECTED])
    result.figures |= tally.figures("days of datasets")
    return result


def extract_register(ws: Workspace, _labels: Sequence[date]) -> StageResult:
    """Bring the snapshots of cargoes and capacities up to date. Raises SourceError."""
    result = StageResult()
    provenance = ws.provenance("registers")
    if ws.energy_components is None:
        for table in (*(PREFIX + dataset for dataset in REGISTER_DATASETS), REGISTER_REJECTED):
            result.tables[table] = [ws.lake.write_snapshot(table, empty(table), provenance=provenance)]
        return result
    tally = Tally()
    rejected = [empty(REGISTER_REJECTED)]
    with attempt(ws, SOURCE), _client(ws) as client:
        for dataset in REGISTER_DATASETS:
            written, refused = _register(ws, client, dataset, tally)
            result.tables[PREFIX + dataset] = [written]
            rejected.append(refused)
    result.tables[REGISTER_REJECTED] = [
        ws.lake.write_snapshot(REGISTER_REJECTED, pl.concat(rejected), provenance=provenance)
    ]
    result.figures = {"rows rejected": sum(each.height for each in rejected), **tally.figures("registers")}
    return result


def first_label(ws: Workspace) -> date | None:
    """The first production day that the source has anything of; used by replays, which read their whole span."""
    if ws.energy_components is None:
        return None
    found: list[date] = []
    with attempt(ws, SOURCE), _client(ws) as client:
        for name in ("stream_day", "well_day", "potential_day", "tank_day"):
            if name in ws.datasets:
                days = client.read(name, _BEGINNING, ws.latest_label).frame["production_date"].drop_nulls()
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


def _renewed(ws: Workspace, part: Taken, labels: Sequence[date]) -> list[Written]:
    """The days read, written; the others as they stand."""
    written = ws.write(part.table, part.frame, part.labels, f"{part.dataset} {labels[0]} to {labels[-1]}")
    read = set(part.labels)
    return written + standing(ws, part.table, [label for label in labels if label not in read])


def _renewed_rejected(ws: Workspace, taken: Sequence[Taken], labels: Sequence[date]) -> list[Written]:
    """Rejected rows of the days read replace those that stood there, dataset by dataset; a row stands once."""
    read = {label for part in taken for label in part.labels}
    todo = [label for label in labels if label in read]
    if not todo:
        return standing(ws, REJECTED, labels)
    stood = ws.lake.read(REJECTED, labels[0], labels[-1])
    for part in taken:
        replaced = (pl.col("dataset") == part.dataset) & pl.col("production_date").is_in(part.labels)
        stood = stood.filter(~replaced)
    fresh = pl.concat([part.rejected for part in taken]).join(stood, on=["dataset", "row_id"], how="anti")
    rows = pl.concat([stood, fresh]).filter(pl.col("production_date").is_in(todo))
    return ws.write(REJECTED, rows, todo) + standing(ws, REJECTED, [label for label in labels if label not in read])


def _register(ws: Workspace, client: EnergyComponents, dataset: str, tally: Tally) -> tuple[Written, pl.DataFrame]:
    """One register brought up to date, and its rows that do not parse."""
    table, now = PREFIX + dataset, ws.now()
    provenance = ws.provenance("registers")
    if dataset not in ws.datasets:
        return ws.lake.write_snapshot(table, empty(table), provenance=provenance), empty(REGISTER_REJECTED)
    basis = basis_of(address(ws.energy_components), ws.datasets[dataset], ws.site.zone)
    mark = read_watermark(ws.lake, table, SnapshotRead, basis=basis, warn=ws.report)
    entry = ws.lake.current(table, "all")
    stamps = [] if mark is None or mark.seen_to is None else [mark.seen_to]
    can_ask = not ws.is_full_read and client.tells_changes(dataset)
    if mark and mark.seen_to and entry and mark.sha256 == entry.sha256 and can_ask and is_recent(mark.read_at, now):
        extract = client.changes(dataset, mark.seen_to - OVERLAP, _BEGINNING, ws.latest_label)
        tally.add(extract)
        given = canonical(table, extract.frame)
        different = given.join(ws.lake.read_snapshot(table), on=given.columns, how="anti", nulls_equal=True)
        # What was rejected still stands in the source, and is as wrong today as when it was read.
        stood = ws.lake.read_snapshot(REGISTER_REJECTED).filter(pl.col("dataset") == dataset)
        refused = rejected_rows(dataset, ws.latest_label, extract.rejected).join(stood, on="row_id", how="anti")
        if different.is_empty() and refused.is_empty():
            tally.leave(1, "no row stamped since the last read differs from what is held")
            ws.report(
                f"Energy Components {dataset}: not read, nothing has changed since {mark.seen_to:%Y-%m-%d %H:%M}Z"
            )
            stood = stood.with_columns(pl.lit(ws.latest_label).alias("production_date"))
            return Written(table, "all", entry, changed=False), stood
    extract = client.read(dataset, _BEGINNING, ws.latest_label)
    tally.add(extract)
    tally.parts += 1
    if extract.rejected.height:
        ws.report(
            f"WARNING Energy Components {dataset}: {extract.rejected.height} rows do not parse and are quarantined"
        )
    frame = canonical(table, extract.frame)
    written = ws.lake.write_snapshot(table, frame, provenance=provenance)
    stamps += frame[STAMP].drop_nulls().to_list()
    seen_to = min(now, max(stamps)) if stamps and not frame[STAMP].null_count() else None
    write_watermark(
        ws.lake, table, SnapshotRead(basis=basis, sha256=written.entry.sha256, read_at=now, seen_to=seen_to)
    )
    return written, rejected_rows(dataset, ws.latest_label, extract.rejected)


def _newest(ws: Workspace, *frames: pl.DataFrame) -> object:
    """End of the newest production day that the source has a value of, as far as it was read."""
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
    tables=(*(PREFIX + d for d in REGISTER_DATASETS), REGISTER_REJECTED),
    is_partitioned=False,
    source=SOURCE,
    description="Cargo nominations and capacities of Energy Components, as a snapshot.",
)
