"""Raw SharePoint: lists and workbooks as snapshots of what they say now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import polars as pl

from pipelines.lake import empty
from pipelines.sources.extract import Progress
from pipelines.sources.mapping import FieldType, ListMapping, WorkbookMapping
from pipelines.sources.sharepoint import GraphClient
from pipelines.stages.attempt import attempt
from pipelines.stages.raw_frames import canonical, rejected_rows, set_aside
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from warehouse.catalog.tables import TABLES

SOURCE = "sharepoint"
PREFIX = "raw_sharepoint__"
DATASETS = ("business_target", "capacity_register", "lifting_programme", "tag_register")
REJECTED = f"{PREFIX}rejected_row"


def extract_register(ws: Workspace, _labels: Sequence[date]) -> StageResult:
    """Renew every snapshot. Raises SourceError; a dataset that the site does not map is written empty."""
    frames = {name: empty(PREFIX + name) for name in DATASETS}
    rejected = [empty(REJECTED)]
    if ws.sharepoint is not None:
        with attempt(ws, SOURCE) as record, _client(ws) as client:
            mapped: dict[str, ListMapping | WorkbookMapping] = {
                **ws.sharepoint_mapping.lists,
                **ws.sharepoint_mapping.workbooks,
            }
            for name in (n for n in DATASETS if n in mapped):
                extract = client.read(_typed(PREFIX + name, mapped[name]))
                frame = canonical(PREFIX + name, extract.frame)
                keyless = pl.any_horizontal(pl.col(k).is_null() for k in TABLES[PREFIX + name].key)
                frames[name], nameless = set_aside(frame, keyless, "key_present", "the row has no key")
                rejected += [rejected_rows(name, ws.latest_label, part) for part in (extract.rejected, nameless)]
            record.data_as_of(ws.now())
    provenance = ws.provenance("lists and workbooks")
    tables = {
        PREFIX + name: [ws.lake.write_snapshot(PREFIX + name, frame, provenance=provenance)]
        for name, frame in frames.items()
    }
    tables[REJECTED] = [ws.lake.write_snapshot(REJECTED, pl.concat(rejected), provenance=provenance)]
    return StageResult(tables)


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
