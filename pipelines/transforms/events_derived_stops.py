"""Stretches of a production day in which PI says that equipment stands, and what flowed through its facility meanwhile.

Here: run-status samples into stretches, and the facility's own flow meters over them. Not here: whether anything was lost
by it (events_derived_equipment). A run status of 0 is stopped; a bad sample and a value held too long say nothing.
Rates per 24 h in base units.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from pipelines.transforms.network import GAS_NETWORKS, OIL
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitTable
from warehouse.catalog.core import CoreDailyEquipmentStop

RUN_STATUS = "run_status"
# What says how much passes a facility, the first that it has: product, throughput, receipts.
FLOW_MEASUREMENTS = ("rate", "throughput_rate", "receipt_rate")
# A mean over less than this part of a stretch, or over less running time than this, is no measurement of it.
LEAST_COVERAGE = 0.5
LEAST_RUNNING_HOURS = 1.0
_GAS_TYPES = ("compressor-station", "gas-plant")
_PLACE = ["production_date", "tag_id"]
_HOUR = 3_600_000_000.0


def run_tags(tags: pl.DataFrame) -> pl.DataFrame:
    """The tags that tell whether equipment runs."""
    return tags.filter(pl.col("measurement") == RUN_STATUS)


def flow_tags(tags: pl.DataFrame, facilities: pl.DataFrame) -> pl.DataFrame:
    """The tags whose sum passes a facility in its own phase: facility_id, phase, tag_id, unit, hold_limit_seconds.

    The phase is gas at compressor stations and gas plants, oil elsewhere; a tag of no network measures the facility's phase.
    """
    order = {name: place for place, name in enumerate(FLOW_MEASUREMENTS)}
    network = pl.col("network")
    phase = pl.when(network == OIL).then(pl.lit("oil")).when(network.is_in(list(GAS_NETWORKS))).then(pl.lit("gas"))
    return (
        tags.filter(pl.col("measurement").is_in(list(order)))
        .join(_phases(facilities), on="facility_id", how="inner")
        .filter(phase.fill_null(pl.col("phase")) == pl.col("phase"), network.is_null() | phase.is_not_null())
        .with_columns(rank=pl.col("measurement").replace_strict(order, return_dtype=pl.Int64))
        .filter(pl.col("rank") == pl.col("rank").min().over("facility_id"))
        .select("facility_id", "phase", pl.col("tag_id").cast(pl.UInt32), "unit", "hold_limit_seconds")
        .sort("facility_id", "tag_id")
    )


def _phases(facilities: pl.DataFrame) -> pl.DataFrame:
    """facility_id, phase."""
    newest = facilities.sort("facility_id", "valid_from").unique("facility_id", keep="last", maintain_order=True)
    is_gas = pl.col("facility_type").is_in(list(_GAS_TYPES))
    return newest.select("facility_id", phase=pl.when(is_gas).then(pl.lit("gas")).otherwise(pl.lit("oil")))


def equipment_stops(
    samples: pl.DataFrame,
    tags: pl.DataFrame,
    facilities: pl.DataFrame,
    calendar: ProductionCalendar,
    labels: Sequence[date],
    units: UnitTable,
    before: pl.DataFrame,
    readings: pl.DataFrame,
) -> pl.DataFrame:
    """core__daily_equipment_stop of the labels, sorted by key.

    `samples`: rows of raw_pi__recorded_value of at least run_tags and flow_tags, each label with its own and per tag the
    last one before the day. `before`: this table of the label before the first: a stop that reached the end of its day goes
    on with its own start and the flow that it began from. Flow while it stood and while it ran are sums over flow_tags,
    null where one of them covers less than half of the time. Equipment that ran for less than an hour on the day on which
    it stopped has the day before as its running flow: `readings` is core__daily_reading from the label before the first on.
    """
    wanted = sorted(set(labels))
    equipment = run_tags(tags).select(
        pl.col("tag_id").cast(pl.UInt32), "tag_name", "facility_id", "object_id", "hold_limit_seconds"
    )
    days = calendar.frame(wanted, equipment["facility_id"].unique().to_list())
    states = _states(samples, equipment, days)
    standing = states.filter(~pl.col("runs"))
    states = states.join(standing.select(_PLACE).unique(), on=_PLACE, how="semi")
    flows = flow_tags(tags, facilities)
    means = _flows(samples, flows, states, units)
    running = (
        means.filter(pl.col("runs"), pl.col("flow").is_not_null())
        .group_by(_PLACE)
        .agg(pl.col("hours").sum(), flow=(pl.col("flow") * pl.col("hours")).sum())
        .filter(pl.col("hours") >= LEAST_RUNNING_HOURS)
    )
    daily = _daily_flows(readings, flows)
    ran = {(label, tag): flow / hours for label, tag, hours, flow in running.iter_rows()}
    starts = {
        (f, label): start for f, label, start in days.select("facility_id", "production_date", "from_utc").iter_rows()
    }
    ends = {row["tag_id"]: row for row in before.sort("tag_id", "to_utc").iter_rows(named=True)}
    rows: list[dict[str, Any]] = []
    for row in means.filter(~pl.col("runs")).sort(*_PLACE, "from_utc").iter_rows(named=True):
        earlier = ends.get(row["tag_id"])
        begins_day = row["from_utc"] == starts[row["facility_id"], row["production_date"]]
        goes_on = earlier is not None and begins_day and earlier["to_utc"] == row["from_utc"]
        own = ran.get((row["production_date"], row["tag_id"]))
        if own is None and not goes_on:
            own = daily.get((row["facility_id"], row["production_date"] - timedelta(days=1)))
        stop = {
            "production_date": row["production_date"],
            "tag_id": row["tag_id"],
            "from_utc": row["from_utc"],
            "to_utc": row["to_utc"],
            "tag_name": row["tag_name"],
            "facility_id": row["facility_id"],
            "equipment_id": row["object_id"],
            "phase": row["phase"],
            "started_at_utc": earlier["started_at_utc"] if earlier and goes_on else row["since_utc"],
            "flow_down": row["flow"],
            "flow_running": earlier["flow_running"] if earlier and goes_on and own is None else own,
        }
        rows.append(stop)
        ends[row["tag_id"]] = stop
    schema = CoreDailyEquipmentStop.create_empty().schema
    return pl.DataFrame(rows, schema=schema, orient="row").sort(CoreDailyEquipmentStop.primary_key())


def _states(samples: pl.DataFrame, equipment: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Known states of equipment within its day, neighbours of one state together: _PLACE, tag_name, facility_id, object_id,
    runs, from_utc, to_utc, since_utc (where the state's first sample lies, also before the day)."""
    held = (
        samples.join(equipment, on="tag_id", how="inner")
        .join(
            days.drop("day_hours").rename({"from_utc": "day_from", "to_utc": "day_to"}),
            on=["facility_id", "production_date"],
        )
        .sort(*_PLACE, "observed_at_utc", maintain_order=True)
        .unique([*_PLACE, "observed_at_utc"], keep="last", maintain_order=True)
    )
    return (
        _intervals(held)
        .with_columns(runs=pl.col("value") != 0.0)
        .with_columns(
            is_new=((pl.col("runs") != pl.col("runs").shift(1)) | (pl.col("from_utc") != pl.col("to_utc").shift(1)))
            .fill_null(value=True)
            .over(_PLACE)
        )
        .with_columns(run=pl.col("is_new").cum_sum().over(_PLACE))
        .group_by(*_PLACE, "run", maintain_order=True)
        .agg(
            pl.col("tag_name", "facility_id", "object_id", "runs", "from_utc").first(),
            pl.col("to_utc").last(),
            since_utc=pl.col("observed_at_utc").first(),
        )
        .drop("run")
    )


