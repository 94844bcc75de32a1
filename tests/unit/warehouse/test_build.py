"""A build: what the file holds, that it is the SQL contract, and what refuses or repeats a build."""

import os
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.unit.warehouse.frames import LATEST, inputs_of, publish_tiny, request_for, tiny_release_tables
from warehouse import ddl
from warehouse.build import build_release
from warehouse.build_publish import build_and_publish
from warehouse.errors import BuildInputError, OperatorMismatch, PointerMoved
from warehouse.manifest import Waiver, read_manifest, verify_database
from warehouse.pointer import read_pointer
from warehouse.release import activate, newest_release, publish, release_ids, release_path, resume
from warehouse.release_files import hold_shared

# The SQL contract: at least these columns under these names.
CONTRACT = {
    "facility": "facility_id name facility_type hub_id hub_name asset_id asset_name",
    "facility_version": "facility_id name facility_type hub_id hub_name asset_id asset_name valid_from valid_to",
    "facility_network": "facility_id network counts_in_roll_up is_applicable",
    "edge": "edge_id from_id to_id network stream capacity on_cut",
    "edge_version": "edge_id from_id to_id network stream capacity on_cut valid_from valid_to",
    "production_daily": "node_level node_id network production_date hub_id asset_id counts_in_roll_up day_hours "
    "max_capacity potential potential_basis business_target published_target production deferment over_performance gap "
    "production_volume potential_volume business_target_volume deferment_volume over_performance_volume gap_volume "
    "coverage quality source record_status good_fraction",
    "gap_driver_daily": "event_id facility_id network production_date cause_node_id volume volume_if_alone gain_if_fixed "
    "choke reason_code is_planned is_third_party confidence source",
    "event": "event_id facility_id target_kind target_id started_at_utc ended_at_utc reason_code source_code title is_open "
    "is_planned oil_loss_bbl gas_loss_scf confidence",
    "target": "version node_id network valid_from valid_to value published_at_utc approved_by",
    "terminal_daily": "terminal_id production_date max_capacity gross_stock ready_stock production_rate ready_crude "
    "endurance lifted quality",
    "cargo": "cargo_id terminal_id parcel laycan_start laycan_end status lifted_at_utc",
    "cargo_forecast_daily": "terminal_id date stock_p10 stock_p50 stock_p90 tank_top_probability not_ready_probability",
    "reading_daily": "tag_id production_date time_weighted_mean good_fraction sample_count frozen_fraction quality",
    "restatement": "what known_at_utc entity_id production_date old_value new_value delta reason",
    "quarantine": "source dataset production_date rule raw rejected_at_utc",
    "source_freshness": "source data_as_of_utc last_success_at_utc sla_seconds",
    "dictionary": "table_name column_name unit display_unit display_scale formula source owner",
    "release_info": "release_id operator is_synthetic built_at_utc code_version schema_version",
}


@pytest.fixture
def tables() -> dict[str, pl.DataFrame]:
    return tiny_release_tables()


@pytest.fixture(scope="module")
def columns(tiny: Path) -> dict[str, dict[str, tuple[str, str | None]]]:
    """View → column → (type, comment) as the published file has them."""
    found: dict[str, dict[str, tuple[str, str | None]]] = {}
    with duckdb.connect(release_path(tiny), read_only=True) as connection:
        for view, column, kind, comment in connection.execute(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE schema_name = 'main' "
            "AND NOT internal"
        ).fetchall():
            found.setdefault(view, {})[column] = (kind, comment)
    return found


def test_file_when_built_then_has_every_view_and_column_of_the_contract(
    columns: dict[str, dict[str, tuple[str, str | None]]],
) -> None:
    missing = {view: set(names.split()) - set(columns.get(view, {})) for view, names in CONTRACT.items()}
    assert {view: names for view, names in missing.items() if names} == {}


def test_file_when_built_then_types_are_those_every_reader_understands(
    columns: dict[str, dict[str, tuple[str, str | None]]],
) -> None:
    types = {kind for view in columns.values() for kind, _ in view.values()}
    assert types == {"VARCHAR", "DATE", "BOOLEAN", "DOUBLE", "BIGINT", "TIMESTAMP WITH TIME ZONE"}
    instants = [kind for view in columns.values() for name, (kind, _) in view.items() if name.endswith("_at_utc")]
    assert set(instants) == {"TIMESTAMP WITH TIME ZONE"}


