"""GET /api/v1/terminal/{terminalId}/operations."""

from datetime import date, datetime
from typing import Annotated

from api.contracts.common import (
    QUALITIES,
    Contract,
    Endurance,
    GrossStock,
    Metadata,
    ReadyCrude,
    Receipts,
    SafeFill,
    TerminalUnits,
    doc,
)


class NextCargo(Contract, frozen=True, kw_only=True):
    """The cargo that loads next."""

    id: Annotated[str, doc("Cargo.")]
    parcel: Annotated[float | None, doc("Parcel.", unit="terminalVolume")]
    laycan_start: Annotated[date | None, doc("First day of the laycan.")]
    laycan_end: Annotated[date | None, doc("Last day of the laycan.")]
    status: Annotated[str, doc("Status.", values=["planned", "nominated", "loading", "lifted", "cancelled"])]


class TerminalOperations(Metadata, frozen=True, kw_only=True):
    """A terminal at the end of one production day."""

    uom: TerminalUnits
    id: Annotated[str, doc("Terminal.")]
    name: Annotated[str, doc("Name.")]
    asset_id: Annotated[str, doc("Asset.")]
    max_capacity: SafeFill
    gross_stock: GrossStock
    ready_crude: ReadyCrude
    production_rate: Receipts
    endurance: Endurance
    endurance_basis: Annotated[str, doc("How endurance is meant.", values=["ullageToTankTop"])]
    ullage: Annotated[
        float | None, doc("Room left.", unit="terminalVolume", formula="max(0, maxCapacity − grossStock)")
    ]
    ready_stock: Annotated[
        float | None,
        doc("What can be lifted now.", unit="terminalVolume", formula="grossStock − dead stock − unsettled − water"),
    ]
    stock_cover_days: Annotated[
        float | None, doc("Days of receipts in the ready stock.", unit="d", formula="readyStock ÷ productionRate")
    ]
    quality: Annotated[str, doc("Quality of the stock.", values=QUALITIES)]
    measured_at: Annotated[datetime | None, doc("Instant of the stock (UTC).")]
    next_cargo: Annotated[NextCargo | None, doc("Null when none is planned.")]
