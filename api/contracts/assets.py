"""GET /api/v1/assets."""

from typing import Annotated

from api.contracts.common import (
    FACILITY_STATUSES,
    FACILITY_TYPES,
    Contract,
    Metadata,
    NetworkKpis,
    NodeUnits,
    TerminalKpis,
    doc,
)


class CountsInRollUp(Contract, frozen=True, kw_only=True):
    """Whether the facility owns a meter on the counting cut, by network: only then do its numbers add to its parents'."""

    oil: bool
    domestic_gas: bool
    export_gas: bool
    flared_gas: bool


class Facility(Contract, frozen=True, kw_only=True):
    """A facility on one production day."""

    id: Annotated[str, doc("Facility.")]
    name: Annotated[str, doc("Name.")]
    type: Annotated[str, doc("Type.", values=FACILITY_TYPES)]
    status: Annotated[
        str,
        doc(
            "Over the production networks that it serves: down when nothing is produced, constrained when more than 5 % of "
            "the potential is deferred, unknown when no production is known.",
            values=FACILITY_STATUSES,
        ),
    ]
    counts_in_roll_up: CountsInRollUp
    networks: NetworkKpis
    kpis: Annotated[TerminalKpis | None, doc("Of a terminal; null for other types.")]


class Hub(Contract, frozen=True, kw_only=True):
    """A production hub and its facilities."""

    id: Annotated[str, doc("Hub.")]
    name: Annotated[str, doc("Name.")]
    networks: NetworkKpis
    facilities: list[Facility]


class Asset(Metadata, frozen=True, kw_only=True):
    """An asset with its hubs; metadata is repeated in each."""

    uom: NodeUnits
    id: Annotated[str, doc("Asset.")]
    name: Annotated[str, doc("Name.")]
    networks: NetworkKpis
    hubs: list[Hub]
    terminals: Annotated[
        list[Facility], doc("Facilities directly under the asset: terminals, and any other without hub.")
    ]
