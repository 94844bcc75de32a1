"""What a caller limited to assets sees of each view of a release: one SELECT a view. A view without a rule is not there for them.

A rule reads the release's own view (`{release}.x`) and helpers of the same scope (`{scope}.scope_x`), which say once what is
visible. A fact belongs to the asset of its day; what belongs to no asset is seen only by those who see everything.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from warehouse.reader_scope_parents import SYSTEM_OF_ONE, SYSTEM_OF_SEVERAL

# The one name under which all that was caused outside the scope stands, where its loss is counted inside.
RESTRICTED = "restricted"
RESIDUAL = "unattributed"
# Shared by everyone: words, sources and the release itself name no asset.
EVERYTHING = "SELECT * FROM {release}.{view}"
NOTHING = "SELECT * FROM {release}.{view} WHERE false"
OF_ASSET = "SELECT * FROM {release}.{view} WHERE asset_id IN {assets}"


def during(alias: str, day: str) -> str:
    """That a row with validity holds on a day."""
    return f"{alias}.valid_from <= {day} AND ({alias}.valid_to IS NULL OR {day} < {alias}.valid_to)"


def overlaps(a: str, b: str) -> str:
    """That two rows with validity hold at once."""
    return (
        f"({a}.valid_to IS NULL OR {b}.valid_from < {a}.valid_to)"
        f" AND ({b}.valid_to IS NULL OR {a}.valid_from < {b}.valid_to)"
    )


def _of_facility(column: str, day: str) -> str:
    return (
        "SELECT * FROM {release}.{view} AS x WHERE EXISTS (SELECT 1 FROM {scope}.scope_facility AS f "
        f"WHERE f.facility_id = x.{column} AND {during('f', f'x.{day}')})"
    )


def _of_terminal_now(column: str) -> str:
    return f"SELECT * FROM {{release}}.{{view}} WHERE {column} IN (SELECT facility_id FROM {{scope}}.facility)"


def _of_node(column: str) -> str:
    """That a row with validity is of something visible: a facility, an asset, or a hub that is of the scope alone."""
    return f"""(
        EXISTS (
            SELECT 1 FROM {{scope}}.scope_facility AS f WHERE f.facility_id = x.{column} AND {overlaps("f", "x")}
        )
        OR x.{column} IN {{assets}}
        OR (
            x.{column} IN (SELECT hub_id FROM {{scope}}.hub)
            AND x.{column} NOT IN (SELECT hub_id FROM {{scope}}.scope_foreign_hub)
        )
    )"""


# Helpers, in the order in which they are made; small, and stored.
HELPERS: Mapping[str, str] = {
    "scope_facility": """
        SELECT facility_id, hub_id, asset_id, valid_from, valid_to
        FROM {release}.facility_version
        WHERE asset_id IN {assets}""",
    # Hubs with a facility of their own in another asset: what they sum is not the scope's alone. Empty for most operators.
    "scope_foreign_hub": """
        SELECT DISTINCT hub_id, valid_from, valid_to
        FROM {release}.facility_version
        WHERE asset_id NOT IN {assets}
            AND hub_id IN (SELECT hub_id FROM {scope}.scope_facility WHERE hub_id IS NOT NULL)""",
    # Sources, markets and export points that a visible facility is joined to; one step only.
    "scope_external": f"""
        SELECT DISTINCT n.external_id
        FROM {{release}}.external_node AS n
        INNER JOIN {{release}}.edge_version AS e ON n.external_id IN (e.from_id, e.to_id)
        INNER JOIN {{scope}}.scope_facility AS f
            ON f.facility_id IN (e.from_id, e.to_id) AND {overlaps("e", "f")}""",
    "scope_end": """
        SELECT facility_id AS node_id, valid_from, valid_to FROM {scope}.scope_facility
        UNION ALL
        SELECT external_id, DATE '0001-01-01', NULL::DATE FROM {scope}.scope_external""",
    # An edge holds for as long as both of its ends are visible.
    "scope_edge": f"""
        SELECT
            e.edge_id,
            greatest(e.valid_from, a.valid_from, b.valid_from) AS valid_from,
            least(
                coalesce(e.valid_to, DATE '9999-12-31'),
                coalesce(a.valid_to, DATE '9999-12-31'),
                coalesce(b.valid_to, DATE '9999-12-31')
            ) AS valid_to,
            e.from_id,
            e.to_id,
            e.network,
            e.stream,
            e.capacity,
            e.on_cut
        FROM {{release}}.edge_version AS e
        INNER JOIN {{scope}}.scope_end AS a ON a.node_id = e.from_id AND {overlaps("e", "a")}
        INNER JOIN {{scope}}.scope_end AS b ON b.node_id = e.to_id AND {overlaps("e", "b")} AND {overlaps("a", "b")}""",
    "scope_node": """
        SELECT node_id, valid_from, valid_to FROM {scope}.scope_end
        UNION ALL
        SELECT edge_id, valid_from, valid_to FROM {scope}.scope_edge""",
    # Events booked at a visible facility, but for those whose very name holds something that is not visible.
    "scope_event": f"""
        SELECT e.production_date, e.event_id
        FROM {{release}}.event_daily AS e
        LEFT JOIN {{scope}}.scope_facility AS f
            ON f.facility_id = e.facility_id AND {during("f", "e.production_date")}
        LEFT JOIN {{scope}}.scope_node AS n ON n.node_id = e.target_id AND {during("n", "e.production_date")}
        WHERE (f.facility_id IS NOT NULL OR (e.facility_id IS NULL AND n.node_id IS NOT NULL))
            AND (n.node_id IS NOT NULL OR e.target_id IS NULL OR NOT contains(e.event_id, e.target_id))""",
    "scope_name": """
        SELECT DISTINCT facility_id AS name FROM {scope}.scope_facility
        UNION
        SELECT event_id FROM {scope}.scope_event""",
}


def _placed(column: str) -> str:
    """An element that is not visible is named by its upstream end where that is, as the cause of an edge is."""
    return f"""
    LEFT JOIN {{scope}}.scope_node AS n ON n.node_id = x.{column} AND {during("n", "x.production_date")}
    LEFT JOIN {{scope}}.scope_node AS u
        ON u.node_id = split_part(x.{column}, '~', 1) AND {during("u", "x.production_date")}"""


_EVENT_IS_SEEN = """EXISTS (
        SELECT 1 FROM {scope}.scope_event AS s WHERE s.production_date = x.production_date AND s.event_id = x.event_id
    )"""

_GAP_DRIVER = f"""
    SELECT x.* REPLACE (coalesce(n.node_id, u.node_id) AS cause_node_id)
    FROM {{release}}.gap_driver_daily AS x{_placed("cause_node_id")}
    WHERE x.asset_id IN {{assets}} AND (x.event_id = '{RESIDUAL}' OR {_EVENT_IS_SEEN})
    UNION ALL BY NAME
    SELECT
        x.production_date,
        '{RESTRICTED}' AS event_id,
        x.facility_id,
        x.network,
        any_value(x.hub_id) AS hub_id,
        any_value(x.asset_id) AS asset_id,
        fsum(x.volume) AS volume,
        '{RESTRICTED}' AS source
    FROM {{release}}.gap_driver_daily AS x
    WHERE x.asset_id IN {{assets}} AND x.event_id <> '{RESIDUAL}' AND NOT {_EVENT_IS_SEEN}
    GROUP BY x.production_date, x.facility_id, x.network"""

_EVENT_DAILY = f"""
    SELECT x.* REPLACE (coalesce(n.node_id, u.node_id) AS target_id)
    FROM {{release}}.event_daily AS x{_placed("target_id")}
    WHERE {_EVENT_IS_SEEN}"""

_EVENT = """
    SELECT {columns} FROM {scope}.event_daily
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY production_date DESC) = 1"""

_HUB = """
    SELECT h.* REPLACE (
        CASE WHEN h.asset_id IN {assets} THEN h.asset_id
            ELSE (SELECT max(f.asset_id) FROM {scope}.scope_facility AS f WHERE f.hub_id = h.hub_id) END AS asset_id
    )
    FROM {release}.hub AS h
    WHERE h.asset_id IN {assets} OR h.hub_id IN (SELECT hub_id FROM {scope}.scope_facility WHERE hub_id IS NOT NULL)"""

# A statistic reaches back over two windows: it is hidden where any of it was another asset's.
_HUB_TREND = """
    SELECT * FROM {release}.hub_trend AS x
    WHERE x.asset_id IN {assets} AND NOT EXISTS (
        SELECT 1 FROM {scope}.scope_foreign_hub AS m
        WHERE m.hub_id = x.hub_id
            AND m.valid_from <= x.production_date
            AND (m.valid_to IS NULL OR x.production_date - 2 * x.window_days::INTEGER + 1 < m.valid_to)
    )"""

_EDGE = """
    SELECT e.* FROM {release}.edge AS e
    WHERE e.from_id IN (SELECT facility_id FROM {scope}.facility UNION ALL SELECT external_id FROM {scope}.scope_external)
        AND e.to_id IN (SELECT facility_id FROM {scope}.facility UNION ALL SELECT external_id FROM {scope}.scope_external)"""

_EDGE_VERSION = """
    SELECT * REPLACE (CASE WHEN valid_to < DATE '9999-12-31' THEN valid_to END AS valid_to) FROM {scope}.scope_edge"""

_BALANCE = f"""
    SELECT * FROM {{release}}.balance_daily AS x
    WHERE len(string_split(x.facility_ids, ' ')) = (
        SELECT count(*) FROM {{scope}}.scope_facility AS f
        WHERE list_contains(string_split(x.facility_ids, ' '), f.facility_id) AND {during("f", "x.production_date")}
    ) AND EXISTS (
        SELECT 1 FROM {{scope}}.scope_facility AS f
        WHERE f.facility_id = x.node_id AND {during("f", "x.production_date")}
    )"""

# The global test is of all meters of the system; a part of them has none: counts are the visible meters', the rest is null.
_CLOSURE = """
    SELECT
        c.production_date,
        c.system,
        (
            SELECT count(*) FROM {scope}.balance_daily AS b
            WHERE b.production_date = c.production_date AND b.system = c.system
        ) AS balance_count,
        m.meter_count,
        m.observable_count,
        m.gross_error_count,
        NULL::DOUBLE AS inputs,
        NULL::DOUBLE AS outputs,
        NULL::DOUBLE AS imbalance,
        NULL::DOUBLE AS sigma,
        NULL::DOUBLE AS global_statistic,
        0::BIGINT AS degrees_of_freedom,
        NULL::DOUBLE AS p_value,
        NULL::DOUBLE AS critical_statistic
    FROM {release}.closure_daily AS c
    INNER JOIN (
        SELECT
            production_date,
            system,
            count(measured) AS meter_count,
            count(*) FILTER (WHERE flag <> 'notObservable') AS observable_count,
            count(*) FILTER (WHERE flag = 'grossError') AS gross_error_count
        FROM {scope}.meter_daily
        GROUP BY production_date, system
    ) AS m ON m.production_date = c.production_date AND m.system = c.system"""

# `<node>/<network>`, `<event>/<facility>/<network>`, or a terminal. What another asset's fact caused says so and no more.
_RESTATEMENT = f"""
    SELECT * EXCLUDE (parts, node, event) REPLACE (
        CASE WHEN reason NOT LIKE 'derived:%' OR list_has_all(
            (SELECT list(name) FROM {{scope}}.scope_name),
            list_transform(
                string_split(substr(reason, 9), '; '),
                lambda cause: coalesce(
                    nullif(regexp_extract(cause, ' of ([^/ ]+)(/[A-Za-z]+)?$', 1), ''), regexp_extract(cause, '^([^ @]+)', 1)
                )
            )
        ) THEN reason ELSE 'derived:outside your scope' END AS reason
    )
    FROM (
        SELECT
            *,
            string_split(entity_id, '/') AS parts,
            CASE WHEN len(parts) < 3 THEN parts[1] ELSE parts[-2] END AS node,
            CASE WHEN len(parts) >= 3 THEN array_to_string(parts[:-3], '/') END AS event
        FROM {{release}}.restatement
    ) AS x
    WHERE (
        x.node IN {{assets}}
        OR EXISTS (
            SELECT 1 FROM {{scope}}.scope_facility AS f WHERE f.facility_id = x.node AND {during("f", "x.production_date")}
        )
        OR EXISTS (
            SELECT 1 FROM {{scope}}.scope_facility AS f
            WHERE f.hub_id = x.node AND {during("f", "x.production_date")}
                AND f.hub_id NOT IN (SELECT hub_id FROM {{scope}}.scope_foreign_hub)
        )
    ) AND (
        x.event IS NULL
        OR x.event = '{RESIDUAL}'
        OR EXISTS (
            SELECT 1 FROM {{scope}}.scope_event AS s
            WHERE s.production_date = x.production_date AND s.event_id = x.event
        )
    )"""

_TARGET = f"SELECT * FROM {{release}}.target AS x WHERE {_of_node('node_id')}"
_REGISTER = f"""
    SELECT * FROM {{release}}.source_register AS x
    WHERE {_of_node("entity_id")} OR x.entity_id IN (SELECT cargo_id FROM {{scope}}.cargo)"""

# A cut is shown whole or not at all: a part of it would not sum to the capacity.
_CAPACITY_LIMIT = f"""
    SELECT * EXCLUDE (is_seen) FROM (
        SELECT x.*, EXISTS (
            SELECT 1 FROM {{scope}}.scope_node AS n WHERE n.node_id = x.element_id AND {overlaps("n", "x")}
        ) AS is_seen
        FROM {{release}}.capacity_limit AS x
        WHERE (x.node_level = 'asset' AND x.node_id IN {{assets}}) OR (
            x.node_level = 'hub' AND x.node_id IN (SELECT hub_id FROM {{scope}}.hub)
            AND x.node_id NOT IN (SELECT hub_id FROM {{scope}}.scope_foreign_hub)
        )
    )
    QUALIFY bool_and(is_seen) OVER (PARTITION BY node_level, node_id, network, valid_from)"""
_CAPACITY_LIMIT_OF_ONE = f"""
    WITH seen AS ({_CAPACITY_LIMIT})
    SELECT * FROM seen
    UNION ALL
    SELECT * REPLACE ('system' AS node_level, 'system' AS node_id) FROM seen WHERE node_level = 'asset'"""

_NODES = f"""
    SELECT * FROM {{release}}.production_daily AS x
    WHERE x.asset_id IN {{assets}} AND (x.node_level <> 'hub' OR NOT EXISTS (
        SELECT 1 FROM {{scope}}.scope_foreign_hub AS m WHERE m.hub_id = x.node_id AND {during("m", "x.production_date")}
    ))"""


@dataclass(frozen=True)
class Rule:
    """What is seen of a view. `alone` takes its place for a scope of exactly one asset, whose totals are the asset's."""

    sql: str
    alone: str | None = None


