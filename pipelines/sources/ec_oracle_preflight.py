"""Checks a dataset's SQL against the database before the first read, and names what is missing.

The statement is parsed, not run; when the database refuses it, the dictionary tells which view or column is the cause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import oracledb

from pipelines.sources.ec_oracle_errors import code_of
from pipelines.sources.mapping import DatasetMapping

_NOT_CODE = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_VIEW = re.compile(r'(?i)\b(?:from|join)\s+("?[\w$#]+"?(?:\."?[\w$#]+"?)?)')
_COLUMNS = "SELECT column_name FROM all_tab_columns WHERE table_name = :view_name"


def views_of(sql: str) -> list[str]:
    """Names that stand after FROM or JOIN, upper case as the dictionary has them, without their owner."""
    names = _VIEW.findall(_NOT_CODE.sub(" ", sql))
    bare = [name.rsplit(".", 1)[-1] for name in names]
    return list(dict.fromkeys(name.strip('"') if name.startswith('"') else name.upper() for name in bare))


def selected(cursor: oracledb.Cursor) -> list[str]:
    """Column names of a parsed or executed query."""
    return [str(column[0]) for column in cursor.description or ()]


def missing_of(mapping: DatasetMapping, names: Sequence[str]) -> list[str]:
    """Required source columns that a result lacks; names are compared without case, as Oracle does."""
    present = {name.upper() for name in names}
    return [
        column.source
        for column in mapping.columns
        if column.source and not column.optional and column.source.upper() not in present
    ]


def check(connection: oracledb.Connection, mapping: DatasetMapping, user: str) -> list[str]:
    """Sentences about what keeps this dataset from being read. Raises the driver's error for any other trouble."""
    with connection.cursor() as cursor:
        try:
            cursor.parse(mapping.oracle_sql)
        except oracledb.DatabaseError as error:
            if code_of(error) not in ("ORA-00904", "ORA-00942"):
                raise
            found = _explained(cursor, mapping, user)
            text = " ".join(str(error).split("Help:")[0].split())
            return found or [f"{mapping.name}: its SQL is refused: {text}; correct oracle_sql"]
        missing = missing_of(mapping, selected(cursor))
    if missing:
        return [
            f"{mapping.name}: oracle_sql does not select {', '.join(missing)}, which the mapping names; "
            "select them, or correct the columns' source"
        ]
    return []


def _explained(cursor: oracledb.Cursor, mapping: DatasetMapping, user: str) -> list[str]:
    faults: list[str] = []
    known: set[str] = set()
    views = views_of(mapping.oracle_sql)
    for view in views:
        names = [str(row[0]) for row in cursor.execute(_COLUMNS, {"view_name": view}).fetchall()]
        if not names:
            faults.append(
                f"{mapping.name}: view {view} is not visible to {user}: correct oracle_sql, or grant SELECT on it"
            )
        known.update(name.upper() for name in names)
    if faults:
        return faults
    words = {word.upper() for word in re.findall(r"[\w$#]+", _NOT_CODE.sub(" ", mapping.oracle_sql))}
    missing = [
        column.source
        for column in mapping.columns
        if column.source and column.source.upper() in words and column.source.upper() not in known
    ]
    if missing:
        had = ", ".join(sorted(known))
        faults.append(
            f"{mapping.name}: {', '.join(views)} has no column {', '.join(missing)}; it has "
            f"{had if len(had) <= 400 else had[:399] + '…'}"
        )
    return faults
