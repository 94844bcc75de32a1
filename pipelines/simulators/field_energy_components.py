"""What the field enters in Energy Components: one Parquet file a view, under the site's names of views and columns.

Late rows and corrections carry VISIBLE_FROM; rows that a site would have to reject stand among them on purpose.
Volumes and rates in base units; DAYTIME and END_DATE of events and BL_DATE are facility-local without zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.simulators.field_calendar import Calendar, record_status
from pipelines.simulators.field_event import OPEN, Event
from pipelines.simulators.field_oil import random
from pipelines.simulators.field_tank_top import TANK_TOP
from pipelines.simulators.field_world import World

STREAMS, WELLS, POTENTIALS = "DV_STRM_DAY_STREAM", "DV_PWEL_DAY_STATUS", "ZV_FCTY_DAY_POTENTIAL"
EVENTS, EVENT_DAYS, TANKS = "DV_DEFERMENT_EVENT", "WELL_DAY_DEFER_ALLOC", "DV_TANK_DAY_INV_OIL"
CARGOES, CAPACITIES = "DV_STORAGE_LIFT_NOMINATION", "ZV_FCTY_CAPACITY"

UNKNOWN_STREAM = "ZZ_TEST_METER_01"
DAYS_PER_REJECT = 37
EMPTY_ROW_SHARE = 0.005
CORRECTED_WITHIN_DAYS = 44.0
WATER_IN_TANKS = 0.0005
CAPACITY_FROM = date(2020, 1, 1)

UTC_TIME = pl.Datetime("us", "UTC")
LOCAL_TIME = pl.Datetime("us")
TYPES: dict[str, Any] = {
    "DAYTIME": pl.Date,
    "NET_VOL": pl.Float64,
    "REV_NO": pl.Int32,
    "LAST_UPDATED_UTC": UTC_TIME,
    "VISIBLE_FROM": UTC_TIME,
}
VIEWS_TOML = f"""\
[{STREAMS}]
key = ["OBJECT_CODE", "DAYTIME"]
day_column = "DAYTIME"

[{WELLS}]
key = ["OBJECT_CODE", "DAYTIME"]
day_column = "DAYTIME"

[{POTENTIALS}]
key = ["OBJECT_CODE", "ZV_NETWORK", "DAYTIME"]
day_column = "DAYTIME"

[{EVENTS}]
key = ["EVENT_NO"]
day_column = "DAYTIME"
end_column = "END_DATE"

[{EVENT_DAYS}]
key = ["EVENT_NO", "OBJECT_CODE", "DAYTIME"]
day_column = "DAYTIME"

[{TANKS}]
key = ["OBJECT_CODE", "DAYTIME"]
day_column = "DAYTIME"

[{CARGOES}]
key = ["PARCEL_NO"]

[{CAPACITIES}]
key = ["OBJECT_CODE", "ZV_NETWORK", "VALID_FROM"]
"""


@dataclass(frozen=True)
class Entered:
    """What was injected on top of the measured values: corrections and rows to be rejected, for the truth."""

    corrections: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    late: list[dict[str, Any]]


def write_energy_components(world: World, folder: Path) -> Entered:
    """Write every view and `views.toml` into `folder`; returns what was injected."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "views.toml").write_text(VIEWS_TOML, encoding="utf-8")
    streams, entered = _streams(world)
    views = {
        STREAMS: streams,
        WELLS: _wells(world),
        POTENTIALS: _potentials(world),
        EVENTS: _events(world),
        EVENT_DAYS: _event_days(world),
        TANKS: _tanks(world),
        CARGOES: _cargoes(world),
        CAPACITIES: _capacities(world),
    }
    for name, frame in views.items():
        frame.write_parquet(folder / f"{name}.parquet", compression="zstd")
    return entered


def _updated(calendar: Calendar, day: int, hours: float = 3.5) -> datetime:
    return calendar.instant(float(calendar.bounds[day + 1]) + hours)


def _statuses(calendar: Calendar) -> list[str]:
    last = calendar.labels[calendar.closed - 1]
    return [record_status(label, last) for label in calendar.labels]


