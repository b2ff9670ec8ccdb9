"""Reads Parquet in bounded batches, from any row on.

A position is `<row group>:<row>`. Inside a row group batches end at multiples of a step that
follows from the row group's metadata alone, so that a run that resumes at a batch's end sees
the same batches as one that was never disturbed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batuta.formats.parquet import faults
from batuta.model.arrow import schema_of, to_arrow
from batuta.model.format import Batch, Inspection, Options
from batuta.model.observed import Cut
from batuta.model.table import TableSchema

_BATCH_BYTES = 8 * 1024 * 1024
_MAX_BATCH_ROWS = 65_536
_BUFFER_BYTES = 1024 * 1024
_MAX_VALUE_BYTES = 64 * 1024 * 1024
_MAX_CHUNK_BYTES = 256 * 1024 * 1024
_MAX_EXPANSION = 1000
_MAX_FOOTER_BYTES = 256 * 1024 * 1024


class ParquetReader:
    """Reads one Parquet file."""

    def inspect(
        self, file: pa.NativeFile, options: Options, types: Mapping[str, str]
    ) -> Inspection:
        """Return the schema, rows and one cut for each row group, from the footer alone."""
        del options, types  # Parquet states its types
        with _translated():
            opened = _open(file)
            metadata = opened.metadata
            _check_sizes(metadata, file.size())
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            cuts = [
                Cut(f"{i}:0" if i else "0", g.total_byte_size, g.num_rows)
                for i, g in enumerate(groups)
            ]
            schema = schema_of(opened.schema_arrow)
        return Inspection(schema=schema, rows=metadata.num_rows, cuts=tuple(cuts) or _EMPTY)

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
        """Yield batches of at most 65,536 rows and about 8 MiB from `start` up to `end`."""
        del options
        with _translated():
            opened = _open(file)
            metadata = opened.metadata
            _check_sizes(metadata, file.size())
            names = list(schema.names if columns is None else columns)
            missing = [name for name in names if name not in opened.schema_arrow.names]
            if missing:
                raise faults.missing_columns(missing)
            wanted = pa.schema([f for f in to_arrow(schema) if f.name in set(names)])
            wanted = pa.schema([wanted.field(name) for name in names])
            group, row = _position(start) or (0, 0)
            last, last_row = _position(end) or (metadata.num_row_groups, 0)
            while (group, row) < (last, last_row) and group < metadata.num_row_groups:
                upto = last_row if group == last else None
                for rows, after in _Group(file, opened, group, wanted).read(row, upto):
                    yield Batch(rows, after)
                group, row = group + 1, 0


_EMPTY = (Cut("0", 0, 0),)


class _Group:
    """One row group of an open file, read as `wanted`."""

    def __init__(
        self, file: pa.NativeFile, opened: pq.ParquetFile, index: int, wanted: pa.Schema
    ) -> None:
        self.file = file
        self.opened = opened
        self.index = index
        self.wanted = wanted
        self.rows = opened.metadata.row_group(index).num_rows
        self.step = _step(opened.metadata.row_group(index))

    def read(self, row: int, upto: int | None) -> Iterator[tuple[pa.RecordBatch, str]]:
        """Yield batches from `row` up to `upto`, checking that all rows promised are there."""
        at = 0
        stop = self.rows if upto is None else min(upto, self.rows)
        for stored in self._stored():
            first, at = at, at + stored.num_rows
            if at <= row:
                continue
            cut = stored.slice(max(row - first, 0), min(at, stop) - max(row, first))
            last = at >= self.rows
            yield (
                _conform(cut, self.wanted),
                f"{self.index + 1}:0" if last else f"{self.index}:{at}",
            )
            if at >= stop:
                break
        if at < stop or at > self.rows:
            raise faults.broken(
                f"Row group {self.index} holds {at} rows, its metadata say {self.rows}."
            )

    def _stored(self) -> Iterator[pa.RecordBatch]:
        names = self.wanted.names
        if not names:
            yield from self._empty_rows()
            return
        exact = [n for n in names if n in _int96(self.opened)]
        batches = self._iterate(self.opened, names)
        if not exact:
            yield from batches
            return
        nanoseconds = self._iterate(_open(self.file, int96_unit="ns"), exact)
        for batch, check in zip(batches, nanoseconds, strict=True):
            _check_int96(batch, check)
            yield batch

    def _iterate(self, opened: pq.ParquetFile, names: list[str]) -> Iterator[pa.RecordBatch]:
        # Leaves are chosen by path prefix, so a column `a.b` may bring `a`'s child with it.
        stored = opened.iter_batches(
            batch_size=self.step, row_groups=[self.index], columns=names, use_threads=False
        )
        # A long string column may come in two pieces; they are joined up to the step's grid.
        held: list[pa.RecordBatch] = []
        for batch in stored:
            held.append(batch.select(names))
            if sum(b.num_rows for b in held) >= self.step:
                yield from _joined(held, self.step)
                held = []
        if held:
            yield from _joined(held, self.step)

    def _empty_rows(self) -> Iterator[pa.RecordBatch]:
        for first in range(0, self.rows, self.step):
            rows = min(self.step, self.rows - first)
            yield pa.record_batch({"": pa.nulls(rows)}).select([])


def _joined(held: list[pa.RecordBatch], step: int) -> Iterator[pa.RecordBatch]:
    if len(held) == 1 and held[0].num_rows <= step:
        yield held[0]
        return
    for batch in held:
        for first in range(0, batch.num_rows, step):
            yield batch.slice(first, step)


def _step(group: pq.RowGroupMetaData) -> int:
    """Return the rows of a batch: a power of two, about 8 MiB of Arrow."""
    encoded = int(group.total_byte_size) // max(1, group.num_rows)
    per_row = max(encoded, 8 * int(group.num_columns), 1)
    rows = max(1, min(_MAX_BATCH_ROWS, _BATCH_BYTES // per_row))
    return int(1 << (rows.bit_length() - 1))


def _position(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    group, _, row = text.partition(":")
    if not group.isdecimal() or not (row or "0").isdecimal():
        raise faults.broken(f"{text[:80]!r} is no position in a Parquet file.")
    return int(group), int(row or "0")


def _open(file: pa.NativeFile, int96_unit: str = "us") -> pq.ParquetFile:
    _check_tail(file)
    return pq.ParquetFile(
        file,
        pre_buffer=False,
        buffer_size=_BUFFER_BYTES,
        coerce_int96_timestamp_unit=int96_unit,
        thrift_string_size_limit=_MAX_FOOTER_BYTES,
    )


def _check_tail(file: pa.NativeFile) -> None:
    size = file.size()
    if size < 12:
        raise faults.broken(f"The file has {size} bytes; a Parquet file has at least 12.")
    file.seek(size - 8)
    tail = file.read(8)
    if tail[4:] == b"PARE":
        raise faults.encrypted()
    if tail[4:] != b"PAR1":
        raise faults.broken("The file does not end as a Parquet file; it may be cut.")
    footer = int.from_bytes(tail[:4], "little")
    if footer > min(size - 12, _MAX_FOOTER_BYTES):
        raise faults.broken(f"Its footer claims {footer} bytes in a file of {size} bytes.")
    file.seek(0)


def _check_sizes(metadata: pq.FileMetaData, file_bytes: int) -> None:
    """Refuse figures that cannot be true or that no worker could hold, before any is used."""
    rows = 0
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        rows += group.num_rows
        for j in range(group.num_columns):
            _check_chunk(group.column(j), file_bytes)
    if rows != metadata.num_rows or rows < 0:
        raise faults.broken(
            f"Its row groups hold {rows} rows, its footer says {metadata.num_rows}."
        )


def _check_chunk(chunk: pq.ColumnChunkMetaData, file_bytes: int) -> None:
    stored, expanded = chunk.total_compressed_size, chunk.total_uncompressed_size
    path = chunk.path_in_schema
    if min(stored, expanded, chunk.num_values, chunk.data_page_offset) < 0:
        raise faults.broken(f"Column {path!r} has negative sizes.")
    if chunk.data_page_offset > file_bytes or stored > file_bytes:
        raise faults.broken(f"Column {path!r} claims {stored} bytes beyond the end of the file.")
    if expanded <= _MAX_CHUNK_BYTES:
        return
    if expanded > _MAX_EXPANSION * max(1, stored):
        raise faults.too_big(f"Column {path!r}: {stored} bytes expand to {expanded} bytes.")
    if expanded > _MAX_VALUE_BYTES * max(1, chunk.num_values):
        raise faults.too_big(
            f"Column {path!r} holds {expanded} bytes in {chunk.num_values} values."
        )


def _int96(opened: pq.ParquetFile) -> set[str]:
    leaves = [opened.schema.column(i) for i in range(len(opened.schema.names))]
    paths = [leaf.path for leaf in leaves if leaf.physical_type == "INT96"]
    known = set(opened.schema_arrow.names)
    for path in paths:
        if path not in known or not pa.types.is_timestamp(opened.schema_arrow.field(path).type):
            raise faults.beyond_microseconds(path)
    return set(paths)


def _check_int96(batch: pa.RecordBatch, nanoseconds: pa.RecordBatch) -> None:
    """Compare both readings: nanoseconds wrap around in far years, microseconds lose digits.

    They agree, modulo 2**64, exactly where nothing was lost.
    """
    for name in nanoseconds.schema.names:
        exact = batch.column(name).view(pa.int64()).fill_null(0)
        wrapped = nanoseconds.column(name).view(pa.int64()).fill_null(0)
        if not pc.multiply(exact, pa.scalar(1000, pa.int64())).equals(wrapped):
            raise faults.beyond_microseconds(name)


def _conform(batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    """Give each column the wanted type; most have it already."""
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, wanted, strict=True)
    ]
    if not columns:
        return batch
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


class _translated:  # noqa: N801 - reads as a statement
    """Turns what Arrow raises about the file into a diagnostic."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowMemoryError | MemoryError):
            raise faults.too_big("Decoding it took more memory than there is.") from error
        if _concerns_file(error):
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            if "crypt" in text.lower():
                raise faults.encrypted() from error
            raise faults.broken(f"{text[:300]}.") from error


def _concerns_file(error: BaseException | None) -> TypeGuard[BaseException]:
    if isinstance(error, OSError) and error.errno is not None:
        return False  # the disk or the network failed, not the file
    return isinstance(
        error, pa.ArrowException | OSError | ValueError | OverflowError | UnicodeDecodeError
    )
