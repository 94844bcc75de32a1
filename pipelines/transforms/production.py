"""Daily production per facility and network: Energy Components where it has a row, PI's time-weighted mean where it has none.

Facilities on the counting cut get their production, flares their flared gas, the others their throughput or receipts. Volumes are
per production day in base units; which facility counts in a parent is decided downstream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from pipelines.transforms import carry_state, quality, quality_jump
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitTable, phase_of
from warehouse.catalog.columns import MAX_GAS_RATE_SCFPD, MAX_OIL_RATE_BBLPD, NETWORKS

TABLE = "raw_energy_components__stream_day"
SOURCE, DATASET = "energy_components", "stream_day"
SCHEMA = {
    "production_date": pl.Date(),
    "facility_id": pl.String(),
    "network": pl.String(),
    "day_hours": pl.Float64(),
    "volume": pl.Float64(),
    "source": pl.String(),
    "record_status": pl.String(),
    "quality": pl.String(),
    "good_fraction": pl.Float64(),
    "coverage": pl.Float64(),
    "observed_at_utc": pl.Datetime("us", "UTC"),
}
# Which streams make a facility's row: its production if it has such streams, else its flare, throughput or receipts.
STREAM_ROLES = ("production", "flare", "throughput", "receipt")
# The same order for PI tags; other measurements (stock, pressure …) are no flow of the facility.
TAG_MEASUREMENTS = ("rate", "flare_rate", "throughput_rate", "receipt_rate")
_KEY = ["production_date", "facility_id", "network"]
_JUMP = "stream_volume_window"
_LONGEST_DAY = 25 / 24


@dataclass(frozen=True, slots=True)
class Production:
    """core__daily_production, core__quarantine and core__carry_state rows."""

    production: pl.DataFrame
    quarantined: pl.DataFrame
    state: pl.DataFrame


def daily_production(
    raw_streams: pl.DataFrame | None,
    streams: pl.DataFrame,
    well_days: pl.DataFrame | None,
    readings: pl.DataFrame | None,
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    calendar: ProductionCalendar,
    labels: Sequence[date],
    *,
    mapped_units: Mapping[str, str],
    units: UnitTable,
    state: pl.DataFrame,
    now: datetime,
    wells_observed: pl.DataFrame | None = None,
) -> Production:
    """Rows of core__daily_production for every facility in force, label and applicable network (flaredGas always is).

    `raw_streams`: canonical stream_day rows, None where the site has no Energy Components; a null volume is no row.
    `streams`: stream_ec_code, facility_id, network, role. `well_days`: core__daily_well; wells are summed where no stream is
    mapped: oil to oil, gas to the facility's only applicable sales-gas network. `readings`: core__daily_reading.
    `mapped_units["volume"]` is one unit or "liquid | gas". `wells_observed`: newest source instant by label and facility.
    Several streams, wells or tags add. Where some streams of a facility have no row, PI stands in if it has all of its tags;
    else the present ones are summed with coverage below 1 and quality uncertain. A well absent with volume null lowers
    coverage; one counted as down is 0 and makes the row uncertain. Neither source: volume null, quality missing, coverage 0.
    Quarantined: broken schema, unknown stream, negative or impossible volume, unit jump.
    """
    wanted = sorted(set(labels))
    rows = _expected(facilities, facility_networks, calendar, wanted)
    quarantined, jumps = quality.NO_QUARANTINE, carry_state.NO_STATE
    accepted: pl.DataFrame | None = None
    if raw_streams is not None:
        accepted, quarantined, jumps = _accept(raw_streams, streams, wanted, mapped_units, units, state, now)
    by_stream = _from_streams(accepted, streams, wanted)
    by_well = _from_wells(well_days, streams, facility_networks, wells_observed)
    by_tag = _from_readings(readings, calendar, wanted)
    complete = pl.col("coverage") >= 1.0
    # Streams are complete or give way to PI; wells are Energy Components' word on the facility, complete or not.
    candidates = pl.concat(
        [
            by_stream.filter(complete).with_columns(pl.lit(0).alias("order")),
            by_well.with_columns(pl.lit(1).alias("order")),
            by_tag.filter(complete).with_columns(pl.lit(2).alias("order")),
            by_stream.filter(~complete).with_columns(pl.lit(3).alias("order")),
            by_tag.filter(~complete).with_columns(pl.lit(4).alias("order")),
        ]
    )
    chosen = candidates.sort(*_KEY, "order").unique(_KEY, keep="first", maintain_order=True).drop("order")
    result = rows.join(chosen, on=_KEY, how="left").with_columns(
        pl.col("quality").fill_null(quality.MISSING), pl.col("coverage").fill_null(0.0)
    )
    return Production(_shaped(result), quarantined, jumps)


def _expected(
    facilities: pl.DataFrame, facility_networks: pl.DataFrame, calendar: ProductionCalendar, labels: Sequence[date]
) -> pl.DataFrame:
    """production_date, facility_id, network, day_hours of every row that should exist."""
    names = facilities["facility_id"].unique().to_list()
    day = pl.col("production_date")
    in_force = (
        calendar.frame(labels, names)
        .join(facilities.select("facility_id", "valid_from", "valid_to"), on="facility_id", how="inner")
        .filter((day >= pl.col("valid_from").fill_null(date.min)) & (day < pl.col("valid_to").fill_null(date.max)))
        .unique(["facility_id", "production_date"], keep="first", maintain_order=True)
    )
    applicable = pl.concat(
        [
            facility_networks.filter("is_applicable").select("facility_id", "network"),
            facilities.select("facility_id", pl.lit("flaredGas").alias("network")),
        ]
    ).unique(maintain_order=True)
    return in_force.join(applicable, on="facility_id", how="inner").select(*_KEY, "day_hours")


def _accept(
    raw: pl.DataFrame,
    streams: pl.DataFrame,
    labels: Sequence[date],
    mapped_units: Mapping[str, str],
    units: UnitTable,
    state: pl.DataFrame,
    now: datetime,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Accepted rows with facility, network and volume in base units, quarantined rows, windows of the jump test."""
    frame = raw.filter(pl.col("production_date").is_null() | pl.col("production_date").is_in(labels))
    factors = {n: units.mapped(mapped_units, "volume", phase_of(n), "volume") for n in streams["network"].unique()}
    network_of = dict(streams.select("stream_ec_code", "network").iter_rows())
    network = pl.col("stream_ec_code").replace_strict(network_of, default=None, return_dtype=pl.String)
    factor = network.replace_strict(factors, default=None, return_dtype=pl.Float64)
    base = pl.col("volume").cast(pl.Float64, strict=False) * factor
    jumps = quality_jump.unit_jumps(
        frame.with_columns(base.alias("base")),
        entity="stream_ec_code",
        value="base",
        kind=_JUMP,
        labels=labels,
        state=state,
    )
    is_oil = network == "oil"
    split = quality.split(
        frame,
        TABLE,
        SOURCE,
        DATASET,
        now,
        rules=[
            quality.known("stream_ec_code", list(network_of), "streams.csv"),
            quality.within(pl.when(is_oil).then(base), 0.0, MAX_OIL_RATE_BBLPD * _LONGEST_DAY, "volume", "bbl"),
            quality.within(pl.when(~is_oil).then(base), 0.0, MAX_GAS_RATE_SCFPD * _LONGEST_DAY, "volume", "scf"),
            quality_jump.rule(jumps.mask, "volume"),
        ],
        label=labels[-1],
    )
    accepted = split.accepted.with_columns(base.alias("volume"))
    return accepted, split.quarantined, jumps.state


