-- Consumer: /summary, /assets. One row per asset, in the operator's order. No parameters.
SELECT asset_id, name
FROM asset
ORDER BY position, asset_id;
