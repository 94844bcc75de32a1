"""What of a daily dataset of Energy Components is read: days that may have changed whole, of the others only what has.

A day is read whole when it never was, when its last whole read is a day old (deletions leave no stamp), or when a row of
it was stamped since; the question for such rows reaches back before the newest stamp seen, for stamps precede commits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from pipelines.lake import empty
from pipelines.sources.cast import parse_value, pointed
from pipelines.sources.config import EcOracleConfig, EcRestConfig
from pipelines.sources.energy_components import EnergyComponents
from pipelines.sources.extract import Extract
from pipelines.sources.mapping import STAMP, DatasetMapping
from pipelines.stages.raw_frames import canonical, in_every_label, in_labels, rejected_rows, set_aside
from pipelines.stages.raw_tally import Tally, entries, runs, span
from pipelines.stages.workspace import Workspace
from pipelines.watermark import OVERLAP, DayMark, DaysRead, basis_of, is_recent, read_watermark, spans_of
from warehouse.catalog.tables import TABLES

PREFIX = "raw_energy_components__"
REJECTED = f"{PREFIX}rejected_row"
EVENTS = "deferment_event"


@dataclass(frozen=True)
class Taken:
    """One dataset's part of a refresh: `labels` were read whole into `frame` and `rejected`; `watermark` is what may be
    noted once they stand in the lake (None: nothing was asked).
    """

    dataset: str
    labels: list[date]
    frame: pl.DataFrame
    rejected: pl.DataFrame
    watermark: DaysRead | None = None

    @property
    def table(self) -> str:
        """The raw table."""
        return PREFIX + self.dataset


def address(config: EcRestConfig | EcOracleConfig | None) -> str:
    """Which installation answers, and by which way: another one's watermark means nothing."""
    if isinstance(config, EcRestConfig):
        return config.base_url
    return f"{config.host}:{config.port}/{config.service_name}" if config is not None else ""


def take(ws: Workspace, client: EnergyComponents, dataset: str, labels: Sequence[date], tally: Tally) -> Taken:
    """Read what of the labels can have changed. Raises SourceError; nothing is written here.

    A dataset that the site does not map is empty on every label.
    """
    table = PREFIX + dataset
    if dataset not in ws.datasets:
        return Taken(dataset, list(labels), empty(table), empty(REJECTED))
    now, mapping = ws.now(), ws.datasets[dataset]
    basis = basis_of(address(ws.energy_components), mapping, ws.site.zone, _day_starts(ws))
    found = read_watermark(ws.lake, table, DaysRead, basis=basis, warn=ws.report)
    marks = found.days() if found is not None else {}
    probed = _probed(ws, client, dataset, labels, marks, now)
    touched: set[date] = set()
    stamps = [mark.seen_to for mark in marks.values() if mark.seen_to is not None]
    since = min((seen for label in probed if (seen := marks[label].seen_to)), default=now) - OVERLAP
    if probed:
        extract = client.changes(dataset, since, probed[0], probed[-1] + _reach(dataset))
        tally.add(extract)
        touched = _touched(ws, mapping, extract, probed)
        stamps += _newest_stamp(extract.frame)
    left = set(probed) - touched
    read = [label for label in labels if label not in left]
    parts = []
    for run in runs(read):
        extract = client.read(dataset, run[0], run[-1] + _reach(dataset))
        tally.add(extract)
        parts.append(_shaped(ws, mapping, extract, run))
        stamps += _newest_stamp(extract.frame)
    frame = pl.concat([empty(table), *(part for part, _ in parts)])
    tally.parts += len(read)
    tally.leave(len(left), "no row stamped since the last read differs from what is held")
    if left:
        ws.report(
            f"Energy Components {dataset}: {span(sorted(left))} not read, no row stamped since {since:%Y-%m-%d %H:%M}Z "
            f"differs; read whole: {span(read)}"
        )
    # A stamp of the future would hide every later change: the mark never runs ahead of this read.
    seen_to = min([now, max(stamps)]) if stamps else None
    unstamped = set(frame.filter(pl.col(STAMP).is_null())["production_date"].unique())
    marks |= {label: msgspec.structs.replace(marks[label], seen_to=seen_to) for label in left}
    marks |= {d: DayMark(read_at=now, seen_to=None if d in unstamped else seen_to) for d in read}
    rejected = pl.concat([empty(REJECTED), *(part for _, part in parts)])
    return Taken(dataset, read, frame, rejected, DaysRead(basis=basis, spans=spans_of(marks)))


def _probed(
    ws: Workspace,
    client: EnergyComponents,
    dataset: str,
    labels: Sequence[date],
    marks: Mapping[date, DayMark],
    now: datetime,
) -> list[date]:
    """Labels that need no whole read unless something in them has changed."""
    if ws.is_full_read or not client.tells_changes(dataset):
        return []
    held = entries(ws, PREFIX + dataset, labels)
    known = ((label, marks[label]) for label in labels if label in marks and label in held)
    return [label for label, mark in known if mark.seen_to is not None and is_recent(mark.read_at, now)]


