"""Releases that carry one number in many places, so that a body made from two of them gives itself away.

Release n says n in names and quantities that come from different tables and queries.
"""

from typing import Any

import polars as pl

from tests.unit.warehouse.frames import request_for, tiny_release_tables
from warehouse.build import ReleaseRequest

CAPACITY = 100_000.0
STOCK = 1_000_000.0
AVERAGE = 10_000.0
ADDRESSES = (
    "/api/v1/summary",
    "/api/v1/assets",
    "/api/v1/gap-drivers",
    "/api/v1/production-flow",
    "/api/v1/hubs/hub-alder/performance?window=7d",
    "/api/v1/terminal/tm-east/operations",
    "/api/v1/summary?units=base&network=oil",  # made on demand: nothing is prepared for it
)


def marked_tables(n: int, days: int = 1) -> dict[str, pl.DataFrame]:
    """The tiny operator's tables that say n: facts that no gate compares with others."""
    tables = tiny_release_tables(days)
    mark = pl.lit(float(n))
    for name in ("asset", "hub", "facility"):
        tables[name] = tables[name].with_columns(pl.lit(f"Marked {n}").alias("name"))
    if "facility_version" in tables:
        tables["facility_version"] = tables["facility_version"].with_columns(pl.lit(f"Marked {n}").alias("name"))
    tables["out__daily_production"] = tables["out__daily_production"].with_columns(
        max_capacity=pl.when(pl.col("max_capacity").is_not_null()).then(CAPACITY + mark)
    )
    tables["out__daily_terminal"] = tables["out__daily_terminal"].with_columns(gross_stock=STOCK + mark)
    tables["out__daily_event"] = tables["out__daily_event"].with_columns(pl.lit(f"Marked {n}").alias("title"))
    tables["out__hub_trend"] = tables["out__hub_trend"].with_columns(
        average=pl.when(pl.col("average").is_not_null()).then(AVERAGE + mark)
    )
    return tables


def marked_request(tables: dict[str, pl.DataFrame]) -> ReleaseRequest:
    """What is said of it."""
    return request_for(tables)


def marks_of(node: Any, name: str = "") -> set[int]:
    """Every n that stands anywhere in a body."""
    if isinstance(node, dict):
        return set().union(*(marks_of(value, key) for key, value in node.items()))
    if isinstance(node, list):
        return set().union(*(marks_of(value, name) for value in node))
    if isinstance(node, str) and name in ("name", "title") and node.startswith("Marked "):
        return {int(node.removeprefix("Marked "))}
    base = {"maxCapacity": CAPACITY, "grossStock": STOCK, "average": AVERAGE}.get(name)
    # A terminal's own capacity is its tanks'; what is not applicable has none.
    if base is None or node is None or not base <= node < base + 50_000:
        return set()
    return {round(node - base)}
