"""The rows of a snapshot, in row order, wherever its parts lie at this moment."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from batuta.connectors.alimentar.faults import refusal
from batuta.connectors.alimentar.place import open_part
from batuta.model.connector import Files
from batuta.model.format import Format, Reader
from batuta.model.log import Snapshot
from batuta.model.table import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


def batches(
    files: Files, snapshot: Snapshot, formats: Mapping[str, Format]
) -> "Iterator[pa.RecordBatch]":
    """Yield the rows in row order, with the columns of the snapshot's schema in their order.

    Each part is tried in the root and in history and must have its size. A column that a
    part lacks, which only imported files may, is null there.

    Raises:
        ConnectorError: permanent. LOG142: no reader for the format, or the dataset is files;
            LOG121, LOG122: a part is missing or has another size.
    """
    facts = snapshot.entry.facts
    found = formats.get(facts.format)
    if facts.schema is None or found is None or found.reader is None:
        detail = f"{files.location} holds {facts.format}, which cannot be read as rows."
        raise refusal("LOG142", detail)
    return _rows(files, snapshot, found.reader(), facts.schema)


def _rows(
    files: Files, snapshot: Snapshot, reader: Reader, schema: TableSchema
) -> "Iterator[pa.RecordBatch]":
    for part in snapshot.parts:
        with open_part(files, part) as file:
            stored = reader.inspect(file, {}, {}).schema
            found = reader.batches(
                file, start=None, end=None, columns=None, schema=stored, options={}
            )
            for batch in found:
                yield batch.rows if stored == schema else _aligned(batch.rows, schema)


def _aligned(rows: "pa.RecordBatch", schema: TableSchema) -> "pa.RecordBatch":
    import pyarrow as pa

    from batuta.model.arrow import type_of

    columns, fields = [], []
    for column in schema.columns:
        wanted = type_of(column.type)
        if column.name in rows.schema.names:
            columns.append(rows.column(column.name).cast(wanted))
        else:
            columns.append(pa.nulls(rows.num_rows, wanted))
        fields.append(pa.field(column.name, wanted, column.nullable))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
