"""The system's row for a caller limited to assets: of one asset its own row, of several the roll-up over their facilities.

The formulas are the domain's for parents (Roll-up without double counting; Zero, null, stale). The capacity of several assets
together is no sum of theirs, and they have no published target of their own: both are null.
"""

SYSTEM_OF_ONE = """
    SELECT * REPLACE (
        'system' AS node_level, 'system' AS node_id, NULL::VARCHAR AS asset_id, NULL::DOUBLE AS published_target
    )
    FROM {release}.production_daily
    WHERE node_level = 'asset' AND node_id IN {assets}"""

_QUANTITIES = ("potential", "business_target", "production", "deferment", "over_performance", "gap")
_QUALITY_ORDER = "['notApplicable', 'good', 'uncertain', 'bad', 'stale', 'missing']"
_STATUS_ORDER = "['estimated', 'provisional', 'verified', 'approved']"


def _common(column: str) -> str:
    """The one word that all present facilities have, `mixed` where they differ."""
    here = f"{column}) FILTER (WHERE is_present"
    return f"CASE WHEN min({here}) = max({here}) THEN min({here}) WHEN min({here}) IS NOT NULL THEN 'mixed' END AS {column}"


_SUMS = ",\n            ".join(
    f"fsum({name}_volume) FILTER (WHERE is_present) AS {name}_volume" for name in _QUANTITIES
)
_VOLUMES = ",\n        ".join(
    f"CASE WHEN NOT applies THEN 0.0 WHEN is_known THEN {name}_volume END AS {name}_volume" for name in _QUANTITIES
)
_RATES = ",\n        ".join(
    f"CASE WHEN NOT applies THEN 0.0 WHEN is_known THEN {name}_volume / (day_hours / 24) END AS {name}"
    for name in _QUANTITIES
)
_WORDS = ",\n        ".join(
    f"CASE WHEN applies AND is_known THEN {name} END AS {name}"
    for name in ("potential_basis", "source", "record_status", "observed_at_utc", "target_version")
)

SYSTEM_OF_SEVERAL = f"""
    SELECT
        production_date,
        'system' AS node_level,
        'system' AS node_id,
        network,
        true AS counts_in_roll_up,
        day_hours,
        CASE WHEN NOT applies THEN 0.0 END AS max_capacity,
        {_RATES},
        {_VOLUMES},
        coverage,
        CASE
            WHEN NOT applies THEN 'notApplicable'
            WHEN NOT is_known THEN 'missing'
            ELSE {_QUALITY_ORDER}[greatest(worst, CASE WHEN is_partial THEN 3 ELSE 1 END)]
        END AS quality,
        {_WORDS},
        CASE WHEN applies AND is_known AND source = 'pi' THEN good_fraction END AS good_fraction
    FROM (
        SELECT
            * EXCLUDE (status),
            {_STATUS_ORDER}[status] AS record_status,
            on_cut > 0 OR network = 'flaredGas' AS applies,
            -- By potential where every facility has one, else by number.
            coalesce(least(1.0, CASE
                WHEN with_potential = applicable AND all_potential > 0
                    THEN coalesce(present_potential, 0.0) / all_potential
                ELSE present / nullif(applicable, 0)
            END), 0.0) AS coverage,
            present > 0 AND coverage >= 0.5 AS is_known,
            present < on_cut OR lacks_potential AS is_partial
        FROM (
            SELECT
                production_date,
                network,
                coalesce(max(day_hours) FILTER (WHERE counts_in_roll_up), max(day_hours)) AS day_hours,
                count(*) FILTER (WHERE counts_in_roll_up) AS on_cut,
                count(*) FILTER (WHERE is_cut) AS applicable,
                count(*) FILTER (WHERE is_present) AS present,
                count(potential_volume) FILTER (WHERE is_cut) AS with_potential,
                fsum(potential_volume) FILTER (WHERE is_cut) AS all_potential,
                fsum(potential_volume) FILTER (WHERE is_present) AS present_potential,
                max(list_position({_QUALITY_ORDER}, quality)) FILTER (WHERE is_present) AS worst,
                min(list_position({_STATUS_ORDER}, record_status)) FILTER (WHERE is_present) AS status,
                coalesce(
                    bool_or(potential_volume IS NULL AND network <> 'flaredGas') FILTER (WHERE is_present), false
                ) AS lacks_potential,
                {_common("source")},
                {_common("potential_basis")},
                {_common("target_version")},
                min(good_fraction) FILTER (WHERE is_present) AS good_fraction,
                max(observed_at_utc) FILTER (WHERE is_present) AS observed_at_utc,
                {_SUMS}
            FROM (
                SELECT
                    *,
                    counts_in_roll_up AND quality <> 'notApplicable' AS is_cut,
                    is_cut AND production_volume IS NOT NULL AS is_present
                FROM {{release}}.production_daily
                WHERE node_level = 'facility' AND asset_id IN {{assets}}
            )
            GROUP BY production_date, network
        )
    )"""
