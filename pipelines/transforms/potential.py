"""Potential of the facilities on the counting cut: a chain of named methods in the operator's order, carried forward with its date.

ec: stated by Energy Components; well_test, last_full_day, month_average: sum of the wells; p75_full_days: P75 of the last 30
full-uptime days; nameplate: capacity in force; target: approved target in force. Rates per 24 h in base units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from pipelines.transforms import carry_state, quality, wells_potential
from pipelines.transforms.registers_in_force import capacity_in_force, target_in_force
from pipelines.transforms.units import UnitTable, phase_of
from warehouse.catalog.columns import MAX_GAS_RATE_SCFPD, MAX_OIL_RATE_BBLPD

TABLE = "raw_energy_components__potential_day"
SOURCE, DATASET = "energy_components", "potential_day"
METHODS = ("ec", *wells_potential.METHODS, "p75_full_days", "nameplate", "target")
SCHEMA = {
    "production_date": pl.Date(),
    "facility_id": pl.String(),
    "network": pl.String(),
    "potential": pl.Float64(),
    "basis": pl.String(),
    "as_of": pl.Date(),
    "quality": pl.String(),
}
# The domain model's window and quantile; fewer than five full days say nothing about a quartile.
WINDOW_DAYS = 30
WINDOW_MINIMUM = 5
QUANTILE = 0.75
# A potential below production by more than three standard errors of the meter is out of date.
SIGMAS = 3.0
DEFAULT_SIGMA_FRACTION = 0.01
_KEY = ["production_date", "facility_id", "network"]
_WINDOW = "full_day_rate"
_CARRIED = "facility_potential"


@dataclass(frozen=True, slots=True)
class Potentials:
    """core__daily_potential, core__quarantine and core__carry_state rows."""

    potential: pl.DataFrame
    quarantined: pl.DataFrame
    state: pl.DataFrame


@dataclass(frozen=True, slots=True)
class StatedPotentials:
    """What Energy Components states, in base units: of facilities and of wells (tests), and the rows it rejects."""

    facilities: pl.DataFrame
    wells: pl.DataFrame
    quarantined: pl.DataFrame


def stated_potentials(
    raw: pl.DataFrame | None,
    facilities: pl.DataFrame,
    wells: pl.DataFrame,
    labels: Sequence[date],
    *,
    mapped_units: Mapping[str, str],
    units: UnitTable,
    now: datetime,
) -> StatedPotentials:
    """Splits raw potential_day rows by what their object is: a facility (ec_code) or a well (well_ec_code, a well test).

    `facilities`: production_date, facility_id, network, rate. `wells`: production_date, well_id, network, rate, which
    wells.daily_wells takes as `tests`. `mapped_units["potential"]` is one rate unit or "liquid | gas". Null rates are no rows.
    Quarantined: broken schema, object that is neither, unknown network, rate below 0 or above the network's range.
    """
    columns = {"production_date": pl.Date, "network": pl.String, "rate": pl.Float64}
    if raw is None:
        empty = pl.DataFrame(schema=columns)
        return StatedPotentials(
            empty.with_columns(pl.lit(None, dtype=pl.String).alias("facility_id")),
            empty.with_columns(pl.lit(None, dtype=pl.String).alias("well_id")),
            quality.NO_QUARANTINE,
        )
    frame = raw.filter(pl.col("production_date").is_null() | pl.col("production_date").is_in(sorted(set(labels))))
    networks = ("oil", "domesticGas", "exportGas")
    factors = {n: units.mapped(mapped_units, "potential", phase_of(n), "rate") for n in networks}
    factor = pl.col("network").replace_strict(factors, default=None, return_dtype=pl.Float64)
    rate = pl.col("potential").cast(pl.Float64, strict=False) * factor
    is_oil = pl.col("network") == "oil"
    known = [*facilities["ec_code"].drop_nulls().unique(), *wells["well_ec_code"].unique()]
    split = quality.split(
        frame,
        TABLE,
        SOURCE,
        DATASET,
        now,
        rules=[
            quality.known("object_ec_code", known, "facilities.csv or wells.csv"),
            quality.Rule(
                "vocabulary", f"network is not one of {', '.join(networks)}", ~pl.col("network").is_in(networks)
            ),
            quality.within(pl.when(is_oil).then(rate), 0.0, MAX_OIL_RATE_BBLPD, "potential", "bbl/d"),
            quality.within(pl.when(~is_oil).then(rate), 0.0, MAX_GAS_RATE_SCFPD, "potential", "scf/d"),
        ],
        label=max(labels),
    )
    stated = split.accepted.with_columns(rate.alias("rate")).drop_nulls("rate")
    return StatedPotentials(
        _of(stated, facilities, "ec_code", "facility_id"),
        _of(stated, wells, "well_ec_code", "well_id"),
        split.quarantined,
    )


def _of(stated: pl.DataFrame, objects: pl.DataFrame, code: str, identity: str) -> pl.DataFrame:
    day = pl.col("production_date")
    return (
        stated.join(
            objects.select(pl.col(code).alias("object_ec_code"), identity, "valid_from", "valid_to"),
            on="object_ec_code",
        )
        .filter((day >= pl.col("valid_from").fill_null(date.min)) & (day < pl.col("valid_to").fill_null(date.max)))
        .select("production_date", "network", "rate", identity)
        .sort("production_date", identity, "network")
    )


def daily_potentials(
    stated: StatedPotentials,
    well_days: pl.DataFrame | None,
    production: pl.DataFrame,
    targets: pl.DataFrame | None,
    capacities: pl.DataFrame | None,
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    labels: Sequence[date],
    *,
    methods: Sequence[str],
    state: pl.DataFrame,
    disturbed: pl.DataFrame | None = None,
    sigmas: pl.DataFrame | None = None,
) -> Potentials:
    """Rows of core__daily_potential: facilities in force × networks that they count in, flaredGas excepted.

    The first method in `methods` that has ever had a value wins; its value of an earlier day is carried with `as_of` and
    quality stale. No method: null, missing. Wells are summed over those with a row or assumed down; where some of these have
    no potential yet, quality is uncertain. Full-uptime days of p75_full_days: good production above 0, every producer of the
    facility on stream all day, and no row in `disturbed` (facility_id, production_date: days touched by an event).
    A potential below production − 3σ stays in force as uncertain; σ = production × `sigmas` (facility_id, network,
    sigma_fraction; 1 % where not stated). `production`: core__daily_production, `targets`: core__target, `capacities`:
    core__capacity. Raises ValueError on an unknown method.
    """
    unknown = [m for m in methods if m not in METHODS]
    if unknown:
        raise ValueError(f"potential methods {', '.join(unknown)} are unknown; known are {', '.join(METHODS)}")
    wanted = sorted(set(labels))
    rows = _expected(facilities, facility_networks, wanted)
    by_well = _well_sums(well_days, facility_networks)
    found = [pl.DataFrame(schema={**SCHEMA, "order": pl.Int32})]
    states: list[pl.DataFrame] = []
    for order, method in enumerate(methods):
        if method == "p75_full_days":
            points, window = _full_day_quantiles(production, well_days, disturbed, rows, wanted, state)
            states.append(window)
        elif method == "ec":
            points = stated.facilities.select(*_KEY, "rate", pl.lit(quality.GOOD).alias("quality"))
        elif method in wells_potential.METHODS:
            points = by_well.filter(pl.col("basis") == method).select(*_KEY, "rate", "quality")
        elif method == "nameplate":
            points = capacity_in_force(capacities, rows)
        else:
            points = target_in_force(targets, rows)
        values, carried = _carry(points.join(rows, on=_KEY, how="semi"), method, wanted, state)
        states.append(carried)
        found.append(_candidate(values, method, order))
    chosen = pl.concat(found).sort(*_KEY, "order").unique(_KEY, keep="first", maintain_order=True)
    result = rows.join(chosen, on=_KEY, how="left").with_columns(pl.col("quality").fill_null(quality.MISSING))
    return Potentials(_shaped(_doubted(result, production, sigmas)), stated.quarantined, carry_state.gather(*states))


def _candidate(values: pl.DataFrame, method: str, order: int) -> pl.DataFrame:
    worded = values.with_columns(pl.lit(method).alias("basis"), pl.lit(order, dtype=pl.Int32).alias("order"))
    return worded.select(*SCHEMA, "order")


def _expected(facilities: pl.DataFrame, facility_networks: pl.DataFrame, labels: Sequence[date]) -> pl.DataFrame:
    days = pl.DataFrame({"production_date": labels}, schema={"production_date": pl.Date})
    counted = facility_networks.filter(
        pl.col("is_applicable"), pl.col("counts_in_roll_up"), pl.col("network") != "flaredGas"
    )
    day = pl.col("production_date")
    return (
        counted.select("facility_id", "network")
        .join(facilities.select("facility_id", "valid_from", "valid_to"), on="facility_id", how="inner")
        .join(days, how="cross")
        .filter((day >= pl.col("valid_from").fill_null(date.min)) & (day < pl.col("valid_to").fill_null(date.max)))
        .select(_KEY)
        .unique(maintain_order=True)
        .sort(_KEY)
    )


def _well_sums(well_days: pl.DataFrame | None, facility_networks: pl.DataFrame) -> pl.DataFrame:
    """production_date, facility_id, network, rate, basis, quality: Σ potentials of the wells that the day speaks of."""
    if well_days is None or well_days.is_empty():
        return pl.DataFrame(
            schema={**{k: SCHEMA[k] for k in _KEY}, "rate": pl.Float64, "basis": pl.String, "quality": pl.String}
        )
    sales = facility_networks.filter(pl.col("is_applicable"), pl.col("network").is_in(["domesticGas", "exportGas"]))
    only = sales.group_by("facility_id").agg(pl.len(), pl.col("network").first()).filter(pl.col("len") == 1).drop("len")
    # A well whose day is unknown has no production either: both sides are summed over the same wells.
    spoken = well_days.filter("is_producer", pl.col("down_hours").is_not_null()).sort("production_date", "well_id")
    oil = spoken.with_columns(pl.lit("oil").alias("network"), pl.col("oil_potential_bblpd").alias("rate"))
    gas = spoken.join(only, on="facility_id", how="inner").with_columns(pl.col("gas_potential_scfpd").alias("rate"))
    columns = [*_KEY, "rate", "potential_basis"]
    return (
        pl.concat([oil.select(columns), gas.select(columns)])
        .group_by(_KEY, maintain_order=True)
        .agg(
            pl.col("rate").sum(),
            pl.col("rate").is_not_null().mean().alias("coverage"),
            # Wells of one facility may differ in method: the one most of them have speaks for the sum.
            pl.col("potential_basis").drop_nulls().mode().sort().first().alias("basis"),
        )
        .filter(pl.col("coverage") > 0)
        .with_columns(
            pl.when(pl.col("coverage") < 1)
            .then(pl.lit(quality.UNCERTAIN))
            .otherwise(pl.lit(quality.GOOD))
            .alias("quality")
        )
    )


def _carry(
    points: pl.DataFrame, method: str, labels: Sequence[date], state: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """production_date, facility_id, network, potential, as_of, quality at every label from the first value on; and state."""
    kind = f"{_CARRIED}_{method}"
    keyed = points.with_columns(carry_state.entity("facility_id", "network").alias("entity_id"))
    carried = carry_state.carried(
        keyed.select("entity_id", "production_date", pl.col("rate").alias("value")), state, kind, labels
    )
    own = keyed.select("entity_id", "production_date", "quality")
    values = carried.join(own, on=["entity_id", "production_date"], how="left").select(
        "production_date",
        *carry_state.split_entity("facility_id", "network"),
        pl.col("value").alias("potential"),
        "as_of",
        pl.when(pl.col("as_of") < pl.col("production_date"))
        .then(pl.lit(quality.STALE))
        .otherwise("quality")
        .alias("quality"),
    )
    return values, carry_state.rows(carried, kind)


def _full_day_quantiles(
    production: pl.DataFrame,
    well_days: pl.DataFrame | None,
    disturbed: pl.DataFrame | None,
    rows: pl.DataFrame,
    labels: Sequence[date],
    state: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """P75 of the last WINDOW_DAYS full-uptime rates at each label, and the window as state."""
    full = production.join(rows, on=_KEY, how="semi").filter(
        pl.col("volume") > 0, pl.col("quality") == quality.GOOD, pl.col("coverage") >= 1.0
    )
    day_key = ["production_date", "facility_id"]
    if well_days is not None:
        tolerance = wells_potential.FULL_DAY_TOLERANCE_HOURS
        is_short = pl.col("is_producer") & (pl.col("down_hours").fill_null(float("inf")) > tolerance)
        full = full.join(well_days.filter(is_short).select(day_key).unique(), on=day_key, how="anti")
    if disturbed is not None:
        full = full.join(disturbed.select(day_key).unique(), on=day_key, how="anti")
    rates = full.select(
        carry_state.entity("facility_id", "network").alias("entity_id"),
        "production_date",
        (pl.col("volume") / pl.col("day_hours") * 24.0).alias("value"),
    )
    numbered = carry_state.window_points(rates, state, _WINDOW)
    quantiles = numbered.with_columns(
        pl.col("value")
        .rolling_quantile(QUANTILE, "linear", window_size=WINDOW_DAYS, min_samples=WINDOW_MINIMUM)
        .over("entity_id")
        .alias("rate")
    ).drop_nulls("rate")
    # The quantile over a window is as of today at every label, however old its days are.
    held = carry_state.carried(
        quantiles.select("entity_id", "production_date", pl.col("rate").alias("value")),
        carry_state.NO_STATE,
        _WINDOW,
        labels,
    )
    points = held.select(
        "production_date",
        *carry_state.split_entity("facility_id", "network"),
        pl.col("value").alias("rate"),
        pl.lit(quality.GOOD).alias("quality"),
    )
    return points, carry_state.window_rows(numbered, _WINDOW, labels, WINDOW_DAYS)


def _doubted(result: pl.DataFrame, production: pl.DataFrame, sigmas: pl.DataFrame | None) -> pl.DataFrame:
    """Quality uncertain where the potential lies below production − 3σ."""
    rates = production.select(*_KEY, (pl.col("volume") / pl.col("day_hours") * 24.0).alias("q"))
    known = (
        sigmas
        if sigmas is not None
        else pl.DataFrame(schema={"facility_id": pl.String, "network": pl.String, "sigma_fraction": pl.Float64})
    )
    fraction = pl.col("sigma_fraction").fill_null(DEFAULT_SIGMA_FRACTION)
    is_overtaken = pl.col("potential") < pl.col("q") * (1.0 - SIGMAS * fraction)
    return (
        result.join(rates, on=_KEY, how="left")
        .join(known.select("facility_id", "network", "sigma_fraction"), on=["facility_id", "network"], how="left")
        .with_columns(
            pl.when(is_overtaken)
            .then(quality.worst("quality", pl.lit(quality.UNCERTAIN)))
            .otherwise("quality")
            .alias("quality")
        )
    )


def _shaped(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select([pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()]).sort(_KEY)
