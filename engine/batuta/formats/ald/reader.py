"""Reads `.ald` files of all three layouts in bounded memory.

A position is `<chunk>:<row>` in layout B, where each chunk can be read alone, and `0:<row>`
elsewhere: a compressed payload is read from its start. The checksum, where there is one, is
verified each time, before anything else is believed; layout B has none.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from batuta.formats.ald import faults
from batuta.formats.ald.container import Chunk, Codec, Container, open_container, pieces
from batuta.model.arrow import schema_of, to_arrow
from batuta.model.arrow_messages import BadMessage, CheckedStream
from batuta.model.format import Batch, Inspection, Options
from batuta.model.observed import Cut
from batuta.model.table import TableSchema

MAX_BATCH_BYTES = 256 * 1024 * 1024
_SLICE_BYTES = 8 * 1024 * 1024
_SLICE_ROWS = 65_536
_MAX_LZ4_BLOCK = 64 * 1024 * 1024
_LZ4_MAX_RATIO = 256


class AldReader:
    """Reads one `.ald` file."""

    def inspect(
        self, file: pa.NativeFile, options: Options, types: Mapping[str, str]
    ) -> Inspection:
        """Return schema, rows and cuts. Rows are counted by reading: headers only claim them."""
        del options, types  # Arrow states its types
        with _translated():
            container = open_container(file)
            schema = schema_of(_schema(file, container))
            cuts: list[Cut] = []
            for index, chunk in enumerate(container.chunks):
                rows = size = 0
                for batch in _stored(file, container, chunk):
                    rows += batch.num_rows
                    size += batch.nbytes
                cuts.append(Cut(f"{index}:0" if index else "0", size, rows))
        rows = sum(cut.rows or 0 for cut in cuts)
        return Inspection(
            schema=schema, rows=rows, cuts=tuple(cuts) or (Cut("0", 0, 0),), notes=container.notes
        )

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
        last, last_row = _position(end) or (2**62, 0)
        wanted = to_arrow(schema)
        names = list(wanted.names if columns is None else columns)
        wanted = pa.schema([wanted.field(name) for name in names])
        with _translated():
            container = open_container(file)
            for index in range(first, len(container.chunks)):
                if (index, row) >= (last, last_row):
                    return
                stop = last_row if index == last else None
                stored = _stored(file, container, container.chunks[index])
                for batch, after, finished in _sliced(stored, row, stop):
                    following = f"{index + 1}:0" if finished else f"{index}:{after}"
                    yield Batch(_conform(batch, wanted), following)
                row = 0


def _sliced(
    stored: Iterator[pa.RecordBatch], row: int, stop: int | None
) -> Iterator[tuple[pa.RecordBatch, int, bool]]:
    """Cut batches on a grid that follows from each batch alone; say which slice is the last."""
    at = 0
    batch = next(stored, None)
    while batch is not None and (stop is None or at < stop):
        following = next(stored, None)
        step = max(1, min(_SLICE_ROWS, _SLICE_BYTES * batch.num_rows // max(1, batch.nbytes)))
        upto = batch.num_rows if stop is None else min(batch.num_rows, stop - at)
        first = max(0, row - at)
        while first < upto:
            after = min(upto, (first // step + 1) * step)
            finished = following is None and after == batch.num_rows
            yield batch.slice(first, after - first), at + after, finished
            first = after
        at += batch.num_rows
        batch = following


def _schema(file: pa.NativeFile, container: Container) -> pa.Schema:
    codec: Codec = "none" if container.layout == "B" else container.codec
    return pa.ipc.open_stream(_checked(file, container.schema_at, codec)).schema


def _stored(file: pa.NativeFile, container: Container, chunk: Chunk) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in pa.ipc.open_stream(_checked(file, chunk, container.codec)):
        batch.validate(full=True)
        rows += batch.num_rows
        yield batch
        if container.layout == "B":
            break  # readers of the format take the first batch of a chunk alone
    if chunk.rows is not None and chunk.rows != rows:
        raise faults.broken(f"A chunk holds {rows} rows, the index says {chunk.rows}.")


def _checked(file: pa.NativeFile, chunk: Chunk, codec: Codec) -> CheckedStream:
    return CheckedStream(_expanded(file, chunk, codec), max_bytes=MAX_BATCH_BYTES, compressed=False)


def _expanded(file: pa.NativeFile, chunk: Chunk, codec: Codec) -> Callable[[int], bytes]:
    """Return a read function over the chunk's Arrow stream."""
    stored = _Stored(file, chunk)
    if codec == "none":
        return stored.read
    if codec == "lz4" and not stored.starts_with(b"\x04\x22\x4d\x18"):
        block = io.BytesIO(_lz4_block(stored, chunk))
        return block.read
    unpacked = pa.CompressedInputStream(pa.PythonFile(stored, "r"), codec)

    def read(size: int) -> bytes:
        piece: bytes = unpacked.read(size)
        return piece

    return read


def _lz4_block(stored: "_Stored", chunk: Chunk) -> pa.Buffer:
    """Expand a bare LZ4 block, with or without alimentar's length before it."""
    expanded = chunk.expanded_bytes or 0
    if expanded > min(_MAX_LZ4_BLOCK, _LZ4_MAX_RATIO * max(1, chunk.stored_bytes)):
        raise faults.too_big(f"{chunk.stored_bytes} bytes of LZ4 claim to hold {expanded}.")
    raw = b"".join(iter(lambda: stored.read(1024 * 1024), b""))
    if int.from_bytes(raw[:4], "little") == expanded:
        raw = raw[4:]
    return pa.Codec("lz4_raw").decompress(raw, decompressed_size=expanded)


class _Stored:
    """The stored bytes of a chunk as a file object; it never reads beyond them."""

    def __init__(self, file: pa.NativeFile, chunk: Chunk) -> None:
        self.file = file
        self.chunk = chunk
        self.at = 0
        self.closed = False

    def starts_with(self, magic: bytes) -> bool:
        self.file.seek(self.chunk.offset)
        return bool(self.file.read(min(len(magic), self.chunk.stored_bytes)) == magic)

    def read(self, size: int = -1) -> bytes:
        left = self.chunk.stored_bytes - self.at
        size = left if size < 0 else min(size, left)
        if size <= 0:
            return b""
        piece = next(pieces(self.file, self.chunk.offset + self.at, size))
        self.at += len(piece)
        return piece

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def _position(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    chunk, _, row = text.partition(":")
    if not chunk.isdecimal() or not (row or "0").isdecimal():
        raise faults.broken(f"{text[:80]!r} is no position in an .ald file.")
    return int(chunk), int(row or "0")


def _conform(batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    missing = [name for name in wanted.names if batch.schema.get_field_index(name) < 0]
    if missing:
        raise faults.broken(f"The file has no single column {missing[0]!r}.")
    chosen = batch.select(wanted.names)
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
