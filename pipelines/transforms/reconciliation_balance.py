"""Balances of a day: unmetered flows are eliminated, so that what remains holds between measured volumes alone.

An unmetered flow that joins two nodes merges them into one balance; one that leads outside takes its node's balance away.
This is Crowe's projection (1983), which on a flow network needs no more than adding rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.transforms.reconciliation_network import Arc

Floats = npt.NDArray[np.float64]
# Left-overs of cancelled coefficients; those that count are gains, some tenths at least.
_ZERO = 1e-9


@dataclass(frozen=True)
class Balances:
    """Rows Σ coefficient × volume = 0: inputs positive, outputs negative. `spans`: nodes merged into each row."""

    nodes: tuple[str, ...]
    spans: tuple[tuple[str, ...], ...]
    keys: tuple[str, ...]
    matrix: Floats


def balances(arcs: Sequence[Arc], known: Collection[str]) -> Balances:
    """Balances between the flows named in `known`; every other arc counts as unmetered. Rows and keys in order of name."""
    rows: dict[str, dict[int, float]] = {}
    for j, arc in enumerate(arcs):
        if arc.tail is not None:
            rows.setdefault(arc.tail, {})[j] = rows.get(arc.tail, {}).get(j, 0.0) - 1.0
        if arc.head is not None:
            rows.setdefault(arc.head, {})[j] = rows.get(arc.head, {}).get(j, 0.0) + arc.gain
    spans = {node: {node} for node in rows}
    where: dict[int, set[str]] = {}
    for node, row in rows.items():
        for j in row:
            where.setdefault(j, set()).add(node)
    for j, arc in enumerate(arcs):
        if arc.key is None or arc.key not in known:
            _eliminate(j, rows, spans, where)
    nodes = sorted(node for node, row in rows.items() if any(abs(v) > _ZERO for v in row.values()))
    keys = sorted({arc.key for arc in arcs if arc.key is not None and arc.key in known})
    place = {key: i for i, key in enumerate(keys)}
    matrix = np.zeros((len(nodes), len(keys)))
    for i, node in enumerate(nodes):
        for j, value in rows[node].items():
            key = arcs[j].key
            if key is not None and key in place:
                matrix[i, place[key]] += value
    matrix[np.abs(matrix) < _ZERO] = 0.0
    kept = [i for i in range(len(nodes)) if matrix[i].any()]
    return Balances(
        tuple(nodes[i] for i in kept),
        tuple(tuple(sorted(spans[nodes[i]])) for i in kept),
        tuple(keys),
        matrix[kept],
    )


def _eliminate(
    j: int, rows: dict[str, dict[int, float]], spans: dict[str, set[str]], where: dict[int, set[str]]
) -> None:
    """Add the row that the flow leaves to the one that it enters; drop the row where it leads outside."""
    touched = [node for node in sorted(where.get(j, ())) if abs(rows[node].get(j, 0.0)) > _ZERO]
    if not touched:
        return
    if len(touched) == 1:
        gone, kept = touched[0], None
    else:
        gone, kept = sorted(touched, key=lambda node: (rows[node][j], node))
    row = rows.pop(gone)
    for column in row:
        where[column].discard(gone)
    if kept is None:
        return
    factor = -rows[kept][j] / row[j]
    spans[kept] |= spans[gone]
    for column, value in row.items():
        total = rows[kept].get(column, 0.0) + factor * value
        rows[kept][column] = total
        where[column].add(kept)
        if abs(total) <= _ZERO:
            del rows[kept][column]
            where[column].discard(kept)


def components(matrix: Floats) -> list[tuple[list[int], list[int]]]:
    """Rows and columns of the parts that share no meter, in order of their first row."""
    left = set(range(len(matrix)))
    users = [np.flatnonzero(matrix[:, j]) for j in range(matrix.shape[1])]
    parts: list[tuple[list[int], list[int]]] = []
    while left:
        rows: set[int] = set()
        columns: set[int] = set()
        front = {min(left)}
        while front:
            rows |= front
            fresh = {int(j) for i in front for j in np.flatnonzero(matrix[i])} - columns
            columns |= fresh
            front = {int(i) for j in fresh for i in users[j]} - rows
        left -= rows
        parts.append((sorted(rows), sorted(columns)))
    return parts
