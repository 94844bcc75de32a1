"""GET /api/v1/gap-drivers: ranked contributors to deferment, closing with `other` and `unattributed`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from litestar import get

from api import parameters
from api.attribution import Contribution, Scope, contributions, scope_of
from api.contracts.gap_drivers import (
    Closure,
    Driver,
    DriverFacility,
    DriverNetworks,
    GapDrivers,
    NetworkDrivers,
    OtherDrivers,
    Reference,
    Unattributed,
)
from api.dependencies import ApiRequest, respond
from api.facts import ReleaseFacts
from api.kpis import Row, ratio
from api.operations import Operation, documented
from api.parameters import (
    ASSET_ID,
    CAUSE_FACILITY_IDS,
    COMMON,
    FACILITY_IDS,
    LIMIT,
    NETWORK,
    PRODUCTION_NETWORK,
    window,
)
from api.preparing import Document
from api.scoping import RESTRICTED, RESTRICTED_TITLE
from api.units import PRODUCTION_NETWORKS, rounded
from api.view import View

PATH = "/api/v1/gap-drivers"
# Volume, in bbl or scf, below which nothing was deferred: the precision to which drivers close.
NOTHING = 1e-6
WINDOWS = {"1d": 1, "7d": 7, "30d": 30, "90d": 90}
PARAMETERS = (
    ASSET_ID,
    FACILITY_IDS,
    CAUSE_FACILITY_IDS,
    PRODUCTION_NETWORK,
    window(tuple(WINDOWS), "1d"),
    LIMIT,
    *(parameter for parameter in COMMON if parameter is not NETWORK),
)


@dataclass(frozen=True)
class Place:
    """Where a cause stands; the facility is an edge's upstream end."""

    facility_id: str | None
    hub_id: str | None
    asset_id: str | None


def assemble(view: View) -> GapDrivers:
    """Drivers of each production network. Raises Problem for filters that have no facility in common."""
    asset_id: str | None = view.arguments["assetId"]
    facility_ids: Sequence[str] | None = view.arguments["facilityIds"]
    name: str = view.arguments["window"]
    labels = view.window(WINDOWS[name])
    rows = [
        row
        for row in view.node_production(["facility"], facility_ids or (), labels[0])
        if asset_id is None or row["asset_id"] == asset_id
    ]
    if asset_id is not None and facility_ids is not None and not rows:
        raise parameters.fault(
            FACILITY_IDS, f"names no facility of asset {asset_id} in the window", ",".join(facility_ids)
        )
    shares = view.query(
        "gap_driver_share",
        first_date=labels[0],
        last_date=labels[-1],
        facility_ids=list(facility_ids or ()),
        asset_id=asset_id,
    )
    places = _places(view)
    networks = {network: _Network(view, network, places, rows, shares) for network in PRODUCTION_NETWORKS}
    listed = sorted({event.event_id for network in networks.values() for event in network.listed})
    events = {row["event_id"]: row for row in view.query("event_list", event_ids=listed)} if listed else {}
    oil, domestic, export = (networks[network].struct(events) for network in PRODUCTION_NETWORKS)
    cause_ids: Sequence[str] | None = view.arguments["causeFacilityIds"]
    return GapDrivers(
        **view.metadata(),
        asset_id=asset_id,
        facility_ids=None if facility_ids is None else list(facility_ids),
        cause_facility_ids=None if cause_ids is None else list(cause_ids),
        window=name,
        uom=view.network_volume_units(),
        networks=DriverNetworks(oil=oil, domestic_gas=domestic, export_gas=export),
    )


