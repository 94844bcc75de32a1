-- Consumer: /explain. One row per event and production day. Parameters: $event_ids, $first_date, $last_date (included).
SELECT production_date, event_id, hours, evidence
FROM event_daily
WHERE list_contains($event_ids::VARCHAR[], event_id)
    AND production_date BETWEEN $first_date::DATE AND $last_date::DATE
ORDER BY event_id, production_date;
