-- view: event
-- description: Events by id: the newest row of each, whichever production day it was read in.
-- columns of: out__daily_event
-- column production_date: Newest production day of the event that this release holds.
-- column hours: Overlap with that newest production day.
SELECT
    event_id,
    facility_id,
    target_kind,
    target_id,
    started_at_utc,
    ended_at_utc,
    reason_code,
    source_code,
    title,
    choke,
    is_open,
    is_planned,
    is_third_party,
    oil_loss_bbl,
    gas_loss_scf,
    confidence,
    source,
    evidence,
    production_date,
    hours
FROM store.out__daily_event
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY production_date DESC) = 1
