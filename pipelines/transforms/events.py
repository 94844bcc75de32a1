"""Loss events by production day: what Energy Components books, made into the input of attribution.

Belongs here: group and child rows, clipping to the facility's day, loss per phase, confidence; rejected rows.
Not here: what codes mean (events_objects), events that nobody booked (events_downtime, events_derived), shares (drivers).
Loss, the first that exists: daily split, entered volume, entered rate, remaining rate, whole flow. Rates per 24 h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from pipelines.transforms.drivers_network import TopologyBook
from pipelines.transforms.events_confidence import with_confidence
from pipelines.transforms.events_derived import Measured, derived_events
from pipelines.transforms.events_downtime import downtime_events
from pipelines.transforms.events_objects import (
    WELL,
    TargetRule,
    object_table,
    reason_table,
    resolve_objects,
    resolve_reasons,
)
from pipelines.transforms.network import GAS_NETWORKS, OIL
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.quality import Rule, split
from warehouse.catalog.core import CoreDailyEvent

PHASES = ("oil", "gas")
SOURCE, DATASET = "energy_components", "deferment_event"
_EVENT_TABLE = "raw_energy_components__deferment_event"
_KEY = ["production_date", "event_no"]
# Facility types through which no oil passes: an oil loss of 0 there is a default of the entry form.
_GAS_ONLY = ("compressor-station", "gas-plant")


@dataclass(frozen=True)
class Reference:
    """The operator's reference frames that events need; columns as in the folder's CSV files."""

    facilities: pl.DataFrame
    facility_networks: pl.DataFrame
    wells: pl.DataFrame
    streams: pl.DataFrame
    edges: pl.DataFrame
    externals: pl.DataFrame
    reason_codes: pl.DataFrame


@dataclass(frozen=True)
class DailyEvents:
    """Rows of core__daily_event and of core__quarantine."""

    events: pl.DataFrame
    quarantine: pl.DataFrame


def daily_events(
    *,
    labels: Sequence[date],
    last_closed: date,
    now: datetime,
    events: pl.DataFrame,
    event_days: pl.DataFrame,
    event_factors: Mapping[str, float],
    event_day_factors: Mapping[str, float],
    reference: Reference,
    calendar: ProductionCalendar,
    wells: pl.DataFrame,
    production: pl.DataFrame,
    absent_days: str,
    measured: Measured | None = None,
) -> DailyEvents:
    """core__daily_event of the labels, label × event × phase, sorted by key, and the rows that were rejected.

    `events`, `event_days`: raw deferment events and their daily split; rows of other labels may be given, and a GROUP
    with a child in any of them is dropped from loss. The factors turn raw columns into base units by column name; a
    column without one is in base units. `wells`, `production`: core__daily_well and core__daily_production of the labels.
    `absent_days` is `unknown` or `down`. An open event lasts to the end of `last_closed`. With `measured` the events that
    measurements show and nobody booked stand beside them. Rejected: rows of an unknown object, and events that do not end
    after they begin. Raises NetworkError where a derived event needs a network that has no valid cut.
    """
    book = TopologyBook(reference.facilities, reference.facility_networks, reference.edges, reference.externals)
    accepted, quarantine = _placed(events, reference, calendar, now)
    booked = _without_groups(accepted).filter(pl.col("production_date").is_in(sorted(set(labels))))
    timed = _clipped(booked, calendar, last_closed)
    coded = resolve_reasons(timed, reason_table(reference.reason_codes))
    entered = _phases(
        coded, event_days, event_factors, event_day_factors, _well_potentials(wells), _facility_types(reference)
    )
    targeted = _targeted(entered, book)
    down = downtime_events(
        wells=wells,
        well_names=reference.wells,
        days=calendar.frame(labels, _ids(wells)),
        booked=timed.select("production_date", "facility_id", "well_id", "event_type"),
        absent_days=absent_days,
    )
    found = pl.concat([targeted, down])
    if measured is not None:
        derived = derived_events(
            found,
            measured,
            labels=labels,
            last_closed=last_closed,
            book=book,
            calendar=calendar,
            facilities=reference.facilities,
            streams=reference.streams,
            reason_codes=reference.reason_codes,
            production=production,
        )
        found = pl.concat([found, derived])
    rows = with_confidence(found, production)
    schema = CoreDailyEvent.create_empty().schema
    table = rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    return DailyEvents(
        table.sort(CoreDailyEvent.primary_key()),
        quarantine.filter(pl.col("production_date").is_in(sorted(set(labels)))),
    )


def _ids(frame: pl.DataFrame) -> list[str]:
    return frame["facility_id"].drop_nulls().unique().sort().to_list()


def _placed(
    events: pl.DataFrame, reference: Reference, calendar: ProductionCalendar, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events with their object and UTC times, and the rows that have none."""
    objects = object_table(
        facilities=reference.facilities,
        wells=reference.wells,
        streams=reference.streams,
        edges=reference.edges,
        externals=reference.externals,
    )
    # Of rows with one key the newest counts, as in quality.split, which rejects the others.
    newest = events.sort("rev_no", "source_updated_at_utc", nulls_last=False, maintain_order=True)
    found = resolve_objects(newest.unique(_KEY, keep="last", maintain_order=True).sort(_KEY), objects)
    found = found.with_columns(
        started_at_utc=calendar.to_utc(found["facility_id"], found["started_at_local"]),
        ended_at_utc=calendar.to_utc(found["facility_id"], found["ended_at_local"]),
    )
    row = pl.concat_str(pl.col("production_date").cast(pl.String), "event_no", separator=" ")
    unknown = found.filter(pl.col("facility_id").is_null()).select(row)["production_date"].to_list()
    empty = found.filter(pl.col("ended_at_utc") <= pl.col("started_at_utc")).select(row)["production_date"].to_list()
    outcome = split(
        events,
        _EVENT_TABLE,
        SOURCE,
        DATASET,
        now,
        rules=(
            Rule(
                "unknown_object",
                "object_ec_code stands in no facility, well, stream, edge or external of that day: add it, or correct EC",
                row.is_in(unknown),
            ),
            Rule(
                "no_duration",
                "the event ends when or before it begins: correct its times in EC",
                row.is_in(empty),
            ),
        ),
    )
    accepted = found.join(outcome.accepted.select(_KEY), on=_KEY, how="semi", maintain_order="left")
    return accepted, outcome.quarantined


