"""operator.toml and the mappings beside it: read and checked, every fault noted with its place. See docs/operator-folder.md."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from pipelines.site_tables import Faults

FILE = "operator.toml"
SOURCES = ("energy_components", "pi", "sharepoint")


class _Potential(msgspec.Struct, forbid_unknown_fields=True):
    methods: list[str]


class _Terms(msgspec.Struct, forbid_unknown_fields=True):
    sla_hours: Annotated[float, msgspec.Meta(gt=0)] = 24.0


class _Simulator(msgspec.Struct, forbid_unknown_fields=True):
    generator: str | None = None
    seed: int = 0
    data: str | None = None


# What a value must be; instants and times of day are TOML's own or text, and read further below.
_KEYS: Mapping[str, Any] = {
    "operator": Annotated[str, msgspec.Meta(min_length=1)],
    "title": str,
    "is_synthetic": bool,
    "zone": str,
    "day_start": Any,
    "as_of": Any,
    "absent_days": str,
    "potential": _Potential,
    "units": dict[str, float],
    "sources": dict[str, dict[str, Any]],
    "simulator": _Simulator,
}


@dataclass(frozen=True)
class SourceTerms:
    """What the site says of a source system."""

    name: str
    sla_seconds: int


def read_toml(folder: Path, name: str, faults: Faults, *, required: bool) -> dict[str, Any]:
    """A file's content, empty where it is missing or no TOML."""
    path = folder / name
    if not path.is_file():
        if required:
            faults.add(path, None, None, "the file is missing")
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.add(path, None, None, str(error))
        return {}


def read_settings(folder: Path, faults: Faults) -> dict[str, Any]:
    """operator.toml, without the values that are not what they must be."""
    found = read_toml(folder, FILE, faults, required=True)
    if not found:
        return {}
    for key in ("operator", "zone", "day_start"):
        if key not in found:
            faults.add(FILE, None, key, "the key is missing")
    fit = {}
    for key, value in found.items():
        if key not in _KEYS:
            faults.add(FILE, None, key, f"the key is not known; known are {', '.join(_KEYS)}")
        elif _is_fit(value, _KEYS[key], key, faults):
            fit[key] = value
    return fit


def _is_fit(value: Any, kind: Any, place: str, faults: Faults) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, inside = str(error).partition(" - at `$")
        faults.add(FILE, None, place + inside.rstrip("`"), text)
        return False
    return True


def sources_of(settings: Mapping[str, Any], faults: Faults) -> dict[str, SourceTerms]:
    """The sources that the site has."""
    found = {}
    for name, terms in settings.get("sources", {}).items():
        if name not in SOURCES:
            faults.add(FILE, None, f"sources.{name}", f"unknown source; known are {', '.join(SOURCES)}")
        elif _is_fit(terms, _Terms, f"sources.{name}", faults):
            found[name] = SourceTerms(name, int(msgspec.convert(terms, _Terms).sla_hours * 3600))
    if not settings.get("sources"):
        faults.add(FILE, None, "sources", "an operator needs at least one source")
    return found


def as_of(settings: Mapping[str, Any], faults: Faults) -> datetime | None:
    """A replay's clock, with its offset; None for a living site."""
    value = settings.get("as_of")
    if value is None:
        return None
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        faults.add(FILE, None, "as_of", f"{value!r} is no instant")
        return None
    if instant.tzinfo is None:
        faults.add(FILE, None, "as_of", "an instant needs its offset, for example 2013-01-01T00:00:00+01:00")
    return instant


def day_start(settings: Mapping[str, Any], faults: Faults) -> time:
    """Start of the production day."""
    try:
        return time.fromisoformat(str(settings.get("day_start", "00:00")))
    except ValueError:
        faults.add(FILE, None, "day_start", f"{settings.get('day_start')!r} is no time of day, HH:MM")
        return time(0)


def check_zone(zone: str, what: str, faults: Faults) -> None:
    """Notes a zone that does not exist."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        faults.add(FILE, None, what, f"{zone!r} is no time zone")
