-- Consumer: /events, /facilities. One row per event read in the window, newest start first, events without a start last, then
-- by id. `start_position` is what a page goes on from; `total` counts the events of every page. Parameters: $first_date,
-- $last_date (both included), $facility_id, $asset_id, $network, $source, $is_open (each null: all), $row_limit, and the
-- last row seen ($after_position, $after_event_id; null: from the beginning). A facility or asset is that on which an event
-- is booked, or where its loss is counted in the window; a network is one on which it has a share there.
WITH counted AS (
    SELECT DISTINCT event_id
    FROM gap_driver_daily
    WHERE production_date BETWEEN $first_date::DATE AND $last_date::DATE
        AND ($facility_id::VARCHAR IS NULL OR facility_id = $facility_id::VARCHAR)
        AND ($asset_id::VARCHAR IS NULL OR asset_id = $asset_id::VARCHAR)
        AND ($network::VARCHAR IS NULL OR network = $network::VARCHAR)
),
overlap AS (
    SELECT event_id, sum(hours) AS hours
    FROM event_daily
    WHERE production_date BETWEEN $first_date::DATE AND $last_date::DATE
    GROUP BY event_id
),
found AS (
    SELECT
        e.event_id,
        e.facility_id,
        v.hub_id,
        v.asset_id,
        e.target_kind,
        e.target_id,
        e.started_at_utc,
        e.ended_at_utc,
        e.reason_code,
        e.source_code,
        e.title,
        e.choke,
        e.is_open,
        e.is_planned,
        e.is_third_party,
        e.oil_loss_bbl,
        e.gas_loss_scf,
        e.confidence,
        e.source,
        e.evidence,
        e.production_date AS read_on,
        o.hours,
        coalesce(epoch_us(e.started_at_utc), -9223372036854775807::BIGINT) AS start_position
    FROM event AS e
    INNER JOIN overlap AS o ON o.event_id = e.event_id
    LEFT JOIN facility_version AS v
        ON v.facility_id = e.facility_id
        AND v.valid_from <= e.production_date
        AND (v.valid_to IS NULL OR e.production_date < v.valid_to)
    WHERE ($source::VARCHAR IS NULL OR e.source = $source::VARCHAR)
        AND ($is_open::BOOLEAN IS NULL OR e.is_open = $is_open::BOOLEAN)
        AND ($network::VARCHAR IS NULL OR e.event_id IN (SELECT event_id FROM counted))
        AND (
            (
                ($facility_id::VARCHAR IS NULL OR e.facility_id = $facility_id::VARCHAR)
                AND ($asset_id::VARCHAR IS NULL OR v.asset_id = $asset_id::VARCHAR)
            )
            OR e.event_id IN (SELECT event_id FROM counted)
        )
)
SELECT *, (SELECT count(*) FROM found)::BIGINT AS total
FROM found
WHERE $after_event_id::VARCHAR IS NULL
    OR start_position < $after_position::BIGINT
    OR (start_position = $after_position::BIGINT AND event_id > $after_event_id::VARCHAR)
ORDER BY start_position DESC, event_id
LIMIT $row_limit;
