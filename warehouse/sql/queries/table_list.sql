-- Consumer: /facilities, /exports, /reconciliation. One row per view that the release describes in its dictionary: an older
-- release lacks the newer ones. No parameters.
SELECT DISTINCT table_name
FROM dictionary
ORDER BY table_name;
