"""GET /api/v1/changes."""

from datetime import date, datetime
from typing import Annotated

from api.contracts.common import Contract, Metadata, doc


class Change(Contract, frozen=True, kw_only=True):
    """One value that was restated after it was first loaded."""

    what: Annotated[str, doc("`<view>.<column>` of the release.")]
    entity_id: Annotated[
        str,
        doc("`<node>/<network>`, `<event>/<facility>/<network>` of a driver, or the terminal, as the release has it."),
    ]
    production_date: Annotated[date, doc("Production day of the value.")]
    known_at: Annotated[datetime, doc("When the new value was first seen (UTC).")]
    old: Annotated[float | None, doc("Value before; null: there was none.")]
    new: Annotated[float | None, doc("Value after; null: there is none any more.")]
    delta: Annotated[float | None, doc("Change; null where either value is.", formula="new − old")]
    unit: Annotated[str | None, doc("Unit of the three, always a base unit.")]
    reason: Annotated[str, doc("What the source did, or the fact that this value follows from.")]


class ChangeList(Metadata, frozen=True, kw_only=True):
    """Restated values, oldest knowledge first."""

    since: Annotated[datetime, doc("Changes known after this instant (UTC).")]
    changes: list[Change]
    next: Annotated[str | None, doc("Send it as cursor for the changes that follow; null: these are the last.")]
