-- Consumer: /facilities. The version of a facility that is valid on the day: none or one row. Parameters: $facility_id,
-- $production_date.
SELECT facility_id, valid_from, valid_to, name, facility_type, hub_id, hub_name, asset_id, asset_name, zone, day_start
FROM facility_version
WHERE facility_id = $facility_id::VARCHAR
    AND valid_from <= $production_date::DATE
    AND (valid_to IS NULL OR $production_date::DATE < valid_to)
ORDER BY valid_from DESC
LIMIT 1;
