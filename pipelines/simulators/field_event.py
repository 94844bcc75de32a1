"""One deferment event as the field knows it, and how its loss is entered in Energy Components.

The loss rates are those that follow from the entry, rounded as it is entered, so that entry and effect never differ:
daily split ÷ hours in the day; volume ÷ hours of the event; rate; nothing entered = the whole undisturbed flow.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.simulators.field_calendar import Calendar, Floats

OIL_ROUNDING = 0
GAS_ROUNDING = -3
OPEN = float("inf")


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of one facility. Loss arrays hold rates per 24 h for the days `first_day` … ; empty = phase untouched."""

    facility_id: str
    object_code: str
    object_type: str
    target: str
    start: float
    end: float
    reason: str
    title: str
    event_type: str
    oil_element: str | None = None
    gas_element: str | None = None
    equipment: str = ""
    well: str = ""
    entry: str = "rate"
    deferment_type: str = "SINGLE"
    parent: int | None = None
    key: int = 0
    number: int = 0
    revision: int = 1
    gas_entered: bool = True
    first_day: int = 0
    oil: Floats = field(default_factory=lambda: np.zeros(0))
    gas: Floats = field(default_factory=lambda: np.zeros(0))
    entered_oil: float | None = None
    entered_gas: float | None = None
    entered_oil_days: Floats = field(default_factory=lambda: np.zeros(0))
    entered_gas_days: Floats = field(default_factory=lambda: np.zeros(0))

    def hours_in(self, calendar: Calendar, day: int) -> float:
        """Hours of the event within a day."""
        low, high = calendar.bounds[day], calendar.bounds[day + 1]
        return max(0.0, min(self.end, float(high)) - max(self.start, float(low)))


def booked(event: Event, calendar: Calendar, oil: Floats | None, gas: Floats | None) -> Event:
    """The event with its loss as entered. `oil`, `gas` are the wanted loss rates [day] over all days, or None.

    An open event is entered over its hours up to the end of the last closed day.
    """
    first = calendar.day_of(event.start)
    end = float(min(event.end, calendar.bounds[-1]))
    last = max(first, calendar.day_of(end - 1e-6))
    days = np.arange(first, last + 1)
    event = replace(event, first_day=first)
    entered_end = min(event.end, float(calendar.bounds[calendar.closed]))
    hours = np.array(
        [max(0.0, min(entered_end, calendar.bounds[d + 1]) - max(event.start, calendar.bounds[d])) for d in days]
    )
    oil_rates, oil_total, oil_days = _entered(event.entry, None if oil is None else oil[days], hours, OIL_ROUNDING)
    gas_rates, gas_total, gas_days = _entered(event.entry, None if gas is None else gas[days], hours, GAS_ROUNDING)
    return replace(
        event,
        oil=oil_rates,
        gas=gas_rates,
        entered_oil=oil_total,
        entered_gas=gas_total if event.gas_entered else None,
        entered_oil_days=oil_days,
        entered_gas_days=gas_days if event.gas_entered else np.zeros(0),
    )


def _entered(entry: str, wanted: Floats | None, hours: Floats, digits: int) -> tuple[Floats, float | None, Floats]:
    """Loss rate per day, the entered rate or volume, and the daily split, of one phase."""
    nothing = np.zeros(0)
    if wanted is None:
        return nothing, None, nothing
    if entry == "none":
        return wanted, None, nothing
    if entry == "rate":
        rate = round(float(wanted[0]), digits)
        return np.full(len(wanted), rate), rate, nothing
    volumes = wanted * hours / 24.0
    if entry == "volume":
        volume = round(float(volumes.sum()), digits)
        return np.full(len(wanted), volume / float(hours.sum()) * 24.0), volume, nothing
    split = np.round(volumes, digits)
    covered = hours > 0.0
    rates = np.divide(split, hours, out=np.zeros(len(split)), where=covered) * 24.0
    # The running day has no split yet: the loss goes on as on the day before.
    for i in np.flatnonzero(~covered):
        rates[i] = rates[i - 1] if i else wanted[i]
    return rates, round(float(split.sum()), digits), split
