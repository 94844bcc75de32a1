-- Consumer: api, once per release. One row per identifier that a caller may name: assets, hubs, facilities of any time
-- (kind: their type), target versions. No parameters.
SELECT 'asset' AS kind, asset_id AS id FROM asset
UNION
SELECT 'hub' AS kind, hub_id AS id FROM hub
UNION
SELECT facility_type AS kind, facility_id AS id FROM facility_version
UNION
SELECT 'targetVersion' AS kind, version AS id FROM target
ORDER BY kind, id;
