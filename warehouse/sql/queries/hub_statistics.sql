-- Consumer: /hubs/{id}/performance. One row per network: statistics of the window that ends with the day.
-- Parameters: $hub_id, $production_date, $window_days.
SELECT
    network,
    complete_days,
    average,
    days_on_target,
    trend_per_day,
    previous_average,
    change_fraction,
    production_efficiency
FROM hub_trend
WHERE hub_id = $hub_id
    AND production_date = $production_date::DATE
    AND window_days = $window_days::BIGINT
ORDER BY network;
