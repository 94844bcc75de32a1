-- Consumer: /changes. One row per restated value, oldest knowledge first. Parameters: $since (exclusive), $row_limit, and
-- the last row seen ($after_known_at, $after_what, $after_entity_id, $after_production_date; null: from the beginning).
SELECT
    r.what,
    r.entity_id,
    r.production_date,
    r.known_at_utc,
    r.old_value,
    r.new_value,
    r.delta,
    -- The dictionary writes `bbl | scf` where the network decides.
    CASE
        WHEN d.unit LIKE '% | %' THEN split_part(d.unit, ' | ', CASE WHEN r.entity_id LIKE '%/oil' THEN 1 ELSE 2 END)
        ELSE d.unit
    END AS unit,
    r.reason
FROM restatement AS r
LEFT JOIN dictionary AS d ON d.table_name || '.' || d.column_name = r.what
WHERE r.known_at_utc > $since
    AND (
        $after_known_at::TIMESTAMPTZ IS NULL
        OR (r.known_at_utc, r.what, r.entity_id, r.production_date)
        > ($after_known_at::TIMESTAMPTZ, $after_what::VARCHAR, $after_entity_id::VARCHAR, $after_production_date::DATE)
    )
ORDER BY r.known_at_utc, r.what, r.entity_id, r.production_date
LIMIT $row_limit;
