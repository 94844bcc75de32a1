"""Arrow batches to the bytes of a file, piece by piece: Parquet, Arrow stream, CSV. One module with exports_xlsx for xlsx.

pyarrow is imported when the first export is made and not before: the API starts without it.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.exports_guard import MARK, PATTERN
from warehouse.reader_stream import Column


@dataclass(frozen=True)
class Labels:
    """What a file says of itself."""

    dataset: str
    release_id: str
    operator: str
    is_synthetic: bool
    built_at: datetime
    columns: tuple[Column, ...]

    def metadata(self) -> dict[str, str]:
        """Key-value metadata of the file."""
        return {
            "dataset": self.dataset,
            "release_id": self.release_id,
            "operator": self.operator,
            "is_synthetic": json.dumps(self.is_synthetic),
            "built_at_utc": self.built_at.isoformat(),
        }


# From the schema, the batches and the labels, the pieces of a file; an empty piece means: more is coming, nothing yet.
Encode = Callable[[Any, Iterable[Any], Labels], Iterator[bytes]]


@dataclass(frozen=True)
class Format:
    """A format of exports."""

    name: str
    media_type: str
    encode: Encode


class Pieces(io.RawIOBase):
    """A file that is written to, and emptied as it grows."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Hold what is written."""
        self._held.append(bytes(data))
        self._written += len(self._held[-1])
        return len(self._held[-1])

    def tell(self) -> int:
        """Bytes written so far, taken or not."""
        return self._written

    def take(self) -> bytes:
        """What was written since the last time."""
        held, self._held = self._held, []
        return b"".join(held)


def _described(schema: Any, labels: Labels) -> Any:
    """The schema with the file's metadata, and unit and description at each column."""
    import pyarrow as pa

    known = {column.name: column for column in labels.columns}
    fields = []
    for field in schema:
        column = known[field.name]
        said = {"description": column.description} | ({"unit": column.unit} if column.unit else {})
        fields.append(field.with_metadata(said))
    return pa.schema(fields, metadata=labels.metadata())


def _written(open_writer: Callable[[Pieces], Any], batches: Iterable[Any]) -> Iterator[bytes]:
    sink = Pieces()
    writer = open_writer(sink)
    try:
        yield sink.take()
        for batch in batches:
            writer.write_batch(batch)
            yield sink.take()
    except BaseException:
        # Closing ends the file properly, for nobody: what was begun is thrown away.
        writer.close()
        raise
    writer.close()
    yield sink.take()


def parquet(schema: Any, batches: Iterable[Any], labels: Labels) -> Iterator[bytes]:
    """Parquet, zstd, a row group a batch; the labels are key-value metadata of file and columns."""
    import pyarrow.parquet as pq

    described = _described(schema, labels)
    return _written(
        lambda sink: pq.ParquetWriter(sink, described, compression="zstd"),
        (batch.cast(described) for batch in batches),
    )


def arrow(schema: Any, batches: Iterable[Any], labels: Labels) -> Iterator[bytes]:
    """Arrow IPC stream; the labels are metadata of schema and fields."""
    import pyarrow.ipc

    described = _described(schema, labels)
    return _written(
        lambda sink: pyarrow.ipc.new_stream(sink, described), (_settled(batch.cast(described)) for batch in batches)
    )


def _settled(batch: Any) -> Any:
    """The batch with zeros under its nulls: what DuckDB leaves there is whatever the memory held before."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for column in batch.columns:
        if column.null_count and pa.types.is_primitive(column.type):
            known = column.is_valid()
            zeros = pa.Array.from_buffers(column.type, len(column), [None, pa.py_buffer(bytes(8 * len(column)))])
            _, values = pc.if_else(known, column, zeros).buffers()
            _, validity = known.buffers()
            column = pa.Array.from_buffers(column.type, len(column), [validity, values], column.null_count)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def csv(schema: Any, batches: Iterable[Any], _: Labels) -> Iterator[bytes]:
    """CSV in UTF-8 with a header row, text in quotes and guarded, null as nothing, instants in UTC with a Z."""
    import pyarrow.csv

    return _written(lambda sink: pyarrow.csv.CSVWriter(sink, schema), (_guarded(batch) for batch in batches))


def _guarded(batch: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            marked = pc.binary_join_element_wise(pa.scalar(MARK, column.type), column, pa.scalar("", column.type))
            column = pc.if_else(pc.match_substring_regex(column, PATTERN), marked, column)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
