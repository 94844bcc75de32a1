"""The site's own names for the canonical datasets: SQL, paths, lists, workbooks, columns, types and units.

Parses what stands in an operator's `energy_components.toml` and `sharepoint.toml`, already read as dictionaries. All
faults are gathered and raised once, each with the place of its key. Nothing about a site stands in code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FieldType = Literal["text", "float", "int", "bool", "date", "datetime"]
Paging = Literal["offset", "page", "next_link", "none"]
FIELD_TYPES: tuple[str, ...] = get_args(FieldType)
PAGINGS: tuple[str, ...] = get_args(Paging)

BINDS = frozenset({"from_day", "to_day"})
SINCE = "since"
STAMP = "source_updated_at_utc"
_LITERALS = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_BIND = re.compile(r":([A-Za-z_]\w*)")
_TEMPLATE = re.compile(r"\{(\w*)\}")
TEMPLATES = frozenset({"from_day", "to_day", "last_day"})


class MappingFaults(ValueError):
    """A site's mapping has faults: `faults` holds every one, each beginning with its place."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults,)


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """Where a canonical column comes from.

    Either `source` (the site's column; a `/`-pointer reaches into nested JSON) or `constant`. `type` None: as the
    source declares it (SharePoint). `unit` is the unit of the values, converted later. `zone` is that of instants
    without offset; empty takes the reader's. An `optional` column may be absent from an answer: null.
    """

    canonical: str
    source: str = ""
    type: FieldType | None = None
    unit: str = ""
    constant: str | float | int | bool | None = None
    zone: str = ""
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class RestMapping:
    """How a dataset is asked over HTTP.

    `params` values may hold `{from_day}`, `{to_day}` (exclusive) and `{last_day}` (inclusive). Pointers are JSON
    pointers: `items_pointer` to the rows, `next_pointer` to the next page's link, `total_pointer` to the number of
    rows over all pages, which is checked where the answer has one. `changes_params` ask for what has changed, with
    `{since}`, an instant in UTC, beside them; empty: that cannot be asked.
    """

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    changes_params: Mapping[str, str] = field(default_factory=dict)
    items_pointer: str = "/items"
    paging: Paging = "none"
    page_size: int = 1000
    offset_param: str = "offset"
    page_param: str = "page"
    first_page: int = 1
    size_param: str = ""
    next_pointer: str = "/next"
    total_pointer: str = "/total"


@dataclass(frozen=True, kw_only=True)
class DatasetMapping:
    """One Energy Components dataset. `key` (canonical names, optional) lets repeated rows of shifted pages be dropped.

    `oracle_changes_sql` selects the same columns of the rows that were stamped at or after `:since`, which is bound in the
    zone of the stamp's column; empty: what has changed cannot be asked.
    """

    name: str
    columns: tuple[ColumnMapping, ...]
    oracle_sql: str = ""
    oracle_changes_sql: str = ""
    rest: RestMapping | None = None
    key: tuple[str, ...] = ()

    def stamp(self) -> ColumnMapping | None:
        """The column that says when the source last changed the row, where the mapping has one."""
        return next((column for column in self.columns if column.canonical == STAMP and column.source), None)

    def units(self) -> dict[str, str]:
        """Units by canonical column, where the mapping states one."""
        return {column.canonical: column.unit for column in self.columns if column.unit}


@dataclass(frozen=True, kw_only=True)
class ListMapping:
    """A SharePoint list by display names."""

    dataset: str
    name: str
    columns: tuple[ColumnMapping, ...]


@dataclass(frozen=True, kw_only=True)
class WorkbookMapping:
    """A sheet of a workbook in the site's drive; `header_row` counts from 1."""

    dataset: str
    path: str
    sheet: str
    columns: tuple[ColumnMapping, ...]
    header_row: int = 1


@dataclass(frozen=True, kw_only=True)
class SharePointMapping:
    """A site's lists and workbooks by canonical dataset."""

    lists: Mapping[str, ListMapping]
    workbooks: Mapping[str, WorkbookMapping]


def binds_of(sql: str) -> set[str]:
    """Names of the bound parameters of a statement; colons in literals and comments are none."""
    return set(_BIND.findall(_LITERALS.sub(" ", sql)))


