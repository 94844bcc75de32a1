"""GET /api/v1/gap-drivers."""

from typing import Annotated

from api.contracts.common import CHOKES, Contract, Metadata, NetworkVolumeUnits, doc


class DriverFacility(Contract, frozen=True, kw_only=True):
    """Where a driver's loss is counted."""

    facility_id: Annotated[str, doc("Facility on the counting cut.")]
    hub_id: Annotated[str | None, doc("Its hub on that day.")]
    asset_id: Annotated[str | None, doc("Its asset on that day.")]
    volume: Annotated[
        float, doc("The event's share at this facility; negative where it relieved a shared line.", unit="volume")
    ]


class Driver(Contract, frozen=True, kw_only=True):
    """One event's contribution to deferment on one network, summed over the facilities in scope and the complete days."""

    rank: Annotated[int, doc("Place by volume, then id.")]
    id: Annotated[
        str,
        doc(
            "Event: ec:<number>, ech:<well>:<date>, pi:<tag>:<day>, tanktop:…, constraint:…. `restricted`: everything that was "
            "caused outside what the caller may see, in one row."
        ),
    ]
    title: Annotated[str | None, doc("Title in the source.")]
    cause_node_id: Annotated[str | None, doc("Node or edge where the loss was caused.")]
    cause_hub_id: Annotated[str | None, doc("Hub of the cause; of an edge: that of its upstream end.")]
    cause_asset_id: Annotated[str | None, doc("Asset of the cause.")]
    facilities: Annotated[list[DriverFacility], doc("Where the loss is counted, largest first.")]
    choke: Annotated[str | None, doc("Choke model category.", values=CHOKES)]
    reason_code: Annotated[str | None, doc("Our reason code.")]
    planned: Annotated[bool | None, doc("Planned.")]
    third_party: Annotated[bool | None, doc("Caused by a third party.")]
    volume: Annotated[float, doc("Share of the deferment volume.", unit="volume")]
    volume_if_alone: Annotated[float | None, doc("Loss if this event alone had happened.", unit="volume")]
    gain_if_fixed: Annotated[float | None, doc("What would flow more if this event alone were fixed.", unit="volume")]
    share: Annotated[
        float | None,
        doc(
            "Share of the deferment; null when nothing was deferred.",
            unit="fraction",
            formula="volume ÷ defermentVolume",
        ),
    ]
    hours: Annotated[float | None, doc("Overlap of event and window.", unit="h")]
    open: Annotated[bool, doc("Open when last read.")]
    recoverable: Annotated[bool, doc("Worth acting on now.", formula="open and gainIfFixed > 0")]
    confidence: Annotated[float | None, doc("Confidence of the evidence.", unit="fraction")]
    evidence: Annotated[list[str], doc("References to source rows.")]


class Reference(Contract, frozen=True, kw_only=True):
    """Levels of the scope over the complete days; null when there is none."""

    hours: Annotated[float, doc("Length of the complete days.", unit="h")]
    complete_days: Annotated[
        int,
        doc("Days of the window on which the scope has a production (facilities with at least half its potential)."),
    ]
    potential_volume: Annotated[float | None, doc("Potential.", unit="volume")]
    business_target_volume: Annotated[float | None, doc("Target.", unit="volume")]
    production_volume: Annotated[float | None, doc("Production.", unit="volume")]
    gap_volume: Annotated[float | None, doc("Gap to target.", unit="volume", formula="target − production")]
    deferment_volume: Annotated[
        float | None, doc("Deferment.", unit="volume", formula="Σ max(0, potential − production) by facility and day")
    ]


class OtherDrivers(Contract, frozen=True, kw_only=True):
    """Drivers that are not listed: beyond `limit`, or left out by `network` or `causeFacilityIds`."""

    count: Annotated[int, doc("How many.")]
    volume: Annotated[float, doc("Their volume.", unit="volume")]
    share: Annotated[
        float | None, doc("Their share of the deferment; null when nothing was deferred.", unit="fraction")
    ]


class Unattributed(Contract, frozen=True, kw_only=True):
    """Deferment that no event explains; negative where events are over-booked."""

    volume: Annotated[float | None, doc("Residual.", unit="volume", formula="defermentVolume − Σ drivers")]
    share: Annotated[float | None, doc("Its share of the deferment; null when nothing was deferred.", unit="fraction")]


class Closure(Contract, frozen=True, kw_only=True):
    """That every barrel is explained."""

    sum_of_drivers: Annotated[float, doc("All drivers, listed and other.", unit="volume")]
    total: Annotated[float | None, doc("Deferment.", unit="volume")]
    error: Annotated[
        float | None, doc("What does not close.", unit="volume", formula="total − sumOfDrivers − unattributed")
    ]


class NetworkDrivers(Contract, frozen=True, kw_only=True):
    """The drivers of one network: listed + other + unattributed = deferment."""

    reference: Reference
    drivers: list[Driver]
    other: OtherDrivers
    unattributed: Unattributed
    closure: Closure


class DriverNetworks(Contract, frozen=True, kw_only=True):
    """One list per production network, never a mixed one; flaredGas has none."""

    oil: NetworkDrivers
    domestic_gas: NetworkDrivers
    export_gas: NetworkDrivers


class GapDrivers(Metadata, frozen=True, kw_only=True):
    """Ranked contributors to deferment; volumes over the window's complete days, throughout."""

    asset_id: Annotated[str | None, doc("Asset asked for.")]
    facility_ids: Annotated[list[str] | None, doc("Facilities asked for, where the loss is counted.")]
    cause_facility_ids: Annotated[list[str] | None, doc("Facilities asked for, where the loss was caused.")]
    window: Annotated[str, doc("1d, 7d, 30d or 90d ending with productionDate.", values=["1d", "7d", "30d", "90d"])]
    uom: NetworkVolumeUnits
    networks: DriverNetworks
