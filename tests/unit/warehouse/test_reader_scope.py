"""What a caller limited to assets reads of a release: nothing of another asset, whichever query asks, and parents that add up."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tests.unit.warehouse.frames import LATEST, publish_tiny, request_for
from tests.unit.warehouse.frames_scoped import WEST_WORDS, publish_scoped, scoped_tables
from warehouse import ddl, reader_scope
from warehouse.build_publish import build_and_publish
from warehouse.errors import WarehouseError
from warehouse.manifest import Waiver
from warehouse.queries import BOOK
from warehouse.reader import ReleaseReader
from warehouse.reader_release import OpenRelease
from warehouse.reader_scope_rules import EVERYTHING, HELPERS, RESTRICTED, RULES, Rule

EAST, WEST, BOTH, NOBODY = (frozenset(assets) for assets in (["east"], ["west"], ["east", "west"], []))
WEST_NAMES = ("west", "West", "hub-birch", "Birch", "fs-birch", *WEST_WORDS)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenRelease]:
    directory = tmp_path_factory.mktemp("scoped")
    publish_scoped(directory)
    with ReleaseReader(directory) as reader:
        reader.refresh()
        with reader.lease() as opened:
            yield opened


def rows(release: OpenRelease, sql: str, assets: frozenset[str] | None) -> list[tuple[Any, ...]]:
    with release.cursor(assets) as cursor:
        return cursor.execute(sql).fetchall()


def table(release: OpenRelease, sql: str, assets: frozenset[str] | None) -> pl.DataFrame:
    with release.cursor(assets) as cursor:
        found: pl.DataFrame = cursor.sql(sql).pl()
        return found


def test_rules_then_every_view_of_the_catalogue_has_one() -> None:
    assert set(RULES) == {view.name for view in ddl.views()}


def test_named_queries_then_they_name_views_alone_and_nothing_past_the_scope() -> None:
    for name in BOOK.names():
        sql = BOOK.get(name).sql
        code = re.sub(r"--.*", "", sql)
        assert not re.search(r"\b(?:store|main|memory|release_\d+)\s*\.", code), name
        listed = duckdb.get_table_names(re.sub(r"\$\w+", "NULL", code), qualified=True)
        named = {text.split(" AS ")[0].strip('"') for text in listed}
        assert named <= set(RULES), f"{name} reads {named - set(RULES)}, which no limited caller has"


@pytest.mark.parametrize("view", sorted(RULES))
def test_every_view_when_limited_then_columns_stay_and_nothing_of_the_other_asset_is_left(
    release: OpenRelease, view: str
) -> None:
    whole = table(release, f'SELECT * FROM "{view}"', None)
    east = table(release, f'SELECT * FROM "{view}"', EAST)
    assert east.schema == whole.schema
    text = east.write_csv()
    assert not [word for word in WEST_NAMES if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]
    if view not in ("dictionary", "release_info", "source_freshness", "reason_code"):
        assert table(release, f'SELECT * FROM "{view}"', NOBODY).is_empty()


def test_shared_tables_when_limited_then_everyone_has_them_whole(release: OpenRelease) -> None:
    for view in ("dictionary", "release_info", "source_freshness", "reason_code"):
        assert rows(release, f"SELECT count(*) FROM {view}", WEST) == rows(
            release, f"SELECT count(*) FROM {view}", None
        )


def test_system_when_limited_to_one_asset_then_it_is_that_asset(release: OpenRelease) -> None:
    quantities = (
        "production_date, network, max_capacity, potential, production, deferment, gap_volume, coverage, quality"
    )
    order = "ORDER BY production_date, network"
    system = rows(release, f"SELECT {quantities} FROM production_daily WHERE node_level = 'system' {order}", WEST)
    asset = rows(release, f"SELECT {quantities} FROM production_daily WHERE node_id = 'west' {order}", None)
    assert system == asset
    assert len(system) == 40
    published = "SELECT count(published_target), count(asset_id) FROM production_daily WHERE node_level = 'system'"
    assert rows(release, published, WEST) == [(0, 0)]


def test_system_when_limited_to_all_assets_by_name_then_the_roll_up_gives_the_releases_own_rows(
    release: OpenRelease,
) -> None:
    sql = "SELECT * FROM production_daily WHERE node_level = 'system' ORDER BY production_date, network"
    ours, stored = table(release, sql, BOTH), table(release, sql, None)
    words = [name for name, kind in stored.schema.items() if not kind.is_float()]
    assert ours.select(words).equals(stored.select(words))
    numbers = [
        n for n, kind in stored.schema.items() if kind.is_float() and n not in ("max_capacity", "published_target")
    ]
    for name in numbers:
        pairs = zip(ours[name], stored[name], strict=True)
        assert all(a == b if b is None or a is None else a == pytest.approx(b, rel=1e-12) for a, b in pairs), name
    # A union's capacity is no sum of its assets'.
    served = ours.filter(pl.col("quality") != "notApplicable")
    assert served["max_capacity"].null_count() == served.height


def test_drivers_when_caused_in_another_asset_then_one_restricted_row_keeps_the_volume(release: OpenRelease) -> None:
    sql = "SELECT * FROM gap_driver_daily WHERE event_id = 'restricted'"
    found = table(release, sql, EAST)
    assert found.select("facility_id", "network", "volume", "source").rows() == [
        ("gp-alder", "exportGas", 4e6, RESTRICTED)
    ]
    told = ("cause_node_id", "volume_if_alone", "gain_if_fixed", "hours", "choke", "reason_code", "confidence")
    assert all(found[name].null_count() == found.height for name in (*told, "is_planned", "is_third_party"))
    assert rows(release, "SELECT count(*) FROM event WHERE event_id = 'restricted'", EAST) == [(0,)]


@pytest.mark.parametrize("assets", [EAST, WEST, BOTH])
def test_drivers_when_limited_then_they_close_at_every_facility_and_day(
    release: OpenRelease, assets: frozenset[str]
) -> None:
    sql = """
        SELECT count(*), max(abs(p.deferment_volume - g.volume))
        FROM production_daily AS p
        INNER JOIN (
            SELECT production_date, facility_id, network, sum(volume) AS volume FROM gap_driver_daily GROUP BY ALL
        ) AS g ON g.production_date = p.production_date AND g.facility_id = p.node_id AND g.network = p.network
        WHERE p.node_level = 'facility'"""
    count, error = rows(release, sql, assets)[0]
    assert count > 0
    assert error < 1e-6


def test_restatements_when_a_fact_of_another_asset_caused_them_then_the_reason_names_none(release: OpenRelease) -> None:
    found = dict(rows(release, "SELECT entity_id, reason FROM restatement WHERE production_date = '2026-11-21'", EAST))
    assert found == {
        "tm-east": "derived:outside your scope",
        "fs-alder/oil": "ec:revision 3",
        "hub-alder/oil": "derived:ec:revision 3 of fs-alder/oil; ec:48213@2",
        "ec:48213/fs-alder/oil": "derived:ec:48213@2",
    }


def test_closure_when_limited_then_it_counts_visible_meters_and_tests_nothing(release: OpenRelease) -> None:
    sql = "SELECT balance_count, meter_count, degrees_of_freedom, inputs, global_statistic, critical_statistic FROM closure_daily"
    assert rows(release, sql, EAST) == [(1, 1, 0, None, None, None)] * 2


def test_edges_when_one_end_is_in_another_asset_then_they_are_not_there(release: OpenRelease) -> None:
    assert ("fs-birch~tm-east~oil",) not in rows(release, "SELECT edge_id FROM edge_version", EAST)
    assert rows(release, "SELECT edge_id FROM edge_version", WEST) == []
    assert rows(release, "SELECT edge_id, valid_from, valid_to FROM edge_version ORDER BY 1", BOTH) == rows(
        release, "SELECT edge_id, valid_from, valid_to FROM edge_version ORDER BY 1", None
    )


def test_capacity_limits_when_one_asset_then_the_systems_cut_is_its_own(release: OpenRelease) -> None:
    sql = "SELECT node_level, node_id, element_id FROM capacity_limit ORDER BY ALL"
    assert rows(release, sql, EAST) == [
        ("asset", "east", "fs-alder"),
        ("hub", "hub-alder", "fs-alder"),
        ("system", "system", "fs-alder"),
    ]
    # The west's own cut holds an edge to the east: shown in part it would not sum to its capacity.
    assert rows(release, sql, WEST) == [("hub", "hub-birch", "fs-birch")]


def test_table_without_a_rule_when_limited_then_it_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_tiny(tmp_path)
    monkeypatch.delitem(RULES, "reading_daily")
    with ReleaseReader(tmp_path) as reader:
        reader.refresh()
        with reader.lease() as release:
            assert rows(release, "SELECT count(*) FROM reading_daily", None) != [(0,)]
            with pytest.raises(duckdb.CatalogException, match="reading_daily"):
                rows(release, "SELECT * FROM reading_daily", EAST)


def test_facility_that_moved_when_asked_then_each_day_belongs_to_its_asset_of_then(tmp_path: Path) -> None:
    tables = scoped_tables()
    moved = LATEST - timedelta(days=4)
    birch = pl.col("facility_id") == "fs-birch"
    versions = tables["facility_version"]
    old = versions.filter(birch).with_columns(valid_to=pl.lit(moved))
    new = versions.filter(birch).with_columns(
        valid_from=pl.lit(moved), asset_id=pl.lit("east"), hub_id=pl.lit("hub-alder"), hub_name=pl.lit("Alder")
    )
    tables["facility_version"] = pl.concat([versions.filter(~birch), old, new])
    is_moved = (pl.col("production_date") >= moved) & (pl.col("node_id") == "fs-birch")
    production = tables["out__daily_production"]
    tables["out__daily_production"] = production.with_columns(
        asset_id=pl.when(is_moved).then(pl.lit("east")).otherwise("asset_id")
    )
    with Opened(tmp_path, tables) as release:
        day = "SELECT min(production_date), max(production_date) FROM "
        reading, node = f"{day} reading_daily WHERE tag_id = 3", f"{day} production_daily WHERE node_id = 'fs-birch'"
        first = LATEST - timedelta(days=9)
        assert rows(release, reading, EAST) == rows(release, node, EAST) == [(moved, LATEST)]
        assert rows(release, reading, WEST) == rows(release, node, WEST) == [(first, moved - timedelta(days=1))]
        shown = "SELECT valid_from, valid_to FROM edge_version WHERE edge_id = 'fs-birch~tm-east~oil'"
        assert rows(release, shown, EAST) == [(moved, None)]
        assert rows(release, shown, WEST) == []


def test_hub_that_holds_another_assets_facility_when_limited_then_its_sums_are_hidden(tmp_path: Path) -> None:
    tables = scoped_tables()
    versions = tables["facility_version"]
    gas_plant = pl.col("facility_id") == "gp-alder"
    tables["facility_version"] = versions.with_columns(
        asset_id=pl.when(gas_plant).then(pl.lit("west")).otherwise("asset_id")
    )
    with Opened(tmp_path, tables) as release:
        of_hub = "SELECT count(*) FROM {} WHERE {} = 'hub-alder'"
        for view, column in (("production_daily", "node_id"), ("hub_trend", "hub_id"), ("capacity_limit", "node_id")):
            assert rows(release, of_hub.format(view, column), None) != [(0,)], view
            assert rows(release, of_hub.format(view, column), EAST) == [(0,)], view
        assert rows(release, "SELECT hub_id FROM hub", EAST) == [("hub-alder",)]


def test_many_scopes_when_more_than_are_kept_then_old_ones_leave_and_still_answer(
    release: OpenRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_scope, "SCOPES_KEPT", 3)
    with release.cursor(WEST) as held:
        for number in range(6):
            assert rows(release, "SELECT count(*) FROM asset", frozenset([f"asset-{number}"])) == [(0,)]
        assert len(release._scopes) <= 3
        # Its views are in use: they were not dropped.
        assert held.execute("SELECT asset_id FROM asset").fetchall() == [("west",)]
    assert rows(release, "SELECT asset_id FROM asset", EAST) == [("east",)]
    schemas = rows(release, "SELECT count(*) FROM duckdb_schemas() WHERE schema_name LIKE '%_scope_%'", None)
    assert schemas == [(len(release._scopes),)]


def test_asset_ids_with_quotes_when_limited_then_they_are_text(release: OpenRelease) -> None:
    assert rows(release, "SELECT count(*) FROM facility", frozenset(["x') OR ('1'='1"])) == [(0,)]


def test_closed_release_when_limited_then_it_says_so(tmp_path: Path) -> None:
    publish_tiny(tmp_path)
    with ReleaseReader(tmp_path) as reader:
        reader.refresh()
        with reader.lease() as release:
            assert rows(release, "SELECT asset_id FROM asset", EAST) == [("east",)]
    with pytest.raises(WarehouseError, match="closed"):
        release.query("asset_list", assets=EAST)


def test_hole_in_a_rule_when_seeded_then_the_rows_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_tiny(tmp_path)
    monkeypatch.setitem(RULES, "hub", Rule(EVERYTHING))
    with ReleaseReader(tmp_path) as reader:
        reader.refresh()
        with reader.lease() as release:
            assert ("hub-birch",) in rows(release, "SELECT hub_id FROM hub", EAST)


def test_helpers_then_none_has_a_views_name() -> None:
    assert not set(HELPERS) & set(RULES)


class Opened:
    """A release of frames whose hierarchy changed while their stored sums did not: the gate of sums is waived."""

    def __init__(self, directory: Path, tables: dict[str, pl.DataFrame]) -> None:
        waiver = Waiver(gate="children_sum_to_parents", by="test", reason="the hierarchy moved, the sums did not")
        assert build_and_publish(directory, tables, info=request_for(tables), waivers=[waiver]).release_id is not None
        self._reader = ReleaseReader(directory)

    def __enter__(self) -> OpenRelease:
        self._reader.refresh()
        self._lease = self._reader.lease()
        return self._lease.__enter__()

    def __exit__(self, *fault: object) -> None:
        self._lease.__exit__(None, None, None)
        self._reader.close()
