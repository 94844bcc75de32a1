-- Consumer: /explain. One row per source row behind a facility's fact: fact = Σ value × factor.
-- Parameters: $production_date, $facility_ids, $network, $quantity.
SELECT
    facility_id,
    lake_table,
    source_key,
    source_date,
    column_name,
    value,
    unit,
    factor,
    sample_table,
    rev_no,
    record_status,
    source_updated_at_utc
FROM source_row
WHERE production_date = $production_date::DATE
    AND list_contains($facility_ids::VARCHAR[], facility_id)
    AND network = $network
    AND quantity = $quantity
ORDER BY facility_id, lake_table, source_key;
