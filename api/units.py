"""The one conversion table of the API: base units as stored, display units on request, and how numbers are rounded.

Numbers leave with 15 significant digits: what float64 holds for certain. That removes the noise of the last bit
(21700.000000000004) and moves no sum by more than 1e-14 of itself, so closure holds far within 1e-6.
"""

import math
from dataclasses import dataclass
from typing import Literal

Units = Literal["base", "display"]
Quantity = Literal["oilRate", "gasRate", "oilVolume", "gasVolume", "terminalVolume", "time"]

NETWORKS = ("oil", "domesticGas", "exportGas", "flaredGas")
PRODUCTION_NETWORKS = ("oil", "domesticGas", "exportGas")

# quantity: (base unit, display unit, factor from base to display)
TABLE: dict[Quantity, tuple[str, str, float]] = {
    "oilRate": ("bbl/d", "kbbl/d", 1e-3),
    "gasRate": ("scf/d", "MMscf/d", 1e-6),
    "oilVolume": ("bbl", "kbbl", 1e-3),
    "gasVolume": ("scf", "MMscf", 1e-6),
    "terminalVolume": ("bbl", "MMbbl", 1e-6),
    "time": ("d", "d", 1.0),
}


def rounded(value: float | None) -> float | None:
    """The number with 15 significant digits; null for null, and for what is no finite number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.15g}")


@dataclass(frozen=True)
class Converter:
    """Converts stored numbers to the units that were asked for."""

    units: Units

    def unit(self, quantity: Quantity) -> str:
        """Name of the unit, as `uom` says it."""
        base, display, _ = TABLE[quantity]
        return display if self.units == "display" else base

    def convert(self, value: float | None, quantity: Quantity) -> float | None:
        """The number in the unit asked for, rounded; null for null."""
        if value is not None and self.units == "display":
            value = value * TABLE[quantity][2]
        return rounded(value)

    def rate(self, value: float | None, network: str) -> float | None:
        """A rate per 24 h of a network."""
        return self.convert(value, "oilRate" if network == "oil" else "gasRate")

    def volume(self, value: float | None, network: str) -> float | None:
        """A volume of a network."""
        return self.convert(value, "oilVolume" if network == "oil" else "gasVolume")

    def terminal_volume(self, value: float | None) -> float | None:
        """A liquid volume in a terminal's tanks."""
        return self.convert(value, "terminalVolume")

    def terminal_rate(self, value: float | None) -> float | None:
        """A liquid rate at a terminal."""
        return self.convert(value, "oilRate")
