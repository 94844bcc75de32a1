"""Each gate refuses what it must: one fault is written into a good file, one gate says no."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.warehouse.frames import LATEST
from warehouse import gates
from warehouse.gates_topology import path_faults
from warehouse.manifest import GateResult
from warehouse.release import newest_release, release_path

Judge = Callable[..., dict[str, GateResult]]
AS_OF = datetime(2026, 11, 22, 5, tzinfo=UTC)


@pytest.fixture
def judge(tiny: Path, tmp_path: Path) -> Judge:
    """Gates' results by name for a copy of the tiny release changed by SQL; `against` compares with the unchanged one."""

    def run(
        *changes: str,
        against: bool = False,
        high_water: dict[str, datetime] | None = None,
        only: str | None = None,
    ) -> dict[str, GateResult]:
        path = tmp_path / "candidate.duckdb"
        shutil.copyfile(release_path(tiny), path)
        with duckdb.connect(path) as writer:
            for change in changes:
                writer.execute(change)
        manifest = newest_release(tiny)
        assert manifest is not None
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH '{path}' AS candidate (READ_ONLY)")
            connection.execute(f"ATTACH '{release_path(tiny)}' AS base (READ_ONLY)")
            connection.execute("USE candidate")
            latest = connection.execute("SELECT max(production_date) FROM production_daily").fetchall()[0][0]
            marks = {"energy_components": AS_OF, "pi": AS_OF} if high_water is None else high_water
            context = gates.Context(
                row_counts=manifest.row_counts,
                high_water=marks,
                latest=latest,
                base=manifest if against else None,
            )
            if only:
                return {only: gates.GATES[only](connection, context)}
            return {result.gate: result for result in gates.run_gates(connection, context)}

    return run


def test_gates_when_file_is_good_then_all_pass_and_have_measured(judge: Judge) -> None:
    results = judge(against=True)
    assert [r.gate for r in results.values() if not r.passed] == []
    assert list(results) == gates.names()
    closed = results["drivers_and_unattributed_close"].measured
    assert closed["checked"] == 4 * 5 - 1  # four cut facility-networks, five days, one missing
    assert closed["broken"] == 0
    assert results["children_sum_to_parents"].measured["checked"] == 4 * (5 * 4 * 5 - 2)  # two null parents
    assert results["every_path_crosses_the_cut_once"].measured == {"checked": 3.0, "broken": 0.0}


PRODUCTION = "store.out__daily_production"
DRIVER = "store.out__daily_gap_driver"
LAST = f"DATE '{LATEST}'"
ALDER_OIL = f"node_id = 'fs-alder' AND network = 'oil' AND production_date = {LAST}"


CHANGE_DRIVER = f"UPDATE {DRIVER} SET"
CHANGE = f"UPDATE {PRODUCTION} SET"
CHANGE_EDGE = "UPDATE store.edge_version SET"
CLOSE = "drivers_and_unattributed_close"
SUM = "children_sum_to_parents"
RANGE = "values_stay_in_range"
FINITE = "no_value_is_nan_or_infinite"
PATHS = "every_path_crosses_the_cut_once"
BROKEN = [
    (CLOSE, f"{CHANGE_DRIVER} volume = volume + 1 WHERE event_id = 'ec:48213'", "fs-alder oil"),
    (CLOSE, f"DELETE FROM {DRIVER} WHERE event_id = 'ec:48214'", "16300"),
    (
        "every_cut_facility_day_has_its_residual",
        f"DELETE FROM {DRIVER} WHERE event_id = 'unattributed' AND network = 'oil'",
        "fs-",
    ),
    (
        "drivers_stand_on_the_counting_cut",
        f"{CHANGE_DRIVER} facility_id = 'tm-east' WHERE event_id = 'ec:48214'",
        "ec:48214 at tm-east",
    ),
    (
        SUM,
        f"{CHANGE} production_volume = production_volume * 1.00001 WHERE node_level = 'hub' AND network = 'exportGas'",
        "hub hub-alder exportGas",
    ),
    # What a deferment of the sums would be: the domain sums the children's instead.
    (
        SUM,
        f"{CHANGE} deferment_volume = greatest(0, potential_volume - production_volume) WHERE node_id = 'system'",
        "deferment_volume",
    ),
    (SUM, f"{CHANGE} potential_volume = NULL WHERE node_id = 'east' AND network = 'oil'", "potential_volume null"),
    (SUM, f"{CHANGE} hub_id = 'hub-birch', asset_id = 'west' WHERE {ALDER_OIL}", f"oil {LATEST}"),
    (
        "every_node_day_has_all_four_networks",
        f"DELETE FROM {PRODUCTION} WHERE node_id = 'tm-east' AND network = 'domesticGas'",
        "facility tm-east",
    ),
    (
        "deferment_is_potential_less_production",
        f"{CHANGE} over_performance_volume = 5 WHERE {ALDER_OIL}",
        "fs-alder oil",
    ),
    ("rates_are_volumes_per_day", f"{CHANGE} day_hours = 23 WHERE {ALDER_OIL}", "over 23.0 h"),
    (RANGE, f"{CHANGE} business_target = 1.6e6 WHERE {ALDER_OIL}", "business_target 1600000.0"),
    (RANGE, "UPDATE store.out__daily_terminal SET gross_stock = 50.1e6", "tm-east"),
    (FINITE, "UPDATE store.reading_daily SET time_weighted_mean = 'nan'", "reading_daily.time_weighted_mean: 10 rows"),
    (FINITE, f"{CHANGE} max_capacity = 'inf' WHERE {ALDER_OIL}", "max_capacity: 1 rows"),
    ("rows_read_are_rows_written", "DELETE FROM store.cargo", "cargo has 0 rows, 2 were written"),
    (PATHS, f"{CHANGE_EDGE} on_cut = true WHERE to_id = 'export-oil'", "more than once"),
    (PATHS, f"{CHANGE_EDGE} on_cut = false WHERE network = 'oil' AND from_id = 'fs-birch'", "never"),
]


