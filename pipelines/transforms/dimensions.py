"""Dimensions of a release from the reference folder: nodes and edges, current and by validity. Pure."""

from datetime import date

import polars as pl


def nodes(
    assets: pl.DataFrame, hubs: pl.DataFrame, facilities: pl.DataFrame, label: date, zone: str, day_start: str
) -> dict[str, pl.DataFrame]:
    """Tables asset, hub, facility (as valid on `label`) and facility_version; positions are the folder's order.

    `zone` and `day_start` (HH:MM) are the operator's, for facilities that state none. Null hub: directly under its asset.
    """
    named = (
        facilities.with_row_index("position")
        .with_columns(
            pl.col("position").cast(pl.Int64),
            pl.col("zone").fill_null(zone),
            pl.col("day_start").fill_null(day_start),
        )
        .join(hubs.select("hub_id", pl.col("name").alias("hub_name")), on="hub_id", how="left", maintain_order="left")
        .join(
            assets.select("asset_id", pl.col("name").alias("asset_name")),
            on="asset_id",
            how="left",
            maintain_order="left",
        )
    )
    return {
        "asset": assets.with_row_index("position").select("asset_id", "name", pl.col("position").cast(pl.Int64)),
        "hub": hubs.with_row_index("position").select("hub_id", "name", "asset_id", pl.col("position").cast(pl.Int64)),
        "facility": in_force(named, label).select(
            "facility_id", "name", "facility_type", "hub_id", "hub_name", "asset_id", "asset_name", "position"
        ),
        "facility_version": named.select(
            "facility_id",
            "valid_from",
            "valid_to",
            "name",
            "facility_type",
            "hub_id",
            "hub_name",
            "asset_id",
            "asset_name",
            "zone",
            "day_start",
        ),
    }


def edges(edge_rows: pl.DataFrame, externals: pl.DataFrame, label: date) -> dict[str, pl.DataFrame]:
    """Tables edge (as valid on `label`), edge_version and external_node. Edge id is `<from>~<to>~<network>`."""
    versions = edge_rows.with_columns(
        pl.concat_str(["from_id", "to_id", "network"], separator="~").alias("edge_id")
    ).select("edge_id", "valid_from", "valid_to", "from_id", "to_id", "network", "stream", "capacity", "on_cut")
    return {
        "edge": in_force(versions, label).drop("valid_from", "valid_to"),
        "edge_version": versions,
        "external_node": in_force(externals, label).select("external_id", "name", "kind", "network"),
    }


def in_force(versions: pl.DataFrame, label: date) -> pl.DataFrame:
    """Rows valid on a label: valid_from ≤ label < valid_to, null valid_to is open."""
    return versions.filter(
        (pl.col("valid_from") <= label) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > label))
    )
