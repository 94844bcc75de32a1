"""Gates against the release in force: what may not change by much, and what may never go back.

The first release of a warehouse is exempt, and so is one whose predecessor cannot be read.
"""

from collections.abc import Callable
from datetime import timedelta

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
# Units of the field differ by a thousand or a million; half-way from a hundred to a thousand, no well or valve explains it.
UNIT_FACTOR = 316
TRAILING_DAYS = 30
# A level needs a few days with production; a facility that only just started has none.
LEAST_DAYS = 3


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


def no_production_jumps_by_a_unit(connection: DuckDBPyConnection, context: Context) -> GateResult:
    """No facility's production leaves its own level by a factor of a unit (Mscf for scf).

    Judged are the last days of the release in force and what is newer, against the median of the days with production
    among those. Down counts only on the counting cut where events do not explain the loss, and not for flares, which may
    well go out; a flare may blow, so its level is the highest of those days.
    """
    gate = "no_production_jumps_by_a_unit"
    if context.base is None:
        return _exempt(gate)
    first = context.base.latest_production_date - timedelta(days=TRAILING_DAYS - 1)
    checked, broken, worst = connection.execute(
        f"SELECT count(*), count(*) FILTER (WHERE is_broken), coalesce(max(factor), 1)::DOUBLE FROM ({_JUMPS})",
        {"first": first},
    ).fetchall()[0]
    examples = connection.execute(
        f"SELECT what FROM ({_JUMPS}) WHERE is_broken ORDER BY factor DESC, what LIMIT 3", {"first": first}
    ).fetchall()
    return GateResult(
        gate=gate,
        passed=broken == 0,
        detail=f"{broken} of {checked} jump, the widest: " + "; ".join(what for (what,) in examples)
        if broken
        else "every facility produces at the level of its last days",
        measured={"checked": float(checked), "broken": float(broken), "widest_factor": worst},
    )


_JUMPS = f"""
WITH level AS (
    SELECT node_id, network,
           CASE WHEN network = 'flaredGas' THEN max(production) ELSE median(production) END AS usual
    FROM base.main.production_daily
    WHERE node_level = 'facility' AND production > 0 AND production_date >= $first
    GROUP BY node_id, network HAVING count(*) >= {LEAST_DAYS}
),
explained AS (
    SELECT production_date, facility_id, network, sum(volume) AS volume
    FROM candidate.main.gap_driver_daily WHERE event_id <> 'unattributed' GROUP BY ALL
)
SELECT node_id || ' ' || p.network || ' ' || p.production_date || ': production ' || production || ' where '
           || usual || ' is usual' AS what,
       greatest(production / usual, usual / production) AS factor,
       production > usual * {UNIT_FACTOR} OR (
           production * {UNIT_FACTOR} < usual AND counts_in_roll_up AND p.network <> 'flaredGas'
           AND coalesce(e.volume, 0) < coalesce(deferment_volume, usual) / 2
       ) AS is_broken
FROM (FROM candidate.main.production_daily WHERE node_level = 'facility' AND production > 0 AND production_date >= $first) p
JOIN level USING (node_id, network)
LEFT JOIN explained e
    ON e.production_date = p.production_date AND e.facility_id = p.node_id AND e.network = p.network
"""

_BASE_VIEWS = "SELECT view_name FROM duckdb_views() WHERE database_name = 'base' AND schema_name = 'main'"


def _exempt(gate: str) -> GateResult:
    return GateResult(gate=gate, passed=True, detail="no readable release in force to compare with")


HISTORY_GATES: dict[str, Callable[[DuckDBPyConnection, Context], GateResult]] = {
    gate.__name__: gate
    for gate in (
        row_counts_stay_within_thirty_percent,
        no_production_day_vanishes,
        high_water_marks_never_fall,
        no_production_jumps_by_a_unit,
    )
}
