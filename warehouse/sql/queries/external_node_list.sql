-- Consumer: /production-flow. One row per source, market, export point or junction that is no facility. No parameters.
SELECT external_id, name, kind, network
FROM external_node
ORDER BY external_id;
