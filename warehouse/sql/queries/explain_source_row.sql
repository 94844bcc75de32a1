-- Consumer: /explain. One row per source row behind the facilities' facts of a day: fact = Σ value × factor.
-- Parameters: $production_date, $network, $quantity.
SELECT
    facility_id,
    network,
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
    AND network = $network
    AND quantity = $quantity
ORDER BY facility_id, lake_table, source_key;
