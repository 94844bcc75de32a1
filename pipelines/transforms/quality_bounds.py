"""What an instrument can possibly read: bounds by measurement and unit, beyond which a sample is a fault and not a value.

The bounds are physical or a transmitter's, not operational: a value inside them may still be wrong. A measurement or unit that
is not known here has none. Flows and stocks are bounded in base units by the domain model's ranges.
"""

import re
from dataclasses import dataclass

from pipelines.transforms.units import UnitError, UnitTable, phase_of
from warehouse.catalog.columns import MAX_GAS_RATE_SCFPD, MAX_OIL_RATE_BBLPD, MAX_TERMINAL_VOLUME_BBL

# Twenty thousand psi, the highest rating of wellhead and tree equipment in service; no line or vessel holds more.
MAX_PRESSURE_BAR = 1379.0
ATMOSPHERE_BAR = 1.01325
# From the coldest blow-down of a gas line to above any fired heater's process side.
TEMPERATURE_CELSIUS = (-50.0, 400.0)
# NAMUR NE 43: a transmitter's signal is a measurement from 3.8 to 20.5 mA, which is this share of its span; beyond, a failure.
SPAN_PERCENT = (-1.25, 103.125)
# Zero drift of a flow meter, as a share of the domain model's range: 150 bbl/d or 0.5 MMscf/d below zero is a meter at rest.
ZERO_DRIFT = 1e-4

_BAR = {"bar": 1.0, "mbar": 1e-3, "pa": 1e-5, "kpa": 1e-2, "mpa": 10.0, "psi": 0.0689475729, "kg/cm2": 0.980665}
_CELSIUS = re.compile(r"^(?:deg\.?|°)?c(?:elsius)?$")
_FAHRENHEIT = re.compile(r"^(?:deg\.?|°)?f(?:ahrenheit)?$")
_KELVIN = re.compile(r"^(?:deg\.?)?k(?:elvin)?$")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and the highest possible value in the tag's own unit, and why."""

    low: float
    high: float
    reason: str


def possible(measurement: str, unit: str | None, network: str | None, units: UnitTable) -> Bounds | None:
    """Bounds of a tag's samples, None where nothing is known to bound them.

    `…pressure`: from vacuum (0, or one atmosphere below 0 where the unit says gauge) to MAX_PRESSURE_BAR; `…temperature`:
    TEMPERATURE_CELSIUS; anything in percent: a transmitter's span; rates and stocks: the ranges at load, rates with ZERO_DRIFT.
    """
    text = (unit or "").strip().lower().replace(" ", "")
    if measurement.endswith("pressure"):
        return _pressure(text, unit)
    if measurement.endswith("temperature"):
        return _temperature(text, unit)
    if text in ("%", "percent", "pct"):
        low, high = SPAN_PERCENT
        return Bounds(low, high, f"outside a transmitter's span, {low:g} to {high:g} %")
    if measurement == "rate" or measurement.endswith("_rate"):
        return _rate(measurement, unit, network, units)
    if measurement in ("stock", "water_stock"):
        return _stock(unit, units)
    return None


def _pressure(text: str, unit: str | None) -> Bounds | None:
    bare, is_gauge = text.removesuffix("(g)").removesuffix("(a)"), text.endswith("(g)")
    if bare not in _BAR and bare[:-1] in _BAR and bare[-1:] in ("a", "g"):
        bare, is_gauge = bare[:-1], bare.endswith("g")
    if bare not in _BAR:
        return None
    factor = _BAR[bare]
    low = -ATMOSPHERE_BAR / factor if is_gauge else 0.0
    high = MAX_PRESSURE_BAR / factor
    return Bounds(low, high, f"no pressure: below vacuum or above equipment rating, {low:g} to {high:g} {unit}")


def _temperature(text: str, unit: str | None) -> Bounds | None:
    low, high = TEMPERATURE_CELSIUS
    if _FAHRENHEIT.match(text):
        low, high = low * 1.8 + 32.0, high * 1.8 + 32.0
    elif _KELVIN.match(text):
        low, high = low + 273.15, high + 273.15
    elif not _CELSIUS.match(text):
        return None
    return Bounds(low, high, f"no process temperature, {low:g} to {high:g} {unit}")


def _rate(measurement: str, unit: str | None, network: str | None, units: UnitTable) -> Bounds | None:
    is_gas = network is not None and phase_of(network) == "gas"
    is_gas = is_gas or (network is None and (measurement in ("gas_rate", "feed_rate", "flare_rate", "throughput_rate")))
    try:
        factor = units.factor(unit, "gas" if is_gas else "liquid", "rate")
    except UnitError:
        return None
    limit = (MAX_GAS_RATE_SCFPD if is_gas else MAX_OIL_RATE_BBLPD) / factor
    low = -ZERO_DRIFT * limit
    return Bounds(
        low, limit, f"no rate: below a meter's zero drift or above the range at load, {low:g} to {limit:g} {unit}"
    )


def _stock(unit: str | None, units: UnitTable) -> Bounds | None:
    try:
        factor = units.factor(unit, "liquid", "volume")
    except UnitError:
        return None
    limit = MAX_TERMINAL_VOLUME_BBL / factor
    return Bounds(-ZERO_DRIFT * limit, limit, f"no stock: outside the range at load, 0 to {limit:g} {unit}")
