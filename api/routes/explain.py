"""GET /api/v1/explain: where one number of a body comes from, by the address of the body and a JSON pointer into it."""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import get

from api import explain_nodes, explain_terminal, parameters
from api.callers import caller_of
from api.contracts.assets import Asset
from api.contracts.explain import Explanation, Input, KeyColumn, SourceRow
from api.contracts.gap_drivers import GapDrivers
from api.contracts.hub_performance import HubPerformance
from api.contracts.production_flow import ProductionFlow
from api.contracts.summary import Summary
from api.contracts.terminal_operations import TerminalOperations
from api.dependencies import ApiRequest, desk_of
from api.explain import Draft, RowReference, Rows, Term, is_same, nothing, recompute
from api.explain_drivers import GapDrivers as DriverNumbers
from api.explain_drivers import quantity_of as driver_quantity
from api.explain_fields import Leaf, PointerFault, escape, find, parse
from api.explain_sources import Sources, rate_unit
from api.explain_trend import OF_A_RATE, HubTrend
from api.operations import Operation, documented
from api.parameters import COMMON, Parameter
from api.routes import assets, gap_drivers, hub_performance, production_flow, summary, terminal_operations
from api.scoping import OUTSIDE
from api.units import TABLE, Quantity, rounded
from api.view import View

PATH = "/api/v1/explain"
PREFIX = "/api/v1"
BODIES = "api.explain.bodies"
# Bodies kept while their numbers are asked about one after another.
KEPT_BODIES = 4


@dataclass(frozen=True)
class Endpoint:
    """An endpoint whose numbers are explained: its body for a view and the path's id, and who explains a leaf."""

    template: str
    answer: Any
    allowed: Sequence[Parameter]
    body: Callable[[View, str], Any]
    explain: Callable[[Sources, Leaf, Any], tuple[Draft, Quantity | None]]


@dataclass(frozen=True)
class Address:
    """A number: the body's address in parts, and the pointer's tokens."""

    endpoint: Endpoint
    path: str
    identifier: str
    query: bytes
    tokens: tuple[str, ...]


def _node_number(sources: Sources, leaf: Leaf, body: Any) -> tuple[Draft, Quantity | None]:
    """A number of /summary or /assets."""
    day, tokens = sources.view.production_date, leaf.tokens
    if "efficiency" in tokens:
        network = leaf.after("efficiency")
        if leaf.field == "potential":
            return explain_nodes.explain(sources, "system", "system", network, leaf.field, day), _rate(network)
        return explain_nodes.efficiency(sources, network, day), None
    if "networks" in tokens:
        network = leaf.after("networks")
        level, node_id = _node_of(leaf)
        draft = explain_nodes.explain(sources, level, node_id, network, leaf.field, day)
        return draft, explain_nodes.quantity_of(network, leaf.field)
    terminal_id = leaf.element("terminals")["id"]
    kpi = explain_terminal.TerminalKpi(sources, terminal_id, day)
    return kpi.explain(leaf.field), explain_terminal.QUANTITIES[leaf.field]


def _node_of(leaf: Leaf) -> tuple[str, str]:
    before = leaf.tokens[: leaf.tokens.index("networks")]
    if not before:
        return "system", "system"
    levels = {"facilities": "facility", "terminals": "facility", "hubs": "hub"}
    name = before[-2] if len(before) > 1 else "assets"
    return levels.get(name, "asset"), leaf.at(len(before))["id"]


def _terminal_number(sources: Sources, leaf: Leaf, body: Any) -> tuple[Draft, Quantity | None]:
    if "nextCargo" in leaf.tokens:
        return explain_terminal.cargo(sources, body["id"], body["nextCargo"]["id"]), "terminalVolume"
    kpi = explain_terminal.TerminalKpi(sources, body["id"], sources.view.production_date)
    return kpi.explain(leaf.field), explain_terminal.QUANTITIES[leaf.field]


def _driver_number(sources: Sources, leaf: Leaf, body: Any) -> tuple[Draft, Quantity | None]:
    network = leaf.after("networks")
    return DriverNumbers(sources, network, body).explain(leaf.tokens[2:]), driver_quantity(network, leaf.field)


