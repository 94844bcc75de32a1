"""Display names of a SharePoint list to internal names and types.

People rename columns and types are the list's own; items carry internal names that never change. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines.sources.mapping import ColumnMapping, FieldType
from pipelines.sources.payloads_graph import ListColumn


def normal(name: str) -> str:
    """A name as people compare it: case and runs of blanks do not count."""
    return " ".join(name.split()).casefold()


def as_mappings(columns: Mapping[str, str | ColumnMapping] | Sequence[ColumnMapping]) -> tuple[ColumnMapping, ...]:
    """Column mappings from `canonical → display name`, or as they are."""
    if isinstance(columns, Mapping):
        return tuple(
            each if isinstance(each, ColumnMapping) else ColumnMapping(canonical=name, source=each)
            for name, each in columns.items()
        )
    return tuple(columns)


def day_or_instant(canonical: str) -> FieldType:
    """What a date is due as where the mapping does not say: our names of instants hold `_at_`."""
    return "datetime" if canonical.endswith(("_at_utc", "_at_local")) else "date"


def type_of(column: ListColumn, canonical: str) -> FieldType:
    """The type that the list declares, in the mapping's words."""
    output = column.calculated.outputType if column.calculated is not None else ""
    if column.number is not None or column.currency is not None or output in ("number", "currency"):
        return "float"
    if column.boolean is not None or output == "boolean":
        return "bool"
    if column.date_time is not None or output == "dateTime":
        return day_or_instant(canonical)
    return "text"


def resolve(columns: Sequence[ColumnMapping], declared: Sequence[ListColumn]) -> tuple[list[ColumnMapping], list[str]]:
    """Mappings whose source points at the item's field, and the display names that the list does not have.

    Several columns can show one name (Title and its links do): the one that people can write to is meant.
    """
    by_name: dict[str, ListColumn] = {}
    for column in sorted(declared, key=lambda each: (not each.read_only, each.name == "Title")):
        by_name[normal(column.display_name or column.name)] = column
    resolved: list[ColumnMapping] = []
    absent: list[str] = []
    for mapping in columns:
        if not mapping.source:
            resolved.append(mapping)
            continue
        found = by_name.get(normal(mapping.source))
        if found is not None:
            kind = mapping.type or type_of(found, mapping.canonical)
            resolved.append(replace(mapping, source=f"/fields/{_escaped(found.name)}", type=kind))
        elif mapping.optional:
            resolved.append(replace(mapping, source="/absent", type=mapping.type or "text"))
        else:
            absent.append(mapping.source)
    return resolved, absent


def field_names(columns: Sequence[ColumnMapping]) -> list[str]:
    """Internal names that the resolved columns need, each once."""
    names = [column.source.removeprefix("/fields/") for column in columns if column.source.startswith("/fields/")]
    return list(dict.fromkeys(name.replace("~1", "/").replace("~0", "~") for name in names))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
