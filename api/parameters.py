"""Query parameters: declared once, read strictly, documented from the same declaration.

Every fault of a query is gathered and answered at once; an unknown parameter is a fault, never ignored.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl

from api.problems import ParameterError, Problem
from api.units import NETWORKS, PRODUCTION_NETWORKS

MAX_IDENTIFIERS = 200
MAX_IDENTIFIER_LENGTH = 200
# Always matched in full: `$` alone would let a line break pass, and without ASCII other scripts' digits.
RELEASE_ID = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{8}$", re.ASCII)

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T+]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?", re.ASCII)


@dataclass(frozen=True)
class Parameter:
    """A query parameter. `parse` raises ValueError that says what is allowed; `kind` names the identifiers that it takes."""

    name: str
    description: str
    parse: Callable[[str], Any]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    default: Any = None
    kinds: frozenset[str] = frozenset()
    is_list: bool = False
    # Said in the document; the route itself refuses a request without it, with words that help.
    is_required: bool = False


def _one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return parse


def _day(value: str) -> date:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise ValueError("must be a production day, YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("is no day of the calendar") from None


def _instant(value: str) -> datetime:
    # A + that was not percent-encoded arrives as a space.
    text = value.replace(" ", "+").upper()
    try:
        # fromisoformat alone takes weeks, omitted dashes, and anything behind a NUL.
        if not _INSTANT.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be an instant such as 2026-11-21T05:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("must carry a zone, such as 2026-11-21T05:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the calendar") from None


def _release(value: str) -> str:
    if not RELEASE_ID.fullmatch(value):
        raise ValueError("must be a release id, YYYYMMDDTHHMMSSZ-<8 hex>; a body's dataVersion is one")
    return value


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def _identifier(value: str) -> str:
    if not value or len(value) > MAX_IDENTIFIER_LENGTH:
        raise ValueError(f"must be one identifier of at most {MAX_IDENTIFIER_LENGTH} characters")
    return value


def _identifiers(value: str) -> tuple[str, ...]:
    parts = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if any(not part for part in parts):
        raise ValueError("must be identifiers separated by commas, none of them empty")
    if len(parts) > MAX_IDENTIFIERS:
        raise ValueError(f"holds {len(parts)} identifiers, at most {MAX_IDENTIFIERS} are allowed")
    return parts


def _enumeration(allowed: Sequence[str], default: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "enum": list(allowed)}
    return schema if default is None else {**schema, "default": default}


IDENTIFIER: Mapping[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER_LENGTH}
FACILITY_KINDS = frozenset({"flowstation", "compressor-station", "gas-plant", "terminal"})

PRODUCTION_DATE = Parameter(
    "productionDate",
    "Production day that the release holds; the latest closed one by default.",
    _day,
    {"type": "string", "format": "date"},
)
UNITS = Parameter(
    "units",
    "Base units, or the display units kbbl/d, MMscf/d, kbbl, MMscf and MMbbl; `uom` says which. The operator's default.",
    _one_of(("base", "display")),
    _enumeration(("base", "display")),
)
NETWORK = Parameter(
    "network",
    "Only this network: the values of the others are null with quality notRequested, their drivers stand in `other`, "
    "their edges are left out.",
    _one_of(NETWORKS),
    _enumeration(NETWORKS),
)
TARGET_VERSION = Parameter(
    "targetVersion",
    "Target version in place of the one in force; changes businessTarget and gap, nothing else.",
    _identifier,
    IDENTIFIER,
    kinds=frozenset({"targetVersion"}),
)
RELEASE = Parameter(
    "release",
    "A kept release in place of the current one.",
    _release,
    {"type": "string", "pattern": RELEASE_ID.pattern},
)
AS_KNOWN_AT = Parameter(
    "asKnownAt",
    "The release that was in force at this instant.",
    _instant,
    {"type": "string", "format": "date-time"},
)
PRODUCTION_NETWORK = Parameter(
    "network",
    "List drivers of this network only; those of the others stand in `other`. flaredGas has none.",
    _one_of(PRODUCTION_NETWORKS),
    _enumeration(PRODUCTION_NETWORKS),
)
COMMON = (PRODUCTION_DATE, UNITS, NETWORK, TARGET_VERSION, RELEASE, AS_KNOWN_AT)

ASSET_ID = Parameter("assetId", "Only this asset.", _identifier, IDENTIFIER, kinds=frozenset({"asset"}))
FACILITY_IDS = Parameter(
    "facilityIds",
    f"Only deferment counted at these facilities (at most {MAX_IDENTIFIERS}), separated by commas; with assetId the intersection.",
    _identifiers,
    kinds=FACILITY_KINDS,
    is_list=True,
)
CAUSE_FACILITY_IDS = Parameter(
    "causeFacilityIds",
    f"List only drivers caused at these facilities (at most {MAX_IDENTIFIERS}), separated by commas; the rest stands in `other`.",
    _identifiers,
    kinds=FACILITY_KINDS,
    is_list=True,
)
LIMIT = Parameter(
    "limit",
    "Drivers listed per network.",
    _whole_number(1, 100),
    {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    default=20,
)


def window(allowed: Sequence[str], default: str) -> Parameter:
    """The window parameter of an endpoint: as many production days, ending with productionDate."""
    return Parameter(
        "window",
        "Production days of the window, ending with productionDate.",
        _one_of(allowed),
        _enumeration(allowed, default),
        default=default,
    )


def choice(name: str, description: str, allowed: Sequence[str], default: str | None = None) -> Parameter:
    """A parameter that takes one of a few words."""
    return Parameter(name, description, _one_of(allowed), _enumeration(allowed, default), default=default)


def count(name: str, description: str, maximum: int, default: int) -> Parameter:
    """A parameter that takes a whole number from 1."""
    schema = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return Parameter(name, description, _whole_number(1, maximum), schema, default=default)


def production_day(name: str, description: str) -> Parameter:
    """A parameter that takes a production day, in the release or not."""
    return Parameter(name, description, _day, {"type": "string", "format": "date"})


def read(query_string: bytes, allowed: Sequence[Parameter]) -> dict[str, Any]:
    """Values by parameter name, defaults filled in. Raises Problem invalidParameter with every fault."""
    known = {parameter.name: parameter for parameter in allowed}
    values: dict[str, Any] = {parameter.name: parameter.default for parameter in allowed}
    errors: list[ParameterError] = []
    seen: set[str] = set()
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, errors="replace")
    for name, value in pairs[:100]:
        if name not in known:
            names = ", ".join(known) or "none"
            errors.append(_error(name, f"is no parameter of this endpoint; allowed: {names}", value))
        elif name in seen:
            errors.append(_error(name, "is given more than once; give it once", value))
        else:
            seen.add(name)
            try:
                values[name] = known[name].parse(value)
            except ValueError as fault:
                errors.append(_error(name, str(fault), value))
    if values.get("release") is not None and values.get("asKnownAt") is not None:
        errors.append(_error("asKnownAt", "names a release as `release` does; give one of the two", None))
    if errors:
        raise invalid(errors)
    return values


def _error(name: str, detail: str, received: str | None) -> ParameterError:
    return ParameterError(parameter=name[:100], detail=detail, received=None if received is None else received[:200])


def invalid(errors: Sequence[ParameterError], code: str = "invalidParameter") -> Problem:
    """The problem for faulty parameters, its detail made from them."""
    detail = "; ".join(f"{error.parameter} {error.detail}" for error in errors)
    return Problem(code, detail[:2000], errors=errors)


def fault(parameter: Parameter, detail: str, received: str | None) -> Problem:
    """The problem for one faulty parameter."""
    return invalid([_error(parameter.name, detail, received)])


def check_identifiers(
    values: Mapping[str, Any], allowed: Sequence[Parameter], known: Mapping[str, frozenset[str]]
) -> None:
    """Refuses identifiers that the release does not hold. Raises Problem unknownId with all of them."""
    errors: list[ParameterError] = []
    for parameter in allowed:
        value = values[parameter.name]
        if not parameter.kinds or value is None:
            continue
        held = frozenset().union(*(known.get(kind, frozenset()) for kind in parameter.kinds))
        errors += [
            _error(parameter.name, "names nothing that this release holds", identifier)
            for identifier in (value if parameter.is_list else (value,))
            if identifier not in held
        ]
    if errors:
        raise invalid(errors, "unknownId")
