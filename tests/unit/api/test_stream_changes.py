"""What differs between two releases: contents, not the metadata that every release changes; each scope learns of its own only."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from api.app import HANDLERS
from api.callers import EVERYTHING, Scope
from api.dependencies import CACHE, Desk
from api.preparing import Preparation
from api.settings import Settings
from api.stream_changes import ALL, Contents, changes, contents, templates_of
from api.subjects import SUBJECTS
from tests.unit.warehouse.frames import publish_tiny, tiny_release_tables
from warehouse.manifest import InputPartition
from warehouse.reader_release import OpenRelease

EAST = Scope(frozenset({"east"}))
WEST = Scope(frozenset({"west"}))
TEMPLATES = templates_of(HANDLERS)
DAYS = 3


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Contents]]:
    """Contents of a release, of one that says the same at another time, and of one in which a hub of the east changed."""
    folder = tmp_path_factory.mktemp("warehouse")
    found: dict[str, Contents] = {}

    def note(release: OpenRelease) -> None:
        found[release.release_id] = contents(release.extras[CACHE])

    desk = Desk(Settings(warehouse_dir=folder), Preparation(SUBJECTS, [EAST], "base"))
    desk.reader.add_on_open(note)
    tables = tiny_release_tables(DAYS)
    changed = tiny_release_tables(DAYS)
    trend = changed["out__hub_trend"]
    is_alder = pl.col("hub_id") == "hub-alder"
    changed["out__hub_trend"] = trend.with_columns(
        average=pl.when(is_alder & pl.col("average").is_not_null()).then(pl.col("average") + 1).otherwise("average")
    )
    names = {}
    for minutes, (name, frames) in enumerate((("first", tables), ("same", tables), ("changed", changed))):
        release_id = publish_tiny(
            folder,
            tables=frames,
            as_of=datetime(2026, 11, 22, 5, minutes, tzinfo=UTC),
            inputs=[InputPartition(table="raw", partition="all", sha256=name, rows=1)],
        )
        desk.refresh()
        names[name] = found[release_id]
    yield names
    desk.close()


def always() -> set[str]:
    """What nothing is prepared for, and the list of releases."""
    return {"/api/v1/data-releases", "/api/v1/changes", "/api/v1/events", "/api/v1/explain"}


def test_releases_when_only_their_metadata_differs_then_no_prepared_answer_changed(read: dict[str, Contents]) -> None:
    found = changes(read["first"], read["same"], TEMPLATES)
    assert read["first"] is not read["same"]
    prepared = set(read["first"].digests[""])
    assert len(prepared) > 8
    assert set(found.paths(EVERYTHING)) & prepared == set()
    assert always() <= set(found.paths(EVERYTHING))


def test_releases_when_one_hub_differs_then_its_path_changed_and_no_other_hub(read: dict[str, Contents]) -> None:
    found = changes(read["same"], read["changed"], TEMPLATES)
    prepared = set(read["first"].digests[""])
    assert set(found.paths(EVERYTHING)) & prepared == {"/api/v1/hubs/hub-alder/performance"}
    assert found.paths(EVERYTHING) == sorted(found.paths(EVERYTHING))


def test_caller_when_limited_to_an_asset_then_nothing_of_another_is_told(read: dict[str, Contents]) -> None:
    found = changes(read["same"], read["changed"], TEMPLATES)
    assert "/api/v1/hubs/hub-alder/performance" in found.paths(EAST)
    assert [path for path in found.paths(WEST) if "alder" in path] == []
    assert always() <= set(found.paths(WEST))


def test_paths_about_a_node_when_their_owner_is_looked_up_then_every_one_has_its_asset(
    read: dict[str, Contents],
) -> None:
    owners = read["first"].owners
    assert owners["/api/v1/hubs/hub-alder/performance"] == "east"
    assert owners["/api/v1/hubs/hub-birch/performance"] == "west"
    assert owners["/api/v1/terminal/tm-east/operations"] == "east"
    named = {path for path in read["first"].digests[""] if re.search("alder|birch|tm-east", path)}
    assert named == set(owners)
    assert None not in owners.values()


def test_releases_when_one_is_unknown_or_not_all_was_held_then_everything_changed(read: dict[str, Contents]) -> None:
    partial = Contents(read["same"].digests, {}, read["same"].templates, is_complete=False)
    for before, after in ((None, read["same"]), (read["same"], None), (read["first"], partial)):
        assert changes(before, after, TEMPLATES).paths(EAST) == [ALL]


def test_templates_when_listed_then_every_release_answer_stands_there_and_no_stream() -> None:
    assert "/api/v1/hubs/{hub_id}/performance" in TEMPLATES
    assert "/api/v1/stream" not in TEMPLATES
    assert "/api/v1/me" not in TEMPLATES


def test_scope_when_it_did_not_fit_into_memory_then_judged_by_the_whole(tmp_path: Path) -> None:
    publish_tiny(tmp_path, days=2)
    desk = Desk(Settings(warehouse_dir=tmp_path), Preparation(SUBJECTS, [EAST], "base"))
    kept: list[Contents] = []

    def note(release: OpenRelease) -> None:
        cache = release.extras[CACHE]
        cache.incomplete.add(EAST.key)
        kept.append(contents(cache))

    desk.reader.add_on_open(note)
    desk.refresh()
    desk.close()
    assert set(kept[0].digests) == {""}
    assert kept[0].is_complete