def test_file_when_built_then_every_view_and_column_has_a_comment_with_its_unit(
    tiny: Path, columns: dict[str, dict[str, tuple[str, str | None]]]
) -> None:
    assert [(v, c) for v, names in columns.items() for c, (_, comment) in names.items() if not comment] == []
    assert columns["terminal_daily"]["gross_stock"][1] == "All liquid at the end of the day. [bbl]"
    assert columns["event"]["hours"][1] == "Overlap with that newest production day. [h]"
    with duckdb.connect(release_path(tiny), read_only=True) as connection:
        views = connection.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
    assert {name for name, _ in views} == set(columns)
    assert all(comment for _, comment in views)


def test_dictionary_when_built_then_describes_every_published_column(
    tiny: Path, columns: dict[str, dict[str, tuple[str, str | None]]]
) -> None:
    with duckdb.connect(release_path(tiny), read_only=True) as connection:
        rows = connection.execute("SELECT table_name, column_name, data_type FROM dictionary").fetchall()
        endurance = connection.execute(
            "SELECT unit, formula FROM dictionary WHERE table_name = 'terminal_daily' AND column_name = 'endurance'"
        ).fetchall()
    assert {(t, c): d for t, c, d in rows} == {(v, c): k for v, names in columns.items() for c, (k, _) in names.items()}
    assert endurance == [("d", "ullage ÷ production_rate")]


def test_file_when_built_then_is_written_for_older_clients_and_read_only(tiny: Path) -> None:
    path = release_path(tiny)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS release (READ_ONLY)")
        tags = connection.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'release'").fetchall()
    # DuckDB names the range of versions that read this storage version.
    assert tags[0][0]["storage_version"].startswith("v1.4.0")


def test_file_when_built_then_rows_stand_by_day_first_and_without_index(tiny: Path) -> None:
    with duckdb.connect(release_path(tiny), read_only=True) as connection:
        for table in ("out__daily_production", "reading_daily", "out__hub_trend"):
            days = [d for (d,) in connection.execute(f"SELECT production_date FROM store.{table}").fetchall()]
            assert days == sorted(days), table
        assert connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM duckdb_constraints() WHERE constraint_type <> 'NOT NULL'"
                                  ).fetchall() == [(0,)]  # fmt: skip


def test_manifest_when_built_then_matches_file_and_inputs(tiny: Path, tables: dict[str, pl.DataFrame]) -> None:
    manifest = newest_release(tiny)
    assert manifest is not None
    directory = tiny / "releases" / manifest.release_id
    assert verify_database(directory, manifest) == release_path(tiny)
    assert manifest.inputs == inputs_of(tables)
    assert (manifest.first_production_date, manifest.latest_production_date) == (LATEST - timedelta(days=4), LATEST)
    assert manifest.release_id == f"{manifest.built_at_utc:%Y%m%dT%H%M%SZ}-{manifest.content[:8]}"
    assert manifest.row_counts["out__daily_production"] == tables["out__daily_production"].height
    assert all(check.passed for check in manifest.checks)
    assert len(manifest.checks) >= 12


def test_event_when_read_on_several_days_then_newest_row_is_shown(
    warehouse: Path, tables: dict[str, pl.DataFrame]
) -> None:
    newest = tables["out__daily_event"]
    older = newest.filter(event_id="ec:48214").with_columns(
        pl.col("production_date") - timedelta(days=1), pl.lit(True).alias("is_open"), pl.lit("first").alias("title")
    )
    publish_tiny(warehouse, tables=tables | {"out__daily_event": pl.concat([older, newest])})
    with duckdb.connect(release_path(warehouse), read_only=True) as connection:
        rows = connection.execute("SELECT title, is_open FROM event WHERE event_id = 'ec:48214'").fetchall()
        assert rows == [("Well ALD-3 shut in", False)]
        assert connection.execute("SELECT count(*) FROM event_daily").fetchall() == [(5,)]


