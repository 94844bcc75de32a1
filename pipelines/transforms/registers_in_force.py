"""Which target version and which capacity is in force on a day; lookups over core__target and core__capacity."""

import polars as pl

from pipelines.transforms import quality

_KEY = ["production_date", "facility_id", "network"]
_CAPACITY_ORDER = {"ec": 0, "sharepoint": 1}


def target_in_force(targets: pl.DataFrame | None, rows: pl.DataFrame) -> pl.DataFrame:
    """production_date, facility_id, network, rate, quality for those of `rows` (same three keys) that have a target.

    Approved versions only; of several valid ones the last published, then the highest version. Rates per 24 h, base units.
    """
    if targets is None:
        return _nothing()
    approved = targets.filter("is_approved").rename({"node_id": "facility_id", "value": "rate"})
    return (
        _valid(approved, rows)
        .sort(*_KEY, "published_at_utc", "version", nulls_last=False)
        .unique(_KEY, keep="last", maintain_order=True)
        .select(*_KEY, "rate", pl.lit(quality.GOOD).alias("quality"))
    )


def capacity_in_force(capacities: pl.DataFrame | None, rows: pl.DataFrame) -> pl.DataFrame:
    """production_date, facility_id, network, rate, quality for those of `rows` that have a capacity.

    Energy Components goes before SharePoint; within a source the latest valid_from. Rates per 24 h, base units.
    """
    if capacities is None:
        return _nothing()
    order = pl.col("source").replace_strict(_CAPACITY_ORDER, default=len(_CAPACITY_ORDER), return_dtype=pl.Int64)
    return (
        _valid(capacities.rename({"capacity": "rate"}).with_columns(order.alias("order")), rows)
        .sort(*_KEY, "order", "valid_from", descending=[False, False, False, False, True])
        .unique(_KEY, keep="first", maintain_order=True)
        .select(*_KEY, "rate", pl.lit(quality.GOOD).alias("quality"))
    )


def _valid(versions: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    day = pl.col("production_date")
    return (
        rows.select(_KEY)
        .join(versions, on=["facility_id", "network"], how="inner")
        .filter((day >= pl.col("valid_from")) & (pl.col("valid_to").is_null() | (day < pl.col("valid_to"))))
        .drop_nulls("rate")
    )


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "production_date": pl.Date,
            "facility_id": pl.String,
            "network": pl.String,
            "rate": pl.Float64,
            "quality": pl.String,
        }
    )
