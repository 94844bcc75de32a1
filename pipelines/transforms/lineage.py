"""Lineage of daily facts: the rows of the sources that each was made from, so that fact = Σ value × factor over them.

Belongs here: rows of the release table source_row for production, potential and full-uptime rates.
Not here: stocks (lineage_stock), registers (lineage_registers), capacities of parents (lineage_capacity). Nothing is computed
anew: which source spoke is read off the fact. A row that was expected and did not come has a null value.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from pipelines.transforms import wells_potential
from pipelines.transforms.production import STREAM_ROLES, TAG_MEASUREMENTS
from pipelines.transforms.units import Kind, Phase, UnitTable, base_unit, phase_of
from warehouse.catalog.columns import NETWORKS
from warehouse.catalog.lineage import SourceRow

STREAM_DAY, WELL_DAY, POTENTIAL_DAY = (
    f"raw_energy_components__{name}" for name in ("stream_day", "well_day", "potential_day")
)
# Where a tag's samples lie, by its group.
SAMPLES = {"process": "raw_pi__recorded_value", "gauge": "raw_pi__tank_gauge"}
READING, WELL, STATE = "core__daily_reading", "core__daily_well", "core__carry_state"
# Kind of carried state that holds the rates of full-uptime days; slot 0 of a day is the day's own rate, if it was full.
FULL_DAY_STATE = "full_day_rate"
SCHEMA = {name: column.dtype for name, column in SourceRow.columns().items()}
_KEY = ["production_date", "facility_id", "network"]
Units = Mapping[str, str]


def blank() -> pl.DataFrame:
    """No rows of source_row."""
    return pl.DataFrame(schema=SCHEMA)


def shaped(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of source_row in order; what a frame does not have is null."""
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in SCHEMA.items()
    )


def accepted(raw: pl.DataFrame, quarantine: pl.DataFrame, dataset: str) -> pl.DataFrame:
    """Raw rows of a dataset without those that stand in quarantine (core__quarantine); of equal rows as many are left out as
    were rejected."""
    ordinal = pl.int_range(pl.len()).over("production_date", "raw").alias("ordinal")
    rejected = quarantine.filter(pl.col("dataset") == dataset).select("production_date", "raw").with_columns(ordinal)
    if rejected.is_empty():
        return raw
    days = rejected.select("production_date").unique()
    suspects = raw.join(days, on="production_date", how="semi")
    content = suspects.select(pl.struct(pl.all()).struct.json_encode().alias("raw"))
    kept = suspects.with_columns(content["raw"]).with_columns(ordinal)
    kept = kept.join(rejected, on=["production_date", "raw", "ordinal"], how="anti").drop("raw", "ordinal")
    return pl.concat([raw.join(days, on="production_date", how="anti"), kept])


def stream_rows(
    production: pl.DataFrame, stream_days: pl.DataFrame, streams: pl.DataFrame, mapped_units: Units, units: UnitTable
) -> pl.DataFrame:
    """Production from streams: every stream that makes the facility's row, where Energy Components spoke or nobody did.

    `production` is core__daily_production, `stream_days` accepted raw stream_day, `streams` the operator's map.
    """
    facts = production.filter((pl.col("source") == "ec") | pl.col("source").is_null()).select(_KEY)
    expected = facts.join(_first_of(streams, "role", STREAM_ROLES), on=["facility_id", "network"], how="inner")
    received = stream_days.select(
        "production_date",
        "stream_ec_code",
        pl.col("volume").alias("value"),
        "rev_no",
        "record_status",
        "source_updated_at_utc",
    )
    rows = expected.join(received, on=["production_date", "stream_ec_code"], how="left")
    return shaped(
        rows.with_columns(
            text("quantity", "production"),
            text("lake_table", STREAM_DAY),
            pl.col("stream_ec_code").alias("source_key"),
            pl.col("production_date").alias("source_date"),
            text("column_name", "volume"),
            *_units(rows["network"], "volume", "volume", mapped_units, units),
        )
    )


def tag_rows(production: pl.DataFrame, readings: pl.DataFrame, tags: pl.DataFrame) -> pl.DataFrame:
    """Production from PI: the day's means of the facility's flow tags, where PI stood in. `readings`: core__daily_reading."""
    facts = production.filter(pl.col("source") == "pi").select(*_KEY, "day_hours")
    flows = readings.filter(pl.col("network").is_in(NETWORKS), pl.col("measurement").is_in(TAG_MEASUREMENTS)).join(
        facts.select("production_date").unique(), on="production_date", how="semi"
    )
    first = _first_of(
        flows.select("facility_id", "network", "measurement", "tag_id").unique(), "measurement", TAG_MEASUREMENTS
    )
    rows = (
        facts.join(flows, on=_KEY, how="inner")
        .join(first, on=["facility_id", "network", "tag_id"], how="semi")
        .join(sample_tables(tags), on="tag_id", how="left")
    )
    return shaped(
        rows.with_columns(
            text("quantity", "production"),
            text("lake_table", READING),
            pl.col("tag_name").alias("source_key"),
            pl.col("production_date").alias("source_date"),
            text("column_name", "time_weighted_mean"),
            pl.col("time_weighted_mean").alias("value"),
            pl.col("unit").fill_null(""),
            (pl.col("day_hours") / 24.0).alias("factor"),
            pl.col("last_good_at_utc").alias("source_updated_at_utc"),
        )
    )


