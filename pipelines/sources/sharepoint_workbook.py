"""A sheet of an Excel workbook to canonical columns.

Every cell is read as the text that the file holds, so that nothing is guessed: numbers stay what they are, dates come as
ISO texts or as Excel's serial numbers, error cells are null. Pure: bytes in, frames out.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace

import fastexcel
import polars as pl

from pipelines.sources.cast import Cast, cast_to_canonical, schema_of
from pipelines.sources.mapping import ColumnMapping
from pipelines.sources.sharepoint_columns import normal


class SheetFault(ValueError):
    """The workbook is whole and does not hold what the mapping names."""


def is_whole_workbook(body: bytes) -> bool:
    """Whether these bytes are a complete zip with a workbook in it; a file being written is often neither."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return archive.testzip() is None and any(name.startswith("xl/") for name in archive.namelist())
    except (zipfile.BadZipFile, EOFError, ValueError, OSError):
        return False


def read_sheet(body: bytes, sheet: str, header_row: int, columns: Sequence[ColumnMapping], *, zone: str) -> Cast:
    """Rows under the header row (1 = the sheet's first). Wholly empty rows are skipped; a column without a declared
    type is text. Raises SheetFault naming the sheets or headers that there are.
    """
    columns = [replace(column, type=column.type or "text") for column in columns]
    try:
        book = fastexcel.read_excel(body)
    except fastexcel.FastExcelError as error:
        raise SheetFault(f"a workbook that does not open: {error}") from None
    if sheet not in book.sheet_names:
        raise SheetFault(f"sheets {', '.join(book.sheet_names)}")
    try:
        table = book.load_sheet(sheet, header_row=header_row - 1, dtypes="string").to_polars()
    except fastexcel.FastExcelError as error:
        raise SheetFault(f"no header in row {header_row}: {error}") from None
    headers = {normal(name): name for name in reversed(table.columns)}
    absent = [
        column.source
        for column in columns
        if column.source and not column.optional and normal(column.source) not in headers
    ]
    if absent:
        raise SheetFault(f"row {header_row} with headers {', '.join(table.columns)}, without {', '.join(absent)}")
    found = [
        replace(column, source=headers.get(normal(column.source), column.source)) if column.source else column
        for column in columns
    ]
    used = [column.source for column in found if column.source in table.columns]
    if not used or table.is_empty():
        return Cast(schema_of(columns).to_frame(), cast_to_canonical([], []).rejected)
    filled = table.filter(pl.any_horizontal(pl.col(used).str.strip_chars().fill_null("") != ""))
    return cast_to_canonical(filled, found, zone=zone, excel=True)
