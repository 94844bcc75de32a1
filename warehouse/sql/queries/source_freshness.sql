-- Consumer: api, once per release. One row per source that the release used. No parameters.
SELECT source, data_as_of_utc, last_success_at_utc, sla_seconds
FROM source_freshness
ORDER BY source;
