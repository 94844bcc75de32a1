"""Gates against the release in force: what may not change by much, and what may never go back.

The first release of a warehouse is exempt, and so is one whose predecessor cannot be read.
"""

from collections.abc import Callable

from duckdb import DuckDBPyConnection

from warehouse.gates_context import Context
from warehouse.manifest import GateResult

# The owner's bound on the change of a table's rows over the production days that both releases hold.
CHANGE = 0.30
# Evidence grows by late entry: where there are few rows, a handful more is no sign of a fault.
EVIDENCE = ("event_daily", "gap_driver_daily")
EVIDENCE_ALLOWANCE = 20
DAILY = ("production_daily", "terminal_daily", "hub_trend", "reading_daily", *EVIDENCE)
# Tables without days may grow; losing rows by the same bound is what a failed read looks like.
UNDATED = ("asset", "hub", "facility", "facility_network", "edge", "target")


def row_counts_stay_within_thirty_percent(connection: DuckDBPyConnection, context: Context) -> GateResult:
    """Rows a table over the production days common with the release in force."""
    gate = "row_counts_stay_within_thirty_percent"
    if context.base is None:
        return _exempt(gate)
    wrong: list[str] = []
    worst = 0.0
    common = (
        "production_date IN (SELECT production_date FROM candidate.main.production_daily "
        "INTERSECT SELECT production_date FROM base.main.production_daily)"
    )
    known = {name for (name,) in connection.execute(_BASE_VIEWS).fetchall()}
    for view in (v for v in DAILY + UNDATED if v in known):
        where = common if view in DAILY else "true"
        before, after = (
            connection.execute(f"SELECT count(*) FROM {side}.main.{view} WHERE {where}").fetchall()[0][0]
            for side in ("base", "candidate")
        )
        change = abs(after - before) / before if before else float(after > 0)
        if view in EVIDENCE and abs(after - before) <= EVIDENCE_ALLOWANCE:
            continue
        if view in UNDATED and after >= before:
            continue
        worst = max(worst, change)
        if change > CHANGE:
            wrong.append(f"{view} has {after} rows where the release in force has {before}")
    return GateResult(
        gate=gate,
        passed=not wrong,
        detail="; ".join(wrong) or "every table has about as many rows as before",
        measured={"worst_change": worst, "broken": float(len(wrong))},
    )


def no_production_day_vanishes(connection: DuckDBPyConnection, context: Context) -> GateResult:
    """A day of the release in force may leave at the old end of the history, never from its middle."""
    gate = "no_production_day_vanishes"
    if context.base is None:
        return _exempt(gate)
    gone = [
        str(day)
        for (day,) in connection.execute(
            "WITH days AS (SELECT DISTINCT production_date AS day FROM candidate.main.production_daily) "
            "SELECT DISTINCT production_date FROM base.main.production_daily "
            "WHERE production_date BETWEEN (SELECT min(day) FROM days) AND (SELECT max(day) FROM days) "
            "AND production_date NOT IN (SELECT day FROM days) ORDER BY 1"
        ).fetchall()
    ]
    return GateResult(
        gate=gate,
        passed=not gone,
        detail=f"{len(gone)} days are missing, first {', '.join(gone[:3])}" if gone else "every day is still there",
        measured={"broken": float(len(gone))},
    )


def high_water_marks_never_fall(connection: DuckDBPyConnection, context: Context) -> GateResult:
    """Neither the latest production day nor any source's newest instant goes back, and no source is lost."""
    gate = "high_water_marks_never_fall"
    if context.base is None:
        return _exempt(gate)
    wrong = []
    if context.latest < context.base.latest_production_date:
        wrong.append(f"latest production day {context.latest}, before {context.base.latest_production_date}")
    for source, before in sorted(context.base.high_water.items()):
        after = context.high_water.get(source)
        if after is None:
            wrong.append(f"{source} has no mark, before {before.isoformat()}")
        elif after < before:
            wrong.append(f"{source} {after.isoformat()}, before {before.isoformat()}")
    return GateResult(
        gate=gate,
        passed=not wrong,
        detail="; ".join(wrong) or "every mark stands or rose",
        measured={"checked": float(len(context.base.high_water) + 1), "broken": float(len(wrong))},
    )


_BASE_VIEWS = "SELECT view_name FROM duckdb_views() WHERE database_name = 'base' AND schema_name = 'main'"


def _exempt(gate: str) -> GateResult:
    return GateResult(gate=gate, passed=True, detail="no readable release in force to compare with")


HISTORY_GATES: dict[str, Callable[[DuckDBPyConnection, Context], GateResult]] = {
    gate.__name__: gate
    for gate in (row_counts_stay_within_thirty_percent, no_production_day_vanishes, high_water_marks_never_fall)
}