def _streams(world: World) -> tuple[pl.DataFrame, Entered]:
    calendar, rng = world.calendar, random(world.seed, "corrections")
    statuses, entered = _statuses(calendar), Entered([], [], [])
    share = float(world.reference.field["rates"]["correction_share"])
    late = {r["stream"]: float(r["hours_after_now"]) for r in world.reference.field["last_day"].get("late_rows", [])}
    rows: list[tuple[Any, ...]] = []
    last = calendar.closed - 1
    updated = [_updated(calendar, day) for day in range(calendar.closed + 1)]
    for stream in world.streams:
        values = stream.metered.tolist()
        days = calendar.closed + 1
        corrected = set()
        if stream.role == "production":
            # A quota, so that the share holds for every stream and length of history.
            corrected = set(rng.permutation(max(0, last))[: round(share * calendar.closed)].tolist())
        empty = rng.random(days) < (EMPTY_ROW_SHARE if stream.code.endswith("_TRK") else 0.0)
        empty[last] = False
        negative = set(range(11, last, DAYS_PER_REJECT * 3)) if stream.code.endswith("_TRK") else set()
        for day in range(calendar.closed):
            label, value, visible = calendar.labels[day], values[day], None
            if day == last and stream.code in late:
                visible = calendar.now + timedelta(hours=late[stream.code])
                entered.late.append(
                    {"stream_ec_code": stream.code, "production_date": label, "visible_from_utc": visible}
                )
            if day in corrected and value > 0.0:
                first = round(value * (1.0 + float(rng.uniform(0.012, 0.06)) * float(rng.choice([-1.0, 1.0]))), 1)
                seen = updated[day] + timedelta(hours=round(float(rng.uniform(30.0, 24.0 * CORRECTED_WITHIN_DAYS))))
                rows.append((stream.code, label, first, statuses[day], 1, updated[day], None))
                rows.append((stream.code, label, value, statuses[day], 2, seen, seen))
                entered.corrections.append(
                    {
                        "stream_ec_code": stream.code,
                        "facility_id": stream.facility_id,
                        "network": stream.network,
                        "production_date": label,
                        "first_volume": first,
                        "corrected_volume": value,
                        "visible_from_utc": seen,
                    }
                )
                continue
            if day in negative:
                value = -value - 1.0
                entered.rejected.append(_rejected(STREAMS, stream.code, label, "negative volume"))
            rows.append((stream.code, label, None if empty[day] else value, statuses[day], 1, updated[day], visible))
        rows.append((stream.code, calendar.labels[-1], None, "P", 0, updated[last], None))
    for day in [*range(5, last, DAYS_PER_REJECT), last - 1]:
        if day >= 0:
            rows.append((UNKNOWN_STREAM, calendar.labels[day], 123.4, statuses[day], 1, updated[day], None))
            entered.rejected.append(_rejected(STREAMS, UNKNOWN_STREAM, calendar.labels[day], "unknown stream"))
    names = ["OBJECT_CODE", "DAYTIME", "NET_VOL", "RECORD_STATUS", "REV_NO", "LAST_UPDATED_UTC", "VISIBLE_FROM"]
    return _frame(rows, names).sort("DAYTIME", "OBJECT_CODE", "REV_NO"), entered


def _rejected(view: str, key: str, label: date, rule: str) -> dict[str, Any]:
    return {"view": view, "row_key": key, "production_date": label, "rule": rule}


