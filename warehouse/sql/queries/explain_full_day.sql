-- Consumer: /explain. The facility's last rates of full-uptime days up to the day, oldest first.
-- Parameters: $production_date, $facility_id, $network, $count.
SELECT *
FROM (
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
    WHERE production_date <= $production_date::DATE
        AND facility_id = $facility_id
        AND network = $network
        AND quantity = 'fullDayRate'
    ORDER BY source_date DESC
    LIMIT $count::BIGINT
)
ORDER BY source_date;
