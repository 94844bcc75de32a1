"""Closing stocks that are set aside: of tanks that nobody knows, without a volume's place, twice."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from pipelines import site_tables as t
from pipelines.transforms.terminals_rejected import rejected_tank_days
from warehouse.catalog.core import CoreQuarantine
from warehouse.catalog.raw import RawEnergyComponentsTankDay

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    return pl.DataFrame([{f.name: f.default for f in spec.fields} | row for row in rows], schema=schema, orient="row")


TERMINALS = table(t.TERMINALS, {"facility_id": "tm-a", "safe_fill_bbl": 1e6, "storage_ec_code": "TM_A"})
TAGS = table(t.TAGS, {"tag_id": 1, "tag_name": "TK", "facility_id": "tm-a", "measurement": "stock", "object_id": "TK1"})


def rejected(*rows: tuple[str, int]) -> pl.DataFrame:
    schema = RawEnergyComponentsTankDay.create_empty().schema
    frame = pl.DataFrame(
        [
            dict.fromkeys(schema)
            | {
                "production_date": DAY,
                "tank_ec_code": code,
                "closing_volume": 10.0,
                "source_updated_at_utc": NOW.replace(hour=hour),
            }
            for code, hour in rows
        ],
        schema=schema,
        orient="row",
    )
    found = rejected_tank_days(frame, TAGS, TERMINALS, [DAY], NOW)
    CoreQuarantine.validate(found.select(CoreQuarantine.create_empty().columns))
    return found


def test_tank_when_it_is_a_storage_or_has_a_gauge_then_accepted() -> None:
    assert rejected(("TM_A", 1), ("TK1", 1)).is_empty()


def test_tank_when_nobody_knows_it_then_quarantined_with_its_row() -> None:
    found = rejected(("TM_A", 1), ("TK9", 1))
    assert found.select("source", "dataset", "rule", "production_date").rows() == [
        ("energy_components", "tank_day", "unknown_id", DAY)
    ]
    assert "TK9" in found["raw"][0]


def test_tank_when_a_row_stands_twice_then_the_older_is_set_aside() -> None:
    found = rejected(("TM_A", 2), ("TM_A", 1))
    assert found["rule"].to_list() == ["duplicate_key"]
    assert "01:00" in found["raw"][0]
