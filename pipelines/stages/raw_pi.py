"""Raw PI: recorded values by production day, with each tag's last value before the day.

PI of a day is read over the union of the facilities' intervals. Which days are read, and from when on, stands in
raw_pi_plan; here what is read replaces what was held of the same interval and tags.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from pipelines.lake import Written, empty
from pipelines.sources.errors import SourceBroken
from pipelines.sources.extract import Extract
from pipelines.sources.pi_web_api import PiClient
from pipelines.stages.attempt import Attempt, attempt
from pipelines.stages.raw_frames import canonical, rejected_rows, samples_by_label
from pipelines.stages.raw_pi_plan import Day, Window, doubtful, windows
from pipelines.stages.raw_tally import Tally, entries, span, standing
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.watermark import DayMark, DaysRead, basis_of, read_watermark, spans_of, write_watermark

SOURCE = "pi"
REJECTED = "raw_pi__rejected_row"
TABLE_OF_GROUP = {"process": "raw_pi__recorded_value", "gauge": "raw_pi__tank_gauge"}
# Labels read in one go: bounds memory at about this many days of every tag of the group.
CHUNK_LABELS = {"process": 3, "gauge": 60}
_LEFT = "final, or read within the day and older than the overlap"


def extract_recorded_value(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Bring the process tags up to date over the labels. Raises SourceError."""
    return _extract(ws, labels, "process")