def well_rows(
    production: pl.DataFrame,
    streams: pl.DataFrame,
    well_days: pl.DataFrame,
    raw_wells: pl.DataFrame,
    wells: pl.DataFrame,
    facility_networks: pl.DataFrame,
    mapped_units: Units,
    units: UnitTable,
) -> pl.DataFrame:
    """Production summed over wells, where no stream is mapped: the raw row of each, or core__daily_well's assumption.

    `well_days` is core__daily_well, `raw_wells` accepted raw well_day, `wells` the operator's map.
    """
    facts = (
        production.filter((pl.col("source") == "ec") | pl.col("source").is_null())
        .select(_KEY)
        .join(streams.select("facility_id", "network").unique(), on=["facility_id", "network"], how="anti")
    )
    parts = [blank()]
    cases: tuple[tuple[pl.DataFrame, str, str, Phase], ...] = (
        (facts.filter(pl.col("network") == "oil"), "oil_volume", "oil_volume_bbl", "liquid"),
        (_sold_gas(facts, facility_networks), "gas_volume", "gas_volume_scf", "gas"),
    )
    for phase_facts, raw_column, core_column, phase in cases:
        producers = well_days.filter("is_producer").select("production_date", "well_id", "facility_id", core_column)
        rows = phase_facts.join(producers, on=["production_date", "facility_id"], how="inner")
        received = _producing(raw_wells, wells, raw_column)
        rows = rows.join(received, on=["production_date", "well_id"], how="left")
        is_raw = pl.col("well_ec_code").is_not_null()
        factor = units.mapped(mapped_units, raw_column, phase, "volume")
        base = base_unit(phase, "volume")
        parts.append(
            shaped(
                rows.with_columns(
                    text("quantity", "production"),
                    pl.when(is_raw).then(pl.lit(WELL_DAY)).otherwise(pl.lit(WELL)).alias("lake_table"),
                    pl.coalesce("well_ec_code", "well_id").alias("source_key"),
                    pl.col("production_date").alias("source_date"),
                    pl.when(is_raw).then(pl.lit(raw_column)).otherwise(pl.lit(core_column)).alias("column_name"),
                    pl.when(is_raw).then("received").otherwise(core_column).alias("value"),
                    pl.when(is_raw)
                    .then(pl.lit(mapped_units.get(raw_column) or base))
                    .otherwise(pl.lit(base))
                    .alias("unit"),
                    pl.when(is_raw).then(pl.lit(factor)).otherwise(pl.lit(1.0)).alias("factor"),
                )
            )
        )
    return pl.concat(parts)


def potential_rows(
    potential: pl.DataFrame,
    potential_days: pl.DataFrame,
    facilities: pl.DataFrame,
    well_days: pl.DataFrame,
    facility_networks: pl.DataFrame,
    mapped_units: Units,
    units: UnitTable,
) -> pl.DataFrame:
    """Potentials that Energy Components states, or sums of wells' potentials, at the day on which they were established.

    `potential` is core__daily_potential, `potential_days` accepted raw potential_day. Those of registers and of full-uptime
    days have no rows here.
    """
    known = potential.filter(pl.col("potential").is_not_null()).with_columns(
        pl.coalesce("as_of", "production_date").alias("source_date")
    )
    day = pl.col("source_date")
    codes = facilities.select(
        "facility_id", pl.col("ec_code").alias("object_ec_code"), "valid_from", "valid_to"
    ).drop_nulls("object_ec_code")
    stated = (
        known.filter(pl.col("basis") == "ec")
        .select(*_KEY, "source_date")
        .join(codes, on="facility_id", how="inner")
        .filter((day >= pl.col("valid_from").fill_null(date.min)) & (day < pl.col("valid_to").fill_null(date.max)))
        .join(
            potential_days.filter(pl.col("potential").is_not_null()).select(
                pl.col("production_date").alias("source_date"),
                "object_ec_code",
                "network",
                pl.col("potential").alias("value"),
                "source_updated_at_utc",
            ),
            on=["source_date", "object_ec_code", "network"],
            how="inner",
        )
        .with_columns(
            text("quantity", "potential"),
            text("lake_table", POTENTIAL_DAY),
            pl.col("object_ec_code").alias("source_key"),
            text("column_name", "potential"),
            *_units(known["network"], "potential", "rate", mapped_units, units),
        )
    )
    summed = known.filter(pl.col("basis").is_in(wells_potential.METHODS)).select(*_KEY, "source_date")
    parts = [shaped(stated)]
    for facts, column, unit in (
        (summed.filter(pl.col("network") == "oil"), "oil_potential_bblpd", "bbl/d"),
        (_sold_gas(summed, facility_networks), "gas_potential_scfpd", "scf/d"),
    ):
        spoken = well_days.filter("is_producer", pl.col("down_hours").is_not_null()).select(
            pl.col("production_date").alias("source_date"), "facility_id", "well_id", pl.col(column).alias("value")
        )
        parts.append(
            shaped(
                facts.join(spoken, on=["source_date", "facility_id"], how="inner").with_columns(
                    text("quantity", "potential"),
                    text("lake_table", WELL),
                    pl.col("well_id").alias("source_key"),
                    text("column_name", column),
                    text("unit", unit),
                    pl.lit(1.0).alias("factor"),
                )
            )
        )
    return pl.concat(parts)


