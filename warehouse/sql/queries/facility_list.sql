-- Consumer: /summary, /assets, /production-flow, /terminal. One row per facility valid on the day, in the operator's order,
-- with the networks that it serves and those on whose counting cut it owns a meter. Parameter: $production_date.
SELECT
    v.facility_id,
    v.name,
    v.facility_type,
    v.hub_id,
    v.asset_id,
    coalesce(n.served_networks, []) AS served_networks,
    coalesce(n.cut_networks, []) AS cut_networks
FROM facility_version AS v
LEFT JOIN facility AS f ON f.facility_id = v.facility_id
LEFT JOIN (
    SELECT
        facility_id,
        list(network ORDER BY network) FILTER (WHERE is_applicable) AS served_networks,
        list(network ORDER BY network) FILTER (WHERE counts_in_roll_up) AS cut_networks
    FROM facility_network
    GROUP BY facility_id
) AS n ON n.facility_id = v.facility_id
WHERE v.valid_from <= $production_date::DATE
    AND (v.valid_to IS NULL OR $production_date::DATE < v.valid_to)
ORDER BY f.position NULLS LAST, v.facility_id;
