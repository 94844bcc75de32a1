"""Gate on the topology: every path from source to sink crosses the counting cut of its network exactly once.

Checked for each topology that was valid on a day of the release; a network without edges has nothing to cross.
"""

from collections.abc import Callable, Iterable
from datetime import date
from graphlib import CycleError, TopologicalSorter

from duckdb import DuckDBPyConnection

from warehouse.gates_context import Context
from warehouse.manifest import GateResult

GATE = "every_path_crosses_the_cut_once"
Edge = tuple[str, str, bool]

_EDGES = """
SELECT network, from_id, to_id, on_cut, valid_from, valid_to FROM edge_version
WHERE network <> 'flaredGas' ORDER BY network, edge_id, valid_from
"""


def every_path_crosses_the_cut_once(connection: DuckDBPyConnection, context: Context) -> GateResult:
    """A path that misses the cut loses barrels, one that crosses it twice counts them double."""
    first, latest = connection.execute(
        "SELECT min(production_date), max(production_date) FROM production_daily"
    ).fetchall()[0]
    rows = connection.execute(_EDGES).fetchall()
    wrong: list[str] = []
    checked = 0
    for network in sorted({row[0] for row in rows}):
        versions = [row[1:] for row in rows if row[0] == network]
        changes = {d for *_, start, end in versions for d in (start, end) if d is not None and first < d <= latest}
        for day in sorted({first, *changes}):
            edges = [(a, b, cut) for a, b, cut, start, end in versions if _valid(day, start, end)]
            if any(cut for *_, cut in edges):
                checked += 1
                wrong += [f"{network} from {day}: {fault}" for fault in path_faults(edges)]
            elif edges:
                wrong.append(f"{network} from {day}: no edge stands on the cut")
    return GateResult(
        gate=GATE,
        passed=not wrong,
        detail="; ".join(wrong[:3]) or "every path crosses the cut once",
        measured={"checked": float(checked), "broken": float(len(wrong))},
    )


def path_faults(edges: Iterable[Edge]) -> list[str]:
    """For edges (from, to, on cut) of one network: the sinks that some path reaches with other than one crossing."""
    incoming: dict[str, list[tuple[str, bool]]] = {}
    leaves: set[str] = set()
    for origin, target, on_cut in edges:
        incoming.setdefault(target, []).append((origin, on_cut))
        incoming.setdefault(origin, [])
        leaves.add(origin)
    try:
        order = list(TopologicalSorter({node: [a for a, _ in into] for node, into in incoming.items()}).static_order())
    except CycleError as fault:
        return [f"the network has a cycle: {' → '.join(fault.args[1])}"]
    crossings: dict[str, set[int]] = {}
    for node in order:
        # Two crossings are as wrong as three: the sets stay small however many paths there are.
        crossings[node] = {min(2, n + on_cut) for a, on_cut in incoming[node] for n in crossings[a]} or {0}
    return [
        f"a path to {sink} crosses the cut {_times(crossings[sink])}"
        for sink in sorted(set(incoming) - leaves)
        if crossings[sink] != {1}
    ]


def _times(found: set[int]) -> str:
    return " or ".join({0: "never", 1: "once", 2: "more than once"}[n] for n in sorted(found - {1}))


def _valid(day: date, start: date, end: date | None) -> bool:
    return start <= day and (end is None or day < end)


TOPOLOGY_GATES: dict[str, Callable[[DuckDBPyConnection, Context], GateResult]] = {GATE: every_path_crosses_the_cut_once}
