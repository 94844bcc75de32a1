-- Consumer: /explain. One row per production day of a terminal, newest first: what its KPIs are made from.
-- Parameters: $terminal_id, $first_date, $last_date (both included).
SELECT production_date, day_hours, gross_stock, stock_source, water, receipts
FROM terminal_balance
WHERE terminal_id = $terminal_id
    AND production_date BETWEEN $first_date::DATE AND $last_date::DATE
ORDER BY production_date DESC;
