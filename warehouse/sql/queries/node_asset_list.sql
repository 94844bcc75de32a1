-- Consumer: /stream. One row per hub and facility of any time with the asset that it belongs to, the latest one of a facility
-- that moved. No parameters.
SELECT hub_id AS id, asset_id FROM hub
UNION ALL
SELECT facility_id AS id, max_by(asset_id, valid_from) AS asset_id FROM facility_version GROUP BY facility_id
ORDER BY id;