def full_day_rows(state: pl.DataFrame) -> pl.DataFrame:
    """Rates of full-uptime days, one row such a day, from core__carry_state: P75 is taken over the last 30 of them."""
    own = state.filter(
        pl.col("kind") == FULL_DAY_STATE, pl.col("slot") == 0, pl.col("as_of") == pl.col("production_date")
    )
    parts = pl.col("entity_id").str.splitn("|", 2)
    return shaped(
        own.with_columns(
            parts.struct.field("field_0").alias("facility_id"),
            parts.struct.field("field_1").alias("network"),
            text("quantity", "fullDayRate"),
            text("lake_table", STATE),
            pl.concat_str(pl.lit(f"{FULL_DAY_STATE}/"), "entity_id").alias("source_key"),
            pl.col("production_date").alias("source_date"),
            text("column_name", "value"),
            pl.lit(1.0).alias("factor"),
        ).with_columns(
            pl.when(pl.col("network") == "oil").then(pl.lit("bbl/d")).otherwise(pl.lit("scf/d")).alias("unit")
        )
    )


def text(name: str, value: str) -> pl.Expr:
    """The same word in every row."""
    return pl.lit(value).alias(name)


def _units(networks: pl.Series, column: str, kind: Kind, mapped_units: Units, units: UnitTable) -> list[pl.Expr]:
    """unit and factor of a mapped column for the networks of a frame; "a | b" is a for liquids and b for gas."""
    stated: dict[str, str] = {}
    factors: dict[str, float] = {}
    for network in networks.unique():
        phase = phase_of(network)
        text = mapped_units.get(column) or base_unit(phase, kind)
        stated[network] = (text.split("|")[0 if phase == "liquid" else 1] if "|" in text else text).strip()
        factors[network] = units.mapped(mapped_units, column, phase, kind)
    network_column = pl.col("network")
    return [
        network_column.replace_strict(stated, return_dtype=pl.String).alias("unit"),
        network_column.replace_strict(factors, return_dtype=pl.Float64).alias("factor"),
    ]


def _first_of(frame: pl.DataFrame, column: str, order: Sequence[str]) -> pl.DataFrame:
    """Rows of the first of `order` that a facility has on a network."""
    places = {word: place for place, word in enumerate(order)}
    ranked = frame.filter(pl.col(column).is_in(list(order))).with_columns(
        pl.col(column).replace_strict(places, return_dtype=pl.Int64).alias("place")
    )
    return ranked.filter(pl.col("place") == pl.col("place").min().over("facility_id", "network")).drop("place")


def _sold_gas(facts: pl.DataFrame, facility_networks: pl.DataFrame) -> pl.DataFrame:
    """Facts on the only sales-gas network of a facility: the one to which the gas of its wells goes."""
    sales = facility_networks.filter(pl.col("is_applicable"), pl.col("network").is_in(["domesticGas", "exportGas"]))
    only = sales.filter(pl.len().over("facility_id") == 1).select("facility_id", "network")
    return facts.join(only, on=["facility_id", "network"], how="semi")


def _producing(raw_wells: pl.DataFrame, wells: pl.DataFrame, column: str) -> pl.DataFrame:
    """One raw row a well and day, with its well_id: a production row before one of injection."""
    day = pl.col("production_date")
    kind = pl.col("flow_kind").str.to_lowercase().str.strip_chars()
    return (
        raw_wells.join(
            wells.select("well_ec_code", "well_id", "valid_from", "valid_to"), on="well_ec_code", how="inner"
        )
        .filter((day >= pl.col("valid_from").fill_null(date.min)) & (day < pl.col("valid_to").fill_null(date.max)))
        .with_columns((kind != "injection").alias("produces"))
        .sort("production_date", "well_id", "produces", "flow_kind")
        .unique(["production_date", "well_id"], keep="last", maintain_order=True)
        .select(
            "production_date",
            "well_id",
            "well_ec_code",
            pl.col(column).alias("received"),
            "record_status",
            "source_updated_at_utc",
        )
    )


def sample_tables(tags: pl.DataFrame) -> pl.DataFrame:
    """tag_id and sample_table of each tag of the operator's map."""
    return tags.select(
        pl.col("tag_id").cast(pl.UInt32),
        pl.col("group").replace_strict(SAMPLES, default=None, return_dtype=pl.String).alias("sample_table"),
    )
