"""Tank-top: a terminal whose tanks are full and whose receipts stay below what would have arrived, `tanktop:<terminal>:<day>`.

The stock is the day's grossStock, taken at its end: a terminal that is relieved by a lifting within the day is not derived,
for a day's receipts cannot tell what was held back before the lifting from what was lost elsewhere after it.
Formula: domain model, Gap drivers. Rates per 24 h in bbl/d.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import polars as pl

from pipelines.transforms.network import OIL
from pipelines.transforms.potential import DEFAULT_SIGMA_FRACTION, SIGMAS

SOURCE = "tanktop"
# Full is what lies at most this part of safe fill below it.
FULL_MARGIN = 0.005
CHOKE = "export"
_WORD = "tanktop"

# Undisturbed oil through a terminal on a label, bbl/d; None where the terminal is not in that day's network.
Arrivals = Callable[[date, str], float | None]


def full_days(daily: pl.DataFrame, terminals: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Terminal-days that end with full tanks, and their receipts: rows of `daily` with from_utc, to_utc, safe_fill_bbl.

    `daily` is core__daily_terminal, `terminals` the reference frame, `days` ProductionCalendar.frame. A stock that was
    not measured within the day says nothing about it, and without receipts nothing is known to be held back: no row.
    """
    return (
        daily.join(terminals.select("facility_id", "safe_fill_bbl", "storage_ec_code"), on="facility_id", how="inner")
        .join(days.drop("day_hours"), on=["facility_id", "production_date"], how="inner")
        .filter(
            pl.col("gross_stock_bbl") >= pl.col("safe_fill_bbl") * (1.0 - FULL_MARGIN),
            pl.col("measured_at_utc") > pl.col("from_utc"),
            pl.col("receipts_bbl").is_not_null(),
        )
        .sort("production_date", "facility_id")
    )


def tank_top_events(
    full: pl.DataFrame,
    *,
    arrivals: Arrivals,
    sigmas: pl.DataFrame,
    booked: pl.DataFrame,
    before: pl.DataFrame,
    names: Mapping[str, str],
    evidence: Callable[[Mapping[str, Any]], str],
    reason_codes: pl.DataFrame,
    last_closed: date,
) -> list[dict[str, Any]]:
    """Rows of core__daily_event without confidence, one a full terminal-day with receipts below the arrivals at flow(∅).

    `full` as full_days gives it, `sigmas` of meter_sigmas, `booked` the day's other events: an event that is booked on
    the terminal itself with choke `export` says the same and stands instead. `before`: core__daily_event of the label
    before the first, from which a tank-top of yesterday goes on under its own id. The remaining rate is what was received.
    An event is open where it stands on `last_closed`.
    """
    fractions = {f: s for f, n, s in sigmas.iter_rows() if n == OIL}
    claimed = {
        (row["production_date"], row["facility_id"])
        for row in booked.filter(pl.col("phase") == OIL, pl.col("choke") == CHOKE).iter_rows(named=True)
    }
    going_on = {row["target_id"]: row for row in before.filter(pl.col("source") == SOURCE).iter_rows(named=True)}
    found: list[dict[str, Any]] = []
    for row in full.iter_rows(named=True):
        label, terminal_id = row["production_date"], row["facility_id"]
        expected = arrivals(label, terminal_id)
        received = row["receipts_bbl"] / row["day_hours"] * 24.0
        # Receipts fall short where they do so by more than their meter may err.
        doubt = SIGMAS * fractions.get(terminal_id, DEFAULT_SIGMA_FRACTION)
        if expected is None or received >= expected * (1.0 - doubt) or (label, terminal_id) in claimed:
            continue
        yesterday = going_on.get(terminal_id)
        is_same = yesterday is not None and (label - yesterday["production_date"]).days == 1
        event_id = yesterday["event_id"] if yesterday and is_same else f"{SOURCE}:{terminal_id}:{label.isoformat()}"
        started: datetime = yesterday["started_at_utc"] if yesterday and is_same else row["from_utc"]
        reason = tank_top_reason(reason_codes, label)
        is_open = label == last_closed
        event = {
            "production_date": label,
            "event_id": event_id,
            "phase": OIL,
            "facility_id": terminal_id,
            "target_kind": "node",
            "target_id": terminal_id,
            "started_at_utc": started,
            "ended_at_utc": None if is_open else row["to_utc"],
            "from_utc": row["from_utc"],
            "to_utc": row["to_utc"],
            "hours": row["day_hours"],
            "is_uniform": False,
            "remaining_rate": received,
            "reason_code": reason["reason_code"] if reason else None,
            "source_code": reason["ec_code"] if reason else None,
            "choke": CHOKE,
            "is_planned": bool(reason and reason["is_planned"]),
            "is_third_party": bool(reason and reason["is_third_party"]),
            "is_open": is_open,
            "title": f"Tanks full at {names.get(terminal_id, terminal_id)}",
            "source": SOURCE,
            "is_doubtful": False,
            "evidence": evidence(row),
        }
        found.append(event)
        going_on[terminal_id] = event
    return found


def tank_top_reason(reason_codes: pl.DataFrame, label: date) -> dict[str, Any] | None:
    """The site's reason for full tanks on a label, the lowest code; None where its tree has none.

    It is an export reason whose code or title has the words tank top in it.
    """
    standing = reason_codes.filter(
        pl.col("valid_from").is_null() | (pl.col("valid_from") <= label),
        pl.col("valid_to").is_null() | (pl.col("valid_to") > label),
        pl.col("choke") == CHOKE,
    )

    def has_word(column: str) -> pl.Expr:
        return pl.col(column).str.to_lowercase().str.replace_all(r"[^a-z]", "").str.contains(_WORD)

    rows = standing.filter(has_word("reason_code") | has_word("title")).sort("reason_code")
    return rows.row(0, named=True) if rows.height else None
