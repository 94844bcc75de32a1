-- Consumer: api, once per release. One row per identifier that a caller may name: assets, hubs, facilities of any time
-- (kind: their type), target versions; with the asset of a hub or facility, the latest one of a facility that moved
-- (null: belongs to none; assets and target versions too). No parameters.
SELECT 'asset' AS kind, asset_id AS id, NULL AS asset_id FROM asset
UNION
SELECT 'hub' AS kind, hub_id AS id, asset_id FROM hub
UNION
SELECT facility_type AS kind, facility_id AS id, max_by(asset_id, valid_from) OVER (PARTITION BY facility_id) AS asset_id
FROM facility_version
UNION
SELECT 'targetVersion' AS kind, version AS id, NULL AS asset_id FROM target
ORDER BY kind, id;