def _touched(ws: Workspace, mapping: DatasetMapping, extract: Extract, labels: Sequence[date]) -> set[date]:
    """Labels in which a row of the answer does not stand as it came, or in which it stands no longer.

    Rows within the overlap come again at every refresh; only those that differ from what is held count.
    """
    span_asked = [labels[0] + timedelta(days=n) for n in range((labels[-1] - labels[0]).days + 1)]
    given, rejected = _shaped(ws, mapping, extract, span_asked)
    of_labels = pl.col("production_date").is_in(list(labels))
    given = given.filter(of_labels)
    held = ws.lake.read(PREFIX + mapping.name, labels[0], labels[-1]).filter(of_labels)
    different = given.join(held, on=given.columns, how="anti", nulls_equal=True)
    touched = set(different["production_date"].unique())
    if mapping.name == EVENTS and extract.frame.height:
        # An event that was moved leaves days in which it stood before.
        came = extract.frame.select(pl.col("event_no").cast(pl.String)).unique()
        place = ["event_no", "production_date"]
        left = held.join(came, on="event_no", how="semi").join(given.select(place), on=place, how="anti")
        touched |= set(left["production_date"].unique())
    if rejected.height:
        before = ws.lake.read(REJECTED, labels[0], labels[-1]).filter(pl.col("dataset") == mapping.name)
        fresh = rejected.join(before, on="row_id", how="anti")
        days = set(fresh["production_date"].unique())
        touched |= days & set(labels) if days <= set(labels) else set(labels)
    return touched


def _shaped(
    ws: Workspace, mapping: DatasetMapping, extract: Extract, labels: Sequence[date]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """An answer as rows of the table over the labels (consecutive), and as rejected rows."""
    table, dataset = PREFIX + mapping.name, mapping.name
    frame = extract.frame
    if dataset == EVENTS:
        frame = in_every_label(frame, labels, _day_starts(ws), "started_at_local", "ended_at_local")
    frame = canonical(table, frame)
    if dataset == "well_day":
        frame = frame.with_columns(pl.col("flow_kind").fill_null(""))
    frame, outside = in_labels(frame, labels)
    keyless = pl.any_horizontal(pl.col(k).is_null() for k in TABLES[table].key)
    frame, nameless = set_aside(frame, keyless, "key_present", f"a column of the key {TABLES[table].key} is null")
    rejected = [
        rejected_rows(dataset, _label_of_each(ws, mapping, part, labels), part)
        for part in (extract.rejected, outside, nameless)
    ]
    return frame, pl.concat(rejected).unique(["production_date", "dataset", "row_id"], maintain_order=True)


def _label_of_each(
    ws: Workspace, mapping: DatasetMapping, rejected: pl.DataFrame, labels: Sequence[date]
) -> pl.Expr | date:
    """The production day that a rejected row itself names, so that it stands there however wide the read was.

    A row that names none of the labels stands under the last one.
    """
    if rejected.is_empty():
        return labels[-1]
    named = (_label_of(ws, mapping, raw) for raw in rejected["raw"])
    days = [day if day is not None and labels[0] <= day <= labels[-1] else labels[-1] for day in named]
    return pl.lit(pl.Series("production_date", days, dtype=pl.Date))


def _label_of(ws: Workspace, mapping: DatasetMapping, raw: str) -> date | None:
    is_event = mapping.name == EVENTS
    canonical_name = "started_at_local" if is_event else "production_date"
    column = next((each for each in mapping.columns if each.canonical == canonical_name), None)
    row: Any = msgspec.json.decode(raw)
    if column is None or not isinstance(row, dict):
        return None
    source = column.source
    value = row.get(canonical_name) or (pointed(row, source) if source.startswith("/") else row.get(source))
    zone = ZoneInfo(column.zone or ws.site.zone)
    try:
        parsed = parse_value(value, "datetime" if is_event else "date", zone=zone)
    except (ValueError, OverflowError):
        return None
    if is_event and isinstance(parsed, datetime):
        latest = max(_day_starts(ws))
        return (parsed - timedelta(hours=latest.hour, minutes=latest.minute)).date()
    return parsed if isinstance(parsed, date) else None


def _newest_stamp(frame: pl.DataFrame) -> list[datetime]:
    newest = frame[STAMP].max() if STAMP in frame.columns else None
    return [newest] if isinstance(newest, datetime) else []


def _reach(dataset: str) -> timedelta:
    # Events are asked by clock days: the last production day ends within the next one.
    return timedelta(days=1) if dataset == EVENTS else timedelta(0)


def _day_starts(ws: Workspace) -> list[time]:
    return [ws.site.day_start, *(time.fromisoformat(s) for s in ws.site.facilities["day_start"].drop_nulls())]
