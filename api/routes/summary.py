"""GET /api/v1/summary: system totals, assets, terminals' headline, efficiency."""

from collections.abc import Iterable

from litestar import get

from api.contracts.summary import AssetSummary, Efficiency, NetworkEfficiency, Summary, TerminalSummary
from api.dependencies import ApiRequest, respond
from api.facts import ReleaseFacts
from api.kpis import Row, by_node, network_kpis, ratio, terminal_kpis
from api.operations import Operation, documented
from api.parameters import COMMON
from api.preparing import Document
from api.units import rounded
from api.view import View

PATH = "/api/v1/summary"


def assemble(view: View) -> Summary:
    """The summary of a production day."""
    nodes = by_node(view.node_production(["asset", "system"]))
    system = nodes.get(("system", "system"), {})
    stocks = {
        row["terminal_id"]: row
        for row in view.query("terminal_day", production_date=view.production_date, terminal_ids=[])
    }
    facilities = view.query("facility_list", production_date=view.production_date)
    oil, domestic, export = (
        _efficiency(view, network, system.get(network)) for network in ("oil", "domesticGas", "exportGas")
    )
    return Summary(
        **view.metadata(),
        uom=view.node_units(),
        networks=network_kpis(view, system),
        assets=[
            AssetSummary(
                id=asset["asset_id"],
                name=asset["name"],
                networks=network_kpis(view, nodes.get(("asset", asset["asset_id"]))),
            )
            for asset in view.query("asset_list")
        ],
        terminals=[
            _terminal(view, row, stocks.get(row["facility_id"]))
            for row in facilities
            if row["facility_type"] == "terminal"
        ],
        efficiency=Efficiency(oil=oil, domestic_gas=domestic, export_gas=export),
    )


def _terminal(view: View, facility: Row, stock: Row | None) -> TerminalSummary:
    kpis = terminal_kpis(view, stock)
    return TerminalSummary(
        id=facility["facility_id"],
        name=facility["name"],
        asset_id=facility["asset_id"],
        max_capacity=kpis.max_capacity,
        gross_stock=kpis.gross_stock,
        ready_crude=kpis.ready_crude,
        production_rate=kpis.production_rate,
        endurance=kpis.endurance,
    )


def _efficiency(view: View, network: str, row: Row | None) -> NetworkEfficiency:
    if row is None or not view.wants(network):
        return NetworkEfficiency(potential=None, production_efficiency=None)
    return NetworkEfficiency(
        potential=view.units.rate(row["potential"], network),
        production_efficiency=rounded(ratio(row["production_volume"], row["potential_volume"])),
    )


def prepare(_: ReleaseFacts) -> Iterable[Document]:
    """The answer of the latest day."""
    yield Document(PATH, PATH, b"", COMMON, assemble, {})


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="getSummary",
            summary="System totals, assets and terminals of a production day",
            description="Four networks with their KPIs for the system and each asset, each terminal's headline, and "
            "production efficiency. Rates are per 24 h over the closed production day.",
            tag="production",
            answer=Summary,
            parameters=COMMON,
        )
    ),
)
async def get_summary(request: ApiRequest) -> Summary:
    """Answers with the summary."""
    return await respond(request, COMMON, assemble)
