"""Units: one table of factors from what sources state to base units (bbl, bbl/d, scf, scf/d).

Conversion happens once, at the boundary, with these factors. Letter case and spaces do not matter ("MMSCFD" is "MMscf/d").
Oilfield prefixes on bbl, scf and cf: M or k = 1e3, MM = 1e6, B = 1e9. Metric prefixes on Sm3: k = 1e3, M = 1e6, G = 1e9.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Phase = Literal["liquid", "gas"]
Kind = Literal["rate", "volume"]

# SPE metric conversion, 60 °F barrel; gas at 15 °C and 1.01325 bar.
BBL_PER_SM3 = 6.289810770
SCF_PER_SM3 = 35.314666721
MSM3_IN_SM3 = 1e6
HOURS_PER_DAY = 24.0

# "t" is the hour (time) in Norwegian historian units: "Sm3/t" at Volve is a rate per hour, never per tonne.
_PER_DAY: dict[str, float] = {
    "d": 1.0,
    "day": 1.0,
    "h": 24.0,
    "hr": 24.0,
    "hour": 24.0,
    "t": 24.0,
    "min": 1440.0,
    "s": 86400.0,
}
_OILFIELD: dict[str, float] = {"": 1.0, "k": 1e3, "m": 1e3, "mm": 1e6, "b": 1e9}
_METRIC: dict[str, float] = {"": 1.0, "k": 1e3, "m": MSM3_IN_SM3, "g": 1e9}
_ENERGY: dict[str, float] = {"gj": 1e-3, "tj": 1.0, "pj": 1e3}
_SHORT_RATES = re.compile(r"^(?P<prefix>k|m|mm)?(?:bpd|bopd|blpd|stbd|stb/d|bbld)$")
_PER_SM3: dict[Phase, float] = {"liquid": BBL_PER_SM3, "gas": SCF_PER_SM3}
_BASE: dict[Phase, str] = {"liquid": "bbl", "gas": "scf"}
_OVERRIDE = re.compile(r"^(bbl|scf)_per_([a-z0-9]+)$")


class UnitError(ValueError):
    """A unit that the table does not know, or that does not fit the phase or kind asked for."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """Multiply by `factor` to get `unit`, which is a base unit."""

    factor: float
    unit: str


def phase_of(network: str) -> Phase:
    """liquid for the oil network, gas for domesticGas, exportGas and flaredGas."""
    return "liquid" if network == "oil" else "gas"


def base_unit(phase: Phase, kind: Kind) -> str:
    """bbl, bbl/d, scf or scf/d."""
    return _BASE[phase] + ("/d" if kind == "rate" else "")


class UnitTable:
    """Factors to base units, with an operator's overrides from `[units]` of operator.toml.

    Overrides are `bbl_per_<unit>` and `scf_per_<unit>`, for example bbl_per_sm3, scf_per_tj, bbl_per_m3. Energy units (GJ,
    TJ, PJ) need `scf_per_tj`, because the heating value is the operator's; so does any unit that is not in the table.
    Raises UnitError listing every override that is not understood.
    """

    def __init__(self, overrides: Mapping[str, float] | None = None) -> None:
        self._volumes: dict[Phase, dict[str, float]] = {"liquid": {}, "gas": {}}
        stated: dict[Phase, dict[str, float]] = {"liquid": {}, "gas": {}}
        faults = []
        for name, value in (overrides or {}).items():
            match = _OVERRIDE.match(name.lower())
            if match is None or not value > 0:
                faults.append(f"{name} = {value!r}")
                continue
            stated["liquid" if match[1] == "bbl" else "gas"][match[2]] = float(value)
        if faults:
            raise UnitError(
                f"[units] has {', '.join(faults)}: write bbl_per_<unit> or scf_per_<unit> with a positive factor"
            )
        for prefix, scale in _OILFIELD.items():
            for name in ("bbl", "stb"):
                self._volumes["liquid"][prefix + name] = scale
            for name in ("scf", "cf"):
                self._volumes["gas"][prefix + name] = scale
        for phase, default in _PER_SM3.items():
            per_sm3 = stated[phase].get("sm3", default)
            for prefix, scale in _METRIC.items():
                self._volumes[phase][f"{prefix}sm3"] = scale * per_sm3
        if "tj" in stated["gas"]:
            for name, scale in _ENERGY.items():
                self._volumes["gas"][name] = scale * stated["gas"]["tj"]
        for phase_name, factors in stated.items():
            self._volumes[phase_name].update(factors)

    def conversion(self, unit: str | None, phase: Phase, kind: Kind | None = None) -> Conversion:
        """Factor and base unit of a unit as a source writes it.

        "a | b" means a for liquids and b for gas. With `kind` the unit must be a rate or a volume.
        Raises UnitError naming the unit and the known ones.
        """
        text = unit or ""
        if "|" in text:
            text = text.split("|", 1)[0 if phase == "liquid" else 1]
        found = self._find(_normalise(text), phase)
        if found is None:
            known = ", ".join(sorted(self._volumes[phase]))
            raise UnitError(
                f"{unit!r} is no known {phase} unit; known are {known}, each also per d, h, min or s. "
                f"State another in [units] of operator.toml as {_BASE[phase]}_per_<unit>"
            )
        factor, found_kind = found
        if kind is not None and kind != found_kind:
            raise UnitError(
                f"{unit!r} is a {found_kind}, but a {kind} is wanted, for example {base_unit(phase, kind)!r}"
            )
        return Conversion(factor, base_unit(phase, found_kind))

    def factor(self, unit: str | None, phase: Phase, kind: Kind | None = None) -> float:
        """What to multiply a value in `unit` with to get base units; see conversion."""
        return self.conversion(unit, phase, kind).factor

    def mapped(self, mapped_units: Mapping[str, str], column: str, phase: Phase, kind: Kind) -> float:
        """Factor of a dataset's canonical column by the site's mapping; a column without a unit is in the base unit."""
        return self.factor(mapped_units.get(column) or base_unit(phase, kind), phase, kind)

    def knows(self, unit: str | None, phase: Phase) -> bool:
        """Whether conversion would succeed."""
        return unit is not None and self._find(_normalise(unit), phase) is not None

    def _find(self, text: str, phase: Phase) -> tuple[float, Kind] | None:
        volumes = self._volumes[phase]
        if text in volumes:
            return volumes[text], "volume"
        short = _SHORT_RATES.match(text)
        if short is not None and phase == "liquid":
            return _OILFIELD[short["prefix"] or ""], "rate"
        name, _, period = text.partition("/")
        if not period and text.endswith("d"):
            name, period = text[:-1], "d"
        if name in volumes and period in _PER_DAY:
            return volumes[name] * _PER_DAY[period], "rate"
        return None


def _normalise(unit: str) -> str:
    return unit.strip().lower().replace(" ", "").replace("³", "3").replace("^3", "3").replace("sm^3", "sm3")


DEFAULT_UNITS = UnitTable()


def factor(unit: str | None, phase: Phase) -> float:
    """Factor from `unit` to its base unit without an operator's overrides; see UnitTable.conversion."""
    return DEFAULT_UNITS.factor(unit, phase)
