-- Consumer: /explain. Rows of registers that hold on the day for a quantity, entity and network, the one in force last:
-- of targets the one published last, then the highest version; of capacities Energy Components before SharePoint, then the
-- latest start. Parameters: $quantity, $entity_id, $network, $production_date, $version (null: any).
SELECT
    lake_table,
    source_key,
    network,
    version,
    valid_from,
    column_name,
    value,
    unit,
    factor,
    coalesce(source_updated_at_utc, published_at_utc) AS source_updated_at_utc
FROM source_register
WHERE quantity = $quantity
    AND entity_id = $entity_id
    AND network = $network
    AND valid_from <= $production_date::DATE
    AND (valid_to IS NULL OR $production_date::DATE < valid_to)
    AND ($version::VARCHAR IS NULL OR version = $version::VARCHAR)
ORDER BY
    published_at_utc NULLS FIRST,
    version,
    CASE WHEN lake_table LIKE 'raw_energy_components%' THEN 1 ELSE 0 END,
    valid_from;
