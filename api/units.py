"""The one conversion table of the API: base units as stored, display units on request, and how numbers are rounded.

Numbers leave as computed, but for noise in the 17th significant digit (21700.000000000004): at most one unit in the last
place of float64, so that sums of a body close as they do in the release.
"""

import math
from dataclasses import dataclass
from typing import Literal

Units = Literal["base", "display"]
Quantity = Literal["oilRate", "gasRate", "oilVolume", "gasVolume", "terminalVolume", "time"]

NETWORKS = ("oil", "domesticGas", "exportGas", "flaredGas")
PRODUCTION_NETWORKS = ("oil", "domesticGas", "exportGas")

# quantity: (base unit, display unit, base units in one display unit). Dividing by a whole number rounds once: 21700 bbl is
# 21.7 kbbl, where a factor of 0.001 would give 21.700000000000003.
TABLE: dict[Quantity, tuple[str, str, float]] = {
    "oilRate": ("bbl/d", "kbbl/d", 1e3),
    "gasRate": ("scf/d", "MMscf/d", 1e6),
    "oilVolume": ("bbl", "kbbl", 1e3),
    "gasVolume": ("scf", "MMscf", 1e6),
    "terminalVolume": ("bbl", "MMbbl", 1e6),
    "time": ("d", "d", 1.0),
}


def rounded(value: float | None) -> float | None:
    """The number with 16 significant digits; null for null, and for what is no finite number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.16g}")


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
            value = value / TABLE[quantity][2]
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
