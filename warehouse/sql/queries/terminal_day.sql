-- Consumer: /summary, /assets, /terminal. One row per terminal: its KPIs at the end of the day.
-- Parameters: $production_date, $terminal_ids (empty: all).
SELECT
    terminal_id,
    asset_id,
    max_capacity,
    gross_stock,
    ready_stock,
    ullage,
    production_rate,
    ready_crude,
    endurance,
    stock_cover,
    quality,
    measured_at_utc
FROM terminal_daily
WHERE production_date = $production_date::DATE
    AND (len($terminal_ids::VARCHAR[]) = 0 OR list_contains($terminal_ids::VARCHAR[], terminal_id))
ORDER BY terminal_id;
