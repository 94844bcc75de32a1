"""The tiny operator with something of the west in every table of a release, named and numbered so that it is told at once."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from tests.unit.warehouse.frames import LATEST, publish_tiny, table, tiny_release_tables

Row = dict[str, Any]
KNOWN_AT = datetime(2026, 11, 22, 5, tzinfo=UTC)
# Words of rows that belong to the west alone, beside its identifiers.
WEST_WORDS = (
    "BIR.FT301.OIL",
    "BIRCH_OIL",
    "BIRCH_LINE",
    "Gas lift compressor trip",
    "ec:48215",
    "WEST-REGISTER",
    "9f9f",
)


def scoped_tables(days: int = 10) -> dict[str, pl.DataFrame]:
    """Tables of a release: tiny_release_tables and, for each facility, rows in the tables that those leave empty."""
    tables = tiny_release_tables(days)
    labels = [LATEST - timedelta(days=back) for back in range(days - 1, -1, -1)]
    for name, rows in _added(labels).items():
        tables[name] = pl.concat([tables[name], table(name, rows)])
    return tables


def publish_scoped(warehouse_dir: Path, days: int = 10) -> str:
    """Publish them; the release's id."""
    return publish_tiny(warehouse_dir, tables=scoped_tables(days))


def _added(labels: list[date]) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = {
        "reading_daily": [_reading(label) for label in labels],
        "restatement": [
            _restated("fs-birch/oil", "ec:revision 2", 18_500.25),
            _restated("hub-birch/oil", "derived:ec:revision 2 of fs-birch/oil", 18_500.25),
            _restated("west/oil", "derived:ec:revision 2 of fs-birch/oil", 18_500.25),
            _restated("system/oil", "derived:ec:revision 2 of fs-birch/oil", 54_500.75),
            _restated("tm-east", "derived:ec:revision 2 of fs-birch/oil", 54_500.5),
            _restated("fs-alder/oil", "ec:revision 3", 36_000.5),
            _restated("hub-alder/oil", "derived:ec:revision 3 of fs-alder/oil; ec:48213@2", 36_000.5),
            _restated("ec:48215/gp-alder/exportGas", "derived:ec:48215@2", 4_000_000.5),
            _restated("ec:48213/fs-alder/oil", "derived:ec:48213@2", 11_900.5),
        ],
        "quarantine": [
            {
                "source": "energy_components",
                "dataset": "stream_day",
                "production_date": labels[-1],
                "row_id": "9f9f",
                "rule": "range",
                "reason": "BIRCH_OIL is out of range",
                "raw": '{"STREAM_CODE":"BIRCH_OIL"}',
                "rejected_at_utc": KNOWN_AT,
            }
        ],
    }
    for facility, stream, value in (("fs-alder", "ALDER_OIL", 21_700.0), ("fs-birch", "BIRCH_OIL", 13_000.0)):
        found.setdefault("source_row", []).extend(_source_row(label, facility, stream, value) for label in labels[-2:])
        found.setdefault("meter_daily", []).extend(_meter(label, facility, stream, value) for label in labels[-2:])
    found["out__daily_meter"] = found.pop("meter_daily")
    found["out__daily_balance"] = [
        _balance(label, node, facilities, value)
        for label in labels[-2:]
        for node, facilities, value in (
            ("fs-alder", "fs-alder", 21_700.5),
            ("fs-birch", "fs-birch", 13_000.5),
            ("tm-east", "fs-birch tm-east", 34_700.5),
        )
    ]
    found["out__daily_closure"] = [_closure(label) for label in labels[-2:]]
    found["source_register"] = [
        _register(entity, value)
        for entity, value in (
            ("fs-alder", 34_000.0),
            ("fs-birch", 19_000.25),
            ("west", 19_000.75),
            ("system", 53_000.5),
        )
    ]
    found["capacity_limit"] = [
        _limit("asset", "east", "node", "fs-alder", 50_000.0),
        _limit("hub", "hub-alder", "node", "fs-alder", 50_000.0),
        _limit("asset", "west", "edge", "fs-birch~tm-east~oil", 30_000.25),
        _limit("hub", "hub-birch", "node", "fs-birch", 30_000.25),
        _limit("system", "system", "node", "fs-alder", 50_000.0),
        _limit("system", "system", "edge", "fs-birch~tm-east~oil", 30_000.25),
    ]
    found["terminal_balance"] = [
        {
            "production_date": label,
            "terminal_id": "tm-east",
            "day_hours": 24.0,
            "gross_stock": 2_748_000.0,
            "stock_source": "pi",
            "water": 10.0,
            "receipts": 34_700.0,
            "lifted": 0.0,
        }
        for label in labels
    ]
    return found


