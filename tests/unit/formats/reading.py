"""Reads and writes whole files in memory, as the runtime does with real ones."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa

from batuta.model.canonical import Json
from batuta.model.diagnostic import ConnectorError
from batuta.model.format import Batch, Inspection, Reader, Writer


def inspected(
    reader: Reader, raw: bytes, options: Mapping[str, Json] | None = None, **types: str
) -> Inspection:
    return reader.inspect(pa.BufferReader(raw), options or {}, types)


def batches(
    reader: Reader,
    raw: bytes,
    found: Inspection,
    options: Mapping[str, Json] | None = None,
    *,
    start: str | None = None,
    end: str | None = None,
    columns: list[str] | None = None,
) -> list[Batch]:
    return list(
        reader.batches(
            pa.BufferReader(raw),
            start=start,
            end=end,
            columns=columns,
            schema=found.schema,
            options=options or {},
        )
    )


def table_of(found: Iterable[Batch]) -> pa.Table:
    return pa.Table.from_batches([batch.rows for batch in found])


def read(
    reader: Reader, raw: bytes, options: Mapping[str, Json] | None = None, **types: str
) -> pa.Table:
    found = inspected(reader, raw, options, **types)
    return table_of(batches(reader, raw, found, options))


def written(
    writer: Writer, table: pa.Table, options: Mapping[str, Json] | None = None, rows: int = 1000
) -> bytes:
    sink = io.BytesIO()
    count = writer.write(sink, table.schema, iter(table.to_batches(rows)), options or {})
    assert count == table.num_rows
    return sink.getvalue()


@contextmanager
def only_diagnostics(prefix: str) -> Iterator[None]:
    """Let the block fail with a diagnostic whose code begins with `prefix`, and in no other way."""
    try:
        yield
    except ConnectorError as error:
        code = error.diagnostics[0].code
        if not code.startswith(prefix):
            raise AssertionError(f"{code} is none of {prefix}") from error