class _Network:
    """The drivers of one network, and which of them are listed."""

    def __init__(
        self, view: View, network: str, places: Mapping[str, Place], rows: Sequence[Row], shares: Sequence[Row]
    ) -> None:
        self.view = view
        self.network = network
        self.places = places
        self.scope: Scope = scope_of(row for row in rows if row["network"] == network)
        self.events, self.residual = contributions((row for row in shares if row["network"] == network), self.scope)
        causes: Sequence[str] | None = view.arguments["causeFacilityIds"]
        wanted = [
            event
            for event in self.events
            if view.wants(network) and (causes is None or self.place(event).facility_id in causes)
        ]
        self.listed = wanted[: view.arguments["limit"]]

    def place(self, event: Contribution) -> Place:
        """Where the event's cause stands; of an edge `<from>~<to>~<network>` its upstream end."""
        node: str | None = event.newest["cause_node_id"]
        return self.places.get((node or "").split("~")[0], Place(None, None, None))

    def volume(self, value: float | None) -> float | None:
        return self.view.units.volume(value, self.network)

    def known(self, value: float) -> float:
        return self.volume(value) or 0.0

    def struct(self, events: Mapping[str, Row]) -> NetworkDrivers:
        """The network's part of the body."""
        total = self.scope.levels["deferment_volume"]
        all_drivers = math.fsum(volume for event in self.events for volume in event.volumes)
        listed = {event.event_id for event in self.listed}
        others = [event.volume for event in self.events if event.event_id not in listed]
        error = None if total is None or self.residual is None else math.fsum((total, -all_drivers, -self.residual))
        return NetworkDrivers(
            reference=Reference(
                hours=self.scope.hours,
                complete_days=self.scope.complete_days,
                potential_volume=self.volume(self.scope.levels["potential_volume"]),
                business_target_volume=self.volume(self.scope.levels["business_target_volume"]),
                production_volume=self.volume(self.scope.levels["production_volume"]),
                gap_volume=self.volume(self.scope.levels["gap_volume"]),
                deferment_volume=self.volume(total),
            ),
            drivers=[
                self.driver(rank, event, total, events.get(event.event_id, {}))
                for rank, event in enumerate(self.listed, start=1)
            ],
            other=OtherDrivers(
                count=len(others), volume=self.known(math.fsum(others)), share=share(math.fsum(others), total)
            ),
            unattributed=Unattributed(volume=self.volume(self.residual), share=share(self.residual, total)),
            closure=Closure(sum_of_drivers=self.known(all_drivers), total=self.volume(total), error=self.volume(error)),
        )

    def driver(self, rank: int, event: Contribution, total: float | None, read: Row) -> Driver:
        place = self.place(event)
        newest = event.newest
        is_open = bool(read.get("is_open"))
        facilities = sorted(event.by_facility.items(), key=lambda item: (-item[1], item[0]))
        return Driver(
            rank=rank,
            id=event.event_id,
            title=RESTRICTED_TITLE if event.event_id == RESTRICTED else read.get("title"),
            cause_node_id=newest["cause_node_id"],
            cause_hub_id=place.hub_id,
            cause_asset_id=place.asset_id,
            facilities=[
                DriverFacility(
                    facility_id=facility_id,
                    hub_id=event.home[facility_id][0],
                    asset_id=event.home[facility_id][1],
                    volume=self.known(volume),
                )
                for facility_id, volume in facilities
            ],
            choke=newest["choke"],
            reason_code=newest["reason_code"],
            planned=newest["is_planned"],
            third_party=newest["is_third_party"],
            volume=self.known(event.volume),
            volume_if_alone=self.volume(event.volume_if_alone),
            gain_if_fixed=self.volume(event.gain_if_fixed),
            share=share(event.volume, total),
            hours=rounded(event.hours),
            open=is_open,
            recoverable=is_open and (event.gain_if_fixed or 0.0) > 0,
            confidence=rounded(newest["confidence"]),
            evidence=(read.get("evidence") or "").split(),
        )


def share(volume: float | None, total: float | None) -> float | None:
    """Share of the deferment; null when nothing was deferred, which float64 may write as a residue of some 1e-12."""
    if total is None or abs(total) < NOTHING:
        return None
    return rounded(ratio(volume, total))


def _places(view: View) -> dict[str, Place]:
    """Where each facility and hub stands on the production day."""
    places = {
        row["hub_id"]: Place(None, row["hub_id"], row["asset_id"])
        for row in view.query("hub_list", production_date=view.production_date)
    }
    for row in view.query("facility_list", production_date=view.production_date):
        places[row["facility_id"]] = Place(row["facility_id"], row["hub_id"], row["asset_id"])
    return places


def prepare(facts: ReleaseFacts) -> Iterable[Document]:
    """The system's drivers by window, and each asset's of the latest day."""
    yield Document(PATH, PATH, b"", PARAMETERS, assemble, {})
    for name in WINDOWS:
        yield Document(PATH, PATH, f"window={name}".encode(), PARAMETERS, assemble, {"window": name})
    for asset_id in sorted(facts.identifiers.get("asset", ())):
        yield Document(PATH, PATH, f"assetId={asset_id}".encode(), PARAMETERS, assemble, {"assetId": asset_id})


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="listGapDrivers",
            summary="Ranked contributors to deferment",
            description="One list per production network, ranked by volume. Volumes are over the window's complete days. "
            "drivers + other + unattributed = deferment. facilityIds is where a loss is counted, causeFacilityIds where "
            "it was caused.",
            tag="deferment",
            answer=GapDrivers,
            parameters=PARAMETERS,
        )
    ),
)
async def list_gap_drivers(request: ApiRequest) -> GapDrivers:
    """Answers with the drivers."""
    return await respond(request, PARAMETERS, assemble)
