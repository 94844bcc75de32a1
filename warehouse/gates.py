"""Gates: statements that must hold in a built file before it may be served, each with what was measured.

A gate is named by its statement. A failed one refuses the release, unless a named one-time waiver lets it pass.
"""

from collections.abc import Callable

from duckdb import DuckDBPyConnection

from warehouse.gates_context import Context
from warehouse.gates_facts import FACT_GATES
from warehouse.gates_history import HISTORY_GATES
from warehouse.gates_topology import TOPOLOGY_GATES
from warehouse.manifest import GateResult

Gate = Callable[[DuckDBPyConnection, Context], GateResult]

FITS_SCHEMA = "every_table_fits_its_schema"
ROWS_WRITTEN = "rows_read_are_rows_written"
NEVER_WAIVED = frozenset({FITS_SCHEMA, ROWS_WRITTEN})


def rows_read_are_rows_written(connection: DuckDBPyConnection, context: Context) -> GateResult:
    """The reopened file holds as many rows a table as were handed over."""
    wrong = []
    for table, written in context.row_counts.items():
        found = connection.execute(f'SELECT count(*) FROM store."{table}"').fetchall()[0][0]
        if found != written:
            wrong.append(f"{table} has {found} rows, {written} were written")
    return GateResult(
        gate=ROWS_WRITTEN,
        passed=not wrong,
        detail="; ".join(wrong) or "every table reads back as written",
        measured={"checked": float(len(context.row_counts)), "broken": float(len(wrong))},
    )


GATES: dict[str, Gate] = {ROWS_WRITTEN: rows_read_are_rows_written} | FACT_GATES | TOPOLOGY_GATES | HISTORY_GATES


def names() -> list[str]:
    """Every gate by name; the first is asked of the frames, before there is a file."""
    return [FITS_SCHEMA, *GATES]


def run_gates(connection: DuckDBPyConnection, context: Context) -> list[GateResult]:
    """Ask every gate of the file in use as `candidate`; the release in force is attached as `base` where there is one."""
    fits = GateResult(gate=FITS_SCHEMA, passed=True, detail="every frame was checked against the catalogue")
    return [fits, *(gate(connection, context) for gate in GATES.values())]


__all__ = ["FITS_SCHEMA", "GATES", "NEVER_WAIVED", "ROWS_WRITTEN", "Context", "names", "run_gates"]
