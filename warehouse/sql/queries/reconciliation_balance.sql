-- Consumer: /reconciliation. One row per balance of the day, the worst first. Volumes: bbl for oil, scf for gas.
-- Parameters: $production_date, $systems.
SELECT system, balance_id, node_id, facility_ids, inputs, outputs, imbalance, sigma, statistic, is_closed
FROM balance_daily
WHERE production_date = $production_date::DATE
    AND list_contains($systems::VARCHAR[], system)
ORDER BY abs(statistic) DESC NULLS LAST, system, balance_id;
