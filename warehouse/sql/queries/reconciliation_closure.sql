-- Consumer: /reconciliation. One row per system of the day: the global test of its balances. Volumes: bbl for oil, scf for
-- gas. Parameters: $production_date, $systems.
SELECT
    system,
    balance_count,
    meter_count,
    observable_count,
    gross_error_count,
    inputs,
    outputs,
    imbalance,
    sigma,
    global_statistic,
    degrees_of_freedom,
    p_value,
    critical_statistic
FROM closure_daily
WHERE production_date = $production_date::DATE
    AND list_contains($systems::VARCHAR[], system)
ORDER BY list_position(['oil', 'gas'], system);
