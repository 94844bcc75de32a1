"""What a terminal receives and loads in a production day, in bbl: its own meters first, then what others say of it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipelines.transforms.network import OIL
from pipelines.transforms.quality import worst_of

EXPORT_ROLE = "export"
_DAY = ["facility_id", "production_date"]


def receipts(frame: pl.DataFrame, production: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """facility_id, production_date, receipts_bbl, receipts_quality for the terminal-days of `frame`.

    The terminal's own oil row of core__daily_production (its receipt meter), else Σ of the stations whose oil lines lead to
    it that day; null where one of them has no volume, or none leads there.
    """
    oil = production.filter(pl.col("network") == OIL).select(*_DAY, "volume", "quality")
    own = frame.select(_DAY).join(oil.filter(pl.col("volume").is_not_null()), on=_DAY, how="inner")
    lines = _upstream(edges.filter(pl.col("network") == OIL), terminals=frame["facility_id"].unique().to_list())
    # A junction meters nothing: only what has a production row of its own is summed.
    lines = lines.filter(pl.col("from_id").is_in(oil["facility_id"].unique().to_list()))
    day = pl.col("production_date")
    feeding = (
        frame.select(_DAY)
        .join(own, on=_DAY, how="anti")
        .join(lines, on="facility_id", how="inner")
        .filter(
            pl.col("valid_from").is_null() | (pl.col("valid_from") <= day),
            pl.col("valid_to").is_null() | (day < pl.col("valid_to")),
        )
        .unique(["facility_id", "production_date", "from_id"])
        .join(oil.rename({"facility_id": "from_id"}), on=["from_id", "production_date"], how="left")
    )
    summed = (
        feeding.sort(*_DAY, "from_id")
        .group_by(_DAY, maintain_order=True)
        .agg(
            receipts_bbl=pl.when(pl.col("volume").is_not_null().all()).then(pl.col("volume").sum()),
            receipts_quality=worst_of("quality"),
        )
    )
    measured = own.select(*_DAY, receipts_bbl=pl.col("volume"), receipts_quality=pl.col("quality"))
    return pl.concat([measured, summed.select(measured.columns)])


def _upstream(lines: pl.DataFrame, terminals: Sequence[str]) -> pl.DataFrame:
    """Every node whose oil reaches a terminal, with the days on which the whole way stands: from_id, facility_id,
    valid_from, valid_to."""
    ways = lines.select("from_id", pl.col("to_id").alias("facility_id"), "valid_from", "valid_to")
    found = reached = ways.filter(pl.col("facility_id").is_in(list(terminals)))
    # A way is no longer than the number of nodes; beyond that it is a circle.
    for _ in range(lines["from_id"].n_unique()):
        further = ways.rename({"facility_id": "via", "valid_from": "via_from", "valid_to": "via_to"})
        reached = (
            reached.rename({"from_id": "via"})
            .join(further, on="via", how="inner")
            .select(
                "from_id",
                "facility_id",
                pl.max_horizontal("valid_from", "via_from").alias("valid_from"),
                pl.min_horizontal("valid_to", "via_to").alias("valid_to"),
            )
        )
        if reached.is_empty():
            break
        found = pl.concat([found, reached])
    return found.unique().sort(pl.all())


def liftings(
    frame: pl.DataFrame,
    stream_days: pl.DataFrame,
    streams: pl.DataFrame,
    factor: float,
    cargoes: pl.DataFrame,
) -> pl.DataFrame:
    """facility_id, production_date, lifted_bbl for the terminal-days of `frame` (with from_utc, to_utc).

    The export meter where it has a row; else Σ of cargoes whose bill of lading falls in the day, 0 where the terminal has
    cargoes and none of them does; null for a terminal of which neither is known.
    """
    meters = streams.filter(pl.col("role") == EXPORT_ROLE, pl.col("network") == OIL)
    metered = (
        stream_days.filter(pl.col("volume").is_not_null())
        .join(meters.select("stream_ec_code", "facility_id"), on="stream_ec_code", how="inner")
        .sort(*_DAY, "stream_ec_code")
        .group_by(_DAY, maintain_order=True)
        .agg(metered_bbl=pl.col("volume").sum() * factor)
    )
    lifted = cargoes.filter(pl.col("lifted_at_utc").is_not_null(), pl.col("lifted_bbl").is_not_null()).select(
        pl.col("terminal_id").alias("facility_id"), "cargo_id", "lifted_bbl", "lifted_at_utc"
    )
    loaded = (
        frame.select(*_DAY, "from_utc", "to_utc")
        .join(lifted, on="facility_id", how="inner")
        .filter(pl.col("lifted_at_utc") >= pl.col("from_utc"), pl.col("lifted_at_utc") < pl.col("to_utc"))
        .sort(*_DAY, "cargo_id")
        .group_by(_DAY, maintain_order=True)
        .agg(loaded_bbl=pl.col("lifted_bbl").sum())
    )
    has_cargoes = pl.col("facility_id").is_in(cargoes["terminal_id"].unique().to_list())
    return (
        frame.select(_DAY)
        .join(metered, on=_DAY, how="left")
        .join(loaded, on=_DAY, how="left")
        .select(
            *_DAY,
            lifted_bbl=pl.coalesce("metered_bbl", "loaded_bbl", pl.when(has_cargoes).then(0.0)),
        )
    )
