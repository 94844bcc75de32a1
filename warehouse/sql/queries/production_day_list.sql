-- Consumer: api, once per release. One row per production day of the release, oldest first, with the worst record status
-- of the system's networks and the target version in force (null: none; `mixed`: several). No parameters.
SELECT
    production_date,
    (['estimated', 'provisional', 'verified', 'approved'])[
        min(list_position(['estimated', 'provisional', 'verified', 'approved'], record_status))
            FILTER (WHERE node_level = 'system')
    ] AS record_status,
    CASE
        WHEN min(target_version) = max(target_version) THEN min(target_version)
        WHEN min(target_version) IS NULL THEN NULL
        ELSE 'mixed'
    END AS target_version
FROM production_daily
GROUP BY production_date
ORDER BY production_date;
