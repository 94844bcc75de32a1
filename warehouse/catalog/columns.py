"""Column makers of the catalogue: each fixes dtype, bounds and unit, so that a quantity is described in one way everywhere.

Bounds at load come from the domain model: oil rate of a node 0 to 1.5e6 bbl/d, gas 0 to 5e9 scf/d, terminal volume 0 to 50e6 bbl.
"""

from collections.abc import Sequence
from typing import Any

import dataframely as dy

MAX_OIL_RATE_BBLPD = 1.5e6
MAX_GAS_RATE_SCFPD = 5e9
MAX_TERMINAL_VOLUME_BBL = 50e6

NETWORKS = ("oil", "domesticGas", "exportGas", "flaredGas")
FACILITY_TYPES = ("flowstation", "compressor-station", "gas-plant", "terminal")
QUALITIES = ("good", "uncertain", "bad", "stale", "missing", "notApplicable")
RECORD_STATUSES = ("estimated", "provisional", "verified", "approved")
CHOKES = ("reservoir", "wells", "plant", "export", "market", "other")
NODE_LEVELS = ("facility", "hub", "asset", "system")
# A rate or volume whose unit depends on the row's network: liquids in barrels, gas in standard cubic feet.
NETWORK_RATE = "bbl/d | scf/d"
NETWORK_VOLUME = "bbl | scf"

# Unit: display unit, and factor to it. No one factor serves a column of several networks: its parts, parted by ` | `, belong to
# liquids and to gas in this order, and have the factors of the single units (kbbl 1e-3, MMscf 1e-6).
DISPLAY: dict[str, tuple[str, float | None]] = {
    "bbl/d": ("kbbl/d", 1e-3),
    "scf/d": ("MMscf/d", 1e-6),
    "bbl": ("MMbbl", 1e-6),
    "scf": ("MMscf", 1e-6),
    NETWORK_RATE: ("kbbl/d | MMscf/d", None),
    NETWORK_VOLUME: ("kbbl | MMscf", None),
}


def _metadata(unit: str | None, formula: str | None, source: str | None) -> dict[str, Any]:
    # What has no unit has no scale either: text, labels, flags.
    display_unit, display_scale = DISPLAY.get(unit or "", (unit, None if unit is None else 1.0))
    return {
        "unit": unit,
        "display_unit": display_unit,
        "display_scale": display_scale,
        "formula": formula,
        "source": source,
    }


def key(description: str) -> dy.String:
    """Identifier that is part of the primary key."""
    return dy.String(primary_key=True, min_length=1, description=description, metadata=_metadata(None, None, None))


def text(description: str, *, nullable: bool = True, source: str | None = None) -> dy.String:
    """Free or coded text outside the key."""
    return dy.String(nullable=nullable, description=description, metadata=_metadata(None, None, source))


def choice(description: str, allowed: Sequence[str], *, nullable: bool = False, primary_key: bool = False) -> dy.String:
    """Text from a closed list, kept as String so that readers need no ENUM."""
    pattern = "^(" + "|".join(a.replace("-", "\\-") for a in allowed) + ")$"
    return dy.String(
        nullable=nullable,
        primary_key=primary_key,
        regex=pattern,
        description=f"{description} One of {', '.join(allowed)}.",
        metadata=_metadata(None, None, None),
    )


def network(*, primary_key: bool = True) -> dy.String:
    """The network column, part of the key unless said otherwise."""
    return choice("Network.", NETWORKS, primary_key=primary_key)


def day(
    description: str = "Production day, the label of the day's local start.", *, primary_key: bool = True
) -> dy.Date:
    """Production-day label."""
    return dy.Date(primary_key=primary_key, description=description, metadata=_metadata(None, None, None))


def date(description: str, *, nullable: bool = True, primary_key: bool = False) -> dy.Date:
    """A calendar date that is no production-day key."""
    return dy.Date(
        nullable=nullable, primary_key=primary_key, description=description, metadata=_metadata(None, None, None)
    )


def instant(description: str, *, nullable: bool = True, primary_key: bool = False) -> dy.Datetime:
    """A UTC instant, microseconds."""
    return dy.Datetime(
        nullable=nullable,
        primary_key=primary_key,
        time_zone="UTC",
        time_unit="us",
        description=description,
        metadata=_metadata("UTC", None, None),
    )


def local_instant(description: str, *, nullable: bool = True) -> dy.Datetime:
    """A wall-clock time in the facility's zone, as Energy Components keeps it."""
    return dy.Datetime(
        nullable=nullable,
        time_unit="us",
        description=description,
        metadata=_metadata("facility local time", None, None),
    )


def number(
    description: str,
    unit: str | None,
    *,
    nullable: bool = True,
    min: float | None = None,
    max: float | None = None,
    formula: str | None = None,
    source: str | None = None,
) -> dy.Float64:
    """A measured or computed quantity; never NaN, null where it is not known."""
    return dy.Float64(
        nullable=nullable,
        min=min,
        max=max,
        description=description,
        metadata=_metadata(unit, formula, source),
    )


def rate(description: str, *, nullable: bool = True, signed: bool = False, formula: str | None = None) -> dy.Float64:
    """Rate per 24 h of the row's network: bbl/d for oil, scf/d for gas."""
    low = -MAX_GAS_RATE_SCFPD if signed else 0.0
    return number(description, NETWORK_RATE, nullable=nullable, min=low, max=MAX_GAS_RATE_SCFPD, formula=formula)


def volume(description: str, *, nullable: bool = True, signed: bool = False, formula: str | None = None) -> dy.Float64:
    """Volume of the row's network over the production day: bbl for oil, scf for gas."""
    limit = MAX_GAS_RATE_SCFPD * 25 / 24
    return number(
        description, NETWORK_VOLUME, nullable=nullable, min=-limit if signed else 0.0, max=limit, formula=formula
    )


def terminal_volume(description: str, *, nullable: bool = True, formula: str | None = None) -> dy.Float64:
    """Liquid volume at a terminal, bbl."""
    return number(description, "bbl", nullable=nullable, min=0.0, max=MAX_TERMINAL_VOLUME_BBL, formula=formula)


def fraction(description: str, *, nullable: bool = True, formula: str | None = None) -> dy.Float64:
    """Share between 0 and 1."""
    return number(description, "fraction", nullable=nullable, min=0.0, max=1.0, formula=formula)


def hours(description: str, *, nullable: bool = True, max: float = 25.0) -> dy.Float64:
    """Hours within one production day: 23, 24 or 25 at most."""
    return number(description, "h", nullable=nullable, min=0.0, max=max)


def flag(description: str, *, nullable: bool = False) -> dy.Bool:
    """True or false."""
    return dy.Bool(nullable=nullable, description=description, metadata=_metadata(None, None, None))


def count(description: str, *, nullable: bool = True) -> dy.Int64:
    """A whole number, signed so that differences never wrap."""
    return dy.Int64(nullable=nullable, description=description, metadata=_metadata("count", None, None))


def quality() -> dy.String:
    """Quality word of a value."""
    return choice("Quality of the value.", QUALITIES)


def record_status(*, nullable: bool = True) -> dy.String:
    """Status of the record in its source; the worst child's for parents."""
    return choice("Record status.", RECORD_STATUSES, nullable=nullable)
