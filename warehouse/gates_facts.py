"""Gates on the facts of one file: closure, roll-up over the counting cut, identities, ranges, numbers.

Formulas are the domain model's; volumes are compared to 1e-6 of the larger side, and of 1 bbl or scf at least.
"""

from collections.abc import Callable

from duckdb import DuckDBPyConnection

from warehouse.catalog.columns import MAX_GAS_RATE_SCFPD, MAX_OIL_RATE_BBLPD, MAX_TERMINAL_VOLUME_BBL
from warehouse.gates_context import Context
from warehouse.manifest import GateResult

TOLERANCE = 1e-6
EXAMPLES = 3

_CUT = "node_level = 'facility' AND counts_in_roll_up AND network <> 'flaredGas' AND deferment_volume IS NOT NULL"

# Each query: what was checked (text), its error, whether it breaks the statement.
FOUR_NETWORKS = """
SELECT node_level || ' ' || node_id || ' ' || production_date AS what,
       4 - count(DISTINCT network) AS error,
       count(DISTINCT network) <> 4 AS is_broken
FROM production_daily GROUP BY production_date, node_level, node_id
"""

CLOSURE = f"""
WITH shares AS (
    SELECT production_date, facility_id, network, sum(volume) AS shared
    FROM gap_driver_daily GROUP BY ALL
)
SELECT node_id || ' ' || p.network || ' ' || p.production_date || ': deferment '
           || deferment_volume || ', drivers and unattributed ' || coalesce(shared, 0) AS what,
       abs(coalesce(shared, 0) - deferment_volume) / greatest(deferment_volume, 1) AS error,
       error > {TOLERANCE} AS is_broken
FROM (FROM production_daily WHERE {_CUT}) p
LEFT JOIN shares s ON s.production_date = p.production_date AND s.facility_id = p.node_id AND s.network = p.network
"""

RESIDUAL = f"""
SELECT node_id || ' ' || p.network || ' ' || p.production_date AS what,
       1.0 AS error,
       r.facility_id IS NULL AS is_broken
FROM (FROM production_daily WHERE {_CUT}) p
LEFT JOIN (FROM gap_driver_daily WHERE event_id = 'unattributed') r
    ON r.production_date = p.production_date AND r.facility_id = p.node_id AND r.network = p.network
"""

ON_THE_CUT = """
SELECT d.event_id || ' at ' || d.facility_id || ' ' || d.network || ' ' || d.production_date AS what,
       abs(d.volume) AS error,
       p.node_id IS NULL AS is_broken
FROM gap_driver_daily d
LEFT JOIN (FROM production_daily WHERE node_level = 'facility' AND counts_in_roll_up) p
    ON p.production_date = d.production_date AND p.node_id = d.facility_id AND p.network = d.network
"""

IDENTITY = f"""
SELECT node_id || ' ' || network || ' ' || production_date || ': potential ' || potential_volume || ', production '
           || production_volume || ', deferment ' || deferment_volume || ', over ' || over_performance_volume AS what,
       greatest(
           abs(deferment_volume - greatest(0, potential_volume - production_volume)),
           abs(over_performance_volume - greatest(0, production_volume - potential_volume))
       ) / greatest(potential_volume, production_volume, 1) AS error,
       error > {TOLERANCE} AS is_broken
FROM production_daily
WHERE {_CUT} AND potential_volume IS NOT NULL AND production_volume IS NOT NULL AND over_performance_volume IS NOT NULL
"""

RATES = " UNION ALL ".join(
    f"""
SELECT node_id || ' ' || network || ' ' || production_date || ': {name} ' || {name} || ' over ' || day_hours
           || ' h is not ' || {name}_volume AS what,
       abs({name} * day_hours / 24 - {name}_volume) / greatest(abs({name}_volume), 1) AS error,
       error > {TOLERANCE} AS is_broken
FROM production_daily WHERE {name} IS NOT NULL AND {name}_volume IS NOT NULL
"""
    for name in ("production", "potential", "deferment", "over_performance")
)


def _roll_up(name: str) -> str:
    """Parents against their cut children of that day; a child without production counts for none of the measures."""
    return f"""
SELECT p.node_level || ' ' || p.node_id || ' ' || p.network || ' ' || p.production_date || ': {name} '
           || coalesce(p.{name}::VARCHAR, 'null') || ', children ' || coalesce(c.{name}::VARCHAR, 'none') AS what,
       CASE WHEN p.{name} IS NULL AND c.{name} IS NOT NULL THEN 1.0
            ELSE abs(coalesce(p.{name}, 0) - coalesce(c.{name}, 0)) / greatest(p.{name}, c.{name}, 1) END AS error,
       error > {TOLERANCE} AS is_broken
FROM parents p LEFT JOIN children c
    ON c.production_date = p.production_date AND c.node_level = p.node_level AND c.node_id = p.node_id
    AND c.network = p.network
"""