def _flow_number(sources: Sources, leaf: Leaf, body: Any) -> tuple[Draft, Quantity | None]:
    edge = leaf.element("edges")
    unit = rate_unit(edge["network"])
    formula = "capacity of the edge, as the operator's edges.csv states it"
    rows = sources.query("edge_list", production_date=sources.view.production_date)
    capacity = next(row["capacity"] for row in rows if row["edge_id"] == edge["id"])
    if capacity is None:
        return nothing(formula, "The edge does not limit."), _rate(edge["network"])
    key = {"from_id": edge["from"], "to_id": edge["to"], "network": edge["network"]}
    reference = sources.row("reference/edges.csv", None, key, column="capacity", value=capacity, unit=unit, factor=1.0)
    return Draft(formula, "sum", [Term("capacity", capacity, unit, row=reference)]), _rate(edge["network"])


def _trend_number(sources: Sources, leaf: Leaf, body: Any) -> tuple[Draft, Quantity | None]:
    trend = HubTrend(sources, body["id"], hub_performance.WINDOWS[body["window"]])
    if leaf.field == "completeDays":
        return trend.complete_days(), None
    if "points" in leaf.tokens:
        network = leaf.after("networks")
        day = trend.labels[int(leaf.after("points"))]
        return explain_nodes.explain(sources, "hub", body["id"], network, leaf.field, day), _rate(network)
    network = leaf.after("statistics")
    return trend.statistic(network, leaf.field), _rate(network) if leaf.field in OF_A_RATE else None


def _rate(network: str) -> Quantity:
    return "oilRate" if network == "oil" else "gasRate"


ENDPOINTS = (
    Endpoint("/summary", Summary, COMMON, lambda view, _: summary.assemble(view), _node_number),
    Endpoint("/assets", list[Asset], COMMON, lambda view, _: assets.assemble(view), _node_number),
    Endpoint(
        "/gap-drivers", GapDrivers, gap_drivers.PARAMETERS, lambda view, _: gap_drivers.assemble(view), _driver_number
    ),
    Endpoint(
        "/production-flow",
        ProductionFlow,
        production_flow.PARAMETERS,
        lambda view, _: production_flow.assemble(view),
        _flow_number,
    ),
    Endpoint(
        "/terminal/{id}/operations",
        TerminalOperations,
        COMMON,
        terminal_operations.assemble,
        _terminal_number,
    ),
    Endpoint(
        "/hubs/{id}/performance",
        HubPerformance,
        hub_performance.PARAMETERS,
        hub_performance.assemble,
        _trend_number,
    ),
)
_TEMPLATES = ", ".join(endpoint.template for endpoint in ENDPOINTS)
_PATTERNS = [(re.compile(e.template.replace("{id}", "([^/]+)")), e) for e in ENDPOINTS]


def read_address(text: str) -> Address:
    """The parts of `<address>?<query>#<pointer>`. Raises ValueError that says what is allowed."""
    address, mark, pointer = text.partition("#")
    if not mark:
        raise ValueError("has no #: write the body's address, then # (encoded as %23) and a JSON pointer to the number")
    path, _, query = address.partition("?")
    path = path.removeprefix(PREFIX)
    for pattern, endpoint in _PATTERNS:
        match = pattern.fullmatch(path)
        if match:
            pairs = parse_qsl(query, keep_blank_values=True)
            identifier = match[1] if match.groups() else ""
            return Address(endpoint, path, identifier, urlencode(pairs).encode(), parse(pointer))
    raise ValueError(f"names no endpoint whose numbers are explained; they are {_TEMPLATES}")


NUMBER = Parameter(
    "path",
    "The number: address of its body, with or without /api/v1, with its query, then # and a JSON pointer (RFC 6901), such as "
    "`/gap-drivers?window=7d#/networks/oil/drivers/0/volume`. In a URL # is %23 and & is %26. A step into an array is an index "
    "or the id, facilityId or productionDate of an element: `/assets#/east/hubs/hub-akara/networks/oil/gap`. Release, day and "
    "units are chosen in the body's own query.",
    read_address,
    is_required=True,
)
PARAMETERS = (NUMBER,)


