"""GET /api/v1/data-freshness."""

from datetime import datetime
from typing import Annotated

from api.contracts.common import Contract, doc

FRESHNESS_WORDS = ["fresh", "delayed", "stale"]
CIRCUITS = ["closed", "open", "halfOpen"]


class SourceFreshness(Contract, frozen=True, kw_only=True):
    """One source system: how old its data is at this instant, and how its reads went."""

    source: Annotated[str, doc("Source system.")]
    in_release: Annotated[
        bool, doc("The release in force uses it; false for a source that was read but is in no release yet.")
    ]
    status: Annotated[
        str,
        doc(
            "fresh: within its SLA. delayed: older, or the last attempt failed. stale: older than twice its SLA, or no data.",
            values=FRESHNESS_WORDS,
        ),
    ]
    data_as_of: Annotated[
        datetime | None, doc("Newest instant up to which it was read (UTC); of a held release, what that holds.")
    ]
    released_as_of: Annotated[datetime | None, doc("Newest instant of it in the release in force (UTC).")]
    lag_seconds: Annotated[float | None, doc("Age of dataAsOf.", unit="s", formula="checkedAt − dataAsOf")]
    sla_seconds: Annotated[int, doc("Age that was agreed.", unit="s")]
    last_attempt: Annotated[datetime | None, doc("Last read begun (UTC).")]
    last_success: Annotated[datetime | None, doc("Last read that succeeded (UTC).")]
    last_error: Annotated[str | None, doc("What went wrong last, without secrets; null after a success.")]
    percent_good: Annotated[
        float | None, doc("Good samples of the last read, 0 to 100; null where a source has no quality.", unit="%")
    ]
    circuit: Annotated[
        str | None,
        doc("Breaker of its client; open: the source is left alone for a while. Null before a read.", values=CIRCUITS),
    ]
    circuit_since: Annotated[datetime | None, doc("Since when it stands so (UTC).")]
    circuit_next_try: Annotated[datetime | None, doc("When an open circuit is tried again (UTC).")]
    next_run: Annotated[datetime | None, doc("Next scheduled read (UTC); null where no schedule is known to run.")]


class DataFreshness(Contract, frozen=True, kw_only=True):
    """The sources of the release in force, judged at this instant."""

    checked_at: Annotated[datetime, doc("This instant (UTC).")]
    data_version: Annotated[str, doc("Release in force.")]
    held: Annotated[bool, doc("The release is held: newer builds are not activated until it is resumed.")]
    status: Annotated[
        str, doc("Worst of the release's sources: the word of the header Data-Freshness.", values=FRESHNESS_WORDS)
    ]
    status_updated_at: Annotated[datetime | None, doc("When the pipelines last wrote their status (UTC); null: never.")]
    sources: list[SourceFreshness]