def test_build_when_a_lazy_frame_is_given_then_same_content(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    lazy = {name: frame.lazy() for name, frame in tables.items()}
    result = build_release(tmp_path, lazy, info=request_for(tables))
    assert result.release_id is not None
    assert read_manifest(result.path).row_counts["reading_daily"] == 10


def test_build_when_nothing_changed_then_no_release_and_pointer_stays(warehouse: Path) -> None:
    before = (warehouse / "current").read_bytes()
    tables = tiny_release_tables()
    result = build_release(warehouse, tables, info=request_for(tables, code_version="other"))
    assert result.release_id is None
    assert result.unchanged_release_id == release_ids(warehouse)[0]
    assert build_and_publish(warehouse, tables, info=request_for(tables)).is_unchanged
    assert (warehouse / "current").read_bytes() == before
    assert len(release_ids(warehouse)) == 1


def test_build_when_the_clock_stands_still_then_releases_still_follow_each_other(warehouse: Path) -> None:
    first = newest_release(warehouse)
    assert first is not None
    second = publish_tiny(warehouse, days=6, built_at=datetime(2020, 1, 1, tzinfo=UTC))
    newest = newest_release(warehouse)
    assert newest is not None
    assert newest.release_id == second
    assert newest.built_at_utc > first.built_at_utc


def test_build_when_publisher_died_before_publishing_then_next_run_publishes_what_was_built(warehouse: Path) -> None:
    tables = tiny_release_tables(6)
    built = build_release(warehouse, tables, info=request_for(tables))
    assert built.release_id is not None
    result = build_and_publish(warehouse, tables, info=request_for(tables))
    assert result.release_id == built.release_id
    assert result.is_active
    pointer = read_pointer(warehouse)
    assert pointer is not None
    assert pointer.release_id == built.release_id


def test_build_when_frames_break_their_schema_then_refused_naming_table_rule_and_count(
    warehouse: Path, tables: dict[str, pl.DataFrame]
) -> None:
    before = (warehouse / "current").read_bytes()
    twice = pl.concat([tables["cargo"], tables["cargo"]])
    bad_quality = tables["reading_daily"].with_columns(quality=pl.lit("fine"))
    no_name = tables["hub"].drop("name")
    text = tables["asset"].with_columns(pl.col("position").cast(pl.String))
    faulty = tables | {"cargo": twice, "reading_daily": bad_quality, "hub": no_name, "asset": text}
    result = build_and_publish(warehouse, faulty, info=request_for(faulty))
    assert [r.gate for r in result.refused] == ["every_table_fits_its_schema"]
    detail = result.refused[0].detail
    assert "cargo: rule primary_key is broken by 4 of 4 rows" in detail
    assert "reading_daily: rule quality|regex is broken by 10 of 10 rows" in detail
    assert "hub: columns name are missing" in detail
    assert "asset: " in detail and "position" in detail
    assert result.path.parent == warehouse / "refused"
    assert "primary_key" in (result.path / "refusal.json").read_text()
    assert (warehouse / "current").read_bytes() == before
    assert list((warehouse / "building").iterdir()) == []


def test_build_when_a_gate_fails_then_kept_aside_with_reasons_and_readers_see_nothing(
    warehouse: Path, tables: dict[str, pl.DataFrame]
) -> None:
    before = (warehouse / "current").read_bytes()
    broken = tables["out__daily_gap_driver"].with_columns(pl.col("volume") + 1.0)
    faulty = tables | {"out__daily_gap_driver": broken}
    for _ in range(2):  # a second try of the same content leaves one refused build, not two
        result = build_and_publish(warehouse, faulty, info=request_for(faulty))
        assert [r.gate for r in result.refused] == ["drivers_and_unattributed_close"]
        assert (result.path / "warehouse.duckdb").exists()
    assert len(list((warehouse / "refused").iterdir())) == 1
    assert (warehouse / "current").read_bytes() == before
    assert len(release_ids(warehouse)) == 1


def test_build_when_a_waiver_names_the_gate_then_published_and_recorded_once(
    warehouse: Path, tables: dict[str, pl.DataFrame]
) -> None:
    twice = tables["reading_daily"].vstack(tables["reading_daily"].with_columns(pl.col("tag_id") + 10))
    more = tables | {"reading_daily": twice}
    refused = build_and_publish(warehouse, more, info=request_for(more))
    assert [r.gate for r in refused.refused] == ["row_counts_stay_within_thirty_percent"]
    waiver = Waiver(gate="row_counts_stay_within_thirty_percent", by="A. Engineer", reason="new tags commissioned")
    result = build_and_publish(warehouse, more, info=request_for(more), waivers=[waiver])
    assert result.is_active
    manifest = read_manifest(result.path)
    assert manifest.waivers == [waiver]
    assert [c.gate for c in manifest.checks if c.waived] == [waiver.gate]


@pytest.mark.parametrize("gate", ["every_table_fits_its_schema", "rows_read_are_rows_written", "no_such_gate"])
def test_waiver_when_gate_cannot_be_waived_then_refuses_to_build(
    tmp_path: Path, tables: dict[str, pl.DataFrame], gate: str
) -> None:
    with pytest.raises(BuildInputError, match=gate):
        build_release(tmp_path, tables, info=request_for(tables), waivers=[Waiver(gate=gate, by="x", reason="y")])


def test_build_when_input_is_incomplete_then_all_faults_are_named_at_once(
    tmp_path: Path, tables: dict[str, pl.DataFrame]
) -> None:
    info = request_for(tables, inputs=[], code_version="", as_of=datetime(2026, 11, 22))
    del tables["hub"]
    with pytest.raises(BuildInputError) as raised:
        build_release(tmp_path, tables | {"hubs": tables["asset"]}, info=info)
    assert len(raised.value.faults) == 5
    for word in ("table hubs", "table hub is missing", "inputs", "code_version", "as_of must carry a time zone"):
        assert word in str(raised.value)


def test_build_when_there_is_no_production_day_then_refused(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    empty = tables | {"out__daily_production": tables["out__daily_production"].clear()}
    result = build_and_publish(tmp_path, empty, info=request_for(tables))
    assert "no production day" in result.refused[0].detail
    assert read_pointer(tmp_path) is None


def test_build_when_warehouse_serves_another_operator_then_raises(warehouse: Path) -> None:
    tables = tiny_release_tables()
    with pytest.raises(OperatorMismatch, match="serves operator tiny, this build is for volve"):
        build_release(warehouse, tables, info=request_for(tables, operator="volve"))


def test_build_when_current_release_is_damaged_then_next_one_still_replaces_it(warehouse: Path) -> None:
    path = release_path(warehouse)
    path.chmod(0o644)
    path.write_bytes(b"not a database")
    release_id = publish_tiny(warehouse)  # the same content: the damaged file is no reason to skip
    assert release_path(warehouse).parent.name == release_id
    assert release_path(warehouse) != path


def test_build_when_held_then_kept_and_not_active_until_resume(warehouse: Path) -> None:
    first = release_ids(warehouse)[0]
    activate(warehouse, first, by="A. Engineer", reason="totals look wrong")
    tables = tiny_release_tables(6)
    result = build_and_publish(warehouse, tables, info=request_for(tables))
    assert (result.is_active, result.is_held) == (False, True)
    assert release_path(warehouse).parent.name == first
    again = build_and_publish(warehouse, tables, info=request_for(tables))
    assert again.is_unchanged and not again.is_active
    assert resume(warehouse).release_id == result.release_id


def test_build_when_dead_builders_left_folders_then_swept_but_living_ones_stay(warehouse: Path) -> None:
    dead, living = (warehouse / "building" / name for name in ("dead", "living"))
    for folder in (dead, living):
        folder.mkdir(parents=True)
        (folder / "warehouse.duckdb").touch()
    lock = hold_shared(living)
    try:
        publish_tiny(warehouse, days=6)
        assert living.exists() and not dead.exists()
    finally:
        os.close(lock)


def test_publish_when_another_build_won_then_pointer_moved_and_retry_builds_from_the_winner(warehouse: Path) -> None:
    slow_tables, fast_tables = tiny_release_tables(6), tiny_release_tables(7)
    slow = build_release(warehouse, slow_tables, info=request_for(slow_tables))
    fast = build_and_publish(warehouse, fast_tables, info=request_for(fast_tables))
    assert slow.release_id is not None
    with pytest.raises(PointerMoved):
        publish(warehouse, slow.release_id, expected_sequence=slow.base_sequence)
    assert release_path(warehouse).parent.name == fast.release_id


def test_publish_when_it_lost_and_builds_again_within_the_second_then_no_id_is_given_twice(warehouse: Path) -> None:
    kept = newest_release(warehouse)
    assert kept is not None
    moment = kept.built_at_utc.replace(microsecond=0) + timedelta(hours=1)
    slow_tables, fast_tables = tiny_release_tables(6), tiny_release_tables(7)
    built: list[str] = []

    def overtaken(step: str) -> None:
        if step.startswith("built release"):
            built.append(step.split()[-1])
            if len(built) == 1:
                build_and_publish(warehouse, fast_tables, info=request_for(fast_tables), built_at=moment)

    result = build_and_publish(
        warehouse, slow_tables, info=request_for(slow_tables), progress=overtaken, built_at=moment
    )
    assert len(set(built)) == 2
    assert (result.is_active, result.release_id) == (True, built[1])
    assert built[0] not in release_ids(warehouse)


def test_fingerprint_when_catalogue_stays_then_stable_and_views_are_parsed() -> None:
    assert ddl.fingerprint() == ddl.fingerprint()
    event = next(view for view in ddl.views() if view.name == "event")
    assert event.column("title")[0] == "Title."
    assert event.column("production_date")[0].startswith("Newest production day")
    with pytest.raises(ValueError, match="header lacks"):
        ddl.parse_view("event", "-- view: event\nSELECT 1")


def test_tables_when_made_then_day_count_and_latest_are_as_asked() -> None:
    tables = tiny_release_tables(9, latest=date(2026, 3, 1))
    days = tables["out__daily_production"]["production_date"].unique().sort()
    assert (days[0], days[-1], len(days)) == (date(2026, 2, 21), date(2026, 3, 1), 9)
