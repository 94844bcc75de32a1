-- Consumer: /reconciliation. One row per meter of the day. Volumes: bbl for oil, scf for gas.
-- Parameters: $production_date, $systems.
SELECT
    system,
    meter_id,
    facility_id,
    network,
    measurement,
    source,
    measured,
    sigma,
    reconciled,
    reconciled_sigma,
    adjustment,
    test_statistic,
    evidence_days,
    flag
FROM meter_daily
WHERE production_date = $production_date::DATE
    AND list_contains($systems::VARCHAR[], system)
ORDER BY list_position(['grossError', 'suspect', 'ok', 'notObservable'], flag), system, facility_id, meter_id;
