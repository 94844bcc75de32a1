"""Refreshes of PI one after the other hold what one whole read would hold, whatever came late, and read no more than due."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pipelines import site as sites
from pipelines.lake import Lake
from pipelines.sources.config import PiConfig
from pipelines.sources.errors import Asking, SourceBroken
from pipelines.sources.extract import Extract
from pipelines.sources.pi_web_api_frame import RECORDED_SCHEMA
from pipelines.stages import raw_pi
from pipelines.stages.raw_pi_plan import LATE_HORIZON, Day, needed_from, windows
from pipelines.stages.workspace import Workspace, label_range
from pipelines.watermark import OVERLAP, SWEEP, DayMark

TABLE = "raw_pi__tank_gauge"
FIRST = date(2026, 11, 10)
# The sandbox's production day begins at 06:00 in Lagos.
START = datetime(2026, 11, 10, 5, tzinfo=UTC)
SITE = sites.load("sandbox")
TAGS = SITE.tags.filter(pl.col("group") == "gauge").select("tag_id", "tag_name").head(3).rows()
HOUR = timedelta(hours=1)


@dataclass
class Archive:
    """Samples (tag id, instant, arrival, is good) as they can be seen at `now`; `refused` tags cannot be read."""

    samples: list[tuple[int, datetime, datetime, bool]]
    now: datetime = START
    refused: set[str] = field(default_factory=set)
    asked: list[tuple[int, datetime, datetime]] = field(default_factory=list)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None: ...

    def points(self, names: Sequence[str]) -> dict[str, str]:
        return {name: name for name in names if name not in self.refused}

    def recorded(self, tags: Mapping[str, int], start: datetime, end: datetime, *, dataset: str) -> Extract:
        self.asked.append((len(tags), start, end))
        missing = tuple(sorted(self.refused & set(tags)))
        if len(missing) == len(tags):
            raise SourceBroken(Asking("PI", dataset), asked="tags", came="nothing")
        ids = {tag for name, tag in tags.items() if name not in self.refused}
        rows = sorted({(t, at): good for t, at, seen, good in self.samples if t in ids and seen <= self.now}.items())
        inside = [(key, good) for key, good in rows if start <= key[1] < end]
        begun = {tag for (tag, at), _ in inside if at == start}
        before = {tag: ((tag, at), good) for (tag, at), good in rows if at < start and tag not in begun}
        found = sorted([*before.values(), *inside])
        frame = pl.DataFrame(
            [(tag, at, float(at.hour) if good else None, None, good, False) for (tag, at), good in found],
            schema=RECORDED_SCHEMA,
            orient="row",
        )
        return Extract(frame, request=f"{start} to {end}", pages=1, missing=missing)


@contextmanager
def lakes(archive: Archive) -> Iterator[Any]:
    """A function that refreshes labels at an instant in a named lake and gives the rows that the lake then holds."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_pi, "PiClient", lambda *_, **__: archive)

        def refresh(name: str, now: datetime, labels: Sequence[date], **changes: Any) -> pl.DataFrame:
            archive.now = now
            archive.asked.clear()
            ws = Workspace(
                site=SITE,
                lake=Lake(Path(folder) / name),
                warehouse_dir=Path(folder) / "warehouse",
                now=lambda: now,
                pi=PiConfig(base_url="http://pi.test/piwebapi"),
                report=lambda _: None,
                **changes,
            )
            raw_pi.extract_tank_gauge(ws, labels)
            return ws.lake.read(TABLE, labels[0], labels[-1])

        yield refresh


def sample(tag: int, hours: float, late: float = 0.0, *, good: bool = True) -> tuple[int, datetime, datetime, bool]:
    at = START + timedelta(hours=hours)
    return TAGS[tag][0], at, at + timedelta(hours=late), good


SAMPLES = st.builds(
    sample, st.integers(0, 2), st.integers(-30, 96), st.integers(0, 24), good=st.sampled_from([True, True, False])
)


