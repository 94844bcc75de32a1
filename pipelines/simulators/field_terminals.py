"""Tanks, liftings and cargoes of the terminals, built backward from the stock at the end of the last closed day.

stock(t) = stock(t−1) + receipts − lifted − own use, in bbl, within dead stock and safe fill. A cargo slips when it loads
after its laycan; the laycan is where the programme had it, so a slip never breaks the balance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from pipelines.simulators.field_calendar import Calendar, Floats
from pipelines.simulators.field_oil import random
from pipelines.simulators.field_reference import Reference, Terminal

LAYCAN_DAYS = 3
# Part of the safe fill that counts as full, and the part at which a cargo is called forward.
FULL, HIGH = 0.9995, 0.9
FUTURE_CARGOES = 6
LOADING_STARTS_HOUR, LOADING_ENDS_HOUR = 3.0, 21.0


@dataclass(frozen=True, kw_only=True)
class Cargo:
    """A cargo, lifted or to come; `slip_days` counts from the end of its laycan, 0 when it kept it."""

    cargo_id: str
    terminal_id: str
    parcel: float
    laycan_start: date
    laycan_end: date
    status: str
    lifted: float | None
    lifted_at: datetime | None
    lifted_day: int | None
    slip_days: int


@dataclass(frozen=True)
class TerminalHistory:
    """One terminal: opening and closing stock, receipts and liftings [day] in bbl, and its cargoes."""

    terminal: Terminal
    opening: Floats
    closing: Floats
    receipts: Floats
    lifted: Floats
    cargoes: list[Cargo]


def terminal_history(
    reference: Reference, calendar: Calendar, seed: int, terminal: Terminal, oil: Floats, full_day: int | None = None
) -> TerminalHistory:
    """Stocks and cargoes of a terminal from the oil volumes [station, day] of all stations; full at the end of `full_day`."""
    rng = random(seed, f"terminal {terminal.facility_id}")
    receipts = oil[reference.stations_of(terminal.facility_id)].sum(axis=0)
    days, last = calendar.closed + 1, calendar.closed - 1
    gained = receipts - terminal.own_use * calendar.hours / 24.0
    closing, opening, lifted = np.zeros(days), np.zeros(days), np.zeros(days)
    stock, end = terminal.closing_stock, last
    if full_day is not None:
        stock, end = FULL * terminal.safe_fill, full_day
        lifted[full_day + 1 : days - 1] = _liftings_from_full(terminal, gained[full_day + 1 : days - 1], stock)
    room = terminal.closing_stock - terminal.parcel - terminal.dead_stock
    # A cargo loads when the stock before it would fall below a mark: drawn anew for each, always above dead stock.
    marks = terminal.dead_stock + room * rng.uniform(0.55, 0.9, days)
    mark = 0
    for day in range(end, -1, -1):
        closing[day] = stock
        stock -= gained[day]
        if stock < marks[mark]:
            lifted[day] = terminal.parcel
            stock += terminal.parcel
            mark += 1
        opening[day] = stock
    for day in range(end + 1, days):
        opening[day] = closing[day - 1]
        closing[day] = opening[day] + gained[day] - lifted[day]
    if end < last:
        # Rounding of the sums, some billionths of a barrel.
        opening[days - 1] = closing[last] = terminal.closing_stock
    cargoes = _cargoes(reference, calendar, rng, terminal, lifted, receipts, full_day)
    return TerminalHistory(terminal, opening, closing, receipts, lifted, cargoes)


def _liftings_from_full(terminal: Terminal, gained: Floats, stock: float) -> Floats:
    """Liftings of the days after full tanks: equal parcels that lead to the closing stock, each when the tanks near it."""
    surplus = stock + float(gained.sum()) - terminal.closing_stock
    count = max(1, round(surplus / terminal.parcel))
    parcel, lifted = surplus / count, np.zeros(len(gained))
    high = max(HIGH * terminal.safe_fill, 1.02 * terminal.closing_stock)
    for day, gain in enumerate(gained):
        stock += float(gain)
        if stock > high:
            lifted[day] = parcel
            stock -= parcel
    return lifted


def _cargoes(
    reference: Reference,
    calendar: Calendar,
    rng: np.random.Generator,
    terminal: Terminal,
    lifted: Floats,
    receipts: Floats,
    full_day: int | None,
) -> list[Cargo]:
    loaded = np.flatnonzero(lifted)
    # A quota, not a chance for each: the share of slips holds for short histories too.
    slipped = set(
        rng.permutation(len(loaded))[: round(float(reference.field["rates"]["slip_share"]) * len(loaded))].tolist()
    )
    late = next((place for place, day in enumerate(loaded) if full_day is not None and day > full_day), None)
    if late is not None and slipped and late not in slipped:
        slipped.remove(min(slipped))
        slipped.add(late)
    every = max(1, round(terminal.parcel / float(receipts[: calendar.closed].mean())))
    plan: list[tuple[date, int | None, int]] = []
    for place, day in enumerate(loaded):
        label = calendar.labels[day]
        if place in slipped:
            slip = int(rng.integers(1, 6))
            plan.append((label - timedelta(days=slip + LAYCAN_DAYS - 1), int(day), slip))
        else:
            plan.append((label - timedelta(days=int(rng.integers(0, LAYCAN_DAYS))), int(day), 0))
    first = calendar.labels[calendar.closed - 1] + timedelta(days=terminal.next_laycan_in_days)
    plan += [(first + timedelta(days=every * n), None, 0) for n in range(FUTURE_CARGOES)]
    cargoes: list[Cargo] = []
    count: dict[int, int] = {}
    for start, loaded_on, slip in plan:
        year = start.year
        count.setdefault(year, start.timetuple().tm_yday // every if not cargoes else 0)
        count[year] += 1
        upcoming = loaded_on is None and not any(c.status == "nominated" for c in cargoes)
        cargoes.append(
            Cargo(
                cargo_id=f"{terminal.cargo_prefix}-{year}-{count[year]:03d}",
                terminal_id=terminal.facility_id,
                parcel=terminal.parcel,
                laycan_start=start,
                laycan_end=start + timedelta(days=LAYCAN_DAYS - 1),
                status="lifted" if loaded_on is not None else "nominated" if upcoming else "planned",
                lifted=None if loaded_on is None else float(lifted[loaded_on]),
                lifted_at=None
                if loaded_on is None
                else calendar.local(float(calendar.bounds[loaded_on]) + LOADING_ENDS_HOUR),
                lifted_day=loaded_on,
                slip_days=slip,
            )
        )
    return cargoes


def hourly_stock(history: TerminalHistory, calendar: Calendar, hours: Floats) -> Floats:
    """Stock at instants (hours since the origin): receipts spread evenly over a day, a cargo over its loading hours."""
    day = np.clip(np.searchsorted(calendar.bounds, hours, side="right") - 1, 0, calendar.closed)
    into = hours - calendar.bounds[day]
    use = history.terminal.own_use * calendar.hours / 24.0
    arrived = (history.receipts - use)[day] * into / calendar.hours[day]
    loading = np.clip((into - LOADING_STARTS_HOUR) / (LOADING_ENDS_HOUR - LOADING_STARTS_HOUR), 0.0, 1.0)
    stock: Floats = history.opening[day] + arrived - history.lifted[day] * loading
    return stock
