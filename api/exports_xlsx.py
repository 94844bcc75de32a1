"""Arrow batches to an Excel workbook: rows go to disk as they come, the file is put together at the end and read from there.

Text is written as text whatever it looks like, with the quote prefix where the guard says so; numbers stay numbers.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from api.exports_formats import Labels
from api.exports_guard import is_formula

# Below the header row.
MAX_ROWS = 1_048_575
MAX_TEXT = 32_767
PIECE_BYTES = 1 << 18
ROWS_AT_ONCE = 2_000
# Excel keeps whole numbers exactly up to here; a larger one is written as text.
MAX_WHOLE = 2**53
FIRST_DATE = date(1900, 3, 1)  # before it Excel's calendar has a day that never was

Put = Callable[[int, int, Any], object]


def xlsx(schema: Any, batches: Iterable[Any], labels: Labels) -> Iterator[bytes]:
    """A workbook with the rows on one sheet and the release, units and meanings on another."""
    import xlsxwriter

    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        path = Path(folder) / "export.xlsx"
        book = xlsxwriter.Workbook(
            path, {"constant_memory": True, "tmpdir": folder, "strings_to_formulas": False, "strings_to_urls": False}
        )
        # The release's instant in place of the clock: the same export is the same bytes.
        created = labels.built_at.astimezone(UTC).replace(tzinfo=None)
        book.set_properties({"title": labels.dataset, "comments": f"Release {labels.release_id}", "created": created})
        try:
            sheet = book.add_worksheet(labels.dataset[:31])
            header = book.add_format({"bold": True})
            for column, field in enumerate(schema):
                sheet.write_string(0, column, field.name, header)
            sheet.freeze_panes(1, 0)
            puts = [_put(book, sheet, field.type) for field in schema]
            row = 1
            for batch in batches:
                # A few thousand rows at a time, for cells are slow: who has gone is noticed between them.
                for begin in range(0, batch.num_rows, ROWS_AT_ONCE):
                    part = batch.slice(begin, ROWS_AT_ONCE)
                    for values in zip(*(_values(column) for column in part.columns), strict=True):
                        for column, value in enumerate(values):
                            if value is not None:
                                puts[column](row, column, value)
                        row += 1
                    yield b""
            _about(book, labels, header)
            book.close()
        except BaseException:
            # Closing the book would put together a file for nobody; only the rows on disk are let go.
            for written in book.worksheets():
                written.row_data_fh.close()
            raise
        yield b""
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


def _values(column: Any) -> list[Any]:
    """Python values of a column; instants without their zone, which is UTC."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    values: list[Any] = column.to_pylist()
    return values


def _put(book: Any, sheet: Any, dtype: Any) -> Put:
    """How a value of the type is written to a cell."""
    import pyarrow as pa

    text_format = book.add_format({"quote_prefix": True})
    date_format = book.add_format({"num_format": "yyyy-mm-dd"})

    def text(row: int, column: int, value: str) -> object:
        return sheet.write_string(row, column, value, text_format if is_formula(value) else None)

    def number(row: int, column: int, value: float) -> object:
        if isinstance(value, float) and not isfinite(value):
            return None  # Excel has no such number: an empty cell, as null
        if abs(value) > MAX_WHOLE and isinstance(value, int):
            return text(row, column, str(value))
        return sheet.write_number(row, column, value)

    def day(row: int, column: int, value: date) -> object:
        if value < FIRST_DATE:
            return text(row, column, value.isoformat())
        return sheet.write_datetime(row, column, value, date_format)

    def instant(row: int, column: int, value: datetime) -> object:
        # Text: a cell's own time has neither a zone nor microseconds.
        return sheet.write_string(row, column, value.isoformat() + "Z")

    if pa.types.is_boolean(dtype):
        return lambda row, column, value: sheet.write_boolean(row, column, value)
    if pa.types.is_integer(dtype) or pa.types.is_floating(dtype):
        return number
    if pa.types.is_date(dtype):
        return day
    if pa.types.is_timestamp(dtype):
        return instant
    return text


def _about(book: Any, labels: Labels, header: Any) -> None:
    sheet = book.add_worksheet("about" if labels.dataset != "about" else "about this file")
    lines = [*labels.metadata().items(), ("instants", "text, UTC, ISO 8601")]
    for row, (name, value) in enumerate(lines):
        sheet.write_string(row, 0, name, header)
        sheet.write_string(row, 1, value)
    begin = len(lines) + 1
    for column, name in enumerate(("column", "unit", "meaning")):
        sheet.write_string(begin, column, name, header)
    for row, described in enumerate(labels.columns, start=begin + 1):
        for column, value in enumerate((described.name, described.unit or "", described.description)):
            sheet.write_string(row, column, value)