@pytest.mark.parametrize(("gate", "change", "example"), BROKEN, ids=[f"{n}-{g}" for n, (g, *_) in enumerate(BROKEN)])
def test_gate_when_its_statement_is_broken_then_says_so_with_an_example(
    judge: Judge, gate: str, change: str, example: str
) -> None:
    result = judge(change, only=gate)[gate]
    assert not result.passed
    assert example in result.detail
    assert result.measured["broken"] >= 1


def test_closure_when_error_is_within_tolerance_then_passes(judge: Judge) -> None:
    change = f"UPDATE {DRIVER} SET volume = volume * (1 + 5e-7) WHERE event_id = 'ec:48213' AND network = 'oil'"
    assert judge(change)["drivers_and_unattributed_close"].passed


def test_roll_up_when_coverage_is_below_half_then_null_parent_is_right(judge: Judge) -> None:
    birch = "node_id IN ('hub-birch', 'west') AND network = 'oil' AND coverage < 0.5"
    assert judge()["children_sum_to_parents"].passed
    assert not judge(f"UPDATE {PRODUCTION} SET production_volume = 1 WHERE {birch}")["children_sum_to_parents"].passed


def test_topology_when_an_edge_changes_within_the_release_then_each_version_is_checked(judge: Judge) -> None:
    day = LATEST - timedelta(days=2)
    result = judge(
        f"UPDATE store.edge_version SET valid_to = DATE '{day}' WHERE edge_id = 'tm-east~export-oil~oil'",
        "INSERT INTO store.edge_version SELECT * REPLACE (DATE "
        f"'{day}' AS valid_from, NULL AS valid_to, true AS on_cut) FROM store.edge_version "
        "WHERE edge_id = 'tm-east~export-oil~oil'",
    )["every_path_crosses_the_cut_once"]
    assert not result.passed
    assert f"oil from {day}" in result.detail
    assert result.measured == {"checked": 4.0, "broken": 1.0}


@pytest.mark.parametrize(
    ("table", "share", "passes"),
    [("out__daily_production", 0.25, True), ("out__daily_production", 0.35, False), ("reading_daily", 0.5, False)],
)
def test_row_counts_when_a_share_of_a_table_is_lost_then_thirty_percent_decides(
    judge: Judge, table: str, share: float, passes: bool
) -> None:
    every_twentieth = f"DELETE FROM store.{table} WHERE rowid % 20 < {20 * share}"
    result = judge(every_twentieth, against=True)
    assert result["row_counts_stay_within_thirty_percent"].passed is passes


def test_row_counts_when_a_table_doubles_then_refuses(judge: Judge) -> None:
    result = judge("INSERT INTO store.reading_daily FROM store.reading_daily", against=True)
    assert "reading_daily has 20 rows where the release in force has 10" in (
        result["row_counts_stay_within_thirty_percent"].detail
    )


def test_row_counts_when_days_leave_at_the_old_end_then_only_common_days_count(judge: Judge) -> None:
    old = f"DELETE FROM store.{{}} WHERE production_date < {LAST} - 2"
    tables = (
        "out__daily_production",
        "out__daily_gap_driver",
        "out__daily_terminal",
        "out__hub_trend",
        "reading_daily",
    )
    results = judge(*(old.format(table) for table in tables), against=True)
    assert results["row_counts_stay_within_thirty_percent"].passed
    assert results["no_production_day_vanishes"].passed


