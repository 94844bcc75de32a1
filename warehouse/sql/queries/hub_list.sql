-- Consumer: /assets, /production-flow, /hubs. One row per hub, in the operator's order, with its asset on the day: that of
-- its facilities then, else the current one. Parameter: $production_date.
SELECT
    h.hub_id,
    h.name,
    coalesce(
        (
            SELECT min(f.asset_id)
            FROM facility_version AS f
            WHERE f.hub_id = h.hub_id
                AND f.valid_from <= $production_date::DATE
                AND (f.valid_to IS NULL OR $production_date::DATE < f.valid_to)
        ),
        h.asset_id
    ) AS asset_id
FROM hub AS h
ORDER BY h.position, h.hub_id;
