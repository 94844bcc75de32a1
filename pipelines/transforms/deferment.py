"""KPIs of facilities by production day: production, potential, target in force, capacity, deferment and gap.

Belongs here: the facility rows of out__daily_production, on and off the counting cut, and what is in force on a label.
Not here: parents (roll_up), who caused a deferment (drivers). Volumes are bbl or scf a day, rates per 24 h.
Formulas: the domain model's reference levels; a missing input is null and never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from warehouse.catalog.columns import NETWORKS
from warehouse.catalog.out import OutDailyProduction

FLARED_GAS = "flaredGas"
# Every quantity of a node that has both a rate and a volume; the volumes are what is summed.
QUANTITIES = ("potential", "business_target", "production", "deferment", "over_performance", "gap")
_DOUBTFUL = ("uncertain", "stale", "bad")
_KEY = ["production_date", "facility_id", "network"]


def facility_days(facilities: pl.DataFrame, labels: Sequence[date]) -> pl.DataFrame:
    """The version of every facility that stands on each label: production_date and the columns of `facilities`.

    One row a facility and label at most; sorted by both. `valid_to` is exclusive, null is open.
    """
    days = pl.DataFrame({"production_date": sorted(set(labels))}, schema={"production_date": pl.Date})
    return (
        days.join(facilities, how="cross")
        .filter(
            pl.col("valid_from").is_null() | (pl.col("valid_from") <= pl.col("production_date")),
            pl.col("valid_to").is_null() | (pl.col("production_date") < pl.col("valid_to")),
        )
        .sort("production_date", "facility_id", "valid_from")
        .unique(["production_date", "facility_id"], keep="last", maintain_order=True)
    )


def in_force(versions: pl.DataFrame, key: Sequence[str], labels: Sequence[date]) -> pl.DataFrame:
    """The version of each key that is in force on each label: production_date, the key and the other columns.

    `versions` has valid_from and valid_to (exclusive, null open) and stands in rising precedence: of several rows that
    hold on a label the last one wins. Keys without a row on a label are left out. Sorted by label and key.
    """
    days = sorted(set(labels))
    if versions.is_empty() or not days:
        return versions.clear().select(
            pl.lit(None, pl.Date).alias("production_date"), pl.exclude("valid_from", "valid_to")
        )
    keys = versions.select(key).unique().sort(key).with_row_index("key_index")
    places = versions.join(keys, on=list(key), how="left", maintain_order="left")["key_index"]
    # Validities are painted on the label axis, which costs a slice a version instead of a row a version and label.
    day_numbers = np.array(days, dtype="datetime64[D]")
    chosen = np.full((keys.height, len(days)), -1, dtype=np.int64)
    for row, (place, start, end) in enumerate(zip(places, versions["valid_from"], versions["valid_to"], strict=True)):
        low = 0 if start is None else int(np.searchsorted(day_numbers, np.datetime64(start, "D")))
        high = len(days) if end is None else int(np.searchsorted(day_numbers, np.datetime64(end, "D")))
        chosen[place, low:high] = row
    at_key, at_day = np.nonzero(chosen >= 0)
    found = versions[chosen[at_key, at_day]].drop("valid_from", "valid_to")
    label_column = pl.Series("production_date", day_numbers[at_day]).cast(pl.Date)
    return found.insert_column(0, label_column).sort("production_date", *key)


def targets_in_force(targets: pl.DataFrame, labels: Sequence[date]) -> pl.DataFrame:
    """production_date, node_id, network, target (rate), target_version from core__target.

    In force is the approved version that is valid on the label; of several, the one published last, then the highest
    version name.
    """
    approved = targets.filter("is_approved").sort("published_at_utc", "version", "valid_from", nulls_last=False)
    columns = ["node_id", "network", "value", "version", "valid_from", "valid_to"]
    return in_force(approved.select(columns), ["node_id", "network"], labels).select(
        "production_date",
        "node_id",
        "network",
        pl.col("value").alias("target"),
        pl.col("version").alias("target_version"),
    )


def capacities_in_force(capacities: pl.DataFrame, labels: Sequence[date]) -> pl.DataFrame:
    """production_date, facility_id, network, capacity from core__capacity: EC before the SharePoint register.

    Within a source the row with the latest start of validity holds.
    """
    ranked = (
        capacities.filter(pl.col("capacity").is_not_null())
        .sort((pl.col("source") == "ec").cast(pl.Int8), "valid_from")
        .select("facility_id", "network", "capacity", "valid_from", "valid_to")
    )
    return in_force(ranked, ["facility_id", "network"], labels)


def facility_production(
    *,
    labels: Sequence[date],
    days: pl.DataFrame,
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    production: pl.DataFrame,
    potential: pl.DataFrame,
    targets: pl.DataFrame,
    capacities: pl.DataFrame,
) -> pl.DataFrame:
    """Facility rows of out__daily_production: every facility that stands on a label × four networks, sorted by key.

    `days` is ProductionCalendar.frame; `production`, `potential`, `targets`, `capacities` are core__daily_production,
    core__daily_potential, core__target, core__capacity; the rest are reference frames. Rules:
    a network that does not apply is zeros, `notApplicable`; one without a value is nulls, `missing`;
    off the cut stand throughput and capacity only; on it d = max(0, p − q), o = max(0, q − p), gap = b − q;
    flaredGas always applies, has no potential, d = o = 0 and gap = q − b.
    """
    grid = _grid(labels, days, facilities, facility_networks)
    facts = production.select(
        *_KEY, "volume", "source", "record_status", "quality", "good_fraction", "coverage", "observed_at_utc"
    )
    potentials = potential.select(
        *_KEY,
        "potential",
        pl.col("basis").alias("potential_basis"),
        pl.col("quality").alias("potential_quality"),
    )
    own_targets = targets_in_force(targets, labels).rename({"node_id": "facility_id"})
    rows = (
        grid.join(facts, on=_KEY, how="left")
        .join(potentials, on=_KEY, how="left")
        .join(own_targets, on=_KEY, how="left")
        .join(capacities_in_force(capacities, labels), on=_KEY, how="left")
    )
    return finish_rows(_kpis(rows))


def _grid(
    labels: Sequence[date], days: pl.DataFrame, facilities: pl.DataFrame, facility_networks: pl.DataFrame
) -> pl.DataFrame:
    """Facility × network × label with day_hours, is_applicable and counts_in_roll_up."""
    networks = pl.DataFrame({"network": list(NETWORKS)})
    is_flare = pl.col("network") == FLARED_GAS
    return (
        facility_days(facilities.select("facility_id", "hub_id", "asset_id", "valid_from", "valid_to"), labels)
        .join(days.select("facility_id", "production_date", "day_hours"), on=["facility_id", "production_date"])
        .join(networks, how="cross")
        .join(
            facility_networks.select("facility_id", "network", "is_applicable", "counts_in_roll_up"),
            on=["facility_id", "network"],
            how="left",
        )
        .with_columns(
            is_applicable=pl.col("is_applicable").fill_null(False) | is_flare,
            # Every flare stands on its own cut; a site says otherwise explicitly.
            counts=pl.col("counts_in_roll_up").fill_null(is_flare),
        )
        .with_columns(counts_in_roll_up=pl.col("counts") & pl.col("is_applicable"))
    )


def _kpis(rows: pl.DataFrame) -> pl.DataFrame:
    """Volumes, quality and metadata of facility rows; the rates follow in finish_rows."""
    applies = pl.col("is_applicable")
    on_cut = pl.col("counts_in_roll_up")
    is_flare = pl.col("network") == FLARED_GAS
    days = pl.col("day_hours") / 24.0
    q, p, b = pl.col("production_volume"), pl.col("potential_volume"), pl.col("business_target_volume")

    def counted(expression: pl.Expr) -> pl.Expr:
        """Zero where the network does not apply, null off the cut."""
        return pl.when(~applies).then(0.0).when(on_cut).then(expression)

    def difference(expression: pl.Expr) -> pl.Expr:
        return counted(pl.when(is_flare).then(pl.when(q.is_not_null()).then(0.0)).otherwise(expression.clip(0.0)))

    rows = rows.with_columns(
        production_volume=pl.when(applies).then(pl.col("volume")).otherwise(0.0),
        potential_volume=counted(pl.when(~is_flare).then(pl.col("potential") * days)),
        business_target_volume=counted(pl.col("target") * days),
    )
    return rows.with_columns(
        node_level=pl.lit("facility"),
        node_id=pl.col("facility_id"),
        max_capacity=pl.when(applies).then(pl.col("capacity")).otherwise(0.0),
        potential_basis=pl.when(p.is_not_null() & applies).then(pl.col("potential_basis")),
        published_target=pl.lit(None, pl.Float64),
        target_version=pl.when(b.is_not_null() & applies).then(pl.col("target_version")),
        deferment_volume=difference(p - q),
        over_performance_volume=difference(q - p),
        gap_volume=counted(pl.when(is_flare).then(q - b).otherwise(b - q)),
        # Zeros throughout where the network does not apply: nothing is present, nothing was expected.
        coverage=pl.when(applies & q.is_not_null()).then(pl.col("coverage").fill_null(1.0)).otherwise(0.0),
        quality=_facility_quality(),
        **{
            name: pl.when(applies & q.is_not_null()).then(pl.col(name))
            for name in ("source", "record_status", "good_fraction", "observed_at_utc")
        },
    )


def _facility_quality() -> pl.Expr:
    """Quality of a facility row: its production's, not better than uncertain where the potential on the cut is doubtful."""
    production_quality = pl.col("quality").fill_null("good")
    needs_potential = pl.col("counts_in_roll_up") & (pl.col("network") != FLARED_GAS)
    is_doubtful = needs_potential & (pl.col("potential").is_null() | pl.col("potential_quality").is_in(list(_DOUBTFUL)))
    return (
        pl.when(~pl.col("is_applicable"))
        .then(pl.lit("notApplicable"))
        .when(pl.col("production_volume").is_null())
        .then(pl.lit("missing"))
        .when(is_doubtful & (production_quality == "good"))
        .then(pl.lit("uncertain"))
        .otherwise(production_quality)
    )


def finish_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of out__daily_production from rows with every `…_volume`: adds the rates, orders columns and rows."""
    days = pl.col("day_hours") / 24.0
    rates = {name: pl.col(f"{name}_volume") / days for name in QUANTITIES}
    schema = OutDailyProduction.create_empty().schema
    return (
        rows.with_columns(**rates)
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        .sort(OutDailyProduction.primary_key())
    )
