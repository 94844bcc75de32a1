"""GET /api/v1/explain."""

from datetime import date, datetime
from typing import Annotated

from api.contracts.common import Contract, Metadata, doc

OPERATIONS = [
    "sum",
    "sumNotNegative",
    "combination",
    "combinationNotNegative",
    "quotient",
    "count",
    "countOnTarget",
    "medianSlope",
    "quantile75",
    "zero",
]
ROLES = ["term", "numerator", "denominator", "production", "target", "parameter"]


class KeyColumn(Contract, frozen=True, kw_only=True):
    """One column of a row's key."""

    column: Annotated[str, doc("Column.")]
    value: Annotated[str, doc("Its value.")]


class SourceRow(Contract, frozen=True, kw_only=True):
    """One row of a file, or the file itself where the key is empty."""

    table: Annotated[str, doc("Table of the lake, or `reference/<file>` of the operator's folder.")]
    partition: Annotated[
        str | None, doc("Production day, closed month, or `all`; null where the release names no file.")
    ]
    file: Annotated[str | None, doc("Path of the file in the lake.")]
    sha256: Annotated[str | None, doc("SHA-256 of the file, as the release's manifest states it.")]
    key: Annotated[list[KeyColumn], doc("Which row of the file; empty for the file as a whole.")]
    column: Annotated[str | None, doc("Column that the value stands in.")]
    value: Annotated[float | None, doc("Value as it stands there; null where the row has none or did not come.")]
    unit: Annotated[str | None, doc("Unit of the value, as the source states it.")]
    factor: Annotated[float | None, doc("Factor from the unit to base units.")]
    revision: Annotated[int | None, doc("Revision number in the source.")]
    record_status: Annotated[str | None, doc("Status as received.")]
    updated_at: Annotated[datetime | None, doc("When the source last changed it (UTC).")]


class Input(Contract, frozen=True, kw_only=True):
    """One number that the value was made from."""

    name: Annotated[str, doc("What it is.")]
    role: Annotated[
        str,
        doc("Its place in the operation; a parameter is stated for the reader and stands in a weight.", values=ROLES),
    ]
    value: Annotated[float | None, doc("The number, in base units unless it stands in a source row as received.")]
    unit: Annotated[str | None, doc("Its unit; null for a count.")]
    weight: Annotated[float | None, doc("What it is multiplied by; null for a parameter.")]
    production_date: Annotated[date | None, doc("Production day that it is of.")]
    path: Annotated[str | None, doc("Where the API serves it: ask /explain for this path in turn.")]
    source_row: Annotated[int | None, doc("Its row: position in sourceRows.")]


class Explanation(Metadata, frozen=True, kw_only=True):
    """Where one number of a body comes from, and what it comes to when it is computed again from its inputs."""

    path: Annotated[str, doc("The number explained: address, then # and its JSON pointer.")]
    field: Annotated[str, doc("Its property.")]
    meaning: Annotated[str, doc("What the property means.")]
    value: Annotated[float | None, doc("The number served; null where the body has null.")]
    unit: Annotated[str | None, doc("Unit of the value; null for a count.")]
    formula: Annotated[str, doc("How it is made, in words.")]
    operation: Annotated[
        str,
        doc(
            "How it is made, for machines. sum: Σ value × weight over what is known. combination: the same, null where any "
            "is null. …NotNegative: at least 0. quotient: Σ numerators ÷ Σ denominators, each value × weight. count: number "
            "of terms. countOnTarget: days whose production reaches the target (flaredGas: stays at or below). medianSlope: "
            "median of the slopes of all pairs of days. quantile75: 75th percentile, linear between ranks. zero: 0 by "
            "definition.",
            values=OPERATIONS,
        ),
    ]
    base_per_unit: Annotated[
        float, doc("Base units in one unit of the value: the operation's result is divided by it.")
    ]
    inputs: list[Input]
    recomputed: Annotated[float | None, doc("The operation over the inputs, in the unit of the value.")]
    is_reproduced: Annotated[
        bool, doc("Whether recomputed equals value within 1e-9 of the larger of value and largest term.")
    ]
    source_rows: Annotated[list[SourceRow], doc("Rows that the inputs stand in, and rows behind them.")]
    notes: Annotated[list[str], doc("What else a reader should know.")]
