"""Reads Arrow IPC files and streams, from any row of any batch on.

A position is `<batch>:<row>`. Big batches are handed on in slices whose size follows from the
batch alone. What a header claims is checked against the file before Arrow sees it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from batuta.formats.arrow import faults, layout
from batuta.model.arrow import schema_of, to_arrow
from batuta.model.arrow_messages import BadMessage, CheckedStream
from batuta.model.format import Batch, Inspection, Options
from batuta.model.observed import Cut
from batuta.model.table import TableSchema

_SLICE_BYTES = 8 * 1024 * 1024
_SLICE_ROWS = 65_536


class ArrowReader:
    """Reads one Arrow IPC file or stream."""

    def inspect(
        self, file: pa.NativeFile, options: Options, types: Mapping[str, str]
    ) -> Inspection:
        """Return schema, rows and cuts from the headers; no column is read.

        A file has a cut per batch; a stream can only be read from its start.
        """
        del options, types  # Arrow states its types
        with _translated():
            if layout.is_file(file):
                found = layout.file_batches(file)
                schema = schema_of(pa.ipc.open_file(file).schema)
                cuts = tuple(
                    Cut(f"{i}:0" if i else "0", b.size_bytes, b.rows) for i, b in enumerate(found)
                )
            else:
                found = layout.stream_batches(file)
                file.seek(0)
                schema = schema_of(pa.ipc.open_stream(_checked(file)).schema)
                cuts = (Cut("0", sum(b.size_bytes for b in found), sum(b.rows for b in found)),)
        rows = sum(b.rows for b in found)
        return Inspection(schema=schema, rows=rows, cuts=cuts or (Cut("0", 0, 0),))

    def batches(
        self,
        file: pa.NativeFile,
        *,
        start: str | None,
        end: str | None,
        columns: Sequence[str] | None,
        schema: TableSchema,
        options: Options,
    ) -> Iterator[Batch]:
        """Yield slices of at most 65,536 rows and about 8 MiB from `start` up to `end`."""
        del options
        first, row = _position(start) or (0, 0)
        last = _position(end)
        with _translated():
            wanted = to_arrow(schema)
            names = list(wanted.names if columns is None else columns)
            wanted = pa.schema([wanted.field(name) for name in names])
            for index, batch in _stored(file, first):
                if last is not None and (index, row) >= last:
                    return
                stop = last[1] if last is not None and last[0] == index else batch.num_rows
                batch.validate(full=True)
                chosen = _conform(batch, wanted)
                step = _step(batch)
                for at in range(row, min(stop, batch.num_rows), step):
                    upto = min(at + step, stop, batch.num_rows)
                    after = f"{index + 1}:0" if upto == batch.num_rows else f"{index}:{upto}"
                    yield Batch(chosen.slice(at, upto - at), after)
                row = 0


def _step(batch: pa.RecordBatch) -> int:
    fitting = _SLICE_BYTES * int(batch.num_rows) // max(1, int(batch.nbytes))
    return max(1, min(_SLICE_ROWS, fitting))


def _stored(file: pa.NativeFile, first: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    if layout.is_file(file):
        found = layout.file_batches(file)
        reader = pa.ipc.open_file(file)
        for index in range(first, reader.num_record_batches):
            layout.check_expansion(file, found[index])
            yield index, reader.get_batch(index)
        return
    file.seek(0)
    for index, batch in enumerate(pa.ipc.open_stream(_checked(file))):
        if index >= first:
            yield index, batch


def _checked(file: pa.NativeFile) -> CheckedStream:
    return CheckedStream(file.read, max_bytes=layout.MAX_BATCH_BYTES)


def _position(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    batch, _, row = text.partition(":")
    if not batch.isdecimal() or not (row or "0").isdecimal():
        raise faults.broken(f"{text[:80]!r} is no position in an Arrow file.")
    return int(batch), int(row or "0")


def _conform(batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    missing = [name for name in wanted.names if batch.schema.get_field_index(name) < 0]
    if missing:
        raise faults.broken(f"The file has no single column {missing[0]!r}.")
    chosen = batch.select(wanted.names)
    if chosen.schema.equals(wanted):
        return chosen.replace_schema_metadata(None)
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(chosen.columns, wanted, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=wanted) if columns else chosen


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what Arrow raises about the file into a diagnostic."""
    try:
        yield
    except BadMessage as error:
        raise faults.broken(f"{error}.") from error
    except (pa.ArrowMemoryError, MemoryError) as error:
        raise faults.too_big("Decoding it took more memory than there is.") from error
    except (pa.ArrowException, OSError, ValueError, OverflowError, IndexError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk or the network failed, not the file
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise faults.broken(f"{text[:300]}.") from error
