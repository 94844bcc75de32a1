-- Consumer: /summary, /assets, /hubs, /gap-drivers. One row per node, network and production day: rates per 24 h.
-- Parameters: $first_date, $last_date (both included), $node_levels, $node_ids (empty: all).
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
    gap,
    production_volume,
    potential_volume,
    business_target_volume,
    deferment_volume,
    over_performance_volume,
    gap_volume,
    coverage,
    quality,
    source,
    record_status
FROM production_daily
WHERE production_date BETWEEN $first_date::DATE AND $last_date::DATE
    AND list_contains($node_levels::VARCHAR[], node_level)
    AND (len($node_ids::VARCHAR[]) = 0 OR list_contains($node_ids::VARCHAR[], node_id))
ORDER BY production_date, node_level, node_id, network;
