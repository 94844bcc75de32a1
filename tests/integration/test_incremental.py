"""What a refresh reads of sources that did not change, changed a little, or lost track: against running simulators.

One small field, its raw tables loaded once; every test leaves lake and sources in step. Requests, rows and files are
counted, nothing is timed.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest

from pipelines.lake import Lake
from pipelines.simulators.ec_oracle import SERVICE, USER, OracleServer
from pipelines.simulators.faults import Fault
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.sources.config import EcOracleConfig, Secret
from pipelines.stages import core_register, raw_energy_components, raw_pi, raw_sharepoint
from pipelines.stages.stage import StageResult
from pipelines.watermark import NAME, OVERLAP, SWEEP
from tests.integration.incremental_rig import (
    EVENT,
    LABELS,
    LAST,
    LISTS,
    NOW,
    STREAM,
    TARGET,
    Rig,
    correction,
    daily,
    killed,
    moved,
    registers,
    start,
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    for made in start(tmp_path_factory.mktemp("incremental")):
        refreshed(made)
        yield made


def refreshed(rig: Rig, **changes: bool) -> dict[str, StageResult]:
    """Every raw stage but the process tags, over every label."""
    ws = rig.at(**changes)
    return {
        "daily": raw_energy_components.extract_daily(ws, LABELS),
        "registers": raw_energy_components.extract_register(ws, LABELS[-1:]),
        "lists": raw_sharepoint.extract_register(ws, LABELS[-1:]),
        "gauges": raw_pi.extract_tank_gauge(ws, [*LABELS, ws.running_label]),
    }


@pytest.fixture(autouse=True)
def counted(rig: Rig) -> None:
    rig.forget_requests()


# Nothing changed


def test_refresh_when_nothing_changed_then_little_is_asked_and_nothing_moves(rig: Rig) -> None:
    files = rig.files()
    results = refreshed(rig)
    assert sum(result.changed_count for result in results.values()) == 0
    assert rig.files() == files

    views = rig.asked("energy_components", "/views/")
    assert len(views) == 8, "one question for changes a dataset"
    assert all("updated_since=" in target for target in views)
    figures = {name: result.figures for name, result in results.items()}
    served = rig.rows("energy_components", "rows")
    assert figures["daily"]["rows read"] + figures["registers"]["rows read"] == served
    assert 0 < served < rig.workspace.lake.read(STREAM, LABELS[0], LAST).height, "of all datasets together"
    assert figures["daily"]["days of datasets read"] == 0
    assert figures["daily"]["days of datasets skipped unchanged"] == 6 * len(LABELS)
    assert any("no row stamped since" in line for line in rig.told)

    assert [len(rig.asked("sharepoint", f"{name}/items")) for name in LISTS] == [1, 1]
    assert all("token=" in target for target in rig.asked("sharepoint", "/items"))
    assert rig.rows("sharepoint", "items") == 0
    assert rig.asked("sharepoint", "/content") == rig.asked("download") == []
    assert figures["lists"]["registers skipped unchanged"] == 4
    assert figures["lists"]["skipped because"] == "no item of the list has changed; the workbook's content is the same"

    starts = [parse_qs(urlsplit(t).query)["startTime"][0] for t in rig.asked("pi", "streamsets/recorded?")]
    assert min(datetime.fromisoformat(text) for text in starts) == NOW - OVERLAP
    assert figures["gauges"]["days read"] == 2
    assert figures["gauges"]["days skipped unchanged"] == len(LABELS) - 1


def test_full_read_when_nothing_changed_then_everything_is_asked_and_nothing_moves(rig: Rig) -> None:
    files = rig.files()
    results = refreshed(rig, is_full_read=True)
    assert sum(result.changed_count for result in results.values()) == 0
    assert rig.files() == files
    assert not any("updated_since" in target for target in rig.asked("energy_components"))
    assert rig.rows("energy_components", "rows") > rig.workspace.lake.read(STREAM, LABELS[0], LAST).height
    assert len(rig.asked("download")) == 2
    assert rig.rows("sharepoint", "items") > 0
    assert results["gauges"].figures["days skipped unchanged"] == 0


def test_correction_when_the_run_iskilled_before_the_mark_then_the_next_loses_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = NOW + timedelta(minutes=15)
    corrected = [LAST - timedelta(days=9), LAST - timedelta(days=3)]
    for label in corrected:
        correction(rig, label, later)
    before = rig.hashes(STREAM, EVENT)
    with monkeypatch.context() as patch:
        patch.setattr(raw_energy_components, "write_watermark", killed)
        with pytest.raises(KeyboardInterrupt):
            daily(rig, later)
    days = [(label.isoformat(), (label + timedelta(days=1)).isoformat()) for label in corrected]
    assert rig.whole_days("DV_STRM_DAY_STREAM") == days
    again = correction(rig, corrected[0], later)
    daily(rig, later)
    assert moved(rig, before, STREAM, EVENT) == {label.isoformat() for label in corrected}
    held = rig.workspace.lake.read(STREAM, corrected[0], corrected[0])
    assert held.filter(pl.col("stream_ec_code") == again["OBJECT_CODE"])["volume"].to_list() == [again["NET_VOL"]]
    rig.forget_requests()
    daily(rig, later)
    assert rig.whole_days("DV_STRM_DAY_STREAM") == []


@pytest.mark.parametrize("content", [None, b"", b'{"format":1,"basis":', b'{"format":2,"basis":"x","spans":[]}'])
def test_watermark_when_it_is_lost_or_unreadable_then_all_is_read_and_the_same(rig: Rig, content: bytes | None) -> None:
    files, moment = rig.files(marks=False), NOW + timedelta(minutes=15)
    path = rig.workspace.lake.root / STREAM / NAME
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    daily(rig, moment)
    assert rig.whole_days("DV_STRM_DAY_STREAM") == [(LABELS[0].isoformat(), (LAST + timedelta(days=1)).isoformat())]
    assert rig.whole_days("DV_PWEL_DAY_STATUS") == [], "only the dataset whose mark is gone"
    assert any("WARNING" in line and STREAM in line for line in rig.told) == (content is not None)
    assert rig.files(marks=False) == files
    rig.forget_requests()
    daily(rig, moment)
    assert rig.whole_days("DV_STRM_DAY_STREAM") == [], "one full read, and it is remembered again"


# Energy Components


def _seen_to(rig: Rig) -> datetime:
    """The newest stamp that the lake knows of the streams, as far as it had come by the last read."""
    stamps = rig.workspace.lake.read(STREAM, LABELS[0], LAST)["source_updated_at_utc"]
    return min(NOW + timedelta(minutes=15), stamps.max())  # type: ignore[type-var,return-value]


@pytest.mark.parametrize(
    ("case", "stamp"),
    [
        ("exactly at the newest stamp seen", lambda seen: seen),
        ("committed hours after its stamp", lambda seen: seen - timedelta(hours=23)),
        ("by a clock that runs ahead of ours", lambda seen: seen + timedelta(hours=3)),
        ("after that clock was set right", lambda seen: seen + timedelta(minutes=1)),
    ],
)
def test_change_when_its_stamp_is_odd_then_it_is_not_lost(
    rig: Rig, case: str, stamp: Callable[[datetime], datetime]
) -> None:
    label = LAST - timedelta(days=5)
    row = correction(rig, label, stamp(_seen_to(rig)), factor=1.005)
    before = rig.hashes(STREAM)
    daily(rig, NOW + timedelta(minutes=20))
    assert moved(rig, before, STREAM) == {label.isoformat()}, case
    held = rig.workspace.lake.read(STREAM, label, label).filter(pl.col("stream_ec_code") == row["OBJECT_CODE"])
    assert held["volume"].to_list() == [row["NET_VOL"]]


def test_deletion_when_it_leaves_no_stamp_then_the_daily_whole_read_sees_it(rig: Rig) -> None:
    label = LAST - timedelta(days=6)
    code = correction(rig, label, NOW - timedelta(days=30))["OBJECT_CODE"]
    rig.view("DV_STRM_DAY_STREAM").remove((pl.col("OBJECT_CODE") == code) & (pl.col("DAYTIME") == label))
    before = rig.hashes(STREAM)
    daily(rig, NOW + SWEEP - timedelta(minutes=1))
    assert label.isoformat() not in moved(rig, before, STREAM)
    daily(rig, NOW + SWEEP + timedelta(minutes=20))
    # A row of the last day came in by then.
    assert moved(rig, before, STREAM) == {label.isoformat(), LAST.isoformat()}
    assert rig.workspace.lake.read(STREAM, label, label).filter(pl.col("stream_ec_code") == code).is_empty()


def test_event_when_it_is_moved_then_every_day_that_it_left_or_entered_moves(rig: Rig) -> None:
    moment = NOW + SWEEP + timedelta(hours=1)
    view = rig.view("DV_DEFERMENT_EVENT")
    closed = view.visible(NOW).filter(
        (pl.col("END_DATE").dt.date() <= LAST - timedelta(days=2)) & (pl.col("DAYTIME").dt.date() >= LABELS[1])
    )
    row = closed.sort("EVENT_NO").row(0, named=True)
    number = str(row["EVENT_NO"])
    days = _days_of(rig, number)
    view.put(
        row
        | {
            "DAYTIME": datetime(2026, 10, 1, 8),
            "END_DATE": datetime(2026, 10, 2, 8),
            "REV_NO": row["REV_NO"] + 1,
            "LAST_UPDATED_UTC": moment,
        }
    )
    before = rig.hashes(EVENT)
    daily(rig, moment)
    assert days and moved(rig, before, EVENT) == {day.isoformat() for day in days}
    assert _days_of(rig, number) == []
    back = row | {"REV_NO": row["REV_NO"] + 2, "LAST_UPDATED_UTC": moment}
    view.put(back)
    daily(rig, moment + timedelta(minutes=1))
    assert _days_of(rig, number) == days


def _days_of(rig: Rig, event_no: str) -> list[date]:
    rows = rig.workspace.lake.read(EVENT, LABELS[0], LAST).filter(pl.col("event_no") == event_no)
    return rows["production_date"].sort().to_list()


def test_rejected_row_when_its_day_is_not_read_again_then_it_stays_and_stands_once(rig: Rig) -> None:
    moment = NOW + SWEEP + timedelta(hours=2)
    view, label = rig.view("DV_STRM_DAY_STREAM"), LAST - timedelta(days=4)
    view.put({"OBJECT_CODE": None, "DAYTIME": label, "NET_VOL": 5.0, "REV_NO": 1, "LAST_UPDATED_UTC": moment})
    rejected = raw_energy_components.REJECTED
    for minutes, whole in ((1, False), (2, False), (3, True)):
        result = daily(rig, moment + timedelta(minutes=minutes), is_full_read=whole)
        stands = rig.workspace.lake.read(rejected, LABELS[0], LAST)
        assert stands.select("production_date", "dataset", "rule").rows() == [(label, "stream_day", "key_present")]
        assert result.figures["rows rejected"] == 1
        assert bool(result.changed_count) == (minutes == 1)
    view.remove(pl.col("OBJECT_CODE").is_null())
    daily(rig, moment + timedelta(minutes=4), is_full_read=True)
    assert rig.workspace.lake.read(rejected, LABELS[0], LAST).is_empty()


def test_register_row_when_it_does_not_parse_then_quarantined_and_it_stays_while_nothing_is_read(rig: Rig) -> None:
    moment = NOW + SWEEP + SWEEP + timedelta(hours=3)
    view, table = rig.view("DV_STORAGE_LIFT_NOMINATION"), raw_energy_components.REGISTER_REJECTED
    # A column of text, as a site's own view may well give a number.
    view._edit(view._frame.with_columns(pl.col("GRS_VOL_NOMINATED").cast(pl.String)))
    row = view.visible(moment).row(0, named=True)
    view.put(row | {"PARCEL_NO": "999999", "GRS_VOL_NOMINATED": "to be agreed", "LAST_UPDATED_UTC": moment})
    for minutes, read in ((1, 2), (2, 0), (3, 2)):
        ws = rig.at(moment + timedelta(minutes=minutes), is_full_read=minutes == 3)
        result = raw_energy_components.extract_register(ws, LABELS[-1:])
        stands = ws.lake.read_snapshot(table)
        assert stands.select("production_date", "dataset", "rule").rows() == [
            (ws.latest_label, "cargo", "nominated_volume_is_float")
        ]
        assert (result.figures["rows rejected"], result.figures["registers read"]) == (1, read)
    core_register.STAGE.run(ws, LABELS[-1:])
    quarantined = ws.lake.read("core__quarantine", ws.latest_label, ws.latest_label)
    assert ("energy_components", "cargo") in quarantined.select("source", "dataset").rows()
    view.remove(pl.col("PARCEL_NO") == "999999")
    raw_energy_components.extract_register(rig.at(moment + timedelta(minutes=4), is_full_read=True), LABELS[-1:])
    assert rig.workspace.lake.read_snapshot(table).is_empty()


def test_oracle_when_a_correction_comes_then_the_changes_are_asked_and_its_day_alone_is_read(
    rig: Rig, tmp_path: Path
) -> None:
    replay = EnergyComponentsReplay(rig.running.data_folder / "energy_components")
    with OracleServer(replay, password="reader", clock=rig.running.clock) as server:
        config = EcOracleConfig(
            host=server.host, port=server.port, service_name=SERVICE, user=USER, password=Secret("reader")
        )
        rig.workspace, rest = replace(rig.workspace, lake=Lake(tmp_path), energy_components=config), rig.workspace
        rig.view = replay.views.__getitem__  # type: ignore[method-assign]
        try:
            assert daily(rig).changed_count > 0
            server.counts.clear()
            assert daily(rig).changed_count == 0
            assert 0 < server.counts["rows"] < rig.workspace.lake.read(STREAM, LABELS[0], LAST).height
            assert raw_energy_components.extract_register(rig.at(), LABELS[-1:]).figures["registers read"] == 2
            assert raw_energy_components.extract_register(rig.at(), LABELS[-1:]).figures["registers read"] == 0
            label, before = LAST - timedelta(days=7), rig.hashes(STREAM)
            row = correction(rig, label, NOW - timedelta(hours=1))
            server.counts.clear()
            daily(rig)
            assert moved(rig, before, STREAM) == {label.isoformat()}
            held = rig.workspace.lake.read(STREAM, label, label)
            assert row["NET_VOL"] in held["volume"].to_list()
        finally:
            rig.workspace = rest
            del rig.view


# SharePoint


def test_list_when_items_change_go_and_come_then_delta_and_a_whole_read_agree(rig: Rig) -> None:
    targets = rig.running.servers["sharepoint"].system.replay.lists[LISTS[0]]  # type: ignore[attr-defined]
    items = targets.items()
    changed, gone = items[3], items[5]
    targets.put(changed.item_id, changed.values | {"Target": 12_345.0}, NOW)
    targets.put(9_001, items[4].values | {"Version": "late"}, NOW)
    targets.delete(gone.item_id)
    registers(rig, NOW + timedelta(minutes=1))
    assert rig.rows("sharepoint", "items") == 3
    held = rig.workspace.lake.read_snapshot(TARGET)
    assert held.height == len(items)
    assert held.filter(pl.col("item_id") == str(changed.item_id))["value"].to_list() == [12_345.0]
    assert not {str(gone.item_id)} & set(held["item_id"])
    by_delta = rig.hashes(TARGET)

    # An item that does not parse leaves the table and stands among the rejected, once; put right it comes back.
    targets.put(changed.item_id, changed.values | {"Published at": None, "Valid from": None, "Node": ""}, NOW)
    registers(rig, NOW + timedelta(minutes=2))
    targets.put(changed.item_id, changed.values | {"Target": 12_345.0}, NOW)
    registers(rig, NOW + timedelta(minutes=3))
    assert rig.hashes(TARGET) == by_delta

    # Graph forgets where we were: all items are read again, with the same result.
    targets.forget_changes()
    rig.forget_requests()
    result = registers(rig, NOW + timedelta(minutes=4))
    assert [status for _, target, status in rig.running.servers["sharepoint"].system.requests if "delta" in target][
        :2
    ] == [410, 200]
    assert (result.changed_count, rig.hashes(TARGET)) == (0, by_delta)

    rig.forget_requests()
    assert registers(rig, NOW + timedelta(minutes=5)).changed_count == 0
    assert rig.rows("sharepoint", "items") == 0
    # Delta has been known to leave fields out: once a day the list is read as it is.
    assert registers(rig, NOW + timedelta(minutes=5) + SWEEP).changed_count == 0
    assert rig.rows("sharepoint", "items") == rig.workspace.lake.read_snapshot(TARGET).height + 33
    assert rig.hashes(TARGET) == by_delta


def test_list_when_the_run_iskilled_before_the_link_is_kept_then_nothing_is_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = rig.running.servers["sharepoint"].system.replay.lists[LISTS[0]]  # type: ignore[attr-defined]
    item = targets.items()[7]
    targets.put(item.item_id, item.values | {"Target": 777.0}, NOW)
    moment = NOW + SWEEP + timedelta(hours=3)
    with monkeypatch.context() as patch:
        patch.setattr(raw_sharepoint, "write_watermark", killed)
        with pytest.raises(KeyboardInterrupt):
            registers(rig, moment)
    assert registers(rig, moment).changed_count == 0
    held = rig.workspace.lake.read_snapshot(TARGET).filter(pl.col("item_id") == str(item.item_id))
    assert held["value"].to_list() == [777.0]


def test_workbook_when_its_content_changes_then_it_alone_is_downloaded(rig: Rig) -> None:
    path = rig.running.data_folder / "sharepoint/drive/Lifting/Lifting programme.xlsx"
    before = path.read_bytes()
    other = rig.running.data_folder / "sharepoint/drive/Instrumentation/PI tag register.xlsx"
    moment = NOW + SWEEP + timedelta(hours=4)
    registers(rig, moment)
    rig.forget_requests()
    # The same cells in another file: the mark of the content moves, the rows do not.
    path.write_bytes(_repacked(before))
    try:
        assert registers(rig, moment).changed_count == 0
        assert len(rig.asked("download")) == 1
    finally:
        path.write_bytes(before)
    assert other.exists()
    assert registers(rig, moment).changed_count == 0


def _repacked(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return target.getvalue()


# PI


def test_tags_when_history_is_edited_then_the_overlap_shows_it_at_once_and_the_day_a_day_later(rig: Rig) -> None:
    table = "raw_pi__tank_gauge"
    day, moment = LAST - timedelta(days=1), NOW + timedelta(minutes=15)
    tag = rig.workspace.site.tags.filter(pl.col("group") == "gauge").row(0, named=True)
    labels = [day, LAST, LAST + timedelta(days=1)]
    fault = Fault(kind="edited_history", path="/recorded", times=None, column=tag["tag_name"], factor=2.0)

    def sums() -> list[float]:
        rows = rig.workspace.lake.read(table, labels[0], labels[-1]).filter(pl.col("tag_id") == tag["tag_id"])
        by_day = rows.group_by("production_date").agg(pl.col("value").sum()).sort("production_date")
        # Of the running day there is more to read each time.
        return by_day["value"].to_list()[:2]

    before = sums()
    rig.running.faults("pi").add(fault)
    try:
        raw_pi.extract_tank_gauge(rig.at(moment), labels)
        soon = sums()
        raw_pi.extract_tank_gauge(rig.at(moment + SWEEP), labels)
        late = sums()
    finally:
        rig.running.faults("pi").clear()
    assert soon[0] == before[0], "older than the overlap"
    assert before[1] * 1.5 < soon[1] < before[1] * 2.01
    assert late[0] > before[0] * 1.5
    raw_pi.extract_tank_gauge(rig.at(moment + SWEEP, is_full_read=True), labels)
    assert sums() == before
