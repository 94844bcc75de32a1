"""GET /api/v1/terminal/{terminalId}/operations: stock, rates, endurance and the next cargo of a terminal."""

from collections.abc import Callable, Iterable
from datetime import UTC

from litestar import get
from litestar.params import FromPath

from api.contracts.terminal_operations import NextCargo, TerminalOperations
from api.dependencies import ApiRequest, respond
from api.facts import ReleaseFacts
from api.kpis import Row, terminal_kpis
from api.operations import Operation, documented
from api.parameters import COMMON
from api.preparing import Document
from api.problems import Problem
from api.view import View

ROUTE = "/api/v1/terminal/{terminal_id}/operations"


def assemble(view: View, terminal_id: str) -> TerminalOperations:
    """The terminal at the end of the day. Raises Problem notFound for an id that is no terminal on that day."""
    facilities = view.query("facility_list", production_date=view.production_date)
    terminals = [row for row in facilities if row["facility_type"] == "terminal"]
    terminal = next((row for row in terminals if row["facility_id"] == terminal_id), None)
    if terminal is None:
        raise Problem(
            "notFound",
            f"There is no terminal {terminal_id[:100]!r} on {view.production_date}; /api/v1/summary lists them.",
        )
    rows = view.query("terminal_day", production_date=view.production_date, terminal_ids=[terminal_id])
    stock: Row = rows[0] if rows else {}
    kpis = terminal_kpis(view, stock)
    measured_at = stock.get("measured_at_utc")
    cargoes = view.query(
        "next_cargo", terminal_id=terminal_id, production_date=view.production_date, measured_at_utc=measured_at
    )
    return TerminalOperations(
        **view.metadata(),
        uom=view.terminal_units(),
        id=terminal_id,
        name=terminal["name"],
        asset_id=terminal["asset_id"],
        max_capacity=kpis.max_capacity,
        gross_stock=kpis.gross_stock,
        ready_crude=kpis.ready_crude,
        production_rate=kpis.production_rate,
        endurance=kpis.endurance,
        endurance_basis="ullageToTankTop",
        ullage=view.units.terminal_volume(stock.get("ullage")),
        ready_stock=view.units.terminal_volume(stock.get("ready_stock")),
        stock_cover_days=view.units.convert(stock.get("stock_cover"), "time"),
        quality=stock.get("quality", "missing"),
        measured_at=measured_at.astimezone(UTC) if measured_at else None,
        next_cargo=_cargo(view, cargoes[0]) if cargoes else None,
    )


def _cargo(view: View, row: Row) -> NextCargo:
    return NextCargo(
        id=row["cargo_id"],
        parcel=view.units.terminal_volume(row["parcel"]),
        laycan_start=row["laycan_start"],
        laycan_end=row["laycan_end"],
        status=row["status"],
    )


def _of(terminal_id: str) -> Callable[[View], TerminalOperations]:
    return lambda view: assemble(view, terminal_id)


def prepare(facts: ReleaseFacts) -> Iterable[Document]:
    """Every terminal; one that no longer stands on the latest day is left out when its answer is made."""
    for terminal_id in sorted(facts.identifiers.get("terminal", ())):
        path = ROUTE.replace("{terminal_id}", terminal_id)
        yield Document(ROUTE, path, b"", COMMON, _of(terminal_id), {})


@get(
    "/api/v1/terminal/{terminal_id:str}/operations",
    opt=documented(
        Operation(
            operation_id="getTerminalOperations",
            summary="A terminal's stock, rates, endurance and next cargo",
            description="At the end of the production day. endurance is the time to tank-top with no lifting.",
            tag="terminals",
            answer=TerminalOperations,
            parameters=COMMON,
            path_parameters=(("terminalId", "Terminal, such as tm-kuloma."),),
        )
    ),
)
async def get_terminal_operations(request: ApiRequest, terminal_id: FromPath[str]) -> TerminalOperations:
    """Answers with the terminal."""
    return await respond(request, COMMON, _of(terminal_id))
