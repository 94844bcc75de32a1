"""What an explanation is made of before it is written: inputs, how they combine, and the arithmetic that combines them.

Nothing here knows an endpoint. Values are in base units; only the answer converts.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from api.units import Quantity

# Relative size to which a number must be reproduced.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class RowReference:
    """A row of a file of the lake, or a whole file where `key` is empty."""

    table: str
    partition: str | None
    sha256: str | None
    key: tuple[tuple[str, str], ...] = ()
    column: str | None = None
    value: float | None = None
    unit: str | None = None
    factor: float | None = None
    revision: int | None = None
    record_status: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Term:
    """One input. `weight` None: a parameter, which is stated and not computed with."""

    name: str
    value: float | None
    unit: str | None
    weight: float | None = 1.0
    role: str = "term"
    day: date | None = None
    path: str | None = None
    row: RowReference | None = None

    @property
    def part(self) -> float | None:
        """value × weight; null where either is."""
        return None if self.value is None or self.weight is None else self.value * self.weight


@dataclass(frozen=True)
class Draft:
    """How a number is made. `rows` are those behind the inputs' own; `network` decides what on target means."""

    formula: str
    operation: str
    terms: Sequence[Term] = ()
    quantity: Quantity | None = None
    rows: Sequence[RowReference] = ()
    notes: Sequence[str] = ()
    network: str | None = None


def parameter(name: str, value: float | None, unit: str | None, **more: object) -> Term:
    """An input that is stated for the reader."""
    return Term(name, value, unit, None, "parameter", **more)  # type: ignore[arg-type]


def recompute(draft: Draft) -> float | None:
    """The operation over the terms, in base units; null where what it needs is not there."""
    terms = [term for term in draft.terms if term.role != "parameter"]
    return _OPERATIONS[draft.operation](terms, draft)


def is_same(value: float | None, again: float | None, terms: Iterable[Term], divisor: float) -> bool:
    """Whether a number was reproduced: to 1e-9 of itself, or of the largest term where terms cancel."""
    if value is None or again is None:
        return value is None and again is None
    largest = max((abs(part) / divisor for term in terms if (part := term.part) is not None), default=0.0)
    return abs(value - again) <= TOLERANCE * max(abs(value), abs(again), largest)


def _sum(terms: Sequence[Term], _: Draft | None = None) -> float | None:
    known = [part for term in terms if (part := term.part) is not None]
    return math.fsum(known) if known else None


def _combination(terms: Sequence[Term], _: Draft | None = None) -> float | None:
    return None if any(term.part is None for term in terms) else _sum(terms)


def _not_negative(of: Callable[[Sequence[Term], Draft | None], float | None]) -> "Operation":
    def operation(terms: Sequence[Term], draft: Draft) -> float | None:
        result = of(terms, draft)
        return None if result is None else max(0.0, result)

    return operation


def _quotient(terms: Sequence[Term], _: Draft) -> float | None:
    over = _combination([term for term in terms if term.role == "numerator"])
    under = _combination([term for term in terms if term.role == "denominator"])
    return None if over is None or not under else over / under


def _count(terms: Sequence[Term], _: Draft) -> float | None:
    return float(len(terms))


def _count_on_target(terms: Sequence[Term], draft: Draft) -> float | None:
    days: dict[date | None, dict[str, float | None]] = {}
    for term in terms:
        days.setdefault(term.day, {})[term.role] = term.part
    pairs = [(day.get("production"), day.get("target")) for day in days.values()]
    known = [(made, wanted) for made, wanted in pairs if made is not None and wanted is not None]
    if not known:
        return None
    below = draft.network == "flaredGas"
    return float(sum(made <= wanted if below else made >= wanted for made, wanted in known))


def _median_slope(terms: Sequence[Term], _: Draft) -> float | None:
    points = [(term.day.toordinal(), part) for term in terms if term.day and (part := term.part) is not None]
    slopes = [(b - a) / (y - x) for i, (x, a) in enumerate(points) for y, b in points[i + 1 :]]
    return statistics.median(slopes) if slopes else None


def _quantile(terms: Sequence[Term], _: Draft) -> float | None:
    known = sorted(part for term in terms if (part := term.part) is not None)
    if not known:
        return None
    place = 0.75 * (len(known) - 1)
    low = math.floor(place)
    high = min(low + 1, len(known) - 1)
    return known[low] + (known[high] - known[low]) * (place - low)


Operation = Callable[[Sequence[Term], Draft], float | None]
_OPERATIONS: dict[str, Operation] = {
    "sum": _sum,
    "sumNotNegative": _not_negative(_sum),
    "combination": _combination,
    "combinationNotNegative": _not_negative(_combination),
    "quotient": _quotient,
    "count": _count,
    "countOnTarget": _count_on_target,
    "medianSlope": _median_slope,
    "quantile75": _quantile,
    "zero": lambda _terms, _draft: 0.0,
}


def nothing(formula: str, *notes: str, terms: Sequence[Term] = (), rows: Sequence[RowReference] = ()) -> Draft:
    """A number that is null, and why; what is known of its inputs is stated and not computed with."""
    stated = [replace(term, weight=None, role="parameter") for term in terms]
    return Draft(formula, "sum", terms=stated, notes=notes, rows=rows)


@dataclass
class Rows:
    """The rows of an answer in the order in which they are first referred to, each once."""

    listed: list[RowReference] = field(default_factory=list)
    _places: dict[RowReference, int] = field(default_factory=dict)

    def place(self, row: RowReference | None) -> int | None:
        """Position of a row; null for none."""
        if row is None:
            return None
        if row not in self._places:
            self._places[row] = len(self.listed)
            self.listed.append(row)
        return self._places[row]
