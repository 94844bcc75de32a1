"""The injected truth, for tests alone: no server serves it and no part of the pipeline reads it.

One Parquet file a subject, base units, closed days only. Columns are explained in COLUMNS, which is also written as
`truth/README.md`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.simulators.field_energy_components import Entered
from pipelines.simulators.field_event import Event
from pipelines.simulators.field_gas import GAS_NETWORKS
from pipelines.simulators.field_solution import Solution
from pipelines.simulators.field_tank_top import TANK_TOP
from pipelines.simulators.field_world import World

UTC_TIME = pl.Datetime("us", "UTC")
# Elements that freeze a member below its potential without any event, and by how much that must show (rate).
VISIBLE_CONSTRAINT = 1e-6
NO_EFFECT = 1e-9

COLUMNS = {
    "facility_network_day": "facility_id, network, production_date; potential, target (rates; null where none), production, "
    "flow_undisturbed, flow_coded (rates: what flowed, would have flowed with no event, with the booked events alone), "
    "deferment = max(0, potential − production), metered (rate that EC holds after corrections), hours, on_cut. "
    "Oil of flowstations, gas of plants; flaredGas of all: production is the flare, target its ceiling.",
    "event_share_day": "event_id (`ec:<n>`, `constraint:<element>`, `tanktop:<terminal>:<day>`; rows without any effect left "
    "out), reason_code, facility_id (counted at), network, cause_node_id, production_date; volume (exact Shapley share), "
    "volume_if_alone, gain_if_fixed (bbl, scf), is_coded (booked in Energy Components).",
    "uncoded_day": "facility_id, network, production_date, volume: loss that nobody booked (bbl, scf). Shares of "
    "event_share_day + uncoded_day = deferment volume at every cut facility and day.",
    "event": "number (a tank-top day has one too, but no row in Energy Components), facility_id, object_code, target "
    "(source, node, edge, group), element, gas_element, started_at_utc, ended_at_utc (null: open), hours (in closed days), "
    "reason_code, equipment, deferment_type, parent, entry (rate, volume, split, none), oil_loss_bbl, gas_loss_scf: booked "
    "loss over the closed days.",
    "gas_balance_day": "plant_id, production_date and volumes in scf: produced = station_fuel + station_flare + "
    "compressor_flare + received; received + external = sales + shrinkage + plant_fuel + plant_flare. Flares here are "
    "without pilots, which burn fuel gas.",
    "stream_day": "stream_ec_code, facility_id, network, role, production_date, true_volume, metered_volume.",
    "correction": "stream_ec_code, facility_id, network, production_date, first_volume, corrected_volume, visible_from_utc.",
    "late_row": "stream_ec_code, production_date, visible_from_utc: rows that EC does not show at the clock.",
    "rejected_row": "view, row_key, production_date, rule: rows that a pipeline has to set aside.",
    "meter_bias": "meter (stream code and PI object), facility_id, first_date, last_date, factor (0.05 = reads 5 % high).",
    "well_day": "well_ec_code, facility_id, production_date, on_stream_hours, oil_bbl. Hours below the day's always have "
    "an event of the well or of its whole station.",
    "terminal_day": "facility_id, production_date, opening_bbl, receipts_bbl, lifted_bbl, own_use_bbl, closing_bbl.",
    "cargo": "cargo_id, terminal_id, parcel_bbl, laycan_start, laycan_end, status, lifted_bbl, lifted_date, slip_days.",
    "pi_day": "tag_name, facility_id, measurement, production_date, mean (tag's unit, over the whole day, before bad "
    "stretches), mean_base (base unit), good_fraction (a bad stretch lasts from its first bad to the next good sample).",
}


def write_truth(world: World, entered: Entered, pi_days: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write every truth file into `folder`; returns the number of rows of each."""
    folder.mkdir(parents=True, exist_ok=True)
    cut, uncoded = _cut_days(world)
    frames = {
        "facility_network_day": pl.concat([cut, _flares(world)]),
        "event_share_day": _shares(world),
        "uncoded_day": uncoded,
        "event": _events(world),
        "gas_balance_day": _gas_balance(world),
        "stream_day": _streams(world),
        "correction": _dicts(
            entered.corrections, ["stream_ec_code", "facility_id", "network"], ["first_volume", "corrected_volume"]
        ),
        "late_row": _dicts(entered.late, ["stream_ec_code"], []),
        "rejected_row": _dicts(entered.rejected, ["view", "row_key", "rule"], [], seen=False),
        "meter_bias": _biases(world),
        "well_day": _wells(world),
        "terminal_day": _terminals(world),
        "cargo": _cargoes(world),
        "pi_day": pi_days,
    }
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet", compression="zstd")
    text = "# Injected truth\n\nBase units (bbl, scf, per 24 h for rates); closed days only.\n\n"
    text += "".join(f"* `{name}.parquet`: {COLUMNS[name]}\n" for name in frames)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return {name: frame.height for name, frame in frames.items()}