def parse_energy_components(
    content: Mapping[str, Any], *, where: str = "energy_components.toml"
) -> dict[str, DatasetMapping]:
    """Datasets by name. Raises MappingFaults."""
    faults = _Faults(where)
    datasets: dict[str, DatasetMapping] = {}
    for name, table in faults.tables(content, "datasets", known={"datasets"}).items():
        at = f"datasets.{name}"
        faults.unknown(table, at, {"oracle_sql", "oracle_changes_sql", "rest", "columns", "key"})
        columns = _columns(faults, table, at, needs_type=True)
        sql = faults.text(table, "oracle_sql", at)
        if sql:
            _check_sql(faults, sql, f"{at}.oracle_sql")
        changes = faults.text(table, "oracle_changes_sql", at)
        if changes:
            _check_sql(faults, changes, f"{at}.oracle_changes_sql", is_of_changes=True)
        rest = _rest(faults, table["rest"], f"{at}.rest") if "rest" in table else None
        if not sql and rest is None:
            faults.add(at, "needs oracle_sql, or a table rest, or both")
        key = table.get("key", [])
        names = {column.canonical for column in columns}
        if not isinstance(key, list) or not all(isinstance(each, str) and each in names for each in key):
            faults.add(f"{at}.key", f"must list mapped columns, not {key!r}")
            key = []
        mapping = DatasetMapping(
            name=name, columns=columns, oracle_sql=sql, oracle_changes_sql=changes, rest=rest, key=tuple(key)
        )
        if (changes or (rest is not None and rest.changes_params)) and mapping.stamp() is None:
            faults.add(at, f"what has changed is asked by {STAMP}, which must be among the columns")
        datasets[name] = mapping
    faults.raise_if_any()
    return datasets


def parse_sharepoint(content: Mapping[str, Any], *, where: str = "sharepoint.toml") -> SharePointMapping:
    """Lists and workbooks by dataset. Raises MappingFaults."""
    faults = _Faults(where)
    lists: dict[str, ListMapping] = {}
    workbooks: dict[str, WorkbookMapping] = {}
    known = {"lists", "workbooks"}
    for dataset, table in faults.tables(content, "lists", known=known).items():
        at = f"lists.{dataset}"
        faults.unknown(table, at, {"name", "columns"})
        name = faults.text(table, "name", at, required=True)
        lists[dataset] = ListMapping(dataset=dataset, name=name, columns=_columns(faults, table, at, needs_type=False))
    for dataset, table in faults.tables(content, "workbooks", known=known).items():
        at = f"workbooks.{dataset}"
        faults.unknown(table, at, {"path", "sheet", "header_row", "columns"})
        workbooks[dataset] = WorkbookMapping(
            dataset=dataset,
            path=faults.text(table, "path", at, required=True),
            sheet=faults.text(table, "sheet", at, required=True),
            header_row=faults.count(table, "header_row", at, 1),
            columns=_columns(faults, table, at, needs_type=False),
        )
    faults.raise_if_any()
    return SharePointMapping(lists=lists, workbooks=workbooks)


class _Faults:
    def __init__(self, where: str) -> None:
        self._where = where
        self._faults: list[str] = []

    def add(self, at: str, what: str) -> None:
        self._faults.append(f"{self._where}: {at}: {what}")

    def raise_if_any(self) -> None:
        if self._faults:
            raise MappingFaults(tuple(dict.fromkeys(self._faults)))

    def unknown(self, table: Mapping[str, Any], at: str, known: set[str]) -> None:
        for name in table:
            if name not in known:
                self.add(f"{at}.{name}" if at else name, f"unknown key; known are {', '.join(sorted(known))}")

    def tables(self, content: Mapping[str, Any], name: str, known: set[str]) -> dict[str, Mapping[str, Any]]:
        self.unknown(content, "", known)
        found = content.get(name, {})
        if not isinstance(found, Mapping):
            self.add(name, "must be a table of tables")
            return {}
        tables: dict[str, Mapping[str, Any]] = {}
        for key, table in found.items():
            if isinstance(table, Mapping):
                tables[key] = table
            else:
                self.add(f"{name}.{key}", "must be a table")
        return tables

    def text(self, table: Mapping[str, Any], name: str, at: str, *, default: str = "", required: bool = False) -> str:
        value = table.get(name, default)
        if not isinstance(value, str):
            self.add(f"{at}.{name}", f"must be a text, not {value!r}")
            return default
        if required and not value.strip():
            self.add(f"{at}.{name}", "is missing")
        return value

    def count(self, table: Mapping[str, Any], name: str, at: str, default: int, *, least: int = 1) -> int:
        value = table.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.add(f"{at}.{name}", f"must be a whole number of at least {least}, not {value!r}")
            return default
        return value

    def choice(self, table: Mapping[str, Any], name: str, at: str, choices: tuple[str, ...], default: str) -> str:
        value = table.get(name, default)
        if value not in choices:
            self.add(f"{at}.{name}", f"must be one of {', '.join(choices)}, not {value!r}")
            return default
        return cast(str, value)