def _reading(label: date) -> Row:
    return {
        "tag_id": 3,
        "tag_name": "BIR.FT301.OIL",
        "production_date": label,
        "facility_id": "fs-birch",
        "measurement": "rate",
        "unit": "bbl/d",
        "time_weighted_mean": 13_111.125,
        "good_fraction": 0.98,
        "sample_count": 1440,
        "frozen_fraction": 0.0,
        "quality": "good",
    }


def _restated(entity_id: str, reason: str, old: float) -> Row:
    parts = entity_id.count("/")
    what = {0: "terminal_daily.production_rate", 1: "production_daily.production", 2: "gap_driver_daily.volume"}[parts]
    return {
        "what": what,
        "entity_id": entity_id,
        "production_date": LATEST,
        "known_at_utc": KNOWN_AT,
        "old_value": old,
        "new_value": old + 10,
        "delta": 10.0,
        "reason": reason,
    }


def _source_row(label: date, facility: str, stream: str, value: float) -> Row:
    return {
        "production_date": label,
        "facility_id": facility,
        "network": "oil",
        "quantity": "production",
        "lake_table": "raw_energy_components__stream_day",
        "source_key": stream,
        "source_date": label,
        "column_name": "volume",
        "value": value,
        "unit": "bbl",
        "factor": 1.0,
    }


def _meter(label: date, facility: str, stream: str, value: float) -> Row:
    return {
        "production_date": label,
        "system": "oil",
        "meter_id": stream,
        "facility_id": facility,
        "network": "oil",
        "measurement": "separator_rate",
        "source": "ec",
        "measured": value,
        "sigma": 100.0,
        "reconciled": value + 3.125,
        "reconciled_sigma": 90.0,
        "adjustment": 3.125,
        "test_statistic": 0.1,
        "evidence_days": 1,
        "flag": "ok",
    }


def _balance(label: date, node: str, facilities: str, value: float) -> Row:
    return {
        "production_date": label,
        "system": "oil",
        "balance_id": f"{node}/{'BIRCH_LINE' if 'birch' in facilities else 'line'}",
        "node_id": node,
        "facility_ids": facilities,
        "inputs": value,
        "outputs": value,
        "imbalance": 0.0,
        "sigma": 100.0,
        "statistic": 0.0,
        "is_closed": True,
    }


def _closure(label: date) -> Row:
    return {
        "production_date": label,
        "system": "oil",
        "balance_count": 3,
        "meter_count": 2,
        "observable_count": 2,
        "gross_error_count": 0,
        "inputs": 34_700.0625,
        "outputs": 34_699.9375,
        "imbalance": 0.125,
        "sigma": 141.5,
        "global_statistic": 1.0625,
        "degrees_of_freedom": 3,
        "p_value": 0.8125,
        "critical_statistic": 3.0625,
    }


def _register(entity: str, value: float) -> Row:
    return {
        "quantity": "target",
        "entity_id": entity,
        "network": "oil",
        "version": "2026.2",
        "valid_from": date(2026, 1, 1),
        "lake_table": "raw_sharepoint__business_target",
        "source_key": "WEST-REGISTER" if entity in ("west", "fs-birch") else f"register-{entity}",
        "column_name": "value",
        "value": value,
        "unit": "bbl/d",
        "factor": 1.0,
    }


def _limit(level: str, node: str, kind: str, element: str, capacity: float) -> Row:
    return {
        "node_level": level,
        "node_id": node,
        "network": "oil",
        "valid_from": date(2026, 1, 1),
        "element_kind": kind,
        "element_id": element,
        "element_network": "oil",
        "capacity": capacity,
        "weight": 1.0,
    }