def _members(world: World) -> list[tuple[Solution, int, Any, Any]]:
    """Every cut member: its component's solution, its row there, volumes with booked events and real volumes [day]."""
    found: list[tuple[Solution, int, Any, Any]] = []
    rows = {s.facility_id: i for i, s in enumerate(world.reference.stations)}
    for solution in world.oil:
        for member, facility_id in enumerate(solution.component.members):
            i = rows[facility_id]
            found.append((solution, member, world.balance.oil_coded[i], world.balance.oil[i]))
    for p, solution in enumerate(world.gas):
        coded, real = world.balance.sales_coded[p], world.balance.sales[p]
        found += [(solution, member, coded[member], real[member]) for member in range(len(GAS_NETWORKS))]
    return found


def _cut_days(world: World) -> tuple[pl.DataFrame, pl.DataFrame]:
    closed, hours = world.calendar.closed, world.calendar.hours[: world.calendar.closed]
    labels, part = list(world.calendar.labels[:closed]), hours / 24.0
    metered = {(s.facility_id, s.network): s.metered for s in world.streams if s.role == "production"}
    days, uncoded = [], []
    for solution, member, coded, real in _members(world):
        component = solution.component
        facility_id, network = component.members[member], component.networks[member]
        potential, production = component.potentials[member, :closed], real[:closed] / part
        target = world.reference.field["facilities"][facility_id]["networks"][network].get("target")
        keys = {"facility_id": [facility_id] * closed, "network": [network] * closed, "production_date": labels}
        days.append(
            pl.DataFrame(
                {
                    **keys,
                    "potential": potential,
                    "target": pl.Series([target] * closed, dtype=pl.Float64),
                    "production": production,
                    "flow_undisturbed": component.flows[member, :closed],
                    "flow_coded": coded[:closed] / part,
                    "deferment": np.maximum(0.0, potential - production),
                    "metered": metered[facility_id, network][:closed] / part,
                    "hours": hours,
                    "on_cut": [True] * closed,
                }
            )
        )
        uncoded.append(pl.DataFrame({**keys, "volume": coded[:closed] - real[:closed]}))
    return pl.concat(days), pl.concat(uncoded)


def _flares(world: World) -> pl.DataFrame:
    closed = world.calendar.closed
    labels, hours = list(world.calendar.labels[:closed]), world.calendar.hours[:closed]
    nothing = pl.Series([None] * closed, dtype=pl.Float64)
    frames = []
    for stream in world.streams:
        if stream.role != "flare":
            continue
        ceiling = float(world.reference.field["facilities"][stream.facility_id]["flare_ceiling"])
        frames.append(
            pl.DataFrame(
                {
                    "facility_id": [stream.facility_id] * closed,
                    "network": ["flaredGas"] * closed,
                    "production_date": labels,
                    "potential": nothing,
                    "target": [ceiling] * closed,
                    "production": stream.true[:closed] / hours * 24.0,
                    "flow_undisturbed": nothing,
                    "flow_coded": nothing,
                    "deferment": np.zeros(closed),
                    "metered": stream.metered[:closed] / hours * 24.0,
                    "hours": hours,
                    "on_cut": [True] * closed,
                }
            )
        )
    return pl.concat(frames)


