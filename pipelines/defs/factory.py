"""One asset from one stage: blanket policies stand here, so that a new asset cannot forget them."""

import dataclasses
from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg

from pipelines.defs.partitions import PRODUCTION_DAYS
from pipelines.defs.resources import workspace
from pipelines.sources.errors import SourceBroken, SourceError, SourceNotReady
from pipelines.stages.registry import STAGES
from pipelines.stages.stage import Stage, StageResult
from warehouse.catalog.tables import TABLES

RETRIES = dg.RetryPolicy(max_retries=2, delay=20, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
NOT_READY_SECONDS = 300.0


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
    run = dataclasses.replace(workspace(), run_id=context.run.run_id, report=context.log.info)
    try:
        result: StageResult = stage.run(run, labels)
    except SourceNotReady as error:
        # The data is not there yet: asked again later, which is no fault of the run.
        raise dg.RetryRequested(max_retries=3, seconds_to_wait=NOT_READY_SECONDS) from error
    except SourceBroken as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except SourceError as error:
        raise dg.Failure(str(error)) from error
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": result.row_count,
            "partitions_changed": result.changed_count,
            **{f"rows in {t}": sum(w.entry.rows for w in written) for t, written in result.tables.items()},
            **result.figures,
        }
    )