def extract_tank_gauge(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Bring the tank gauges up to date over the labels. Raises SourceError."""
    return _extract(ws, labels, "gauge")


def first_label(ws: Workspace) -> date | None:
    """The production day of the first recorded value of any tag; used by replays, which read their whole span."""
    if ws.pi is None or ws.site.tags.is_empty():
        return None
    ids = dict(ws.site.tags.select("tag_name", "tag_id").iter_rows())
    with attempt(ws, SOURCE), PiClient(ws.pi) as client:
        first = client.first_recorded(ids)
    return ws.calendar.label_of(None, first) if first is not None else None


@dataclass
class _Reading:
    """One refresh of one group of tags."""

    ws: Workspace
    client: PiClient
    table: str
    ids: Mapping[str, int]
    basis: str
    now: datetime
    record: Attempt
    marks: dict[date, DayMark]
    tally: Tally = field(default_factory=Tally)
    written: list[Written] = field(default_factory=list)
    # Tags that could not be read in this run; None while nothing was read.
    missing: set[str] | None = None

    def window(self, window: Window) -> None:
        """Read a window and replace what the lake held of it."""
        labels = [day.label for day in window.days]
        extract = self._asked(self.ids, window.start, window.days[-1].end)
        self.missing = (self.missing or set()) | set(extract.missing)
        held = self._held(labels)
        is_before = pl.col("production_date").is_in(list(window.partial)) & (pl.col("observed_at_utc") < window.start)
        frame = self._by_label(held.filter(is_before | self._is_lost(extract)), extract, window.days, window.start)
        self._write(frame, labels, extract)
        for day in window.days:
            self.marks[day.label] = self._mark(frame, day, extract.missing)
        self._remember()

    def again(self, day: Day, mark: DayMark) -> None:
        """Read a final day's doubtful tags again and leave its others as they are."""
        wanted = {name: tag for name, tag in self.ids.items() if tag in mark.suspects or name in mark.missing}
        refused = self.missing if self.missing is not None else set(wanted) - set(self.client.points(wanted))
        wanted = {name: tag for name, tag in wanted.items() if name not in refused}
        if not wanted:
            return
        try:
            extract = self._asked(wanted, day.start, day.end)
        except SourceBroken as error:
            # These tags alone: the day stands as it was read, and is tried again tomorrow.
            self.ws.report(f"WARNING {error}")
            return
        held = self._held([day.label])
        others = ~pl.col("tag_id").is_in(list(wanted.values()))
        frame = self._by_label(held.filter(others | self._is_lost(extract)), extract, [day], day.start)
        self._write(frame, [day.label], extract)
        still = [name for name in mark.missing if name not in wanted]
        self.marks[day.label] = self._mark(frame, day, [*still, *extract.missing])
        self._remember()

    def _asked(self, ids: Mapping[str, int], start: datetime, end: datetime) -> Extract:
        extract = self.client.recorded(ids, start, end, dataset=self.table)
        self.tally.add(extract)
        for warning in extract.warnings:
            self.ws.report(warning)
        self.record.data_as_of(extract.frame["observed_at_utc"].max())
        return extract

    def _held(self, labels: Sequence[date]) -> pl.DataFrame:
        return self.ws.lake.read(self.table, labels[0], labels[-1])

    def _is_lost(self, extract: Extract) -> pl.Expr:
        # What was read of a tag that the archive refuses today was true when it was read. A full read starts afresh.
        lost = [] if self.ws.is_full_read else [self.ids[name] for name in extract.missing]
        return pl.col("tag_id").is_in(lost)

    def _by_label(self, held: pl.DataFrame, extract: Extract, days: Sequence[Day], start: datetime) -> pl.DataFrame:
        samples, key = extract.frame, ["tag_id", "observed_at_utc"]
        if held.height:
            kept = held.select(pl.col(name).cast(dtype) for name, dtype in samples.schema.items())
            # A sample can be held in two days, and be a boundary of what was read as well.
            boundary = samples.filter(pl.col("observed_at_utc") < start).select(key)
            kept = kept.unique(key, maintain_order=True).join(boundary, on=key, how="anti")
            samples = pl.concat([kept, samples]).sort(key)
        return canonical(self.table, samples_by_label(samples, [(day.label, day.start, day.end) for day in days]))

    def _write(self, frame: pl.DataFrame, labels: Sequence[date], extract: Extract) -> None:
        self.written += self.ws.write(self.table, frame, labels, extract.request)
        self.tally.parts += len(labels)

    def _mark(self, frame: pl.DataFrame, day: Day, missing: Sequence[str]) -> DayMark:
        bad = frame.filter((pl.col("production_date") == day.label) & ~pl.col("is_good"))["tag_id"].unique().sort()
        return DayMark(
            read_at=self.now, read_to=day.end, suspects=tuple(bad.to_list()), missing=tuple(sorted(set(missing)))
        )

    def _remember(self) -> None:
        """After the data, window by window: a run that is killed midway keeps what it has done."""
        write_watermark(self.ws.lake, self.table, DaysRead(basis=self.basis, spans=spans_of(self.marks)))


def _extract(ws: Workspace, labels: Sequence[date], group: str) -> StageResult:
    table = TABLE_OF_GROUP[group]
    result = StageResult()
    tags = ws.site.tags.filter(pl.col("group") == group)
    labels = [label for label in labels if ws.calendar.union_bounds(label)[0] < ws.now()]
    if ws.pi is None or tags.is_empty() or not labels:
        result.tables[table] = ws.write(table, empty(table), labels)
        return result
    ids = dict(tags.select("tag_name", "tag_id").iter_rows())
    basis = basis_of(ws.pi.base_url, ws.pi.data_server, sorted(ids.items()))
    known = read_watermark(ws.lake, table, DaysRead, basis=basis, warn=ws.report)
    marks = known.days() if known is not None else {}
    if ws.is_full_read:
        marks = {label: mark for label, mark in marks.items() if label not in set(labels)}
    with (
        attempt(ws, SOURCE) as record,
        PiClient(
            ws.pi,
            on_progress=lambda p: ws.report(f"PI {p.dataset}: {p.rows:,} values, {p.bytes / 1e6:.0f} MB"),
        ) as client,
    ):
        now = ws.now()
        reading = _Reading(ws, client, table, ids, basis, now, record, dict(marks))
        days, held = _days(ws, labels, now), entries(ws, table, labels).keys()
        for window in windows(days, marks, held, now, most=CHUNK_LABELS[group]):
            reading.window(window)
        for day, mark in doubtful(days, marks, held, now):
            reading.again(day, mark)
        record.percent_good(_percent_good(ws, table, labels[-1]))
    done = {w.partition for w in reading.written}
    left = [label for label in labels if not {label.isoformat(), f"{label:%Y-%m}"} & done]
    if left:
        ws.report(f"PI {table}: {span(left)} not read: {_LEFT}")
    reading.tally.leave(len(left), _LEFT)
    result.tables[table] = reading.written + standing(ws, table, left)
    result.figures["tags missing"] = len(reading.missing or ())
    result.figures |= reading.tally.figures("days")
    if group == "process":
        result.tables[REJECTED] = _missing_reported(ws, reading.missing, labels[-1])
    return result


def _days(ws: Workspace, labels: Sequence[date], now: datetime) -> list[Day]:
    """What there is to read: the running day ends now."""
    found = [(label, *ws.calendar.union_bounds(label)) for label in labels]
    return [Day(label, start, min(end, now), end <= now) for label, start, end in found]


def _percent_good(ws: Workspace, table: str, label: date) -> float | None:
    samples = ws.lake.read(table, label, label)
    good = samples.filter(pl.col("is_good")).height
    return 100.0 * good / samples.height if samples.height else None


def _missing_reported(ws: Workspace, missing: set[str] | None, label: date) -> list[Written]:
    if missing is None:
        return standing(ws, REJECTED, [label])
    return ws.write(REJECTED, _missing_tags(sorted(missing), label), [label])


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
