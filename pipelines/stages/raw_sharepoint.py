"""Raw SharePoint: lists and workbooks as snapshots of what they say now.

Of a list the changes are read (Graph's delta) and put into the snapshot, once a day the whole; of a workbook nothing while
the drive says that its content is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import msgspec
import polars as pl

from pipelines.lake import Written, empty
from pipelines.sources.extract import Extract, Progress, no_rejects
from pipelines.sources.mapping import FieldType, ListMapping, WorkbookMapping
from pipelines.sources.sharepoint import GraphClient, ListChanges
from pipelines.stages.attempt import attempt
from pipelines.stages.raw_frames import canonical, rejected_rows, set_aside
from pipelines.stages.raw_tally import Tally
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.watermark import SnapshotRead, basis_of, is_recent, read_watermark, write_watermark
from warehouse.catalog.tables import TABLES

SOURCE = "sharepoint"
PREFIX = "raw_sharepoint__"
DATASETS = ("business_target", "capacity_register", "lifting_programme", "tag_register")
REJECTED = f"{PREFIX}rejected_row"


@dataclass(frozen=True)
class _Taken:
    """One dataset as it is now: its rows, its rejected rows, and what may be noted once they stand in the lake.

    `frame` None: nothing was read, the snapshot stands.
    """

    frame: pl.DataFrame | None
    rejected: pl.DataFrame
    watermark: SnapshotRead | None = None


def extract_register(ws: Workspace, _labels: Sequence[date]) -> StageResult:
    """Bring every snapshot up to date. Raises SourceError; a dataset that the site does not map is written empty."""
    taken = {name: _Taken(empty(PREFIX + name), empty(REJECTED)) for name in DATASETS}
    tally = Tally()
    if ws.sharepoint is None:
        return StageResult(_written(ws, taken))
    with attempt(ws, SOURCE) as record, _client(ws) as client:
        mapped: dict[str, ListMapping | WorkbookMapping] = {
            **ws.sharepoint_mapping.lists,
            **ws.sharepoint_mapping.workbooks,
        }
        for name in (n for n in DATASETS if n in mapped):
            taken[name] = _take(ws, client, _typed(PREFIX + name, mapped[name]), tally)
        record.data_as_of(ws.now())
    result = StageResult(_written(ws, taken))
    # Last, when what they speak of stands: killed before this, the next run asks from the place before.
    for name, part in taken.items():
        if part.watermark is not None:
            sha256 = result.tables[PREFIX + name][0].entry.sha256
            write_watermark(ws.lake, PREFIX + name, msgspec.structs.replace(part.watermark, sha256=sha256))
    result.figures |= tally.figures("registers")
    return result


def _written(ws: Workspace, taken: dict[str, _Taken]) -> dict[str, list[Written]]:
    provenance = ws.provenance("lists and workbooks")
    tables: dict[str, list[Written]] = {}
    for name, part in taken.items():
        table = PREFIX + name
        entry = ws.lake.current(table, "all")
        if part.frame is None and entry is not None:
            tables[table] = [Written(table, "all", entry, changed=False)]
        else:
            frame = part.frame if part.frame is not None else empty(table)
            tables[table] = [ws.lake.write_snapshot(table, frame, provenance=provenance)]
    rejected = pl.concat([empty(REJECTED), *(part.rejected for part in taken.values())])
    tables[REJECTED] = [ws.lake.write_snapshot(REJECTED, rejected, provenance=provenance)]
    return tables


def _take(ws: Workspace, client: GraphClient, mapping: ListMapping | WorkbookMapping, tally: Tally) -> _Taken:
    table = PREFIX + mapping.dataset
    config = ws.sharepoint
    address = (config.graph_base_url, config.site_id, config.drive_id) if config is not None else ()
    basis = basis_of(address, mapping, ws.site.zone)
    found = read_watermark(ws.lake, table, SnapshotRead, basis=basis, warn=ws.report)
    entry = ws.lake.current(table, "all")
    stands = found is not None and entry is not None and found.sha256 == entry.sha256 and not ws.is_full_read
    known = found if stands else None
    if isinstance(mapping, ListMapping):
        return _list(ws, client, mapping, basis, known, tally)
    return _workbook(ws, client, mapping, basis, known, tally)


def _list(
    ws: Workspace, client: GraphClient, mapping: ListMapping, basis: str, known: SnapshotRead | None, tally: Tally
) -> _Taken:
    dataset, now = mapping.dataset, ws.now()
    is_due = known is None or not known.link or not is_recent(known.read_at, now)
    if known is None or is_due:
        changes = client.list_whole(mapping.name, mapping.columns, dataset=dataset)
    else:
        changes = client.list_changes(
            mapping.name, mapping.columns, delta_link=known.link, fields=known.fields, dataset=dataset
        )
    tally.add(changes.extract)
    is_same = not changes.is_full and changes.extract.frame.is_empty() and changes.extract.rejected.is_empty()
    is_same = is_same and not changes.deleted
    tally.leave(int(is_same), "no item of the list has changed")
    tally.parts += not is_same
    read_at = now if changes.is_full or known is None else known.read_at
    watermark = SnapshotRead(basis=basis, sha256="", read_at=read_at, link=changes.delta_link, fields=changes.fields)
    frame, rejected = _accepted(ws, dataset, changes.extract)
    if is_same:
        ws.report(f"SharePoint {dataset}: no item of the list has changed")
        return _Taken(None, _rejected_before(ws, dataset), watermark)
    if not changes.is_full:
        frame, rejected = _merged(ws, dataset, changes, frame, rejected)
    return _Taken(frame, rejected, watermark)


def _merged(
    ws: Workspace, dataset: str, changes: ListChanges, frame: pl.DataFrame, rejected: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The snapshot with the changed items in place of their old selves and without the deleted ones."""
    table = PREFIX + dataset
    items = {*changes.deleted, *frame["item_id"], *(_item_of(raw) for raw in rejected["raw"])}
    ws.report(f"SharePoint {dataset}: {frame.height + rejected.height} items changed, {len(changes.deleted)} deleted")
    before = ws.lake.read_snapshot(table)
    kept = before.filter(~pl.col("item_id").is_in(list(items)))
    stood = _rejected_before(ws, dataset)
    is_kept = pl.Series([_item_of(raw) not in items for raw in stood["raw"]], dtype=pl.Boolean)
    return pl.concat([kept, frame]), pl.concat([stood.filter(is_kept), rejected])


