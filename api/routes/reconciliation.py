"""GET /api/v1/reconciliation: closure and imbalance by node, and the meters with their flags."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from litestar import get

from api.contracts.reconciliation import (
    MeterDay,
    NodeBalance,
    Reconciliation,
    SystemClosure,
    SystemReconciliation,
    SystemVolumeUnits,
)
from api.dependencies import ApiRequest, respond
from api.facts import ReleaseFacts
from api.kpis import Row
from api.operations import Operation, documented
from api.parameters import COMMON, NETWORK
from api.preparing import Document
from api.problems import Problem
from api.units import rounded
from api.view import View

PATH = "/api/v1/reconciliation"
VIEWS = ("meter_daily", "balance_daily", "closure_daily")
NETWORKS_OF = {"oil": ("oil",), "gas": ("domesticGas", "exportGas", "flaredGas")}
BALANCED_NETWORK = replace(
    NETWORK, description="Only the system that this network belongs to; the gas networks are balanced together."
)
PARAMETERS = tuple(BALANCED_NETWORK if parameter is NETWORK else parameter for parameter in COMMON)


def assemble(view: View) -> Reconciliation:
    """Every system of the day that has meters, or that of the network asked for.

    Raises Problem notFound for a release that was built before reconciliation was.
    """
    if not {row["table_name"] for row in view.query("table_list")}.issuperset(VIEWS):
        release = view.facts.release_id
        raise Problem("notFound", f"Release {release} was built before data reconciliation: it holds no balances.")
    scope = {
        "production_date": view.production_date,
        "systems": [system for system, networks in NETWORKS_OF.items() if view.network in (None, *networks)],
    }
    balances = view.query("reconciliation_balance", **scope)
    meters = view.query("reconciliation_meter", **scope)
    return Reconciliation(
        **view.metadata(),
        uom=SystemVolumeUnits(oil=view.units.unit("oilVolume"), gas=view.units.unit("gasVolume")),
        network=view.network,
        systems=[
            _system(view, row, _of_system(balances, row["system"]), _of_system(meters, row["system"]))
            for row in view.query("reconciliation_closure", **scope)
        ],
    )


def _of_system(rows: Sequence[Row], system: str) -> list[Row]:
    return [row for row in rows if row["system"] == system]


def ratio(part: float | None, whole: float | None) -> float | None:
    """part ÷ whole; null where either is null or the whole is 0."""
    return None if part is None or not whole else rounded(part / whole)


def _system(view: View, row: Row, balances: Sequence[Row], meters: Sequence[Row]) -> SystemReconciliation:
    system: str = row["system"]

    def volume(value: float | None) -> float | None:
        return view.units.volume(value, system)

    return SystemReconciliation(
        system=system,
        networks=list(NETWORKS_OF[system]),
        closure=SystemClosure(
            inputs=volume(row["inputs"]),
            outputs=volume(row["outputs"]),
            imbalance=volume(row["imbalance"]),
            sigma=volume(row["sigma"]),
            closure=ratio(row["outputs"], row["inputs"]),
            global_statistic=rounded(row["global_statistic"]),
            degrees_of_freedom=row["degrees_of_freedom"],
            p_value=rounded(row["p_value"]),
            critical_statistic=rounded(row["critical_statistic"]),
            meter_count=row["meter_count"],
            observable_count=row["observable_count"],
            gross_error_count=row["gross_error_count"],
        ),
        balances=[
            NodeBalance(
                id=balance["balance_id"],
                node_id=balance["node_id"],
                facility_ids=balance["facility_ids"].split(),
                inputs=volume(balance["inputs"]),
                outputs=volume(balance["outputs"]),
                imbalance=volume(balance["imbalance"]),
                sigma=volume(balance["sigma"]),
                closure=ratio(balance["outputs"], balance["inputs"]),
                statistic=rounded(balance["statistic"]),
                closed=balance["is_closed"],
            )
            for balance in balances
        ],
        meters=[
            MeterDay(
                id=meter["meter_id"],
                facility_id=meter["facility_id"],
                network=meter["network"],
                measurement=meter["measurement"],
                source=meter["source"],
                measured=volume(meter["measured"]),
                sigma=volume(meter["sigma"]),
                reconciled=volume(meter["reconciled"]),
                reconciled_sigma=volume(meter["reconciled_sigma"]),
                adjustment=volume(meter["adjustment"]),
                bias=ratio(None if meter["adjustment"] is None else -meter["adjustment"], meter["reconciled"]),
                test_statistic=rounded(meter["test_statistic"]),
                evidence_days=meter["evidence_days"],
                flag=meter["flag"],
            )
            for meter in meters
        ],
    )


def prepare(_: ReleaseFacts) -> Iterable[Document]:
    """All systems of the latest day."""
    yield Document(PATH, PATH, b"", PARAMETERS, assemble, {})


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="getReconciliation",
            summary="Closure and imbalance by node, and the meters that do not fit",
            description="Steady-state data reconciliation of the production day: measured volumes, their estimates by "
            "weighted least squares that close every balance, and the meters whose error the balances show.",
            tag="production",
            answer=Reconciliation,
            parameters=PARAMETERS,
        )
    ),
)
async def get_reconciliation(request: ApiRequest) -> Reconciliation:
    """Answers with the reconciliation."""
    return await respond(request, PARAMETERS, assemble)
