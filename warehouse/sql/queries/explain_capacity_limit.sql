-- Consumer: /explain. Elements of the smallest cut behind a parent's capacity on the day.
-- Parameters: $node_level, $node_id, $network, $production_date.
SELECT element_kind, element_id, element_network, capacity, weight
FROM capacity_limit
WHERE node_level = $node_level
    AND node_id = $node_id
    AND network = $network
    AND valid_from <= $production_date::DATE
    AND (valid_to IS NULL OR $production_date::DATE < valid_to)
ORDER BY element_kind, element_id;
