"""Newest source instants."""

from datetime import UTC, datetime

import polars as pl

from pipelines.transforms.freshness import newest_instants, source_freshness
from warehouse.catalog.core import CoreDailyProduction, CoreDailyReading, CoreDailyTerminal, CoreTarget
from warehouse.catalog.release import SourceFreshness

EARLY, LATE = datetime(2026, 11, 20, 5, tzinfo=UTC), datetime(2026, 11, 21, 5, tzinfo=UTC)


def _newest(**frames: pl.DataFrame) -> dict[str, datetime | None]:
    empty = {
        "production": CoreDailyProduction.create_empty(),
        "readings": CoreDailyReading.create_empty(),
        "terminals": CoreDailyTerminal.create_empty(),
        "targets": CoreTarget.create_empty(),
    }
    return newest_instants(**(empty | frames))


def _production(source: list[str | None], instants: list[datetime | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"source": source, "observed_at_utc": instants},
        schema={"source": pl.String, "observed_at_utc": pl.Datetime("us", "UTC")},
    )


def test_newest_instants_when_nothing_is_there_then_every_source_is_null() -> None:
    assert _newest() == {"energy_components": None, "pi": None, "sharepoint": None}


def test_newest_instants_when_sources_differ_then_each_has_its_own() -> None:
    found = _newest(production=_production(["ec", "pi", None], [EARLY, LATE, None]))
    assert (found["energy_components"], found["pi"]) == (EARLY, LATE)


def test_newest_instants_when_a_reading_is_newer_then_it_counts_for_pi() -> None:
    readings = pl.DataFrame({"last_good_at_utc": [EARLY, LATE]}).cast({"last_good_at_utc": pl.Datetime("us", "UTC")})
    assert _newest(production=_production(["pi"], [EARLY]), readings=readings)["pi"] == LATE


def test_newest_instants_when_others_are_given_then_the_newest_wins() -> None:
    found = newest_instants(
        production=_production(["ec"], [EARLY]),
        readings=CoreDailyReading.create_empty(),
        terminals=CoreDailyTerminal.create_empty(),
        targets=CoreTarget.create_empty(),
        others=[{"energy_components": LATE, "sharepoint": None}],
    )
    assert found == {"energy_components": LATE, "pi": None, "sharepoint": None}


def test_source_freshness_when_a_source_never_succeeded_then_its_row_has_nulls() -> None:
    table = source_freshness(newest={"pi": LATE}, last_success={"pi": LATE}, sla_seconds={"pi": 7200, "sharepoint": 60})
    SourceFreshness.validate(table)
    assert table.rows() == [("pi", LATE, LATE, 7200), ("sharepoint", None, None, 60)]