def _workbook(
    ws: Workspace, client: GraphClient, mapping: WorkbookMapping, basis: str, known: SnapshotRead | None, tally: Tally
) -> _Taken:
    dataset = mapping.dataset
    extract = client.changed_workbook(mapping, known.version if known is not None else "")
    if extract is None:
        tally.leave(1, "the workbook's content is the same")
        ws.report(f"SharePoint {dataset}: not downloaded, the drive says that the workbook's content is the same")
        return _Taken(None, _rejected_before(ws, dataset), known)
    tally.add(extract)
    tally.parts += 1
    frame, rejected = _accepted(ws, dataset, extract)
    return _Taken(frame, rejected, SnapshotRead(basis=basis, sha256="", read_at=ws.now(), version=extract.version))


def _accepted(ws: Workspace, dataset: str, extract: Extract) -> tuple[pl.DataFrame, pl.DataFrame]:
    table = PREFIX + dataset
    frame = canonical(table, extract.frame)
    keyless = pl.any_horizontal(pl.col(k).is_null() for k in TABLES[table].key)
    frame, nameless = set_aside(frame, keyless, "key_present", "the row has no key")
    rejected = pl.concat([no_rejects(), extract.rejected, nameless])
    return frame, rejected_rows(dataset, ws.latest_label, rejected)


def _rejected_before(ws: Workspace, dataset: str) -> pl.DataFrame:
    """Rejected rows that still stand in the source: they are as wrong today as when they were read."""
    stood = ws.lake.read_snapshot(REJECTED).filter(pl.col("dataset") == dataset)
    return stood.with_columns(pl.lit(ws.latest_label).alias("production_date"))


def _item_of(raw: str) -> str | None:
    """The list item that a rejected row was."""
    row: Any = msgspec.json.decode(raw)
    found = (row.get("id") or row.get("item_id")) if isinstance(row, dict) else None
    return str(found) if found is not None else None


def _typed(table: str, mapping: ListMapping | WorkbookMapping) -> ListMapping | WorkbookMapping:
    """The mapping with the catalogue's type for every column that states none: a workbook's cells have no declared type."""
    schema = empty(table).schema
    columns = tuple(
        column if column.type is not None else replace(column, type=field_type(schema[column.canonical]))
        for column in mapping.columns
        if column.canonical in schema
    )
    return replace(mapping, columns=columns)


def field_type(dtype: pl.DataType) -> FieldType:
    """The mapping's word for a catalogue dtype."""
    if dtype.is_float():
        return "float"
    if dtype.is_integer():
        return "int"
    if dtype == pl.Boolean:
        return "bool"
    if dtype == pl.Date:
        return "date"
    return "datetime" if isinstance(dtype, pl.Datetime) else "text"


def _client(ws: Workspace) -> GraphClient:
    def on_progress(progress: Progress) -> None:
        ws.report(f"SharePoint {progress.dataset}: {progress.rows:,} rows, {progress.pages} pages")

    if ws.sharepoint is None:
        raise ValueError("SharePoint is not configured")
    return GraphClient(ws.sharepoint, zone=ws.site.zone, on_progress=on_progress)


REGISTER = Stage(
    name="raw_sharepoint__register",
    run=extract_register,
    tables=(*(PREFIX + d for d in DATASETS), REJECTED),
    is_partitioned=False,
    source=SOURCE,
    description="Business targets, capacity register, lifting programme and tag register of SharePoint, as snapshots.",
)
