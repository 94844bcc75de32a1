"""GET /api/v1/facilities/{facilityId}: one facility with KPIs, running day, 90-day series, open events and neighbours."""

from collections.abc import Callable, Iterable
from datetime import date

from litestar import get
from litestar.params import FromPath

from api.contracts.common import Kpi, NetworkKpis
from api.contracts.facilities import (
    FacilityDetail,
    FacilitySeries,
    FacilityUnits,
    Intraday,
    IntradayNetwork,
    IntradayNetworks,
    Neighbour,
)
from api.dependencies import ApiRequest, respond
from api.event_rows import Filters, event_page
from api.facts import ReleaseFacts
from api.kpis import Row, by_node
from api.operations import Operation, documented
from api.parameters import COMMON, FACILITY_KINDS
from api.preparing import Document
from api.problems import Problem
from api.routes.assets import facility_of
from api.routes.hub_performance import complete_days, trend_point
from api.units import NETWORKS, PRODUCTION_NETWORKS, rounded
from api.view import View

ROUTE = "/api/v1/facilities/{facility_id}"
SERIES_DAYS = 90
MAX_OPEN_EVENTS = 100
NO_READING = "PI had given no reading of the day that was running when the release was built."
OLD_RELEASE = "This release was built before the running day was part of a release."
EARLIER_DAY = "The running day follows the release's latest production day, {latest}; an earlier one was asked for."


def assemble(view: View, facility_id: str) -> FacilityDetail:
    """The facility on the production day. Raises Problem notFound for an id that is no facility on that day."""
    day = view.production_date
    facilities = view.query("facility_list", production_date=day)
    listed = next((row for row in facilities if row["facility_id"] == facility_id), None)
    versions = view.query("facility_validity", facility_id=facility_id, production_date=day)
    if listed is None or not versions:
        raise Problem("notFound", f"There is no facility {facility_id[:100]!r} on {day}; /api/v1/assets lists them.")
    version = versions[0]
    labels = view.window(SERIES_DAYS)
    rows = view.node_production(["facility"], [facility_id], labels[0])
    nodes = by_node(row for row in rows if row["production_date"] == day)
    stocks = view.query("terminal_day", production_date=day, terminal_ids=[facility_id])
    facility = facility_of(view, listed, nodes.get(("facility", facility_id)), stocks[0] if stocks else None)
    # flaredGas has no drivers: asked for alone, its events are those of every network, without volumes.
    shared = view.network if view.network in PRODUCTION_NETWORKS else None
    filters = Filters(labels[0], labels[-1], facility_id=facility_id, network=shared, is_open=True)
    events = event_page(view, filters, MAX_OPEN_EVENTS)
    upstream, downstream = _neighbours(view, facility_id, {row["facility_id"]: row["name"] for row in facilities})
    uom = view.node_units()
    intraday, reason = _intraday(view, facility_id, facility.networks)
    return FacilityDetail(
        **view.metadata(),
        uom=FacilityUnits(
            **{name: getattr(uom, name) for name in uom.__struct_fields__},
            oil_volume=view.units.unit("oilVolume"),
            gas_volume=view.units.unit("gasVolume"),
        ),
        id=facility_id,
        name=version["name"],
        type=version["facility_type"],
        status=facility.status,
        hub_id=version["hub_id"],
        hub_name=version["hub_name"],
        asset_id=version["asset_id"],
        asset_name=version["asset_name"],
        valid_from=version["valid_from"],
        valid_to=version["valid_to"],
        zone=version["zone"],
        day_start=version["day_start"],
        counts_in_roll_up=facility.counts_in_roll_up,
        networks=facility.networks,
        kpis=facility.kpis,
        intraday=intraday,
        intraday_reason=reason,
        series=_series(view, labels, rows),
        open_events=events.events,
        open_event_count=events.total,
        upstream=upstream,
        downstream=downstream,
    )


