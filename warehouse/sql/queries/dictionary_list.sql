-- Consumer: /data-dictionary. One row per column of a view that the release documents. No parameters.
SELECT table_name, column_name, description, data_type, unit, display_unit, display_scale, formula, source, owner
FROM dictionary
ORDER BY table_name, column_name;
