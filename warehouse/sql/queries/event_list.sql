-- Consumer: /gap-drivers. One row per event: its newest reading in the release. Parameter: $event_ids.
SELECT
    event_id,
    arg_max(title, production_date) AS title,
    arg_max(is_open, production_date) AS is_open,
    arg_max(evidence, production_date) AS evidence
FROM event_daily
WHERE list_contains($event_ids::VARCHAR[], event_id)
GROUP BY event_id
ORDER BY event_id;
