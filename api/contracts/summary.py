"""GET /api/v1/summary."""

from typing import Annotated

from api.contracts.common import (
    Contract,
    Endurance,
    GrossStock,
    Metadata,
    NetworkKpis,
    NodeUnits,
    ReadyCrude,
    Receipts,
    SafeFill,
    doc,
)


class AssetSummary(Contract, frozen=True, kw_only=True):
    """An asset's networks."""

    id: Annotated[str, doc("Asset.")]
    name: Annotated[str, doc("Name.")]
    networks: NetworkKpis


class TerminalSummary(Contract, frozen=True, kw_only=True):
    """A terminal's headline."""

    id: Annotated[str, doc("Terminal.")]
    name: Annotated[str, doc("Name.")]
    asset_id: Annotated[str, doc("Asset.")]
    max_capacity: SafeFill
    gross_stock: GrossStock
    ready_crude: ReadyCrude
    production_rate: Receipts
    endurance: Endurance


class NetworkEfficiency(Contract, frozen=True, kw_only=True):
    """Production efficiency of the system on one network."""

    potential: Annotated[float | None, doc("Potential of the system.", unit="rate")]
    production_efficiency: Annotated[
        float | None,
        doc("Share of the potential that was produced.", unit="fraction", formula="Σ production ÷ Σ potential"),
    ]


class Efficiency(Contract, frozen=True, kw_only=True):
    """Production efficiency by production network."""

    oil: NetworkEfficiency
    domestic_gas: NetworkEfficiency
    export_gas: NetworkEfficiency


class Summary(Metadata, frozen=True, kw_only=True):
    """System totals, assets, terminals and efficiency of one production day."""

    uom: NodeUnits
    networks: NetworkKpis
    assets: list[AssetSummary]
    terminals: list[TerminalSummary]
    efficiency: Efficiency