def _blank() -> pl.DataFrame:
    return pl.DataFrame(schema={k: v for k, v in SCHEMA.items() if k != "day_hours"})


def _candidate(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select([pl.col(n).cast(t) for n, t in _blank().schema.items()])


def _primary(frame: pl.DataFrame, column: str, order: Sequence[str]) -> pl.DataFrame:
    """Rows of the first role that a facility has on a network."""
    ranked = frame.filter(pl.col(column).is_in(list(order))).with_columns(
        pl.col(column).replace_strict({r: i for i, r in enumerate(order)}, return_dtype=pl.Int64).alias("rank")
    )
    best = ranked.group_by("facility_id", "network").agg(pl.col("rank").min())
    return ranked.join(best, on=["facility_id", "network", "rank"], how="semi").drop("rank")


def _from_streams(accepted: pl.DataFrame | None, streams: pl.DataFrame, labels: Sequence[date]) -> pl.DataFrame:
    if accepted is None:
        return _blank()
    mapped = _primary(streams, "role", STREAM_ROLES)
    expected = mapped.group_by("facility_id", "network").agg(pl.len().cast(pl.Float64).alias("expected"))
    grouped = (
        accepted.filter(pl.col("volume").is_not_null())
        .join(mapped.select("stream_ec_code", "facility_id", "network"), on="stream_ec_code", how="inner")
        .sort(*_KEY, "stream_ec_code")
        .group_by(_KEY, maintain_order=True)
        .agg(
            pl.col("volume").sum(),
            pl.len().cast(pl.Float64).alias("present"),
            quality.lowest_status_of(quality.status_of_letter("record_status")).alias("record_status"),
            pl.col("source_updated_at_utc").max().alias("observed_at_utc"),
        )
        .join(expected, on=["facility_id", "network"], how="left")
        .with_columns((pl.col("present") / pl.col("expected")).alias("coverage"))
    )
    return _candidate(_as_ec(grouped))


def _as_ec(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.lit("ec").alias("source"),
        pl.when(pl.col("coverage") < 1.0)
        .then(pl.lit(quality.UNCERTAIN))
        .otherwise(pl.lit(quality.GOOD))
        .alias("quality"),
        pl.lit(None, dtype=pl.Float64).alias("good_fraction"),
    )


def _from_wells(
    well_days: pl.DataFrame | None,
    streams: pl.DataFrame,
    facility_networks: pl.DataFrame,
    observed: pl.DataFrame | None,
) -> pl.DataFrame:
    """Sums of producers where the facility has no stream on the network."""
    if well_days is None or well_days.is_empty():
        return _blank()
    sales = facility_networks.filter(pl.col("is_applicable"), pl.col("network").is_in(["domesticGas", "exportGas"]))
    only = sales.group_by("facility_id").agg(pl.len(), pl.col("network").first()).filter(pl.col("len") == 1).drop("len")
    producers = well_days.filter("is_producer").sort("production_date", "well_id")
    oil = producers.with_columns(pl.lit("oil").alias("network"), pl.col("oil_volume_bbl").alias("volume"))
    gas = producers.join(only, on="facility_id", how="inner").with_columns(pl.col("gas_volume_scf").alias("volume"))
    columns = [*_KEY, "volume", "is_absent", "record_status"]
    grouped = (
        pl.concat([oil.select(columns), gas.select(columns)])
        .group_by(_KEY, maintain_order=True)
        .agg(
            pl.col("volume").sum(),
            pl.col("volume").is_not_null().mean().alias("coverage"),
            (pl.col("is_absent") & pl.col("volume").is_not_null()).any().alias("is_assumed"),
            quality.lowest_status_of("record_status").alias("record_status"),
        )
        .filter(pl.col("coverage") > 0)
        .join(streams.select("facility_id", "network").unique(), on=["facility_id", "network"], how="anti")
    )
    if observed is not None:
        grouped = grouped.join(observed, on=["production_date", "facility_id"], how="left")
    else:
        grouped = grouped.with_columns(pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("observed_at_utc"))
    worded = _as_ec(grouped).with_columns(
        pl.when("is_assumed").then(pl.lit(quality.UNCERTAIN)).otherwise("quality").alias("quality"),
        # A day on which every well is assumed down has no record of its own.
        pl.col("record_status").fill_null("provisional"),
    )
    return _candidate(worded)


def _from_readings(readings: pl.DataFrame | None, calendar: ProductionCalendar, labels: Sequence[date]) -> pl.DataFrame:
    """Σ time-weighted mean × T_D ÷ 24 over the facility's flow tags; coverage is the share of tags with a mean."""
    if readings is None or readings.is_empty():
        return _blank()
    flows = flows_of_readings(readings.filter(pl.col("production_date").is_in(list(labels))))
    days = calendar.frame(labels, flows["facility_id"].unique().to_list())
    grouped = (
        flows.join(days, on=["facility_id", "production_date"], how="inner")
        .sort(*_KEY, "tag_id")
        .group_by(_KEY, maintain_order=True)
        .agg(
            (pl.col("time_weighted_mean") * pl.col("day_hours") / 24.0).sum().alias("volume"),
            pl.col("time_weighted_mean").is_not_null().mean().alias("coverage"),
            pl.col("good_fraction").min(),
            quality.worst_of(pl.col("quality").filter(pl.col("time_weighted_mean").is_not_null())).alias("quality"),
            pl.col("last_good_at_utc").max().alias("observed_at_utc"),
        )
        # A meter that reads slightly below zero at rest is at zero; PI has no record that could be corrected.
        .with_columns(pl.col("volume").clip(0.0))
        .filter(pl.col("coverage") > 0)
        .with_columns(
            pl.lit("pi").alias("source"),
            pl.lit("estimated").alias("record_status"),
            pl.when(pl.col("coverage") < 1.0)
            .then(quality.worst("quality", pl.lit(quality.UNCERTAIN)))
            .otherwise("quality")
            .alias("quality"),
        )
    )
    return _candidate(grouped)


def flows_of_readings(readings: pl.DataFrame) -> pl.DataFrame:
    """Of rows of core__daily_reading those whose tags add up to their facility's production on a network."""
    # A flare meter speaks for flared gas, whichever of the two words the tag map uses for it.
    flows = readings.filter(pl.col("network").is_in(NETWORKS), pl.col("measurement").is_in(TAG_MEASUREMENTS))
    return _primary(flows, "measurement", TAG_MEASUREMENTS)


def _shaped(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select([pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()]).sort(_KEY)
