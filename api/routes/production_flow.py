"""GET /api/v1/production-flow: the topology of a production day, structure only."""

from collections.abc import Iterable

from litestar import get

from api.contracts.production_flow import Edge, ExternalNode, FlowFacility, ProductionFlow, Unit
from api.dependencies import ApiRequest, respond
from api.facts import ReleaseFacts
from api.operations import Operation, documented
from api.parameters import ASSET_ID, COMMON
from api.preparing import Document
from api.units import NETWORKS
from api.view import View

PATH = "/api/v1/production-flow"
PARAMETERS = (ASSET_ID, *COMMON)


def assemble(view: View) -> ProductionFlow:
    """Units, facilities, externals and edges valid on the day.

    With assetId: what stands in the asset, every edge that touches it, and the externals at those edges. With network:
    facilities that serve it, its edges, and its externals.
    """
    asset_id: str | None = view.arguments.get("assetId")
    day = view.production_date
    facilities = [
        row
        for row in view.query("facility_list", production_date=day)
        if (asset_id is None or row["asset_id"] == asset_id)
        and (view.network is None or view.network in row["served_networks"])
    ]
    inside = {row["facility_id"] for row in facilities}
    edges = [
        row
        for row in view.query("edge_list", production_date=day)
        if view.wants(row["network"]) and (asset_id is None or row["from_id"] in inside or row["to_id"] in inside)
    ]
    touched = {node for row in edges for node in (row["from_id"], row["to_id"])}
    return ProductionFlow(
        **view.metadata(),
        uom=view.network_rate_units(),
        units=[
            Unit(id=row["hub_id"], name=row["name"], kind="hub", asset_id=row["asset_id"])
            for row in view.query("hub_list", production_date=day)
            if asset_id is None or row["asset_id"] == asset_id
        ],
        facilities=[
            FlowFacility(
                id=row["facility_id"],
                name=row["name"],
                unit_id=row["hub_id"],
                asset_id=row["asset_id"],
                type=row["facility_type"],
                networks=[network for network in NETWORKS if network in row["served_networks"]],
            )
            for row in facilities
        ],
        externals=[
            ExternalNode(id=row["external_id"], name=row["name"], kind=row["kind"], network=row["network"])
            for row in view.query("external_node_list")
            if row["external_id"] in touched or (asset_id is None and view.network is None)
        ],
        edges=[
            Edge(
                id=row["edge_id"],
                from_=row["from_id"],
                to=row["to_id"],
                network=row["network"],
                stream=row["stream"],
                capacity=view.units.rate(row["capacity"], row["network"]),
            )
            for row in edges
        ],
    )


def prepare(_: ReleaseFacts) -> Iterable[Document]:
    """The whole topology of the latest day."""
    yield Document(PATH, PATH, b"", PARAMETERS, assemble, {})


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="getProductionFlow",
            summary="Topology for a flow map",
            description="Units, facilities, external nodes and edges valid on the production day: purely structural.",
            tag="topology",
            answer=ProductionFlow,
            parameters=PARAMETERS,
        )
    ),
)
async def get_production_flow(request: ApiRequest) -> ProductionFlow:
    """Answers with the topology."""
    return await respond(request, PARAMETERS, assemble)
