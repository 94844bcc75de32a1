"""GET /api/v1/data-releases and /data-releases/{releaseId}; POST activate and resume."""

from datetime import date, datetime
from typing import Annotated

from msgspec import Meta

from api.contracts.common import Contract, doc


class InForce(Contract, frozen=True, kw_only=True):
    """The pointer: which release is served, and whether a hold keeps later ones back."""

    release_id: Annotated[str, doc("Release in force.")]
    sequence: Annotated[int, doc("Moves of the pointer so far.")]
    held_by: Annotated[str | None, doc("Who holds this release in force; null without a hold.")]
    held_reason: Annotated[str | None, doc("Why it is held.")]
    changed_at: Annotated[datetime, doc("When the pointer moved (UTC).")]


class DataRelease(Contract, frozen=True, kw_only=True):
    """One kept release; all but id, marks and fault is null where its manifest cannot be read."""

    id: Annotated[str, doc("Release, as dataVersion of bodies.")]
    is_current: Annotated[bool, doc("In force.")]
    label: Annotated[str | None, doc("A labelled release is never pruned.")]
    operator: Annotated[str | None, doc("Operator.")]
    is_synthetic: Annotated[bool | None, doc("Fiction of the sandbox.")]
    built_at: Annotated[datetime | None, doc("When it was built (UTC).")]
    latest_production_date: Annotated[str | None, doc("Latest production day, YYYY-MM-DD.")]
    code_version: Annotated[str | None, doc("Version of the pipelines that built it.")]
    bytes: Annotated[int | None, doc("Size of its file.", unit="B")]
    fault: Annotated[str | None, doc("Why it cannot be served.")]


class DataReleaseList(Contract, frozen=True, kw_only=True):
    """Kept releases, newest first."""

    data_version: Annotated[str | None, doc("Release that this process serves; null before the first.")]
    fault: Annotated[str | None, doc("Why the release in force is not served; null where all is well.")]
    in_force: Annotated[InForce | None, Meta(description="The pointer; null where nothing was published yet.")]
    releases: list[DataRelease]


class HighWater(Contract, frozen=True, kw_only=True):
    """How new one source's data is."""

    source: Annotated[str, doc("Source.")]
    data_as_of: Annotated[datetime, doc("Its newest instant used (UTC).")]


class RowCount(Contract, frozen=True, kw_only=True):
    """Rows of a table."""

    table: Annotated[str, doc("Table of the release.")]
    rows: Annotated[int, doc("Rows.", unit="count")]


class InputTable(Contract, frozen=True, kw_only=True):
    """What the release was built from: one table of the lake."""

    table: Annotated[str, doc("Table of the lake.")]
    partitions: Annotated[int, doc("Files read.", unit="count")]
    rows: Annotated[int, doc("Rows read.", unit="count")]


class Check(Contract, frozen=True, kw_only=True):
    """A gate: a statement that had to hold before the release could be served."""

    gate: Annotated[str, doc("The statement.")]
    passed: Annotated[bool, doc("It holds.")]
    waived: Annotated[bool, doc("It does not hold, and a waiver let it pass.")]
    detail: Annotated[str, doc("What was found.")]
    measured: Annotated[dict[str, float], doc("Numbers behind it.")]


class ReleaseWaiver(Contract, frozen=True, kw_only=True):
    """A permission, given once by name, to publish although a gate says no."""

    gate: Annotated[str, doc("The gate.")]
    by: Annotated[str, doc("Who gave it.")]
    reason: Annotated[str, doc("Why.")]


class DataReleaseManifest(Contract, frozen=True, kw_only=True):
    """What a release is made of and what was checked."""

    id: Annotated[str, doc("Release.")]
    is_current: Annotated[bool, doc("In force.")]
    label: Annotated[str | None, doc("A labelled release is never pruned.")]
    operator: Annotated[str, doc("Operator.")]
    is_synthetic: Annotated[bool, doc("Fiction of the sandbox.")]
    built_at: Annotated[datetime, doc("When it was built (UTC).")]
    as_of: Annotated[datetime, doc("Newest source instant used (UTC).")]
    code_version: Annotated[str, doc("Version of the pipelines that built it.")]
    schema_version: Annotated[int, doc("Version of the SQL contract.")]
    zone: Annotated[str, doc("Time zone of its production days.")]
    first_production_date: Annotated[date, doc("First production day.")]
    latest_production_date: Annotated[date, doc("Latest production day.")]
    previous_release_id: Annotated[str | None, doc("Release in force when it was built.")]
    content: Annotated[str, doc("SHA-256 of what it is made of: equal content makes no new release.")]
    bytes: Annotated[int, doc("Size of its file.", unit="B")]
    sha256: Annotated[str, doc("SHA-256 of its file.")]
    high_water: list[HighWater]
    row_counts: list[RowCount]
    inputs: list[InputTable]
    checks: list[Check]
    waivers: list[ReleaseWaiver]


class Decision(Contract, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who moves the pointer by hand, and why; both are kept."""

    by: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        Meta(
            description="Who decides this; needed where callers are not authenticated, and else not read: the token says it."
        ),
    ] = None
    reason: Annotated[str, Meta(description="Why.", min_length=1, max_length=1000)]
