"""Out restatements: what the days of a run said when they were last compared, against what they say now.

The old state is read from the files that were current then, which the lake never rewrites; core__compared_file remembers them.
Only days whose files differ are read, so that a refresh costs what changed and not what stands.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from importlib.metadata import version

import polars as pl

from pipelines.lake import Written, empty
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from pipelines.transforms import revisions_restatement as revisions

RESTATEMENT, COMPARED, ACTUAL = "out__restatement", "core__compared_file", "core__actual"
_MONTH, _DAY = len("2026-11"), len("2026-11-21")


def build(ws: Workspace, labels: Sequence[date]) -> StageResult:
    """Add restatements for the labels whose published tables changed since they were last compared.

    The first time that a label is compared makes none. Labels without a new restatement get no file.
    """
    before = ws.lake.read(COMPARED, labels[0], labels[-1])
    after = _current_files(ws, labels)
    changed = _changed(before, after)
    written: list[Written] = []
    height = 0
    if changed:
        fresh = _restatements(ws, changed, before, after)
        height = fresh.height
        days = list(revisions.days_of(fresh))
        if days:
            kept = ws.lake.read(RESTATEMENT, days[0], days[-1]).filter(pl.col("production_date").is_in(days))
            # Days, never months: a restatement is told weeks after its month was closed.
            written = ws.lake.write_days(
                RESTATEMENT, pl.concat([kept, fresh]), days, provenance=ws.provenance("restatements")
            )
    # Restatements are told first: a run that dies in between tells them again, and a change is never told twice.
    compared = ws.write(COMPARED, after, labels)
    return StageResult(
        {RESTATEMENT: written, COMPARED: compared}, {"days compared": len(changed), "numbers restated": height}
    )


def _current_files(ws: Workspace, labels: Sequence[date]) -> pl.DataFrame:
    """core__compared_file of the labels as the lake stands: a day's own file, else its month's."""
    rows = []
    for table in revisions.TABLES:
        parts = {p.partition: p.entry for p in ws.lake.partitions(table, labels[0], labels[-1])}
        for label in labels:
            name = f"{label}" if f"{label}" in parts else f"{label:%Y-%m}"
            if name in parts:
                rows.append((label, table, name, parts[name].sha256))
    return pl.DataFrame(rows, schema=empty(COMPARED).schema, orient="row")


def _changed(before: pl.DataFrame, after: pl.DataFrame) -> list[date]:
    """Labels compared before whose files are others now."""
    key = ["production_date", "table_name"]
    differs = pl.col("sha256").ne_missing(pl.col("sha256_after"))
    both = before.join(after.select(*key, pl.col("sha256").alias("sha256_after")), on=key, how="left")
    return list(revisions.days_of(both.filter(differs)))


def _restatements(ws: Workspace, days: Sequence[date], before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    lost = _without_file(ws, before.filter(pl.col("production_date").is_in(list(days))))
    if lost:
        ws.report(
            f"{len(lost)} days cannot be compared, the files of their old state are gone: {lost[0]} to {lost[-1]}"
        )
    told = [day for day in days if day not in lost]
    if not told:
        return empty(RESTATEMENT)
    first, last = told[0], told[-1]
    inside = pl.col("production_date").is_in(told)
    return revisions.restatements(
        _state(ws, before, told),
        _state(ws, after, told),
        revisions.Known(
            versions=ws.lake.read(ACTUAL, first, last).filter(inside),
            restated=ws.lake.read(RESTATEMENT, first, last).filter(inside),
            earlier=_of_this_run(ws, first),
            now=ws.now(),
            code_version=version("production-gap"),
        ),
    )


def _without_file(ws: Workspace, files: pl.DataFrame) -> list[date]:
    missing = [
        day for day, table, partition, sha256 in files.iter_rows() if not ws.lake.has_file(table, partition, sha256)
    ]
    return sorted(set(missing))


def _state(ws: Workspace, files: pl.DataFrame, days: Sequence[date]) -> Mapping[str, pl.DataFrame]:
    """Rows of the days by table, from the files named; a month's file is opened once."""
    wanted = files.filter(pl.col("production_date").is_in(list(days)))
    state: dict[str, pl.DataFrame] = {}
    for table in revisions.TABLES:
        frames = [empty(table)]
        parts = wanted.filter(pl.col("table_name") == table).partition_by("partition", "sha256", as_dict=True)
        for (partition, sha256), rows in parts.items():
            held = pl.col("production_date").is_in(rows["production_date"].to_list())
            frames.append(ws.lake.scan_file(table, str(partition), str(sha256)).filter(held).collect())
        state[table] = pl.concat(frames)
    return state


def _of_this_run(ws: Workspace, first: date) -> pl.DataFrame:
    """Restatements that this run found of the days before: a long range of days is computed piece by piece."""
    begin, end = first - timedelta(days=revisions.EARLIER_DAYS), first - timedelta(days=1)
    parts = [
        part
        for part in ws.lake.partitions(RESTATEMENT, begin, end)
        if len(part.partition) == _DAY
        and (sidecar := ws.lake.sidecar(RESTATEMENT, part.partition)) is not None
        and sidecar.run_id == ws.run_id
    ]
    if not parts:
        return empty(RESTATEMENT)
    rows = ws.lake.scan_parts(parts).collect()
    return rows.filter(pl.col("known_at_utc") == pl.col("known_at_utc").max().over("production_date"))


STAGE = Stage(
    name="out__restatement",
    run=build,
    tables=(RESTATEMENT, COMPARED),
    upstream=("core__production", "core__event", "out__production", "out__gap_driver", "out__terminal"),
    description="What changed after a production day was first loaded: old, new, delta, and the fact behind it.",
)
