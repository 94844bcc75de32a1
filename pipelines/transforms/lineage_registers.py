"""Lineage of registers: the received row behind each target, capacity, parcel and tank constant, with unit and factor.

Belongs here: rows of the release table source_register. Which of them is in force on a day is the reader's question, by the
same rules as for the facts. Rows that core did not take (quarantined, or of the lesser source) are left out.
"""

from collections.abc import Mapping

import polars as pl

from pipelines.transforms.units import UnitError, UnitTable, phase_of
from warehouse.catalog.columns import NETWORK_RATE, NETWORKS
from warehouse.catalog.lineage import SourceRegister

TARGET, CAPACITY, CAPACITY_REGISTER, CARGO, PROGRAMME, TERMINALS = (
    "raw_sharepoint__business_target",
    "raw_energy_components__capacity",
    "raw_sharepoint__capacity_register",
    "raw_energy_components__cargo",
    "raw_sharepoint__lifting_programme",
    "reference/terminals.csv",
)
SCHEMA = {name: column.dtype for name, column in SourceRegister.columns().items()}
# Constants of a terminal: column of terminals.csv → (quantity, unit).
CONSTANTS = {
    "safe_fill_bbl": ("safeFill", "bbl"),
    "dead_stock_bbl": ("deadStock", "bbl"),
    "settling_hours": ("settlingHours", "h"),
    "bsw_fraction": ("bswFraction", "fraction"),
    "shrinkage_fraction": ("shrinkageFraction", "fraction"),
}
_START = pl.date(1, 1, 1)


def blank() -> pl.DataFrame:
    """No rows of source_register."""
    return pl.DataFrame(schema=SCHEMA)


def _shaped(frame: pl.DataFrame) -> pl.DataFrame:
    columns = {"version": pl.lit(""), "network": pl.lit("oil"), "valid_from": _START}
    return frame.select(
        (pl.col(name) if name in frame.columns else columns.get(name, pl.lit(None))).cast(dtype).alias(name)
        for name, dtype in SCHEMA.items()
    )


def target_rows(raw: pl.DataFrame, targets: pl.DataFrame, nodes: Mapping[str, str], units: UnitTable) -> pl.DataFrame:
    """The list item behind each row of core__target. `nodes`: our id by the names under which SharePoint may know a node."""
    key = ["version", "node_id", "network", "valid_from"]
    items = (
        raw.with_columns(
            pl.col("node_code").replace_strict(nodes, default=None, return_dtype=pl.String).alias("node_id")
        )
        .drop_nulls("node_id")
        .sort("published_at_utc", "item_id", nulls_last=False)
        .unique(key, keep="last", maintain_order=True)
        .join(targets.select(key), on=key, how="semi")
    )
    return _shaped(
        items.with_columns(
            pl.lit("target").alias("quantity"),
            pl.col("node_id").alias("entity_id"),
            pl.lit(TARGET).alias("lake_table"),
            pl.col("item_id").alias("source_key"),
            pl.lit("value").alias("column_name"),
            _factors(items["unit"], items["network"], units),
        ).drop_nulls("factor")
    )


def capacity_rows(
    raw_ec: pl.DataFrame,
    raw_register: pl.DataFrame,
    capacities: pl.DataFrame,
    facilities: pl.DataFrame,
    mapped_units: Mapping[str, str],
    units: UnitTable,
) -> pl.DataFrame:
    """The row behind each row of core__capacity, from the source that core took it from."""
    parts = [blank()]
    for raw, table, source, code, reference, stated in (
        (raw_ec, CAPACITY, "ec", "object_ec_code", "ec_code", mapped_units.get("capacity") or NETWORK_RATE),
        (raw_register, CAPACITY_REGISTER, "sharepoint", "facility_code", "sharepoint_code", None),
    ):
        facility_of = dict(facilities.select(reference, "facility_id").drop_nulls().iter_rows())
        frame = raw if stated is None else raw.with_columns(pl.lit(stated).alias("unit"))
        key = ["facility_id", "network", "valid_from"]
        rows = frame.with_columns(
            pl.col(code).replace_strict(facility_of, default=None, return_dtype=pl.String).alias("facility_id"),
        ).join(capacities.filter(pl.col("source") == source).select(key), on=key, how="semi")
        identity = pl.col("item_id") if source == "sharepoint" else pl.col(code)
        rows = rows.unique(key, keep="last", maintain_order=True)
        parts.append(
            _shaped(
                rows.with_columns(
                    pl.lit("capacity").alias("quantity"),
                    pl.col("facility_id").alias("entity_id"),
                    pl.lit(table).alias("lake_table"),
                    identity.alias("source_key"),
                    pl.lit("capacity").alias("column_name"),
                    pl.col("capacity").alias("value"),
                    _factors(rows["unit"], rows["network"], units),
                    _stated(rows["unit"], rows["network"]),
                ).drop_nulls("factor")
            )
        )
    return pl.concat(parts)


