"""GET /api/v1/events, and the events of a facility."""

from datetime import date, datetime
from typing import Annotated

from msgspec import field

from api.contracts.common import CHOKES, Contract, Metadata, NetworkVolumeUnits, doc

EVENT_SOURCES = ["ec", "ech", "pi", "tanktop", "constraint"]
EVENT_STATUSES = ["all", "open", "closed"]
TARGET_KINDS = ["source", "node", "edge"]


class EventVolume(Contract, frozen=True, kw_only=True):
    """An event's part in the deferment of one network over the window's days and the facilities in scope."""

    volume: Annotated[
        float | None,
        doc("Its share of the deferment; null where it has none, or another network was asked for.", unit="volume"),
    ]
    volume_if_alone: Annotated[float | None, doc("Loss if this event alone had happened.", unit="volume")]
    gain_if_fixed: Annotated[float | None, doc("What would flow more if this event alone were fixed.", unit="volume")]


class EventNetworks(Contract, frozen=True, kw_only=True):
    """The production networks of an event; flaredGas has no drivers."""

    oil: EventVolume
    domestic_gas: EventVolume
    export_gas: EventVolume


class EventFacility(Contract, frozen=True, kw_only=True):
    """A facility where an event's loss is counted; null on a network where it is not."""

    facility_id: Annotated[str, doc("Facility on the counting cut.")]
    hub_id: Annotated[str | None, doc("Its hub on the newest of those days.")]
    asset_id: Annotated[str | None, doc("Its asset on the newest of those days.")]
    oil: Annotated[float | None, doc("The event's share of oil here.", unit="volume")]
    domestic_gas: Annotated[float | None, doc("The event's share of domestic gas here.", unit="volume")]
    export_gas: Annotated[float | None, doc("The event's share of export gas here.", unit="volume")]


class EnteredLoss(Contract, frozen=True, kw_only=True):
    """What the source says that the whole event lost, whatever the window; null where nothing was entered."""

    oil: Annotated[float | None, doc("Oil loss as entered.", unit="volume")]
    gas: Annotated[float | None, doc("Gas loss as entered.", unit="volume")]


class Event(Contract, frozen=True, kw_only=True):
    """One event as last read, with its volumes over the window."""

    id: Annotated[str, doc("Event: ec:<number>, ech:<well>:<date>, pi:<tag>:<day>, tanktop:…, constraint:….")]
    title: Annotated[str | None, doc("Title in the source.")]
    facility_id: Annotated[str | None, doc("Facility that it is booked on; null for a constraint of the network.")]
    hub_id: Annotated[str | None, doc("Hub of that facility when last read.")]
    asset_id: Annotated[str | None, doc("Asset of that facility when last read.")]
    target_kind: Annotated[str | None, doc("What it limits.", values=TARGET_KINDS)]
    target_id: Annotated[str | None, doc("Facility or edge that it limits.")]
    started_at: Annotated[datetime | None, doc("Start (UTC); null for a standing constraint.")]
    ended_at: Annotated[datetime | None, doc("End (UTC); null while open.")]
    open: Annotated[bool, doc("Open when last read.")]
    last_read_on: Annotated[date, doc("Newest production day that holds it.")]
    hours: Annotated[float | None, doc("Overlap of event and window.", unit="h")]
    source: Annotated[str, doc("Where it is from.", values=EVENT_SOURCES)]
    reason_code: Annotated[str | None, doc("Our reason code.")]
    source_code: Annotated[str | None, doc("The source's reason code.")]
    choke: Annotated[str | None, doc("Choke model category.", values=CHOKES)]
    planned: Annotated[bool, doc("Planned.")]
    third_party: Annotated[bool, doc("Caused by a third party.")]
    networks: EventNetworks
    facilities: Annotated[list[EventFacility], doc("Where the loss is counted, by id.")]
    entered_loss: EnteredLoss
    confidence: Annotated[float | None, doc("Confidence of the evidence.", unit="fraction")]
    evidence: Annotated[list[str], doc("References to source rows.")]


class EventList(Metadata, frozen=True, kw_only=True):
    """Events read in a window of production days, newest start first."""

    uom: NetworkVolumeUnits
    from_: Annotated[date, doc("First production day of the window.")] = field(name="from")
    to: Annotated[date, doc("Last production day of the window.")]
    status: Annotated[str, doc("Which events were asked for.", values=EVENT_STATUSES)]
    facility_id: Annotated[str | None, doc("Facility asked for.")]
    asset_id: Annotated[str | None, doc("Asset asked for.")]
    network: Annotated[str | None, doc("Network asked for.")]
    source: Annotated[str | None, doc("Source asked for.", values=EVENT_SOURCES)]
    total: Annotated[int, doc("Events of all pages.")]
    events: list[Event]
    next: Annotated[
        str | None, doc("Send it as cursor, with the same other parameters, for the next page; null: the last.")
    ]
