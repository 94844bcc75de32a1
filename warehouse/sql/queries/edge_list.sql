-- Consumer: /production-flow, /gap-drivers. One row per edge valid on the day. Parameter: $production_date.
SELECT edge_id, from_id, to_id, network, stream, capacity
FROM edge_version
WHERE valid_from <= $production_date::DATE
    AND (valid_to IS NULL OR $production_date::DATE < valid_to)
ORDER BY edge_id;