def _shares(world: World) -> pl.DataFrame:
    closed, labels = world.calendar.closed, world.calendar.labels
    events = {e.number: e for e in world.events}
    rows: list[tuple[Any, ...]] = []
    for solution in (*world.oil, *world.gas):
        component = solution.component
        for share in solution.shares:
            if share.day >= closed or max(abs(share.volume), abs(share.alone), abs(share.gain)) < NO_EFFECT:
                continue
            event = events[share.number]
            rows.append(
                (
                    _event_id(world, event),
                    event.reason,
                    component.members[share.member],
                    component.networks[share.member],
                    event.facility_id,
                    labels[share.day],
                    share.volume,
                    share.alone,
                    share.gain,
                    event.deferment_type != TANK_TOP,
                )
            )
        for member in range(len(component.members)):
            below = component.potentials[member] - component.flows[member]
            for day in np.flatnonzero(below[:closed] > VISIBLE_CONSTRAINT):
                volume = float(below[day] * world.calendar.hours[day] / 24.0)
                element = _saturated(
                    world, component.name, component.networks[member], component.members[member], int(day)
                )
                rows.append(
                    (
                        f"constraint:{element}",
                        None,
                        component.members[member],
                        component.networks[member],
                        element,
                        labels[day],
                        volume,
                        volume,
                        volume,
                        False,
                    )
                )
    schema: dict[str, Any] = dict.fromkeys(
        ["event_id", "reason_code", "facility_id", "network", "cause_node_id"], pl.String
    )
    schema |= {"production_date": pl.Date, "volume": pl.Float64, "volume_if_alone": pl.Float64}
    schema |= {"gain_if_fixed": pl.Float64, "is_coded": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("production_date", "event_id", "facility_id", "network")


def _event_id(world: World, event: Event) -> str:
    if event.deferment_type == TANK_TOP:
        return f"tanktop:{event.facility_id}:{world.calendar.labels[event.first_day]}"
    return f"ec:{event.number}"


def _saturated(world: World, component: str, network: str, facility_id: str, day: int) -> str:
    """The element that holds a member below its potential with no event: its own node or line, else what is shared."""
    if network == "oil":
        station = next(i for i, s in enumerate(world.reference.stations) if s.facility_id == facility_id)
        row = world.reference.stations[station]
        if min(row.capacity, row.line_capacity) < world.potentials[station, day]:
            return facility_id if row.capacity <= row.line_capacity else f"{facility_id}~{row.terminal_id}~oil"
        return component
    # A plant short of feed: every source is exhausted; the lowest id of them is the external one or the first station.
    plant = next(p for p in world.reference.plants if p.facility_id == component)
    feeders = [world.reference.stations[i].facility_id for i in world.reference.feeders_of(component)]
    return min([plant.external_id, *feeders])


def _events(world: World) -> pl.DataFrame:
    calendar = world.calendar
    end = float(calendar.bounds[calendar.closed])
    rows = []
    for event in world.events:
        hours = [event.hours_in(calendar, d) for d in range(calendar.closed)]

        def lost(rates: Any, hours: list[float] = hours, first: int = event.first_day) -> float | None:
            return (
                float(sum(r * hours[first + i] / 24.0 for i, r in enumerate(rates) if first + i < len(hours)))
                if len(rates)
                else None
            )

        rows.append(
            {
                "number": event.number,
                "facility_id": event.facility_id,
                "object_code": event.object_code,
                "target": event.target,
                "element": event.oil_element,
                "gas_element": event.gas_element,
                "started_at_utc": calendar.instant(event.start),
                "ended_at_utc": None if event.end > end else calendar.instant(event.end),
                "hours": sum(hours),
                "reason_code": event.reason,
                "equipment": event.equipment or None,
                "deferment_type": event.deferment_type,
                "parent": event.parent,
                "entry": event.entry,
                "oil_loss_bbl": lost(event.oil),
                "gas_loss_scf": lost(event.gas),
            }
        )
    schema: dict[str, Any] = dict.fromkeys(rows[0] if rows else [], pl.String)
    schema |= {"number": pl.Int64, "parent": pl.Int64, "hours": pl.Float64, "oil_loss_bbl": pl.Float64}
    schema |= {"gas_loss_scf": pl.Float64, "started_at_utc": UTC_TIME, "ended_at_utc": UTC_TIME}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _gas_balance(world: World) -> pl.DataFrame:
    closed, balance, frames = world.calendar.closed, world.balance, []
    for p, plant in enumerate(world.reference.plants):
        feeders = world.reference.feeders_of(plant.facility_id)
        machines = world.reference.compressors_of(plant.facility_id)
        sold = balance.sales[p].sum(axis=0)
        processed = sold / plant.sales_yield
        direct = [i for i in feeders if world.reference.stations[i].gas_to == plant.facility_id]
        received = balance.station_sent[direct].sum(axis=0) + balance.compressor_out[machines].sum(axis=0)
        columns = {
            "produced": balance.gas_produced[feeders].sum(axis=0),
            "station_fuel": balance.station_fuel[feeders].sum(axis=0),
            "station_flare": balance.station_flare[feeders].sum(axis=0),
            "compressor_flare": balance.compressor_flare[machines].sum(axis=0),
            "received": received,
            "external": balance.external[p],
            "sales": sold,
            "shrinkage": processed * plant.shrinkage_fraction,
            "plant_fuel": processed * plant.fuel_fraction,
            "plant_flare": balance.plant_flare[p],
        }
        keys = {"plant_id": [plant.facility_id] * closed, "production_date": list(world.calendar.labels[:closed])}
        frames.append(pl.DataFrame({**keys, **{name: values[:closed] for name, values in columns.items()}}))
    return pl.concat(frames)


def _streams(world: World) -> pl.DataFrame:
    closed = world.calendar.closed
    labels = list(world.calendar.labels[:closed])
    return pl.concat(
        pl.DataFrame(
            {
                "stream_ec_code": [s.code] * closed,
                "facility_id": [s.facility_id] * closed,
                "network": [s.network] * closed,
                "role": [s.role] * closed,
                "production_date": labels,
                "true_volume": s.true[:closed],
                "metered_volume": s.metered[:closed],
            }
        )
        for s in world.streams
    )


def _dicts(rows: list[dict[str, Any]], texts: list[str], numbers: list[str], *, seen: bool = True) -> pl.DataFrame:
    schema: dict[str, Any] = dict.fromkeys(texts, pl.String) | {"production_date": pl.Date}
    schema |= dict.fromkeys(numbers, pl.Float64) | ({"visible_from_utc": UTC_TIME} if seen else {})
    return pl.DataFrame(rows, schema=schema, orient="row")


def _biases(world: World) -> pl.DataFrame:
    labels = world.calendar.labels
    rows = [(b.meter, b.facility_id, labels[b.first_day], labels[b.last_day], b.factor) for b in world.biases]
    schema: dict[str, Any] = {"meter": pl.String, "facility_id": pl.String}
    schema |= {"first_date": pl.Date, "last_date": pl.Date, "factor": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _wells(world: World) -> pl.DataFrame:
    closed = world.calendar.closed
    columns: defaultdict[str, list[Any]] = defaultdict(list)
    for station, wells in zip(world.reference.stations, world.wells, strict=True):
        for row, code in enumerate(wells.codes):
            columns["well_ec_code"] += [code] * closed
            columns["facility_id"] += [station.facility_id] * closed
            columns["production_date"] += list(world.calendar.labels[:closed])
            columns["on_stream_hours"] += wells.hours[row, :closed].tolist()
            columns["oil_bbl"] += wells.oil[row, :closed].tolist()
    return pl.DataFrame(columns)


def _terminals(world: World) -> pl.DataFrame:
    closed, frames = world.calendar.closed, []
    for h in world.terminals:
        use = h.terminal.own_use * world.calendar.hours[:closed] / 24.0
        frames.append(
            pl.DataFrame(
                {
                    "facility_id": [h.terminal.facility_id] * closed,
                    "production_date": list(world.calendar.labels[:closed]),
                    "opening_bbl": h.opening[:closed],
                    "receipts_bbl": h.receipts[:closed],
                    "lifted_bbl": h.lifted[:closed],
                    "own_use_bbl": use,
                    "closing_bbl": h.closing[:closed],
                }
            )
        )
    return pl.concat(frames)


def _cargoes(world: World) -> pl.DataFrame:
    rows = [
        (
            c.cargo_id,
            c.terminal_id,
            c.parcel,
            c.laycan_start,
            c.laycan_end,
            c.status,
            c.lifted,
            None if c.lifted_day is None else world.calendar.labels[c.lifted_day],
            c.slip_days,
        )
        for h in world.terminals
        for c in h.cargoes
    ]
    schema: dict[str, Any] = {"cargo_id": pl.String, "terminal_id": pl.String, "parcel_bbl": pl.Float64}
    schema |= {"laycan_start": pl.Date, "laycan_end": pl.Date, "status": pl.String, "lifted_bbl": pl.Float64}
    schema |= {"lifted_date": pl.Date, "slip_days": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")