def _intraday(view: View, facility_id: str, networks: NetworkKpis) -> tuple[Intraday | None, str | None]:
    """The running day, or why there is none."""
    latest = view.facts.latest_day
    if view.production_date != latest:
        return None, EARLIER_DAY.format(latest=latest)
    if not any(row["table_name"] == "intraday" for row in view.query("table_list")):
        return None, OLD_RELEASE
    rows = {row["network"]: row for row in view.query("facility_intraday", facility_id=facility_id)}
    if not rows:
        return None, NO_READING
    day = next(iter(rows.values()))
    oil, domestic, export, flared = (
        _intraday_network(view, network, rows.get(network), kpi)
        for network, kpi in zip(
            NETWORKS, (networks.oil, networks.domestic_gas, networks.export_gas, networks.flared_gas), strict=True
        )
    )
    found = Intraday(
        production_date=day["production_date"],
        from_=day["from_utc"],
        to=day["to_utc"],
        networks=IntradayNetworks(oil=oil, domestic_gas=domestic, export_gas=export, flared_gas=flared),
    )
    return found, None


def _intraday_network(view: View, network: str, row: Row | None, kpi: Kpi) -> IntradayNetwork:
    if not view.wants(network) or row is None:
        # Of what it does not serve, and of what was not asked for, the closed day says so.
        said = kpi.quality if kpi.quality in ("notApplicable", "notRequested") else "missing"
        return IntradayNetwork(rate=None, percent_good=None, as_of=None, quality=said)
    return IntradayNetwork(
        rate=view.units.rate(row["rate"], network),
        percent_good=rounded(row["percent_good"]),
        as_of=row["observed_at_utc"],
        quality=row["quality"],
    )


def _series(view: View, labels: list[date], rows: Iterable[Row]) -> FacilitySeries:
    days: dict[date, dict[str, Row]] = {}
    for row in rows:
        days.setdefault(row["production_date"], {})[row["network"]] = row
    return FacilitySeries(
        from_=labels[0],
        to=labels[-1],
        complete_days=complete_days(labels, days),
        points=[trend_point(view, label, days.get(label, {})) for label in labels],
    )


def _neighbours(view: View, facility_id: str, names: dict[str, str]) -> tuple[list[Neighbour], list[Neighbour]]:
    """What stands up and down the edges of the day, of the network asked for or of all."""
    externals = {row["external_id"]: row for row in view.query("external_node_list")}
    upstream: list[Neighbour] = []
    downstream: list[Neighbour] = []
    for row in view.query("edge_list", production_date=view.production_date):
        if facility_id not in (row["from_id"], row["to_id"]) or not view.wants(row["network"]):
            continue
        is_upstream = row["to_id"] == facility_id
        node = row["from_id"] if is_upstream else row["to_id"]
        external = externals.get(node, {})
        (upstream if is_upstream else downstream).append(
            Neighbour(
                edge_id=row["edge_id"],
                node_id=node,
                name=names.get(node, external.get("name")),
                kind="facility" if node in names else external.get("kind"),
                network=row["network"],
                stream=row["stream"],
                capacity=view.units.rate(row["capacity"], row["network"]),
            )
        )
    return upstream, downstream


def _of(facility_id: str) -> Callable[[View], FacilityDetail]:
    return lambda view: assemble(view, facility_id)


def prepare(facts: ReleaseFacts) -> Iterable[Document]:
    """Every facility; one that no longer stands on the latest day is left out when its answer is made."""
    for facility_id in sorted(set().union(*(facts.identifiers.get(kind, frozenset()) for kind in FACILITY_KINDS))):
        yield Document(ROUTE, ROUTE.replace("{facility_id}", facility_id), b"", COMMON, _of(facility_id), {})


@get(
    "/api/v1/facilities/{facility_id:str}",
    opt=documented(
        Operation(
            operation_id="getFacility",
            summary="One facility: KPIs, running day, 90-day series, open events, neighbours",
            description="KPIs as in /assets. intraday is the production day after the release's latest, from PI alone, as "
            "far as it had been read when the release was built; never mixed into currentProduction, and null with "
            "intradayReason where nothing was read of it or an earlier day is asked for. "
            "The series has exactly one point per production day; a missing day is nulls.",
            tag="production",
            answer=FacilityDetail,
            parameters=COMMON,
            path_parameters=(("facilityId", "Facility, such as fs-bomiri."),),
        )
    ),
)
async def get_facility(request: ApiRequest, facility_id: FromPath[str]) -> FacilityDetail:
    """Answers with the facility."""
    return await respond(request, COMMON, _of(facility_id))
