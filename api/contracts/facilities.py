"""GET /api/v1/facilities/{facilityId}."""

from datetime import date, datetime
from typing import Annotated

from msgspec import field

from api.contracts.assets import CountsInRollUp
from api.contracts.common import (
    FACILITY_STATUSES,
    FACILITY_TYPES,
    QUALITIES,
    Contract,
    Metadata,
    NetworkKpis,
    NodeUnits,
    TerminalKpis,
    doc,
)
from api.contracts.events import Event
from api.contracts.hub_performance import TrendPoint

NODE_KINDS = ["facility", "source", "market", "export", "junction"]


class FacilityUnits(NodeUnits, frozen=True, kw_only=True):
    """Units of a facility's body: rates by network, a terminal's quantities, and volumes of events."""

    oil_volume: Annotated[str, doc("bbl, or kbbl with units=display.")]
    gas_volume: Annotated[str, doc("scf, or MMscf with units=display.")]


class IntradayNetwork(Contract, frozen=True, kw_only=True):
    """One network since the running production day began; from PI only, never mixed into currentProduction."""

    rate: Annotated[
        float | None,
        doc(
            "Time-weighted mean of the good readings since the day began; null where a tag of the facility has none.",
            unit="rate",
            formula="Σ over tags of Σ value × seconds held ÷ Σ seconds held",
        ),
    ]
    percent_good: Annotated[
        float | None, doc("Share of the day so far with good values, 0 to 100; of several tags the least.", unit="%")
    ]
    as_of: Annotated[datetime | None, doc("Newest good reading (UTC).")]
    quality: Annotated[
        str,
        doc(
            "By percentGood without frozen time: 90 good, 50 uncertain, else bad; missing: PI gives nothing, or has no tag.",
            values=QUALITIES,
        ),
    ]


class IntradayNetworks(Contract, frozen=True, kw_only=True):
    """The four networks of a facility on its running day."""

    oil: IntradayNetwork
    domestic_gas: IntradayNetwork
    export_gas: IntradayNetwork
    flared_gas: IntradayNetwork


class Intraday(Contract, frozen=True, kw_only=True):
    """The running production day as far as it had come when the release was built."""

    production_date: Annotated[date, doc("The running day.")]
    from_: Annotated[datetime, doc("When it began (UTC).")] = field(name="from")
    to: Annotated[datetime, doc("How far PI was read: the newest sample of any tag (UTC).")]
    networks: IntradayNetworks


class Neighbour(Contract, frozen=True, kw_only=True):
    """What stands at the other end of an edge."""

    edge_id: Annotated[str, doc("Edge `<from>~<to>~<network>`.")]
    node_id: Annotated[str, doc("Facility or external node.")]
    name: Annotated[str | None, doc("Its name; null where the release does not know it.")]
    kind: Annotated[str | None, doc("What it is.", values=NODE_KINDS)]
    network: Annotated[str, doc("Network of the edge.")]
    stream: Annotated[str, doc("What flows.")]
    capacity: Annotated[float | None, doc("Largest sustained rate of the edge; null: not limiting.", unit="rate")]


class FacilitySeries(Contract, frozen=True, kw_only=True):
    """One point per production day of the last 90, gaps included."""

    from_: Annotated[date, doc("First production day.")] = field(name="from")
    to: Annotated[date, doc("Last production day.")]
    complete_days: Annotated[int, doc("Days on which every production network that it serves has a value.")]
    points: list[TrendPoint]


class FacilityDetail(Metadata, frozen=True, kw_only=True):
    """One facility on a production day: KPIs, trend, what is wrong, and what stands around it."""

    uom: FacilityUnits
    id: Annotated[str, doc("Facility.")]
    name: Annotated[str, doc("Name.")]
    type: Annotated[str, doc("Type.", values=FACILITY_TYPES)]
    status: Annotated[str, doc("As in /assets.", values=FACILITY_STATUSES)]
    hub_id: Annotated[str | None, doc("Hub on that day; null directly under its asset.")]
    hub_name: Annotated[str | None, doc("Name of the hub.")]
    asset_id: Annotated[str, doc("Asset on that day.")]
    asset_name: Annotated[str, doc("Name of the asset.")]
    valid_from: Annotated[date, doc("First production day on which it stood so.")]
    valid_to: Annotated[date | None, doc("First production day on which it no longer does; null: open.")]
    zone: Annotated[str, doc("Time zone of its production day.")]
    day_start: Annotated[str, doc("Local start of its production day, HH:MM.")]
    counts_in_roll_up: CountsInRollUp
    networks: NetworkKpis
    kpis: Annotated[TerminalKpis | None, doc("Of a terminal; null for other types.")]
    intraday: Annotated[Intraday | None, doc("The running day; null with intradayReason.")]
    intraday_reason: Annotated[str | None, doc("Why intraday is null; null where it is there.")]
    series: FacilitySeries
    open_events: Annotated[
        list[Event],
        doc(
            "Open events booked here or counted here in the series' days, newest first, at most 100; volumes over those days."
        ),
    ]
    open_event_count: Annotated[int, doc("All of them.")]
    upstream: Annotated[list[Neighbour], doc("What flows in, by edge.")]
    downstream: Annotated[list[Neighbour], doc("Where it flows, by edge.")]
