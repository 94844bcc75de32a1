"""What must hold of the out tables before anything is published: pure functions from frames to the rows that break it.

An empty result is a pass. Tolerance is relative to the quantity, with one barrel or cubic foot as the floor. A clock is an
argument, never read.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import polars as pl

from pipelines.transforms.drivers_network import TopologyBook
from pipelines.transforms.network import OIL, NetworkError
from pipelines.transforms.network_cut import verify_cut
from pipelines.transforms.potential import DEFAULT_SIGMA_FRACTION, SIGMAS

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


def potentials_are_not_overtaken(
    potential: pl.DataFrame, production: pl.DataFrame, sigmas: pl.DataFrame
) -> pl.DataFrame:
    """Facility-days whose potential lies below production − 3σ: key, basis, as_of, potential, production (rates), sigma.

    `potential` is core__daily_potential, `production` core__daily_production, `sigmas` of meter_sigmas (1 % where it has no
    row); σ = production × sigma_fraction. Such a potential is stale: it stays in force, and somebody has to renew it.
    """
    keys = ["production_date", "facility_id", "network"]
    rates = production.select(*keys, (pl.col("volume") / pl.col("day_hours") * 24.0).alias("production"))
    sigma = pl.col("production") * pl.col("sigma_fraction").fill_null(DEFAULT_SIGMA_FRACTION)
    return (
        potential.join(rates, on=keys, how="inner")
        .join(sigmas, on=["facility_id", "network"], how="left")
        .with_columns(sigma=sigma)
        .filter(pl.col("potential") < pl.col("production") - SIGMAS * pl.col("sigma"))
        .select(*keys, "basis", "as_of", "potential", "production", "sigma")
        .sort(keys)
    )


def published_targets_equal_the_sum(production: pl.DataFrame) -> pl.DataFrame:
    """Parents whose own published target is not the sum over their facilities: key, published_target, business_target,
    difference (published − sum). Rates; `production` is out__daily_production. A parent without either is not compared."""
    difference = pl.col("published_target") - pl.col("business_target")
    return (
        production.filter(pl.col("node_level") != "facility")
        .with_columns(difference.alias("difference"))
        .filter(_beyond(pl.col("difference"), pl.col("business_target")))
        .select(
            "production_date", "node_level", "node_id", "network", "published_target", "business_target", "difference"
        )
        .sort("production_date", "node_level", "node_id", "network")
    )


def sources_are_within_their_sla(
    newest: Mapping[str, datetime | None], sla_seconds: Mapping[str, int], now: datetime
) -> pl.DataFrame:
    """Sources whose newest instant in the data is older at `now` than they promise, or of which there is none: source,
    data_as_of, age_seconds (null without data), sla_seconds. A run that succeeded makes no data newer."""
    rows = []
    for source, sla in sorted(sla_seconds.items()):
        instant = newest.get(source)
        age = (now - instant).total_seconds() if instant is not None else None
        if age is None or age > sla:
            rows.append((source, instant, age, sla))
    schema = {
        "source": pl.String(),
        "data_as_of": pl.Datetime("us", "UTC"),
        "age_seconds": pl.Float64(),
        "sla_seconds": pl.Int64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def every_path_crosses_the_cut_once(
    labels: Sequence[date],
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    edges: pl.DataFrame,
    externals: pl.DataFrame,
) -> pl.DataFrame:
    """Faults of the counting cut in the topologies of the labels: first label it stands on, phase, fault (with its path).

    A topology that describes no network is a fault of its own. Frames are the reference tables.
    """
    book = TopologyBook(facilities, facility_networks, edges, externals)
    seen: set[int] = set()
    faults: list[tuple[date, str, str]] = []
    for label in sorted(set(labels)):
        topology = book.on(label)
        if id(topology) in seen:
            continue
        seen.add(id(topology))
        # Rates play no part in the cut; a potential only says that a station makes oil, and gas with it.
        makes_oil = {(f["facility_id"], OIL): 1.0 for f in topology.facilities if f["facility_type"] == "flowstation"}
        try:
            graphs = topology.graphs(makes_oil, {})
        except NetworkError as error:
            faults.append((label, "", str(error)))
            continue
        faults += [(label, graph.phase, str(fault)) for graph in graphs for fault in verify_cut(graph)]
    schema = {"production_date": pl.Date, "phase": pl.String, "fault": pl.String}
    return pl.DataFrame(faults, schema=schema, orient="row")


def quarantined_rows(quarantine: pl.DataFrame) -> pl.DataFrame:
    """Rejected rows counted: source, dataset, rule, rows, first, last (production dates); `quarantine` is core__quarantine."""
    keys = ["source", "dataset", "rule"]
    return (
        quarantine.group_by(keys)
        .agg(rows=pl.len(), first=pl.col("production_date").min(), last=pl.col("production_date").max())
        .sort(keys)
    )


def _beyond(error: pl.Expr, scale: pl.Expr) -> pl.Expr:
    return error.abs() > TOLERANCE * pl.max_horizontal(scale.abs(), pl.lit(1.0))
