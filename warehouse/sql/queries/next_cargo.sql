-- Consumer: /terminal/{id}/operations. At most one row: the cargo that the terminal loads next, seen from the end of the
-- day. A nominated cargo that slipped stays next for 14 days past its laycan, the longest usual interval between cargoes.
-- Parameters: $terminal_id, $production_date, $measured_at_utc (instant of the stock; null: the day's end).
SELECT cargo_id, parcel, laycan_start, laycan_end, status
FROM cargo
WHERE terminal_id = $terminal_id
    AND status <> 'cancelled'
    AND (
        status <> 'lifted'
        OR lifted_at_utc > coalesce(
            $measured_at_utc::TIMESTAMPTZ, ($production_date::DATE + INTERVAL 30 HOUR)::TIMESTAMPTZ
        )
    )
    AND (
        status = 'loading'
        OR laycan_end >= $production_date::DATE
        OR (status = 'nominated' AND laycan_end >= $production_date::DATE - 14)
    )
ORDER BY laycan_start NULLS LAST, cargo_id
LIMIT 1;
