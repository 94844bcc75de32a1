"""Raw PI: recorded values by production day, with each tag's last value before the day.

PI of a day is read over the union of the facilities' intervals.
"""

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl

from pipelines.lake import empty
from pipelines.sources.pi_web_api import PiClient
from pipelines.stages.attempt import attempt
from pipelines.stages.raw_frames import canonical, rejected_rows, samples_by_label
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace

SOURCE = "pi"
REJECTED = "raw_pi__rejected_row"
TABLE_OF_GROUP = {"process": "raw_pi__recorded_value", "gauge": "raw_pi__tank_gauge"}
# Labels read in one go: bounds memory at about this many days of every tag of the group.
CHUNK_LABELS = {"process": 3, "gauge": 60}


def extract_recorded_value(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Read the process tags over the labels and replace their partitions. Raises SourceError."""
    return _extract(ws, labels, "process")


def extract_tank_gauge(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Read the tank gauges over the labels and replace their partitions. Raises SourceError."""
    return _extract(ws, labels, "gauge")


def first_label(ws: Workspace) -> date | None:
    """The production day of the first recorded value of any tag; used by replays, which read their whole span."""
    if ws.pi is None or ws.site.tags.is_empty():
        return None
    ids = dict(ws.site.tags.select("tag_name", "tag_id").iter_rows())
    with attempt(ws, SOURCE), PiClient(ws.pi) as client:
        first = client.first_recorded(ids)
    return ws.calendar.label_of(None, first) if first is not None else None


def _extract(ws: Workspace, labels: Sequence[date], group: str) -> StageResult:
    table = TABLE_OF_GROUP[group]
    result = StageResult()
    tags = ws.site.tags.filter(pl.col("group") == group)
    labels = [label for label in labels if ws.calendar.union_bounds(label)[0] < ws.now()]
    if ws.pi is None or tags.is_empty():
        result.tables[table] = ws.write(table, empty(table), labels)
        return result
    ids = dict(tags.select("tag_name", "tag_id").iter_rows())
    missing: set[str] = set()
    with (
        attempt(ws, SOURCE) as record,
        PiClient(
            ws.pi,
            on_progress=lambda p: ws.report(f"PI {p.dataset}: {p.rows:,} values, {p.bytes / 1e6:.0f} MB"),
        ) as client,
    ):
        written = []
        for begin in range(0, len(labels), CHUNK_LABELS[group]):
            chunk = labels[begin : begin + CHUNK_LABELS[group]]
            bounds = _bounds(ws, chunk)
            start, end = bounds[0][1], bounds[-1][2]
            extract = client.recorded(ids, start, end, dataset=table)
            missing.update(extract.missing)
            for warning in extract.warnings:
                ws.report(warning)
            frame = canonical(table, samples_by_label(extract.frame, bounds))
            written += ws.write(table, frame, chunk, extract.request)
            record.data_as_of(extract.frame["observed_at_utc"].max())
        result.tables[table] = written
        record.percent_good(_percent_good(ws, table, labels[-1]))
    result.figures["tags missing"] = len(missing)
    if group == "process":
        result.tables[REJECTED] = ws.write(REJECTED, _missing_tags(sorted(missing), labels[-1]), [labels[-1]])
    return result


def _bounds(ws: Workspace, labels: Sequence[date]) -> list[tuple[date, datetime, datetime]]:
    """Label, start and end of what there is to read: the running day ends now."""
    now = ws.now()
    found = [(label, *ws.calendar.union_bounds(label)) for label in labels]
    return [(label, start, min(end, now)) for label, start, end in found]


def _percent_good(ws: Workspace, table: str, label: date) -> float | None:
    samples = ws.lake.read(table, label, label)
    good = samples.filter(pl.col("is_good")).height
    return 100.0 * good / samples.height if samples.height else None


def _missing_tags(names: Sequence[str], label: date) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "rule": ["tag_exists"] * len(names),
            "reason": ["the archive does not know the tag, or it may not be read: compare the tag map"] * len(names),
            "raw": [f'{{"tag_name": "{name}"}}' for name in names],
        },
        schema={"rule": pl.String, "reason": pl.String, "raw": pl.String},
    )
    return rejected_rows("recorded_value", label, frame)


RECORDED_VALUE = Stage(
    name="raw_pi__recorded_value",
    run=extract_recorded_value,
    tables=("raw_pi__recorded_value", REJECTED),
    source=SOURCE,
    description="Recorded values of process tags, as received, by production day.",
)
TANK_GAUGE = Stage(
    name="raw_pi__tank_gauge",
    run=extract_tank_gauge,
    tables=("raw_pi__tank_gauge",),
    source=SOURCE,
    description="Recorded values of tank gauges, as received, by production day.",
)