def _without_groups(events: pl.DataFrame) -> pl.DataFrame:
    """Events whose losses count: a GROUP that has a child among them stays only as evidence of its children."""
    reference = pl.concat_str(
        pl.lit("ec:DEFERMENT_EVENT/"),
        "event_no",
        pl.concat_str(pl.lit("@"), pl.col("rev_no").cast(pl.String)).fill_null(""),
    )
    events = events.with_columns(evidence=reference)
    is_child = (pl.col("deferment_type") == "GROUP_CHILD") & pl.col("parent_event_no").is_not_null()
    parents = events.filter(is_child)["parent_event_no"].unique().to_list()
    is_counted_below = (pl.col("deferment_type") == "GROUP") & pl.col("event_no").is_in(parents)
    groups = events.filter(is_counted_below).select(
        "production_date",
        pl.col("event_no").alias("parent_event_no"),
        pl.col("evidence").alias("parent_evidence"),
    )
    return (
        events.filter(~is_counted_below.fill_null(False))
        .join(groups, on=["production_date", "parent_event_no"], how="left", maintain_order="left")
        .with_columns(evidence=pl.concat_str("evidence", "parent_evidence", separator=" ", ignore_nulls=True))
    )


def _clipped(events: pl.DataFrame, calendar: ProductionCalendar, last_closed: date) -> pl.DataFrame:
    """Events cut to their facility's production day; adds from_utc, to_utc, hours, total_hours, is_open."""
    days = calendar.frame(events["production_date"].unique().sort().to_list(), _ids(events))
    closings = pl.DataFrame(
        [(f, calendar.bounds(f, last_closed)[1]) for f in _ids(events)],
        schema={"facility_id": pl.String, "closed_utc": pl.Datetime("us", "UTC")},
        orient="row",
    )
    hour = pl.duration(hours=1).dt.total_microseconds()
    rows = (
        events.join(days, on=["facility_id", "production_date"], how="left", maintain_order="left")
        .join(closings, on="facility_id", how="left", maintain_order="left")
        .rename({"from_utc": "day_from", "to_utc": "day_to"})
        .with_columns(
            is_open=pl.col("ended_at_utc").is_null(),
            from_utc=pl.max_horizontal("started_at_utc", "day_from"),
            # max_ and min_horizontal skip nulls: an open event ends with the day here.
            to_utc=pl.min_horizontal("ended_at_utc", "day_to"),
            known_end=pl.coalesce("ended_at_utc", pl.max_horizontal("closed_utc", "day_to")),
        )
        .filter(pl.col("to_utc") > pl.col("from_utc"))
    )
    return rows.with_columns(
        hours=(pl.col("to_utc") - pl.col("from_utc")).dt.total_microseconds() / hour,
        total_hours=(pl.col("known_end") - pl.col("started_at_utc")).dt.total_microseconds() / hour,
    )


