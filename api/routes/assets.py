"""GET /api/v1/assets: assets, hubs and facilities with their networks; each facility stands once."""

from collections.abc import Iterable, Mapping

from litestar import get

from api.contracts.assets import Asset, CountsInRollUp, Facility, Hub
from api.dependencies import ApiRequest, respond
from api.facts import ReleaseFacts
from api.kpis import Row, by_node, facility_status, network_kpis, terminal_kpis
from api.operations import Operation, documented
from api.parameters import COMMON
from api.preparing import Document
from api.units import NETWORKS
from api.view import View

PATH = "/api/v1/assets"


def assemble(view: View) -> list[Asset]:
    """Every asset of a production day, in the operator's order."""
    nodes = by_node(view.node_production(["facility", "hub", "asset"]))
    stocks = {
        row["terminal_id"]: row
        for row in view.query("terminal_day", production_date=view.production_date, terminal_ids=[])
    }
    facilities = view.query("facility_list", production_date=view.production_date)
    hubs = view.query("hub_list", production_date=view.production_date)
    known_hubs = {hub["hub_id"] for hub in hubs}
    under: dict[str, list[Facility]] = {}
    beside: dict[str, list[Facility]] = {}
    for row in facilities:
        facility = facility_of(view, row, nodes.get(("facility", row["facility_id"])), stocks.get(row["facility_id"]))
        # A facility without hub stands in the asset's terminals whatever its type, so that none is ever left out.
        if row["hub_id"] in known_hubs:
            under.setdefault(row["hub_id"], []).append(facility)
        else:
            beside.setdefault(row["asset_id"], []).append(facility)
    return [
        Asset(
            **view.metadata(),
            uom=view.node_units(),
            id=asset["asset_id"],
            name=asset["name"],
            networks=network_kpis(view, nodes.get(("asset", asset["asset_id"]))),
            hubs=[
                Hub(
                    id=hub["hub_id"],
                    name=hub["name"],
                    networks=network_kpis(view, nodes.get(("hub", hub["hub_id"]))),
                    facilities=under.get(hub["hub_id"], []),
                )
                for hub in hubs
                if hub["asset_id"] == asset["asset_id"]
            ],
            terminals=beside.get(asset["asset_id"], []),
        )
        for asset in view.query("asset_list")
    ]


def facility_of(view: View, facility: Row, rows: Mapping[str, Row] | None, stock: Row | None) -> Facility:
    """A facility from its row of facility_list, its rows by network, and a terminal's stock."""
    is_terminal = facility["facility_type"] == "terminal"
    counts = {network: network in facility["cut_networks"] for network in NETWORKS}
    counts.update({network: row["counts_in_roll_up"] for network, row in (rows or {}).items()})
    return Facility(
        id=facility["facility_id"],
        name=facility["name"],
        type=facility["facility_type"],
        status=facility_status(rows),
        counts_in_roll_up=CountsInRollUp(
            oil=counts["oil"],
            domestic_gas=counts["domesticGas"],
            export_gas=counts["exportGas"],
            flared_gas=counts["flaredGas"],
        ),
        networks=network_kpis(view, rows),
        kpis=terminal_kpis(view, stock) if is_terminal else None,
    )


def prepare(_: ReleaseFacts) -> Iterable[Document]:
    """The answer of the latest day."""
    yield Document(PATH, PATH, b"", COMMON, assemble, {})


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="listAssets",
            summary="Assets, hubs and facilities of a production day",
            description="An array of assets with hubs and facilities, each with its four networks. Only facilities whose "
            "countsInRollUp is true add to their parents on that network; adding the others counts production twice.",
            tag="production",
            answer=list[Asset],
            parameters=COMMON,
        )
    ),
)
async def list_assets(request: ApiRequest) -> list[Asset]:
    """Answers with the assets."""
    return await respond(request, COMMON, assemble)
