"""Why numbers that hang on facts changed: parents' sums, deferment and gap, and the shares of events.

Every function takes changed numbers and gives one cause a row, null where no fact explains it. Not here: which facts changed
(revisions_facts), nor the restatements themselves (revisions_restatement).
"""

from collections.abc import Mapping

import polars as pl

from pipelines.transforms.revisions_facts import (
    CAPACITY,
    FACILITY,
    POTENTIAL,
    PRESENCE,
    PRODUCTION,
    TARGET,
    listed,
)

RESIDUAL = "unattributed"
# The facts that a number of out__daily_production is computed from; where a child's production appears or vanishes (presence),
# its parents sum another subset throughout.
INPUTS: Mapping[str, tuple[str, ...]] = {
    "production": (PRODUCTION, PRESENCE),
    "potential": (POTENTIAL, PRESENCE),
    "business_target": (TARGET, PRESENCE),
    "deferment": (PRODUCTION, POTENTIAL, PRESENCE),
    "over_performance": (PRODUCTION, POTENTIAL, PRESENCE),
    "gap": (PRODUCTION, TARGET, PRESENCE),
    "coverage": (PRODUCTION, POTENTIAL, PRESENCE),
    "good_fraction": (PRODUCTION, PRESENCE),
}
_NODE = ["production_date", "node_level", "node_id", "network"]
_PLACE = ["production_date", "facility_id", "network"]


def node_facts(facts: pl.DataFrame) -> pl.DataFrame:
    """The facts at each node that they reach: production_date, node_level, node_id, network, kind, cause.

    A facility's own, and those of its meters on the counting cut at its hub, its asset and the system.
    """
    kinds = pl.concat([facts, facts.filter("is_toggled").with_columns(kind=pl.lit(PRESENCE))])
    counted = kinds.filter("is_counted")
    columns = (*_NODE, "kind", "cause")
    return pl.concat(
        [
            kinds.with_columns(node_level=pl.lit(FACILITY)).select(columns),
            counted.with_columns(node_level=pl.lit("hub"), node_id=pl.col("hub_id")).select(columns),
            counted.with_columns(node_level=pl.lit("asset"), node_id=pl.col("asset_id")).select(columns),
            counted.with_columns(node_level=pl.lit("system"), node_id=pl.lit("system")).select(columns),
        ]
    ).unique()


def causes_of_kpis(rows: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """row, cause of changed numbers of out__daily_production (`row`, node key, `column`); `facts` as node_facts gives them.

    A sum is caused by the facts that it is computed from, else by whatever changed at the node; a parent's capacity, which is
    a max-flow through the whole network, by any capacity that changed on the day.
    """
    inputs = pl.DataFrame(
        [(c, kind) for name, kinds in INPUTS.items() for c in (name, f"{name}_volume") for kind in kinds],
        schema={"column": pl.String, "kind": pl.String},
        orient="row",
    )
    direct = rows.join(inputs, on="column", how="inner").join(facts, on=[*_NODE, "kind"], how="inner")
    named = direct.group_by("row").agg(listed())
    rest = rows.join(named, on="row", how="anti").join(inputs.select("column").unique(), on="column", how="semi")
    indirect = rest.join(facts, on=_NODE, how="inner").group_by("row").agg(listed())
    limits = facts.filter(pl.col("kind") == CAPACITY).select("production_date", "cause").unique()
    capacity = (
        rows.filter(pl.col("column") == "max_capacity").join(limits, on="production_date").group_by("row").agg(listed())
    )
    return pl.concat([named, indirect, capacity])


def causes_of_drivers(rows: pl.DataFrame, facts: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """row, cause of changed shares of events (`row`, production_date, event_id, facility_id, network).

    `facts` as revisions_facts gives them, `events` as revisions_events. A share changes with its own event; else with the
    other changed events that act on the same facility, or with a potential or capacity in the same connected network (oil
    alone, or gas with the oil that carries it). The residual changes with production and potential of its facility too.
    """
    own_event = rows.join(events, on=["production_date", "event_id"], how="inner").select("row", "cause")
    others = rows.join(own_event, on="row", how="anti")
    is_residual = pl.col("event_id") == RESIDUAL
    # The residual takes over what the shares beside it gave up.
    moved = rows.filter(~is_residual).select(_PLACE).unique()
    shared = pl.concat([others.filter(~is_residual), others.filter(is_residual).join(moved, on=_PLACE, how="semi")])
    at_place = rows.join(events, on=["production_date", "event_id"], how="inner").select(*_PLACE, "cause").unique()
    by_event = shared.join(at_place, on=_PLACE, how="inner").select("row", "cause")
    limits = facts.filter(pl.col("kind").is_in([POTENTIAL, CAPACITY]))
    is_oil = pl.col("network") == "oil"
    reached = pl.concat(
        [
            limits.filter(is_oil).select("production_date", pl.lit("oil").alias("group"), "cause"),
            limits.select("production_date", pl.lit("gas").alias("group"), "cause"),
        ]
    ).unique()
    group = pl.when(is_oil).then(pl.lit("oil")).otherwise(pl.lit("gas"))
    by_limit = (
        shared.with_columns(group=group)
        .join(reached, on=["production_date", "group"], how="inner")
        .select("row", "cause")
    )
    own_facts = facts.filter(pl.col("kind").is_in([PRODUCTION, POTENTIAL])).select(
        "production_date", pl.col("node_id").alias("facility_id"), "network", "cause"
    )
    by_fact = others.filter(is_residual).join(own_facts.unique(), on=_PLACE, how="inner").select("row", "cause")
    known = pl.concat([own_event, by_event, by_limit, by_fact])
    by_day = (
        others.join(known, on="row", how="anti")
        .join(events.select("production_date", "cause"), on="production_date", how="inner")
        .select("row", "cause")
    )
    return pl.concat([known, by_day]).group_by("row").agg(listed())
