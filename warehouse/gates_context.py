"""What a gate may look at beside the built file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from warehouse.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Context:
    """Rows written by table, high-water marks and latest day of the build; manifest of the release in force, if readable."""

    row_counts: Mapping[str, int]
    high_water: Mapping[str, datetime]
    latest: date
    base: Manifest | None
