-- Consumer: /events, /facilities. One row per event, facility where its loss is counted, and network: volumes over the
-- window, bbl for oil, scf for gas, with the facility's newest hub and asset in it. Parameters: $event_ids, $first_date,
-- $last_date (both included), $facility_id, $asset_id, $network (each null: all).
SELECT
    event_id,
    facility_id,
    network,
    arg_max(hub_id, production_date) AS hub_id,
    arg_max(asset_id, production_date) AS asset_id,
    sum(volume) AS volume,
    sum(volume_if_alone) AS volume_if_alone,
    sum(gain_if_fixed) AS gain_if_fixed
FROM gap_driver_daily
WHERE list_contains($event_ids::VARCHAR[], event_id)
    AND production_date BETWEEN $first_date::DATE AND $last_date::DATE
    AND ($facility_id::VARCHAR IS NULL OR facility_id = $facility_id::VARCHAR)
    AND ($asset_id::VARCHAR IS NULL OR asset_id = $asset_id::VARCHAR)
    AND ($network::VARCHAR IS NULL OR network = $network::VARCHAR)
GROUP BY event_id, facility_id, network
ORDER BY event_id, facility_id, network;