def test_days_when_one_leaves_the_middle_then_refuses(judge: Judge) -> None:
    gone = f"DELETE FROM {PRODUCTION} WHERE production_date = {LAST} - 2"
    result = judge(gone, against=True)["no_production_day_vanishes"]
    assert not result.passed
    assert str(LATEST - timedelta(days=2)) in result.detail


@pytest.mark.parametrize(
    ("marks", "says"),
    [
        ({"energy_components": AS_OF, "pi": AS_OF - timedelta(hours=1)}, "pi 2026-11-22T04:00:00"),
        ({"energy_components": AS_OF}, "pi has no mark"),
    ],
)
def test_high_water_when_a_mark_falls_or_is_lost_then_refuses(
    judge: Judge, marks: dict[str, datetime], says: str
) -> None:
    result = judge(against=True, high_water=marks)["high_water_marks_never_fall"]
    assert not result.passed
    assert says in result.detail


def test_high_water_when_latest_day_goes_back_then_refuses(judge: Judge) -> None:
    result = judge(f"DELETE FROM {PRODUCTION} WHERE production_date = {LAST}", against=True)
    assert "latest production day" in result["high_water_marks_never_fall"].detail


UNIT = "no_production_jumps_by_a_unit"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("production = production * 1000 WHERE node_id = 'gp-alder' AND network = 'exportGas'", "gp-alder exportGas"),
        (f"production = production * 1000 WHERE {ALDER_OIL}", "fs-alder oil"),
        (f"production = production * 1e6 WHERE node_id = 'fs-birch' AND network = 'flaredGas' AND production_date = {LAST}",
         "fs-birch flaredGas"),
        (f"production = production / 1000 WHERE node_id = 'fs-alder' AND network = 'oil' AND production_date = {LAST} - 1",
         "where 36000.0 is usual"),
    ],
)  # fmt: skip
def test_units_when_a_production_is_in_another_unit_then_refuses(judge: Judge, change: str, says: str) -> None:
    result = judge(f"{CHANGE} {change}", against=True, only=UNIT)[UNIT]
    assert not result.passed
    assert says in result.detail
    assert result.measured["widest_factor"] > 316


@pytest.mark.parametrize(
    "change",
    [
        f"production = production * 35.3 WHERE {ALDER_OIL}",  # other gates' business
        f"production = 0 WHERE {ALDER_OIL}",
        f"production = NULL WHERE {ALDER_OIL}",
        f"production = 20 WHERE {ALDER_OIL}",  # the latest day's events explain the loss
        f"production = 1 WHERE network = 'flaredGas' AND production_date = {LAST}",  # flares go out
    ],
)
def test_units_when_a_day_is_poor_shut_or_explained_then_passes(judge: Judge, change: str) -> None:
    assert judge(f"{CHANGE} {change}", against=True, only=UNIT)[UNIT].passed


def test_units_when_the_release_is_the_first_or_the_facility_new_then_exempt(judge: Judge) -> None:
    thousandfold = f"{CHANGE} production = production * 1000 WHERE {ALDER_OIL}"
    assert judge(thousandfold, only=UNIT)[UNIT].passed
    new = f"{CHANGE} node_id = 'fs-new', production = production * 1000 WHERE node_id = 'fs-alder'"
    result = judge(new, against=True, only=UNIT)[UNIT]
    assert result.passed
    assert result.measured["checked"] == 29  # thirty-nine with fs-alder


def test_history_gates_when_nothing_is_in_force_then_exempt(judge: Judge) -> None:
    results = judge(f"DELETE FROM {PRODUCTION} WHERE production_date < DATE '{date(2026, 11, 20)}'", high_water={})
    assert results["row_counts_stay_within_thirty_percent"].passed
    assert results["high_water_marks_never_fall"].passed


def test_paths_when_network_has_a_cycle_then_names_it() -> None:
    assert "cycle" in path_faults([("a", "b", True), ("b", "a", False)])[0]


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_paths_when_every_branch_crosses_once_then_no_fault_whatever_the_shape(
    stations: int, plants: int, data: st.DataObject
) -> None:
    """Stations feed plants (off the cut), each plant sells over its own cut edge."""
    joins = data.draw(st.sets(st.tuples(st.integers(0, stations - 1), st.integers(0, plants - 1)), min_size=1))
    used = {plant for _, plant in joins}
    edges = [(f"s{s}", f"p{p}", False) for s, p in joins] + [(f"p{p}", "market", True) for p in used]
    assert path_faults(edges) == []
    bypassed = data.draw(st.sampled_from(sorted(joins)))
    assert path_faults([*edges, (f"s{bypassed[0]}", "market", False)]) == ["a path to market crosses the cut never"]
