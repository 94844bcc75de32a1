-- Consumer: /facilities. The running production day of a facility by network: none or one row a network that PI has tags of.
-- Parameter: $facility_id.
SELECT network, production_date, from_utc, to_utc, rate, percent_good, observed_at_utc, quality
FROM intraday
WHERE facility_id = $facility_id::VARCHAR
ORDER BY network;