def _frame(rows: Sequence[tuple[Any, ...]], names: list[str], **types: Any) -> pl.DataFrame:
    schema = {name: {**TYPES, **types}.get(name, pl.String) for name in names}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _wells(world: World) -> pl.DataFrame:
    calendar = world.calendar
    closed = calendar.closed
    statuses, updated = _statuses(calendar)[:closed], [_updated(calendar, d) for d in range(closed)]
    frames = []
    for station in world.wells:
        for row, code in enumerate(station.codes):
            frames.append(
                pl.DataFrame(
                    {
                        "OBJECT_CODE": [code] * closed,
                        "DAYTIME": list(calendar.labels[:closed]),
                        "ON_STREAM_HRS": np.round(station.hours[row, :closed], 3),
                        "ALLOC_OIL_VOL": np.round(station.oil[row, :closed], 1),
                        "ALLOC_GAS_VOL": np.round(station.gas[row, :closed], 0),
                        "ALLOC_WATER_VOL": np.round(station.water[row, :closed], 1),
                        "ALLOC_INJ_VOL": pl.Series([None] * closed, dtype=pl.Float64),
                        "FLOW_KIND": ["production"] * closed,
                        "RECORD_STATUS": statuses,
                        "LAST_UPDATED_UTC": pl.Series(updated, dtype=UTC_TIME),
                    }
                )
            )
    return pl.concat(frames).sort("DAYTIME", "OBJECT_CODE")


def _potentials(world: World) -> pl.DataFrame:
    calendar, rows = world.calendar, []
    series = [(s.ec_code, "oil", world.potentials[i]) for i, s in enumerate(world.reference.stations)]
    for plant, rates in zip(world.reference.plants, world.plant_potentials, strict=True):
        series += [(plant.ec_code, "domesticGas", rates[0]), (plant.ec_code, "exportGas", rates[1])]
    for code, network, rates in series:
        values = rates.tolist()
        rows += [
            (code, network, calendar.labels[d], values[d], _updated(calendar, d, 3.0)) for d in range(calendar.closed)
        ]
    names = ["OBJECT_CODE", "ZV_NETWORK", "DAYTIME", "ZV_POTENTIAL_RATE", "LAST_UPDATED_UTC"]
    return _frame(rows, names, ZV_POTENTIAL_RATE=pl.Float64).sort("DAYTIME", "OBJECT_CODE", "ZV_NETWORK")


def _event_row(world: World, event: Event) -> tuple[Any, ...]:
    calendar = world.calendar
    is_rate = event.entry == "rate"
    oil, gas = event.entered_oil, event.entered_gas
    ended = None if event.end == OPEN else calendar.local(event.end)
    last_change = min(event.end, float(calendar.bounds[calendar.closed])) + 2.0
    return (
        event.number,
        event.object_code,
        event.object_type,
        event.parent,
        event.deferment_type,
        event.event_type,
        calendar.local(event.start),
        ended,
        world.reference.reasons[event.reason]["ec_code"],
        event.reason == "PLT.SHUTDOWN" or event.reason == "WEL.INTERVENTION",
        event.title,
        event.equipment or None,
        oil if is_rate else None,
        None if is_rate else oil,
        gas if is_rate else None,
        None if is_rate else gas,
        None,
        None,
        event.revision,
        calendar.instant(last_change),
    )


def _events(world: World) -> pl.DataFrame:
    names = ["EVENT_NO", "OBJECT_CODE", "OBJECT_TYPE", "PARENT_EVENT_NO", "DEFERMENT_TYPE", "EVENT_TYPE", "DAYTIME"]
    names += [
        "END_DATE",
        "REASON_CODE_1",
        "SCHEDULED",
        "COMMENTS",
        "EQUIPMENT_CODE",
        "OIL_LOSS_RATE",
        "OIL_LOSS_VOLUME",
    ]
    names += ["GAS_LOSS_RATE", "GAS_LOSS_VOLUME", "ZV_OIL_REMAINING_RATE", "ZV_GAS_REMAINING_RATE", "REV_NO"]
    names += ["LAST_UPDATED_UTC"]
    numbers = dict.fromkeys((n for n in names if n.endswith(("_RATE", "_VOLUME"))), pl.Float64)
    types: dict[str, Any] = {**numbers, "EVENT_NO": pl.Int64, "PARENT_EVENT_NO": pl.Int64, "SCHEDULED": pl.Boolean}
    types |= {"DAYTIME": LOCAL_TIME, "END_DATE": LOCAL_TIME}
    return _frame([_event_row(world, e) for e in world.events if e.deferment_type != TANK_TOP], names, **types)