@effort(max_examples=30, deadline=None)
@given(st.lists(SAMPLES, max_size=40), st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_refreshes_when_values_come_late_within_the_overlap_then_they_hold_what_a_whole_read_holds(
    samples: list[tuple[int, datetime, datetime, bool]], pauses: list[int]
) -> None:
    with lakes(Archive(samples)) as refresh:
        now = START
        for number, pause in enumerate(pauses):
            now += timedelta(hours=pause)
            last = (now - timedelta(hours=5)).date()
            labels = label_range(max(FIRST, last - timedelta(days=number % 3)), last)
            held = refresh("step by step", now, labels)
            assert held.equals(refresh(f"whole {number}", now, labels)), (now, labels)


def test_refresh_when_nothing_is_new_then_the_overlap_is_read_and_nothing_older() -> None:
    archive = Archive([sample(0, hour) for hour in range(0, 59, 3)])
    labels = label_range(FIRST, FIRST + timedelta(days=2))
    with lakes(archive) as refresh:
        now = START + timedelta(hours=60)
        before = refresh("one", now, labels)
        again = refresh("one", now + HOUR, labels)
        assert again.equals(before)
        assert [start for _, start, _ in archive.asked] == [now - OVERLAP]
        refresh("one", now + SWEEP, labels)
        assert archive.asked[0][1] == START, "once a day the days that late values may still reach are read whole"
        whole = refresh("one", now + HOUR, labels, is_full_read=True)
        assert archive.asked[0][1] == START
        assert whole.equals(before)


def test_day_when_it_is_final_then_it_is_not_read_again_but_for_tags_that_were_not_good() -> None:
    bad = [sample(1, 6, good=False), sample(1, 6, late=200)]
    archive = Archive([*(sample(0, hour) for hour in range(0, 24, 3)), *bad, sample(2, 30)])
    day_end = START + timedelta(hours=24)
    with lakes(archive) as refresh:
        refresh("one", day_end + LATE_HORIZON, [FIRST])
        refresh("one", day_end + LATE_HORIZON + HOUR, [FIRST])
        assert archive.asked == [], "it was looked at today"
        held = refresh("one", START + timedelta(hours=206), [FIRST])
        assert archive.asked == [(1, START, day_end)]
        assert held.filter(pl.col("tag_id") == TAGS[1][0])["is_good"].to_list() == [True]
        assert held.filter(pl.col("tag_id") == TAGS[0][0]).height == 8
        refresh("one", START + timedelta(hours=300), [FIRST])
        assert archive.asked == [], "all good: never again unless asked"
        assert refresh("one", START + timedelta(hours=300), [FIRST], is_full_read=True).equals(held)
        assert archive.asked[0][1:] == (START, day_end)


def test_tag_when_the_archive_refuses_it_for_a_while_then_nothing_is_lost_and_the_rest_is_made_up_for() -> None:
    archive = Archive([sample(tag, hour) for tag in (0, 1) for hour in range(0, 120, 6)])
    labels = label_range(FIRST, FIRST + timedelta(days=1))
    name = TAGS[1][1]
    with lakes(archive) as refresh:
        refresh("one", START + timedelta(hours=20), [FIRST])
        archive.refused = {name}
        held = refresh("one", START + timedelta(hours=40), labels)
        of_tag = held.filter((pl.col("tag_id") == TAGS[1][0]) & (pl.col("production_date") == FIRST))
        assert of_tag.height == 4, "what was read of it stays"
        for hours in (130, 160):
            refresh("one", START + timedelta(hours=hours), labels)
        archive.refused = set()
        held = refresh("one", START + timedelta(hours=190), labels)
        assert held.equals(refresh("whole", START + timedelta(hours=190), labels))


def test_tag_map_when_it_changes_then_days_are_read_whole_again() -> None:
    archive = Archive([sample(0, 6)])
    with lakes(archive) as refresh, pytest.MonkeyPatch.context() as patch:
        refresh("one", START + timedelta(hours=200), [FIRST])
        refresh("one", START + timedelta(hours=201), [FIRST])
        assert archive.asked == []
        patch.setattr(raw_pi, "basis_of", lambda *_: "another")
        refresh("one", START + timedelta(hours=201), [FIRST])
        assert [start for _, start, _ in archive.asked] == [START]


INSTANT = st.integers(-10, 200).map(lambda hours: START + timedelta(hours=hours))


@given(INSTANT, INSTANT, st.integers(0, 200))
def test_need_when_a_day_was_read_then_only_a_whole_late_read_makes_it_final(
    read_at: datetime, read_to: datetime, age: int
) -> None:
    now = START + timedelta(hours=age)
    end = START + timedelta(hours=24)
    day = Day(FIRST, START, min(end, now), end <= now)
    if day.end <= START:
        return
    mark = DayMark(read_at=read_at, read_to=min(read_to, read_at, end))
    need = needed_from(day, mark, now)
    if need is None:
        assert mark.read_to == day.end, "what was not read to its end is read"
        assert read_at - OVERLAP >= end
    else:
        assert START <= need <= max(START, read_at - OVERLAP, min(read_to, read_at) - OVERLAP)
    (window,) = windows([day], {FIRST: mark}, [], now, most=3)
    assert (window.start, window.partial) == (START, frozenset()), "a day that the lake has not is read whole"