ROLL_UP = """
WITH cut AS (
    FROM production_daily
    WHERE node_level = 'facility' AND counts_in_roll_up AND production_volume IS NOT NULL
),
placed AS (
    SELECT *, 'hub' AS parent_level, hub_id AS parent_id FROM cut WHERE hub_id IS NOT NULL
    UNION ALL SELECT *, 'asset', asset_id FROM cut WHERE asset_id IS NOT NULL
    UNION ALL SELECT *, 'system', 'system' FROM cut
),
children AS (
    SELECT production_date, parent_level AS node_level, parent_id AS node_id, network,
           sum(production_volume) AS production_volume, sum(potential_volume) AS potential_volume,
           sum(deferment_volume) AS deferment_volume, sum(over_performance_volume) AS over_performance_volume
    FROM placed GROUP BY ALL
),
-- Below half coverage a parent is null by rule, and there is nothing to compare.
parents AS (
    FROM production_daily WHERE node_level <> 'facility' AND (production_volume IS NOT NULL OR coverage >= 0.5)
)
""" + " UNION ALL ".join(
    _roll_up(name) for name in ("production_volume", "potential_volume", "deferment_volume", "over_performance_volume")
)

RANGES = (
    " UNION ALL ".join(
        f"""
SELECT node_id || ' ' || network || ' ' || production_date || ': {name} ' || {name} AS what,
       {name} / CASE WHEN network = 'oil' THEN {MAX_OIL_RATE_BBLPD} ELSE {MAX_GAS_RATE_SCFPD} END AS error,
       error > 1 OR {name} < 0 AS is_broken
FROM production_daily WHERE {name} IS NOT NULL
"""
        for name in ("production", "potential", "business_target", "deferment", "over_performance")
    )
    + " UNION ALL "
    + " UNION ALL ".join(
        f"""
SELECT terminal_id || ' ' || production_date || ': {name} ' || {name} AS what,
       {name} / {MAX_TERMINAL_VOLUME_BBL} AS error,
       error > 1 OR {name} < 0 AS is_broken
FROM terminal_daily WHERE {name} IS NOT NULL
"""
        for name in ("max_capacity", "gross_stock", "ready_stock", "lifted")
    )
)


def _ask(gate: str, query: str, statement: str) -> Callable[[DuckDBPyConnection, Context], GateResult]:
    def ask(connection: DuckDBPyConnection, context: Context) -> GateResult:
        summary = f"SELECT count(*), count(*) FILTER (WHERE is_broken), coalesce(max(error), 0)::DOUBLE FROM ({query})"
        checked, broken, worst = connection.execute(summary).fetchall()[0]
        detail = statement
        if broken:
            # Examples are made only for the broken rows: text for every row would cost more than the check.
            examples = connection.execute(
                f"SELECT what FROM ({query}) WHERE is_broken ORDER BY error DESC, what LIMIT {EXAMPLES}"
            ).fetchall()
            detail = f"{broken} of {checked} break it, the worst: " + "; ".join(str(what) for (what,) in examples)
        measured = {"checked": float(checked), "broken": float(broken), "worst_error": worst}
        return GateResult(gate=gate, passed=broken == 0, detail=detail, measured=measured)

    return ask


def no_value_is_nan_or_infinite(connection: DuckDBPyConnection, context: Context) -> GateResult:
    """Every published number is a number or null: not-a-number would leave the API as null, the same as missing."""
    columns = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = 'candidate' AND schema_name = 'store' AND data_type IN ('DOUBLE', 'FLOAT')"
    ).fetchall()
    by_table: dict[str, list[str]] = {}
    for table, column in columns:
        by_table.setdefault(table, []).append(column)
    wrong = []
    for table, names in by_table.items():
        counts = ", ".join(f'count(*) FILTER (WHERE NOT isfinite("{name}"))' for name in names)
        found = connection.execute(f'SELECT {counts} FROM store."{table}"').fetchall()[0]
        wrong += [f"{table}.{name}: {count} rows" for name, count in zip(names, found, strict=True) if count]
    return GateResult(
        gate="no_value_is_nan_or_infinite",
        passed=not wrong,
        detail="; ".join(wrong) or "every number is finite or null",
        measured={"columns": float(len(columns)), "broken": float(len(wrong))},
    )


_STATEMENTS = {
    "every_node_day_has_all_four_networks": (FOUR_NETWORKS, "all four networks stand at every node and day"),
    "drivers_and_unattributed_close": (CLOSURE, "drivers and the residual sum to the deferment of every cut facility"),
    "every_cut_facility_day_has_its_residual": (RESIDUAL, "every cut facility and day has its row `unattributed`"),
    "drivers_stand_on_the_counting_cut": (ON_THE_CUT, "no driver stands off the counting cut"),
    "deferment_is_potential_less_production": (
        IDENTITY,
        "d = max(0, p − q) and o = max(0, q − p) at every cut facility",
    ),
    "rates_are_volumes_per_day": (RATES, "every rate is its volume ÷ (day_hours ÷ 24)"),
    "children_sum_to_parents": (ROLL_UP, "hubs, assets and the system sum their cut facilities of the day"),
    "values_stay_in_range": (RANGES, "rates and terminal volumes stay within the ranges at load"),
}

FACT_GATES: dict[str, Callable[[DuckDBPyConnection, Context], GateResult]] = {
    gate: _ask(gate, query, statement) for gate, (query, statement) in _STATEMENTS.items()
} | {"no_value_is_nan_or_infinite": no_value_is_nan_or_infinite}