def assemble(view: View, address: Address) -> Explanation:
    """The explanation of a number. Raises Problem for a pointer that leads to none."""
    endpoint = address.endpoint
    body, memory = _kept(view, address)
    try:
        leaf = find(endpoint.answer, body, address.tokens)
    except PointerFault as fault:
        raise parameters.fault(NUMBER, str(fault), "#/" + "/".join(address.tokens)) from None
    sources = Sources(view, address.path, memory)
    draft, quantity = endpoint.explain(sources, leaf, body)
    divisor = TABLE[quantity][2] if quantity and view.units.units == "display" else 1.0
    again = recompute(draft)
    if quantity is not None:
        again = view.units.convert(again, quantity)
    is_reproduced = is_same(leaf.value, again, draft.terms, divisor)
    query = f"?{address.query.decode()}" if address.query else ""
    pointer = "/".join(escape(token) for token in leaf.tokens)
    rows = Rows()
    inputs = [_input(term, rows) for term in draft.terms]
    for row in draft.rows:
        rows.place(row)
    return Explanation(
        **view.metadata(),
        path=f"{address.path}{query}#/{pointer}",
        field=leaf.field,
        meaning=leaf.meaning,
        value=leaf.value,
        unit=_unit(view, leaf, quantity),
        formula=draft.formula,
        operation=draft.operation,
        base_per_unit=divisor,
        inputs=inputs,
        recomputed=rounded(again),
        is_reproduced=is_reproduced,
        source_rows=[_row(row) for row in rows.listed],
        notes=[*draft.notes, *([OUTSIDE] if view.scope.assets is not None and not is_reproduced else [])],
    )


def _kept(view: View, address: Address) -> tuple[Any, dict[Any, Any]]:
    """The body in its built-in form, and what was read to explain it: kept for the next question about it."""
    kept: OrderedDict[Any, Any] = view.release.extras.setdefault(BODIES, OrderedDict())
    key = (view.scope.key, address.path, address.query, view.units.units)
    found: tuple[Any, dict[Any, Any]] | None = kept.get(key)
    if found is None:
        found = kept[key] = (msgspec.to_builtins(address.endpoint.body(view, address.identifier)), {})
        while len(kept) > KEPT_BODIES:
            kept.popitem(last=False)
    return found


def _unit(view: View, leaf: Leaf, quantity: Quantity | None) -> str | None:
    if quantity is None:
        return leaf.unit
    unit = view.units.unit(quantity)
    return f"{unit} per day" if leaf.field == "trendPerDay" else unit


def _input(term: Term, rows: Rows) -> Input:
    return Input(
        name=term.name,
        role=term.role,
        value=term.value,
        unit=term.unit,
        weight=term.weight,
        production_date=term.day,
        path=term.path,
        source_row=rows.place(term.row),
    )


def _row(row: RowReference) -> SourceRow:
    file = None
    if row.partition is not None and row.sha256 is not None:
        is_reference = row.table.startswith("reference/")
        file = row.table if is_reference else f"{row.table}/{row.partition}/{row.sha256}.parquet"
    return SourceRow(
        table=row.table,
        partition=row.partition,
        file=file,
        sha256=row.sha256,
        key=[KeyColumn(column=name, value=value) for name, value in row.key],
        column=row.column,
        value=row.value,
        unit=row.unit,
        factor=row.factor,
        revision=row.revision,
        record_status=row.record_status,
        updated_at=row.updated_at,
    )


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="explainNumber",
            summary="Lineage of one number",
            description="For a numeric property of summary, assets, gap-drivers, production-flow, terminal operations and hub "
            "performance: its formula, the inputs with their weights, the rows of lake files that they stand in with SHA-256, "
            "and what the inputs come to when they are combined again.",
            tag="lineage",
            answer=Explanation,
            parameters=PARAMETERS,
        )
    ),
)
async def explain_number(request: ApiRequest) -> Explanation:
    """Answers with the lineage."""
    asked: Mapping[str, Any] = parameters.read(request.scope["query_string"], PARAMETERS)
    address: Address | None = asked["path"]
    if address is None:
        raise parameters.fault(
            NUMBER, f"is needed, such as /summary%23/networks/oil/gap; endpoints: {_TEMPLATES}", None
        )
    arguments = parameters.read(address.query, address.endpoint.allowed)
    desk = desk_of(request)
    scope = caller_of(request.scope).scope
    body, answered = await desk.run(
        lambda: desk.answer(scope, arguments, address.endpoint.allowed, lambda view: assemble(view, address))
    )
    request.scope["state"]["answered"] = answered
    return body
