"""How new the data of each source is: the newest source instant that stands in the core tables.

Belongs here: instants, and the rows of source_freshness. Not here: any judgement against a clock, which is made where it is
asked for, since a release must not change while it is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import polars as pl

from warehouse.catalog.release import SourceFreshness

ENERGY_COMPONENTS, PI, SHAREPOINT = "energy_components", "pi", "sharepoint"


def newest_instants(
    *,
    production: pl.DataFrame,
    readings: pl.DataFrame,
    terminals: pl.DataFrame,
    targets: pl.DataFrame,
    others: Iterable[Mapping[str, datetime | None]] = (),
) -> dict[str, datetime | None]:
    """Newest source instant by source; null where nothing of the source is there.

    `production`, `readings`, `terminals`, `targets` are core__daily_production, core__daily_reading,
    core__daily_terminal, core__target. `others` adds instants by source that only raw tables have, for example the newest
    source_updated_at_utc of events.
    """
    source, observed = pl.col("source"), production["observed_at_utc"]
    by_stock = terminals.select("stock_source", "measured_at_utc")
    candidates: dict[str, list[datetime | None]] = {
        ENERGY_COMPONENTS: [
            _newest(observed.filter(production.select(source == "ec").to_series().fill_null(False))),
            _newest(by_stock.filter(pl.col("stock_source") == "ec")["measured_at_utc"]),
        ],
        PI: [
            _newest(observed.filter(production.select(source == "pi").to_series().fill_null(False))),
            _newest(by_stock.filter(pl.col("stock_source") == "pi")["measured_at_utc"]),
            _newest(readings["last_good_at_utc"]),
        ],
        SHAREPOINT: [_newest(targets["published_at_utc"])],
    }
    for extra in others:
        for name, instant in extra.items():
            candidates.setdefault(name, []).append(instant)
    return {name: max((i for i in found if i is not None), default=None) for name, found in candidates.items()}


def source_freshness(
    *,
    newest: Mapping[str, datetime | None],
    last_success: Mapping[str, datetime | None],
    sla_seconds: Mapping[str, int],
) -> pl.DataFrame:
    """Rows of source_freshness for the sources of `sla_seconds` (those that the operator has), sorted by source."""
    rows = [(name, newest.get(name), last_success.get(name), sla) for name, sla in sorted(sla_seconds.items())]
    return pl.DataFrame(rows, schema=SourceFreshness.create_empty().schema, orient="row")


def _newest(instants: pl.Series) -> datetime | None:
    value = instants.max()
    return value if isinstance(value, datetime) else None
