"""Parents of facilities: hub, asset and system rows of out__daily_production as sums over the counting cut.

Belongs here: which facilities a parent sums, coverage, worst quality, and the parent's own published target.
Not here: facility rows (deferment), the max-flow behind a parent's capacity (roll_up_capacity).
Sums are on volumes, over the children of that day in order of their ids, so that equal input gives equal bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from pipelines.transforms.deferment import (
    FLARED_GAS,
    QUANTITIES,
    facility_production,
    finish_rows,
    targets_in_force,
)
from pipelines.transforms.quality import MISSING, NOT_APPLICABLE, UNCERTAIN, lowest_status_of, worst, worst_of
from warehouse.catalog.out import OutDailyProduction

SYSTEM = "system"
# Below this share of the applicable cut facilities a parent has no value (domain model, zero, null, stale).
MIN_COVERAGE = 0.5
_PARENT = ["production_date", "node_level", "node_id", "network"]
_SUMMED = [f"{name}_volume" for name in QUANTITIES]


def daily_production(
    *,
    labels: Sequence[date],
    days: pl.DataFrame,
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    production: pl.DataFrame,
    potential: pl.DataFrame,
    targets: pl.DataFrame,
    capacities: pl.DataFrame,
    parent_capacities: pl.DataFrame,
) -> pl.DataFrame:
    """out__daily_production: facility, hub, asset and system rows × four networks × label, sorted by key.

    The arguments are those of deferment.facility_production, and `parent_capacities` from
    roll_up_capacity.parent_capacities.
    """
    rows = facility_production(
        labels=labels,
        days=days,
        facilities=facilities,
        facility_networks=facility_networks,
        production=production,
        potential=potential,
        targets=targets,
        capacities=capacities,
    )
    parents = parent_rows(rows, targets_in_force(targets, labels), parent_capacities)
    return pl.concat([rows, parents]).sort(OutDailyProduction.primary_key())


def memberships(facility_rows: pl.DataFrame) -> pl.DataFrame:
    """Each row of `facility_rows` (with hub_id, asset_id) once a parent: node_level, node_id, and the parent's own
    parent_hub_id and parent_asset_id. A facility without a hub belongs to its asset and the system only."""
    no_text = pl.lit(None, pl.String)
    hub = facility_rows.filter(pl.col("hub_id").is_not_null()).with_columns(
        node_level=pl.lit("hub"),
        node_id=pl.col("hub_id"),
        parent_hub_id=pl.col("hub_id"),
        parent_asset_id=pl.col("asset_id"),
    )
    asset = facility_rows.with_columns(
        node_level=pl.lit("asset"),
        node_id=pl.col("asset_id"),
        parent_hub_id=no_text,
        parent_asset_id=pl.col("asset_id"),
    )
    system = facility_rows.with_columns(
        node_level=pl.lit("system"), node_id=pl.lit(SYSTEM), parent_hub_id=no_text, parent_asset_id=no_text
    )
    return pl.concat([hub, asset, system])


def parent_rows(facility_rows: pl.DataFrame, targets: pl.DataFrame, parent_capacities: pl.DataFrame) -> pl.DataFrame:
    """Hub, asset and system rows from the facility rows of the same labels.

    `targets` is deferment.targets_in_force (a parent's own target becomes `published_target`); `parent_capacities` has
    production_date, node_level, node_id, network, max_capacity. p, b, q, d, o and gap are summed over the cut facilities
    that have a production; a parent with less than half of its cut (by potential; by count where that is 0 or null) has
    nulls and `missing`; one without a cut facility is zeros, `notApplicable`. Rate = Σ volume ÷ (longest child's day ÷ 24).
    """
    children = memberships(facility_rows.rename({"node_id": "facility_id"}).drop("node_level")).sort(
        *_PARENT, "facility_id"
    )
    parents = _headers(children)
    cut = children.filter(pl.col("counts_in_roll_up") & (pl.col("quality") != NOT_APPLICABLE)).join(
        parents.select(*_PARENT, "parent"), on=_PARENT, how="left", maintain_order="left"
    )
    present = cut.filter(pl.col("production_volume").is_not_null())
    count = parents.height
    sums = {name: _sum(present, name, count) for name in _SUMMED}
    rows = (
        parents.with_columns(
            *(pl.Series(name, values) for name, values in sums.items()),
            pl.Series("coverage", _coverage(cut, present, count)),
        )
        .join(_worst(cut, present), on="parent", how="left")
        .join(parent_capacities, on=_PARENT, how="left")
        .join(targets, on=["production_date", "node_id", "network"], how="left")
        .sort("parent")
    )
    return finish_rows(_apply_coverage(rows.with_columns(published_target=pl.col("target"))))


def _headers(children: pl.DataFrame) -> pl.DataFrame:
    """One row a parent × network × label with its own parents, day length and running number."""
    on_cut = pl.col("counts_in_roll_up")
    return (
        children.group_by(_PARENT, maintain_order=True)
        .agg(
            hub_id=pl.col("parent_hub_id").first(),
            asset_id=pl.col("parent_asset_id").first(),
            # The longest child that is summed; where none is, the longest of the node's facilities.
            day_hours=pl.coalesce(pl.col("day_hours").filter(on_cut).max(), pl.col("day_hours").max()),
            cut_count=on_cut.sum().cast(pl.Int64),
        )
        .with_row_index("parent")
    )


def _sum(children: pl.DataFrame, column: str, count: int) -> pl.Series:
    """Sum by parent in row order; null where no child has a value. bincount adds one by one, which a parallel group-by
    does not promise."""
    known = children.filter(pl.col(column).is_not_null())
    places = known["parent"].to_numpy()
    sums = np.bincount(places, weights=known[column].to_numpy(), minlength=count)
    has_any = np.bincount(places, minlength=count) > 0
    return pl.Series(column, np.where(has_any, sums, np.nan)).fill_nan(None)


def _coverage(cut: pl.DataFrame, present: pl.DataFrame, count: int) -> pl.Series:
    """Present ÷ applicable cut facilities: by potential where every one has it and they sum to more than zero, else by
    number; 0 where there is none."""
    applicable_count = np.bincount(cut["parent"].to_numpy(), minlength=count).astype(np.float64)
    present_count = np.bincount(present["parent"].to_numpy(), minlength=count).astype(np.float64)
    unknown = cut.filter(pl.col("potential_volume").is_null())
    unknown_count = np.bincount(unknown["parent"].to_numpy(), minlength=count)
    applicable = _sum(cut, "potential_volume", count).fill_null(0.0).to_numpy()
    measured = _sum(present, "potential_volume", count).fill_null(0.0).to_numpy()
    by_potential = (unknown_count == 0) & (applicable > 0)
    numerator = np.where(by_potential, measured, present_count)
    denominator = np.where(by_potential, applicable, applicable_count)
    share = np.divide(numerator, denominator, out=np.zeros(count), where=denominator > 0)
    return pl.Series("coverage", np.minimum(share, 1.0))


def _worst(cut: pl.DataFrame, present: pl.DataFrame) -> pl.DataFrame:
    """By parent: what its children say in words (quality, status, source, basis, version) and the newest instant."""
    lacks_potential = pl.col("potential_volume").is_null() & (pl.col("network") != FLARED_GAS)
    words = present.group_by("parent").agg(
        present_count=pl.len().cast(pl.Int64),
        worst_quality=worst_of("quality"),
        record_status=lowest_status_of("record_status"),
        lacks_potential=lacks_potential.any(),
        source=_common("source"),
        potential_basis=_common("potential_basis"),
        target_version=_common("target_version"),
        good_fraction=pl.col("good_fraction").min(),
        observed_at_utc=pl.col("observed_at_utc").max(),
    )
    return cut.select("parent").unique().join(words, on="parent", how="left")


def _common(column: str) -> pl.Expr:
    """The one word that all children have, `mixed` where they differ, null where none has any."""
    known = pl.col(column).drop_nulls()
    return pl.when(known.n_unique() > 1).then(pl.lit("mixed")).otherwise(known.sort().first()).alias(column)


def _apply_coverage(rows: pl.DataFrame) -> pl.DataFrame:
    """Zeros, nulls and words by the rules for parents."""
    applies = (pl.col("cut_count") > 0) | (pl.col("network") == FLARED_GAS)
    is_present = (pl.col("present_count").fill_null(0) > 0) & (pl.col("coverage") >= MIN_COVERAGE)
    is_partial = (pl.col("present_count") < pl.col("cut_count")) | pl.col("lacks_potential")
    quality = worst("worst_quality", pl.when(is_partial).then(pl.lit(UNCERTAIN)))
    worded = {
        "source": pl.col("source"),
        "potential_basis": pl.col("potential_basis"),
        "target_version": pl.col("target_version"),
        "observed_at_utc": pl.col("observed_at_utc"),
        "record_status": pl.col("record_status"),
        "good_fraction": pl.when(pl.col("source") == "pi").then(pl.col("good_fraction")),
    }
    return rows.with_columns(
        *(
            pl.when(~applies).then(0.0).when(is_present).then(pl.col(name)).otherwise(None).alias(name)
            for name in _SUMMED
        ),
        max_capacity=pl.when(applies).then(pl.col("max_capacity")).otherwise(0.0),
        counts_in_roll_up=pl.lit(True),
        quality=pl.when(~applies)
        .then(pl.lit(NOT_APPLICABLE))
        .when(is_present)
        .then(quality)
        .otherwise(pl.lit(MISSING)),
        **{name: pl.when(applies & is_present).then(value) for name, value in worded.items()},
    )
