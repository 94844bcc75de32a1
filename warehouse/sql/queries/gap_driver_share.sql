-- Consumer: /gap-drivers. One row per event, facility, network and production day; the residual has event_id
-- `unattributed`. Volumes: bbl for oil, scf for gas. Parameters: $first_date, $last_date (both included), $facility_ids
-- (empty: all), $asset_id (null: all; the facility's asset on that day).
SELECT
    production_date,
    event_id,
    facility_id,
    network,
    hub_id,
    asset_id,
    cause_node_id,
    volume,
    volume_if_alone,
    gain_if_fixed,
    hours,
    choke,
    reason_code,
    is_planned,
    is_third_party,
    confidence
FROM gap_driver_daily
WHERE production_date BETWEEN $first_date::DATE AND $last_date::DATE
    AND (len($facility_ids::VARCHAR[]) = 0 OR list_contains($facility_ids::VARCHAR[], facility_id))
    AND ($asset_id::VARCHAR IS NULL OR asset_id = $asset_id::VARCHAR)
ORDER BY production_date, event_id, facility_id, network;