def _columns(faults: _Faults, table: Mapping[str, Any], at: str, *, needs_type: bool) -> tuple[ColumnMapping, ...]:
    given = table.get("columns")
    if not isinstance(given, Mapping) or not given:
        faults.add(f"{at}.columns", "needs at least one column")
        return ()
    return tuple(_column(faults, name, terms, f"{at}.columns.{name}", needs_type) for name, terms in given.items())


def _column(faults: _Faults, name: str, terms: object, at: str, needs_type: bool) -> ColumnMapping:
    if isinstance(terms, str) and not needs_type:
        terms = {"source": terms}
    if not isinstance(terms, Mapping):
        faults.add(at, f"must be a table with source and type, not {terms!r}")
        return ColumnMapping(canonical=name)
    faults.unknown(terms, at, {"source", "type", "unit", "constant", "zone", "optional"})
    source = faults.text(terms, "source", at)
    if bool(source) == ("constant" in terms):
        faults.add(at, "needs exactly one of source and constant")
    kind: str | None = None
    if needs_type or "type" in terms:
        kind = faults.choice(terms, "type", at, FIELD_TYPES, "text")
        if "type" not in terms:
            faults.add(f"{at}.type", f"is missing: one of {', '.join(FIELD_TYPES)}")
    zone = faults.text(terms, "zone", at)
    if zone:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            faults.add(f"{at}.zone", f"{zone!r} is no time zone")
            zone = ""
    optional = terms.get("optional", False)
    if not isinstance(optional, bool):
        faults.add(f"{at}.optional", f"must be true or false, not {optional!r}")
        optional = False
    return ColumnMapping(
        canonical=name,
        source=source,
        type=cast("FieldType | None", kind),
        unit=faults.text(terms, "unit", at),
        constant=terms.get("constant"),
        zone=zone,
        optional=optional,
    )


def _rest(faults: _Faults, table: object, at: str) -> RestMapping | None:
    if not isinstance(table, Mapping):
        faults.add(at, "must be a table")
        return None
    faults.unknown(table, at, set(RestMapping.__dataclass_fields__))
    params = _params(faults, table, "params", at, TEMPLATES)
    changes = _params(faults, table, "changes_params", at, TEMPLATES | {SINCE})
    if changes and not any(f"{{{SINCE}}}" in value for value in changes.values()):
        faults.add(f"{at}.changes_params", f"needs {{{SINCE}}} in one of its texts")
    pointers = {}
    for name, default in (("items_pointer", "/items"), ("next_pointer", "/next"), ("total_pointer", "/total")):
        pointers[name] = faults.text(table, name, at, default=default)
        if pointers[name] and not pointers[name].startswith("/"):
            faults.add(f"{at}.{name}", "a JSON pointer begins with / (empty: the whole answer)")
    paging = faults.choice(table, "paging", at, PAGINGS, "none")
    return RestMapping(
        path=faults.text(table, "path", at, required=True),
        params=params,
        changes_params=changes,
        paging=cast(Paging, paging),
        page_size=faults.count(table, "page_size", at, 1000),
        offset_param=faults.text(table, "offset_param", at, default="offset"),
        page_param=faults.text(table, "page_param", at, default="page"),
        first_page=faults.count(table, "first_page", at, 1, least=0),
        size_param=faults.text(table, "size_param", at, default="page_size" if paging == "page" else "limit"),
        **pointers,
    )


def _params(faults: _Faults, table: Mapping[str, Any], key: str, at: str, templates: frozenset[str]) -> dict[str, str]:
    params = table.get(key, {})
    if not isinstance(params, Mapping):
        faults.add(f"{at}.{key}", "must be a table of texts")
        return {}
    for name, value in params.items():
        for used in _TEMPLATE.findall(str(value)):
            if used not in templates:
                faults.add(f"{at}.{key}.{name}", f"{{{used}}} is none of {', '.join(sorted(templates))}")
    return {str(name): str(value) for name, value in params.items()}


def _check_sql(faults: _Faults, sql: str, at: str, *, is_of_changes: bool = False) -> None:
    bare = _LITERALS.sub(" ", sql).strip()
    if not re.match(r"(?i)(select|with)\b", bare):
        faults.add(at, "must be a query that begins with SELECT or WITH")
    if ";" in bare:
        faults.add(at, "must be one statement without a semicolon")
    if is_of_changes and SINCE not in binds_of(sql):
        faults.add(at, f"must ask for the rows stamped at or after :{SINCE}")
    allowed = BINDS | {SINCE} if is_of_changes else BINDS
    for name in sorted(binds_of(sql) - allowed):
        faults.add(at, f":{name} is none of {' and '.join(f':{each}' for each in sorted(allowed))}")
