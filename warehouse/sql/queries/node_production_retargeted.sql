-- Consumer: /summary, /assets, /hubs, /gap-drivers with targetVersion. Rows and columns of node_production, but
-- business_target, gap and their volumes come from the version: a parent sums its cut facilities that have a production,
-- like every other quantity.
-- Parameters: $first_date, $last_date (both included), $node_levels, $node_ids (empty: all), $target_version.
WITH wanted AS (
    SELECT *
    FROM production_daily
    WHERE production_date BETWEEN $first_date::DATE AND $last_date::DATE
        AND list_contains($node_levels::VARCHAR[], node_level)
        AND (len($node_ids::VARCHAR[]) = 0 OR list_contains($node_ids::VARCHAR[], node_id))
),
facility_target AS (
    SELECT
        p.production_date,
        p.network,
        p.node_id AS facility_id,
        p.hub_id,
        p.asset_id,
        p.counts_in_roll_up AND p.quality <> 'notApplicable' AS is_cut,
        p.production IS NOT NULL AS is_present,
        t.value * p.day_hours / 24 AS target_volume
    FROM production_daily AS p
    INNER JOIN target AS t
        ON t.version = $target_version::VARCHAR
            AND t.node_id = p.node_id
            AND t.network = p.network
            AND t.valid_from <= p.production_date
            AND (t.valid_to IS NULL OR p.production_date < t.valid_to)
    WHERE p.node_level = 'facility'
        AND p.production_date BETWEEN $first_date::DATE AND $last_date::DATE
    QUALIFY row_number() OVER (
        PARTITION BY p.production_date, p.network, p.node_id ORDER BY t.valid_from DESC
    ) = 1
),
node_target AS (
    SELECT production_date, network, 'facility' AS node_level, facility_id AS node_id, target_volume
    FROM facility_target
    WHERE is_cut
    UNION ALL
    SELECT production_date, network, 'hub', hub_id, sum(target_volume)
    FROM facility_target
    WHERE is_cut AND is_present AND hub_id IS NOT NULL
    GROUP BY production_date, network, hub_id
    UNION ALL
    SELECT production_date, network, 'asset', asset_id, sum(target_volume)
    FROM facility_target
    WHERE is_cut AND is_present AND asset_id IS NOT NULL
    GROUP BY production_date, network, asset_id
    UNION ALL
    SELECT production_date, network, 'system', 'system', sum(target_volume)
    FROM facility_target
    WHERE is_cut AND is_present
    GROUP BY production_date, network
),
retargeted AS (
    SELECT
        w.* EXCLUDE (business_target, business_target_volume, gap, gap_volume),
        CASE
            WHEN w.quality = 'notApplicable' THEN w.business_target_volume
            WHEN w.node_level <> 'facility' AND w.production IS NULL THEN NULL
            ELSE n.target_volume
        END AS business_target_volume,
        CASE
            WHEN w.quality = 'notApplicable' THEN w.business_target
            WHEN w.node_level <> 'facility' AND w.production IS NULL THEN NULL
            ELSE n.target_volume / (w.day_hours / 24)
        END AS business_target,
        w.gap AS published_gap,
        w.gap_volume AS published_gap_volume
    FROM wanted AS w
    LEFT JOIN node_target AS n
        ON n.production_date = w.production_date
            AND n.network = w.network
            AND n.node_level = w.node_level
            AND n.node_id = w.node_id
)
SELECT
    production_date,
    node_level,
    node_id,
    network,
    hub_id,
    asset_id,
    counts_in_roll_up,
    day_hours,
    max_capacity,
    potential,
    potential_basis,
    business_target,
    published_target,
    production,
    deferment,
    over_performance,
    CASE
        WHEN quality = 'notApplicable' THEN published_gap
        WHEN network = 'flaredGas' THEN production - business_target
        ELSE business_target - production
    END AS gap,
    production_volume,
    potential_volume,
    business_target_volume,
    deferment_volume,
    over_performance_volume,
    CASE
        WHEN quality = 'notApplicable' THEN published_gap_volume
        WHEN network = 'flaredGas' THEN production_volume - business_target_volume
        ELSE business_target_volume - production_volume
    END AS gap_volume,
    coverage,
    quality,
    source,
    record_status
FROM retargeted
ORDER BY production_date, node_level, node_id, network;