def _well_potentials(wells: pl.DataFrame) -> pl.DataFrame:
    return wells.select(
        "production_date",
        "well_id",
        pl.col("oil_potential_bblpd").alias("oil_well_rate"),
        pl.col("gas_potential_scfpd").alias("gas_well_rate"),
    ).unique(["production_date", "well_id"], keep="first", maintain_order=True)


def _facility_types(reference: Reference) -> pl.DataFrame:
    """facility_id, facility_type, has_oil, has_gas: the phases that pass a facility, by its networks and its lines."""
    networks = reference.facility_networks.filter("is_applicable").select("facility_id", "network")
    lines = pl.concat(
        [reference.edges.select(pl.col(end).alias("facility_id"), "network") for end in ("from_id", "to_id")]
    )
    served = (
        pl.concat([networks, lines])
        .group_by("facility_id")
        .agg(has_oil=(pl.col("network") == OIL).any(), has_gas=pl.col("network").is_in(list(GAS_NETWORKS)).any())
    )
    types = reference.facilities.sort("facility_id", "valid_from").unique(
        "facility_id", keep="last", maintain_order=True
    )
    return (
        types.select("facility_id", "facility_type")
        .join(served, on="facility_id", how="left", maintain_order="left")
        .with_columns(pl.col("has_oil", "has_gas").fill_null(False))
    )


def _phases(
    events: pl.DataFrame,
    event_days: pl.DataFrame,
    event_factors: Mapping[str, float],
    event_day_factors: Mapping[str, float],
    well_potentials: pl.DataFrame,
    facility_types: pl.DataFrame,
) -> pl.DataFrame:
    """One row an event and phase with loss_rate or remaining_rate. A phase stands where something was entered for it;
    where nothing was entered at all, every phase that passes the object stands, with its whole flow (a well: its own
    potential, 0 before its first)."""
    splits = event_days.group_by(_KEY).agg(
        # A sum without a value is null, not 0: nothing was entered.
        pl.when(pl.col(f"{phase}_volume").count() > 0)
        .then(pl.col(f"{phase}_volume").sum() * event_day_factors.get(f"{phase}_volume", 1.0))
        .alias(f"{phase}_split")
        for phase in PHASES
    )
    rows = (
        events.join(splits, on=_KEY, how="left", maintain_order="left")
        .join(well_potentials, on=["production_date", "well_id"], how="left", maintain_order="left")
        .join(facility_types, on="facility_id", how="left", maintain_order="left")
        .with_columns(
            pl.col(name) * event_factors.get(name, 1.0)
            for name in (f"{phase}_{what}" for phase in PHASES for what in _ENTERED)
        )
        .with_columns(
            oil_loss_bbl=pl.col("oil_loss_volume"),
            gas_loss_scf=pl.col("gas_loss_volume"),
            oil_entered=_is_entered("oil"),
            gas_entered=_is_entered("gas"),
        )
    )
    parts = [_phase(rows, phase) for phase in PHASES]
    return pl.concat(parts)


