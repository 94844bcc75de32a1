-- Consumer: /readyz. One row: the release answers. No parameters.
SELECT count(*) AS row_count
FROM production_daily
WHERE production_date = (SELECT latest_production_date FROM release_info)
    AND node_level = 'system';