def parcel_rows(
    raw_ec: pl.DataFrame,
    raw_programme: pl.DataFrame,
    cargoes: pl.DataFrame,
    mapped_units: Mapping[str, str],
    units: UnitTable,
) -> pl.DataFrame:
    """The row behind the parcel of each row of core__cargo: the nomination's, else the lifting programme's."""
    unit = mapped_units.get("nominated_volume") or "bbl"
    known = cargoes.select(pl.col("cargo_id").alias("entity_id"))
    nominated = (
        raw_ec.filter(pl.col("nominated_volume").is_not_null())
        .unique("parcel_no", keep="last", maintain_order=True)
        .with_columns(
            pl.col("parcel_no").alias("entity_id"),
            pl.col("parcel_no").alias("source_key"),
            pl.lit(CARGO).alias("lake_table"),
            pl.lit("nominated_volume").alias("column_name"),
            pl.col("nominated_volume").alias("value"),
            pl.lit(unit).alias("unit"),
            pl.lit(units.mapped(mapped_units, "nominated_volume", "liquid", "volume")).alias("factor"),
        )
    )
    numbers = dict(raw_ec.select("cargo_name", "parcel_no").drop_nulls().iter_rows())
    planned = (
        raw_programme.filter(pl.col("parcel").is_not_null())
        .unique("cargo_id", keep="last", maintain_order=True)
        .with_columns(
            pl.col("cargo_id").replace(numbers).alias("entity_id"),
            pl.col("cargo_id").alias("source_key"),
            pl.lit(PROGRAMME).alias("lake_table"),
            pl.lit("parcel").alias("column_name"),
            pl.col("parcel").alias("value"),
            _volume_factors(raw_programme.filter(pl.col("parcel").is_not_null()), units),
        )
        .join(nominated, on="entity_id", how="anti")
    )
    parts = (frame.with_columns(pl.lit("parcel").alias("quantity")) for frame in (nominated, planned))
    return pl.concat([_shaped(frame.join(known, on="entity_id", how="semi").drop_nulls("factor")) for frame in parts])


def constant_rows(terminals: pl.DataFrame) -> pl.DataFrame:
    """Constants of the terminals, from the operator's terminals.csv; a column that is not stated has no row."""
    parts = [blank()]
    for column, (quantity, unit) in CONSTANTS.items():
        parts.append(
            _shaped(
                terminals.drop_nulls(column).with_columns(
                    pl.lit(quantity).alias("quantity"),
                    pl.col("facility_id").alias("entity_id"),
                    pl.lit(TERMINALS).alias("lake_table"),
                    pl.col("facility_id").alias("source_key"),
                    pl.lit(column).alias("column_name"),
                    pl.col(column).alias("value"),
                    pl.lit(unit).alias("unit"),
                    pl.lit(1.0).alias("factor"),
                )
            )
        )
    return pl.concat(parts)


def _factors(stated: pl.Series, networks: pl.Series, units: UnitTable) -> pl.Series:
    """Factor of each row's rate unit; null where core could not convert it either."""
    values: list[float | None] = []
    for unit, network in zip(stated, networks, strict=True):
        try:
            values.append(units.factor(unit, phase_of(network), "rate") if network in NETWORKS else None)
        except UnitError:
            values.append(None)
    return pl.Series("factor", values, dtype=pl.Float64)


def _stated(stated: pl.Series, networks: pl.Series) -> pl.Series:
    """The unit of each row; "a | b" is a for liquids and b for gas."""
    words = [
        unit.split("|")[0 if network == "oil" else 1].strip() if unit and "|" in unit else unit
        for unit, network in zip(stated, networks, strict=True)
    ]
    return pl.Series("unit", words, dtype=pl.String)


def _volume_factors(frame: pl.DataFrame, units: UnitTable) -> pl.Expr:
    factors: dict[str, float | None] = {}
    for unit in frame["unit"].drop_nulls().unique():
        try:
            factors[unit] = units.factor(unit, "liquid", "volume")
        except UnitError:
            factors[unit] = None
    return pl.col("unit").replace_strict(factors, default=None, return_dtype=pl.Float64).alias("factor")