def _intervals(held: pl.DataFrame) -> pl.DataFrame:
    """Good samples with from_utc and to_utc, the time within the day for which their value holds; others left out.
    `held` is sorted by _PLACE and instant and has day_from, day_to, hold_limit_seconds."""
    limit = pl.duration(microseconds=(pl.col("hold_limit_seconds").fill_null(86_400.0) * 1e6).cast(pl.Int64))
    following = pl.col("observed_at_utc").shift(-1).over(_PLACE)
    return held.with_columns(
        from_utc=pl.max_horizontal("observed_at_utc", "day_from"),
        to_utc=pl.min_horizontal(following, pl.col("observed_at_utc") + limit, "day_to"),
    ).filter(
        pl.col("is_good"),
        pl.col("value").is_not_null(),
        pl.col("value").is_not_nan(),
        pl.col("to_utc") > pl.col("from_utc"),
    )


def _flows(samples: pl.DataFrame, flows: pl.DataFrame, states: pl.DataFrame, units: UnitTable) -> pl.DataFrame:
    """`states` with phase, hours and flow: the time-weighted sum of the facility's flow tags over each of them."""
    factors = [
        units.factor(unit, "liquid" if phase == "oil" else "gas", "rate")
        for unit, phase in flows.select("unit", "phase").iter_rows()
    ]
    meters = flows.with_columns(factor=pl.Series(factors, dtype=pl.Float64))
    expected = meters.group_by("facility_id").agg(phase=pl.col("phase").first(), expected=pl.len())
    spans = states.with_columns(hours=_hours("from_utc", "to_utc")).join(expected, on="facility_id", how="left")
    held = (
        samples.join(meters.drop("phase"), on="tag_id", how="inner")
        .join(
            states.group_by("production_date", "facility_id").agg(
                day_from=pl.col("from_utc").min(), day_to=pl.col("to_utc").max()
            ),
            on=["production_date", "facility_id"],
            how="inner",
        )
        .sort(*_PLACE, "observed_at_utc", maintain_order=True)
        .unique([*_PLACE, "observed_at_utc"], keep="last", maintain_order=True)
    )
    pieces = _intervals(held).select(
        "production_date",
        "facility_id",
        pl.col("tag_id").alias("meter"),
        (pl.col("value") * pl.col("factor")).alias("rate"),
        pl.col("from_utc").alias("piece_from"),
        pl.col("to_utc").alias("piece_to"),
    )
    key = [*_PLACE, "from_utc"]
    measured = (
        spans.select(*key, "facility_id", "to_utc", "hours")
        .join(pieces, on=["production_date", "facility_id"], how="inner")
        .with_columns(low=pl.max_horizontal("from_utc", "piece_from"), high=pl.min_horizontal("to_utc", "piece_to"))
        .filter(pl.col("high") > pl.col("low"))
        .with_columns(part=_hours("low", "high"))
        .group_by(*key, "meter")
        .agg(
            mean=(pl.col("rate") * pl.col("part")).sum() / pl.col("part").sum(),
            coverage=pl.col("part").sum() / pl.col("hours").first(),
        )
        .filter(pl.col("coverage") >= LEAST_COVERAGE)
        .sort(*key, "meter")
        .group_by(key)
        .agg(sum=pl.col("mean").sum(), meters=pl.len())
    )
    return (
        spans.join(measured, on=key, how="left")
        .with_columns(flow=pl.when(pl.col("meters") == pl.col("expected")).then("sum"))
        .drop("sum", "meters", "expected")
    )


def _daily_flows(readings: pl.DataFrame, flows: pl.DataFrame) -> dict[tuple[str, date], float]:
    """Σ of the flow tags' daily means by facility and label; left out where one of them was good for less than half."""
    place = ["facility_id", "production_date"]
    expected = flows.group_by("facility_id").agg(expected=pl.len())
    sums = (
        readings.drop("facility_id")
        .join(flows.select("facility_id", "tag_id"), on="tag_id", how="inner")
        .filter(pl.col("time_weighted_mean").is_not_null(), pl.col("good_fraction") >= LEAST_COVERAGE)
        .sort("tag_id")
        .group_by(place)
        .agg(flow=pl.col("time_weighted_mean").sum(), meters=pl.len())
        .join(expected, on="facility_id", how="inner")
        .filter(pl.col("meters") == pl.col("expected"))
    )
    return {(facility_id, label): flow for facility_id, label, flow in sums.select(*place, "flow").iter_rows()}


def _hours(start: str, end: str) -> pl.Expr:
    return (pl.col(end) - pl.col(start)).dt.total_microseconds() / _HOUR
