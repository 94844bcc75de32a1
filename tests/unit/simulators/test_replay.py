"""Replay folders: CSV and Parquet serve the same, and a fault in a file names it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.simulators.replay import ReplayError, read_table, table, tables
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay, days
from pipelines.simulators.replay_pi import PiReplay, instant, micros
from pipelines.simulators.replay_sharepoint import SharePointReplay, field_value

NOW = datetime(2026, 11, 20, tzinfo=UTC)
OSLO = ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_energy_components_view_is_the_same_from_csv_and_parquet(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(
        {
            "OBJECT_CODE": ["A", "B"],
            "DAYTIME": [date(2026, 11, 1), date(2026, 11, 2)],
            "VOL": [1.25, None],
            "VISIBLE_FROM": [datetime(2026, 11, 2, 6, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)],
        }
    )
    if suffix == "csv":
        frame.write_csv(tmp_path / "DV_X.csv")
    else:
        frame.write_parquet(tmp_path / "DV_X.parquet")
    view = EnergyComponentsReplay(tmp_path).views["DV_X"]
    assert view.between(NOW, date(2026, 11, 1), date(2026, 11, 3)).rows() == [("A", date(2026, 11, 1), 1.25)]
    assert view.version(NOW) == 1


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_pi_archive_is_the_same_from_csv_and_parquet(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "values").mkdir()
    points = pl.DataFrame({"Name": ["B", "A"], "Id": [2, 1], "Step": [True, False]})
    values = pl.DataFrame(
        {
            "Name": ["A", "B", "A"],
            "Timestamp": [datetime(2026, 11, 1, hour, tzinfo=UTC) for hour in (2, 1, 0)],
            "Value": [2.0, 1.0, None],
            "State": [None, None, 246],
        }
    )
    if suffix == "csv":
        points.write_csv(tmp_path / "points.csv")
        values.write_csv(tmp_path / "values" / "v.csv")
    else:
        points.write_parquet(tmp_path / "points.parquet")
        values.write_parquet(tmp_path / "values" / "v.parquet")
    replay = PiReplay(tmp_path)
    point = replay.by_name["A"]
    start, stop = replay.rows(point, 0, micros(NOW))
    assert replay.values["Value"].slice(start, stop - start).to_list() == [None, 2.0]
    assert replay.values["Good"].slice(start, stop - start).to_list() == [False, True]
    assert [instant(int(time)).hour for time in replay.times[start:stop]] == [0, 2]
    assert (point.step, replay.by_id[2].step) == (False, True)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_sharepoint_list_is_the_same_from_csv_and_parquet(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "lists").mkdir()
    frame = pl.DataFrame(
        {
            "Node": ["A"],
            "Valid from": [date(2026, 1, 1)],
            "Target": [1.5],
            "Modified": [datetime(2026, 1, 2, tzinfo=UTC)],
        }
    )
    if suffix == "csv":
        frame.write_csv(tmp_path / "lists" / "Targets.csv")
    else:
        frame.write_parquet(tmp_path / "lists" / "Targets.parquet")
    found = SharePointReplay(tmp_path, zone=OSLO).find("targets")
    assert found is not None
    assert [(column.name, column.kind) for column in found.columns] == [
        ("field_1", "text"),
        ("field_2", "dateOnly"),
        ("field_3", "number"),
    ]
    item = found.items()[0]
    assert item.values == {"Node": "A", "Valid from": date(2026, 1, 1), "Target": 1.5}
    assert item.modified == datetime(2026, 1, 2, tzinfo=UTC)


def test_absent_folders_have_no_content(tmp_path: Path) -> None:
    assert EnergyComponentsReplay(tmp_path / "x").views == {}
    assert PiReplay(tmp_path / "x").points == []
    assert SharePointReplay(tmp_path / "x", zone=OSLO).lists == {}


def test_highest_visible_revision_wins_whatever_the_order_of_rows(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "K": ["A", "A", "A", "B"],
            "V": [2.0, 1.0, 3.0, 9.0],
            "REV_NO": [1, 0, 2, 0],
            "VISIBLE_FROM": [
                datetime(2026, 11, 10, tzinfo=UTC),
                datetime(2026, 11, 1, tzinfo=UTC),
                datetime(2026, 11, 30, tzinfo=UTC),
                datetime(2026, 11, 1, tzinfo=UTC),
            ],
        }
    )
    rows.write_parquet(tmp_path / "V.parquet")
    (tmp_path / "views.toml").write_text('[V]\nkey = ["K"]\n')
    view = EnergyComponentsReplay(tmp_path).views["V"]
    by_day = {
        day: dict(view.visible(datetime(2026, 11, day, tzinfo=UTC)).select("K", "V").rows()) for day in (5, 20, 30)
    }
    assert by_day == {5: {"A": 1.0, "B": 9.0}, 20: {"A": 2.0, "B": 9.0}, 30: {"A": 3.0, "B": 9.0}}


def test_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(ReplayError, match=r"bad\.parquet"):
        read_table(tmp_path / "bad.parquet")
    assert table(tmp_path, "absent") is None
    (tmp_path / "bad.csv").write_text("A\n1\n")
    with pytest.raises(ReplayError, match="twice"):
        tables(tmp_path)


def test_points_that_stand_twice_or_columns_that_lack_are_faults(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("Name,Id\nA,1\na,2\n")
    with pytest.raises(ReplayError, match="twice"):
        PiReplay(tmp_path)
    (tmp_path / "points.csv").write_text("Tag\nA\n")
    with pytest.raises(ReplayError, match="Name"):
        PiReplay(tmp_path)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "L.csv").write_text("Title\nA\n")
    (tmp_path / "lists" / "L.columns.toml").write_text('[Title]\nkind = "colour"\n')
    with pytest.raises(ReplayError, match="colour"):
        SharePointReplay(tmp_path, zone=OSLO)


@given(day=st.dates(date(1990, 1, 1), date(2060, 12, 31)))
def test_date_alone_reads_back_as_the_same_day_in_the_sites_zone(day: date) -> None:
    text = field_value(day, "dateOnly", OSLO)
    assert datetime.fromisoformat(text).astimezone(OSLO).replace(tzinfo=None) == datetime(day.year, day.month, day.day)


@given(first=st.dates(date(2000, 1, 1), date(2030, 1, 1)), length=st.integers(0, 40))
def test_days_are_consecutive_and_stop_before_the_end(first: date, length: int) -> None:
    found = days(first, date.fromordinal(first.toordinal() + length))
    assert [day.toordinal() for day in found] == list(range(first.toordinal(), first.toordinal() + length))
