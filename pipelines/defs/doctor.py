"""The doctor as a job: the same checks as `make doctor`, from where the pipelines run, with the table in the event log."""

import dagster as dg

from pipelines.defs.resources import settings
from pipelines.doctor.examination import Row
from pipelines.doctor.examine import examine
from pipelines.doctor.table import cells, summary

_HEADERS = "| source | check | result | what to do |\n| --- | --- | --- | --- |\n"


@dg.op(description="Checks each configured source, the site's folder and the storage; fails when a check fails.")
def examine_sources(context: dg.OpExecutionContext) -> None:
    """One log line a check; the whole table as metadata; Failure naming the failed checks."""

    def say(row: Row) -> None:
        told = " | ".join(cells(row))
        {"failed": context.log.error, "warning": context.log.warning}.get(row.outcome, context.log.info)(told)

    rows = examine(settings(), on_row=say).rows
    lines = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in cells(row))} |" for row in rows)
    context.add_output_metadata({"checks": dg.MetadataValue.md(_HEADERS + lines), "summary": summary(rows)})
    failed = [f"{row.source}, {row.check}: {row.result}; {row.advice}" for row in rows if row.outcome == "failed"]
    if failed:
        raise dg.Failure(
            f"{summary(rows)}. " + " ".join(failed),
            metadata={"checks": dg.MetadataValue.md(_HEADERS + lines)},
            allow_retries=False,
        )


@dg.job(description="Why does a source not answer? Each check with what to do; see docs/sources.md.")
def doctor() -> None:
    """Examine everything once."""
    examine_sources()


@dg.definitions
def defs() -> dg.Definitions:
    """The job, started by hand."""
    return dg.Definitions(jobs=[doctor])