# In the order in which they are made: a rule may read the views before it.
RULES: dict[str, Rule] = {
    "asset": Rule(OF_ASSET),
    "hub": Rule(_HUB),
    "facility": Rule(OF_ASSET),
    "facility_version": Rule(OF_ASSET),
    "facility_network": Rule(
        "SELECT * FROM {release}.{view} WHERE facility_id IN (SELECT facility_id FROM {scope}.scope_facility)"
    ),
    "external_node": Rule(
        "SELECT * FROM {release}.{view} WHERE external_id IN (SELECT external_id FROM {scope}.scope_external)"
    ),
    "edge": Rule(_EDGE),
    "edge_version": Rule(_EDGE_VERSION),
    "production_daily": Rule(
        f"{_NODES} UNION ALL BY NAME {SYSTEM_OF_SEVERAL}", alone=f"{_NODES} UNION ALL {SYSTEM_OF_ONE}"
    ),
    "gap_driver_daily": Rule(_GAP_DRIVER),
    "event_daily": Rule(_EVENT_DAILY),
    "event": Rule(_EVENT),
    "terminal_daily": Rule(OF_ASSET),
    "hub_trend": Rule(_HUB_TREND),
    "meter_daily": Rule(_of_facility("facility_id", "production_date")),
    "balance_daily": Rule(_BALANCE),
    "closure_daily": Rule(_CLOSURE),
    "target": Rule(_TARGET),
    "cargo": Rule(_of_terminal_now("terminal_id")),
    "cargo_forecast_daily": Rule(_of_terminal_now("terminal_id")),
    "reading_daily": Rule(_of_facility("facility_id", "production_date")),
    "intraday": Rule(_of_facility("facility_id", "production_date")),
    "restatement": Rule(_RESTATEMENT),
    # A rejected row is raw content of a source, which may name anything.
    "quarantine": Rule(NOTHING),
    "source_row": Rule(_of_facility("facility_id", "production_date")),
    "source_register": Rule(_REGISTER),
    "capacity_limit": Rule(_CAPACITY_LIMIT, alone=_CAPACITY_LIMIT_OF_ONE),
    "terminal_balance": Rule(_of_facility("terminal_id", "production_date")),
    "reason_code": Rule(EVERYTHING),
    "source_freshness": Rule(EVERYTHING),
    "dictionary": Rule(EVERYTHING),
    "release_info": Rule(EVERYTHING),
}


def literals(values: Collection[str]) -> str:
    """A list for IN; of nothing, a list that holds no identifier."""
    return "(" + ", ".join("'" + value.replace("'", "''") + "'" for value in sorted(values) or [""]) + ")"
