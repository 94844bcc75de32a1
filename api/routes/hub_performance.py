"""GET /api/v1/hubs/{hubId}/performance: one point per production day of a window, gaps included, and its statistics."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

from litestar import get
from litestar.params import FromPath

from api.contracts.hub_performance import (
    HubPerformance,
    NetworkStatistics,
    TrendKpi,
    TrendNetworks,
    TrendPoint,
    TrendStatistics,
)
from api.dependencies import ApiRequest, respond
from api.facts import ReleaseFacts
from api.kpis import Row
from api.operations import Operation, documented
from api.parameters import COMMON, window
from api.preparing import Document
from api.problems import Problem
from api.units import NETWORKS, PRODUCTION_NETWORKS, rounded
from api.view import View

ROUTE = "/api/v1/hubs/{hub_id}/performance"
WINDOWS = {"7d": 7, "30d": 30, "90d": 90}
PARAMETERS = (window(tuple(WINDOWS), "30d"), *COMMON)

RowsByDay = Mapping[date, Mapping[str, Row]]


def assemble(view: View, hub_id: str) -> HubPerformance:
    """The hub's trend. Raises Problem notFound for an id that is no hub."""
    hubs = view.query("hub_list", production_date=view.production_date)
    hub = next((row for row in hubs if row["hub_id"] == hub_id), None)
    if hub is None:
        raise Problem("notFound", f"There is no hub {hub_id[:100]!r}; /api/v1/production-flow lists them as units.")
    name: str = view.arguments["window"]
    labels = view.window(WINDOWS[name])
    days: dict[date, dict[str, Row]] = {}
    for row in view.node_production(["hub"], [hub_id], labels[0]):
        days.setdefault(row["production_date"], {})[row["network"]] = row
    statistics = {
        row["network"]: row
        for row in view.query(
            "hub_statistics", hub_id=hub_id, production_date=view.production_date, window_days=WINDOWS[name]
        )
    }
    oil, domestic, export, flared = (_statistics(view, n, statistics.get(n), days) for n in NETWORKS)
    return HubPerformance(
        **view.metadata(),
        uom=view.network_rate_units(),
        id=hub_id,
        name=hub["name"],
        asset_id=hub["asset_id"],
        window=name,
        from_=labels[0],
        to=labels[-1],
        complete_days=complete_days(labels, days),
        points=[trend_point(view, label, days.get(label, {})) for label in labels],
        statistics=NetworkStatistics(oil=oil, domestic_gas=domestic, export_gas=export, flared_gas=flared),
    )


def complete_days(labels: Sequence[date], days: RowsByDay) -> int:
    """Labels on which every production network that the hub serves has a value; 0 for a hub that serves none."""
    served = {
        network
        for rows in days.values()
        for network, row in rows.items()
        if network in PRODUCTION_NETWORKS and row["quality"] != "notApplicable"
    }
    if not served:
        return 0
    return sum(
        all(network in days[label] and days[label][network]["production"] is not None for network in served)
        for label in labels
        if label in days
    )


def trend_point(view: View, label: date, rows: Mapping[str, Row]) -> TrendPoint:
    """One production day of a node from its rows by network."""
    oil, domestic, export, flared = (_trend(view, network, rows.get(network)) for network in NETWORKS)
    return TrendPoint(
        production_date=label,
        networks=TrendNetworks(oil=oil, domestic_gas=domestic, export_gas=export, flared_gas=flared),
    )


def _trend(view: View, network: str, row: Row | None) -> TrendKpi:
    if row is None or not view.wants(network):
        return TrendKpi(
            current_production=None,
            business_target=None,
            potential=None,
            deferment=None,
            quality="missing" if view.wants(network) else "notRequested",
            record_status=None,
        )
    rate = view.units.rate
    return TrendKpi(
        current_production=rate(row["production"], network),
        business_target=rate(row["business_target"], network),
        potential=rate(row["potential"], network),
        deferment=rate(row["deferment"], network),
        quality=row["quality"],
        record_status=row["record_status"],
    )


def _statistics(view: View, network: str, row: Row | None, days: RowsByDay) -> TrendStatistics:
    found: Row = row if row is not None and view.wants(network) else {}
    rate = view.units.rate
    on_target = found.get("days_on_target")
    if found and view.target_version is not None:
        on_target = _days_on_target(network, days)
    return TrendStatistics(
        average=rate(found.get("average"), network),
        days_on_target=on_target,
        trend_per_day=rate(found.get("trend_per_day"), network),
        trend_method="theil-sen",
        previous_window_average=rate(found.get("previous_average"), network),
        change=rounded(found.get("change_fraction")),
        production_efficiency=rounded(found.get("production_efficiency")),
    )


def _days_on_target(network: str, days: RowsByDay) -> int | None:
    """Days on target against another target version than the one that the release's statistics were made with.

    As hub_trend counts them: a network that the hub does not serve has 0, one without any target has null.
    """
    rows = [row for by_network in days.values() if (row := by_network.get(network)) is not None]
    if rows and all(row["quality"] == "notApplicable" for row in rows):
        return 0
    known = [row for row in rows if row["production"] is not None and row["business_target"] is not None]
    if not known:
        return None
    gaps = [row["business_target"] - row["production"] for row in known]
    return int(sum(gap >= 0 if network == "flaredGas" else gap <= 0 for gap in gaps))


def _of(hub_id: str) -> Callable[[View], HubPerformance]:
    return lambda view: assemble(view, hub_id)


def prepare(facts: ReleaseFacts) -> Iterable[Document]:
    """Every hub and window of the latest day."""
    for hub_id in sorted(facts.identifiers.get("hub", ())):
        path = ROUTE.replace("{hub_id}", hub_id)
        yield Document(ROUTE, path, b"", PARAMETERS, _of(hub_id), {})
        for name in WINDOWS:
            yield Document(ROUTE, path, f"window={name}".encode(), PARAMETERS, _of(hub_id), {"window": name})


@get(
    "/api/v1/hubs/{hub_id:str}/performance",
    opt=documented(
        Operation(
            operation_id="getHubPerformance",
            summary="A hub's trend over 7, 30 or 90 production days",
            description="Exactly one point per production day of the window; a missing day is nulls, never zero and never "
            "interpolated. Statistics are over complete days, averages weighted by volume.",
            tag="production",
            answer=HubPerformance,
            parameters=PARAMETERS,
            path_parameters=(("hubId", "Hub, such as hub-bomiri."),),
        )
    ),
)
async def get_hub_performance(request: ApiRequest, hub_id: FromPath[str]) -> HubPerformance:
    """Answers with the hub's trend."""
    return await respond(request, PARAMETERS, _of(hub_id))
