"""What must hold of the out tables before anything is published: pure functions from frames to the rows that break it.

An empty result is a pass. Tolerance is relative to the quantity, with one barrel or cubic foot as the floor.
"""

from collections.abc import Sequence

import polars as pl

TOLERANCE = 1e-6
SUMMED = ("production_volume", "potential_volume", "deferment_volume", "over_performance_volume")
_PARENTS = (("hub", "hub_id"), ("asset", "asset_id"), ("system", "system_id"))


def drivers_and_unattributed_close(production: pl.DataFrame, drivers: pl.DataFrame) -> pl.DataFrame:
    """Cut facility-days whose driver volumes do not sum to the deferment: key, total, deferment_volume, error.

    `production` is out__daily_production, `drivers` out__daily_gap_driver. Volumes in bbl or scf. flaredGas has no drivers.
    """
    keys = ["production_date", "facility_id", "network"]
    wanted = production.filter(
        (pl.col("node_level") == "facility")
        & pl.col("counts_in_roll_up")
        & (pl.col("network") != "flaredGas")
        & pl.col("deferment_volume").is_not_null()
    ).select("production_date", pl.col("node_id").alias("facility_id"), "network", "deferment_volume", "quality")
    totals = drivers.group_by(keys).agg(pl.col("volume").sum().alias("total"))
    return (
        wanted.filter(pl.col("quality") != "notApplicable")
        .join(totals, on=keys, how="left")
        .with_columns((pl.col("total").fill_null(0.0) - pl.col("deferment_volume")).alias("error"))
        .filter(_beyond(pl.col("error"), pl.col("deferment_volume")))
        .sort(keys)
    )


def children_sum_to_parents(production: pl.DataFrame) -> pl.DataFrame:
    """Parents whose volumes differ from the sum over their present cut facilities: key, column, parent, children."""
    present = production.filter(
        (pl.col("node_level") == "facility")
        & pl.col("counts_in_roll_up")
        & pl.col("production_volume").is_not_null()
        & (pl.col("quality") != "notApplicable")
    ).with_columns(pl.lit("system").alias("system_id"))
    faults = []
    for level, column in _PARENTS:
        parents = production.filter((pl.col("node_level") == level) & pl.col("production_volume").is_not_null())
        sums = present.group_by("production_date", "network", pl.col(column).alias("node_id")).agg(
            pl.col(name).sum() for name in SUMMED
        )
        joined = parents.join(sums, on=["production_date", "network", "node_id"], how="inner", suffix="_children")
        for name in SUMMED:
            children = pl.col(f"{name}_children")
            faults.append(
                joined.filter(pl.col(name).is_not_null() & _beyond(pl.col(name) - children, children)).select(
                    "production_date",
                    "node_id",
                    "network",
                    pl.lit(name).alias("column"),
                    pl.col(name).alias("parent"),
                    children.alias("children"),
                )
            )
    return pl.concat(faults).sort("production_date", "node_id", "network", "column")


def every_node_has_four_networks(production: pl.DataFrame, networks: Sequence[str]) -> pl.DataFrame:
    """Node-days that lack a network or have one twice: production_date, node_level, node_id, networks."""
    return (
        production.group_by("production_date", "node_level", "node_id")
        .agg(pl.col("network").sort().alias("networks"))
        .filter(pl.col("networks").list.join(",") != ",".join(sorted(networks)))
        .sort("production_date", "node_level", "node_id")
        .with_columns(pl.col("networks").list.join(","))
    )


def potential_less_production_is_deferment_less_over_performance(production: pl.DataFrame) -> pl.DataFrame:
    """Facility rows where p − q ≠ d − o: key and the four volumes."""
    on_cut = production.filter(
        (pl.col("node_level") == "facility")
        & pl.col("deferment_volume").is_not_null()
        & pl.col("potential_volume").is_not_null()
        & (pl.col("network") != "flaredGas")
    )
    left = pl.col("potential_volume") - pl.col("production_volume")
    right = pl.col("deferment_volume") - pl.col("over_performance_volume")
    return on_cut.filter(_beyond(left - right, pl.col("potential_volume"))).select(
        "production_date", "node_id", "network", *SUMMED
    )


def _beyond(error: pl.Expr, scale: pl.Expr) -> pl.Expr:
    return error.abs() > TOLERANCE * pl.max_horizontal(scale.abs(), pl.lit(1.0))
