"""What every body shares: the base struct, metadata, units, and the KPI of one network at one node.

`unit` in a field's schema: `rate` follows the body's uom of the network, `volume` likewise, else a unit as written.
"""

from datetime import date, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

QUALITIES = ["good", "uncertain", "bad", "stale", "missing", "notApplicable", "notRequested"]
RECORD_STATUSES = ["estimated", "provisional", "verified", "approved"]
FACILITY_TYPES = ["flowstation", "compressor-station", "gas-plant", "terminal"]
FACILITY_STATUSES = ["normal", "constrained", "down", "unknown"]
CHOKES = ["reservoir", "wells", "plant", "export", "market", "other"]


def doc(
    description: str, *, unit: str | None = None, formula: str | None = None, values: list[str] | None = None
) -> Meta:
    """Description of a field; `values` makes it an open enumeration: clients must survive a value that is not listed."""
    extra: dict[str, Any] = {}
    if unit is not None:
        extra["x-unit"] = unit
    if formula is not None:
        extra["x-formula"] = formula
        description = f"{description} Formula: {formula}."
    if values is not None:
        extra["x-open-enum"] = values
    return Meta(description=description, extra_json_schema=extra or None)


class Contract(Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of every body and part of a body."""


class Freshness(Contract, frozen=True, kw_only=True):
    """Instants from which a client judges age; the word for it stands in the header Data-Freshness."""

    oldest_source_as_of: Annotated[datetime | None, doc("Newest instant of the source that lags most (UTC).")]
    stale_after: Annotated[
        datetime | None, doc("From here on a source is older than agreed.", formula="min(as of + SLA)")
    ]


class Metadata(Contract, frozen=True, kw_only=True):
    """Flat metadata at the head of every body."""

    production_date: Annotated[
        date, doc("Production day: the label of its local start; the latest closed one by default.")
    ]
    as_of: Annotated[datetime | None, doc("Newest source instant used (UTC).")]
    data_version: Annotated[str, doc("Release that the body was made from.")]
    operator: Annotated[str, doc("Operator.")]
    is_synthetic: Annotated[bool, doc("True when the numbers are fiction of the sandbox.")]
    record_status: Annotated[
        str | None, doc("Worst status of the day's records over the system.", values=RECORD_STATUSES)
    ]
    target_version: Annotated[str | None, doc("Target version in force on the day; `mixed` when several are.")]
    freshness: Freshness


class NetworkRateUnits(Contract, frozen=True, kw_only=True):
    """Units of rates by network."""

    oil: Annotated[str, doc("bbl/d, or kbbl/d with units=display.")]
    domestic_gas: Annotated[str, doc("scf/d, or MMscf/d with units=display.")]
    export_gas: Annotated[str, doc("scf/d, or MMscf/d with units=display.")]
    flared_gas: Annotated[str, doc("scf/d, or MMscf/d with units=display.")]


class NetworkVolumeUnits(Contract, frozen=True, kw_only=True):
    """Units of volumes by production network."""

    oil: Annotated[str, doc("bbl, or kbbl with units=display.")]
    domestic_gas: Annotated[str, doc("scf, or MMscf with units=display.")]
    export_gas: Annotated[str, doc("scf, or MMscf with units=display.")]


class TerminalUnits(Contract, frozen=True, kw_only=True):
    """Units of a terminal's quantities."""

    terminal_volume: Annotated[str, doc("bbl, or MMbbl with units=display.")]
    terminal_rate: Annotated[str, doc("bbl/d, or kbbl/d with units=display.")]
    endurance: Annotated[str, doc("d.")]


class NodeUnits(Contract, frozen=True, kw_only=True):
    """Units of a body that holds networks and terminals."""

    oil: Annotated[str, doc("bbl/d, or kbbl/d with units=display.")]
    domestic_gas: Annotated[str, doc("scf/d, or MMscf/d with units=display.")]
    export_gas: Annotated[str, doc("scf/d, or MMscf/d with units=display.")]
    flared_gas: Annotated[str, doc("scf/d, or MMscf/d with units=display.")]
    terminal_volume: Annotated[str, doc("bbl, or MMbbl with units=display.")]
    terminal_rate: Annotated[str, doc("bbl/d, or kbbl/d with units=display.")]
    endurance: Annotated[str, doc("d.")]


class Kpi(Contract, frozen=True, kw_only=True):
    """KPIs of one network at one node over one production day; rates per 24 h, null where not known."""

    max_capacity: Annotated[
        float | None,
        doc(
            "Largest sustained rate that the node as configured can pass; parents have the max-flow through theirs. For "
            "flaredGas the flare system's maximum.",
            unit="rate",
        ),
    ]
    business_target: Annotated[
        float | None,
        doc("Approved target in force; parents sum the counting cut. For flaredGas a ceiling.", unit="rate"),
    ]
    current_production: Annotated[
        float | None,
        doc("Mean rate over the production day.", unit="rate", formula="volume ÷ (hours of the day ÷ 24)"),
    ]
    deferment: Annotated[
        float | None,
        doc("Deferred rate.", unit="rate", formula="max(0, potential − production) at a facility, summed above"),
    ]
    potential: Annotated[
        float | None,
        doc("What could have flowed that day, limited by nothing downstream; null for flaredGas.", unit="rate"),
    ]
    potential_basis: Annotated[
        str | None,
        doc(
            "Method of the potential; `mixed` when children differ.",
            values=[
                "ec",
                "well_test",
                "p75_full_days",
                "last_full_day",
                "month_average",
                "nameplate",
                "target",
                "mixed",
            ],
        ),
    ]
    published_target: Annotated[
        float | None, doc("A parent's own published target, beside the sum in businessTarget.", unit="rate")
    ]
    gap: Annotated[
        float | None,
        doc(
            "Signed gap to target; positive is a shortfall, for flaredGas an excess.",
            unit="rate",
            formula="target − production; for flaredGas production − target",
        ),
    ]
    over_performance: Annotated[
        float | None,
        doc("Rate above potential.", unit="rate", formula="max(0, production − potential) at a facility, summed above"),
    ]
    excess_over_target: Annotated[
        float | None,
        doc("Flared above the ceiling; flaredGas only.", unit="rate", formula="max(0, production − target)"),
    ]
    coverage: Annotated[
        float | None,
        doc(
            "Present share of the node's facilities on the counting cut, by potential; 1 is complete.", unit="fraction"
        ),
    ]
    quality: Annotated[
        str,
        doc(
            "Quality of the value; a parent has its worst child's. `notApplicable`: not served, zeros. `missing`: nulls. "
            "`notRequested`: another network was asked for, nulls.",
            values=QUALITIES,
        ),
    ]
    source: Annotated[
        str | None, doc("Source of the production; `mixed` when children differ.", values=["ec", "pi", "mixed"])
    ]
    record_status: Annotated[str | None, doc("Status of the record in its source.", values=RECORD_STATUSES)]


class NetworkKpis(Contract, frozen=True, kw_only=True):
    """The four networks of a node."""

    oil: Kpi
    domestic_gas: Kpi
    export_gas: Kpi
    flared_gas: Kpi


SafeFill = Annotated[float | None, doc("Safe fill of the tanks in service, bottoms included.", unit="terminalVolume")]
GrossStock = Annotated[float | None, doc("All liquid in the tanks at the end of the day.", unit="terminalVolume")]
ReadyCrude = Annotated[
    float | None,
    doc(
        "Rate at which crude becomes export quality.",
        unit="terminalRate",
        formula="receipts one settling lag ago × (1 − BS&W) × (1 − shrinkage)",
    ),
]
Receipts = Annotated[float | None, doc("Receipts over the production day.", unit="terminalRate")]
Endurance = Annotated[
    float | None,
    doc(
        "Days to tank-top with no lifting; null when nothing is received.",
        unit="d",
        formula="(maxCapacity − grossStock) ÷ productionRate, at least 0",
    ),
]


class TerminalKpis(Contract, frozen=True, kw_only=True):
    """A terminal's five KPIs."""

    max_capacity: SafeFill
    gross_stock: GrossStock
    ready_crude: ReadyCrude
    production_rate: Receipts
    endurance: Endurance
