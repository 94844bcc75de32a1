"""What the pipeline tells of corrections that its sources make after the day was loaded, against what was injected.

Loads of one lake: twenty days ago, ten days ago, now, and some hours later. The servers' clock and the pipelines' move
together; in between the sources correct days that were loaded, and one row of the last day comes in late.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines import settings
from pipelines.bootstrap import bootstrap
from pipelines.settings import TRAILING_DAYS, Settings, clock
from pipelines.simulators.launch import Running, start_simulators
from pipelines.stages.registry import STAGES
from pipelines.stages.workspace import Workspace, label_range, open_workspace
from pipelines.transforms.revisions import as_known_at
from warehouse.release_files import database_path, file_sha256

HISTORY_DAYS, PI_DAYS = 48, 1
LOADED_DAYS_AGO = (20, 10, 0)
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
# The last rows of the sandbox come in some hours after its clock, still within the production day.
LATER = NOW + timedelta(hours=8)
NUMBERS = {
    "production_daily": ("node_id || '/' || network", "production_date, node_level, node_id, network"),
    "gap_driver_daily": (
        "event_id || '/' || facility_id || '/' || network",
        "production_date, event_id, facility_id, network",
    ),
    "terminal_daily": ("terminal_id", "production_date, terminal_id"),
}


@dataclass(frozen=True)
class Load:
    """One load: when, and the release that it published."""

    at: datetime
    release_id: str
    sha256: str
    checksum: list[tuple[object, ...]]


@dataclass(frozen=True)
class History:
    """The loads in order, with what is needed to look at them."""

    running: Running
    settings: Settings
    workspace: Workspace
    before: Load
    between: Load
    corrected: Load
    late: Load
    compared_late: int

    def sql(self, load: Load, query: str) -> pl.DataFrame:
        """Rows of the release that a load published."""
        path = database_path(self.workspace.warehouse_dir, load.release_id)
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("SET GLOBAL TimeZone='UTC'")
            return connection.sql(query).pl()

    def truth(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.running.data_folder / "truth" / f"{name}.parquet")

    def told(self, load: Load, earlier: Load) -> pl.DataFrame:
        """Restatements that a load added."""
        known = f"known_at_utc > '{earlier.at.isoformat()}'"
        return self.sql(load, f"SELECT * FROM restatement WHERE {known} AND known_at_utc <= '{load.at.isoformat()}'")

    def visible(self) -> pl.DataFrame:
        """Corrections that became visible between two loads, of days that both hold and the later one read again."""
        closed = self.workspace.calendar.latest_closed
        steps = [(self.before.at, self.between.at), (self.between.at, self.corrected.at)]
        seen, day = pl.col("visible_from_utc"), pl.col("production_date")
        return self.truth("correction").filter(
            pl.any_horizontal(
                (seen > begin)
                & (seen <= end)
                & (day >= closed(end) - timedelta(days=TRAILING_DAYS - 1))
                & (day <= closed(begin))
                for begin, end in steps
            )
        )


def _checksum(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(
            "SELECT node_level, network, count(*), sum(production_volume), sum(deferment_volume), sum(gap_volume) "
            "FROM production_daily GROUP BY ALL ORDER BY ALL"
        ).fetchall()


def _load(ws: Workspace, at: datetime, release_id: str) -> Load:
    path = database_path(ws.warehouse_dir, release_id)
    return Load(at, release_id, file_sha256(path), _checksum(path))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    root = tmp_path_factory.mktemp("restatements")
    with start_simulators(
        "sandbox", data_root=root / "data", now=NOW, history_days=HISTORY_DAYS, pi_days=PI_DAYS
    ) as running:
        loaded = settings.load(
            running.environment()
            | {
                "LAKE_URL": str(root / "lake"),
                "WAREHOUSE_DIR": str(root / "warehouse"),
                "HISTORY_DAYS": str(HISTORY_DAYS),
                "PI_DAYS": str(PI_DAYS),
            }
        )
        ws = replace(open_workspace(loaded, report=lambda _: None), is_bootstrap=True)

        def at(moment: datetime) -> Workspace:
            running.clock.set(moment)
            return replace(ws, now=clock(moment), run_id=f"{moment:%d-%H}")

        loads = []
        for days_ago in LOADED_DAYS_AGO:
            moment = NOW - timedelta(days=days_ago)
            release_id = bootstrap(at(moment), replace(loaded, history_days=HISTORY_DAYS - days_ago))
            loads.append(_load(ws, moment, release_id))
        # The last load goes the way of a scheduled refresh: every stage over the trailing days, in days and not in months.
        refresh = replace(at(LATER), is_bootstrap=False)
        labels = label_range(refresh.latest_label - timedelta(days=TRAILING_DAYS - 1), refresh.latest_label)
        results = {}
        for name, stage in STAGES.items():
            # Of PI only what the sandbox has: the last day, and the running one as far as it has come.
            of_pi = [labels[-1], refresh.running_label]
            wanted = of_pi if stage.source == "pi" else labels if stage.is_partitioned else labels[-1:]
            results[name] = stage.run(refresh, wanted)
        late = _load(ws, LATER, str(results["warehouse__release"].figures["release"]))
        compared = results["out__restatement"].figures["days compared"]
        yield History(running, loaded, refresh, *loads, late, compared)


def test_restatement_when_a_correction_becomes_visible_then_old_new_and_delta_are_right(history: History) -> None:
    told = history.told(history.corrected, history.before).filter(
        pl.col("what") == "production_daily.production_volume"
    )
    wanted = history.visible().with_columns(entity_id=pl.col("facility_id") + "/" + pl.col("network"))
    assert wanted.height >= 6
    found = wanted.join(told, on=["entity_id", "production_date"], how="left")
    wrong = found.filter(
        (
            pl.col("reason").ne_missing("ec:revision 2")
            | ((pl.col("old_value") - pl.col("first_volume")).abs() > 1e-6 * pl.col("first_volume") + 0.5)
            | ((pl.col("new_value") - pl.col("corrected_volume")).abs() > 1e-6 * pl.col("corrected_volume") + 0.5)
            | ((pl.col("delta") - (pl.col("new_value") - pl.col("old_value"))).abs() > 1e-6)
        ).fill_null(value=True)
    )
    assert wrong.is_empty(), wrong


def test_restatement_when_corrections_are_told_then_nothing_else_is_but_their_dependents(history: History) -> None:
    told = history.told(history.corrected, history.before)
    corrections = {
        (f"{f}/{n}", day) for f, n, day in history.visible().select("facility_id", "network", "production_date").rows()
    }
    is_derived = pl.col("reason").str.starts_with("derived:")
    facts = told.filter(~is_derived)
    assert set(facts["reason"]) == {"ec:revision 2"}
    assert set(facts["what"]) == {"production_daily.production", "production_daily.production_volume"}
    assert set(facts.select("entity_id", "production_date").rows()) == corrections
    named = {
        (cause.removeprefix("ec:revision 2 of "), day)
        for reason, day in told.filter(is_derived).select("reason", "production_date").rows()
        for cause in reason.removeprefix("derived:").split("; ")
    }
    assert named == corrections
    parents = told.filter(is_derived & pl.col("entity_id").str.starts_with("system/"))
    assert {"production_daily.production", "production_daily.gap"} <= set(parents["what"])


@pytest.mark.parametrize("view", NUMBERS)
@pytest.mark.parametrize("step", ["between", "corrected", "late"])
def test_restatement_when_two_releases_differ_then_it_holds_every_number_that_changed_and_no_other(
    history: History, step: str, view: str
) -> None:
    earlier, load = {
        "between": (history.before, history.between),
        "corrected": (history.between, history.corrected),
        "late": (history.corrected, history.late),
    }[step]
    told = history.told(load, earlier).filter(pl.col("what").str.starts_with(f"{view}."))
    entity, key = NUMBERS[view]
    columns = "volume" if view == "gap_driver_daily" else _numbers(history, load, view)
    unpivoted = (
        f"UNPIVOT (SELECT production_date, {entity} AS entity_id, {columns} FROM {view} ORDER BY {key}) "
        f"ON {columns} INTO NAME number VALUE value"
    )
    days = f"production_date <= '{history.workspace.calendar.latest_closed(earlier.at)}'"
    was, now = (history.sql(one, f"SELECT * FROM ({unpivoted}) WHERE {days}") for one in (earlier, load))
    # A share of an event that is not there is zero; a number that is not there is null.
    absent = 0.0 if view == "gap_driver_daily" else None
    both = was.join(now, on=["production_date", "entity_id", "number"], how="full", suffix="_now", coalesce=True)
    if absent is not None:
        both = both.with_columns(pl.col("value", "value_now").fill_null(absent))
    both = both.with_columns(what=pl.lit(f"{view}.") + pl.col("number"))
    key_of_row = ["what", "entity_id", "production_date"]
    joined = both.join(told, on=key_of_row, how="full", coalesce=True)
    moved = (pl.col("value") - pl.col("value_now")).abs() > 1e-6 * pl.col("value").abs().clip(1.0)
    has_moved = moved | (pl.col("value").is_null() != pl.col("value_now").is_null())
    untold = joined.filter(has_moved & pl.col("reason").is_null())
    assert untold.is_empty(), untold
    misstated = joined.filter(pl.col("reason").is_not_null()).filter(
        pl.col("value").ne_missing(pl.col("old_value")) | pl.col("value_now").ne_missing(pl.col("new_value"))
    )
    assert misstated.is_empty(), misstated


def _numbers(history: History, load: Load, view: str) -> str:
    names = history.sql(
        load, f"SELECT column_name AS name FROM (DESCRIBE {view}) WHERE column_type = 'DOUBLE' ORDER BY name"
    )
    return ", ".join(names["name"])


def test_restatement_when_the_source_itself_arrives_late_then_the_estimate_is_said_to_be_replaced(
    history: History,
) -> None:
    told = history.told(history.late, history.corrected)
    late = history.truth("late_row")
    streams = history.truth("stream_day").filter(pl.col("role") == "production")
    wanted = late.join(streams, on=["stream_ec_code", "production_date"]).with_columns(
        entity_id=pl.col("facility_id") + "/" + pl.col("network")
    )
    assert wanted.height >= 1
    facts = told.filter(pl.col("what") == "production_daily.production_volume", pl.col("reason") == "source:pi→ec")
    found = wanted.join(facts, on=["entity_id", "production_date"], how="left")
    assert ((found["new_value"] - found["metered_volume"]).abs() <= 0.5).all()
    assert (found["old_value"] - found["new_value"]).abs().max() > 0.0
    estimates = history.sql(
        history.corrected, "SELECT node_id || '/' || network AS entity_id, * FROM production_daily WHERE source = 'pi'"
    )
    compared = found.join(estimates, on=["entity_id", "production_date"], how="left", suffix="_estimate")
    assert (compared["old_value"] == compared["production_volume"]).all()
    assert set(told["production_date"]) == set(wanted["production_date"])
    others = told.filter(~pl.col("reason").str.contains("source:pi→ec"))
    assert others.is_empty(), others


def test_restatement_when_a_day_is_loaded_for_the_first_time_then_it_has_none(history: History) -> None:
    assert history.sql(history.before, "SELECT * FROM restatement").is_empty()
    for load, earlier in ((history.between, history.before), (history.corrected, history.between)):
        told = history.told(load, earlier)
        assert told.height > 0
        assert told["production_date"].max() <= history.workspace.calendar.latest_closed(earlier.at)


def test_restatement_when_one_day_changed_then_only_that_day_is_compared(history: History) -> None:
    told = history.told(history.late, history.corrected)
    assert history.compared_late == told["production_date"].n_unique() == 1


def test_releases_when_later_ones_correct_them_then_they_read_as_they_did(history: History) -> None:
    for load in (history.before, history.between, history.corrected, history.late):
        path = database_path(history.workspace.warehouse_dir, load.release_id)
        assert file_sha256(path) == load.sha256
        assert _checksum(path) == load.checksum
    correction = history.visible().row(0, named=True)
    query = (
        f"SELECT production_volume AS v FROM production_daily WHERE node_id = '{correction['facility_id']}' AND "
        f"network = '{correction['network']}' AND production_date = '{correction['production_date']}'"
    )
    assert history.sql(history.before, query)["v"][0] == pytest.approx(correction["first_volume"], rel=1e-6)
    assert history.sql(history.corrected, query)["v"][0] == pytest.approx(correction["corrected_volume"], rel=1e-6)


def test_actuals_when_asked_as_known_at_a_load_then_they_are_what_its_release_says(history: History) -> None:
    lake = history.workspace.lake
    first, last = lake.labels("core__daily_production")[0], history.workspace.latest_label
    versions = lake.read("core__actual", first, last)
    for load in (history.before, history.between, history.corrected, history.late):
        known = as_known_at(versions, load.at)
        released = history.sql(
            load,
            "SELECT node_id AS facility_id, network, production_date, production_volume, source AS released_source "
            "FROM production_daily WHERE node_level = 'facility' AND source IS NOT NULL",
        )
        both = released.join(known, on=["facility_id", "network", "production_date"], how="full", coalesce=True)
        assert both.height == released.height == known.height
        assert (both["volume"] == both["production_volume"]).all()
        assert (both["source"] == both["released_source"]).all()
    corrected = versions.join(
        history.visible().select("facility_id", "network", "production_date"),
        on=["facility_id", "network", "production_date"],
    ).sort("facility_id", "network", "production_date", "known_at_utc")
    assert corrected["revision"].to_list() == [1, 2] * history.visible().height
    assert (corrected["source_updated_at_utc"] <= corrected["known_at_utc"]).all()


def test_restatement_when_nothing_changed_then_nothing_is_added_and_nothing_published(history: History) -> None:
    ws = history.workspace
    tables = ("core__actual", "out__restatement", "core__compared_file")

    def hashes() -> dict[tuple[str, str], str]:
        return {(t, p.partition): p.entry.sha256 for t in tables for p in ws.lake.partitions(t)}

    before = hashes()
    release_id = bootstrap(replace(ws, is_bootstrap=True), history.settings)
    assert release_id == history.late.release_id
    assert hashes() == before
