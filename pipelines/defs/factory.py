"""One asset from one stage: blanket policies stand here, so that a new asset cannot forget them."""

import dataclasses
import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg

from pipelines.defs.partitions import PRODUCTION_DAYS
from pipelines.defs.resources import workspace
from pipelines.sources.errors import SourceBroken, SourceError, SourceNotReady
from pipelines.stages.attempt import renewed, run_stage, told
from pipelines.stages.registry import STAGES
from pipelines.stages.stage import Stage, StageResult
from pipelines.stages.workspace import Workspace
from warehouse.catalog.tables import TABLES

RETRIES: dg.RetryPolicy | None = dg.RetryPolicy(
    max_retries=2, delay=20, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
# A source that is not ready is asked again so often, and then by the next scheduled run.
NOT_READY_RETRIES = 3
# `read: full` on a run reads everything that it asks for, whatever the watermarks say has not changed.
FULL_READ_TAG = "read"
NOT_READY_SECONDS = 300.0
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def column_schema(table: str) -> dg.TableSchema:
    """Dagster's column metadata, derived from the catalogue."""
    spec = TABLES[table]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=False),
                tags={"unit": unit} if (unit := _tag_value((column.metadata or {}).get("unit"))) else None,
            )
            for name, column in spec.schema.columns().items()
        ],
        constraints=dg.TableConstraints(other=[f"key: {', '.join(spec.key)}"]),
    )


def _tag_value(unit: Any) -> str | None:
    """A unit in the characters that a tag may hold: `bbl/d | scf/d` is bbl-per-d.or.scf-per-d."""
    return str(unit).replace("/", "-per-").replace(" | ", ".or.").replace(" ", "-") if unit else None


def _metadata(stage: Stage) -> dict[str, Any]:
    metadata: dict[str, Any] = {f"columns of {table}": column_schema(table) for table in stage.tables[1:]}
    if stage.tables:
        metadata["dagster/column_schema"] = column_schema(stage.tables[0])
    return metadata


def stage_asset(name: str) -> dg.AssetsDefinition:
    """The asset of a stage. It takes a range of labels and loops inside: a long backfill is one run."""
    stage = STAGES[name]

    @dg.asset(
        name=stage.name,
        description=stage.description,
        deps=list(stage.upstream),
        group_name=stage.name.split("__")[0],
        kinds={"polars", "parquet"} if stage.tables else {"duckdb"},
        partitions_def=PRODUCTION_DAYS if stage.is_partitioned else None,
        backfill_policy=dg.BackfillPolicy.single_run() if stage.is_partitioned else None,
        retry_policy=RETRIES if stage.source else None,
        pool=stage.source,
        metadata=_metadata(stage),
        code_version="1",
    )
    def materialize(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        if not stage.is_partitioned:
            return _run(stage, [workspace().latest_label], context)
        labels = [date.fromisoformat(key) for key in context.partition_keys]
        if stage.source != "pi":
            # Only PI speaks of a day that is still running.
            labels = [label for label in labels if label <= workspace().latest_label]
        return _run(stage, labels, context)

    return materialize


def _run(stage: Stage, labels: Sequence[date], context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    if not labels:
        context.log.info("the production day is still running: computed when it has closed")
        return dg.MaterializeResult(metadata={"dagster/row_count": 0, "skipped": "the production day is still running"})
    run = dataclasses.replace(
        workspace(),
        run_id=context.run.run_id,
        report=context.log.info,
        written=[],
        is_full_read=context.run.tags.get(FULL_READ_TAG) == "full",
    )
    try:
        result: StageResult = run_stage(stage, run, labels)
    except SourceError as error:
        _record_renewed(stage, run, context)
        if isinstance(error, SourceNotReady) and context.retry_number < NOT_READY_RETRIES:
            # The data is not there yet: asked again later, which is no fault of the run.
            wait = max(NOT_READY_SECONDS, error.retry_after_seconds or 0.0)
            context.log.warning(f"{told(error)}; next: asked again in {wait:.0f} s")
            raise dg.RetryRequested(max_retries=NOT_READY_RETRIES, seconds_to_wait=wait) from error
        message = f"{told(error)}; next: {_next(stage, run, error, context.retry_number)}"
        context.log.error(message)
        is_final = isinstance(error, SourceBroken | SourceNotReady)
        raise dg.Failure(message, allow_retries=not is_final) from error
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": result.row_count,
            "partitions_changed": result.changed_count,
            **{f"rows in {t}": sum(w.entry.rows for w in written) for t, written in result.tables.items()},
            **result.figures,
        }
    )


def _next(stage: Stage, ws: Workspace, error: SourceError, retry_number: int) -> str:
    """What happens after a failure, in the words of the log."""
    if isinstance(error, SourceBroken):
        return "this run does not ask again; every scheduled run does, and fails until it is corrected"
    retries = RETRIES.max_retries if RETRIES is not None else 0
    if isinstance(error, SourceNotReady) or stage.source is None or retry_number >= retries:
        at = ws.next_run(stage.source) if stage.source else None
        return f"this run gives up; the next scheduled run asks again{f' at {at:%Y-%m-%d %H:%M} UTC' if at else ''}"
    return f"this run asks again soon (retry {retry_number + 1} of {retries})"


def _record_renewed(stage: Stage, ws: Workspace, context: dg.AssetExecutionContext) -> None:
    """Tell Dagster of the production days that were renewed before the failure: only the others are missing."""
    asset = dg.AssetKey(stage.name)
    for partition in renewed(stage, ws):
        if stage.is_partitioned and _DAY.fullmatch(partition):
            rows = sum(w.entry.rows for w in ws.written if w.partition == partition)
            metadata = {"dagster/row_count": rows, "before a failure": True}
            context.log_event(dg.AssetMaterialization(asset, partition=partition, metadata=metadata))
