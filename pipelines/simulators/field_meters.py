"""Meters: the true volume of every stream and what its meter says, biased episodes included.

Volumes of the day in bbl and scf. The last closed day is read without scatter; biases never touch a meter on the
counting cut, so that the production of a facility stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.simulators.field_balance import Balance
from pipelines.simulators.field_calendar import Calendar, Floats
from pipelines.simulators.field_oil import random
from pipelines.simulators.field_reference import Reference
from pipelines.simulators.field_terminals import TerminalHistory

# Scatter of a day's reading around the truth; cut off so that a production reading stays within half a percent.
SCATTER = {"production": 0.0015, "throughput": 0.003, "flare": 0.01, "receipt": 0.0015, "export": 0.0015}
CUT_OFF = 2.5
BIAS = 0.05
DAYS_PER_BIAS = 28
BIASED = ("_OIL_SEP", "_OIL_TRK")


@dataclass(frozen=True)
class MeterBias:
    """A meter that reads `factor` too much (0.05 = 5 %) from `first_day` to `last_day` (indices, both included)."""

    meter: str
    facility_id: str
    first_day: int
    last_day: int
    factor: float


@dataclass(frozen=True)
class StreamDay:
    """One stream over all days: its true volume and its meter's."""

    code: str
    facility_id: str
    network: str
    role: str
    true: Floats
    metered: Floats


def meter_biases(reference: Reference, calendar: Calendar, seed: int) -> list[MeterBias]:
    """Episodes of 8–16 days, one at a time, each on another station's separator or trunk-inlet meter, until some days ago."""
    rng = random(seed, "meter bias")
    found: list[MeterBias] = []
    previous = -1
    for first in range(10, calendar.closed - 20, DAYS_PER_BIAS):
        station = int(rng.integers(len(reference.stations)))
        if station == previous:
            station = (station + 1) % len(reference.stations)
        previous = station
        owner = reference.stations[station]
        start = first + int(rng.integers(0, 8))
        found.append(
            MeterBias(
                meter=owner.ec_code + BIASED[int(rng.integers(len(BIASED)))],
                facility_id=owner.facility_id,
                first_day=start,
                last_day=min(start + int(rng.integers(8, 17)), calendar.closed - 4),
                factor=BIAS * float(rng.choice([-1.0, 1.0])),
            )
        )
    return found


def bias_factor(biases: list[MeterBias], meter: str, days: int) -> Floats:
    """What a meter multiplies the truth by [day], without its scatter."""
    factor = np.ones(days)
    for bias in biases:
        if bias.meter == meter:
            factor[bias.first_day : bias.last_day + 1] += bias.factor
    return factor


def stream_days(
    reference: Reference,
    calendar: Calendar,
    seed: int,
    balance: Balance,
    terminals: list[TerminalHistory],
    biases: list[MeterBias],
) -> list[StreamDay]:
    """Every stream of `streams.csv`, in its order."""
    days, last = calendar.closed + 1, calendar.closed - 1
    found = []
    for row in reference.streams:
        code, role = row["stream_ec_code"], row["role"]
        true = _true(reference, calendar, balance, terminals, row["facility_id"], row["network"], role)
        rng = random(seed, f"meter {code}")
        scatter = SCATTER[role] * np.clip(rng.normal(0.0, 1.0, days), -CUT_OFF, CUT_OFF)
        scatter[last] = 0.0
        metered = true * (1.0 + scatter) * bias_factor(biases, code, days)
        metered = np.round(metered, 1 if row["network"] == "oil" else 0)
        found.append(StreamDay(code, row["facility_id"], row["network"], role, true, metered))
    return found


def _true(
    reference: Reference,
    calendar: Calendar,
    balance: Balance,
    terminals: list[TerminalHistory],
    facility_id: str,
    network: str,
    role: str,
) -> Floats:
    part = calendar.hours / 24.0
    for i, station in enumerate(reference.stations):
        if station.facility_id == facility_id:
            return _row(balance.station_flare if role == "flare" else balance.oil, i)
    for i, machine in enumerate(reference.compressors):
        if machine.facility_id == facility_id:
            if role == "flare":
                return _row(balance.compressor_flare, i) + machine.pilot * part
            return _row(balance.compressor_out, i) * _outlet_share(reference, balance, machine.plant_id, network)
    for i, plant in enumerate(reference.plants):
        if plant.facility_id == facility_id:
            if role == "flare":
                return _row(balance.plant_flare, i) + plant.pilot * part
            return _row(balance.sales[i], 0 if network == "domesticGas" else 1)
    history = next(t for t in terminals if t.terminal.facility_id == facility_id)
    if role == "flare":
        return history.terminal.flare * part
    return history.receipts if role == "receipt" else history.lifted


def _row(values: Floats, index: int) -> Floats:
    row: Floats = values[index]
    return row


def _outlet_share(reference: Reference, balance: Balance, plant_id: str, network: str) -> Floats:
    """Part of a compressor's gas that is allocated to an outlet: that outlet's part of the plant's sales."""
    sales = balance.sales[next(i for i, p in enumerate(reference.plants) if p.facility_id == plant_id)]
    total = sales.sum(axis=0)
    share: Floats = np.divide(
        sales[0 if network == "domesticGas" else 1], total, out=np.full(len(total), 0.5), where=total > 0.0
    )
    return share