_ENTERED = ("loss_rate", "loss_volume", "remaining_rate")


def _is_entered(phase: str) -> pl.Expr:
    return pl.any_horizontal(pl.col(f"{phase}_{what}").is_not_null() for what in (*_ENTERED, "split"))


def _phase(rows: pl.DataFrame, phase: str) -> pl.DataFrame:
    """The rows of one phase."""
    other = "gas" if phase == "oil" else "oil"
    is_well = pl.col("object_kind") == WELL
    tied = (
        pl.when(pl.col("object_network") == OIL)
        .then(pl.lit("oil"))
        .when(pl.col("object_network").is_not_null())
        .then(pl.lit("gas"))
    )
    loss = pl.coalesce(
        pl.col(f"{phase}_split") / pl.col("hours") * 24.0,
        pl.col(f"{phase}_loss_volume") / pl.col("total_hours") * 24.0,
        pl.col(f"{phase}_loss_rate"),
    )
    entered, nothing = pl.col(f"{phase}_entered"), ~(pl.col(f"{phase}_entered") | pl.col(f"{other}_entered"))
    if phase == "gas":
        # A well without a gas potential of its own leaves its gas to the gas-oil ratio.
        nothing = nothing & ~(is_well & pl.col("gas_well_rate").is_null())
    stands = entered | (nothing & tied.fill_null(pl.lit(phase)).eq(phase) & pl.col(f"has_{phase}"))
    found = rows.filter(stands).with_columns(phase=pl.lit(phase), loss_rate=loss)
    found = found.with_columns(
        # What is entered below zero is a gain, which is no loss event's to state.
        loss_rate=pl.when(is_well & nothing)
        .then(pl.col(f"{phase}_well_rate").fill_null(0.0))
        .otherwise(pl.col("loss_rate").clip(0.0)),
        remaining_rate=pl.when(pl.col("loss_rate").is_null()).then(pl.col(f"{phase}_remaining_rate").clip(0.0)),
    )
    if phase == "oil":
        is_default = pl.col("facility_type").is_in(list(_GAS_ONLY)) & (pl.col("loss_rate") == 0.0)
        found = found.filter(~is_default.fill_null(False))
    return found


def _targeted(rows: pl.DataFrame, book: TopologyBook) -> pl.DataFrame:
    """Rows with target, equipment, title and strength of evidence, in the columns that downtime rows have too."""
    rule = TargetRule(book)
    targets = [rule.target(row["production_date"], row["phase"], row) for row in rows.iter_rows(named=True)]
    schema = {"target_kind": pl.String, "target_id": pl.String, "network": pl.String}
    made = pl.DataFrame([(t.kind, t.target_id, t.network) for t in targets], schema=schema, orient="row")
    return rows.hstack(made).select(
        "production_date",
        pl.concat_str(pl.lit("ec:"), "event_no").alias("event_id"),
        "phase",
        "facility_id",
        "target_kind",
        "target_id",
        "network",
        # A well is its own equipment: two bookings of one well never lose it twice.
        pl.coalesce("equipment_code", "well_id").alias("equipment_id"),
        "started_at_utc",
        "ended_at_utc",
        "from_utc",
        "to_utc",
        "hours",
        pl.lit(False).alias("is_uniform"),
        "loss_rate",
        "remaining_rate",
        "reason_code",
        pl.col("reason_ec_code").alias("source_code"),
        "choke",
        (pl.col("is_planned") | pl.col("is_scheduled").fill_null(False)).alias("is_planned"),
        "is_third_party",
        "is_open",
        pl.coalesce("title", "reason_title", "object_ec_code").alias("title"),
        pl.lit("ec").alias("source"),
        pl.lit(False).alias("is_doubtful"),
        "oil_loss_bbl",
        "gas_loss_scf",
        "evidence",
    )
