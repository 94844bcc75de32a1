"""Gap drivers by production day: who deferred what at every facility on the counting cut, and what nobody explains.

Belongs here: graphs and events of each label from frames, the rows of out__daily_gap_driver and out__daily_event.
Not here: the solving (attribution), the events' losses (events). Volumes are bbl or scf a production day.
Closure: at every cut facility, network and label with a deferment, Σ volume = deferment_volume; the residual may be negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from pipelines.transforms.attribution import Driver
from pipelines.transforms.deferment import FLARED_GAS, capacities_in_force
from pipelines.transforms.drivers_day import DayEvents, attribute_label
from pipelines.transforms.drivers_network import Topology, TopologyBook, rates_by_label
from pipelines.transforms.network import OIL
from warehouse.catalog.out import OutDailyEvent, OutDailyGapDriver

UNATTRIBUTED, RESIDUAL, CONSTRAINT = "unattributed", "residual", "constraint"
_PLACE = ["production_date", "facility_id", "network"]
_SHARE_SCHEMA = {
    "production_date": pl.Date,
    "event_id": pl.String,
    "facility_id": pl.String,
    "network": pl.String,
    "cause_node_id": pl.String,
    "volume": pl.Float64,
    "volume_if_alone": pl.Float64,
    "gain_if_fixed": pl.Float64,
    "hours": pl.Float64,
    "phase": pl.String,
}
# What a constraint is called by what it limits; a line to a market is the market's.
_CONSTRAINT_CHOKE = {"source": "reservoir", "node": "plant", "edge": "export"}


@dataclass(frozen=True)
class DailyDrivers:
    """Rows of out__daily_gap_driver and out__daily_event, and (production_date, event_id) of events that act on nothing."""

    drivers: pl.DataFrame
    events: pl.DataFrame
    unplaced: pl.DataFrame


def daily_drivers(
    *,
    labels: Sequence[date],
    days: pl.DataFrame,
    events: pl.DataFrame,
    production: pl.DataFrame,
    capacities: pl.DataFrame,
    facilities: pl.DataFrame,
    facility_networks: pl.DataFrame,
    edges: pl.DataFrame,
    externals: pl.DataFrame,
) -> DailyDrivers:
    """Drivers and events of every label, sorted by key.

    `days` is ProductionCalendar.frame of all facilities, `events` core__daily_event, `production` out__daily_production
    (its potentials and deferments are those attributed), `capacities` core__capacity, the rest reference frames.
    One `unattributed` row stands at every cut facility and network with a deferment, also where it is 0. Where the
    deferment is not known an event's volume is 0 and it keeps what it would do alone. Raises NetworkError for a topology
    without a valid counting cut.
    """
    wanted = sorted(set(labels))
    book = TopologyBook(facilities, facility_networks, edges, externals)
    cut = _cut(production.filter(pl.col("production_date").is_in(wanted)))
    potentials = rates_by_label(cut, "potential")
    limits = rates_by_label(capacities_in_force(capacities, wanted), "capacity")
    bounds = _bounds(days)
    day_events = _by_label(events)
    shares: list[tuple[Any, ...]] = []
    constraints: list[dict[str, Any]] = []
    unplaced: list[tuple[date, str]] = []
    for label in wanted:
        topology = book.on(label)
        outcome = attribute_label(
            topology,
            DayEvents(day_events.get(label, [])),
            potentials.get(label, {}),
            limits.get(label, {}),
            bounds[label],
        )
        shares += [_share(label, driver) for driver in outcome.drivers]
        constraints += _constraint_events(label, topology, outcome.drivers, outcome.constraints)
        unplaced += [(label, event_id) for event_id in outcome.unplaced]
    table = pl.DataFrame(shares, schema=_SHARE_SCHEMA, orient="row")
    standing = pl.DataFrame(constraints, schema=OutDailyEvent.create_empty().schema, orient="row")
    return DailyDrivers(
        drivers=_driver_rows(table, cut, events, standing),
        events=_event_rows(events.filter(pl.col("production_date").is_in(wanted)), standing),
        unplaced=pl.DataFrame(unplaced, schema={"production_date": pl.Date, "event_id": pl.String}, orient="row").sort(
            "production_date", "event_id"
        ),
    )


def _cut(production: pl.DataFrame) -> pl.DataFrame:
    """Facility rows on the counting cut that have drivers: every network but flaredGas."""
    return production.filter(
        pl.col("node_level") == "facility",
        pl.col("counts_in_roll_up"),
        pl.col("network") != FLARED_GAS,
        pl.col("quality") != "notApplicable",
    ).select(
        "production_date",
        pl.col("node_id").alias("facility_id"),
        "network",
        "hub_id",
        "asset_id",
        "potential",
        "deferment_volume",
    )


def _bounds(days: pl.DataFrame) -> dict[date, dict[str, tuple[datetime, datetime]]]:
    found: dict[date, dict[str, tuple[datetime, datetime]]] = {}
    for facility_id, label, start, end in days.select(
        "facility_id", "production_date", "from_utc", "to_utc"
    ).iter_rows():
        found.setdefault(label, {})[facility_id] = (start, end)
    return found


def _by_label(events: pl.DataFrame) -> dict[date, list[Mapping[str, Any]]]:
    found: dict[date, list[Mapping[str, Any]]] = {}
    for row in events.sort("production_date", "event_id", "phase").iter_rows(named=True):
        found.setdefault(row["production_date"], []).append(row)
    return found


def _share(label: date, driver: Driver) -> tuple[Any, ...]:
    return (
        label,
        driver.event_id,
        driver.facility_id,
        driver.network,
        driver.cause_node_id,
        driver.volume,
        driver.volume_if_alone,
        driver.gain_if_fixed,
        driver.hours,
        "oil" if driver.network == OIL else "gas",
    )


def _constraint_events(
    label: date,
    topology: Topology,
    drivers: Sequence[Driver],
    elements: Mapping[str, tuple[str, str]],
) -> Iterator[dict[str, Any]]:
    """One event row a standing constraint: it has no beginning and is open as long as it stands."""
    names = {f["facility_id"]: f["name"] for f in topology.facilities}
    markets = {x.external_id for x in topology.externals if x.kind == "market"}
    hours: dict[str, float] = {}
    for driver in drivers:
        if driver.event_id in elements:
            hours[driver.event_id] = max(hours.get(driver.event_id, 0.0), driver.hours)
    for event_id in sorted(hours):
        kind, target_id = elements[event_id]
        ends = target_id.split("~")
        places = [names.get(end, end) for end in ends[:2]] if kind == "edge" else [names.get(target_id, target_id)]
        choke = "market" if kind == "edge" and ends[1] in markets else _CONSTRAINT_CHOKE[kind]
        yield {
            "production_date": label,
            "event_id": event_id,
            "facility_id": next((end for end in ends[:2] if end in names), None),
            "target_kind": kind,
            "target_id": target_id,
            "hours": hours[event_id],
            "title": f"{'Supply' if kind == 'source' else 'Capacity'} of {' to '.join(places)}",
            "choke": choke,
            "is_open": True,
            "is_planned": False,
            "is_third_party": False,
            "confidence": 1.0,
            "source": CONSTRAINT,
        }


def _driver_rows(
    shares: pl.DataFrame, cut: pl.DataFrame, events: pl.DataFrame, constraints: pl.DataFrame
) -> pl.DataFrame:
    """Shares with the words of their events, and the residual of every cut facility, network and label."""
    words = ["choke", "reason_code", "is_planned", "is_third_party", "confidence", "source"]
    # A phase that took its loss from the other one (associated gas) has no row of its own: it has that one's words.
    own = events.select("production_date", "event_id", "phase", *words)
    either = own.unique(["production_date", "event_id"], keep="first", maintain_order=True)
    either = pl.concat([either.drop("phase"), constraints.select("production_date", "event_id", *words)]).rename(
        {word: f"{word}_of_event" for word in words}
    )
    worded = (
        shares.join(own, on=["production_date", "event_id", "phase"], how="left", maintain_order="left")
        .join(either, on=["production_date", "event_id"], how="left", maintain_order="left")
        .with_columns(pl.coalesce(word, f"{word}_of_event").alias(word) for word in words)
        .join(cut, on=_PLACE, how="inner", maintain_order="left")
        .with_columns(volume=pl.when(pl.col("deferment_volume").is_not_null()).then("volume").otherwise(0.0))
        .sort(*_PLACE, "event_id")
    )
    explained: dict[tuple[date, str, str], float] = {}
    # One by one in the order of ids, so that the residual is the same bits whatever else is computed with it.
    for label, facility_id, network, volume in worded.select(*_PLACE, "volume").iter_rows():
        explained[label, facility_id, network] = explained.get((label, facility_id, network), 0.0) + volume
    known = cut.filter(pl.col("deferment_volume").is_not_null())
    rest = [
        deferment - explained.get((label, facility_id, network), 0.0)
        for label, facility_id, network, deferment in known.select(*_PLACE, "deferment_volume").iter_rows()
    ]
    residual = known.with_columns(
        event_id=pl.lit(UNATTRIBUTED),
        source=pl.lit(RESIDUAL),
        volume=pl.Series(rest, dtype=pl.Float64),
    )
    schema = OutDailyGapDriver.create_empty().schema
    return (
        pl.concat([worded, residual], how="diagonal")
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        .sort(OutDailyGapDriver.primary_key())
    )


def _event_rows(events: pl.DataFrame, constraints: pl.DataFrame) -> pl.DataFrame:
    """One row an event and label: phases together, the oil phase's target where they differ."""
    schema = OutDailyEvent.create_empty().schema
    key = ["production_date", "event_id"]
    longest = events.group_by(key).agg(longest=pl.col("hours").max(), least=pl.col("confidence").min())
    merged = (
        events.sort(*key, pl.col("phase") != "oil")
        .unique(key, keep="first", maintain_order=True)
        .join(longest, on=key, how="left")
        .with_columns(hours=pl.col("longest"), confidence=pl.col("least"))
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    )
    return pl.concat([merged, constraints]).sort(OutDailyEvent.primary_key())
