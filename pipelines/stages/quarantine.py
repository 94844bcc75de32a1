"""Rejected rows of a stage, merged into the day's quarantine without disturbing those of other stages."""

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from pipelines.lake import Written, empty
from pipelines.stages.workspace import Workspace

TABLE = "core__quarantine"
_IDENTITY = ["production_date", "source", "dataset", "row_id"]


def replace_quarantine(
    ws: Workspace, labels: Sequence[date], datasets: Collection[str], rows: Sequence[pl.DataFrame]
) -> list[Written]:
    """Replace the quarantined rows of `datasets` over the labels. A row rejected before keeps its first instant."""
    old = ws.lake.read(TABLE, labels[0], labels[-1])
    fresh = pl.concat([empty(TABLE), *(r.select(empty(TABLE).columns) for r in rows)]).unique(
        _IDENTITY, keep="first", maintain_order=True
    )
    first_seen = old.select(*_IDENTITY, pl.col("rejected_at_utc").alias("_first_seen"))
    fresh = (
        fresh.join(first_seen, on=_IDENTITY, how="left")
        .with_columns(pl.coalesce("_first_seen", "rejected_at_utc").alias("rejected_at_utc"))
        .drop("_first_seen")
    )
    others = old.filter(~pl.col("dataset").is_in(list(datasets)))
    inside = fresh.filter(pl.col("production_date").is_between(labels[0], labels[-1]))
    return ws.write(TABLE, pl.concat([others, inside]), labels)


def rejected_by_source(ws: Workspace, source: str, labels: Sequence[date]) -> pl.DataFrame:
    """Rows that did not even parse, as rows of core__quarantine."""
    table = f"raw_{source}__rejected_row"
    raw = ws.lake.read(table, labels[0], labels[-1]) if source != "sharepoint" else ws.lake.read_snapshot(table)
    return _quarantined(ws, source, raw)


def rejected_registers(ws: Workspace) -> pl.DataFrame:
    """Rows of Energy Components' registers that did not parse, as rows of core__quarantine."""
    return _quarantined(ws, "energy_components", ws.lake.read_snapshot("raw_energy_components__rejected_register_row"))


def _quarantined(ws: Workspace, source: str, raw: pl.DataFrame) -> pl.DataFrame:
    return raw.with_columns(
        pl.lit(source).alias("source"),
        pl.lit(ws.now()).cast(empty(TABLE).schema["rejected_at_utc"]).alias("rejected_at_utc"),
    ).select(empty(TABLE).columns)