def _event_days(world: World) -> pl.DataFrame:
    calendar, rows = world.calendar, []
    for event in (e for e in world.events if e.deferment_type != TANK_TOP):
        for place in range(max(event.entered_oil_days.size, event.entered_gas_days.size)):
            day = event.first_day + place
            if day >= calendar.closed:
                continue
            oil = float(event.entered_oil_days[place]) if event.entered_oil_days.size else None
            gas = float(event.entered_gas_days[place]) if event.entered_gas_days.size else None
            rows.append((event.number, event.object_code, calendar.labels[day], oil, gas, _updated(calendar, day, 3.0)))
    names = ["EVENT_NO", "OBJECT_CODE", "DAYTIME", "DEFERRED_OIL_VOL", "DEFERRED_GAS_VOL", "LAST_UPDATED_UTC"]
    types: dict[str, Any] = {"EVENT_NO": pl.Int64, "DEFERRED_OIL_VOL": pl.Float64, "DEFERRED_GAS_VOL": pl.Float64}
    return _frame(rows, names, **types)


def _tanks(world: World) -> pl.DataFrame:
    calendar, rows = world.calendar, []
    for history in world.terminals:
        for day in range(calendar.closed):
            closing = round(float(history.closing[day]), 1)
            water = round(closing * WATER_IN_TANKS, 1)
            code = history.terminal.storage_code
            rows.append((code, calendar.labels[day], closing, water, _updated(calendar, day, 2.0)))
    names = ["OBJECT_CODE", "DAYTIME", "GRS_VOL", "WATER_VOL", "LAST_UPDATED_UTC"]
    return _frame(rows, names, GRS_VOL=pl.Float64, WATER_VOL=pl.Float64)


def _cargoes(world: World) -> pl.DataFrame:
    calendar, rows = world.calendar, []
    for history in world.terminals:
        for cargo in history.cargoes:
            changed = calendar.closed - 1 if cargo.lifted_day is None else cargo.lifted_day
            rows.append(
                (
                    cargo.cargo_id,
                    f"MT {cargo.cargo_id}",
                    history.terminal.storage_code,
                    cargo.status,
                    cargo.laycan_start,
                    cargo.laycan_end,
                    cargo.parcel,
                    cargo.lifted,
                    cargo.lifted_at,
                    _updated(calendar, changed, 2.0),
                )
            )
    names = ["PARCEL_NO", "CARGO_NAME", "OBJECT_CODE", "CARGO_STATUS", "ZV_LAYCAN_START", "ZV_LAYCAN_END"]
    names += ["GRS_VOL_NOMINATED", "ZV_GRS_VOL_LIFTED", "BL_DATE", "LAST_UPDATED_UTC"]
    types: dict[str, Any] = {"ZV_LAYCAN_START": pl.Date, "ZV_LAYCAN_END": pl.Date, "BL_DATE": LOCAL_TIME}
    types |= {"GRS_VOL_NOMINATED": pl.Float64, "ZV_GRS_VOL_LIFTED": pl.Float64}
    return _frame(rows, names, **types)


def _capacities(world: World) -> pl.DataFrame:
    rows = []
    changed = datetime(CAPACITY_FROM.year, CAPACITY_FROM.month, CAPACITY_FROM.day)
    for facility in world.reference.facilities:
        state = world.reference.field["facilities"][facility["facility_id"]]
        capacities = {n: v["capacity"] for n, v in state.get("networks", {}).items()}
        capacities["flaredGas"] = state["flare_capacity"]
        rows += [
            (facility["ec_code"], network, CAPACITY_FROM, None, float(value), changed)
            for network, value in capacities.items()
        ]
    names = ["OBJECT_CODE", "ZV_NETWORK", "VALID_FROM", "VALID_TO", "ZV_CAPACITY_RATE", "LAST_UPDATED_UTC"]
    types: dict[str, Any] = {"VALID_FROM": pl.Date, "VALID_TO": pl.Date, "ZV_CAPACITY_RATE": pl.Float64}
    types["LAST_UPDATED_UTC"] = LOCAL_TIME
    return _frame(rows, names, **types).with_columns(pl.col("LAST_UPDATED_UTC").dt.replace_time_zone("UTC"))
